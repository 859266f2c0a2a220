"""Maps Alipay's verified responses to outcomes, per service. Pure.

`…_rejected` maps the gateway's unsigned refusal. It counts as a refusal only in direct response to our own request,
and never as money moved. `QueryNeeded` is not an outcome: the wallet's record must be queried.
"""

from dataclasses import dataclass
from datetime import datetime
from typing import Final

from tael.channels.alipay_mapi import codes
from tael.channels.alipay_mapi.answers import Cancel, Precreated, RefundState, SpotPay, SpotRefund, Trade
from tael.channels.outcomes import (
    Again,
    AwaitingPayer,
    Closed,
    Outcome,
    Paid,
    PayCode,
    Refunded,
    RefundOutcome,
    RefundPending,
    Refusal,
    Refused,
    ReversalAction,
    ReversalOutcome,
    Reversed,
    Unknown,
)

NOT_OURS: Final = Unknown("the response names another order")
#: At night the wallet refuses in-store refunds without a specific code, possibly with one of these.
POSSIBLY_NIGHT: Final = frozenset({Refusal.OTHER, Refusal.WRONG_STATE, Refusal.WALLET_CLOSED})


@dataclass(frozen=True, slots=True)
class QueryNeeded:
    """The wallet refused because of the existing trade or refund under this number."""

    code: str


# ---- payments ----------------------------------------------------------------------------------------------


def pay_outcome(response: SpotPay, syssn: str, seen_at: datetime) -> Outcome | QueryNeeded:
    """A barcode payment. A refusal may omit our number; a success may not."""
    if response.order_number not in ("", syssn):
        return NOT_OURS
    if response.result_code == "SUCCESS":
        if not response.order_number or not response.trade_number:
            return Unknown("SUCCESS without the numbers of the trade")
        return Paid(response.amount, response.trade_number, response.buyer, response.paid_at or seen_at)
    if response.result_code.startswith("UNKNOW"):  # the wallet has two spellings
        return Unknown(f"UNKNOW {response.error}") if response.error else AwaitingPayer()
    if response.result_code.startswith("FAIL"):
        refused = pay_rejected(response.error)
        if isinstance(refused, Unknown) and response.error not in codes.UNDECIDED:
            return Refused(Refusal.OTHER, response.error or response.result_code)
        return refused
    return Unknown(f"result_code {response.result_code!r}")


def pay_rejected(code: str) -> Outcome | QueryNeeded:
    """The gateway's refusal of a barcode payment."""
    if code in codes.PAY_QUERY_CODES:
        return QueryNeeded(code)
    return _refused(codes.PAY.get(code), code)


def precreated(response: Precreated, syssn: str) -> Outcome | QueryNeeded:
    """The code of an order that the payer scans."""
    if response.order_number not in ("", syssn):
        return NOT_OURS
    if response.result_code == "SUCCESS":
        if not response.order_number or not response.qr_code:
            return Unknown("SUCCESS without our number or the code")
        return AwaitingPayer(PayCode(response.qr_code))
    if response.result_code.startswith("FAIL"):
        return pay_rejected(response.error)
    return Unknown(f"result_code {response.result_code!r} {response.error}")


def trade_outcome(trade: Trade, syssn: str, seen_at: datetime) -> Outcome:
    """The wallet's record. A trade that was paid and then refunded in full is closed there, and paid here."""
    if trade.error:
        return query_rejected(trade.error)
    if trade.order_number != syssn:
        return NOT_OURS
    match trade.state:
        case "TRADE_SUCCESS" | "TRADE_FINISHED":
            return Paid(trade.amount, trade.trade_number, trade.buyer, trade.paid_at or seen_at)
        case "TRADE_CLOSED" if trade.was_paid:
            return Paid(trade.amount, trade.trade_number, trade.buyer, trade.paid_at or seen_at)
        case "TRADE_CLOSED":
            return Closed(trade.trade_number)
        case "WAIT_BUYER_PAY":
            return AwaitingPayer()
        case other:
            return Unknown(f"trade status {other!r}")


def query_rejected(code: str) -> Unknown:
    """A failed query refuses nothing: a missing trade may still be created."""
    return Unknown(f"query: {code}", no_such_order=code in codes.NO_SUCH_TRADE)


def close_rejected(code: str) -> Outcome | QueryNeeded:
    """The gateway's refusal of a close. A missing trade may still be created."""
    if code in codes.NO_SUCH_TRADE:
        return Unknown(f"close: {code}", no_such_order=True)
    if code in codes.CLOSE_QUERY_CODES:
        return QueryNeeded(code)
    return _refused(codes.CLOSE.get(code), code)


