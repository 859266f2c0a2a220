"""The three books side by side: the wallets', ours, and what merchants were told. Pure: rows in, sentences out.

Used by the soak, whose wallets are the sandbox, and by the small one in memory. Nothing here is `tael`'s own code: a
judge who shares a mistake with the accused finds nothing.
"""

from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Final

#: What the wallets call an order that was paid and holds its money, whole or in part.
HOLDS_MONEY: Final = frozenset({"TRADE_SUCCESS", "TRADE_FINISHED", "SUCCESS", "REFUND"})
#: A refund in one of these states moved nothing.
MOVED_NOTHING: Final = frozenset({"REFUNDCLOSE", "FAIL", "REFUND_FAIL"})
MOVEMENTS: Final = frozenset({"payment", "refund", "reversal"})
PAID, DONE, FAILED = "PAID", "DONE", "FAILED"
ABOVE_WHAT_IS_LEFT: Final = frozenset({"1272", "1125"})
#: Answers that say neither yes nor no: out of service, pending, closed, expired.
NOT_DECIDED: Final = frozenset({"1112", "1145", "2999", "1142", "1181"})


@dataclass(frozen=True, slots=True)
class PaymentRow:
    mchid: str
    syssn: str
    reference: str
    pay_type: str
    state: str
    amount_minor: int
    refunded_minor: int = 0
    reserved_minor: int = 0
    is_reversed: bool = False
    tells_merchant: bool = True


@dataclass(frozen=True, slots=True)
class RefundRow:
    syssn: str
    payment_syssn: str
    reference: str
    state: str
    amount_minor: int
    respcd: str = ""


@dataclass(frozen=True, slots=True)
class ReversalRow:
    syssn: str
    payment_syssn: str
    state: str


@dataclass(frozen=True, slots=True)
class EntryRow:
    cause: str
    kind: str
    debit: str
    credit: str
    amount_minor: int


@dataclass(frozen=True, slots=True)
class WebhookRow:
    cause: str
    kind: str
    state: str


@dataclass(frozen=True, slots=True)
class OurBook:
    payments: Sequence[PaymentRow] = ()
    refunds: Sequence[RefundRow] = ()
    reversals: Sequence[ReversalRow] = ()
    entries: Sequence[EntryRow] = ()
    webhooks: Sequence[WebhookRow] = ()
    #: Numbers of refunds that sent money back which belonged to no order of ours.
    sent_back: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class WalletTrade:
    order: str
    state: str
    amount_minor: int
    refunded_minor: int

    @property
    def came_minor(self) -> int:
        return self.amount_minor if self.state in HOLDS_MONEY or self.refunded_minor else 0


@dataclass(frozen=True, slots=True)
class WalletRefund:
    order: str
    number: str
    state: str
    amount_minor: int


@dataclass(frozen=True, slots=True)
class WalletBook:
    trades: Sequence[WalletTrade] = ()
    refunds: Sequence[WalletRefund] = ()


@dataclass(frozen=True, slots=True)
class Heard:
    """A webhook as it reached a merchant."""

    syssn: str
    kind: str  #: payment or refund
    amount_minor: int
    body: bytes
    is_signed: bool
    was_acknowledged: bool


@dataclass(frozen=True, slots=True)
class Told:
    """An answer that a merchant read."""

    call: str
    reference: str
    respcd: str
    syssn: str
    orig_syssn: str = ""


@dataclass(frozen=True, slots=True)
class Books:
    ours: OurBook
    wallets: WalletBook
    heard: Sequence[Heard] = ()
    told: Sequence[Told] = field(default_factory=tuple)


def mismatches(books: Books) -> list[str]:
    """Every disagreement, in words. An empty list is what a soak is for."""
    return [
        sentence
        for find in (_undecided, _money, _refunds, _promises, _ledger, _webhooks, _answers)
        for sentence in find(books)
    ]


def _undecided(books: Books) -> Iterator[str]:
    for payment in books.ours.payments:
        if payment.state == "PENDING":
            yield f"payment {payment.syssn} was never decided"
        if payment.reserved_minor:
            yield f"payment {payment.syssn} still holds back {payment.reserved_minor}"
    for refund in books.ours.refunds:
        if refund.state not in (DONE, FAILED):
            yield f"refund {refund.syssn} was never decided"
    for reversal in books.ours.reversals:
        if reversal.state not in (DONE, FAILED):
            yield f"reversal {reversal.syssn} was never decided"


