"""Opens a payment and waits until it is decided: paid, refused, undone, or still pending at the deadline.

The row is queried every 5 s. If the opening request got no response and there is no row, the same request is sent
again, never with another reference. Only a row or a response with 0000 decides; otherwise the payment stays Pending.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, Literal, TypeAlias

from tael_client.answers import Close, Payment, Reversal, Row, RowKind
from tael_client.calls import MAX_ROWS, payment_filters
from tael_client.codes import OUT_OF_SERVICE, Meaning
from tael_client.core import Core
from tael_client.errors import OutcomePending, OutcomeUnknown, Refused, TaelClientError, Unreachable, Verdict
from tael_client.exchange import Call, exchange
from tael_client.money import Money
from tael_client.orders import Filters, PaymentOrder
from tael_client.paytypes import BARCODES
from tael_client.steps import Script, clock_s, rested

#: Seconds between two queries, as recommended in the API's documents.
QUERY_REST_S: Final = 5.0
#: How long a close or reversal in progress is repeated. WeChat refuses a reversal in a payment's first 15 s.
UNDO_LIMIT_S: Final = 60.0
#: How long to wait for a payer by default. A cashier gives up after two minutes.
DEADLINE_S: Final = 120.0

#: The action for a payment undecided at the deadline: leave it, reverse it (barcode), or close it (online).
OnDeadline: TypeAlias = Literal["leave", "reverse", "close"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Paid:
    """The payment is paid."""

    reference: str
    syssn: str
    amount: Money
    payer_ref: str  #: the payer's id at the wallet; "" if a query's row decided


@dataclass(frozen=True, slots=True, kw_only=True)
class Pending:
    """Not decided; it may still be paid. Keep querying, or undo it; never treat it as failed."""

    reference: str
    syssn: str  #: "" if the server has not returned one
    reason: str  #: the last result


@dataclass(frozen=True, slots=True, kw_only=True)
class Undone:
    """Closed, reversed or refunded. `by` is the result of our own close or reversal; None if it was not ours."""

    reference: str
    syssn: str
    by: Close | Reversal | None


Waited: TypeAlias = Paid | Pending | Undone
OnOpened: TypeAlias = Callable[[Payment], object]


@dataclass(slots=True)
class Watch:
    """The current knowledge about the payment."""

    reference: str
    pay_type: str
    amount: Money
    syssn: str = ""
    is_lost: bool = False  #: the request was sent, and it is unknown whether the server received it
    opened: Payment | None = None
    refused: Refused | None = None  #: the response to a repeat; it does not apply to the sending before
    reason: str = ""

    @property
    def is_barcode(self) -> bool:
        return self.pay_type in BARCODES

    def pending(self) -> Pending:
        return Pending(reference=self.reference, syssn=self.syssn, reason=self.reason)

    def paid(self, payer_ref: str = "") -> Paid:
        return Paid(reference=self.reference, syssn=self.syssn, amount=self.amount, payer_ref=payer_ref)

    def undone(self, by: Close | Reversal | None) -> Undone:
        return Undone(reference=self.reference, syssn=self.syssn, by=by)


def check_deadline(deadline_s: float, on_deadline: OnDeadline, is_barcode: bool) -> None:
    """Raises ValueError."""
    if not (math.isfinite(deadline_s) and deadline_s >= 0):
        raise ValueError("deadline_s must be a number of seconds")
    if on_deadline not in ("leave", "close" if not is_barcode else "reverse"):
        raise ValueError(
            f"on_deadline={on_deadline!r} is not possible: a barcode payment is reversed, an online order closed"
        )


def pay_and_wait(
    core: Core, order: PaymentOrder, deadline_s: float, on_deadline: OnDeadline, on_opened: OnOpened | None
) -> Script[Waited]:
    """Raises Refused and Unreachable. An unknown result is returned as Pending."""
    check_deadline(deadline_s, on_deadline, order.is_barcode)
    if on_opened is None and not order.is_barcode:
        raise ValueError("an online order needs on_opened, to show the payment to the payer")
    watch = Watch(order.reference, order.pay_type.value, order.amount)
    opening = Opening(core.payment_call(order), on_opened)
    until_s = (yield from clock_s()) + deadline_s
    decided = yield from _open(core, opening, watch, is_first=True)
    return decided or (yield from _follow(core, watch, until_s, on_deadline, opening))


def wait(core: Core, payment: Payment, deadline_s: float, on_deadline: OnDeadline) -> Script[Waited]:
    """Like `pay_and_wait`, for a payment that is already open."""
    watch = Watch(payment.reference, payment.pay_type, payment.amount, payment.syssn, opened=payment)
    check_deadline(deadline_s, on_deadline, watch.is_barcode)
    until_s = (yield from clock_s()) + deadline_s
    return (yield from _follow(core, watch, until_s, on_deadline, None))


# ---- opening -----------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Opening:
    """The request that opens the payment, the same at each repeat, and the callback for the opened payment."""

    call: Call[Payment]
    on_opened: OnOpened | None


def _open(core: Core, opening: Opening, watch: Watch, is_first: bool) -> Script[Waited | None]:
    """Send the request; returns Paid if that decides. A refusal is raised only if no earlier sending is in doubt."""
    try:
        payment = yield from exchange(opening.call, core.rules)
    except OutcomePending as pending:
        watch.syssn, watch.reason, watch.is_lost = pending.syssn, str(pending), False
        return None
    except OutcomeUnknown as unknown:
        watch.reason, watch.is_lost = str(unknown), True
        return None
    except Unreachable as error:
        if is_first:
            raise
        watch.reason = str(error)
        return None
    except Refused as refused:
        if is_first and refused.respcd != OUT_OF_SERVICE:
            raise
        watch.reason, watch.is_lost = str(refused), True
        watch.refused = refused if refused.is_final else None
        return None
    watch.opened, watch.syssn, watch.reason, watch.is_lost = payment, payment.syssn, "", False
    if payment.is_paid:
        return watch.paid(payment.payer_ref)
    if opening.on_opened is not None:
        opening.on_opened(payment)
    return None


def _should_send_again(watch: Watch, seen: "Seen") -> bool:
    """An online order is repeated to get its link or code; a barcode payment is repeated if there is no row."""
    if watch.opened is not None:
        return False
    return not watch.is_barcode or (watch.is_lost and seen.is_nowhere)


# ---- following ---------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Seen:
    """The result of one query: a row, the proof that there is none, or nothing."""

    row: Row | None = None
    is_nowhere: bool = False


def _follow(
    core: Core, watch: Watch, until_s: float, on_deadline: OnDeadline, opening: Opening | None
) -> Script[Waited]:
    while (left_s := until_s - (yield from clock_s())) > 0:
        yield from rested(min(QUERY_REST_S, left_s))
        seen = yield from _look(core, watch)
        decided = None if seen.row is None else decision(seen.row, watch)
        if decided is not None:
            return decided
        if seen.is_nowhere and watch.refused is not None:
            raise watch.refused
        is_in_time = (yield from clock_s()) < until_s
        if opening is not None and is_in_time and _should_send_again(watch, seen):
            decided = yield from _open(core, opening, watch, is_first=False)
            if decided is not None:
                return decided
    if on_deadline == "leave":
        return watch.pending()
    return (yield from _undo(core, watch))


def _look(core: Core, watch: Watch) -> Script[Seen]:
    """The payment's newest row. A failed query decides nothing."""
    try:
        page = yield from core.query(_filters_of(watch), 1, MAX_ROWS)
    except TaelClientError as error:
        watch.reason = str(error)
        return Seen()
    rows = [row for row in page.rows if _is_ours(row, watch)]
    if not rows:
        return Seen(is_nowhere=True)
    watch.syssn = rows[0].syssn
    watch.reason = f"{rows[0].respcd} {rows[0].text}".rstrip()
    return Seen(rows[0])


