"""Sealing a merchant's days: each day that has been over for an hour gets its link of the chain. Called by jobs."""

from datetime import date, timedelta

import structlog

from tael.domain.day_seal import (
    NO_SEAL,
    DayDigest,
    DaySeal,
    beginning_of,
    day_of,
    first_open_day,
    next_sealing,
)
from tael.service.gateway import Gateway
from tael.store.day_seals import Sealing

log = structlog.get_logger()


async def seal_days(sealing: Sealing, gateway: Gateway) -> None:
    """Seal every day of a merchant that may be sealed now, oldest first, and say when the next one may."""
    seals, mchid = gateway.store.day_seals, sealing.mchid
    now = gateway.clock.now()
    open_day = first_open_day(now)
    if not await seals.close(mchid, beginning_of(open_day)):
        log.warning("seal.waits", mchid=mchid, reason="a transaction does not end")
        return
    next_day = sealing.next_day
    previous = NO_SEAL if next_day is None else await seals.newest_digest(mchid)
    day = next_day or await _first_day(mchid, gateway)
    while day is not None and day < open_day:
        seal = await _seal_of(mchid, day, previous, gateway)
        if not await seals.write(seal, next_day):
            return  # another worker has outlived this lease and goes on
        log.info("seal.written", mchid=mchid, day=day.isoformat(), digest=seal.digest, entries=seal.entries)
        previous = seal.digest
        next_day = day = day + timedelta(days=1)
    await seals.rest(mchid, next_sealing(now))


async def _first_day(mchid: str, gateway: Gateway) -> date | None:
    """The day of the first entry; before it there is nothing to seal."""
    at = await gateway.store.day_seals.first_at(mchid)
    return None if at is None else day_of(at)


async def _seal_of(mchid: str, day: date, previous: str, gateway: Gateway) -> DaySeal:
    digest = DayDigest(mchid, day, previous)
    since, until = beginning_of(day), beginning_of(day + timedelta(days=1))
    async for line in gateway.store.day_seals.lines(mchid, since, until):
        digest.add(line)
    return DaySeal(mchid, day, digest.hexdigest(), previous, digest.entries, gateway.clock.now())