def _money(books: Books) -> Iterator[str]:
    """What came and what went back, order by order."""
    trades: dict[str, list[WalletTrade]] = defaultdict(list)
    for trade in books.wallets.trades:
        trades[trade.order].append(trade)
    known = {payment.syssn for payment in books.ours.payments}
    for order, found in trades.items():
        if order not in known and any(trade.came_minor for trade in found):
            yield f"the wallet took money for {order}, which is no order of ours"
        if sum(1 for trade in found if trade.came_minor) > 1:
            yield f"the wallet took money twice for {order}"
    for payment in books.ours.payments:
        came = sum(trade.came_minor for trade in trades[payment.syssn])
        back = sum(trade.refunded_minor for trade in trades[payment.syssn])
        yield from _sums(payment, came, back)


def _sums(payment: PaymentRow, came: int, back: int) -> Iterator[str]:
    name = f"payment {payment.syssn} ({payment.pay_type}, {payment.state})"
    if payment.refunded_minor > payment.amount_minor:
        yield f"{name} gave back {payment.refunded_minor} of {payment.amount_minor}"
    if payment.state == PAID:
        if (came, back) != (payment.amount_minor, payment.refunded_minor):
            yield (
                f"{name}: the wallet took {came} and gave back {back}, "
                f"we wrote {payment.amount_minor} and {payment.refunded_minor}"
            )
    elif came != back:
        yield f"{name}: the wallet holds {came - back} of it"
    elif payment.refunded_minor:
        yield f"{name} is not paid and gave back {payment.refunded_minor}"


def _refunds(books: Books) -> Iterator[str]:
    """Refund by refund, by its number."""
    moved = {refund.number: refund for refund in books.wallets.refunds if refund.state not in MOVED_NOTHING}
    if len(moved) != sum(1 for refund in books.wallets.refunds if refund.state not in MOVED_NOTHING):
        yield "the wallets gave money back twice under one number"
    ours = {refund.syssn: refund for refund in books.ours.refunds}
    for number, theirs in moved.items():
        if number in books.ours.sent_back:
            continue
        mine = ours.get(number)
        if mine is None:
            yield f"the wallet gave {theirs.amount_minor} back as {number}, which is no refund of ours"
        elif mine.state != DONE:
            yield f"refund {number} is {mine.state}, and the wallet gave {theirs.amount_minor} back"
        elif mine.amount_minor != theirs.amount_minor:
            yield f"refund {number} is {mine.amount_minor}, the wallet gave {theirs.amount_minor} back"
    for refund in books.ours.refunds:
        if refund.state == DONE and refund.syssn not in moved:
            yield f"refund {refund.syssn} is done, and the wallet gave nothing back"
    for payment in books.ours.payments:
        done = sum(
            r.amount_minor for r in books.ours.refunds if r.payment_syssn == payment.syssn and r.state == DONE
        )
        if not payment.is_reversed and done != payment.refunded_minor:
            yield f"payment {payment.syssn} says {payment.refunded_minor} went back, its refunds say {done}"


def _promises(books: Books) -> Iterator[str]:
    """A refund is only promised while enough is left, so no wallet ever has to refuse one as too much."""
    for refund in books.ours.refunds:
        if refund.state == FAILED and refund.respcd in ABOVE_WHAT_IS_LEFT:
            yield f"refund {refund.syssn} was promised, and the wallet refused it as more than was left"


def _ledger(books: Books) -> Iterator[str]:
    payment_of = {refund.syssn: refund.payment_syssn for refund in books.ours.refunds}
    payment_of |= {reversal.syssn: reversal.payment_syssn for reversal in books.ours.reversals}
    net: Counter[str] = Counter()
    for entry in books.ours.entries:
        if entry.kind not in MOVEMENTS:
            continue
        payment = entry.cause if entry.kind == "payment" else payment_of.get(entry.cause, entry.cause)
        net[payment] += entry.amount_minor * _direction(entry)
    for payment_row in books.ours.payments:
        is_paid = payment_row.state == PAID
        expected = payment_row.amount_minor - payment_row.refunded_minor if is_paid else 0
        found = net.pop(payment_row.syssn, 0)
        if found != expected:
            yield f"the ledger holds {found} of payment {payment_row.syssn}, it should be {expected}"
    for cause, amount_minor in net.items():
        if amount_minor:
            yield f"the ledger holds {amount_minor} of {cause}, which is no payment"


