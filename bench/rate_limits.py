"""Measures the limits of requests: how exact they are over two processes, and their part of a payment's CPU time.

    python -m bench.rate_limits [--minutes 1] [--rounds 5] [--payments 400] [--admissions 4000]

Exactness: merchants with different limits send more queries than they may, half of them to each of two API processes,
over whole minutes. Printed is what was admitted, as a ratio to the limit. CPU: alternating rounds measure a payment
over HTTP (both API processes and PostgreSQL, without the wallets), and the limits of one request at different paces. No
other merchant is at work, so no statement serves several. Ratios carry over to another machine.
"""

import argparse
import asyncio
import hashlib
import itertools
import json
import os
import random
import socket
import statistics
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlencode

import aiohttp
import uvloop

from tael.api.address_guard import AddressGuard
from tael.audit_log.domain.entry import Origin
from tael.base.moments import UTC8
from tael.cli.listener import listen, start_api
from tael.merchants.domain.merchant import Merchant
from tael.merchants.domain.rate_limits import GrantRequest, RateLimits
from tael.merchants.rate_limit_totals import RateLimitTotals
from tael.merchants.rate_limiter import MAX_WAIT_S, RateLimiter
from tael.merchants.store.rate_limits import RateLimitRows
from tael.stores import open_store
from tael_demo.demo import settings_of
from tael_demo.seed import PUBLISHED_APPCODE, PUBLISHED_MCHID, seed
from tael_demo.stack import DemoPaths, DemoStack, answers, running_wallets
from tael_demo.testing.folders import new_folder

HOST: Final = "127.0.0.1"
TICKS: Final = os.sysconf("SC_CLK_TCK")
MINUTE_S: Final = 60
#: Of each merchant, to each process.
CONNECTIONS: Final = 4
PAYING: Final = 8
#: Requests of a merchant in a second at one process: just below the limit, where most statements are needed for a share
#: of two and pieces of five, and within the share.
PACES: Final = (95, 3, 2)
#: How many requests are sent for each that may be admitted.
EXCESS: Final = 1.5
LIMITED: Final = {
    "bench100and400": RateLimits(100, 400),
    "bench100": RateLimits(100, 0),
    "bench20": RateLimits(20, 0),
    "bench400": RateLimits(0, 400),
}

_numbers = itertools.count(1)


@dataclass(slots=True)
class Setup:
    """Two API processes over a private PostgreSQL and the sandbox."""

    stack: DemoStack
    ports: list[int]
    apis: list[int] = field(default_factory=list)  #: process ids

    @property
    def postmaster(self) -> int:
        assert self.stack.postgres is not None
        assert self.stack.postgres.pid is not None
        return self.stack.postgres.pid


def main() -> None:
    parser = argparse.ArgumentParser("bench.rate_limits", description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--minutes", type=int, default=1)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--payments", type=int, default=400)
    parser.add_argument("--admissions", type=int, default=4000)
    chosen = parser.parse_args()
    with running() as setup:
        if chosen.rounds:
            uvloop.run(measure_cpu(setup, chosen.rounds, chosen.payments, chosen.admissions))
        if chosen.minutes:
            uvloop.run(measure_exactness(setup, chosen.minutes))


@contextmanager
def running() -> Iterator[Setup]:
    with ExitStack() as exits:
        folder = exits.enter_context(new_folder())
        port = free_ports()
        stack = exits.enter_context(running_wallets(DemoPaths(port, folder)))
        asyncio.run(add_merchants(stack))
        environment = stack.environment | {"TAEL_SETTINGS_CACHE_MS": "1000"}
        setup = Setup(stack, [port, port + 2])
        for index, each in enumerate(setup.ports):
            listener = exits.enter_context(listen(HOST, each))
            log = folder / "logs" / f"api-{index}.log"
            stack.supervisor.keep(f"api-{index}", partial(start_api, listener, environment, True, log))
        until = time.monotonic() + MINUTE_S
        while not all(answers(f"http://{HOST}:{each}/readyz") for each in setup.ports):
            if time.monotonic() > until:
                sys.exit("the API processes did not start")
            time.sleep(0.1)
        children = [kept.child for kept in stack.supervisor.kept if kept.name.startswith("api-")]
        setup.apis = [child.pid for child in children if child is not None]
        yield setup


