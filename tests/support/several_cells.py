"""Deployments with several cells."""

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager

from typer.testing import CliRunner

from tael.cli.app import app
from tael.db.cells import CellLocation, Cells
from tael.operations.cells import add_cell
from tael.stores import Stores, stores_over
from tests.support.ports import HOST, reserved_ports
from tests.support.store import CIPHER, NODE
from tests.support.values import ORIGIN


def in_cells(database_url: str, work: Callable[[Stores], Awaitable[object]]) -> None:
    """Run `work` on the stores of a gateway."""

    async def working() -> None:
        async with Cells(database_url) as cells:
            await work(stores_over(cells, CIPHER, NODE))

    asyncio.run(working())


def migrate(database_url: str, *options: str) -> None:
    _run(database_url, "migrate", *options)


def with_cell(database_url: str, number: int, *options: str) -> None:
    """Add a cell, as an operator does."""
    _run(database_url, "cell", "add", str(number), *options)


@contextmanager
def with_cell_down(database_url: str, number: int) -> Iterator[None]:
    """Within the block, the directory names a cell on a server that refuses connections."""
    with reserved_ports(1) as (port,):

        async def name(stores: Stores) -> None:
            await add_cell(stores.cells, CellLocation(number, f"{HOST}:{port}"), ORIGIN)

        in_cells(database_url, name)
        yield


def _run(database_url: str, *arguments: str) -> None:
    done = CliRunner().invoke(app, list(arguments), env={"TAEL_DATABASE_URL": database_url})
    assert done.exit_code == 0, done.output
