"""Our side of one order as values: the rows, and the recording of outcomes. Decisions are the domain's own.

What the store does in its statements (names, sums, unique keys) is done here by hand. The store decides on the present
row, and so do these functions.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Final

from tael.base.money import Money
from tael.base.reasons import Reason
from tael.channels.outcomes import Outcome, RefundOutcome, ReversalOutcome
from tael.incidents.domain.evidence import Evidence
from tael.incidents.domain.incident import Incident
from tael.ledger.domain.entries import Entry
from tael.payments.domain.entries import fee_back_entries
from tael.payments.domain.incidents import (
    evidence_in,
    incidents_in,
    refund_incidents_in,
    reversal_incidents_in,
)
from tael.payments.domain.payment import Payment, State, apply_outcome
from tael.payments.domain.refund import (
    Refund,
    RefundRules,
    RefundState,
    apply_refund_outcome,
    refusal_to_refund,
)
from tael.payments.domain.reversal import (
    Reversal,
    ReversalState,
    apply_reversal_outcome,
    final_outcome,
    refusal_to_reverse,
)
from tael.payments.outcomes import consequences, refund_consequences
from tael.payments.reversals import reversal_consequences
from tael.payments.store.payments import Change
from tael.unmatched.domain.unmatched import UnmatchedPayment, UnmatchedState, refute
from tael.webhooks.domain.webhook import WebhookKind
from tests.support.values import a_refund

WINDOW: Final = timedelta(days=365)
Webhook = tuple[WebhookKind, str]


@dataclass(frozen=True, slots=True)
class Rules:
    """Our decisions: the domain's, unless a test replaces one."""

    apply_outcome: Callable[..., Payment] = apply_outcome
    final_outcome: Callable[..., ReversalOutcome] = final_outcome
    reserves: bool = True  #: a refund's amount is reserved before the wallet is asked


@dataclass(frozen=True, slots=True)
class Books:
    """Every row of one order; sorted where the order of writing is irrelevant."""

    payment: Payment
    is_committed: bool = False
    refunds: tuple[Refund, ...] = ()
    reversals: tuple[Reversal, ...] = ()
    entries: tuple[Entry, ...] = ()
    webhooks: tuple[Webhook, ...] = ()
    incidents: tuple[Incident, ...] = ()
    unmatched_payments: tuple[UnmatchedPayment, ...] = ()
    was_over: bool = False

    def reversal(self, syssn: str) -> Reversal:
        return next(row for row in self.reversals if row.syssn == syssn)

    def refund(self, syssn: str) -> Refund:
        return next(row for row in self.refunds if row.syssn == syssn)


# ---- the entry point for outcomes --------------------------------------------------------------------------------


def record_outcome(
    books: Books, outcome: Outcome, rules: Rules, at: datetime, *, is_first: bool = False
) -> Books:
    """Record an outcome of the payment."""
    before = books.payment
    after = rules.apply_outcome(before, outcome, at=at, is_first=is_first)
    found = incidents_in(before, outcome, at=at, refunds_single_trades=False)
    evidence = evidence_in(before, outcome, at=at, refunds_single_trades=False)
    return _written(books, consequences(before, after, found, evidence))


def record_refund_outcome(
    books: Books, syssn: str, outcome: RefundOutcome, at: datetime, *, is_first: bool = False
) -> Books:
    """Record an outcome of a refund; the payment's sums move in the commit that decides it."""
    payment, before = books.payment, books.refund(syssn)
    found = refund_incidents_in(payment, before, outcome, at=at)
    after = apply_refund_outcome(before, outcome, at=at, is_first=is_first)
    change = refund_consequences(payment, before, after, found)
    moved, entries = payment, list(change.entries)
    if change.is_decided:
        amount_minor = after.amount.amount_minor
        is_done = after.state is RefundState.DONE
        moved = payment.replace(
            reserved_minor=payment.reserved_minor - amount_minor,
            refunded_minor=payment.refunded_minor + (amount_minor if is_done else 0),
            refund_count=payment.refund_count - (0 if is_done else 1),
        )
        if is_done:
            entries += fee_back_entries(payment, syssn, payment.refunded_minor, amount_minor, at)
    refunds = tuple(after if row.syssn == syssn else row for row in books.refunds)
    written = Change(moved, tuple(entries), change.webhooks, found)
    return _written(replace(books, refunds=refunds), written)