def _filters_of(watch: Watch) -> Filters:
    """By the syssn if it is known, otherwise by the reference."""
    return payment_filters(watch.syssn, "" if watch.syssn else watch.reference)


def _is_ours(row: Row, watch: Watch) -> bool:
    """False for a refund with the same reference, and for an older payment that had this reference by mistake."""
    subject = (row.kind, row.reference, row.pay_type, row.amount.amount_minor)
    return subject == (RowKind.PAYMENT, watch.reference, watch.pay_type, watch.amount.amount_minor)


def decision(row: Row, watch: Watch) -> Waited | None:
    """The decision of a row; None if it decides nothing. Raises Refused for a failed payment."""
    if row.is_paid:
        return watch.paid()
    if row.is_undone:
        return watch.undone(None)
    if row.meaning in (Meaning.FINAL, Meaning.RETRY):
        raise Refused(Verdict(row.respcd, resperr=row.text, reference=row.reference, syssn=row.syssn))
    return None


# ---- undoing -----------------------------------------------------------------------------------------------


def _undo(core: Core, watch: Watch) -> Script[Waited]:
    """Reverse a barcode payment or close an online one; repeated while that is in progress."""
    call = _undoing_call(core, watch)
    until_s = (yield from clock_s()) + UNDO_LIMIT_S
    while True:
        try:
            return watch.undone((yield from exchange(call, core.rules)))
        except Refused as refused:
            watch.reason = str(refused)
            if refused.is_final:
                return (yield from _after_refused_undoing(core, watch))
        except TaelClientError as error:
            watch.reason = str(error)
        if (yield from clock_s()) >= until_s:
            return watch.pending()
        yield from rested(QUERY_REST_S)


def _undoing_call(core: Core, watch: Watch) -> Call[Close | Reversal]:
    if watch.is_barcode:
        return core.reversal_call(watch.syssn, watch.reference, watch.amount)
    return core.close_call(watch.syssn, watch.reference, watch.amount)


def _after_refused_undoing(core: Core, watch: Watch) -> Script[Waited]:
    """It cannot be undone: it was paid first, or it failed or was undone already. The row decides."""
    refusal = watch.reason
    seen = yield from _look(core, watch)
    decided = None if seen.row is None else decision(seen.row, watch)
    watch.reason = refusal
    return decided or watch.pending()
