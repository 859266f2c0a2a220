"""Checks the final state of an order: payment, refunds, ledger, webhooks, incidents and the wallet's book must agree.

It works on values only, so that models and real rows are checked alike. Amounts are in minor units.
"""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from tael.channels.outcomes import ReversalAction
from tael.incidents.domain.incident import Incident, IncidentKind
from tael.ledger.domain.entries import Entry, EntryKind
from tael.payments.domain.payment import Payment, State
from tael.payments.domain.refund import Refund, RefundState
from tael.payments.domain.reversal import Reversal, ReversalState
from tael.unmatched.domain.unmatched import UnmatchedPayment, UnmatchedState
from tael.webhooks.domain.webhook import WebhookKind
from tests.support.values import AMOUNT
from tests.support.wallet_rules import Trade

#: The accounts' rate, 2 %, and the fee on each remainder of a price of 100: rounded half up, calculated by hand.
FEE_RATE_PPM: Final = 20_000
FEE_ON: Final = {100: 2, 70: 1, 40: 1, 30: 1, 10: 0, 0: 0}


@dataclass(frozen=True, slots=True)
class WalletSide:
    """One order in the wallet's book."""

    came_minor: int
    refunds: Mapping[str, int]  #: by our number of the refund
    reversal: ReversalAction | None = None  #: CLOSED or REFUNDED
    took_late: bool = False  #: money came after the wallet had reported the order as closed

    @property
    def back_minor(self) -> int:
        undone = self.came_minor if self.reversal is ReversalAction.REFUNDED else 0
        return sum(self.refunds.values()) + undone


@dataclass(frozen=True, slots=True)
class FinalState:
    """All rows of one order once nothing is due."""

    payment: Payment
    refunds: Sequence[Refund]
    reversals: Sequence[Reversal]
    entries: Sequence[Entry]
    webhooks: Sequence[tuple[WebhookKind, str]]  #: kind and cause
    incidents: Sequence[Incident]
    unmatched_payments: Sequence[UnmatchedPayment]
    was_over: bool  #: it has been CLOSED or EXPIRED at some time
    wallet: WalletSide


def wallet_side(trade: Trade) -> WalletSide:
    came_minor = AMOUNT.amount_minor if trade.paid_at is not None else 0
    return WalletSide(came_minor, dict(trade.refunds), trade.reversal, trade.took_late)


def contradictions(final: FinalState) -> list[str]:
    """Every contradiction as a sentence; empty if all records agree."""
    return [
        *_undecided(final),
        *_money(final),
        *_refunds(final),
        *_reversals(final),
        *_ledger(final),
        *_webhooks(final),
        *_incidents(final),
    ]


def _undecided(final: FinalState) -> Iterator[str]:
    payment = final.payment
    if payment.state is State.PENDING:
        yield "the payment is undecided"
    if payment.reserved_minor:
        yield f"{payment.reserved_minor} is still reserved"
    yield from ("a refund is undecided" for r in final.refunds if r.state is RefundState.PROCESSING)
    yield from ("a reversal is undecided" for r in final.reversals if r.state is ReversalState.PENDING)
    yield from (
        "an unmatched payment is undecided"
        for unmatched in final.unmatched_payments
        if unmatched.state is UnmatchedState.SUSPECTED
    )


def _money(final: FinalState) -> Iterator[str]:
    payment, wallet = final.payment, final.wallet
    if not 0 <= wallet.back_minor <= wallet.came_minor:
        yield f"the wallet gave back {wallet.back_minor} of {wallet.came_minor}"
    if payment.state is State.PAID:
        if wallet.came_minor != payment.amount.amount_minor:
            yield "a paid payment without the wallet's money"
        if payment.refunded_minor != wallet.back_minor:
            yield f"the payment has {payment.refunded_minor} refunded, the wallet {wallet.back_minor}"
        return
    # An order that was reversed before we saw it paid counts as no money on either side.
    if wallet.came_minor != wallet.back_minor:
        yield f"the wallet holds money of a payment that is {payment.state}"
    if wallet.came_minor and wallet.reversal is not ReversalAction.REFUNDED:
        yield f"a payment that is {payment.state} was paid, and no reversal undid it"
    if payment.refunded_minor:
        yield "money went back of a payment that was never paid"


def _refunds(final: FinalState) -> Iterator[str]:
    done = {r.syssn: r.amount.amount_minor for r in final.refunds if r.state is RefundState.DONE}
    if done != dict(final.wallet.refunds):
        yield f"our refunds {sorted(done.values())} are not the wallet's {sorted(final.wallet.refunds.values())}"
    kept = sum(1 for r in final.refunds if r.state is not RefundState.FAILED)
    if final.payment.refund_count != kept:
        yield f"the payment counts {final.payment.refund_count} refunds, there are {kept}"


