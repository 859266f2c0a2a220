"""Refunds: which payments allow one, the effect of every outcome, and when a refund is polled."""

from dataclasses import replace
from datetime import timedelta
from typing import Final

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tael.base.errors import (
    AlreadyRefunded,
    FullOnly,
    NotAllowed,
    OrderClosed,
    OrderExpired,
    OverRefund,
    TaelError,
    WindowOver,
)
from tael.base.money import Money
from tael.channels.outcomes import (
    NotSent,
    Refunded,
    RefundOutcome,
    RefundPending,
    RefundStuck,
    Refusal,
    Refused,
    Unknown,
)
from tael.payments.domain.incidents import refund_incidents_in
from tael.payments.domain.payment import Payment, State
from tael.payments.domain.refund import (
    MAX_GAP,
    Refund,
    RefundRules,
    RefundState,
    apply_refund_outcome,
    refusal_to_refund,
    reschedule_refund,
)
from tael.payments.domain.refusals import reason_of
from tael.qfpay import codes
from tael.qfpay.reasons import code_of
from tael.qfpay.shown import shown_refund_respcd
from tests.support.values import BARCODE, NOW, a_paid_payment, a_payment, a_refund

LATER: Final = NOW + timedelta(seconds=30)
WINDOW: Final = timedelta(days=365)
MAX_REFUNDS: Final = 50
RULES: Final = RefundRules(WINDOW, max_refunds=MAX_REFUNDS)
OUTCOMES: Final[dict[str, RefundOutcome]] = {
    "refunded": Refunded(Money(40, "HKD"), "wr-1", LATER),
    "pending": RefundPending("wr-1"),
    "stuck": RefundStuck("CHANGE"),
    "refused": Refused(Refusal.MERCHANT_BALANCE, "NOTENOUGH"),
    "not sent": NotSent("refused connection"),
    "unknown": Unknown("timeout"),
}


def refund_incident_of(before: Refund, outcome: RefundOutcome) -> str | None:
    """The incident's detail, if there is one."""
    found = refund_incidents_in(a_paid_payment(), before, outcome, at=LATER)
    return found[0].detail if found else None


def the_refund(state: RefundState = RefundState.PROCESSING) -> Refund:
    return a_refund(a_paid_payment(), state=state)


@pytest.mark.parametrize(
    ("payment", "amount_minor", "refusal"),
    [
        (a_payment(), 1, NotAllowed),
        (a_payment(state=State.FAILED), 1, NotAllowed),
        (a_payment(state=State.CLOSED), 1, OrderClosed),
        (a_payment(state=State.EXPIRED), 1, OrderExpired),
        (a_paid_payment(refunded_minor=100), 1, AlreadyRefunded),
        (a_paid_payment(reserved_minor=100), 1, AlreadyRefunded),
        (a_paid_payment(BARCODE, is_reversed=True, refunded_minor=100), 1, AlreadyRefunded),
        (a_paid_payment(BARCODE, reversal_syssn="r"), 1, NotAllowed),
        (a_paid_payment(refunded_minor=40, reserved_minor=20), 41, OverRefund),
        (a_paid_payment(), 101, OverRefund),
        (a_paid_payment(refund_count=MAX_REFUNDS), 1, NotAllowed),
        (a_paid_payment(paid_at=NOW - WINDOW - timedelta(seconds=1)), 1, WindowOver),
    ],
)
def test_an_impossible_refund_is_refused_with_its_reason(
    payment: Payment, amount_minor: int, refusal: type[TaelError]
) -> None:
    assert type(refusal_to_refund(payment, amount_minor, NOW, RULES)) is refusal


@pytest.mark.parametrize(
    ("payment", "amount_minor"),
    [
        (a_paid_payment(), 100),
        (a_paid_payment(refunded_minor=40, reserved_minor=20), 40),
        (a_paid_payment(refund_count=MAX_REFUNDS - 1), 1),
        (a_paid_payment(paid_at=NOW - WINDOW), 1),
    ],
)
def test_the_remainder_may_be_refunded(payment: Payment, amount_minor: int) -> None:
    assert refusal_to_refund(payment, amount_minor, NOW, RULES) is None


