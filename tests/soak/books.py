"""Compares three books: the wallets', ours and the merchants'. Pure: rows in, sentences out.

Nothing here is `tael`'s own code: a check that shares a mistake with the code under test finds nothing. This module
compares money and ledger, `notification_checks.py` webhooks and responses.
"""

from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from tests.soak.notification_checks import wrong_responses, wrong_webhooks
from tests.soak.rows import (
    DONE,
    FAILED,
    MOVED_NOTHING,
    PAID,
    PENDING,
    EntryRow,
    MerchantResponse,
    OurBook,
    PaymentRow,
    ReceivedWebhook,
    RefundRow,
    WalletBook,
    WalletRefund,
    WalletTrade,
)

ABOVE_REMAINDER: Final = frozenset({"above_remainder", "already_refunded"})
MILLION: Final = 1_000_000


@dataclass(frozen=True, slots=True)
class Books:
    ours: OurBook
    wallets: WalletBook
    received: Sequence[ReceivedWebhook] = ()
    responses: Sequence[MerchantResponse] = ()


def mismatches(books: Books) -> list[str]:
    """Every disagreement as a sentence; empty if the books agree."""
    return [
        *_undecided(books.ours),
        *_numbers(books.ours),
        *_money(books),
        *_refunds(books),
        *_reversals(books.ours),
        *_reservations(books.ours),
        *_ledger(books.ours),
        *_fees(books.ours),
        *_unmatched(books),
        *wrong_webhooks(books.ours, books.received),
        *wrong_responses(books.ours, books.responses),
    ]


def _undecided(ours: OurBook) -> Iterator[str]:
    for payment in ours.payments:
        if payment.state == PENDING:
            yield f"payment {payment.syssn} was never decided"
        if payment.reserved_minor:
            yield f"payment {payment.syssn} still reserves {payment.reserved_minor}"
    for refund in ours.refunds:
        if refund.state not in (DONE, FAILED):
            yield f"refund {refund.syssn} was never decided"
    for reversal in ours.reversals:
        if reversal.state not in (DONE, FAILED):
            yield f"reversal {reversal.syssn} was never decided"


def _numbers(ours: OurBook) -> Iterator[str]:
    """Numbers are unique; a reference names one payment and one refund, failed ones aside."""
    numbers = Counter(row.syssn for row in ours.unmatched)
    for rows in (ours.payments, ours.refunds, ours.reversals):
        numbers.update(row.syssn for row in rows)
    for number, times in numbers.items():
        if times > 1:
            yield f"number {number} was given {times} times"
    mchid_of = {payment.syssn: payment.mchid for payment in ours.payments}
    lasting: Counter[tuple[str, str, str]] = Counter()
    for payment in ours.payments:
        lasting[payment.mchid, payment.reference, "payments"] += payment.state != FAILED
    for refund in ours.refunds:
        mchid = mchid_of.get(refund.payment_syssn, "")
        lasting[mchid, refund.reference, "refunds"] += refund.state != FAILED
    for (mchid, reference, what), times in lasting.items():
        if times > 1:
            yield f"reference {reference} of {mchid} names {times} {what}"


def _money(books: Books) -> Iterator[str]:
    """Amounts received and returned, order by order."""
    trades: dict[str, list[WalletTrade]] = defaultdict(list)
    for trade in books.wallets.trades:
        trades[trade.order].append(trade)
    ours = {payment.syssn for payment in books.ours.payments}
    for order, found in trades.items():
        if order not in ours and any(trade.came_minor for trade in found):
            yield from _unknown_order(order, found, books.ours)
        if sum(1 for trade in found if trade.came_minor) > 1:
            yield f"the wallet took money twice for {order}"
    for payment in books.ours.payments:
        came = [trade for trade in trades[payment.syssn] if trade.came_minor]
        for trade in came:
            if trade.currency != payment.currency:
                yield f"the wallet took {trade.currency} for {payment.syssn}, its price is in {payment.currency}"
        yield from _sums(
            payment,
            sum(trade.came_minor for trade in came),
            sum(trade.refunded_minor for trade in came),
            books.ours.held_minor(payment.syssn),
        )


def _unknown_order(order: str, found: Sequence[WalletTrade], ours: OurBook) -> Iterator[str]:
    """Money for an order that is not ours is an unmatched payment."""
    held_minor = sum(trade.came_minor - trade.refunded_minor for trade in found)
    if order not in {row.subject_id for row in ours.unmatched}:
        yield f"the wallet took money for {order}, which is no order of ours"
    elif held_minor != ours.held_minor(order):
        yield f"the wallet holds {held_minor} for {order}, of which we hold {ours.held_minor(order)}"


