"""A payment's states: the effect of every outcome in every state, when it is polled, and what a query shows."""

from dataclasses import replace
from datetime import timedelta
from itertools import pairwise
from typing import Final

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tael.base.errors import InvalidTransition
from tael.base.money import Money
from tael.base.pay_types import PAY_TYPES, PayType
from tael.base.reasons import Reason
from tael.channels.outcomes import (
    AwaitingPayer,
    Closed,
    NotSent,
    Outcome,
    Paid,
    PayCode,
    PayLink,
    PayParams,
    Refusal,
    Refused,
    Unknown,
)
from tael.payments.domain.incidents import incidents_in
from tael.payments.domain.payment import (
    ALLOWED,
    FIRST_CHECK,
    LATE_MONEY,
    MAX_GAP,
    NOTICE_WAIT,
    Payment,
    State,
    advance,
    apply_outcome,
    fail_reversed,
    next_check,
    reschedule,
)
from tael.payments.domain.refusals import reason_of
from tael.qfpay import codes
from tael.qfpay.reasons import code_of
from tael.qfpay.shown import shown_cancel, shown_respcd
from tests.support.values import AMOUNT, BARCODE, NOW, ONLINE, a_paid_payment, a_payment

LATER: Final = NOW + timedelta(seconds=30)
PAID: Final = Paid(AMOUNT, "wallet-1", "payer-1", LATER)
REFUSED: Final = Refused(Refusal.PAYER_BALANCE, "NOTENOUGH")
OUTCOMES: Final[dict[str, Outcome]] = {
    "paid": PAID,
    "awaiting": AwaitingPayer(),
    "refused": REFUSED,
    "closed": Closed(),
    "not sent": NotSent("refused connection"),
    "unknown": Unknown("timeout"),
}
#: The next state of an online payment without a close request; all other outcomes leave it unchanged.
STEPS: Final = {
    (State.PENDING, "paid"): State.PAID,
    (State.PENDING, "refused"): State.FAILED,
    (State.PENDING, "closed"): State.EXPIRED,
    (State.CLOSED, "paid"): State.PAID,
    (State.EXPIRED, "paid"): State.PAID,
}
REASONS: Final = st.sampled_from(list(Refusal))
MONEYS: Final = st.one_of(st.none(), st.just(AMOUNT), st.builds(Money, st.integers(1, 300), st.just("HKD")))
ANY_OUTCOME: Final = st.one_of(
    st.builds(Paid, MONEYS, st.sampled_from(["", "wallet-1", "wallet-2"]), st.just("payer"), st.just(LATER)),
    st.builds(AwaitingPayer, st.one_of(st.none(), st.builds(PayCode, st.text()))),
    st.builds(Refused, REASONS, st.text()),
    st.just(Closed()),
    st.just(NotSent("")),
    st.builds(Unknown, st.text(), st.booleans(), st.booleans()),
)
ANY_PAYMENT: Final = st.builds(
    lambda pay_type, state, close, reversal, is_reversed, age_s: a_payment(
        pay_type,
        state=state,
        close_syssn=close,
        reversal_syssn=reversal,
        is_reversed=is_reversed,
        created_at=NOW - timedelta(seconds=age_s),
    ),
    st.sampled_from(list(PAY_TYPES.values())),
    st.sampled_from(list(State)),
    st.sampled_from(["", "close"]),
    st.sampled_from(["", "reversal"]),
    st.booleans(),
    st.integers(0, 10_000),
)


def in_state(state: State, pay_type: PayType = ONLINE, **changes: object) -> Payment:
    made = a_paid_payment(pay_type) if state is State.PAID else a_payment(pay_type, state=state)
    return made.replace(**changes)


# ---- apply_outcome -----------------------------------------------------------------------------------------------


def incident_of(before: Payment, outcome: Outcome) -> str | None:
    """The incident's detail, if there is one."""
    found = incidents_in(before, outcome, at=LATER, refunds_single_trades=True)
    return found[0].detail if found else None


@pytest.mark.parametrize("is_first", [False, True])
@pytest.mark.parametrize("name", OUTCOMES)
@pytest.mark.parametrize("state", State)
def test_every_outcome_in_every_state_has_one_result(state: State, name: str, is_first: bool) -> None:
    expected = STEPS.get((state, name), state)
    if state is State.PENDING and name == "not sent" and is_first:
        expected = State.FAILED
    before = in_state(state)
    after = apply_outcome(before, OUTCOMES[name], at=LATER, is_first=is_first)
    assert after.state is expected
    if expected is state:
        assert after == before
    else:
        assert after.changed_at == LATER


