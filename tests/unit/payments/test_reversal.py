"""Reversals: which payments allow one, the effect on both rows, and when the wallet is called again."""

from dataclasses import replace
from datetime import timedelta
from typing import Final

import pytest

from tael.base.errors import AlreadyRefunded, NotAllowed, TaelError
from tael.base.money import Money
from tael.base.reasons import Reason
from tael.channels.outcomes import (
    Again,
    AwaitingPayer,
    Closed,
    NotSent,
    Refunded,
    RefundOutcome,
    RefundPending,
    RefundStuck,
    Refusal,
    Refused,
    ReversalAction,
    ReversalOutcome,
    Reversed,
    Unknown,
)
from tael.payments.domain.payment import Payment, State
from tael.payments.domain.refusals import reason_of
from tael.payments.domain.reversal import (
    MAX_GAP,
    Reversal,
    ReversalState,
    apply_reversal_outcome,
    apply_reversal_refund_outcome,
    final_outcome,
    refusal_to_reverse,
    reschedule_reversal,
)
from tael.qfpay import codes
from tael.qfpay.reasons import code_of
from tael.qfpay.shown import shown_reversal_respcd
from tests.support.values import (
    AMOUNT,
    BARCODE,
    NOW,
    ONLINE,
    a_paid_payment,
    a_payment,
    a_reversal,
    marked_for,
)

LATER: Final = NOW + timedelta(seconds=30)


def intended(payment: Payment) -> tuple[Reversal, Payment]:
    reversal = a_reversal(payment)
    return reversal, marked_for(payment, reversal)


def is_sound(payment: Payment) -> bool:
    """The CHECK constraint of the table."""
    limit = payment.amount.amount_minor if payment.state is State.PAID else 0
    sums = (payment.refunded_minor, payment.reserved_minor)
    return min(sums) >= 0 and sum(sums) <= limit


@pytest.mark.parametrize("state", State)
def test_only_barcode_payments_are_reversed(state: State) -> None:
    assert isinstance(refusal_to_reverse(a_payment(ONLINE, state=state)), NotAllowed)
    assert refusal_to_reverse(a_payment(BARCODE, state=state)) is None


@pytest.mark.parametrize(
    ("payment", "refusal"),
    [
        (a_paid_payment(BARCODE, refunded_minor=40), NotAllowed),
        (a_paid_payment(BARCODE, reserved_minor=40), NotAllowed),
        (a_paid_payment(BARCODE, refunded_minor=60, reserved_minor=40), NotAllowed),
        (a_paid_payment(BARCODE, refunded_minor=100), AlreadyRefunded),
    ],
)
def test_a_payment_with_refunds_is_not_reversed(payment: Payment, refusal: type[TaelError]) -> None:
    assert type(refusal_to_reverse(payment)) is refusal


@pytest.mark.parametrize("action", ReversalAction)
def test_reversing_a_paid_payment_gives_everything_back(action: ReversalAction) -> None:
    reversal, payment = apply_reversal_outcome(*intended(a_paid_payment(BARCODE)), Reversed(action), at=LATER)
    assert (reversal.state, shown_reversal_respcd(reversal), reversal.action) == (
        ReversalState.DONE,
        codes.OK,
        action,
    )
    assert (reversal.check_at, reversal.changed_at) == (None, LATER)
    assert (payment.state, payment.is_reversed) == (State.PAID, True)
    assert (payment.refunded_minor, payment.reserved_minor) == (100, 0)
    assert is_sound(payment)


@pytest.mark.parametrize("action", [ReversalAction.CLOSED, ReversalAction.DONE])
def test_reversing_an_unpaid_payment_closes_it(action: ReversalAction) -> None:
    reversal, payment = apply_reversal_outcome(*intended(a_payment(BARCODE)), Reversed(action), at=LATER)
    assert reversal.state is ReversalState.DONE
    assert (payment.state, payment.is_reversed, payment.check_at) == (State.CLOSED, True, None)
    assert is_sound(payment)


def test_a_payment_paid_and_reversed_between_two_queries_books_both() -> None:
    undone = Reversed(ReversalAction.REFUNDED, "wallet-9")
    _, payment = apply_reversal_outcome(*intended(a_payment(BARCODE)), undone, at=LATER)
    assert (payment.state, payment.is_reversed, payment.refunded_minor) == (State.PAID, True, 100)
    assert (payment.wallet_ref, payment.paid_at) == ("wallet-9", LATER)
    assert is_sound(payment)


