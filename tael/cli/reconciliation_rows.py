"""Runs and differences as the members of JSON objects, and as the cells of tables."""

from collections.abc import Iterable
from dataclasses import asdict
from decimal import Decimal
from typing import Any, Final

from tael.base.money import Money
from tael.channels.statements import MICROS
from tael.reconciliation.domain.difference import Difference, LineEvidence, RecordEvidence, next_step
from tael.reconciliation.domain.reconciliation import Reconciliation, SideTotal

#: The rows of the table with both sides: a heading, and the member of each side.
SIDES: Final = (
    ("where", "where", "where"),
    ("number", "syssn", "syssn"),
    ("payment", "payment_syssn", ""),
    ("trade", "wallet_ref", "wallet_ref"),
    ("refund at the wallet", "wallet_refund_ref", ""),
    ("amount", "amount", "amount"),
    ("settlement", "settlement", ""),
    ("fee", "fee", "fee"),
    ("state", "state", "state"),
    ("time", "at", "from_at"),
    ("until", "", "until_at"),
)


def run_row(run: Reconciliation) -> dict[str, Any]:
    return asdict(run)


def shown_run(run: Reconciliation) -> dict[str, Any]:
    """For the table: totals and counts as text."""
    return run_row(run) | {
        "theirs": _totals(run.theirs),
        "ours": _totals(run.ours),
        "differences": ", ".join(f"{count} {kind}" for kind, count in sorted(run.differences.items())),
    }


def difference_row(difference: Difference) -> dict[str, Any]:
    return asdict(difference) | {"next_step": next_step(difference)}


def side_by_side(difference: Difference) -> list[dict[str, Any]]:
    """A row for each member that one of the sides has."""
    theirs, ours = _line(difference.theirs), _record(difference.ours)
    rows = [
        {"member": heading, "theirs": theirs.get(their, ""), "ours": ours.get(our, "")}
        for heading, their, our in SIDES
    ]
    return [row for row in rows if row["theirs"] or row["ours"]]


def _line(line: LineEvidence | None) -> dict[str, Any]:
    if line is None:
        return {}
    settled = line.settlement_minor, line.settlement_currency
    return asdict(line) | {
        "where": f"line {line.line} of statement {line.statement_id}: {line.type}",
        "amount": str(Money(line.amount_minor, line.currency)),
        "fee": _major(line.fee_micros),
        "settlement": str(Money(settled[0], settled[1])) if settled[0] is not None and settled[1] else "",
    }


def _record(record: RecordEvidence | None) -> dict[str, Any]:
    if record is None:
        return {}
    return asdict(record) | {
        "where": record.table,
        "amount": str(Money(record.amount_minor, record.currency)),
        "fee": "" if record.fee_micros is None else f"{_major(record.fee_micros)} expected",
    }


def _major(micros: int) -> str:
    return f"{Decimal(micros).scaleb(-MICROS):f}"


def _totals(totals: Iterable[SideTotal]) -> str:
    return "; ".join(
        f"{each.payments} paid {Money(each.paid_minor, each.currency)}, "
        f"{each.refunds} returned {Money(each.refunded_minor, each.currency)}"
        for each in totals
    )
