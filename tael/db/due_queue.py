"""Leases: a claimed row belongs to one worker until its lease ends, and the worker keeps extending the lease.

Due rows are claimed account by account, each up to its remaining slots, so that a long queue of one account does not
delay others. A lease is identified by its end, which changes with each renewal, so a worker extends only the leases
that it still holds. Rows that are locked are being written, and are skipped.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING, Final

from tael.db.database import Database

if TYPE_CHECKING:
    import asyncpg

OF_ORDERS: Final = ("mchid", "syssn")
OF_INCIDENTS: Final = ("mchid", "subject_id", "kind", "incident_id")
OF_WEBHOOKS: Final = ("mchid", "cause", "kind")


NO_LIMIT: Final = 1_000_000


@dataclass(frozen=True, slots=True)
class AccountLimits:
    """What one claim may take: up to `default` rows of each account at `wallet` (or of any), except for `remaining`."""

    wallet: str | None = None
    default: int = NO_LIMIT
    remaining: Mapping[str, int] = field(default_factory=dict)


UNLIMITED: Final = AccountLimits()


def claiming(table: str, keys: Sequence[str], columns: str) -> str:
    """The statement for `table`: $1 now, $2 the real time, $3 the lease's end, $4 the limit, $5 to $8 AccountLimits.

    `head` probes the index once per account, or not at all if no row is due. Accounts with due rows get equal parts of
    twice the limit, since other workers may choose the same rows at the same time. Rows are locked last, and only those
    that are taken.
    """
    names = ", ".join(keys)
    due = "d.check_at <= $1 AND (d.lease_until IS NULL OR d.lease_until < $2)"
    return f"""
WITH account AS (
    SELECT a.account_id, coalesce(r.room, $6::integer) AS room
    FROM wallet_account AS a LEFT JOIN unnest($7::text[], $8::integer[]) AS r (account_id, room) USING (account_id)
    WHERE ($5::text IS NULL OR a.wallet = $5) AND coalesce(r.room, $6) > 0
      AND EXISTS (SELECT FROM {table} WHERE check_at IS NOT NULL)
), head AS MATERIALIZED (
    SELECT account.account_id, account.room, (2 * $4::bigint - 1) / count(*) OVER () + 1 AS part
    FROM account CROSS JOIN LATERAL (
        SELECT FROM {table} AS d WHERE d.account_id = account.account_id AND {due} ORDER BY d.check_at LIMIT 1
    ) AS first
), candidate AS MATERIALIZED (
    SELECT taken.* FROM head CROSS JOIN LATERAL (
        SELECT {names}, check_at FROM {table} AS d
        WHERE d.account_id = head.account_id AND {due} ORDER BY d.check_at LIMIT least(head.room, head.part)
    ) AS taken
    ORDER BY taken.check_at LIMIT 2 * $4::bigint
), chosen AS (
    SELECT {names} FROM candidate AS c JOIN {table} AS d USING ({names})
    WHERE {due} ORDER BY c.check_at LIMIT $4 FOR NO KEY UPDATE OF d SKIP LOCKED
)
UPDATE {table} AS t SET lease_until = $3 FROM chosen AS c
WHERE {" AND ".join(f"t.{key} = c.{key}" for key in keys)}
RETURNING {", ".join("t." + column for column in columns.split(", "))}
"""  # names of ours


async def claim(
    database: Database,
    statement: str,
    now: datetime,
    real_now: datetime,
    lease_until: datetime,
    limit: int,
    accounts: AccountLimits,
) -> "list[asyncpg.Record]":
    """Due rows, leased to the caller. `now` is the gateway's clock, leases use real time. Raises StoreUnavailable."""
    remaining = list(accounts.remaining), list(accounts.remaining.values())
    return await database.fetch(
        statement, now, real_now, lease_until, limit, accounts.wallet, accounts.default, *remaining
    )


def renewal(table: str, keys: Sequence[str]) -> str:
    """The statement for `table`: $1 the current lease ends, $2 the new one, then one array per key column."""
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
    """For each row, whether its lease still ended at `held` and now ends at `until`. Raises StoreUnavailable."""
    rows = await database.fetch(
        statement, list(held), until, *(list(column) for column in zip(*keys, strict=True))
    )
    extended = {row["place"] for row in rows}
    return [place in extended for place in range(1, len(keys) + 1)]
