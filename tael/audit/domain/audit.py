"""Audit of one order: the rows that the books must hold, and every row that differs. Pure.

Rows are plain column values, not the gateway's types: a damaged row must be reported, not abort the audit. The
expected rows are recomputed from payments, refunds, reversals and unmatched payments.
"""

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Final

from tael.ledger.domain.digest import Line, beginning_of, day_of
from tael.payments.domain.entries import fee_minor


@dataclass(frozen=True, slots=True)
class PaymentRow:
    mchid: str
    syssn: str
    state: str
    amount_minor: int
    currency: str
    account_id: str
    fee_rate_ppm: int
    refunded_minor: int
    reserved_minor: int
    refund_count: int
    reversal_syssn: str
    is_reversed: bool
    is_watched: bool  #: a job will query the wallet about it
    changed_at: datetime


@dataclass(frozen=True, slots=True)
class RefundRow:
    syssn: str
    payment_syssn: str
    state: str
    amount_minor: int
    currency: str
    refunded_before_minor: int | None
    changed_at: datetime


@dataclass(frozen=True, slots=True)
class ReversalRow:
    syssn: str
    payment_syssn: str
    state: str
    amount_minor: int
    changed_at: datetime


@dataclass(frozen=True, slots=True)
class UnmatchedRow:
    """An unmatched payment: booked under `syssn`, or only suspected while that is empty."""

    mchid: str
    syssn: str
    subject_id: str
    state: str
    amount_minor: int
    currency: str
    account_id: str
    changed_at: datetime


@dataclass(frozen=True, slots=True)
class OrderRows:
    """A payment with everything that belongs to it. The cause of each of `lines` is one of its numbers."""

    payment: PaymentRow
    refunds: Sequence[RefundRow]
    reversals: Sequence[ReversalRow]
    lines: Sequence[Line]


@dataclass(frozen=True, slots=True)
class Disagreement:
    """A row that differs from what is expected. `table` is one of ours, or `wallet's book`."""

    table: str
    mchid: str
    syssn: str
    what: str
    expected: str
    found: str


NOTHING: Final = "nothing"


@dataclass(frozen=True, slots=True)
class Missing:
    """A missing row that another row refers to."""

    table: str
    mchid: str
    syssn: str
    named_by: str


@dataclass(slots=True)
class Balances:
    """Balances by kind of account and currency, in minor units; debits are positive."""

    minor: Counter[tuple[str, str]] = field(default_factory=Counter)

    def add(self, line: Line) -> None:
        for account, sign in ((line.debit, 1), (line.credit, -1)):
            self.minor[account.partition(":")[0], line.currency] += sign * line.amount_minor


def missing_row(missing: Missing) -> Disagreement:
    return Disagreement(
        missing.table,
        missing.mchid,
        missing.syssn,
        "a row is missing",
        f"a row, since {missing.named_by} refers to it",
        NOTHING,
    )


def disagreements_of_order(order: OrderRows) -> Iterator[Disagreement]:
    """All disagreements of an order. Entries come first, because they name the refund with the wrong amount."""
    yield from wrong_lines(expected_lines(order), order.lines)
    yield from _wrong_sums(order)
    yield from _wrong_refund_chain(order)


def expected_lines(order: OrderRows) -> list[Line]:
    """The entries that the payment, its refunds and reversals require, each dated with its decision."""
    payment = order.payment
    if payment.state != "PAID":
        return []
    wallet, merchant, fee = _accounts(payment)
    price, rate = payment.amount_minor, payment.fee_rate_ppm

    def line(cause: str, kind: str, debit: str, credit: str, amount_minor: int, at: datetime) -> Line:
        return Line(payment.mchid, cause, kind, debit, credit, amount_minor, payment.currency, at)

    def returned(cause: str, kind: str, before_minor: int, amount_minor: int, at: datetime) -> list[Line]:
        kept_minor = price - before_minor
        fee_back_minor = fee_minor(kept_minor, rate) - fee_minor(kept_minor - amount_minor, rate)
        return [
            line(cause, kind, merchant, wallet, amount_minor, at),
            line(cause, "fee_back", fee, merchant, fee_back_minor, at),
        ]

    lines = [
        line(payment.syssn, "payment", wallet, merchant, price, payment.changed_at),
        line(payment.syssn, "fee", merchant, fee, fee_minor(price, rate), payment.changed_at),
    ]
    for refund in order.refunds:
        if refund.state == "DONE":
            before_minor = refund.refunded_before_minor or 0
            lines += returned(refund.syssn, "refund", before_minor, refund.amount_minor, refund.changed_at)
    for reversal in order.reversals:
        if _undid(reversal, payment):
            lines += returned(reversal.syssn, "reversal", 0, price, reversal.changed_at)
    return [line for line in lines if line.amount_minor]


def expected_of_unmatched(unmatched: UnmatchedRow) -> list[Line]:
    """Booked when confirmed, reversed when returned or voided. Instants are not compared."""
    wallet = f"wallet:{unmatched.currency}:{unmatched.account_id}"
    owner = f"unmatched:{unmatched.currency}:{unmatched.account_id}"
    movements = [("unmatched_received", wallet, owner)]
    if unmatched.state in ("RETURNED", "VOIDED"):
        movements.append(("unmatched_returned", owner, wallet))
    return [
        Line(
            unmatched.mchid,
            unmatched.syssn,
            kind,
            debit,
            credit,
            unmatched.amount_minor,
            unmatched.currency,
            ANY_TIME,
        )
        for kind, debit, credit in movements
    ]


