"""The daily close: each of a merchant's days gets its ledger digest an hour after its end."""

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
    """Close every open day of a merchant that is due, oldest first, and schedule the next one."""
    mchid = due.mchid
    now = clock.now()
    open_day = first_open_day(now)
    if not await digests.close(mchid, beginning_of(open_day)):
        log.warning("daily_close.delayed", mchid=mchid, reason="a transaction is still open")
        return
    next_day = due.next_day
    previous = NO_DIGEST if next_day is None else await digests.newest_digest(mchid)
    day = next_day or await _first_day(mchid, digests)
    while day is not None and day < open_day:
        ledger_digest = await _digest_of(mchid, day, previous, digests, clock)
        if not await digests.write(ledger_digest, next_day):
            return  # this lease has expired and another worker continues
        log.info(
            "daily_close.written",
            mchid=mchid,
            day=day.isoformat(),
            digest=ledger_digest.digest,
            entries=ledger_digest.entries,
        )
        previous = ledger_digest.digest
        next_day = day = day + timedelta(days=1)
    await digests.reschedule(mchid, next_close(now))


async def _first_day(mchid: str, digests: LedgerDigests) -> date | None:
    """The day of the first entry; before it there is nothing to close."""
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