def record_reversal_outcome(
    books: Books, syssn: str, outcome: ReversalOutcome, at: datetime, *, is_first: bool = False
) -> Books:
    """Record an outcome of a reversal, which changes both rows at once."""
    before, reversal = books.payment, books.reversal(syssn)
    found = reversal_incidents_in(before, syssn, outcome, at=at)
    decided, after = apply_reversal_outcome(reversal, before, outcome, at=at, is_first=is_first)
    reversals = tuple(decided if row.syssn == syssn else row for row in books.reversals)
    change = reversal_consequences(before, after, decided, found)
    return _written(replace(books, reversals=reversals), change)


def _written(books: Books, change: Change) -> Books:
    webhooks = [(webhook.kind, webhook.cause) for webhook in change.webhooks]
    known = {incident.incident_id for incident in books.incidents}
    found = [incident for incident in change.incidents if incident.incident_id not in known]
    reported = {unmatched.unmatched_id for unmatched in books.unmatched_payments}
    unmatched_payments = [
        UnmatchedPayment(*(getattr(evidence, name) for name in Evidence.__slots__))
        for evidence in change.evidence
        if evidence.unmatched_id not in reported
    ]
    return replace(
        books,
        payment=change.after,
        entries=tuple(sorted((*books.entries, *change.entries), key=lambda e: (e.cause, e.kind))),
        webhooks=tuple(sorted((*books.webhooks, *webhooks))),
        incidents=tuple(sorted((*books.incidents, *found), key=lambda i: i.incident_id)),
        unmatched_payments=tuple(
            sorted((*books.unmatched_payments, *unmatched_payments), key=lambda u: u.unmatched_id)
        ),
        was_over=books.was_over or change.after.state in (State.CLOSED, State.EXPIRED),
    )


# ---- what is committed before a wallet is asked ------------------------------------------------------------------


def reserve(books: Books, syssn: str, amount_minor: int, rules: Rules, at: datetime) -> Books | None:
    """Reserve a refund; None if it is refused."""
    payment = books.payment
    if refusal_to_refund(payment, amount_minor, at, RefundRules(WINDOW)) is not None:
        return None
    refund = a_refund(
        payment,
        syssn=syssn,
        reference=syssn,
        amount=Money(amount_minor, payment.amount.currency),
        created_at=at,
        changed_at=at,
    )
    reserved = payment.replace(
        reserved_minor=payment.reserved_minor + (amount_minor if rules.reserves else 0),
        refund_count=payment.refund_count + 1,
    )
    return replace(books, payment=reserved, refunds=(*books.refunds, refund))


def intend_reversal(books: Books, syssn: str, fails_with: Reason | None, at: datetime) -> Books | None:
    """Create a reversal that reserves the remainder; None if it is refused or another one was faster."""
    payment = books.payment
    if payment.reversal_syssn or (fails_with and payment.state is not State.PENDING):
        return None
    if refusal_to_reverse(payment) is not None:
        return None
    amount_minor = payment.refundable_minor if payment.state is State.PAID else 0
    reversal = Reversal(
        mchid=payment.mchid,
        syssn=syssn,
        payment_syssn=payment.syssn,
        account_id=payment.account_id,
        protocol=payment.protocol,
        amount_minor=amount_minor,
        client_time="",
        fails_with=fails_with,
        created_at=at,
        changed_at=at,
        check_at=at,
    )
    marked = payment.replace(reversal_syssn=syssn, reserved_minor=payment.reserved_minor + amount_minor)
    return replace(books, payment=marked, reversals=(*books.reversals, reversal))


def with_refuted_payments(books: Books) -> Books:
    """The job of unmatched payments: a payment that our reversal has undone is no longer unmatched."""
    if not any(row.state is ReversalState.DONE for row in books.reversals):
        return books
    followed = (
        refute(found, "a reversal of ours undid the order")
        if found.state is UnmatchedState.SUSPECTED
        else found
        for found in books.unmatched_payments
    )
    return replace(books, unmatched_payments=tuple(followed))
