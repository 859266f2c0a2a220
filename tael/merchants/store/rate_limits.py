"""What processes were granted of merchants' limits, and totals for the metrics. Both tables are unlogged.

There is one row for each merchant and length of window, which each new window uses again. After a crash of the database
the rows are gone, and windows begin anew.
"""

from collections.abc import Mapping, Sequence
from typing import Final

from tael.db.batch import Batch
from tael.db.database import Database
from tael.merchants.domain.rate_limits import GrantRequest

#: A process whose clock is behind is granted what is left of the newest window. A row that is further ahead was written
#: by a clock that was wrong: it begins again.
MAX_WINDOWS_AHEAD: Final = 2

GRANT: Final = f"""
INSERT INTO rate_limit AS r (mchid, window_s, number, granted, last_granted, grantable)
SELECT w.mchid, w.window_s, w.number, least(w.amount, w.grantable), least(w.amount, w.grantable), w.grantable
FROM unnest($1::text[], $2::integer[], $3::bigint[], $4::bigint[], $5::bigint[])
    AS w (mchid, window_s, number, amount, grantable) CROSS JOIN cell
ON CONFLICT (mchid, window_s) DO UPDATE SET (number, granted, last_granted, grantable) = (
    SELECT
        CASE WHEN c.is_current THEN r.number ELSE EXCLUDED.number END,
        CASE WHEN c.is_current THEN r.granted + c.rest ELSE EXCLUDED.granted END,
        CASE WHEN c.is_current THEN c.rest ELSE EXCLUDED.granted END,
        EXCLUDED.grantable
    FROM (VALUES (
        r.number - EXCLUDED.number BETWEEN 0 AND {MAX_WINDOWS_AHEAD},
        greatest(0, least(EXCLUDED.granted, EXCLUDED.grantable - r.granted))
    )) AS c (is_current, rest)
)
RETURNING mchid, window_s, last_granted
"""
ADD_TOTALS: Final = """
INSERT INTO rate_limit_total AS t (result, requests)
SELECT w.result, w.requests FROM unnest($1::text[], $2::bigint[]) AS w (result, requests) CROSS JOIN cell
ON CONFLICT (result) DO UPDATE SET requests = t.requests + EXCLUDED.requests
"""
TOTALS: Final = "SELECT result, requests FROM rate_limit_total"


class RateLimitRows:
    """The tables `rate_limit` and `rate_limit_total`. `max_wait_s` is the longest wait for a grant."""

    def __init__(self, database: Database, max_wait_s: float) -> None:
        self._database = database
        self.grant: Final = Batch("grant_requests", self._grant, max_wait_s)

    async def _grant(self, requests: Sequence[GrantRequest]) -> list[int]:
        """How much each is granted. Rows are locked in one order, so two batches never wait for each other."""
        ordered = sorted(requests, key=lambda each: (each.mchid, each.window_s))
        rows = await self._database.fetch(
            GRANT,
            [each.mchid for each in ordered],
            [each.window_s for each in ordered],
            [each.number for each in ordered],
            [each.amount for each in ordered],
            [each.grantable for each in ordered],
        )
        granted = {(row["mchid"], row["window_s"]): int(row["last_granted"]) for row in rows}
        return [granted[each.mchid, each.window_s] for each in requests]

    async def add_totals(self, counts: Mapping[str, int]) -> None:
        """Add to the totals. Raises StoreUnavailable."""
        results = sorted(counts)
        await self._database.execute(ADD_TOTALS, results, [counts[result] for result in results])

    async def totals(self) -> dict[str, int]:
        """By result. Raises StoreUnavailable."""
        return {row["result"]: int(row["requests"]) for row in await self._database.fetch(TOTALS)}
