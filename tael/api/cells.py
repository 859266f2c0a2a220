"""Leads a merchant's call to the cell of its merchant."""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace
from typing import Any, Protocol

from tael.api.exchange import Endpoint
from tael.db.cells import PerCell


class OfMerchant(Protocol):
    """A request whose merchant is in a cell."""

    @property
    def cell(self) -> int: ...


def in_cells(endpoints: PerCell[tuple[Endpoint[Any], ...]]) -> Sequence[Endpoint[Any]]:
    """One endpoint for those of all cells at the same place, which must have the same path and steps."""
    return [
        replace(endpoint, handler=_handler_at(place, endpoints))
        for place, endpoint in enumerate(endpoints.first)
    ]


def _handler_at(
    place: int, endpoints: PerCell[tuple[Endpoint[Any], ...]]
) -> Callable[[OfMerchant], Awaitable[Any]]:
    async def handle(request: OfMerchant) -> Any:
        in_cell = await endpoints.of(request.cell)
        return await in_cell[place].handler(request)

    return handle
