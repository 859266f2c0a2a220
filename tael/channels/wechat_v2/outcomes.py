"""Maps WeChat's verified responses to outcomes, per endpoint. Pure.

An unlisted code is never a refusal but `Unknown`, and is queried again. Source: the error tables of WeChat Pay V2 for
each endpoint, and trade_state, refund_status and recall. Error texts only refine a reason.
"""

import re
from collections.abc import Mapping
from typing import Final

from tael.base.money import Money
from tael.channels.base import ChannelOrder, ChannelRefund
from tael.channels.outcomes import (
    Again,
    AwaitingPayer,
    Closed,
    Outcome,
    Paid,
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
from tael.channels.wechat_v2 import messages
from tael.channels.wechat_v2.exchange import Failure

Refusals = Mapping[str, Refusal]

# ---- the codes ---------------------------------------------------------------------------------------------

#: Our request or our identity was wrong; every endpoint may respond with these.
OUR_FAULT: Final[Refusals] = {
    "PARAM_ERROR": Refusal.BAD_REQUEST,
    "LACK_PARAMS": Refusal.BAD_REQUEST,
    "XML_FORMAT_ERROR": Refusal.BAD_REQUEST,
    "POST_DATA_EMPTY": Refusal.BAD_REQUEST,
    "REQUIRE_POST_METHOD": Refusal.BAD_REQUEST,
    "NOT_UTF8": Refusal.BAD_REQUEST,
    "INVALID_TRANSACTIONID": Refusal.BAD_REQUEST,  # we never send one
    "NOAUTH": Refusal.OUR_IDENTITY,
    "APPID_NOT_EXIST": Refusal.OUR_IDENTITY,
    "MCHID_NOT_EXIST": Refusal.OUR_IDENTITY,
    "APPID_MCHID_NOT_MATCH": Refusal.OUR_IDENTITY,
    "ACCOUNT_ERROR": Refusal.OUR_IDENTITY,
    "SIGNERROR": Refusal.OUR_IDENTITY,
    "SIGN_ERROR": Refusal.OUR_IDENTITY,
}

OPENING: Final[Refusals] = {
    **OUR_FAULT,
    "NOTENOUGH": Refusal.PAYER_BALANCE,
    "ORDERCLOSED": Refusal.ORDER_CLOSED,
    "OUT_TRADE_NO_USED": Refusal.NUMBER_REUSED,
    "INVALID_REQUEST": Refusal.NUMBER_REUSED,
}

SWIPING: Final[Refusals] = {
    **OPENING,
    "AUTHCODEEXPIRE": Refusal.PAYER_CODE_EXPIRED,
    "AUTH_CODE_ERROR": Refusal.PAYER_CODE,
    "AUTH_CODE_INVALID": Refusal.OTHER_WALLETS_CODE,
    "NOTSUPORTCARD": Refusal.PAYER_BANK,
    "ORDERREVERSED": Refusal.ORDER_CLOSED,
    "BUYER_MISMATCH": Refusal.WRONG_STATE,
    "TRADE_ERROR": Refusal.SWIPE_FAILED,
    "USER_ACCOUNT_ABNORMAL": Refusal.PAYER_ACCOUNT,
    "RULELIMIT": Refusal.RISK,
    "RULE_LIMIT": Refusal.RISK,
    "REQUEST_BLOCKED": Refusal.RISK,
}

CLOSING: Final[Refusals] = {**OUR_FAULT, "TRADE_STATE_ERROR": Refusal.CLOSE_REFUSED}

REVERSING: Final[Refusals] = {
    **OUR_FAULT,
    "REVERSE_EXPIRE": Refusal.WINDOW_OVER,
    "TRADE_ERROR": Refusal.REVERSAL_REFUSED,
    "TRADE_STATE_ERROR": Refusal.REVERSAL_REFUSED,
}

REFUNDING: Final[Refusals] = {
    **OUR_FAULT,
    "NOTENOUGH": Refusal.MERCHANT_BALANCE,
    "USER_ACCOUNT_ABNORMAL": Refusal.PAYER_ACCOUNT,
    "ORDERNOTEXIST": Refusal.NO_SUCH_TRADE,
    "ORDERCLOSED": Refusal.ORDER_CLOSED,
    "ORDERREVERSED": Refusal.ORDER_CLOSED,
    "TRADE_ERROR": Refusal.WRONG_STATE,
    "TRADE_STATE_ERROR": Refusal.WRONG_STATE,
    "TRADE_OVERDUE": Refusal.WINDOW_OVER,
}

#: Error texts that refine some codes.
CANCELLED: Final = re.compile(r"取消|cancel", re.IGNORECASE)
LIMIT: Final = re.compile(r"金额|限额|额度|amount|limit", re.IGNORECASE)
FULLY_REFUNDED: Final = "订单已全额退款"

# ---- rejected before processing ----------------------------------------------------------------------------

#: Fixed messages, or their prefixes if newer versions append text. Any other message decides nothing.
REJECTIONS: Final = (
    (re.compile(r"签名错误.*"), Refusal.OUR_IDENTITY),
    (re.compile(r"商户号mch_id与appid不匹配.*"), Refusal.OUR_IDENTITY),
    (re.compile(r"您没有JSAPI支付权限.*|商户号该产品权限未开通.*"), Refusal.OUR_IDENTITY),
    (re.compile(r"缺少参数.*|\w+参数格式错误|XML格式错误|post数据为空"), Refusal.BAD_REQUEST),
    (re.compile(r"受理机构必须传入sub_mch_id"), Refusal.BAD_REQUEST),
    (re.compile(r"certificate not match"), Refusal.OUR_CERTIFICATE),
    (re.compile(r"invalid openid|appid and openid not match|sub_mch_id与sub_appid不匹配"), Refusal.MISMATCH),
)


def rejected(message: str) -> Refused | Unknown:
    """An unsigned FAIL in direct response to a request of ours that would move something."""
    for pattern, reason in REJECTIONS:
        if pattern.fullmatch(message):
            return Refused(reason, message)
    return Unknown(f"not accepted: {message!r}")


def _refused(failure: Failure, refusals: Refusals) -> Refused | Unknown:
    reason = refusals.get(failure.code)
    return Refused(reason, failure.code) if reason else undecided(failure)


def undecided(failure: Failure) -> Unknown:
    """A code that decides nothing: the wallet's internal error, or not documented for this endpoint."""
    return Unknown(failure.code or "a failure without a code")


# ---- payments ----------------------------------------------------------------------------------------------


def swipe_failure(failure: Failure, *, forbid_credit: bool = False) -> Outcome:
    """A FAIL of micropay, except ORDERPAID: then the order is queried."""
    if failure.code == "USERPAYING":
        return AwaitingPayer()
    if failure.code == "TRADE_ERROR" and CANCELLED.search(failure.text):
        return Refused(Refusal.PAYER_CANCELLED, failure.code)
    if failure.code == "NOTSUPORTCARD" and forbid_credit:
        return Refused(Refusal.CARD_KIND, failure.code)
    outcome = _refused(failure, SWIPING)
    if outcome == Refused(Refusal.RISK, failure.code) and LIMIT.search(failure.text):
        return Refused(Refusal.AMOUNT_LIMIT, failure.code)
    return outcome


def opening_failure(failure: Failure) -> Outcome:
    """A FAIL of unifiedorder."""
    return _refused(failure, OPENING)


def paid(fields: messages.Fields, syssn: str) -> Paid | Unknown:
    """A verified payment of the order `syssn`. The caller compares the amount with the price."""
    try:
        trade = messages.paid_trade(fields)
    except messages.BadMessage as error:
        return Unknown(str(error))
    if trade.out_trade_no != syssn:
        return Unknown("the response is about another order")
    return Paid(trade.price, trade.transaction_id, trade.payer, trade.time_end)


def trade_state(fields: messages.Fields, syssn: str) -> Outcome:
    """The response of orderquery. Only a paid order has more than its number and its state."""
    if fields.get("out_trade_no") != syssn:
        return Unknown("the response is not about our order")
    match fields.get("trade_state", ""):
        case "SUCCESS" | "REFUND":  # REFUND: paid, then refunded; refunds are tracked on their own
            return paid(fields, syssn)
        case "NOTPAY" | "USERPAYING" | "ACCEPT":
            return AwaitingPayer()
        case "CLOSED":
            return Closed()
        case (
            "REVOKED"
        ):  # it may have been paid before: our reversal's outcome shows it, WeChat's record does not
            return Closed(fields.get("transaction_id", ""))
        case "PAYERROR":
            return Unknown("PAYERROR", needs_reversal=True)
        case unlisted:
            return Unknown(f"trade_state {unlisted!r}")


def query_failure(failure: Failure) -> Unknown:
    """A FAIL of orderquery or refundquery decides nothing; a missing order or refund is marked."""
    missing = failure.code in ("ORDERNOTEXIST", "REFUNDNOTEXIST")
    return Unknown(failure.code, no_such_order=True) if missing else undecided(failure)


def close_failure(failure: Failure) -> Outcome:
    """A FAIL of closeorder, except ORDERPAID: then the order is queried."""
    match failure.code:
        case "ORDERCLOSED" | "ORDERREVERSED":
            return Closed()
        case "ORDERNOTEXIST":
            return Unknown(failure.code, no_such_order=True)
        case _:
            return _refused(failure, CLOSING)


# ---- reversals ---------------------------------------------------------------------------------------------


def reverse_outcome(fields: messages.Fields, order: ChannelOrder) -> ReversalOutcome:
    """The response of reverse: done, unless `recall` requires a repeat."""
    match fields.get("recall", ""):
        case "N":
            return _undone(order)
        case "Y":
            return Again("recall")
        case unlisted:
            return Unknown(f"recall {unlisted!r}")


def reverse_failure(failure: Failure, order: ChannelOrder) -> ReversalOutcome:
    if failure.fields.get("recall") == "Y" or failure.code in ("SYSTEMERROR", "USERPAYING"):
        return Again(failure.code or "recall")
    match failure.code:
        case "ORDERREVERSED":
            return _undone(order)
        case "ORDERCLOSED":
            return Reversed(ReversalAction.CLOSED)
        case "ORDERNOTEXIST":
            return Unknown(failure.code, no_such_order=True)
        case _:
            return _refused(failure, REVERSING)


def _undone(order: ChannelOrder) -> Reversed:
    # WeChat does not report whether money was returned. `wallet_ref` is set once we know that the order was paid.
    action = ReversalAction.REFUNDED if order.wallet_ref else ReversalAction.DONE
    return Reversed(action, order.wallet_ref)


# ---- refunds -----------------------------------------------------------------------------------------------


def is_fully_refunded(failure: Failure) -> bool:
    """Whether nothing is left to refund; this same refund, repeated, may have taken the rest."""
    return failure.code in ("ERROR", "TRADE_STATE_ERROR") and FULLY_REFUNDED in failure.text


def refund_failure(failure: Failure) -> Refused | Unknown:
    return _refused(failure, REFUNDING)


def refund_accepted(fields: messages.Fields, refund: ChannelRefund) -> RefundOutcome:
    """A refund that WeChat accepted; never done yet."""
    try:
        accepted = messages.accepted_refund(fields)
    except messages.BadMessage as error:
        return Unknown(str(error))
    if accepted.out_refund_no != refund.syssn or not _is_of(accepted, refund):
        return Unknown("the response is about another refund")
    return RefundPending(accepted.refund_id)


def refund_status(fields: messages.Fields, refund: ChannelRefund) -> RefundOutcome:
    """The response of refundquery for our refund."""
    try:
        row = messages.refund_row(fields, refund.syssn)
    except messages.BadMessage as error:
        return Unknown(str(error))
    if not _is_of(row, refund):
        return Unknown("the response is about another refund")
    match row.status:
        case "PROCESSING":
            return RefundPending(row.refund_id)
        case "SUCCESS":
            return Refunded(Money(row.refund_fee, refund.amount.currency), row.refund_id, row.succeeded_at)
        case "REFUNDCLOSE":  # the money stays with the merchant
            return Refused(Refusal.OTHER, row.status)
        case "CHANGE":
            return RefundStuck(row.status)
        case unlisted:
            return Unknown(f"refund_status {unlisted!r}")


def _is_of(response: messages.AcceptedRefund | messages.RefundRow, refund: ChannelRefund) -> bool:
    return (
        response.out_trade_no == refund.order.syssn
        and response.total_fee == refund.order.amount.amount_minor
        and response.refund_fee == refund.amount.amount_minor
        and response.currencies <= {refund.amount.currency}
    )
