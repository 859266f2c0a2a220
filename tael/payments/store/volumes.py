"""The volumes of merchants with limits, summed where their payments are opened.

There is no counter that could be wrong: a lock per merchant, held until the commit, makes its openings follow each
other, and each batch of them reads one sum. Merchants without limits take no lock.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

from tael.payments.domain.volume import NewPayment, Volume, VolumePeriod

if TYPE_CHECKING:
    import asyncpg

    from tael.db.database import Connection, Database

#: So that the locks differ from those of other purposes and programs: "volume" in ASCII.
LOCK_SEED: Final = 0x766F6C756D65
#: In one order, since two transactions may lock the same merchants; on the cell's node, not the client's.
LOCK: Final = f"""
SELECT pg_advisory_xact_lock(key)
FROM (
    SELECT hashtextextended(mchid, {LOCK_SEED}) AS key FROM unnest($1::text[]) AS mchid CROSS JOIN cell ORDER BY key
) AS keys
"""
VOLUMES: Final = """
SELECT coalesce(sum(p.amount_minor) FILTER (WHERE p.created_at >= w.day_begin), 0)::bigint AS day_minor,
    coalesce(sum(p.amount_minor), 0)::bigint AS month_minor
FROM unnest($1::text[], $2::timestamptz[], $3::timestamptz[], $4::timestamptz[]) WITH ORDINALITY
    AS w (mchid, month_begin, day_begin, day_end, number)
LEFT JOIN payment AS p ON p.mchid = w.mchid AND p.created_at >= w.month_begin AND p.created_at < w.day_end
    AND p.state IN ('PENDING', 'PAID')
GROUP BY w.number ORDER BY w.number
"""


async def locked_volumes(
    connection: "Connection", limited: Sequence[NewPayment]
) -> dict[VolumePeriod, Volume]:
    """The volumes before these payments. Until the transaction ends, others of these merchants wait."""
    if not limited:
        return {}
    await connection.execute(LOCK, sorted({new.payment.mchid for new in limited}))
    periods = list(dict.fromkeys(new.period for new in limited))
    return dict(zip(periods, _read(await connection.fetch(VOLUMES, *_arrays(periods))), strict=True))


async def volume_of(database: "Database", period: VolumePeriod) -> Volume:
    """For an operator. Raises StoreUnavailable."""
    return _read(await database.fetch(VOLUMES, *_arrays([period])))[0]


def _arrays(periods: Sequence[VolumePeriod]) -> list[list[object]]:
    return [
        [period.mchid for period in periods],
        [period.month_begin for period in periods],
        [period.day_begin for period in periods],
        [period.day_end for period in periods],
    ]


def _read(rows: "Sequence[asyncpg.Record]") -> list[Volume]:
    return [Volume(row["day_minor"], row["month_minor"]) for row in rows]
