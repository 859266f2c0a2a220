"""What a merchant may know of settlements: reads over `remittance` and the lines of statements of settlements."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from typing import Final

from tael.channels.statements import LineType
from tael.db.database import Database
from tael.statements.domain.remittance import Remittance
from tael.statements.store.remittances import REMITTANCE

SETTLED_BETWEEN: Final = f"""
SELECT {REMITTANCE.select} FROM remittance
WHERE mchid = $1 AND account_id = ANY($2) AND settled_on BETWEEN $3 AND $4 AND superseded_at IS NULL
ORDER BY settled_on, account_id, batch_no, currency LIMIT $5
"""
#: A remittance whose statement has lines says nothing about trades that are not among them, although its days may
#: cover theirs.
DAYS: Final = """
SELECT w.syssn, coalesce(
    (SELECT min(s.day) FROM statement_line AS l JOIN statement AS s USING (mchid, statement_id)
     WHERE l.mchid = $1 AND l.syssn = w.syssn AND l.type = w.type
       AND s.account_id = w.account_id AND s.kind = 'settlement' AND s.superseded_at IS NULL),
    (SELECT min(r.settled_on) FROM remittance AS r LEFT JOIN statement AS s USING (mchid, statement_id)
     WHERE r.mchid = $1 AND r.account_id = w.account_id AND w.day BETWEEN r.trades_from AND r.trades_to
       AND r.superseded_at IS NULL AND coalesce(s.lines, 0) = 0)
) AS day
FROM unnest($2::text[], $3::text[], $4::text[], $5::date[]) AS w(syssn, type, account_id, day)
"""


@dataclass(frozen=True, slots=True)
class SettledTrade:
    """A payment or refund that a wallet has executed; `day` is the one of that, in UTC+8."""

    syssn: str
    type: LineType
    account_id: str
    day: date


class Settlements:
    """Of one merchant at a time."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def between(
        self, mchid: str, account_ids: Sequence[str], first: date, last: date, limit: int
    ) -> list[Remittance]:
        """The current remittances of these accounts and days of settlement (UTC+8), oldest first, at most `limit`."""
        rows = await self._database.fetch(SETTLED_BETWEEN, mchid, account_ids, first, last, limit)
        return [REMITTANCE.read(row) for row in rows]

    async def days(self, mchid: str, trades: Sequence[SettledTrade]) -> dict[str, date]:
        """When the wallets have settled these trades, by syssn; without those of which that is unknown.

        One statement, none for no trades.
        """
        if not trades:
            return {}
        columns = zip(*((each.syssn, each.type, each.account_id, each.day) for each in trades), strict=True)
        rows = await self._database.fetch(DAYS, mchid, *(list(column) for column in columns))
        return {row["syssn"]: row["day"] for row in rows if row["day"] is not None}