@given(ANY_PAYMENT, ANY_OUTCOME, st.booleans())
def test_apply_outcome_is_total_and_makes_only_allowed_transitions(
    before: Payment, outcome: Outcome, is_first: bool
) -> None:
    after = apply_outcome(before, outcome, at=LATER, is_first=is_first)
    assert after.state is before.state or after.state in ALLOWED[before.state]
    assert after.version == before.version
    incident_of(before, outcome)


@given(ANY_PAYMENT, ANY_OUTCOME)
def test_the_same_outcome_twice_changes_nothing(before: Payment, outcome: Outcome) -> None:
    after = apply_outcome(before, outcome, at=LATER)
    assert apply_outcome(after, outcome, at=LATER + timedelta(hours=1)) == after


@given(ANY_PAYMENT, ANY_OUTCOME)
def test_only_a_paid_outcome_makes_a_payment_paid(before: Payment, outcome: Outcome) -> None:
    after = apply_outcome(before, outcome, at=LATER)
    if after.state is State.PAID and before.state is not State.PAID:
        assert isinstance(outcome, Paid)
        assert outcome.amount in (None, before.amount)


def test_paid_keeps_the_wallets_values_and_ends_the_polling() -> None:
    after = apply_outcome(a_payment(), PAID, at=LATER)
    assert (after.wallet_ref, after.payer_ref, after.paid_at) == ("wallet-1", "payer-1", LATER)
    assert after.check_at is None


def test_a_paid_outcome_without_an_amount_is_accepted() -> None:
    after = apply_outcome(a_payment(), replace(PAID, amount=None), at=LATER)
    assert after.state is State.PAID
    assert after.amount == AMOUNT


@pytest.mark.parametrize("taken", [Money(99, "HKD"), Money(101, "HKD"), Money(100, "CNY")])
@pytest.mark.parametrize("state", State)
def test_another_amount_or_currency_is_an_incident_and_changes_nothing(state: State, taken: Money) -> None:
    before = in_state(state)
    outcome = replace(PAID, amount=taken)
    assert apply_outcome(before, outcome, at=LATER) == before
    assert "the price was 1.00 HKD" in (incident_of(before, outcome) or "")


@pytest.mark.parametrize("state", [State.CLOSED, State.EXPIRED])
def test_late_money_is_money_and_an_incident(state: State) -> None:
    before = in_state(state)
    assert apply_outcome(before, PAID, at=LATER).state is State.PAID
    assert incident_of(before, PAID) == f"paid after it was {state}"


def test_money_after_a_refusal_is_an_incident_and_stays_failed() -> None:
    before = in_state(State.FAILED, reason=Reason.PAYER_BALANCE)
    assert apply_outcome(before, PAID, at=LATER) == before
    assert incident_of(before, PAID) == "paid after the wallet had refused it"


@pytest.mark.parametrize("state", [State.CLOSED, State.FAILED, State.EXPIRED])
def test_a_reversed_order_that_the_wallet_still_reports_as_paid_is_not_paid_again(state: State) -> None:
    before = in_state(state, BARCODE, is_reversed=True, reversal_syssn="r")
    assert apply_outcome(before, PAID, at=LATER) == before


def test_a_second_trade_for_a_paid_order_is_an_incident() -> None:
    before = a_paid_payment()
    other = replace(PAID, wallet_ref="wallet-2")
    assert apply_outcome(before, other, at=LATER) == before
    assert incident_of(before, other) == "paid twice: wallet-1 and wallet-2"
    assert incident_of(before, PAID) is None


def test_a_paid_order_that_the_wallet_closed_is_an_incident_unless_we_know_why() -> None:
    before = a_paid_payment(BARCODE)
    assert apply_outcome(before, Closed(), at=LATER) == before
    assert incident_of(before, Closed()) == "the wallet closed a paid order"
    assert incident_of(before.replace(reversal_syssn="r"), Closed()) is None
    assert incident_of(before.replace(refund_count=1), Closed()) is None


@pytest.mark.parametrize("name", ["awaiting", "refused", "closed", "not sent", "unknown"])
def test_an_ordinary_outcome_of_a_pending_payment_is_no_incident(name: str) -> None:
    assert incident_of(a_payment(), OUTCOMES[name]) is None