def _sums(payment: PaymentRow, came: int, back: int, unmatched: int) -> Iterator[str]:
    """`unmatched` is what is held of unmatched payments for this order, as an operator may decide."""
    name = f"payment {payment.syssn} ({payment.pay_type}, {payment.state})"
    if payment.refunded_minor > payment.amount_minor:
        yield f"{name} gave back {payment.refunded_minor} of {payment.amount_minor}"
    if payment.state == PAID:
        if (came - unmatched, back) != (payment.amount_minor, payment.refunded_minor):
            yield (
                f"{name}: the wallet took {came} and gave back {back}, "
                f"we wrote {payment.amount_minor} and {payment.refunded_minor}"
            )
    elif came - back != unmatched:
        yield f"{name}: the wallet holds {came - back} of it, of which we hold {unmatched}"
    elif payment.refunded_minor:
        yield f"{name} is not paid and gave back {payment.refunded_minor}"


def _moved(wallets: WalletBook) -> list[WalletRefund]:
    return [refund for refund in wallets.refunds if refund.state not in MOVED_NOTHING]


def _refunds(books: Books) -> Iterator[str]:
    """Refund by refund, by its number."""
    moved = {refund.number: refund for refund in _moved(books.wallets)}
    if len(moved) != len(_moved(books.wallets)):
        yield "the wallets gave money back twice under one number"
    expected = {refund.syssn: refund for refund in (*books.ours.refunds, *_reversals_as_refunds(books.ours))}
    for number, theirs in moved.items():
        if number not in books.ours.unmatched_numbers:
            yield from _one_refund(expected.get(number), theirs)
    for refund in books.ours.refunds:
        if refund.state == DONE and refund.syssn not in moved:
            yield f"refund {refund.syssn} is done, and the wallet gave nothing back"
    yield from _refunds_of_payments(books.ours)


def _reversals_as_refunds(ours: OurBook) -> Iterator[RefundRow]:
    """A reversal that is too late for its wallet continues as a refund of the whole amount, under its own number."""
    amounts = {payment.syssn: payment.amount_minor for payment in ours.payments}
    for reversal in ours.reversals:
        amount_minor = amounts.get(reversal.payment_syssn, 0)
        yield RefundRow(reversal.syssn, reversal.payment_syssn, "", reversal.state, amount_minor)


def _one_refund(mine: RefundRow | None, theirs: WalletRefund) -> Iterator[str]:
    number = theirs.number
    if mine is None:
        yield f"the wallet gave {theirs.amount_minor} back as {number}, which is no refund of ours"
        return
    if mine.state != DONE:
        yield f"refund {number} is {mine.state}, and the wallet gave {theirs.amount_minor} back"
    elif mine.amount_minor != theirs.amount_minor:
        yield f"refund {number} is {mine.amount_minor}, the wallet gave {theirs.amount_minor} back"
    if mine.payment_syssn != theirs.order:
        yield f"refund {number} is of payment {mine.payment_syssn}, the wallet took it from {theirs.order}"


def _refunds_of_payments(ours: OurBook) -> Iterator[str]:
    done: Counter[str] = Counter()
    for refund in ours.refunds:
        done[refund.payment_syssn] += refund.amount_minor if refund.state == DONE else 0
    for payment in ours.payments:
        found = done.pop(payment.syssn, 0)
        if payment.is_reversed and found:
            yield f"payment {payment.syssn} is reversed, and its refunds returned {found}"
        elif not payment.is_reversed and found != payment.refunded_minor:
            yield f"payment {payment.syssn} records {payment.refunded_minor} as refunded, its refunds {found}"
    for payment_syssn in done:
        yield f"there are refunds of {payment_syssn}, which is no payment"


def _reversals(ours: OurBook) -> Iterator[str]:
    """A completed reversal marks its payment as reversed, and no money is left. An abandoned payment fails instead."""
    payments = {payment.syssn: payment for payment in ours.payments}
    undone = set()
    for reversal in ours.reversals:
        payment = payments.get(reversal.payment_syssn)
        if payment is None:
            yield f"reversal {reversal.syssn} is of {reversal.payment_syssn}, which is no payment"
        elif reversal.state == DONE:
            undone.add(payment.syssn)
            if not payment.is_reversed and payment.state != FAILED:
                yield f"reversal {reversal.syssn} is done, and payment {payment.syssn} is not reversed"
    for payment in ours.payments:
        if payment.is_reversed and payment.syssn not in undone:
            yield f"payment {payment.syssn} is reversed, and by no reversal"
        if payment.is_reversed and payment.state == PAID and payment.refunded_minor != payment.amount_minor:
            yield f"payment {payment.syssn} is reversed, and gave back {payment.refunded_minor} only"


def _reservations(ours: OurBook) -> Iterator[str]:
    """A refund is reserved only within the remainder, so a wallet never refuses one as above the remainder."""
    for refund in ours.refunds:
        if refund.state == FAILED and refund.reason in ABOVE_REMAINDER:
            yield f"refund {refund.syssn} was reserved, and the wallet refused it as above the remainder"


