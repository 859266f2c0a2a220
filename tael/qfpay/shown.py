"""How rows are shown to a merchant: `respcd` and `cancel` of payments, refunds and reversals. Pure.

`states_showing` is the inverse of the functions of `respcd`: a query's filter finds the rows that show the code.
"""

from typing import assert_never

from tael.base.reasons import Reason
from tael.payments.domain.payment import Payment, State
from tael.payments.domain.refund import Refund, RefundState
from tael.payments.domain.reversal import Reversal, ReversalState
from tael.payments.store.transactions import StateFilter
from tael.qfpay import codes
from tael.qfpay.reasons import CODES, code_of


def shown_respcd(payment: Payment) -> str:
    """The `respcd` of its row in a query."""
    return _failed(payment.reason) if payment.state is State.FAILED else _of_payment_state(payment.state)


def shown_refund_respcd(refund: Refund) -> str:
    """The `respcd` of its row and of its response."""
    return _failed(refund.reason) if refund.state is RefundState.FAILED else _of_refund_state(refund.state)


def shown_reversal_respcd(reversal: Reversal) -> str:
    """The `respcd` of its response."""
    match reversal.state:
        case ReversalState.PENDING:
            return codes.PENDING
        case ReversalState.DONE:
            return codes.OK
        case ReversalState.FAILED:
            return _failed(reversal.reason)
        case _:
            assert_never(reversal.state)


def shown_cancel(payment: Payment) -> str:
    """The `cancel` of its row in a query: 0 none, 1 reversed, 2 refunded in full or part, or closed online."""
    if payment.is_reversed:
        return "1"
    if payment.refunded_minor or (payment.state is State.CLOSED and payment.pay_type.is_online):
        return "2"
    return "0"


def states_showing(code: str) -> StateFilter:
    """The states and reasons of the rows that show `code`; none of them for a code that is never shown."""
    return StateFilter(
        payments=tuple(each for each in State if _of_payment_state(each) == code),
        refunds=tuple(each for each in RefundState if _of_refund_state(each) == code),
        reasons=tuple(reason for reason, each in CODES.items() if each == code),
    )


def _failed(reason: Reason | None) -> str:
    assert reason is not None  # the database holds it: a failed row has a reason
    return code_of(reason)


def _of_payment_state(state: State) -> str:
    """ "" if the reason decides."""
    match state:
        case State.PENDING:
            return codes.PENDING
        case State.PAID:
            return codes.OK
        case State.FAILED:
            return ""
        case State.CLOSED:
            return codes.CLOSED
        case State.EXPIRED:
            return codes.EXPIRED
        case _:
            assert_never(state)


def _of_refund_state(state: RefundState) -> str:
    """ "" if the reason decides."""
    match state:
        case RefundState.PROCESSING:
            return codes.REFUND_PENDING
        case RefundState.DONE:
            return codes.OK
        case RefundState.FAILED:
            return ""
        case _:
            assert_never(state)