def after_close(record: Outcome, refused_with: str = "") -> Outcome:
    """The outcome of a close, according to the wallet's record of the order afterwards."""
    match record:
        case AwaitingPayer() if refused_with:
            return Refused(Refusal.CLOSE_REFUSED, refused_with)
        case AwaitingPayer():
            return Unknown("close_trade was accepted but the trade is still open")
        case _:
            return record


# ---- reversals ---------------------------------------------------------------------------------------------


def cancel_outcome(response: Cancel, syssn: str) -> ReversalOutcome | QueryNeeded:
    """A cancel. It succeeds even if there was never a trade."""
    if response.order_number not in ("", syssn):
        return NOT_OURS
    if response.result_code == "SUCCESS":
        if not response.order_number:
            return Unknown("SUCCESS without our number")
        match response.action:
            case "refund":
                return Reversed(ReversalAction.REFUNDED, response.trade_number)
            case "close" | "":
                return Reversed(ReversalAction.CLOSED, response.trade_number)
            case _:
                return Reversed(ReversalAction.DONE, response.trade_number)
    if response.should_retry or response.result_code.startswith("UNKNOW"):
        return Again(response.error or response.result_code)
    if response.result_code.startswith("FAIL"):
        return cancel_rejected(response.error)
    return Unknown(f"result_code {response.result_code!r}")


def cancel_rejected(code: str) -> ReversalOutcome | QueryNeeded:
    """The gateway's refusal of a cancel."""
    if code in codes.NO_SUCH_TRADE:
        return Reversed(ReversalAction.CLOSED)
    if code in codes.CANCEL_QUERY_CODES:
        return QueryNeeded(code)
    if code in codes.UNDECIDED | codes.BALANCE_SHORT:
        return Again(code)
    return _refused(codes.CANCEL.get(code), code)


def reversal_seen(trade: Trade, syssn: str) -> ReversalOutcome:
    """Whether a trade that cannot be cancelled any more is already reversed, according to its record."""
    if trade.error or trade.order_number != syssn or trade.state != "TRADE_CLOSED":
        return Unknown(f"cancel: closed, query: {trade.error or trade.state}")
    action = ReversalAction.REFUNDED if trade.was_paid else ReversalAction.CLOSED
    return Reversed(action, trade.trade_number)


# ---- refunds -----------------------------------------------------------------------------------------------


def refund_outcome(response: SpotRefund, syssn: str, refund_syssn: str) -> RefundOutcome | QueryNeeded:
    """A synchronous in-store refund."""
    if response.order_number not in ("", syssn) or response.refund_number not in ("", refund_syssn):
        return NOT_OURS
    if response.result_code == "SUCCESS":
        if not response.refund_number:
            return Unknown("SUCCESS without our number")
        return Refunded(response.amount, wallet_ref="", refunded_at=None)
    if response.result_code.startswith("FAIL"):
        return refund_rejected(response.error)
    return Unknown(f"result_code {response.result_code!r} {response.error}")


def refund_rejected(code: str) -> RefundOutcome | QueryNeeded:
    """A refusal of a refund. An unlisted code decides nothing: the refund's record does."""
    if code in codes.REFUND_QUERY_CODES:
        return QueryNeeded(code)
    return _refused(codes.REFUND.get(code), code)


def refund_seen(state: RefundState, syssn: str, refund_syssn: str) -> RefundOutcome:
    """The wallet's record of a refund."""
    if state.order_number not in ("", syssn) or state.refund_number not in ("", refund_syssn):
        return NOT_OURS
    if state.response_code != "SUCCESS":
        return refund_query_rejected(state.response_code)
    if not state.refund_number:
        return Unknown("a refund without our number")
    match state.state:
        case "SUCCESS":
            return Refunded(state.amount, wallet_ref="", refunded_at=None)
        case "PROCESSING":
            return RefundPending()
        case "FAILED" | "CANCELED":
            return Refused(codes.REFUND.get(state.error, Refusal.OTHER), state.error or state.state)
        case other:
            return Unknown(f"refund_result_code {other!r}")


def refund_query_rejected(code: str) -> Unknown:
    """A failed query does not refuse the refund."""
    return Unknown(f"refund query: {code}", no_such_order=code == "NOT_FOUND" or code in codes.NO_SUCH_TRADE)


def after_refund(record: RefundOutcome) -> RefundOutcome:
    """A refund that the wallet accepted, according to its record. A missing one is still in progress."""
    match record:
        case Unknown(no_such_order=True):
            return RefundPending()
        case _:
            return record


def at_night(outcome: RefundOutcome) -> RefundOutcome:
    """The outcome of an in-store refund sent at night, when they are suspended: a refusal may mean only that."""
    if isinstance(outcome, Refused) and outcome.reason in POSSIBLY_NIGHT:
        return RefundPending()
    return outcome


def _refused(refusal: Refusal | None, code: str) -> Refused | Unknown:
    if refusal is None:
        return Unknown(f"error {code!r}")
    return Refused(refusal, code)