def _reversals(final: FinalState) -> Iterator[str]:
    done = [r for r in final.reversals if r.state is ReversalState.DONE]
    # An abandoned barcode payment was undone too, but for the merchant that is not a reversal.
    undone = [r for r in done if not r.fails_with or final.payment.state is State.PAID]
    if final.payment.is_reversed != bool(undone):
        yield "the payment and its reversals disagree whether it is undone"
    if bool(done) and final.wallet.came_minor != final.wallet.back_minor:
        yield "a reversal is done and the wallet still holds money"
    if final.wallet.reversal is ReversalAction.REFUNDED and final.wallet.refunds:
        yield "the wallet gave money back by a refund and by a reversal"
    for reversal in done:
        was_refunded = reversal.action in (ReversalAction.REFUNDED, ReversalAction.BY_REFUND)
        if was_refunded and final.wallet.back_minor == 0:
            yield "a reversal is recorded as a refund, and no money went back"
        if reversal.action is ReversalAction.CLOSED and final.wallet.back_minor:
            yield "a reversal is recorded as a close, and money went back"


def _ledger(final: FinalState) -> Iterator[str]:
    repeated = [key for key, times in Counter((e.cause, e.kind) for e in final.entries).items() if times > 1]
    yield from (f"{kind} is booked twice for one cause" for _, kind in repeated)
    held_minor = final.wallet.came_minor - final.wallet.back_minor
    if _balance(final.entries, "wallet:") != held_minor:
        yield f"the ledger holds {_balance(final.entries, 'wallet:')}, the wallet {held_minor}"
    fee = _balance(final.entries, "fee:")
    if -fee != FEE_ON[held_minor]:
        yield f"the fee on {held_minor} is booked as {-fee}"
    is_booked = any(e.kind is EntryKind.PAYMENT for e in final.entries)
    if is_booked != (final.payment.state is State.PAID):
        yield f"the payment is {final.payment.state}, and its ledger entry contradicts that"


def _balance(entries: Sequence[Entry], kind: str) -> int:
    arrived = sum(e.amount.amount_minor for e in entries if e.debit.startswith(kind))
    return arrived - sum(e.amount.amount_minor for e in entries if e.credit.startswith(kind))


def _webhooks(final: FinalState) -> Iterator[str]:
    counted = Counter(final.webhooks)
    yield from (f"the merchant was notified twice of one {kind}" for (kind, _), n in counted.items() if n > 1)
    notified_paid = any(kind is WebhookKind.PAYMENT for kind, _ in counted)
    is_paid = final.payment.state is State.PAID
    if notified_paid and not is_paid:
        yield f"the merchant was notified of a payment that is {final.payment.state}"
    # A payment that was paid and reversed between two queries has no notification.
    if is_paid and not notified_paid and not final.payment.is_reversed:
        yield "the merchant was not notified of a payment"
    done = {r.syssn for r in final.refunds if r.state is RefundState.DONE}
    if {cause for kind, cause in counted if kind is WebhookKind.REFUND} != done:
        yield "the merchant was notified of refunds other than the completed ones"


def _incidents(final: FinalState) -> Iterator[str]:
    """An incident is opened where the wallet contradicted itself, and nowhere else."""
    kinds = [incident.kind for incident in final.incidents]
    is_late = final.was_over and final.payment.state is State.PAID
    if kinds.count(IncidentKind.LATE_MONEY) != int(is_late):
        yield "a late payment and its incident do not match"
    for incident in final.incidents:
        if not _is_expected(incident, final):
            yield f"unexpected incident {incident.kind}"


def _is_expected(incident: Incident, final: FinalState) -> bool:
    match incident.kind:
        case IncidentKind.LATE_MONEY | IncidentKind.CLOSED_THOUGH_PAID:
            return final.wallet.took_late
        case IncidentKind.PAID_AFTER_FAILED:
            # Paid in the last second and undone with the abandoned order: its notice may still arrive, to no effect.
            was_undone = final.wallet.reversal is ReversalAction.REFUNDED
            return (
                was_undone
                and final.payment.state is State.FAILED
                and _is_refuted(incident.unmatched_id, final)
            )
        case _:
            return False


def _is_refuted(unmatched_id: str, final: FinalState) -> bool:
    (unmatched,) = [each for each in final.unmatched_payments if each.unmatched_id == unmatched_id]
    return unmatched.state is UnmatchedState.REFUTED
