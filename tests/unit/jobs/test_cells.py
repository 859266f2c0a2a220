"""Jobs run in every cell, in those that are added later, and in no other than the chosen ones."""

import asyncio
from collections.abc import Callable, Sequence
from typing import Final

import pytest
from structlog.testing import capture_logs

from tael.db.cells import PerCell
from tael.db.database import StoreUnavailable
from tael.jobs import cells
from tael.jobs.cells import run_in_cells

PATIENCE_S: Final = 10.0


class Deployment:
    """Cells in memory. Its directory can be down."""

    def __init__(self, *numbers: int) -> None:
        self.numbers = list(numbers)
        self.is_down = False
        self.reads = 0
        self.begun: list[str] = []
        self.counted: list[int] = []
        self.changed = asyncio.Event()
        self.stop = asyncio.Event()

    async def _open(self, number: int) -> str:
        return f"cell {number}"

    async def _numbers(self) -> Sequence[int]:
        if self.is_down:
            raise StoreUnavailable("down")
        self.reads += 1
        self.changed.set()
        return list(self.numbers)

    async def _run(self, name: str, number_of_cells: Callable[[], int]) -> None:
        self.begun.append(name)
        self.changed.set()
        await self.stop.wait()
        self.counted.append(number_of_cells())

    def running(self, chosen: set[int] | None = None) -> "asyncio.Task[None]":
        opened = PerCell("cell 0", self._open, self._numbers)
        return asyncio.create_task(run_in_cells(opened, self._run, self.stop, chosen))

    async def looks(self, number: int) -> None:
        """Until the directory has been read so many more times."""
        wanted = self.reads + number
        async with asyncio.timeout(PATIENCE_S):
            while self.reads < wanted:
                self.changed.clear()
                await self.changed.wait()

    async def until(self, *begun: str) -> None:
        async with asyncio.timeout(PATIENCE_S):
            while sorted(self.begun) != sorted(begun):
                self.changed.clear()
                await self.changed.wait()


async def ended(deployment: Deployment, task: "asyncio.Task[None]") -> list[int]:
    """How many cells each run has counted at its end."""
    deployment.stop.set()
    await asyncio.wait_for(task, PATIENCE_S)
    return deployment.counted


async def test_each_cell_has_a_run_and_knows_how_many_there_are() -> None:
    deployment = Deployment(0, 1)
    task = deployment.running()
    await deployment.until("cell 0", "cell 1")
    assert await ended(deployment, task) == [2, 2]


async def test_only_chosen_cells_are_run() -> None:
    deployment = Deployment(0, 1, 2)
    task = deployment.running({1})
    with capture_logs() as logged:
        await deployment.until("cell 1")
    assert await ended(deployment, task) == [1]
    assert logged == []


async def test_a_chosen_cell_that_is_missing_is_logged_once_and_run_once_it_is_added(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(cells, "LOCATIONS_S", 0.001)
    deployment = Deployment(0)
    with capture_logs() as logged:
        task = deployment.running({0, 7, 5})
        await deployment.until("cell 0")
        await deployment.looks(3)
        deployment.numbers.append(7)
        await deployment.until("cell 0", "cell 7")
        await ended(deployment, task)
    assert [line["cells"] for line in logged if line["event"] == "jobs.cells_missing"] == [[5, 7], [5]]


async def test_a_cell_that_is_added_is_run_and_the_others_go_on(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cells, "LOCATIONS_S", 0.001)
    deployment = Deployment(0)
    task = deployment.running()
    await deployment.until("cell 0")
    deployment.numbers.append(1)
    await deployment.until("cell 0", "cell 1")
    assert await ended(deployment, task) == [2, 2]


async def test_a_directory_that_is_down_at_the_start_is_read_later(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cells, "UNREAD_S", 0.001)
    deployment = Deployment(0)
    deployment.is_down = True
    task = deployment.running()
    await asyncio.sleep(0)
    deployment.is_down = False
    await deployment.until("cell 0")
    assert await ended(deployment, task) == [1]
