"""The judge of a finished story: payment, refunds, ledger, webhooks, incidents and the wallet's book tell the same one.

It knows values only, so that a model and real rows can be brought before it alike. Amounts are minor units.
"""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from tael.channels.outcomes import ReversalAction
from tael.incidents.domain.incident import Incident, IncidentKind, UnmatchedState
from tael.ledger.domain.entries import Entry, EntryKind
from tael.payments.domain.payment import Payment, State
from tael.payments.domain.refund import Refund, RefundState
from tael.payments.domain.reversal import Reversal, ReversalState
from tael.webhooks.domain.webhook import WebhookKind
from tests.support.values import AMOUNT
from tests.support.wallet_rules import Trade

#: The rate of judged accounts, 2 %, and the fee on what may be left of a price of 100: rounded half up, by hand.
FEE_RATE_PPM: Final = 20_000
FEE_ON: Final = {100: 2, 70: 1, 40: 1, 30: 1, 10: 0, 0: 0}


@dataclass(frozen=True, slots=True)
class WalletSide:
    """One order by the wallet's own book."""

    came_minor: int
    refunds: Mapping[str, int]  #: by our number of the refund
    reversal: ReversalAction | None = None  #: CLOSED or REFUNDED
    took_late: bool = False  #: money after it had told us that none would come

    @property
    def back_minor(self) -> int:
        undone = self.came_minor if self.reversal is ReversalAction.REFUNDED else 0
        return sum(self.refunds.values()) + undone


@dataclass(frozen=True, slots=True)
class Told:
    """Everything that is left of one order when nothing is due any more."""

    payment: Payment
    refunds: Sequence[Refund]
    reversals: Sequence[Reversal]
    entries: Sequence[Entry]
    webhooks: Sequence[tuple[WebhookKind, str]]  #: kind and cause
    incidents: Sequence[Incident]
    was_over: bool  #: it has been CLOSED or EXPIRED, whatever it is now
    wallet: WalletSide


def wallet_side(trade: Trade) -> WalletSide:
    came_minor = AMOUNT.amount_minor if trade.paid_at is not None else 0
    return WalletSide(came_minor, dict(trade.refunds), trade.reversal, trade.took_late)


def contradictions(told: Told) -> list[str]:
    """What does not fit together, one sentence each; none for a story that is one."""
    return [
        *_undecided(told),
        *_money(told),
        *_refunds(told),
        *_reversals(told),
        *_ledger(told),
        *_webhooks(told),
        *_incidents(told),
    ]


def _undecided(told: Told) -> Iterator[str]:
    payment = told.payment
    if payment.state is State.PENDING:
        yield "the payment is undecided"
    if payment.reserved_minor:
        yield f"{payment.reserved_minor} is still reserved"
    yield from ("a refund is undecided" for r in told.refunds if r.state is RefundState.PROCESSING)
    yield from ("a reversal is undecided" for r in told.reversals if r.state is ReversalState.PENDING)
    yield from (
        "unmatched payments is undecided"
        for i in told.incidents
        if i.unmatched_state is UnmatchedState.SUSPECTED
    )


def _money(told: Told) -> Iterator[str]:
    payment, wallet = told.payment, told.wallet
    if not 0 <= wallet.back_minor <= wallet.came_minor:
        yield f"the wallet gave back {wallet.back_minor} of {wallet.came_minor}"
    if payment.state is State.PAID:
        if wallet.came_minor != payment.amount.amount_minor:
            yield "a paid payment without the wallet's money"
        if payment.refunded_minor != wallet.back_minor:
            yield f"the payment says {payment.refunded_minor} went back, the wallet {wallet.back_minor}"
        return
    # An order that was undone before we heard that it was paid is no money for either side.
    if wallet.came_minor != wallet.back_minor:
        yield f"the wallet holds money of a payment that is {payment.state}"
    if wallet.came_minor and wallet.reversal is not ReversalAction.REFUNDED:
        yield f"a payment that is {payment.state} was paid, and no reversal undid it"
    if payment.refunded_minor:
        yield "money went back of a payment that was never paid"


def _refunds(told: Told) -> Iterator[str]:
    done = {r.syssn: r.amount.amount_minor for r in told.refunds if r.state is RefundState.DONE}
    if done != dict(told.wallet.refunds):
        yield f"our refunds {sorted(done.values())} are not the wallet's {sorted(told.wallet.refunds.values())}"
    kept = sum(1 for r in told.refunds if r.state is not RefundState.FAILED)
    if told.payment.refund_count != kept:
        yield f"the payment counts {told.payment.refund_count} refunds, there are {kept}"