def _direction(entry: EntryRow) -> int:
    return entry.debit.startswith("wallet:") - entry.credit.startswith("wallet:")


def _webhooks(books: Books) -> Iterator[str]:
    rows = {(row.cause, row.kind): row for row in books.ours.webhooks}
    heard: dict[tuple[str, str], list[Heard]] = defaultdict(list)
    for call in books.heard:
        heard[call.syssn, call.kind].append(call)
    for payment in books.ours.payments:
        if payment.state != PAID or not payment.tells_merchant:
            continue
        key = (payment.syssn, "payment")
        # What was paid and undone between two questions is no success: nobody is told of it.
        if key not in rows and not payment.is_reversed:
            yield f"payment {payment.syssn} is paid, and no webhook was ever written"
        elif key in rows and not any(call.was_acknowledged for call in heard[key]):
            yield f"payment {payment.syssn} is paid, and its merchant was never told ({rows[key].state})"
    paid = {payment.syssn: payment.amount_minor for payment in books.ours.payments if payment.state == PAID}
    done = {refund.syssn: refund.amount_minor for refund in books.ours.refunds if refund.state == DONE}
    for (syssn, kind), calls in heard.items():
        amounts = paid if kind == "payment" else done
        if syssn not in amounts:
            yield f"a merchant was told of {kind} {syssn}, which is not so"
        elif {call.amount_minor for call in calls} != {amounts[syssn]}:
            yield f"a merchant was told another amount of {kind} {syssn}"
        if len({call.body for call in calls}) > 1:
            yield f"repeats of the webhook about {kind} {syssn} were not the same bytes"
        if not all(call.is_signed for call in calls):
            yield f"a webhook about {kind} {syssn} was not well signed"
    for row in books.ours.webhooks:
        if row.state in ("DUE", "DEAD"):
            yield f"the webhook about {row.kind} {row.cause} is {row.state}"


def _answers(books: Books) -> Iterator[str]:
    """Whatever a merchant read must not be untrue in the end."""
    payments = {payment.syssn: payment for payment in books.ours.payments}
    refunds = {refund.syssn: refund for refund in books.ours.refunds}
    for told in books.told:
        match told.call:
            case "payment" | "row":
                yield from _payment_answer(told, payments, refunds)
            case "refund":
                yield from _refund_answer(told, refunds)
            case "reversal" if told.respcd == "0000":
                undone = payments.get(told.orig_syssn)
                if undone is None or not undone.is_reversed:
                    yield f"a merchant was told that {told.orig_syssn} is reversed, and it is not"
            case "close" if told.respcd == "0000":
                closed = payments.get(told.orig_syssn)
                if closed is None or closed.state not in ("CLOSED", PAID):
                    yield f"a merchant was told that {told.orig_syssn} is closed, and it is not"


def _payment_answer(
    told: Told, payments: dict[str, PaymentRow], refunds: dict[str, RefundRow]
) -> Iterator[str]:
    if not told.syssn:
        return  # a refusal that opened nothing
    if told.call == "row" and told.syssn in refunds:
        yield from _refund_answer(told, refunds)
        return
    payment = payments.get(told.syssn)
    if payment is None:
        yield f"a merchant was told of {told.syssn}, which is no payment"
    elif told.respcd == "0000" and payment.state != PAID:
        if told.call == "row" or payment.pay_type in ("800108", "800208", "800228"):
            yield f"a merchant was told that {told.syssn} is paid, and it is {payment.state}"
    elif told.respcd not in ("0000", *NOT_DECIDED) and payment.state == PAID:
        yield f"a merchant was told that {told.syssn} failed ({told.respcd}), and it is paid"


def _refund_answer(told: Told, refunds: dict[str, RefundRow]) -> Iterator[str]:
    if not told.syssn:
        return
    refund = refunds.get(told.syssn)
    if refund is None:
        yield f"a merchant was told of refund {told.syssn}, which is not there"
    elif told.respcd == "0000" and refund.state != DONE:
        yield f"a merchant was told that refund {told.syssn} is done, and it is {refund.state}"
    elif told.respcd not in ("0000", *NOT_DECIDED) and refund.state == DONE:
        yield f"a merchant was told that refund {told.syssn} failed ({told.respcd}), and it is done"