def free_ports() -> int:
    """A port that is free with the next three."""
    while True:
        first = random.randrange(20_000, 32_000)
        with ExitStack() as opened:
            try:
                for port in range(first, first + 4):
                    opened.enter_context(socket.create_server((HOST, port)))
            except OSError:
                continue
            return first


async def add_merchants(stack: DemoStack) -> None:
    now = datetime.now(UTC)
    async with open_store(settings_of(stack)) as store:
        await seed(store, stack.accounts(), now)
        for mchid, limits in LIMITED.items():
            merchant = Merchant(
                mchid,
                PUBLISHED_APPCODE,
                mchid,
                "HKD",
                max_per_second=limits.per_second,
                max_per_minute=limits.per_minute,
            )
            await store.merchants.add_merchant(merchant, Origin("bench", "127.0.0.1", "bench", now))


def signed(**params: str) -> tuple[bytes, dict[str, str]]:
    """The body and the headers of a request of the published app."""
    text = "&".join(f"{name}={params[name]}" for name in sorted(params))
    sign = hashlib.md5(f"{text}123456".encode()).hexdigest()
    headers = {"X-QF-APPCODE": PUBLISHED_APPCODE, "X-QF-SIGN": sign}
    return urlencode(params).encode(), headers | {"Content-Type": "application/x-www-form-urlencoded"}


# ---- exactness --------------------------------------------------------------------------------------------------


async def measure_exactness(setup: Setup, minutes: int) -> None:
    ratios: dict[str, list[float]] = {mchid: [] for mchid in LIMITED}
    sent: Counter[str] = Counter()
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)) as session:
        for _ in range(minutes):
            await asyncio.sleep(MINUTE_S - time.time() % MINUTE_S + 0.05)
            end_at = time.time() // MINUTE_S * MINUTE_S + MINUTE_S - 0.2
            counts = await asyncio.gather(
                *(flood(session, setup.ports, mchid, limits, end_at) for mchid, limits in LIMITED.items())
            )
            for (mchid, limits), count in zip(LIMITED.items(), counts, strict=True):
                sent[mchid] += count.total()
                ratios[mchid].append(count[200] / in_a_minute(limits))
                assert count.total() == count[200] + count[429], count
    print(f"admitted by two processes in {MINUTE_S} s, as a ratio to the limit; {minutes} minutes")
    for mchid, limits in LIMITED.items():
        shown = " and ".join(f"{limit} in {window_s} s" for window_s, limit in limits.windows())
        print(f"  {shown:<24} {spread(ratios[mchid])}   requests sent {sent[mchid]}")


def in_a_minute(limits: RateLimits) -> int:
    """How many may be admitted in one minute."""
    of_seconds = limits.per_second * MINUTE_S or limits.per_minute
    return min(of_seconds, limits.per_minute or of_seconds)


async def flood(
    session: aiohttp.ClientSession, ports: Sequence[int], mchid: str, limits: RateLimits, end_at: float
) -> Counter[int]:
    """Queries above the limit until `end_at`, from several connections to each process; responses by status."""
    body, headers = signed(mchid=mchid)
    per_second = EXCESS * (limits.per_second or limits.per_minute / 10)
    statuses: Counter[int] = Counter()

    async def connection(port: int, number: int) -> None:
        gap_s = len(ports) * CONNECTIONS / per_second
        next_at = time.time() + gap_s * number / (len(ports) * CONNECTIONS)
        while next_at < end_at:
            await asyncio.sleep(max(0.0, next_at - time.time()))
            next_at = max(next_at + gap_s, time.time() - 1)
            async with session.post(
                f"http://{HOST}:{port}/trade/v1/query", data=body, headers=headers
            ) as response:
                await response.read()
                statuses[response.status] += 1

    places = [port for port in ports for _ in range(CONNECTIONS)]
    await asyncio.gather(*(connection(port, number) for number, port in enumerate(places)))
    return statuses


# ---- CPU --------------------------------------------------------------------------------------------------------