@pytest.mark.parametrize("action", ReversalAction)
@pytest.mark.parametrize("state", [State.FAILED, State.EXPIRED, State.CLOSED])
def test_reversing_a_decided_payment_keeps_its_state_and_code(state: State, action: ReversalAction) -> None:
    reason = Reason.PAYER_BALANCE if state is State.FAILED else None
    before = a_payment(BARCODE, state=state, reason=reason)
    _, payment = apply_reversal_outcome(*intended(before), Reversed(action), at=LATER)
    assert (payment.state, payment.reason, payment.is_reversed) == (state, reason, True)
    assert is_sound(payment)


@pytest.mark.parametrize("state", State)
def test_a_refusal_gives_the_reservation_back_and_allows_another_try(state: State) -> None:
    before = a_paid_payment(BARCODE) if state is State.PAID else a_payment(BARCODE, state=state)
    refused = Refused(Refusal.REVERSAL_REFUSED, "REVERSE_EXPIRE")
    reversal, payment = apply_reversal_outcome(*intended(before), refused, at=LATER)
    assert (reversal.state, reversal.wallet_code) == (ReversalState.FAILED, "REVERSE_EXPIRE")
    assert payment == before


LATE: Final = Refused(Refusal.WINDOW_OVER, "REVERSE_EXPIRE")


def test_a_reversal_that_is_too_late_continues_as_a_refund() -> None:
    before = a_paid_payment(BARCODE)
    reversal, payment = apply_reversal_outcome(*intended(before), LATE, at=LATER)
    assert (reversal.state, reversal.goes_by_refund) == (ReversalState.PENDING, True)
    assert payment.reserved_minor == before.amount.amount_minor
    assert is_sound(payment)


def test_money_that_came_after_the_request_is_reserved_for_the_refund() -> None:
    unpaid = a_payment(BARCODE)
    reversal = a_reversal(unpaid)
    paid = marked_for(a_paid_payment(BARCODE), reversal).replace(syssn=unpaid.syssn)
    onward, payment = apply_reversal_outcome(reversal, paid, LATE, at=LATER)
    assert onward.amount_minor == payment.reserved_minor == paid.amount.amount_minor
    assert is_sound(payment)


@pytest.mark.parametrize("state", [state for state in State if state is not State.PAID])
def test_an_unpaid_payment_is_not_refunded(state: State) -> None:
    before = a_payment(BARCODE, state=state)
    reversal, payment = apply_reversal_outcome(*intended(before), LATE, at=LATER)
    assert (reversal.state, shown_reversal_respcd(reversal)) == (ReversalState.FAILED, codes.NOT_ALLOWED)
    assert payment == before


def test_a_reversal_of_our_own_never_becomes_a_refund() -> None:
    before = a_paid_payment(BARCODE)
    ours = a_reversal(before, fails_with=Reason.SWIPE_FAILED)
    reversal, _ = apply_reversal_outcome(ours, marked_for(before, ours), LATE, at=LATER)
    assert (reversal.state, reversal.goes_by_refund) == (ReversalState.PENDING, False)


def in_progress() -> tuple[Reversal, Payment]:
    return apply_reversal_outcome(*intended(a_paid_payment(BARCODE)), LATE, at=LATER)


def test_a_reversal_by_refund_is_done_when_the_money_went_back() -> None:
    done, payment = apply_reversal_refund_outcome(*in_progress(), Refunded(AMOUNT, "r", None), at=LATER)
    assert (done.state, done.action) == (ReversalState.DONE, ReversalAction.BY_REFUND)
    assert (payment.is_reversed, payment.refunded_minor, payment.reserved_minor) == (True, 100, 0)
    assert is_sound(payment)


def test_a_refused_refund_ends_the_reversal_and_frees_the_money() -> None:
    refused = Refused(Refusal.WINDOW_OVER, "TRADE_OVERDUE")
    reversal, payment = apply_reversal_refund_outcome(*in_progress(), refused, at=LATER)
    assert (reversal.state, shown_reversal_respcd(reversal)) == (ReversalState.FAILED, codes.WINDOW_OVER)
    assert (payment.reserved_minor, payment.refunded_minor, payment.is_reversed) == (0, 0, False)


@pytest.mark.parametrize(
    "outcome",
    [RefundPending(), RefundStuck("CHANGE"), NotSent(""), Unknown(""), Refunded(Money(1, "HKD"), "r", None)],
)
def test_an_undecided_refund_decides_no_reversal(outcome: RefundOutcome) -> None:
    before = in_progress()
    assert apply_reversal_refund_outcome(*before, outcome, at=LATER) == before


def test_a_reversal_that_continues_as_a_refund_ignores_late_reversal_outcomes() -> None:
    before = in_progress()
    assert apply_reversal_outcome(*before, LATE, at=LATER) == before
    assert apply_reversal_outcome(*before, Refused(Refusal.REVERSAL_REFUSED, ""), at=LATER) == before


