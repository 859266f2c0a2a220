"""The loop of every job: claim due rows, do them side by side, rest when there are none, never die of an error.

Whether a row is due is told by the gateway's clock, leases by real time: a process that dies gives its rows back when
their lease ends, whatever the demo's clock does.
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Final, Generic, TypeVar

import structlog

from tael.clock import Clock
from tael.store.database import StoreUnavailable

log = structlog.get_logger()

Row = TypeVar("Row")

#: Longer than any question to a wallet and any delivery.
LEASE: Final = timedelta(seconds=60)
IDLE_S: Final = 0.1
STORE_GONE_S: Final = 1.0
MOST_AT_ONCE: Final = 50


@dataclass(frozen=True, slots=True)
class Job(Generic[Row]):
    """One kind of due row: `claim(now, real_now, lease_until, most)` takes some, `do` works on one."""

    name: str
    claim: Callable[[datetime, datetime, datetime, int], Awaitable[Sequence[Row]]]
    do: Callable[[Row], Awaitable[object]]


async def run_for_ever(jobs: Sequence[Job[object]], clock: Clock, stop: asyncio.Event) -> None:
    """Run all jobs until `stop` is set; what has begun is finished."""
    async with asyncio.TaskGroup() as group:
        for job in jobs:
            group.create_task(_run(job, clock, stop))


async def run_once(job: Job[Row], clock: Clock) -> int:
    """Claim and do what is due now; how many rows it was. Raises StoreUnavailable."""
    real_now = datetime.now(UTC)
    rows = await job.claim(clock.now(), real_now, real_now + LEASE, MOST_AT_ONCE)
    await asyncio.gather(*(_do(job, row) for row in rows))
    return len(rows)


async def _run(job: Job[Row], clock: Clock, stop: asyncio.Event) -> None:
    while not stop.is_set():
        rest_s = 0.0
        try:
            if not await run_once(job, clock):
                rest_s = IDLE_S
        except StoreUnavailable:
            log.warning("store.unavailable", job=job.name)
            rest_s = STORE_GONE_S
        except Exception:
            log.exception("job.failed", job=job.name)
            rest_s = STORE_GONE_S
        if rest_s:
            await _rest(stop, rest_s)


async def _do(job: Job[Row], row: Row) -> None:
    """One row; whatever goes wrong, its lease ends and it is tried again."""
    try:
        await job.do(row)
    except StoreUnavailable:
        log.warning("store.unavailable", job=job.name)
    except Exception:
        log.exception("job.row_failed", job=job.name)


async def _rest(stop: asyncio.Event, seconds: float) -> None:
    try:
        await asyncio.wait_for(stop.wait(), seconds)
    except TimeoutError:
        return
