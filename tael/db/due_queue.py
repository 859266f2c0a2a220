"""The due rows of a table as a queue, with leases.

A claimed row belongs to one worker until its lease ends, and the worker keeps extending the lease. Its end identifies a
lease and changes with each renewal, so a worker extends only the leases that it still holds. Rows that are locked are
being written, and are skipped.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final, Generic

from tael.db.database import Database
from tael.db.tables import Row, Table

NO_LIMIT: Final = 1_000_000
#: Due and not leased: $1 is the gateway's clock, $2 the real time.
IS_DUE: Final = "{at} <= $1 AND (lease_until IS NULL OR lease_until < $2)"


class DueQueue(Generic[Row]):
    """Rows that are due at the instant in `due_column`, with leases in `lease_until`."""

    due_column: str

    def __init__(self, database: Database, table: Table[Row]) -> None:
        self._database = database
        self._table = table
        self._renew = _renewal(table)

    async def renew(self, rows: Sequence[Row], held: Sequence[datetime], until: datetime) -> list[bool]:
        """Extend leases to `until`, if they still end at `held`; for each, whether it did. Raises StoreUnavailable."""
        keys = self._table.arrays(rows, self._table.key)
        renewed = await self._database.fetch(self._renew, list(held), until, *keys)
        extended = {record["place"] for record in renewed}
        return [place in extended for place in range(1, len(rows) + 1)]

    def has_due_rows(self) -> str:
        """The condition that a row is due, which may wait behind another: $1 the gateway's clock, $2 the real time."""
        return f"EXISTS (SELECT FROM {self._table.name} WHERE {IS_DUE.format(at=self.due_column)})"

    def oldest_due(self) -> str:
        """The instant since when the oldest due row has been due; NULL if none is due. Parameters as above."""
        at = self.due_column
        return f"(SELECT {at} FROM {self._table.name} WHERE {IS_DUE.format(at=at)} ORDER BY {at} LIMIT 1)"

    async def _claim(self, statement: str, *values: object) -> list[Row]:
        return [self._table.read(record) for record in await self._database.fetch(statement, *values)]


@dataclass(frozen=True, slots=True)
class AccountLimits:
    """What one claim may take: up to `default` rows of each account of these protocols, except for `remaining`."""

    protocols: tuple[str, ...]
    default: int = NO_LIMIT
    remaining: Mapping[str, int] = field(default_factory=dict)


class AccountQueue(DueQueue[Row]):
    """Rows of wallet accounts.

    They are claimed account by account, each up to its remaining slots, so that a long queue of one account does not
    delay others. The table has an index on (protocol, account_id, check_at).
    """

    due_column = "check_at"

    def __init__(self, database: Database, table: Table[Row]) -> None:
        super().__init__(database, table)
        self._claim_by_account = _claim_by_account(table)

    async def claim(
        self,
        now: datetime,
        real_now: datetime,
        lease_until: datetime,
        limit: int,
        accounts: AccountLimits,
    ) -> list[Row]:
        """Due rows, leased until `lease_until`. `now` is the gateway's clock; leases use real time.

        Raises StoreUnavailable.
        """
        remaining = list(accounts.remaining), list(accounts.remaining.values())
        values = now, real_now, lease_until, limit, accounts.protocols, accounts.default, *remaining
        return await self._claim(self._claim_by_account, *values)

    def has_due_rows(self) -> str:
        """Account by account, like the index, so that rows which are not due yet cost nothing."""
        return f"EXISTS (SELECT {self._first_due()})"

    def oldest_due(self) -> str:
        return f"(SELECT min(first.check_at) {self._first_due()})"

    def _first_due(self) -> str:
        """The first due row of each account, as `first`."""
        table = self._table.name
        waiting = f"SELECT protocol, account_id FROM {table} WHERE check_at IS NOT NULL"
        return f"""FROM (
    WITH RECURSIVE account AS (
        ({waiting} ORDER BY protocol, account_id LIMIT 1)
        UNION ALL
        SELECT next.protocol, next.account_id
        FROM account AS a CROSS JOIN LATERAL (
            {waiting} AND (protocol, account_id) > (a.protocol, a.account_id) ORDER BY protocol, account_id LIMIT 1
        ) AS next
    )
    SELECT first.check_at FROM account AS a CROSS JOIN LATERAL (
        SELECT check_at FROM {table}
        WHERE protocol = a.protocol AND account_id = a.account_id AND {IS_DUE.format(at="check_at")}
        ORDER BY check_at LIMIT 1
    ) AS first) AS first"""