@pytest.mark.parametrize("reason", Refusal)
def test_a_refusal_becomes_its_code(reason: Refusal) -> None:
    after = apply_outcome(a_payment(), Refused(reason, "THEIRS"), at=LATER)
    assert (after.state, shown_respcd(after), after.wallet_code) == (
        State.FAILED,
        code_of(reason_of(reason)),
        "THEIRS",
    )
    assert after.check_at is None


def test_an_initial_request_that_was_not_sent_fails_the_payment_as_unreachable() -> None:
    after = apply_outcome(a_payment(), NotSent("refused"), at=LATER, is_first=True)
    assert (after.state, shown_respcd(after)) == (State.FAILED, codes.UNREACHABLE)


@pytest.mark.parametrize("pay", [PayLink("https://pay"), PayCode("weixin://pay"), PayParams({"a": "b"})])
def test_the_payers_link_code_or_parameters_are_kept(pay: PayLink | PayCode | PayParams) -> None:
    after = apply_outcome(a_payment(), AwaitingPayer(pay), at=LATER)
    assert after.pay == pay
    assert apply_outcome(after, AwaitingPayer(), at=LATER).pay == pay


def test_an_order_closed_at_the_wallet_is_closed_if_we_requested_it() -> None:
    assert apply_outcome(a_payment(close_syssn="c"), Closed(), at=LATER).state is State.CLOSED


def test_an_order_closed_by_a_reversal_in_progress_is_left_to_the_reversal() -> None:
    payment = a_payment(BARCODE, reversal_syssn="r")
    assert apply_outcome(payment, Closed(), at=LATER) == payment


def test_an_online_order_closed_at_the_wallet_without_a_request_has_expired() -> None:
    assert apply_outcome(a_payment(ONLINE), Closed(), at=LATER).state is State.EXPIRED


def test_a_barcode_closed_at_the_wallet_fails_as_cancelled_or_expired() -> None:
    payment = a_payment(BARCODE)
    early = apply_outcome(payment, Closed(), at=payment.expires_at - timedelta(seconds=1))
    late = apply_outcome(payment, Closed(), at=payment.expires_at)
    assert (early.state, shown_respcd(early)) == (State.FAILED, codes.PAYER_CANCELLED)
    assert (late.state, shown_respcd(late)) == (State.FAILED, codes.CODE_EXPIRED)


def test_an_undone_barcode_fails_with_the_code_given_unless_it_was_decided() -> None:
    after = fail_reversed(a_payment(BARCODE), Reason.PAYER_CODE_EXPIRED, LATER)
    assert (after.state, shown_respcd(after)) == (State.FAILED, codes.CODE_EXPIRED)
    paid = a_paid_payment(BARCODE)
    assert fail_reversed(paid, Reason.PAYER_CODE_EXPIRED, LATER) == paid


@pytest.mark.parametrize("to", State)
@pytest.mark.parametrize("state", State)
def test_a_step_that_is_not_allowed_is_refused(state: State, to: State) -> None:
    before = in_state(state)
    if to is state:
        assert advance(before, to, LATER) == before
    elif to in ALLOWED[state]:
        assert advance(before, to, LATER).state is to
    else:
        with pytest.raises(InvalidTransition, match=before.syssn):
            advance(before, to, LATER)


# ---- the next query ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("state", [State.PAID, State.FAILED])
@pytest.mark.parametrize("pay_type", PAY_TYPES.values(), ids=lambda pay_type: pay_type.code)
def test_a_decided_payment_is_not_polled(state: State, pay_type: PayType) -> None:
    assert next_check(in_state(state, pay_type), LATER) is None


@pytest.mark.parametrize("state", [State.CLOSED, State.EXPIRED])
def test_a_decided_barcode_payment_is_not_polled(state: State) -> None:
    assert next_check(in_state(state, BARCODE), LATER) is None


@given(st.sampled_from(list(PAY_TYPES.values())), st.integers(0, 100_000))
def test_a_pending_payment_is_always_due_again_soon_and_at_its_expiry(pay_type: PayType, age_s: int) -> None:
    payment = a_payment(pay_type)
    now = NOW + timedelta(seconds=age_s)
    due = next_check(payment, now)
    assert due is not None
    assert now < due <= now + MAX_GAP
    if now < payment.expires_at:
        assert due <= payment.expires_at


