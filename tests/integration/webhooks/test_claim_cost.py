"""A claim reads what it takes, however many webhooks wait and however many were delivered since the last vacuum.

The index keeps the entries of delivered webhooks until a vacuum, in front of those that are due. What is counted are
the blocks that PostgreSQL reads.
"""

import json
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

import pytest

from tael.operations.store import Store
from tael.webhooks.store.queue import CLAIM, CLAIM_PARTS
from tests.support.citus import needs_plain_postgres
from tests.support.values import APPCODE, MCHID, NOW

pytestmark = needs_plain_postgres

TAKEN = 20
LEASE = timedelta(seconds=15)
LATE = NOW + timedelta(days=1)
INSERT = """
INSERT INTO webhook (mchid, cause, kind, appcode, payment_syssn, created_at, deliver_at)
SELECT $1, lpad(n::text, 24, '0'), 'payment', $2, lpad(n::text, 24, '0'), at, at
FROM generate_series(1, $4::integer) AS n, LATERAL (SELECT $3::timestamptz + n * interval '1 ms' AS at) AS due
"""
DELIVER = """
UPDATE webhook SET state = 'DELIVERED', deliver_at = NULL WHERE mchid = $1 AND cause <= lpad($2::text, 24, '0')
"""


async def with_webhooks(store: Store, delivered: int, due: int) -> None:
    """So many were delivered, and so many are due a millisecond after each other. There is no vacuum."""
    await store.database.execute("TRUNCATE webhook")
    await store.database.execute("ALTER TABLE webhook SET (autovacuum_enabled = false)")
    await store.database.execute(INSERT, MCHID, APPCODE, NOW, delivered + due)
    await store.database.execute("ANALYZE webhook")
    await store.database.execute(DELIVER, MCHID, str(delivered))


async def blocks_of(store: Store, statement: str, values: Sequence[object]) -> int:
    """How many blocks the statement reads; what it does is undone. It must claim TAKEN webhooks."""
    async with store.database.connection() as connection:
        transaction = connection.transaction()
        await transaction.start()
        try:
            rows = await connection.fetch(f"EXPLAIN (ANALYZE, BUFFERS, FORMAT JSON) {statement}", *values)
        finally:
            await transaction.rollback()
    (explained,) = json.loads(rows[0][0])
    plan = explained["Plan"]
    assert plan["Actual Rows"] == TAKEN
    return int(plan["Shared Hit Blocks"] + plan["Shared Read Blocks"])


def of_all() -> tuple[str, tuple[object, ...]]:
    """A claim from the beginning."""
    return CLAIM, (LATE, *lease(), TAKEN, TAKEN, [], [])


def going_on_after(delivered: int) -> tuple[str, tuple[object, ...]]:
    """A claim that begins where the last one ended."""
    since = NOW + timedelta(milliseconds=delivered)
    return CLAIM_PARTS, (LATE, *lease(), TAKEN, [APPCODE], [TAKEN], [since])


def lease() -> tuple[datetime, datetime]:
    real_now = datetime.now(UTC)
    return real_now, real_now + LEASE


async def test_a_claim_from_the_beginning_does_not_read_those_that_wait_behind(store: Store) -> None:
    await with_webhooks(store, 0, 100)
    of_few = await blocks_of(store, *of_all())
    await with_webhooks(store, 0, 6000)
    assert await blocks_of(store, *of_all()) < 2 * of_few


async def test_a_claim_that_goes_on_does_not_read_those_that_were_delivered(store: Store) -> None:
    await with_webhooks(store, 0, 6000)
    of_fresh = await blocks_of(store, *going_on_after(0))
    await with_webhooks(store, 5000, 1000)
    assert await blocks_of(store, *going_on_after(5000)) < 1.25 * of_fresh


@pytest.mark.parametrize("question", ["has_due_rows", "oldest_due"])
@pytest.mark.parametrize("due_in", [timedelta(0), timedelta(days=2)], ids=["due", "later"])
async def test_that_an_app_has_due_webhooks_is_found_in_few_blocks(
    store: Store, due_in: timedelta, question: str
) -> None:
    await with_webhooks(store, 0, 6000)
    await store.database.execute("UPDATE webhook SET deliver_at = deliver_at + $1::interval", due_in)
    await store.database.execute("VACUUM webhook")
    condition = f"SELECT {getattr(store.webhooks.due, question)()} AS found"
    async with store.database.connection() as connection:
        rows = await connection.fetch(
            f"EXPLAIN (ANALYZE, BUFFERS, FORMAT JSON) {condition}", LATE, datetime.now(UTC)
        )
    (explained,) = json.loads(rows[0][0])
    plan = explained["Plan"]
    assert plan["Shared Hit Blocks"] + plan["Shared Read Blocks"] < 50
