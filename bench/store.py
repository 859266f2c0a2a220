"""Measures opening a payment and recording it as paid: payments per second, and CPU of the gateway and of PostgreSQL.

    python -m bench.store [--against DIR] [--rounds 5] [--payments 2000] [--callers 1 8 32]

With `--against`, the same rounds run with the code of another checkout, alternating with this one's, and the ratios
between the two are printed: below 1 is less CPU than there. Each round has a private PostgreSQL and a process of its
own. Only the CPU figures carry over to another machine.
"""

import argparse
import asyncio
import json
import os
import statistics
import subprocess
import sys
import time
from pathlib import Path
from typing import Any, Final

from tael_demo.testing.folders import new_folder

ROOT: Final = Path(__file__).resolve().parents[1]
FIGURES: Final = ("gateway_us", "postgres_us", "per_second")
TICKS: Final = os.sysconf("SC_CLK_TCK")


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--against", type=Path, metavar="DIR")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--payments", type=int, default=2000)
    parser.add_argument("--callers", type=int, nargs="+", default=[1, 8, 32])
    parser.add_argument("--one-round", action="store_true", help=argparse.SUPPRESS)
    chosen = parser.parse_args()
    if chosen.one_round:
        print(json.dumps(asyncio.run(_round(chosen.payments, chosen.callers))))
        return
    checkouts = [ROOT] if chosen.against is None else [ROOT, chosen.against.resolve()]
    rounds: dict[Path, list[Any]] = {checkout: [] for checkout in checkouts}
    for _ in range(chosen.rounds):
        for checkout in checkouts:
            rounds[checkout].append(_run(checkout, chosen.payments, chosen.callers))
    for callers in map(str, chosen.callers):
        for figure in FIGURES:
            here = [each[callers][figure] for each in rounds[ROOT]]
            line = f"callers {callers:>3}  {figure:<12} {_spread(here, '.0f')}"
            if chosen.against is not None:
                there = [each[callers][figure] for each in rounds[checkouts[1]]]
                ratios = [mine / other for mine, other in zip(here, there, strict=True)]
                line += f"   there {_spread(there, '.0f')}   ratio {_spread(ratios, '.2f')}"
            print(line)


def _spread(values: list[float], form: str) -> str:
    return f"{statistics.median(values):{form}} ({min(values):{form}} to {max(values):{form}})"


def _run(checkout: Path, payments: int, callers: list[int]) -> Any:
    command = [
        sys.executable,
        __file__,
        "--one-round",
        "--payments",
        str(payments),
        "--callers",
        *map(str, callers),
    ]
    environment = os.environ | {"PYTHONPATH": str(checkout)}
    done = subprocess.run(command, cwd=checkout, env=environment, capture_output=True, text=True, check=True)
    return json.loads(done.stdout)


async def _round(payments: int, callers: list[int]) -> dict[int, dict[str, float]]:
    from tael.db.migrate import migrate
    from tael_demo.embedded.server import EmbeddedPostgres
    from tests.support.store import entered_store, with_a_merchant

    with new_folder() as folder, EmbeddedPostgres(folder) as postgres:
        migrate(postgres.url)
        assert postgres.pid is not None
        async with entered_store(postgres.url) as store:
            await with_a_merchant(store)
            await _pay(store, 200, 1)  # connections, caches, and plans as at low load, which are kept
            return {count: await _measured(store, postgres.pid, payments, count) for count in callers}


async def _measured(store: Any, postmaster: int, payments: int, callers: int) -> dict[str, float]:
    wall, gateway, postgres = time.perf_counter(), time.process_time(), _cpu_of(postmaster)
    await _pay(store, payments, callers)
    return {
        "per_second": payments / (time.perf_counter() - wall),
        "gateway_us": (time.process_time() - gateway) * 1e6 / payments,
        "postgres_us": (_cpu_of(postmaster) - postgres) * 1e6 / payments,
    }


async def _pay(store: Any, payments: int, callers: int) -> None:
    from tests.support.store import being_paid
    from tests.support.values import a_payment

    async def call() -> None:
        for _ in range(payments // callers):
            payment = a_payment()
            assert await store.payments.open(payment)
            assert await store.payments.record(being_paid(payment))

    await asyncio.gather(*(call() for _ in range(callers)))


def _cpu_of(postmaster: int) -> float:
    """CPU seconds of all server processes that are alive."""
    ticks = 0
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            pid, rest = stat.parent.name, stat.read_text().rpartition(")")[2].split()
        except (FileNotFoundError, ProcessLookupError):
            continue
        if str(postmaster) in (pid, rest[1]):
            ticks += int(rest[11]) + int(rest[12])
    return ticks / TICKS


if __name__ == "__main__":
    main()
