"""Our reading of what Alipay says, per question. Pure; the adapter gives it proven answers.

`…_rejected` reads the unsigned no of the gateway. It counts as a refusal only as the direct answer to our own
call, and never as money that moved. `AskFirst` is no outcome: the wallet's record has to be asked.
"""

from dataclasses import dataclass
from datetime import datetime
from typing import Final

from tael.channels.alipay_mapi import codes
from tael.channels.alipay_mapi.answers import Cancel, RefundState, SpotPay, SpotRefund, Trade
from tael.channels.outcomes import (
    Again,
    AwaitingPayer,
    Closed,
    Outcome,
    Paid,
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

NOT_OURS: Final = Unknown("the answer names another order")
#: At night the wallet refuses in-store refunds without a code of its own; these may be that.
PERHAPS_THE_NIGHT: Final = frozenset({Refusal.OTHER, Refusal.WRONG_STATE, Refusal.WALLET_CLOSED})


@dataclass(frozen=True, slots=True)
class AskFirst:
    """The wallet refused because of what it already knows under this number."""

    code: str


# ---- payments ----------------------------------------------------------------------------------------------


def pay_outcome(answer: SpotPay, syssn: str, seen_at: datetime) -> Outcome | AskFirst:
    """A barcode payment. A refusal may leave our number out; money that moved may not."""
    if answer.order_number not in ("", syssn):
        return NOT_OURS
    if answer.result_code == "SUCCESS":
        if not answer.order_number or not answer.trade_number:
            return Unknown("SUCCESS without the numbers of the trade")
        return Paid(answer.amount, answer.trade_number, answer.buyer, answer.paid_at or seen_at)
    if answer.result_code.startswith("UNKNOW"):  # the wallet spells it in two ways
        return Unknown(f"UNKNOW {answer.error}") if answer.error else AwaitingPayer()
    if answer.result_code.startswith("FAIL"):
        refused = pay_rejected(answer.error)
        if isinstance(refused, Unknown) and answer.error not in codes.UNDECIDED:
            return Refused(Refusal.OTHER, answer.error or answer.result_code)
        return refused
    return Unknown(f"result_code {answer.result_code!r}")


def pay_rejected(code: str) -> Outcome | AskFirst:
    """The gateway's no to a barcode payment."""
    if code in codes.PAY_ASKS_FIRST:
        return AskFirst(code)
    return _refused(codes.PAY.get(code), code)


def trade_outcome(trade: Trade, syssn: str, seen_at: datetime) -> Outcome:
    """The wallet's record. A trade that was paid and then wholly refunded is closed there, and paid here."""
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
        case unheard_of:
            return Unknown(f"trade status {unheard_of!r}")


def query_rejected(code: str) -> Unknown:
    """No answer to a query refuses anything: an unknown trade may yet come to be."""
    return Unknown(f"query: {code}", no_such_order=code in codes.NO_SUCH_TRADE)


def close_rejected(code: str) -> Outcome | AskFirst:
    """The gateway's no to a close. A trade that is not there yet may still come to be."""
    if code in codes.NO_SUCH_TRADE:
        return Unknown(f"close: {code}", no_such_order=True)
    if code in codes.CLOSE_ASKS_FIRST:
        return AskFirst(code)
    return _refused(codes.CLOSE.get(code), code)


def after_close(seen: Outcome, refused_with: str = "") -> Outcome:
    """What a close came to, by the wallet's record of the order afterwards."""
    match seen:
        case AwaitingPayer() if refused_with:
            return Refused(Refusal.CLOSE_REFUSED, refused_with)
        case AwaitingPayer():
            return Unknown("close_trade was taken and the trade still waits")
        case _:
            return seen


# ---- reversals ---------------------------------------------------------------------------------------------


def cancel_outcome(answer: Cancel, syssn: str) -> ReversalOutcome | AskFirst:
    """A cancel: succeeded also if there was never a trade."""
    if answer.order_number not in ("", syssn):
        return NOT_OURS
    if answer.result_code == "SUCCESS":
        if not answer.order_number:
            return Unknown("SUCCESS without our number")
        match answer.action:
            case "refund":
                return Reversed(ReversalAction.REFUNDED, answer.trade_number)
            case "close" | "":
                return Reversed(ReversalAction.CLOSED, answer.trade_number)
            case _:
                return Reversed(ReversalAction.DONE, answer.trade_number)
    if answer.asks_again or answer.result_code.startswith("UNKNOW"):
        return Again(answer.error or answer.result_code)
    if answer.result_code.startswith("FAIL"):
        return cancel_rejected(answer.error)
    return Unknown(f"result_code {answer.result_code!r}")


def cancel_rejected(code: str) -> ReversalOutcome | AskFirst:
    """The gateway's no to a cancel."""
    if code in codes.NO_SUCH_TRADE:
        return Reversed(ReversalAction.CLOSED)
    if code in codes.CANCEL_ASKS_FIRST:
        return AskFirst(code)
    if code in codes.UNDECIDED | codes.BALANCE_SHORT:
        return Again(code)
    return _refused(codes.CANCEL.get(code), code)


def reversal_seen(trade: Trade, syssn: str) -> ReversalOutcome:
    """Whether a trade that cannot be cancelled any more is undone already, by its record."""
    if trade.error or trade.order_number != syssn or trade.state != "TRADE_CLOSED":
        return Unknown(f"cancel: closed, query: {trade.error or trade.state}")
    action = ReversalAction.REFUNDED if trade.was_paid else ReversalAction.CLOSED
    return Reversed(action, trade.trade_number)


# ---- refunds -----------------------------------------------------------------------------------------------


def refund_outcome(answer: SpotRefund, syssn: str, refund_syssn: str) -> RefundOutcome | AskFirst:
    """A synchronous in-store refund."""
    if answer.order_number not in ("", syssn) or answer.refund_number not in ("", refund_syssn):
        return NOT_OURS
    if answer.result_code == "SUCCESS":
        if not answer.refund_number:
            return Unknown("SUCCESS without our number")
        return Refunded(answer.amount, wallet_ref="", refunded_at=None)
    if answer.result_code.startswith("FAIL"):
        return refund_rejected(answer.error)
    return Unknown(f"result_code {answer.result_code!r} {answer.error}")


def refund_rejected(code: str) -> RefundOutcome | AskFirst:
    """A no to a refund. A code that is not listed decides nothing: the refund's record will tell."""
    if code in codes.REFUND_ASKS_FIRST:
        return AskFirst(code)
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
        case unheard_of:
            return Unknown(f"refund_result_code {unheard_of!r}")


def refund_query_rejected(code: str) -> Unknown:
    """No answer to a query refuses a refund."""
    return Unknown(f"refund query: {code}", no_such_order=code == "NOT_FOUND" or code in codes.NO_SUCH_TRADE)


def after_refund(seen: RefundOutcome) -> RefundOutcome:
    """A refund that the wallet says it took, by its record: one that is not there yet is on its way."""
    match seen:
        case Unknown(no_such_order=True):
            return RefundPending()
        case _:
            return seen


def at_night(outcome: RefundOutcome) -> RefundOutcome:
    """In-store refunds rest at night: a refusal that may mean only that is no refusal."""
    if isinstance(outcome, Refused) and outcome.reason in PERHAPS_THE_NIGHT:
        return RefundPending()
    return outcome


def _refused(word: Refusal | None, code: str) -> Refused | Unknown:
    if word is None:
        return Unknown(f"error {code!r}")
    return Refused(word, code)