def _claim_by_account(table: Table[Any]) -> str:
    """$1 now, $2 the real time, $3 the lease's end, $4 the limit, $5 to $8 AccountLimits.

    `account` steps from one account to the next through the index, whatever the length of their queues, and `head`
    probes each. Accounts with due rows get equal parts of twice the limit, since other workers may choose the same rows
    at the same time. Rows are locked last, and only those that are taken.
    """
    keys, names = table.key, ", ".join(table.key)
    due = "d.check_at <= $1 AND (d.lease_until IS NULL OR d.lease_until < $2)"
    of_account = (
        f"{table.name} AS d WHERE d.protocol = {{0}}.protocol AND d.account_id = {{0}}.account_id AND {due}"
    )
    waiting = f"SELECT account_id FROM {table.name} WHERE check_at IS NOT NULL AND protocol ="
    return f"""
WITH RECURSIVE account AS (
    SELECT p.protocol, first.account_id
    FROM unnest($5::text[]) AS p (protocol)
    CROSS JOIN LATERAL ({waiting} p.protocol ORDER BY account_id LIMIT 1) AS first
    UNION ALL
    SELECT a.protocol, next.account_id
    FROM account AS a
    CROSS JOIN LATERAL ({waiting} a.protocol AND account_id > a.account_id ORDER BY account_id LIMIT 1) AS next
), room AS (
    SELECT a.protocol, a.account_id, coalesce(r.room, $6::integer) AS room
    FROM account AS a LEFT JOIN unnest($7::text[], $8::integer[]) AS r (account_id, room) USING (account_id)
), head AS MATERIALIZED (
    SELECT room.*, (2 * $4::bigint - 1) / count(*) OVER () + 1 AS part
    FROM room CROSS JOIN LATERAL (
        SELECT FROM {of_account.format("room")} ORDER BY d.check_at LIMIT 1
    ) AS first
    WHERE room.room > 0
), candidate AS MATERIALIZED (
    SELECT taken.* FROM head CROSS JOIN LATERAL (
        SELECT {names}, check_at FROM {of_account.format("head")} ORDER BY d.check_at LIMIT least(head.room, head.part)
    ) AS taken
    ORDER BY taken.check_at LIMIT 2 * $4::bigint
), chosen AS (
    SELECT {names} FROM candidate AS c JOIN {table.name} AS d USING ({names})
    WHERE {due} ORDER BY c.check_at LIMIT $4 FOR NO KEY UPDATE OF d SKIP LOCKED
)
UPDATE {table.name} AS t SET lease_until = $3 FROM chosen AS c
WHERE {" AND ".join(f"t.{key} = c.{key}" for key in keys)}
RETURNING {table.select_from("t")}
"""  # names of ours


def _renewal(table: Table[Any]) -> str:
    """$1 the current ends of the leases, $2 the new one, then the columns of the key."""
    keys, names = table.key, ", ".join(table.key)
    arrays = ", ".join(f"${number}::{table.type_of(key)}[]" for number, key in enumerate(keys, start=3))
    same = " AND ".join(f"t.{key} = mine.{key}" for key in keys)
    return f"""
UPDATE {table.name} AS t SET lease_until = $2::timestamptz
FROM (
    SELECT {names}, h.place FROM {table.name} AS r
    JOIN unnest($1::timestamptz[], {arrays}) WITH ORDINALITY AS h (held, {names}, place) USING ({names})
    WHERE r.lease_until = h.held
    FOR NO KEY UPDATE OF r SKIP LOCKED
) AS mine
WHERE {same}
RETURNING mine.place
"""  # names of ours
