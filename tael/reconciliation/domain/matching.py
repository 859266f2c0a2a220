"""Finds the record of ours that a wallet's line is about, and compares both. Pure.

A line is matched by the type of its movement and our number. One error is one difference: if money moved on one side
only, or the amounts differ, nothing that follows from it is compared.
"""

from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from decimal import Decimal
from typing import Final

from tael.base.moments import UTC8
from tael.base.money import Money
from tael.channels.statements import (
    MICROS,
    LineType,
    StatementFormat,
    StatementKind,
    StatementLine,
)
from tael.payments.domain.payment import State
from tael.payments.domain.reversal import ReversalState
from tael.reconciliation.domain.difference import DifferenceKind
from tael.reconciliation.domain.fees import expected_fee
from tael.reconciliation.domain.records import (
    Movement,
    OurRows,
    PaymentRow,
    Record,
    ReversalRow,
    UnmatchedRow,
    payment_record,
    received_record,
    refund_record,
    returned_record,
    reversal_record,
)
from tael.unmatched.domain.unmatched import UnmatchedState

#: The wallet's clock and ours may disagree by so much about the day of a movement.
MIDNIGHT_SLACK: Final = timedelta(minutes=5)


@dataclass(frozen=True, slots=True)
class Terms:
    """By which the lines of one statement are compared."""

    day: date  #: of the statement, UTC+8
    kind: StatementKind
    form: StatementFormat
    fee_rate_ppm: int | None  #: the wallet's; None: fees are not compared


@dataclass(frozen=True, slots=True)
class Copy:
    """Another line about the same movement, in a current statement of the same account and kind."""

    statement_id: str
    day: date
    number: int  #: of the line
    wallet_ref: str


@dataclass(frozen=True, slots=True)
class Match:
    """What a line is about. `type` is the movement's: Alipay lists a cancel as a refund with the order's number."""

    type: LineType
    record: Record | None
    is_second_trade: bool = False  #: the order has been paid with another trade


@dataclass(frozen=True, slots=True)
class Finding:
    """One difference that was found. `fee_micros` is the expected fee, if that is what differs."""

    kind: DifferenceKind
    type: LineType
    number: str
    wallet_ref: str
    line: StatementLine | None
    record: Record | None
    detail: str
    fee_micros: int | None = None


class Matcher:
    """Matches lines with the rows that they may be about."""

    def __init__(self, rows: OurRows) -> None:
        self._rows = rows
        self._by_refund = {row.syssn: row for row in rows.reversals if row.goes_by_refund}
        self._by_payment: dict[str, list[ReversalRow]] = defaultdict(list)
        self._received: dict[str, list[UnmatchedRow]] = defaultdict(list)
        self._returned = {row.syssn: row for row in rows.unmatched}
        for reversal in rows.reversals:
            self._by_payment[reversal.payment_syssn].append(reversal)
        for unmatched in rows.unmatched:
            if unmatched.state is not UnmatchedState.VOIDED:
                self._received[unmatched.subject_id].append(unmatched)

    def match(self, line: StatementLine) -> Match:
        match line.type:
            case LineType.PAYMENT:
                return self._payment(line)
            case LineType.REFUND:
                return self._refund(line)
            case LineType.REVERSAL:
                return self._reversal(line)

    def _payment(self, line: StatementLine) -> Match:
        payment = self._rows.payments.get(line.syssn)
        is_paid = payment is not None and payment.state is State.PAID
        if payment is not None and is_paid and is_same_trade(line.wallet_ref, payment.wallet_ref):
            return Match(LineType.PAYMENT, payment_record(payment))
        for unmatched in self._received[line.syssn]:
            if is_same_trade(line.wallet_ref, unmatched.wallet_ref):
                return Match(LineType.PAYMENT, received_record(unmatched))
        if payment is None:
            return Match(LineType.PAYMENT, None)
        if is_paid:
            return Match(LineType.PAYMENT, payment_record(payment), is_second_trade=True)
        return Match(LineType.PAYMENT, payment_record(payment, self._undone_by(payment)))

    def _refund(self, line: StatementLine) -> Match:
        number = line.syssn
        if number in self._rows.refunds:
            return Match(LineType.REFUND, refund_record(self._rows.refunds[number]))
        if number in self._by_refund:
            return Match(LineType.REFUND, reversal_record(self._by_refund[number]))
        if number in self._returned:
            return Match(LineType.REFUND, returned_record(self._returned[number]))
        if number in self._rows.payments and line.payment_syssn in ("", number):
            return self._reversal(line)
        return Match(LineType.REFUND, None)

    def _reversal(self, line: StatementLine) -> Match:
        """The reversal that returned money; otherwise one that may still do so, or the payment itself."""
        reversals = [row for row in self._by_payment[line.syssn] if not row.goes_by_refund]
        reversals.sort(key=lambda row: (row.has_returned_money, row.state is ReversalState.PENDING))
        payment = self._rows.payments.get(line.syssn)
        if reversals:
            return Match(LineType.REVERSAL, reversal_record(reversals[-1]))
        return Match(LineType.REVERSAL, _not_reversed(payment) if payment else None)

    def _undone_by(self, payment: PaymentRow) -> ReversalRow | None:
        """The reversal that returned what was paid between two of our requests, and is in no book of ours."""
        return next((row for row in self._by_payment[payment.syssn] if row.has_returned_money), None)


