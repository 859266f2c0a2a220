"""Runs something in every cell, also in those that are added while it runs."""

import asyncio
from collections.abc import Awaitable, Callable, Collection
from typing import Final, TypeVar

import structlog

from tael.db.cells import LOCATIONS_S, PerCell
from tael.db.database import StoreUnavailable
from tael.db.outages import log_unavailable

log = structlog.get_logger()

Opened = TypeVar("Opened")

#: How soon the directory is asked again if it could not be read at the start.
UNREAD_S: Final = 1.0


async def run_in_cells(
    cells: PerCell[Opened],
    run: Callable[[Opened, Callable[[], int]], Awaitable[None]],
    stop: asyncio.Event,
    chosen: Collection[int] | None = None,
) -> None:
    """Until `stop` is set and each `run` has returned. Without `chosen` numbers, all cells are.

    `run` also gets a function that returns how many there are now.
    """
    running: set[int] = set()
    missing: Collection[int] = ()

    def number_of_cells() -> int:
        return len(running)

    async with asyncio.TaskGroup() as group:
        while not stop.is_set():
            pause_s = LOCATIONS_S
            try:
                numbers = await cells.numbers()
                found = {
                    number: await cells.of(number) for number in numbers if chosen is None or number in chosen
                }
                missing = _noted(missing, set(chosen or ()) - set(numbers))
            except StoreUnavailable as error:
                log_unavailable(error, job="cells")
                found, pause_s = {}, UNREAD_S
            for number in found.keys() - running:
                group.create_task(_run(run(found[number], number_of_cells)))
            running |= found.keys()
            await _wait(stop, pause_s)


def _noted(before: Collection[int], missing: Collection[int]) -> Collection[int]:
    """Chosen numbers that no cell has, which are logged when they change: one of them may be added later."""
    if missing and missing != before:
        log.warning("jobs.cells_missing", cells=sorted(missing))
    return missing


async def _run(running: Awaitable[None]) -> None:
    await running


async def _wait(stop: asyncio.Event, seconds: float) -> None:
    try:
        await asyncio.wait_for(stop.wait(), seconds)
    except TimeoutError:
        return
