"""Our reading of WeChat's words, call by call. Pure; the answers it reads are proven already.

A word that is not listed is never a refusal but `Unknown`: somebody asks again. Source: the error tables of
WeChat Pay V2 for each call, and trade_state, refund_status and recall. Texts only make a reason finer.
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

#: How we asked was wrong, or who we say we are: every call may answer these.
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

#: What the texts of some codes say more exactly.
CANCELLED: Final = re.compile(r"取消|cancel", re.IGNORECASE)
LIMIT: Final = re.compile(r"金额|限额|额度|amount|limit", re.IGNORECASE)
FULLY_REFUNDED: Final = "订单已全额退款"

# ---- refused before the call was looked at -----------------------------------------------------------------

#: Fixed messages, and what they begin with where newer versions add to them. Anything else decides nothing.
TURNED_AWAY: Final = (
    (re.compile(r"签名错误.*"), Refusal.OUR_IDENTITY),
    (re.compile(r"商户号mch_id与appid不匹配.*"), Refusal.OUR_IDENTITY),
    (re.compile(r"您没有JSAPI支付权限.*|商户号该产品权限未开通.*"), Refusal.OUR_IDENTITY),
    (re.compile(r"缺少参数.*|\w+参数格式错误|XML格式错误|post数据为空"), Refusal.BAD_REQUEST),
    (re.compile(r"受理机构必须传入sub_mch_id"), Refusal.BAD_REQUEST),
    (re.compile(r"certificate not match"), Refusal.OUR_CERTIFICATE),
    (re.compile(r"invalid openid|appid and openid not match|sub_mch_id与sub_appid不匹配"), Refusal.MISMATCH),
)


def turned_away(message: str) -> Refused | Unknown:
    """An unsigned FAIL in direct answer to a call of ours that moves something."""
    for known, reason in TURNED_AWAY:
        if known.fullmatch(message):
            return Refused(reason, message)
    return Unknown(f"not accepted: {message!r}")


def _refused(failure: Failure, refusals: Refusals) -> Refused | Unknown:
    reason = refusals.get(failure.code)
    return Refused(reason, failure.code) if reason else unheard_of(failure)


def unheard_of(failure: Failure) -> Unknown:
    """A code that decides nothing: the wallet's own trouble, or a word that we do not know for this call."""
    return Unknown(failure.code or "a failure without a code")


# ---- payments ----------------------------------------------------------------------------------------------


def swipe_failure(failure: Failure, *, forbid_credit: bool = False) -> Outcome:
    """micropay did not answer that the money moved. ORDERPAID is not for here: ask what was paid."""
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
    """unifiedorder did not open the order."""
    return _refused(failure, OPENING)


def paid(fields: messages.Fields, syssn: str) -> Paid | Unknown:
    """A proven payment of the order `syssn`; what is paid is compared with its price by who asked."""
    try:
        trade = messages.paid_trade(fields)
    except messages.BadMessage as error:
        return Unknown(str(error))
    if trade.out_trade_no != syssn:
        return Unknown("the answer is about another order")
    return Paid(trade.price, trade.transaction_id, trade.payer, trade.time_end)


def trade_state(fields: messages.Fields, syssn: str) -> Outcome:
    """orderquery's answer. Only a paid order has more than its number and its state."""
    if fields.get("out_trade_no") != syssn:
        return Unknown("the answer does not name our order")
    match fields.get("trade_state", ""):
        case "SUCCESS" | "REFUND":  # REFUND: paid, then refunded; refunds are tracked on their own
            return paid(fields, syssn)
        case "NOTPAY" | "USERPAYING" | "ACCEPT":
            return AwaitingPayer()
        case "CLOSED":
            return Closed()
        case "REVOKED":  # paid before or not: a reversal of ours knows, nothing is left of it at the wallet
            return Closed(fields.get("transaction_id", ""))
        case "PAYERROR":
            return Unknown("PAYERROR", needs_reversal=True)
        case unlisted:
            return Unknown(f"trade_state {unlisted!r}")


def query_failure(failure: Failure) -> Unknown:
    """orderquery and refundquery decide nothing by failing; not to know the number is worth telling apart."""
    missing = failure.code in ("ORDERNOTEXIST", "REFUNDNOTEXIST")
    return Unknown(failure.code, no_such_order=True) if missing else unheard_of(failure)


def close_failure(failure: Failure) -> Outcome:
    """closeorder said no. ORDERPAID is not for here: ask what was paid."""
    match failure.code:
        case "ORDERCLOSED" | "ORDERREVERSED":
            return Closed()
        case "ORDERNOTEXIST":
            return Unknown(failure.code, no_such_order=True)
        case _:
            return _refused(failure, CLOSING)


# ---- reversals ---------------------------------------------------------------------------------------------


def reversed_now(fields: messages.Fields, order: ChannelOrder) -> ReversalOutcome:
    """reverse succeeded, unless `recall` says that it is to be called again."""
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
    # WeChat does not say whether money went back. The order has WeChat's number here once we know it paid.
    action = ReversalAction.REFUNDED if order.wallet_ref else ReversalAction.DONE
    return Reversed(action, order.wallet_ref)


# ---- refunds -----------------------------------------------------------------------------------------------


def is_fully_refunded(failure: Failure) -> bool:
    """Whether `refund` said that nothing is left; it may be this very refund that took the last of it."""
    return failure.code in ("ERROR", "TRADE_STATE_ERROR") and FULLY_REFUNDED in failure.text


def refund_failure(failure: Failure) -> Refused | Unknown:
    return _refused(failure, REFUNDING)


def refund_accepted(fields: messages.Fields, refund: ChannelRefund) -> RefundOutcome:
    """A refund that WeChat took on. Never yet done."""
    try:
        accepted = messages.accepted_refund(fields)
    except messages.BadMessage as error:
        return Unknown(str(error))
    if accepted.out_refund_no != refund.syssn or not _is_of(accepted, refund):
        return Unknown("the answer is about another refund")
    return RefundPending(accepted.refund_id)


def refund_status(fields: messages.Fields, refund: ChannelRefund) -> RefundOutcome:
    """refundquery's answer for our refund."""
    try:
        row = messages.refund_row(fields, refund.syssn)
    except messages.BadMessage as error:
        return Unknown(str(error))
    if not _is_of(row, refund):
        return Unknown("the answer is about another refund")
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


def _is_of(told: messages.AcceptedRefund | messages.RefundRow, refund: ChannelRefund) -> bool:
    return (
        told.out_trade_no == refund.order.syssn
        and told.total_fee == refund.order.amount.amount_minor
        and told.refund_fee == refund.amount.amount_minor
        and told.currencies <= {refund.amount.currency}
    )
