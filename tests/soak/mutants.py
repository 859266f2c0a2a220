"""Runs `tael` with a deliberate bug, to show that a soak finds it: `python -m tests.soak.mutants NAME serve ...`.

Each mutant removes one guarantee on which the books rest, or the separation of cells.
"""

import sys
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace
from types import ModuleType
from typing import Any, Final

from msgspec import structs

from tael.api import cells as in_cells
from tael.api.exchange import Endpoint
from tael.cli.child import main
from tael.db.cells import CellLocation, Cells, PerCell
from tael.db.database import Database
from tael.payments.domain.volume import NewPayment
from tael.payments.store import payments, refunds, reservations
from tael.payments.store.payments import Change, Payments, Written
from tael.payments.store.refunds import RefundChange, Refunds
from tael.webhooks.store.webhooks import NewWebhook, write_webhooks

Endpoints = PerCell[tuple[Endpoint[Any], ...]]
Handler = Callable[[in_cells.OfMerchant], Awaitable[Any]]


def without_reservation() -> None:
    """A refund is checked against the refunded amount but reserves nothing: two concurrent ones both pass."""
    _remove(reservations, "RESERVE", "reserved_minor = p.reserved_minor + w.amount_minor,")
    _remove(refunds, "RECORD", "reserved_minor = p.reserved_minor - s.decided,")


def without_version_check() -> None:
    """A decision on an old row overwrites a newer one."""
    _remove(payments, "RECORD", "AND p.version = w.version")


def with_webhooks_after_the_commit() -> None:
    """The state is committed first, and the webhook in another transaction."""
    write_payments, record_refunds = Payments._write, Refunds._record

    async def payments_then_webhooks(self: Payments, rows: Sequence[NewPayment | Change]) -> list[Written]:
        bare = [structs.replace(row, webhooks=()) if isinstance(row, Change) else row for row in rows]
        written = await write_payments(self, bare)
        await _write_webhooks(
            self,
            [
                row.webhooks
                for row, was in zip(rows, written, strict=True)
                if isinstance(row, Change) and was is True
            ],
        )
        return written

    async def refunds_then_webhooks(self: Refunds, changes: Sequence[RefundChange]) -> list[bool]:
        written = await record_refunds(self, [replace(change, webhooks=()) for change in changes])
        await _write_webhooks(
            self, [change.webhooks for change, was in zip(changes, written, strict=True) if was]
        )
        return written

    _patch(Payments, "_write", payments_then_webhooks)
    _patch(Refunds, "_record", refunds_then_webhooks)


def with_calls_through_all_cells() -> None:
    """A call uses every cell that is open, and not only the one of its merchant."""
    databases: list[Database] = []
    open_cell, handler_at = Cells._open, in_cells._handler_at

    async def open_and_keep(self: Cells, location: CellLocation) -> Database:
        databases.append(await open_cell(self, location))
        return databases[-1]

    def through_all(place: int, endpoints: Endpoints) -> Handler:
        handle = handler_at(place, endpoints)

        async def handle_after_all(request: in_cells.OfMerchant) -> Any:
            for database in databases:
                await database.fetch("SELECT 1")
            return await handle(request)

        return handle_after_all

    _patch(Cells, "_open", open_and_keep)
    _patch(in_cells, "_handler_at", through_all)


BUGS: Final[dict[str, Callable[[], None]]] = {
    "no-reservation": without_reservation,
    "no-version-check": without_version_check,
    "webhook-after-commit": with_webhooks_after_the_commit,
    "calls-through-all-cells": with_calls_through_all_cells,
}


async def _write_webhooks(table: Payments | Refunds, webhooks: Sequence[tuple[NewWebhook, ...]]) -> None:
    async with table._database.transaction() as connection:
        await write_webhooks(connection, [webhook for each in webhooks for webhook in each])


def _remove(module: ModuleType, statement: str, text: str) -> None:
    """Remove `text` from `statement` of `module`."""
    sql: str = getattr(module, statement)
    if text not in sql:
        raise ValueError(f"{statement} does not contain {text!r} any more: rewrite the mutant")
    _patch(module, statement, sql.replace(text, ""))


def _patch(owner: object, name: str, value: object) -> None:
    setattr(owner, name, value)


if __name__ == "__main__":
    BUGS[sys.argv.pop(1)]()
    sys.exit(main(sys.argv[1:]))
