"""Leases: a row that a worker works on is nobody else's until its lease ends, and the worker keeps extending it.

A lease is known by its end, which changes with each renewal: a worker extends only what it still holds. A row that is
locked at this moment is being written, and is left to that.
"""

from collections.abc import Sequence
from datetime import datetime
from typing import Final

from tael.store.database import Database

OF_ORDERS: Final = ("mchid", "syssn")
OF_WEBHOOKS: Final = ("mchid", "cause", "kind")


def renewal(table: str, keys: Sequence[str]) -> str:
    """The statement for `table`: $1 the ends that are held, $2 the new one, then one array for each key column."""
    names = ", ".join(keys)
    arrays = ", ".join(f"${number}::text[]" for number, _ in enumerate(keys, start=3))
    same = " AND ".join(f"t.{key} = mine.{key}" for key in keys)
    return f"""
UPDATE {table} AS t SET lease_until = $2::timestamptz
FROM (
    SELECT {names}, h.place FROM {table} AS r
    JOIN unnest($1::timestamptz[], {arrays}) WITH ORDINALITY AS h (held, {names}, place) USING ({names})
    WHERE r.lease_until = h.held
    FOR NO KEY UPDATE OF r SKIP LOCKED
) AS mine
WHERE {same}
RETURNING mine.place
"""  # names of ours


async def renew(
    database: Database,
    statement: str,
    keys: Sequence[tuple[str, ...]],
    held: Sequence[datetime],
    until: datetime,
) -> list[bool]:
    """Whether each row's lease, which was to end at its `held`, now ends at `until`. Raises StoreUnavailable."""
    rows = await database.fetch(
        statement, list(held), until, *(list(column) for column in zip(*keys, strict=True))
    )
    extended = {row["place"] for row in rows}
    return [place in extended for place in range(1, len(keys) + 1)]