ANY_TIME: Final = datetime.min


def wrong_lines(expected: Sequence[Line], found: Sequence[Line]) -> Iterator[Disagreement]:
    """Lines that are missing, different or superfluous."""
    remaining = {(line.cause, line.kind): line for line in found}
    for wanted in expected:
        line = remaining.pop((wanted.cause, wanted.kind), None)
        if line is None or not _matches(line, wanted):
            yield wrong_line(wanted.mchid, wanted.cause, wanted, line)
    for line in remaining.values():
        yield wrong_line(line.mchid, line.cause, None, line)


def wrong_line(mchid: str, cause: str, wanted: Line | None, line: Line | None) -> Disagreement:
    what = (
        "an entry is missing" if line is None else "an entry too many" if wanted is None else "a wrong entry"
    )
    return Disagreement("ledger_entry", mchid, cause, what, _line_text(wanted), _line_text(line))


def _wrong_sums(order: OrderRows) -> Iterator[Disagreement]:
    """Sums in the payment's row that differ from those of its refunds and reversals."""
    payment = order.payment
    is_paid = payment.state == "PAID"
    undone = [reversal for reversal in order.reversals if _undid(reversal, payment)]
    done_minor = sum(refund.amount_minor for refund in order.refunds if refund.state == "DONE")
    open_minor = sum(refund.amount_minor for refund in order.refunds if refund.state == "PROCESSING")
    open_minor += sum(reversal.amount_minor for reversal in order.reversals if reversal.state == "PENDING")
    is_reversal_missing = payment.reversal_syssn not in (
        "",
        *(reversal.syssn for reversal in order.reversals),
    )
    if is_reversal_missing:
        yield missing_row(
            Missing("reversal", payment.mchid, payment.reversal_syssn, f"payment {payment.syssn}")
        )
    sums = (
        ("refunded_minor", done_minor + payment.amount_minor * len(undone), payment.refunded_minor),
        ("reserved_minor", open_minor, payment.reserved_minor),
        (
            "refund_count",
            sum(refund.state != "FAILED" for refund in order.refunds),
            payment.refund_count,
        ),
    )
    for column, expected, found in sums:
        if expected != found:
            yield _of_payment(payment, column, str(expected), str(found))
    if payment.is_reversed and is_paid and not is_reversal_missing and len(undone) != 1:
        yield _of_payment(payment, "is_reversed", "one reversal in state DONE", str(len(undone)))
    for refund in order.refunds:
        if refund.currency != payment.currency:
            yield Disagreement(
                "refund", payment.mchid, refund.syssn, "currency", payment.currency, refund.currency
            )


def _wrong_refund_chain(order: OrderRows) -> Iterator[Disagreement]:
    """Each completed refund starts from the sum of those before it, without a gap."""
    total_minor = 0
    done = [refund for refund in order.refunds if refund.state == "DONE"]
    for refund in sorted(done, key=lambda refund: (refund.refunded_before_minor or 0, refund.syssn)):
        if refund.refunded_before_minor != total_minor:
            found = str(refund.refunded_before_minor)
            yield Disagreement(
                "refund", order.payment.mchid, refund.syssn, "refunded_before_minor", str(total_minor), found
            )
        total_minor += refund.amount_minor


def _undid(reversal: ReversalRow, payment: PaymentRow) -> bool:
    """Whether this reversal returned the money of a paid payment."""
    return (
        reversal.state == "DONE"
        and payment.state == "PAID"
        and payment.is_reversed
        and payment.reversal_syssn == reversal.syssn
    )


def _matches(line: Line, wanted: Line) -> bool:
    """Whether all columns agree. The instant may be the beginning of a later day: see `ledger/store/entries.py`."""
    is_moved = line.at > wanted.at.replace(tzinfo=line.at.tzinfo) and _begins_a_day(line.at)
    on_time = wanted.at == ANY_TIME or line.at == wanted.at or is_moved
    texts = (line.mchid, line.debit, line.credit, line.amount_minor, line.currency)
    return on_time and texts == (
        wanted.mchid,
        wanted.debit,
        wanted.credit,
        wanted.amount_minor,
        wanted.currency,
    )


def _begins_a_day(at: datetime) -> bool:
    try:
        return at == beginning_of(day_of(at))
    except OverflowError:  # a damaged instant near datetime.max
        return False


def _accounts(payment: PaymentRow) -> tuple[str, str, str]:
    return (
        f"wallet:{payment.currency}:{payment.account_id}",
        f"merchant:{payment.currency}:{payment.mchid}",
        f"fee:{payment.currency}:{payment.account_id}",
    )


def _kind_and_currency(account: str) -> tuple[str, str]:
    kind, _, rest = account.partition(":")
    return kind, rest.partition(":")[0]


def _of_payment(payment: PaymentRow, what: str, expected: str, found: str) -> Disagreement:
    return Disagreement("payment", payment.mchid, payment.syssn, what, expected, found)


def _line_text(line: Line | None) -> str:
    if line is None:
        return NOTHING
    at = "" if line.at == ANY_TIME else f" at {line.at.isoformat()}"
    return f"{line.kind} {line.amount_minor} {line.currency} from {line.credit} to {line.debit}{at}"
