"""The job of statements: each day of a scheduled account is fetched once, and a missing one does not delay the next."""

import asyncio
from contextlib import suppress
from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime, time, timedelta
from typing import BinaryIO, Final

import pytest
from structlog.testing import capture_logs

from tael.audit.verification import audit_books
from tael.base.moments import UTC8
from tael.channels.statements import (
    Downloaded,
    DownloadFailed,
    DownloadOutcome,
    EmptyDay,
    NotReady,
    StatementKind,
)
from tael.incidents.domain.incident import IncidentKind
from tael.jobs.runner import Job, run_once
from tael.jobs.statements import statement_jobs
from tael.merchants.domain.account import Account
from tael.operations.store import Store
from tael.statements.domain.due import StatementDue
from tael.statements.schedule import ScheduleContext, fetch_due, schedule_account
from tael.statements.store.due import StatementsDue
from tael.statements.store.statements import Statements
from tests.support.alipay import TestClock
from tests.support.crashing import Crash, CrashingDatabase, Process, Side
from tests.support.fake_wallet import FakeWallet
from tests.support.store import count_of
from tests.support.values import ORIGIN, an_alipay_account, origin_at

TRANSACTIONS: Final = StatementKind.TRANSACTIONS
ACCOUNT: Final = an_alipay_account("alipay-online", scene="online", pid="2088000000000001")
DAY: Final = date(2026, 1, 2)
ONE_DAY: Final = timedelta(days=1)
MOMENT: Final = timedelta(microseconds=1)
NOON: Final = datetime(2026, 1, 2, 4, 0, tzinfo=UTC)


def ready(day: date) -> datetime:
    return datetime.combine(day + ONE_DAY, time(), UTC8)


@dataclass
class Source:
    """A wallet with files of transactions. Days without a file are empty, unless `outcomes` says otherwise."""

    files: dict[date, str] = field(default_factory=dict)
    outcomes: dict[date, DownloadOutcome] = field(default_factory=dict)
    asked: list[date] = field(default_factory=list)
    kinds: frozenset[StatementKind] = frozenset({TRANSACTIONS})

    def available_at(self, day: date, kind: StatementKind) -> datetime:
        return ready(day)

    async def download(
        self, account: Account, day: date, kind: StatementKind, target: BinaryIO
    ) -> DownloadOutcome:
        self.asked.append(day)
        if day in self.outcomes:
            return self.outcomes[day]
        target.write(self.files.get(day, "No balance account data in the period").encode())
        return Downloaded() if day in self.files else EmptyDay()


@dataclass
class Wallet(FakeWallet):
    source: Source = field(default_factory=Source)

    @property
    def statements(self) -> Source:  # type: ignore[override]
        return self.source


def context_of(store: Store, source: Source, clock: TestClock) -> ScheduleContext:
    wallet = Wallet(clock, source=source)
    return ScheduleContext(
        store.statements,
        store.statements_due,
        store.accounts,
        store.incidents,
        {"alipay_mapi": wallet},
        clock,
    )


def job_of(store: Store, source: Source, at: datetime) -> tuple[Job[StatementDue], TestClock]:
    clock = TestClock(at)
    (job,) = statement_jobs(context_of(store, source, clock))
    return job, clock


async def run(store: Store, source: Source, at: datetime) -> int:
    """How many rows were due at `at`."""
    return await run_once(*job_of(store, source, at))


async def scheduled(store: Store, source: Source) -> None:
    rows = await schedule_account(store.statements_due, ACCOUNT, source, origin_at(NOON))
    assert [(row.day, row.check_at) for row in rows] == [(DAY, ready(DAY))]


async def stored_days(store: Store) -> list[date]:
    return sorted(each.day for each in await store.statements.list(None, with_superseded=True))


async def due_days(store: Store) -> list[date]:
    return [row.day for row in await store.statements_due.of_account(ACCOUNT.mchid, ACCOUNT.account_id)]