def _ledger(ours: OurBook) -> Iterator[str]:
    """Every movement of a wallet's money has exactly one entry, between the right accounts."""
    due = {(entry.cause, entry.kind): entry for entry in _entries_due(ours)}
    found = Counter(
        entry
        for entry in ours.entries
        if entry.kind not in ("fee", "fee_back", "unmatched_received", "unmatched_returned")
    )
    seen: Counter[tuple[str, str]] = Counter()
    for entry, times in found.items():
        key = (entry.cause, entry.kind)
        seen[key] += times
        if key not in due:
            yield f"the ledger holds {_describe(entry)}, and nothing caused it"
        elif entry != due[key]:
            yield f"the ledger holds {_describe(entry)}, it should be {_describe(due[key])}"
    for key, times in seen.items():
        if times > 1:
            yield f"the ledger holds {key[1]} {key[0]} {times} times"
    for key, entry in due.items():
        if key not in seen:
            yield f"the ledger lacks {_describe(entry)}"


def _entries_due(ours: OurBook) -> Iterator[EntryRow]:
    paid = {payment.syssn: payment for payment in ours.payments if payment.state == PAID}
    for payment in paid.values():
        wallet, merchant = _ends(payment)
        yield EntryRow(payment.syssn, "payment", wallet, merchant, payment.amount_minor, payment.currency)
    back = [
        (row.syssn, "refund", row.payment_syssn, row.amount_minor)
        for row in ours.refunds
        if row.state == DONE
    ]
    back += [
        (row.syssn, "reversal", row.payment_syssn, paid[row.payment_syssn].amount_minor)
        for row in ours.reversals
        if row.state == DONE and row.payment_syssn in paid
    ]
    for cause, kind, payment_syssn, amount_minor in back:
        if payment_syssn in paid:
            wallet, merchant = _ends(paid[payment_syssn])
            yield EntryRow(cause, kind, merchant, wallet, amount_minor, paid[payment_syssn].currency)


def _ends(payment: PaymentRow) -> tuple[str, str]:
    return f"wallet:{payment.currency}:{payment.account_id}", f"merchant:{payment.currency}:{payment.mchid}"


def _describe(entry: EntryRow) -> str:
    ends = f"from {entry.credit} to {entry.debit}"
    return f"{entry.kind} {entry.cause} of {entry.amount_minor} {entry.currency} {ends}"


def _fees(ours: OurBook) -> Iterator[str]:
    """The fee of a payment is its rate on what its merchant keeps, half a cent rounded up."""
    payment_of = {refund.syssn: refund.payment_syssn for refund in ours.refunds}
    payment_of |= {reversal.syssn: reversal.payment_syssn for reversal in ours.reversals}
    kept: Counter[tuple[str, str]] = Counter()  # keys: the payment, the account of the fee or the merchant
    for entry in ours.entries:
        if entry.kind in ("fee", "fee_back"):
            payment_syssn = payment_of.get(entry.cause, entry.cause)
            kept[payment_syssn, entry.credit] += entry.amount_minor
            kept[payment_syssn, entry.debit] -= entry.amount_minor
    for payment in ours.payments:
        remaining = payment.amount_minor - payment.refunded_minor if payment.state == PAID else 0
        fee = (remaining * payment.fee_rate_ppm + MILLION // 2) // MILLION
        _, merchant = _ends(payment)
        ends = {f"fee:{payment.currency}:{payment.account_id}": fee, merchant: -fee}
        found = {account: kept.pop((payment.syssn, account), 0) for account in ends}
        if found != ends:
            yield f"the ledger's fee of payment {payment.syssn} is {found}, it should be {ends}"
    for (payment_syssn, account), amount_minor in kept.items():
        if amount_minor:
            yield f"the ledger moves {amount_minor} of {account} as a fee of {payment_syssn}"


def _unmatched(books: Books) -> Iterator[str]:
    """An unmatched payment came once, and the same amount went back, unless it is held."""
    moved = {refund.number: refund.amount_minor for refund in _moved(books.wallets)}
    rows = {row.syssn: row for row in books.ours.unmatched}
    held: Counter[str] = Counter(dict.fromkeys(rows, 0))
    came: Counter[str] = Counter()
    for entry in books.ours.entries:
        if entry.kind in ("unmatched_received", "unmatched_returned"):
            direction = entry.debit.startswith("wallet:") - entry.credit.startswith("wallet:")
            held[entry.cause] += entry.amount_minor * direction
            came[entry.cause] += entry.amount_minor if entry.kind == "unmatched_received" else 0
    for number, held_minor in held.items():
        row = rows.get(number)
        if row is None:
            yield f"the ledger holds unmatched payment {number}, and nothing caused it"
        elif held_minor != row.held_minor:
            yield f"the ledger holds {held_minor} of unmatched payment {number}, which is {row.state}"
        elif number in moved and row.held_minor:
            yield f"unmatched payment {number} is {row.state}, the wallet sent {moved[number]} back"
        elif number in moved and moved[number] != came[number]:
            yield f"unmatched payment {number} is {came[number]}, the wallet sent {moved[number]} back"
