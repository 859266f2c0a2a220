"""Bugs on purpose, so that a soak can show that it would find them: `python -m tests.soak.mutants NAME serve ...`.

Each takes away one thing that the books rest on, and then runs the command `tael` as it is. Nothing else uses it.
"""

import sys
from collections.abc import Callable, Sequence
from dataclasses import replace
from types import ModuleType
from typing import Final

from tael.cli.app import main as tael
from tael.payments.store import payments, refunds, reservations
from tael.payments.store.payments import Change, Payments
from tael.payments.store.refunds import RefundChange, Refunds
from tael.webhooks.store.webhooks import NewWebhook, write_webhooks


def without_reservation() -> None:
    """A refund is checked against what has gone back, and promises nothing: two at once are both let through."""
    _take_out(reservations, "RESERVE", "reserved_minor = p.reserved_minor + w.amount_minor,")
    _take_out(refunds, "RECORD", "reserved_minor = p.reserved_minor - s.decided,")


def without_version_check() -> None:
    """What was decided on an old row is written over a newer one."""
    _take_out(payments, "RECORD", "AND p.version = w.version")


def with_webhooks_after_the_commit() -> None:
    """The news is committed first, and then, in another transaction, that the merchant has to be told."""
    record_payments, record_refunds = Payments._record, Refunds._record

    async def payments_then_webhooks(self: Payments, changes: Sequence[Change]) -> list[bool]:
        written = await record_payments(self, [replace(change, webhooks=()) for change in changes])
        await _tell(self, [change.webhooks for change, was in zip(changes, written, strict=True) if was])
        return written

    async def refunds_then_webhooks(self: Refunds, changes: Sequence[RefundChange]) -> list[bool]:
        written = await record_refunds(self, [replace(change, webhooks=()) for change in changes])
        await _tell(self, [change.webhooks for change, was in zip(changes, written, strict=True) if was])
        return written

    _plant(Payments, "_record", payments_then_webhooks)
    _plant(Refunds, "_record", refunds_then_webhooks)


BUGS: Final[dict[str, Callable[[], None]]] = {
    "no-reservation": without_reservation,
    "no-version-check": without_version_check,
    "webhook-after-commit": with_webhooks_after_the_commit,
}


async def _tell(table: Payments | Refunds, webhooks: Sequence[tuple[NewWebhook, ...]]) -> None:
    async with table._database.transaction() as connection:
        await write_webhooks(connection, [webhook for each in webhooks for webhook in each])


def _take_out(module: ModuleType, statement: str, words: str) -> None:
    """`statement` of `module` without these words."""
    sql: str = getattr(module, statement)
    if words not in sql:
        raise ValueError(f"{statement} does not say {words!r} any more: plant the bug anew")
    _plant(module, statement, sql.replace(words, ""))


def _plant(owner: object, name: str, value: object) -> None:
    setattr(owner, name, value)


if __name__ == "__main__":
    BUGS[sys.argv.pop(1)]()
    tael()