async def test_each_day_is_fetched_once_when_the_wallet_has_it(store: Store) -> None:
    source = Source({DAY: "1|10.00|HKD|20260102110405||P|0.12|P|\n"})
    await scheduled(store, source)
    await schedule_account(store.statements_due, ACCOUNT, source, origin_at(NOON + ONE_DAY))
    assert await due_days(store) == [DAY]
    assert await run(store, source, ready(DAY) - MOMENT) == 0
    with capture_logs() as logs:
        assert await run(store, source, ready(DAY)) == 1
    assert [(line["event"], line["day"], line["lines"]) for line in logs] == [
        ("statement.fetched", "2026-01-02", 1)
    ]
    assert await run(store, source, ready(DAY + ONE_DAY)) == 1
    assert source.asked == await stored_days(store) == [DAY, DAY + ONE_DAY]
    assert await due_days(store) == [DAY + 2 * ONE_DAY]


async def test_a_file_that_is_not_there_is_tried_again_with_growing_gaps(store: Store) -> None:
    source = Source(outcomes={DAY: NotReady()})
    await scheduled(store, source)
    at = ready(DAY)
    for minutes in (10, 20, 40, 80, 160, 320, 360, 360):
        assert await run(store, source, at) == 1
        at += timedelta(minutes=minutes)
        assert await run(store, source, at - MOMENT) == 0
    del source.outcomes[DAY]
    assert await run(store, source, at) == 1
    assert await stored_days(store) == [DAY]


async def test_a_missing_statement_is_one_incident_and_delays_no_other(store: Store) -> None:
    source = Source(outcomes={DAY: DownloadFailed("HTTP 502")})
    await scheduled(store, source)
    with capture_logs() as logs:
        for hours in range(0, 24 * 4, 6):
            while await run(
                store, source, ready(DAY) + timedelta(hours=hours)
            ):  # one row of an account at a time
                pass
            open_incidents = await store.incidents.newest(None, with_resolved=False, limit=10)
            assert len(open_incidents) == (hours >= 48)
    assert [line["event"] for line in logs].count("incident") == 1
    (incident,) = open_incidents
    assert (incident.kind, incident.account_id) == (IncidentKind.STATEMENT_MISSING, ACCOUNT.account_id)
    assert incident.detail == "transactions of 2026-01-02: HTTP 502"
    assert await stored_days(store) == [DAY + ONE_DAY * days for days in (1, 2, 3)]
    assert await due_days(store) == [DAY, DAY + 4 * ONE_DAY]
    for _ in range(2):
        await run(store, source, ready(DAY) + timedelta(days=90))
    assert await due_days(store) == [DAY + 5 * ONE_DAY]


async def test_each_kind_of_the_wallet_is_scheduled_and_missing_on_its_own(store: Store) -> None:
    kinds = frozenset(StatementKind)
    source = Source({DAY: "1|10.00|HKD|20260102110405||P|0.12|P|\n"}, kinds=kinds)
    rows = await schedule_account(store.statements_due, ACCOUNT, source, origin_at(NOON))
    assert {(row.kind, row.day) for row in rows} == {(kind, DAY) for kind in kinds}
    while await run(store, source, ready(DAY) + timedelta(days=2)):
        pass
    # The file is one of transactions, and no settlement.
    (incident,) = await store.incidents.newest(None, with_resolved=False, limit=10)
    assert incident.detail == "settlement of 2026-01-02: line 1: not settled"
    stored = await store.statements.list(None, with_superseded=False, kind=StatementKind.SETTLEMENT)
    assert DAY not in {each.day for each in stored}


async def test_a_refused_file_is_missing_with_its_reason(store: Store) -> None:
    source = Source({DAY: "1|10.00|HKD|20260102110405||P|0.12"})
    await scheduled(store, source)
    await run(store, source, ready(DAY) + timedelta(days=2))
    (incident,) = await store.incidents.newest(None, with_resolved=False, limit=10)
    assert "line 1: the line has no end" in incident.detail
    assert await stored_days(store) == []


