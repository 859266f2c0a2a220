"""In which cells a command works: in that of a merchant, in that of a number, or in all.

A cell that cannot be reached is named on standard error. The command goes on with the others, and its exit status is 1.
Several cells are tried at the same time before the work begins, so that hosts that never answer cost `MAX_RESPONSE_S`.
"""

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Any, Final, Generic, TypeVar

import typer

from tael.base.serial import cell_of
from tael.cli.finding import why_down
from tael.cli.showing import IMPOSSIBLE, refused
from tael.db.cells import FIRST, NoSuchCell, number_in
from tael.db.database import StoreUnavailable, budget
from tael.operations.store import Store
from tael.stores import Stores

Answer = TypeVar("Answer")
#: A command's time, or the origin of its change.
Given = TypeVar("Given")
Row = TypeVar("Row")
InStore = Callable[[Store, Given], Awaitable[Answer]]
InStores = Callable[[Stores, Given], Awaitable[Answer]]

#: A cell that does not respond for so long is down.
MAX_RESPONSE_S: Final = 5.0


@dataclass(frozen=True, slots=True)
class Answers(Generic[Answer]):
    """What each cell has returned, by its number, and why the others cannot be reached."""

    by_cell: Mapping[int, Answer]
    down: Mapping[int, str]

    def __iter__(self) -> Iterator[Answer]:
        return iter(self.by_cell.values())

    def finish(self) -> None:
        """Exit with status 1 if a cell is missing. The last thing that a command does."""
        if self.down:
            raise _incomplete(self.down)


def newest_first(
    lists: Iterable[Sequence[Row]], key: Callable[[Row], Any], limit: int | None = None
) -> list[Row]:
    """The rows of all lists by `key`, the largest first. Equal ones keep their order."""
    return sorted(chain.from_iterable(lists), key=key, reverse=True)[:limit]


def in_every_cell(work: InStore[Given, Answer]) -> InStores[Given, Answers[Answer]]:
    """Work that is done in one cell after another."""

    async def in_stores(stores: Stores, given: Given) -> Answers[Answer]:
        return await _in(stores, await stores.of_cell.numbers(), work, given)

    return in_stores


def in_cells_of_merchant(mchid: str | None, work: InStore[Given, Answer]) -> InStores[Given, Answers[Answer]]:
    """Work in the cell of a merchant, or in every cell if there is no merchant."""

    async def in_stores(stores: Stores, given: Given) -> Answers[Answer]:
        merchant = await stores.first.merchants.merchant(mchid) if mchid else None
        numbers = await stores.of_cell.numbers() if merchant is None else [merchant.cell]
        return await _in(stores, numbers, work, given)

    return in_stores


def in_cells_of_account(
    account_id: str | None, work: InStore[Given, Answer]
) -> InStores[Given, Answers[Answer]]:
    """Work in the cell of an account, or in every cell if there is no account."""

    async def in_stores(stores: Stores, given: Given) -> Answers[Answer]:
        mchid = await stores.first.accounts.mchid_of(account_id) if account_id else None
        return await in_cells_of_merchant(mchid, work)(stores, given)

    return in_stores


def in_cell(number: int, work: InStore[Given, Answer]) -> InStores[Given, Answer]:
    """Work in one cell."""

    async def in_stores(stores: Stores, given: Given) -> Answer:
        answers = await _in(stores, [number], work, given)
        answers.finish()
        return answers.by_cell[number]

    return in_stores


def in_cell_of_merchant(mchid: str, work: InStore[Given, Answer]) -> InStores[Given, Answer]:
    """Work in the cell of a merchant; of an unknown merchant, in the first."""

    async def in_stores(stores: Stores, given: Given) -> Answer:
        merchant = await stores.first.merchants.merchant(mchid)
        return await in_cell(merchant.cell if merchant else FIRST, work)(stores, given)

    return in_stores


def in_cell_of_account(account_id: str, work: InStore[Given, Answer]) -> InStores[Given, Answer]:
    """Work in the cell of an account, which must exist."""

    async def in_stores(stores: Stores, given: Given) -> Answer:
        mchid = await stores.first.accounts.mchid_of(account_id)
        if mchid is None:
            raise refused(f"no account {account_id}")
        return await in_cell_of_merchant(mchid, work)(stores, given)

    return in_stores


def in_cell_of_number(number: str, work: InStore[Given, Answer | None]) -> InStores[Given, Answer | None]:
    """Work in the cell that a syssn names. Of any other number, in one cell after another until one returns something.

    If none does although a cell could not be asked, the command ends.
    """

    async def in_stores(stores: Stores, given: Given) -> Answer | None:
        numbers, named = await stores.of_cell.numbers(), cell_of(number)
        down: dict[int, str] = {}
        for each in [each for each in numbers if each == named] or numbers:
            answers = await _in(stores, [each], work, given)
            if (found := answers.by_cell.get(each)) is not None:
                return found
            down |= answers.down
        if down:
            raise _incomplete(down)
        return None

    return in_stores


async def _in(
    stores: Stores, numbers: Sequence[int], work: InStore[Given, Answer], given: Given
) -> Answers[Answer]:
    """Raises StoreUnavailable if the deployment has one cell only."""
    by_cell: dict[int, Answer] = {}
    down = await _down_among(stores, numbers) if len(numbers) > 1 else {}
    for number in numbers:
        if number in down:
            continue
        try:
            by_cell[number] = await work(await stores.of_cell.of(number), given)
        except NoSuchCell as error:
            raise refused(f"no cell {number}") from error
        except StoreUnavailable as error:
            if len(await stores.of_cell.numbers()) == 1:
                raise
            down[number] = why_down(number, error)
    return Answers(by_cell, down)


async def _down_among(stores: Stores, numbers: Sequence[int]) -> dict[int, str]:
    """Why cells do not respond, by their numbers."""
    errors = await asyncio.gather(*(unavailability(stores, number) for number in numbers))
    return {number: why_down(number, error) for number, error in zip(numbers, errors, strict=True) if error}


async def unavailability(stores: Stores, number: int) -> StoreUnavailable | None:
    """The error with which a cell does not respond; None if it does."""
    try:
        with budget(MAX_RESPONSE_S):
            await number_in(await stores.cells.of(number))
    except StoreUnavailable as error:
        return error
    return None


def _incomplete(down: Mapping[int, str]) -> typer.Exit:
    for reason in down.values():
        refused(reason)
    return typer.Exit(IMPOSSIBLE)