@given(st.integers(0, 100_000))
def test_a_pending_barcode_is_polled_every_few_seconds_until_it_expires(age_s: int) -> None:
    payment = a_payment(BARCODE)
    now = NOW + timedelta(seconds=age_s)
    if now < payment.expires_at:
        assert next_check(payment, now) == min(now + FIRST_CHECK, payment.expires_at)


def gaps_until_expiry(payment: Payment) -> list[float]:
    """In seconds, beginning at the opening."""
    gaps, now = [], NOW
    while now < payment.expires_at:
        due = next_check(payment, now)
        assert due is not None
        gaps.append((due - now).total_seconds())
        now = due
    assert now == payment.expires_at
    return gaps


def test_an_order_that_the_payer_can_pay_is_polled_in_case_that_its_notice_is_lost() -> None:
    payment = a_payment(expires_at=NOW + timedelta(minutes=5), pay=PayCode("weixin://pay"))
    assert gaps_until_expiry(payment) == [30, 30, 30, 30, 30, 37.5, 46.875, 58.59375, 7.03125]


def test_an_order_without_pay_data_is_polled_soon() -> None:
    """Its initial request was lost: the wallet may not know it, and sends no notice."""
    payment = a_payment(expires_at=NOW + timedelta(seconds=30))
    assert gaps_until_expiry(payment) == [5, 5, 5, 5, 5, 5]


def test_a_requested_close_is_continued_soon() -> None:
    payment = a_payment(pay=PayCode("weixin://pay"), close_syssn="1")
    assert next_check(payment, NOW) == NOW + timedelta(seconds=5)


@pytest.mark.parametrize("state", [State.CLOSED, State.EXPIRED])
def test_a_closed_online_order_is_watched_until_an_hour_after_its_deadline(state: State) -> None:
    payment = in_state(state, deadline=NOW + timedelta(hours=2))
    last = payment.deadline + LATE_MONEY
    asked, now = [NOW], NOW
    while (due := next_check(payment, now)) is not None:
        assert now < due <= last
        now = due
        asked.append(now)
    assert now == last
    gaps = [later - earlier for earlier, later in pairwise(asked)]
    assert all(NOTICE_WAIT <= gap <= MAX_GAP for gap in gaps[:-1])
    assert len(asked) < 60


@pytest.mark.parametrize("pay_type", PAY_TYPES.values(), ids=lambda pay_type: pay_type.code)
def test_gaps_grow_with_the_age_of_an_online_order(pay_type: PayType) -> None:
    gaps = gaps_until_expiry(a_payment(pay_type))
    assert gaps[0] == 5
    assert gaps[:-1] == sorted(gaps[:-1])  # the last is cut off by the expiry


def test_every_query_is_counted() -> None:
    after = reschedule(a_payment(checks=3), LATER)
    assert (after.checks, after.checked_at, after.has_initial_response) == (4, LATER, True)
    assert after.check_at == next_check(after, LATER)


# ---- what a query shows ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("payment", "shown"),
    [
        (a_payment(), ("1145", "0")),
        (a_paid_payment(), ("0000", "0")),
        (in_state(State.FAILED, reason=Reason.PAYER_BALANCE), ("1201", "0")),
        (in_state(State.CLOSED), ("1142", "2")),
        (in_state(State.CLOSED, BARCODE, is_reversed=True), ("1142", "1")),
        (in_state(State.EXPIRED), ("1181", "0")),
        (a_paid_payment(BARCODE, is_reversed=True, refunded_minor=100), ("0000", "1")),
        (a_paid_payment(refunded_minor=40), ("0000", "2")),
        (a_paid_payment(refunded_minor=100), ("0000", "2")),
        (a_paid_payment(reserved_minor=40), ("0000", "0")),
        (in_state(State.FAILED, BARCODE, reason=Reason.PAYER_CODE_EXPIRED, is_reversed=True), ("2005", "1")),
    ],
)
def test_a_query_shows_code_and_cancel_of_each_state(payment: Payment, shown: tuple[str, str]) -> None:
    assert (shown_respcd(payment), shown_cancel(payment)) == shown


def test_the_refundable_amount_is_neither_refunded_nor_reserved() -> None:
    assert a_paid_payment(refunded_minor=40, reserved_minor=25).refundable_minor == 35
