"""A page reads as many rows in a large table as in a small one, whatever the age of the statistics."""

import json
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, Final

import pytest

from tael.operations.store import Store
from tael.retention.domain.personal_data import BLANKED
from tael.retention.store.blanking import PAGE_ROWS, PLANS, blanking_statement, parameters
from tests.support.citus import needs_plain_postgres
from tests.support.old_rows import AGE, finish
from tests.support.values import NOW

pytestmark = needs_plain_postgres

if TYPE_CHECKING:
    from tael.db.database import Connection

COLUMNS: Final = (
    "SELECT column_name FROM information_schema.columns "
    "WHERE table_schema = current_schema() AND table_name = $1 ORDER BY ordinal_position"
)
#: The columns in which copies differ, so that those of different tables belong together as the originals do.
NUMBERED: Final = frozenset(
    {"syssn", "payment_syssn", "reference", "link_id", "cause", "subject_id", "unmatched_id", "statement_id"}
)


async def copy(connection: "Connection", table: str, first: int, last: int) -> None:
    """Copies of the row of `finish` with these numbers."""
    names = [row["column_name"] for row in await connection.fetch(COLUMNS, table)]
    await connection.execute(
        f"INSERT INTO {table} ({', '.join(names)}) SELECT {', '.join(map(_copied, names))} "
        f"FROM (SELECT * FROM {table} LIMIT 1) AS t, generate_series({first}, {last}) AS g (n)"
    )


def _copied(column: str) -> str:
    if column == "day":
        return "day - n::integer"
    return f"n || {column}" if column in NUMBERED else column


async def rows_read(connection: "Connection", table: str) -> int:
    """How many rows a first page reads in all tables, also those that it leaves out. The change is undone."""
    transaction = connection.transaction()
    await transaction.start()
    await connection.execute(PLANS)
    explain = f"EXPLAIN (ANALYZE, FORMAT JSON) {blanking_statement(table, None)}"
    (row,) = await connection.fetch(explain, *parameters(NOW - AGE, None))
    await transaction.rollback()
    (plan,) = json.loads(row[0])
    (updated,) = (node for node in nodes(plan["Plan"]) if node.get("Operation") == "Update")
    assert updated["Actual Rows"] == PAGE_ROWS
    return sum(
        round((node["Actual Rows"] + node.get("Rows Removed by Filter", 0)) * node["Actual Loops"])
        for node in nodes(plan["Plan"])
        if "Index Name" in node or "Relation Name" in node
    )


def nodes(plan: dict[str, Any]) -> Iterator[dict[str, Any]]:
    yield plan
    for below in plan.get("Plans", ()):
        yield from nodes(below)


@pytest.mark.parametrize("is_analysed", [False, True])
async def test_a_page_reads_no_more_of_a_larger_table(store: Store, is_analysed: bool) -> None:
    await finish(store)
    async with store.database.connection(is_long=True) as connection:
        read: list[dict[str, int]] = []
        for first, last in ((10_000, 11_999), (20_000, 25_999)):
            for table in BLANKED:
                await copy(connection, table, first, last)
            if is_analysed:
                await connection.execute("ANALYZE")
            read.append({table: await rows_read(connection, table) for table in BLANKED})
    assert read[1] == read[0]