@pytest.mark.parametrize(
    ("payment", "amount_minor", "refusal"),
    [
        (a_paid_payment(), 99, FullOnly),
        (a_paid_payment(), 100, None),
        (a_paid_payment(), 101, OverRefund),
        (a_paid_payment(refunded_minor=100), 1, AlreadyRefunded),
        (a_paid_payment(refunded_minor=40), 59, FullOnly),  # parts went back while the contract allowed them
        (a_paid_payment(refunded_minor=40), 60, None),
        (a_payment(), 99, NotAllowed),
    ],
)
def test_without_partial_refunds_only_the_whole_remainder_may_be_refunded(
    payment: Payment, amount_minor: int, refusal: type[TaelError] | None
) -> None:
    refused = refusal_to_refund(payment, amount_minor, NOW, replace(RULES, supports_partial=False))
    assert (None if refused is None else type(refused)) is refusal


@pytest.mark.parametrize("is_first", [False, True])
@pytest.mark.parametrize("name", OUTCOMES)
@pytest.mark.parametrize("state", RefundState)
def test_every_outcome_in_every_state_has_one_result(state: RefundState, name: str, is_first: bool) -> None:
    before = the_refund(state)
    after = apply_refund_outcome(before, OUTCOMES[name], at=LATER, is_first=is_first)
    if state is not RefundState.PROCESSING:
        assert after == before
        return
    decided = {"refunded": RefundState.DONE, "refused": RefundState.FAILED}
    if is_first:
        decided["not sent"] = RefundState.FAILED
    assert after.state is decided.get(name, RefundState.PROCESSING)


def test_a_completed_refund_keeps_the_wallets_values() -> None:
    done = apply_refund_outcome(the_refund(), OUTCOMES["refunded"], at=NOW)
    assert (shown_refund_respcd(done), done.wallet_ref, done.done_at, done.check_at) == (
        codes.OK,
        "wr-1",
        LATER,
        None,
    )


def test_a_refunded_outcome_without_amount_number_and_time_is_accepted() -> None:
    pending = apply_refund_outcome(the_refund(), RefundPending("wr-1"), at=NOW)
    done = apply_refund_outcome(pending, Refunded(None, "", None), at=LATER)
    assert (done.state, done.wallet_ref, done.done_at) == (RefundState.DONE, "wr-1", LATER)


@pytest.mark.parametrize("money", [Money(39, "HKD"), Money(40, "CNY"), Money(4000, "HKD")])
def test_another_amount_is_an_incident_and_decides_nothing(money: Money) -> None:
    before = the_refund()
    outcome = Refunded(money, "wr-1", LATER)
    assert apply_refund_outcome(before, outcome, at=LATER) == before
    assert f"refund {before.syssn} was 0.40 HKD" in (refund_incident_of(before, outcome) or "")


def test_money_that_cannot_reach_the_payer_stays_reserved_and_is_an_incident_once() -> None:
    before = the_refund()
    stuck = apply_refund_outcome(before, RefundStuck("CHANGE"), at=LATER)
    assert stuck.state is RefundState.PROCESSING
    assert refund_incident_of(before, RefundStuck("CHANGE"))
    assert refund_incident_of(stuck, RefundStuck("CHANGE")) is None


def test_a_refund_after_its_refusal_is_an_incident() -> None:
    failed = the_refund(RefundState.FAILED)
    assert refund_incident_of(failed, OUTCOMES["refunded"]) is not None
    assert refund_incident_of(the_refund(), OUTCOMES["refunded"]) is None


@pytest.mark.parametrize("reason", Refusal)
def test_a_refusal_becomes_its_code(reason: Refusal) -> None:
    failed = apply_refund_outcome(the_refund(), Refused(reason, "THEIRS"), at=LATER)
    assert (shown_refund_respcd(failed), failed.wallet_code) == (code_of(reason_of(reason)), "THEIRS")
    assert (failed.changed_at, failed.check_at) == (LATER, None)


def test_an_initial_request_that_was_not_sent_is_unreachable() -> None:
    failed = apply_refund_outcome(the_refund(), NotSent(""), at=LATER, is_first=True)
    assert shown_refund_respcd(failed) == codes.UNREACHABLE


@given(st.integers(0, 200))
def test_an_open_refund_is_polled_after_1_2_4_8_seconds_and_then_at_most_hourly(checks: int) -> None:
    after = reschedule_refund(replace(the_refund(), checks=checks), NOW)
    assert after.check_at == NOW + min(timedelta(seconds=2 ** min(checks, 30)), MAX_GAP)
    assert after.checks == checks + 1


@pytest.mark.parametrize("state", [RefundState.DONE, RefundState.FAILED])
def test_a_decided_refund_is_not_polled(state: RefundState) -> None:
    assert reschedule_refund(the_refund(state), NOW).check_at is None