async def test_several_workers_store_a_file_once(store: Store, other_store: Store) -> None:
    source = Source({DAY: "1|10.00|HKD|20260102110405||P|0.12|P|\n"})
    await scheduled(store, source)
    jobs = [job_of(each, source, ready(DAY)) for each in (store, other_store, store, other_store)]
    await asyncio.gather(*(run_once(*each) for each in jobs))
    assert (source.asked, await count_of(store, "statement_line")) == ([DAY], 1)


async def test_a_worker_whose_lease_has_ended_stores_nothing_again(store: Store, other_store: Store) -> None:
    source = Source({DAY: "1|10.00|HKD|20260102110405||P|0.12|P|\n"})
    await scheduled(store, source)
    clock, real_now = TestClock(ready(DAY)), datetime.now(UTC)
    claims = [
        await job_of(each, source, clock.at)[0].claim(
            clock.at, real_now + later, real_now + later + ONE_DAY / 2, 9
        )
        for each, later in ((store, timedelta(0)), (other_store, ONE_DAY))
    ]
    with capture_logs() as logs:
        await asyncio.gather(
            *(
                fetch_due(row, context_of(each, source, clock))
                for (row,), each in zip(claims, (store, other_store), strict=True)
            )
        )
    assert [line["event"] for line in logs] == ["statement.fetched"]
    assert await stored_days(store) == [DAY]
    assert await due_days(store) == [DAY + ONE_DAY]


async def test_an_account_that_is_no_longer_scheduled_stays_so(store: Store) -> None:
    source = Source()
    await scheduled(store, source)
    job, clock = job_of(store, source, ready(DAY))
    (row,) = await job.claim(clock.at, datetime.now(UTC), datetime.now(UTC) + ONE_DAY, 9)
    assert await store.statements_due.unschedule(ACCOUNT.mchid, ACCOUNT.account_id, ORIGIN)
    assert not await store.statements_due.unschedule(ACCOUNT.mchid, ACCOUNT.account_id, ORIGIN)
    await job.do(row)
    assert await due_days(store) == []


def settled(day: date) -> str:
    """One payment of the day before: 9.88 HKD and a fee of 0.12."""
    return f"{day:%Y%m%d}|10.00|HKD|{day - ONE_DAY:%Y%m%d}110405|{day:%Y%m%d}090000|P|0.12|L|\n"


@dataclass
class CrashingSource(Source):
    """Its download is one step of the process."""

    process: Process = field(default_factory=Process)

    async def download(
        self, account: Account, day: date, kind: StatementKind, target: BinaryIO
    ) -> DownloadOutcome:
        async with self.process.side_effect():
            return await Source.download(self, account, day, kind, target)


@pytest.mark.parametrize("side", Side)
async def test_a_crash_at_any_step_of_a_fetch_books_a_settlement_once(store: Store, side: Side) -> None:
    """Each day's process crashes one step later. Then another one fetches what is due."""
    files = {DAY + ONE_DAY * number: settled(DAY + ONE_DAY * number) for number in range(20)}
    source = Source(files, kinds=frozenset({StatementKind.SETTLEMENT}))
    (row,) = await schedule_account(store.statements_due, ACCOUNT, source, origin_at(NOON))
    for number, day in enumerate(files, 1):
        process, clock = Process(number, side), TestClock(ready(day))
        crashing = CrashingDatabase(store.database, process)
        wallet = CrashingSource(files, kinds=source.kinds, process=process)
        context = replace(
            context_of(store, wallet, clock),
            statements=Statements(crashing),
            due=StatementsDue(crashing),
        )
        with suppress(Crash):
            await fetch_due(replace(row, day=day, check_at=ready(day)), context)
        while await run(store, source, ready(day)):
            pass
        audit = await audit_books(store.database)
        assert (audit.first, audit.entries) == (None, 2 * number)
        assert await stored_days(store) == list(files)[:number]
        if not process.is_dead:
            break
    assert number > 5, "too few steps were found"
    assert audit.balances.minor == {
        ("bank", "HKD"): 988 * number,
        ("wallet_fee", "HKD"): 12 * number,
        ("wallet", "HKD"): -1000 * number,
    }