def test_a_reversal_without_a_refund_ignores_refund_outcomes() -> None:
    before = intended(a_paid_payment(BARCODE))
    assert apply_reversal_refund_outcome(*before, Refunded(AMOUNT, "r", None), at=LATER) == before


@pytest.mark.parametrize("reason", [reason for reason in Refusal if reason is not Refusal.WINDOW_OVER])
def test_any_other_refusal_becomes_its_code(reason: Refusal) -> None:
    reversal, _ = apply_reversal_outcome(*intended(a_paid_payment(BARCODE)), Refused(reason, ""), at=LATER)
    assert shown_reversal_respcd(reversal) == code_of(reason_of(reason))


def test_an_initial_request_that_was_not_sent_releases_the_reservation() -> None:
    before = a_paid_payment(BARCODE)
    reversal, payment = apply_reversal_outcome(*intended(before), NotSent(""), at=LATER, is_first=True)
    assert (reversal.state, shown_reversal_respcd(reversal)) == (ReversalState.FAILED, codes.UNREACHABLE)
    assert payment == before


@pytest.mark.parametrize("outcome", [Again("busy"), Unknown("timeout"), NotSent("later")])
def test_an_unknown_outcome_decides_nothing(outcome: ReversalOutcome) -> None:
    rows = intended(a_paid_payment(BARCODE))
    assert apply_reversal_outcome(*rows, outcome, at=LATER) == rows


@pytest.mark.parametrize(
    "outcome", [Reversed(ReversalAction.REFUNDED), Refused(Refusal.OTHER, ""), NotSent("")]
)
@pytest.mark.parametrize("state", [ReversalState.DONE, ReversalState.FAILED])
def test_a_decided_reversal_ignores_further_outcomes(state: ReversalState, outcome: ReversalOutcome) -> None:
    reversal, payment = intended(a_paid_payment(BARCODE))
    decided = replace(reversal, state=state)
    assert apply_reversal_outcome(decided, payment, outcome, at=LATER, is_first=True) == (decided, payment)


def test_the_wallet_is_called_again_after_5_10_20_seconds_and_then_less_and_less_often() -> None:
    reversal, now, gaps = a_reversal(a_paid_payment(BARCODE)), NOW, []
    for _ in range(15):
        reversal = reschedule_reversal(reversal, now)
        assert reversal.check_at is not None
        gaps.append(reversal.check_at - now)
        now = reversal.check_at
    assert [gap.total_seconds() for gap in gaps[:4]] == [5, 10, 20, 40]
    assert gaps == sorted(gaps)
    assert gaps[-1] == MAX_GAP


@pytest.mark.parametrize("state", [ReversalState.DONE, ReversalState.FAILED])
def test_a_decided_reversal_is_not_polled(state: ReversalState) -> None:
    assert reschedule_reversal(a_reversal(a_paid_payment(BARCODE), state=state), NOW).check_at is None


NEVER_SEEN: Final = Unknown("no such order", no_such_order=True)
#: A request is in flight for at most 60 s; this is one second more.
ARRIVED: Final = NOW + timedelta(seconds=61)


@pytest.mark.parametrize("answer", [NEVER_SEEN, Reversed(ReversalAction.CLOSED)])
@pytest.mark.parametrize("query", [NEVER_SEEN, Unknown("timeout"), NotSent("refused")])
def test_a_missing_order_that_may_still_arrive_is_not_reversed(
    answer: ReversalOutcome, query: Unknown | NotSent
) -> None:
    young = final_outcome(answer, a_payment(BARCODE), query, requested_at=LATER)
    assert isinstance(young, Unknown)
    assert young.no_such_order
    assert final_outcome(answer, a_payment(BARCODE), query, requested_at=ARRIVED) == Reversed(
        ReversalAction.CLOSED
    )


@pytest.mark.parametrize("query", [AwaitingPayer(), Closed()])
def test_an_order_that_was_seen_is_reversed_at_once(query: AwaitingPayer | Closed) -> None:
    answer = Reversed(ReversalAction.CLOSED)
    assert final_outcome(answer, a_payment(BARCODE), query, requested_at=LATER) == answer


def test_an_order_that_the_wallet_refused_was_never_created() -> None:
    failed = a_payment(BARCODE, state=State.FAILED)
    for answer in (NEVER_SEEN, Reversed(ReversalAction.CLOSED)):
        assert final_outcome(answer, failed, None, requested_at=LATER) == Reversed(ReversalAction.CLOSED)


@pytest.mark.parametrize("action", [ReversalAction.REFUNDED, ReversalAction.DONE])
def test_a_reversal_of_a_found_order_is_accepted(action: ReversalAction) -> None:
    answer = Reversed(action)
    assert final_outcome(answer, a_payment(BARCODE), NEVER_SEEN, requested_at=LATER) == answer
