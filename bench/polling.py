"""Measures polling: CPU time of a worker and of PostgreSQL for an open online payment, and how often it is polled.

    python -m bench.polling [--payments 1000] [--accounts 20] [--seconds 60] [--rounds 3]

The payments are opened at once and stay unpaid for so many seconds, which pass as fast as the worker can follow: its
job runs on a clock that is moved forward second by second. The wallet is answered at the transport port.
"""

import argparse
import asyncio
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from bench import cluster, processes, setup, wallet
from bench.cluster import Server
from bench.figures import Figures
from bench.gateway import WECHAT
from bench.requests import APPCODE, KEY
from bench.wallet import StubTransport
from tael.audit_log.domain.entry import Origin
from tael.base.money import Money
from tael.base.pay_types import PAY_TYPES
from tael.base.secret import Secret
from tael.base.transport import Transport
from tael.channels.outcomes import AwaitingPayer, PayCode
from tael.channels.protocols import ChannelEnvironment
from tael.channels.registry import installed_protocols
from tael.db.cells import Cells
from tael.db.database import Database
from tael.jobs.polling import polling_jobs
from tael.jobs.runner import Job, run_once
from tael.merchants.domain.merchant import App, Merchant
from tael.payments.domain.payment import FIRST_CHECK, Payment
from tael.payments.outcomes import record_outcome
from tael.payments.verification import AnswerChecks
from tael.services import Services, ServiceSettings, services_over
from tael_demo.testing.folders import new_folder
from tests.support.store import incidents_of

QR_CODE: Final = PAY_TYPES["800201"]
SECOND: Final = timedelta(seconds=1)
COUNT: Final = "SELECT sum(checks)::bigint AS polls FROM payment"


@dataclass(slots=True)
class Clock:
    """Stands still until it is moved."""

    at: datetime

    def now(self) -> datetime:
        return self.at


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--payments", type=int, default=1000)
    parser.add_argument("--accounts", type=int, default=20)
    parser.add_argument("--seconds", type=int, default=60, help="of the clock, in which no payer pays")
    parser.add_argument("--rounds", type=int, default=3)
    chosen = parser.parse_args()
    figures = Figures()
    with new_folder() as folder, cluster.running(folder) as server:
        for number in range(chosen.rounds):
            print(f"round {number + 1} of {chosen.rounds}", flush=True)
            url = cluster.create(server, "polling")
            asyncio.run(_round(server, url, chosen.payments, chosen.accounts, chosen.seconds, figures))


async def _round(
    server: Server, url: str, payments: int, accounts: int, seconds: int, figures: Figures
) -> None:
    clock = Clock(datetime.now(UTC))
    async with Cells(url) as cells, _services(cells, clock) as services:
        database = services.store.database
        await _open(services, await _add_accounts(services, accounts), payments)
        job = next(job for job in polling_jobs(services.unmatched) if job.name == f"poll.payments.{WECHAT}")
        before = await _polls(database)
        worker, postgres = time.process_time(), processes.cpu_s_below(server.pid)
        for _ in range(seconds):
            clock.at += SECOND
            await _poll_due(job, clock)
        worker_us = (time.process_time() - worker) * 1e6
        postgres_us = (processes.cpu_s_below(server.pid) - postgres) * 1e6
        polls = await _polls(database) - before
    figures.add("polls_per_payment", polls / payments)
    figures.add("worker_us_per_payment", worker_us / payments)
    figures.add("postgres_us_per_payment", postgres_us / payments)
    figures.add("worker_us_per_poll", worker_us / polls)
    figures.add("postgres_us_per_poll", postgres_us / polls)


@asynccontextmanager
async def _services(cells: Cells, clock: Clock) -> AsyncIterator[Services]:
    store = setup.store_on(cells)
    urls = {"wechat": "http://wallet", "wechat_authorize": "", "wechat_api": ""}
    note = AnswerChecks(incidents_of(store.incidents), clock).note
    environment = ChannelEnvironment(StubTransport(), clock, note, urls, "", "")
    channels = {WECHAT: installed_protocols().named(WECHAT).open_channel(environment)}
    async with Transport() as to_merchants:
        yield services_over(store, channels, to_merchants, clock, ServiceSettings("http://gateway"))


async def _add_accounts(services: Services, number: int) -> list[tuple[str, str]]:
    """Merchants with an account each, as (mchid, account_id)."""
    added = [(f"POLLINGMERCHANT{each:03d}", f"pollingaccount{each:010d}") for each in range(number)]
    origin = Origin("bench", "127.0.0.1", "bench", datetime.now(UTC))
    await services.store.merchants.add_app(App(APPCODE, Secret(KEY), None, None), origin)
    for place, (mchid, account_id) in enumerate(added):
        await services.store.merchants.add_merchant(Merchant(mchid, APPCODE, "Bench", "HKD"), origin)
        account = replace(wallet.account(mchid, account_id), sub_mch_id=f"19{place:08d}")
        await services.store.accounts.add(account, origin)
    return added


async def _open(services: Services, accounts: Sequence[tuple[str, str]], number: int) -> None:
    """QR codes that are shown to their payers."""
    context = services.payments
    opened = [
        await _payment(services, *accounts[place % len(accounts)], f"order-{place}")
        for place in range(number)
    ]
    await asyncio.gather(*map(context.store.payments.open, opened))
    shown = AwaitingPayer(PayCode("weixin://wxpay/bizpayurl?pr=0000000"))
    await asyncio.gather(*(record_outcome(each, shown, context, is_first=True) for each in opened))


async def _payment(services: Services, mchid: str, account_id: str, reference: str) -> Payment:
    now = services.payments.clock.now()
    expires_at = now + timedelta(seconds=QR_CODE.expires_after_s)
    return Payment(
        mchid=mchid,
        syssn=await services.store.serials.syssn(now),
        appcode=APPCODE,
        pay_type=QR_CODE,
        reference=reference,
        amount=Money(1000, "HKD"),
        account_id=account_id,
        protocol=WECHAT,
        content="",
        subject="Bench",
        openid="",
        client_time="",
        device="",
        notify_merchant=True,
        created_at=now,
        changed_at=now,
        expires_at=expires_at,
        deadline=expires_at,
        check_at=now + FIRST_CHECK,
    )


async def _poll_due(job: Job[Any], clock: Clock) -> None:
    while await run_once(job, clock):
        pass


async def _polls(database: Database) -> int:
    """So far, with the initial requests."""
    (row,) = await database.fetch(COUNT)
    return int(row["polls"])


if __name__ == "__main__":
    main()