def _not_reversed(payment: PaymentRow) -> Record:
    record = payment_record(payment)
    return Record(
        kind=record.kind,
        type=LineType.REVERSAL,
        number=record.number,
        syssn=record.syssn,
        amount=record.amount,
        state=record.state,
        money=Movement.NONE,
        wallet_ref=record.wallet_ref,
        from_at=None,
        until_at=None,
    )


def compare(line: StatementLine, found: Match, copies: list[Copy], terms: Terms) -> Iterator[Finding]:
    """The differences between a line and its match. `copies` are the earlier lines about the same movement."""

    def differs(kind: DifferenceKind, detail: str, fee_micros: int | None = None) -> Finding:
        return Finding(kind, found.type, line.syssn, line.wallet_ref, line, record, detail, fee_micros)

    record = found.record
    first = next((copy for copy in copies if is_same_trade(copy.wallet_ref, line.wallet_ref)), None)
    if first is not None:
        where = f"line {first.number} of statement {first.statement_id} of {first.day}"
        yield differs(DifferenceKind.DUPLICATE, f"{where} is about the same movement")
    elif record is None:
        yield differs(DifferenceKind.MISSING_HERE, f"{line.amount} under a number that is not in our records")
    elif found.is_second_trade:
        yield differs(DifferenceKind.DUPLICATE, f"a second trade of the order, beside {record.wallet_ref}")
    elif not _is_state_equal(line, record, terms):
        yield differs(
            DifferenceKind.STATE, f"{line.state} at the wallet, {record.state} in our {record.kind}"
        )
    elif record.money is not Movement.NONE:
        if _is_amount_different(line, record.amount):
            yield differs(
                DifferenceKind.AMOUNT, f"{line.amount} at the wallet, {record.amount} in our records"
            )
        elif (fee := _wrong_fee(line, found.type, terms)) is not None:
            detail = f"a fee of {_major(line.fee_micros)} {line.amount.currency}, expected {_major(fee)}"
            yield differs(DifferenceKind.FEE, detail, fee)
        if terms.kind is StatementKind.TRANSACTIONS and not is_possible_day(record, terms.day):
            yield differs(DifferenceKind.WRONG_DAY, f"the line is of {terms.day}, {_when(record)}")


def is_same_trade(wallet_ref: str, other_ref: str) -> bool:
    """Some files do not have the wallet's number."""
    return not wallet_ref or not other_ref or wallet_ref == other_ref


def is_possible_day(record: Record, day: date) -> bool:
    """Whether the wallet may list the movement on `day`."""
    is_early = record.from_at is not None and day < day_of(record.from_at - MIDNIGHT_SLACK)
    is_late = record.until_at is not None and day > day_of(record.until_at + MIDNIGHT_SLACK)
    return not (is_early or is_late)


def day_of(at: datetime) -> date:
    """In UTC+8."""
    return at.astimezone(UTC8).date()


def _is_state_equal(line: StatementLine, record: Record, terms: Terms) -> bool:
    if line.state in terms.form.failed_states:
        return record.money is Movement.NONE
    if line.state in terms.form.pending_states:
        return record.money is not Movement.NONE
    return record.money is Movement.MOVED


def _is_amount_different(line: StatementLine, ours: Money) -> bool:
    """Whether both are in one currency and differ. Amounts in two currencies are not compared."""
    for theirs in (line.amount, line.settlement):
        if theirs is not None and theirs.currency == ours.currency:
            return theirs != ours
    return False


def _wrong_fee(line: StatementLine, kind: LineType, terms: Terms) -> int | None:
    """The expected fee, if the line has another one."""
    if terms.fee_rate_ppm is None:
        return None
    expected = expected_fee(kind, line.amount, terms.fee_rate_ppm, terms.form.fees)
    return None if expected.is_met_by(line.fee_micros) else expected.micros


def _major(micros: int) -> str:
    return f"{Decimal(micros).scaleb(-MICROS):f}"


def _when(record: Record) -> str:
    days = sorted({day_of(at) for at in (record.from_at, record.until_at) if at is not None})
    return "we have it on " + " to ".join(map(str, days))