async def measure_cpu(setup: Setup, rounds: int, payments: int, admissions: int) -> None:
    payment_us: list[float] = []
    admission_us: dict[int, list[float]] = {pace: [] for pace in PACES}
    statements: dict[int, float] = {}
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)) as session:
        await pay(session, setup, payments // 4)  # connections, plans, caches
        await admit(setup, admissions // 4, max(PACES))
        for _ in range(rounds):
            before = cpu_s(*setup.apis) + cpu_s_below(setup.postmaster)
            await pay(session, setup, payments)
            payment_us.append((cpu_s(*setup.apis) + cpu_s_below(setup.postmaster) - before) * 1e6 / payments)
            for pace in PACES:
                used, asked = await admit(setup, admissions, pace)
                admission_us[pace].append(used * 1e6 / admissions)
                statements[pace] = asked / admissions
    print(
        f"CPU of gateway and PostgreSQL, {rounds} rounds of {payments} payments and {admissions} admissions"
    )
    print(f"  a payment, without limits: {spread(payment_us, '.0f')} us")
    for pace in PACES:
        ratios = [mine / whole for mine, whole in zip(admission_us[pace], payment_us, strict=True)]
        print(
            f"  the limits of one request, {pace} in a second: {spread(admission_us[pace], '.0f')} us, "
            f"{statements[pace]:.3f} statements, ratio {spread(ratios, '.4f')}"
        )


async def pay(session: aiohttp.ClientSession, setup: Setup, payments: int) -> None:
    """Barcode payments, `PAYING` at a time, each sent to the next process."""
    sandbox = setup.stack.paths.sandbox_url

    async def one(number: int) -> None:
        async with session.post(
            f"{sandbox}/control/codes", json={"wallet": "wechat", "behaviour": "pays"}
        ) as made:
            code = (await made.json())["auth_code"]
        body, headers = signed(
            mchid=PUBLISHED_MCHID,
            pay_type="800208",
            out_trade_no=f"bench-{next(_numbers)}",
            txamt="1000",
            txdtm=datetime.now(UTC8).strftime("%Y-%m-%d %H:%M:%S"),
            auth_code=code,
        )
        url = f"http://{HOST}:{setup.ports[number % 2]}/trade/v1/payment"
        async with session.post(url, data=body, headers=headers) as response:
            members = json.loads(await response.read())
            assert members["respcd"] == "0000", members

    await in_parallel(one, payments)


async def in_parallel(one: Callable[[int], Any], times: int) -> None:
    numbers = iter(range(times))

    async def worker() -> None:
        for number in numbers:
            await one(number)

    await asyncio.gather(*(worker() for _ in range(PAYING)))


class MovedClock:
    """Stands still until it is moved."""

    def __init__(self) -> None:
        self.at = datetime.now(UTC)

    def now(self) -> datetime:
        return self.at


async def admit(setup: Setup, admissions: int, pace: int) -> tuple[float, int]:
    """CPU seconds and statements of so many requests, one after the other, `pace` in each second of a moved clock."""
    clock, asked = MovedClock(), 0
    merchant = Merchant(f"bench{next(_numbers)}", PUBLISHED_APPCODE, "bench", "HKD")
    async with open_store(settings_of(setup.stack)) as store:
        rows = RateLimitRows(store.database, MAX_WAIT_S)

        async def counted(request: GrantRequest) -> int:
            nonlocal asked
            asked += 1
            return await rows.grant(request)

        limiter = RateLimiter(counted, RateLimitTotals(rows), clock, RateLimits(100, max(400, 64 * pace)))
        guard = AddressGuard(500, clock)
        await limiter.admit(merchant)
        before = time.process_time() + cpu_s_below(setup.postmaster)
        for number in range(admissions):
            if number % pace == 0:
                clock.at += timedelta(seconds=1)
            guard.check("192.0.2.1")
            await limiter.admit(merchant)
        used = time.process_time() + cpu_s_below(setup.postmaster) - before
    return used, asked


def cpu_s(*pids: int) -> float:
    return sum(ticks(pid)[1] for pid in pids) / TICKS


def cpu_s_below(parent: int) -> float:
    """CPU seconds of a process and its children that are alive."""
    total = 0
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            pid = int(stat.parent.name)
            of, used = ticks(pid)
        except (FileNotFoundError, ProcessLookupError):
            continue
        if parent in (pid, of):
            total += used
    return total / TICKS


def ticks(pid: int) -> tuple[int, int]:
    """The parent of a process, and its CPU time in ticks."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return int(fields[1]), int(fields[11]) + int(fields[12])


def spread(values: Sequence[float], form: str = ".3f") -> str:
    return f"{statistics.median(values):{form}} ({min(values):{form}} to {max(values):{form}})"


if __name__ == "__main__":
    main()
