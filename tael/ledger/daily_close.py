"""Sealing a merchant's days: each day that has been over for an hour gets its link of the chain. Called by jobs."""

from datetime import date, timedelta

import structlog

from tael.base.clock import Clock
from tael.ledger.domain.digest import (
    NO_DIGEST,
    DigestBuilder,
    LedgerDigest,
    beginning_of,
    day_of,
    first_open_day,
    next_close,
)
from tael.ledger.store.digests import DueClose, LedgerDigests

log = structlog.get_logger()


async def close_days(due: DueClose, digests: LedgerDigests, clock: Clock) -> None:
    """Close every day of a merchant that may be sealed now, oldest first, and say when the next one may."""
    mchid = due.mchid
    now = clock.now()
    open_day = first_open_day(now)
    if not await digests.close(mchid, beginning_of(open_day)):
        log.warning("daily_close.delayed", mchid=mchid, reason="a transaction does not end")
        return
    next_day = due.next_day
    previous = NO_DIGEST if next_day is None else await digests.newest_digest(mchid)
    day = next_day or await _first_day(mchid, digests)
    while day is not None and day < open_day:
        ledger_digest = await _digest_of(mchid, day, previous, digests, clock)
        if not await digests.write(ledger_digest, next_day):
            return  # another worker has outlived this lease and goes on
        log.info(
            "daily_close.written",
            mchid=mchid,
            day=day.isoformat(),
            digest=ledger_digest.digest,
            entries=ledger_digest.entries,
        )
        previous = ledger_digest.digest
        next_day = day = day + timedelta(days=1)
    await digests.rest(mchid, next_close(now))


async def _first_day(mchid: str, digests: LedgerDigests) -> date | None:
    """The day of the first entry; before it there is nothing to seal."""
    at = await digests.first_at(mchid)
    return None if at is None else day_of(at)


async def _digest_of(
    mchid: str, day: date, previous: str, digests: LedgerDigests, clock: Clock
) -> LedgerDigest:
    digest = DigestBuilder(mchid, day, previous)
    since, until = beginning_of(day), beginning_of(day + timedelta(days=1))
    async for line in digests.lines(mchid, since, until):
        digest.add(line)
    return LedgerDigest(mchid, day, digest.hexdigest(), previous, digest.entries, clock.now())