def _reversals(told: Told) -> Iterator[str]:
    done = [r for r in told.reversals if r.state is ReversalState.DONE]
    # One that failed because nobody waited for it was undone too, but that is no reversal to a merchant.
    undone = [r for r in done if not r.fails_with or told.payment.state is State.PAID]
    if told.payment.is_reversed != bool(undone):
        yield "the payment and its reversals disagree whether it is undone"
    if bool(done) and told.wallet.came_minor != told.wallet.back_minor:
        yield "a reversal is done and the wallet still holds money"
    if told.wallet.reversal is ReversalAction.REFUNDED and told.wallet.refunds:
        yield "the wallet gave money back by a refund and by a reversal"
    for reversal in done:
        was_refunded = reversal.action in (ReversalAction.REFUNDED, ReversalAction.BY_REFUND)
        if was_refunded and told.wallet.back_minor == 0:
            yield "a reversal says that it refunded, and nothing went back"
        if reversal.action is ReversalAction.CLOSED and told.wallet.back_minor:
            yield "a reversal says that it closed, and money went back"


def _ledger(told: Told) -> Iterator[str]:
    repeated = [key for key, times in Counter((e.cause, e.kind) for e in told.entries).items() if times > 1]
    yield from (f"{kind} is booked twice for one cause" for _, kind in repeated)
    held_minor = told.wallet.came_minor - told.wallet.back_minor
    if _balance(told.entries, "wallet:") != held_minor:
        yield f"the ledger holds {_balance(told.entries, 'wallet:')}, the wallet {held_minor}"
    fee = _balance(told.entries, "fee:")
    if -fee != FEE_ON[held_minor]:
        yield f"the fee on {held_minor} is booked as {-fee}"
    is_booked = any(e.kind is EntryKind.PAYMENT for e in told.entries)
    if is_booked != (told.payment.state is State.PAID):
        yield f"the payment is {told.payment.state}, and its entry says otherwise"


def _balance(entries: Sequence[Entry], kind: str) -> int:
    arrived = sum(e.amount.amount_minor for e in entries if e.debit.startswith(kind))
    return arrived - sum(e.amount.amount_minor for e in entries if e.credit.startswith(kind))


def _webhooks(told: Told) -> Iterator[str]:
    counted = Counter(told.webhooks)
    yield from (f"the merchant is told twice of one {kind}" for (kind, _), n in counted.items() if n > 1)
    told_paid = any(kind is WebhookKind.PAYMENT for kind, _ in counted)
    is_paid = told.payment.state is State.PAID
    if told_paid and not is_paid:
        yield f"the merchant is told of a payment that is {told.payment.state}"
    # Paid and undone between two questions is news of neither.
    if is_paid and not told_paid and not told.payment.is_reversed:
        yield "the merchant is not told of a payment"
    done = {r.syssn for r in told.refunds if r.state is RefundState.DONE}
    if {cause for kind, cause in counted if kind is WebhookKind.REFUND} != done:
        yield "the merchant is told of other refunds than were done"


def _incidents(told: Told) -> Iterator[str]:
    """A person is called where the wallet contradicted itself, and nowhere else."""
    kinds = [incident.kind for incident in told.incidents]
    is_late = told.was_over and told.payment.state is State.PAID
    if kinds.count(IncidentKind.LATE_MONEY) != int(is_late):
        yield "late money and its incident do not go together"
    for incident in told.incidents:
        if not _is_called_for(incident, told):
            yield f"nobody should be called for {incident.kind}"


def _is_called_for(incident: Incident, told: Told) -> bool:
    match incident.kind:
        case IncidentKind.LATE_MONEY | IncidentKind.CLOSED_THOUGH_PAID:
            return told.wallet.took_late
        case IncidentKind.PAID_AFTER_FAILED:
            # The last second's payer, undone with the abandoned order: news of it may still arrive, and moves nothing.
            was_undone = told.wallet.reversal is ReversalAction.REFUNDED
            return (
                was_undone
                and told.payment.state is State.FAILED
                and incident.unmatched_state is UnmatchedState.REFUTED
            )
        case _:
            return False
