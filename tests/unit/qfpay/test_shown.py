"""The code that a row shows, and the filter that finds the rows of a code."""

from typing import Final

import pytest

from tael.base.reasons import Reason
from tael.payments.domain.payment import State
from tael.payments.domain.refund import RefundState
from tael.payments.domain.reversal import ReversalState
from tael.qfpay.codes import TABLE
from tael.qfpay.reasons import code_of
from tael.qfpay.shown import shown_refund_respcd, shown_respcd, shown_reversal_respcd, states_showing
from tests.support.values import BARCODE, a_paid_payment, a_payment, a_refund, a_reversal

PAID: Final = a_paid_payment(BARCODE)
PAYMENTS: Final = [
    *(a_payment(state=state) for state in State if state is not State.FAILED),
    *(a_payment(state=State.FAILED, reason=reason) for reason in Reason),
]
REFUNDS: Final = [
    *(a_refund(PAID, state=state) for state in RefundState if state is not RefundState.FAILED),
    *(a_refund(PAID, state=RefundState.FAILED, reason=reason) for reason in Reason),
]


@pytest.mark.parametrize("code", [*TABLE, "9999"])
def test_a_filter_finds_exactly_the_rows_that_show_its_code(code: str) -> None:
    wanted = states_showing(code)
    for payment in PAYMENTS:
        is_found = payment.state in wanted.payments or payment.reason in wanted.reasons
        assert is_found is (shown_respcd(payment) == code), payment
    for refund in REFUNDS:
        is_found = refund.state in wanted.refunds or refund.reason in wanted.reasons
        assert is_found is (shown_refund_respcd(refund) == code), refund


def test_a_refund_shows_2999_until_it_is_decided() -> None:
    shown = {refund.state: shown_refund_respcd(refund) for refund in REFUNDS if refund.reason is None}
    assert shown == {RefundState.PROCESSING: "2999", RefundState.DONE: "0000"}


def test_a_reversal_shows_1145_until_it_is_decided() -> None:
    pending, done = a_reversal(PAID), a_reversal(PAID, state=ReversalState.DONE)
    assert (shown_reversal_respcd(pending), shown_reversal_respcd(done)) == ("1145", "0000")


@pytest.mark.parametrize("reason", Reason)
def test_what_failed_shows_the_code_of_its_reason(reason: Reason) -> None:
    failed = a_reversal(PAID, state=ReversalState.FAILED, reason=reason)
    assert shown_reversal_respcd(failed) == code_of(reason)
    assert shown_respcd(a_payment(state=State.FAILED, reason=reason)) == code_of(reason)
    assert shown_refund_respcd(a_refund(PAID, state=RefundState.FAILED, reason=reason)) == code_of(reason)
