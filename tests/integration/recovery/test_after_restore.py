"""`tael after-restore` on one database: what is reported, and what is done once for each restore."""

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Final

import pytest

from tael.audit_log.domain.entry import AuditEntry
from tael.audit_log.store.entries import write_audit_entries
from tael.base.serial import SEQUENCES
from tael.db.serials import BLOCK
from tael.db.tables import Home
from tael.operations.store import Store
from tael.recovery.after_restore import apply_after_restore, look_after_restore
from tael.recovery.domain.skip import skip_at
from tests.support.old_rows import contents
from tests.support.store import NODE, current, opened, paid
from tests.support.values import NOW, ORIGIN, a_payment

HALF: Final = 5_000_000_000
#: 2026-01-02 11:04:05 in UTC+8: 39,845 of 86,400 seconds of the day.
SKIP: Final = HALF + 1_250_000_000 * 39_845 // 86_400


def sequence_of(syssn: str) -> int:
    return int(syssn[14:])


async def next_sequences(store: Store) -> dict[int, int]:
    rows = await store.database.fetch("SELECT node, next_sequence FROM serial ORDER BY node")
    return {row["node"]: row["next_sequence"] for row in rows}


async def test_a_report_changes_nothing(store: Store) -> None:
    await paid(store, a_payment())
    await opened(store, a_payment())
    before = await contents(store)
    report = await look_after_restore(store.directory, store.database, store.cell)
    assert await contents(store) == before
    assert (report.payments, report.webhooks, report.newest_payment_at) == (1, 1, NOW)
    assert (report.unscheduled_accounts, report.returning_merchants) == (3, 1)
    assert not report.is_applied


async def test_numbers_skip_ahead_for_every_node_once(store: Store, other_store: Store) -> None:
    first = sequence_of(await store.serials.syssn(NOW))
    runs = await asyncio.gather(
        *(apply_after_restore(s.directory, s.database, s.cell, ORIGIN) for s in (store, other_store, store))
    )
    assert all(report.is_applied for report in runs)
    nodes = await next_sequences(store)
    assert nodes == dict.fromkeys(range(100), SKIP) | {NODE: BLOCK + SKIP}
    assert sequence_of(await other_store.serials.syssn(NOW)) - first > HALF
    (entry,) = await store.audit_log.newest(subject_kind="serial", limit=10)
    assert (entry.action, entry.subject_id, entry.after) == (
        ORIGIN.action,
        runs[0].timeline,
        {"skipped": SKIP},
    )


async def test_a_second_restore_on_a_day_skips_half_as_far(store: Store) -> None:
    await store.database.execute("INSERT INTO serial VALUES (1, 0)")
    for timeline, at in (("1/00000002", NOW), ("1/00000003", NOW - timedelta(days=1))):
        entry = AuditEntry(at, "anna", "host", "tael after-restore", "serial", timeline, None, {"skipped": 0})
        async with store.database.transaction() as connection:
            await write_audit_entries(connection, Home.CELL, [entry])
    assert not (await look_after_restore(store.directory, store.database, store.cell)).is_applied
    await apply_after_restore(store.directory, store.database, store.cell, ORIGIN)
    assert (await next_sequences(store))[1] == SKIP // 2


async def test_a_skip_beyond_the_last_sequence_begins_again_at_the_first(store: Store) -> None:
    await store.database.execute("INSERT INTO serial VALUES (1, $1)", SEQUENCES - 1)
    await apply_after_restore(store.directory, store.database, store.cell, ORIGIN)
    assert (await next_sequences(store))[1] == SKIP - 1


async def test_what_is_undecided_is_due_now_and_expedited_rows_stay_first(store: Store) -> None:
    later, expedited = await opened(store, a_payment()), await opened(store, a_payment())
    century_ago = NOW - timedelta(days=36_525)
    await store.database.execute("UPDATE payment SET check_at = $1", NOW + timedelta(minutes=9))
    await store.database.execute(
        "UPDATE payment SET check_at = $1 WHERE syssn = $2", century_ago, expedited.syssn
    )
    finished = await paid(store, a_payment())
    await apply_after_restore(store.directory, store.database, store.cell, ORIGIN)
    rows = await store.database.fetch("SELECT syssn, check_at FROM payment")
    assert {row["syssn"]: row["check_at"] for row in rows} == {
        later.syssn: NOW,
        expedited.syssn: century_ago,
        finished.syssn: None,
    }
    assert (await current(store, later)).state == "PENDING"


@pytest.mark.parametrize(
    ("at", "skip"),
    [
        (datetime(2026, 1, 1, 16, tzinfo=UTC), HALF),  # midnight in UTC+8
        (datetime(2026, 1, 2, 4, tzinfo=UTC), 5_625_000_000),
        (datetime(2026, 1, 2, 15, 59, 59, tzinfo=UTC), 6_249_985_532),
    ],
)
def test_the_skip_is_half_of_all_sequences_and_grows_with_the_day(at: datetime, skip: int) -> None:
    assert [skip_at(at, earlier) for earlier in range(3)] == [skip, skip // 2, skip // 4]
