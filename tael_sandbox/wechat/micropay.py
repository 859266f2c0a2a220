"""micropay and reverse: the shop scans the payer's code, and reverses the payment.

The code's behaviour decides the result. A refused payment leaves no order, except one that the payer declined: it
leaves a PAYERROR that has to be reversed.
"""

import re
from datetime import timedelta
from typing import Final, Never

from tael_sandbox.clock import from_stamp
from tael_sandbox.codes import PASSWORD_TYPING, Code, mark_used, read_code
from tael_sandbox.magic import requested_code
from tael_sandbox.payers import Payer, cash_price, payer_of
from tael_sandbox.profiles import current_profile
from tael_sandbox.wechat import magic, resolved_codes, trades
from tael_sandbox.wechat.calls import AdmittedRequest, Refusal, belongs_to, check_transaction_id, find_trade
from tael_sandbox.wechat.messages import Value
from tael_sandbox.wechat.notices import paid_fields
from tael_sandbox.wechat.order_calls import columns_of, fee_type_of
from tael_sandbox.wechat.registry import WALLETS
from tael_sandbox.wechat.trade_types import check_appid
from tael_sandbox.wechat.trades import PASSWORD_TIMEOUT, DueStep, State, Trade

AUTH_CODE: Final = re.compile("1[0-5][0-9]{16}")
REVERSE_WINDOW: Final = timedelta(days=7)
#: The reversal of a younger order has to be repeated, in the profile `strict`.
MIN_REVERSE_AGE: Final = timedelta(seconds=15)
RECALL_NOT: Final = (("recall", "N"),)
RECALL: Final = (("recall", "Y"),)


def micropay(request: AdmittedRequest) -> dict[str, Value]:
    check_appid(request, "MICROPAY")
    earlier = trades.by_order(request.connection, request.mch_id, request.text("out_trade_no"))
    if earlier is not None:
        _check_number(request, earlier)
    code = usable_code(request)
    payer = payer_of(request.connection, code.wallet, code.payer)
    if earlier is not None and earlier.payer != payer.payer:
        raise Refusal("BUYER_MISMATCH", "支付帐号错误")
    magic_code = requested_code(
        request.connection, magic.MICROPAY, code.auth_code, request.amount("total_fee")
    )
    if magic_code == magic.CREDIT_CARD_ONLY and request.text("limit_pay") != magic.NO_CREDIT:
        magic_code = ""
    if magic_code in magic.DECLINED:
        _store_unpaid(request, earlier, code, "PAYERROR")
    magic.refuse((magic.SWIPE | magic.DECLINED).get(magic_code))
    match magic.WAITS.get(magic_code, code.behaviour):
        case "pays":
            return paid_fields(_take_money(request, earlier, code, payer), request.registry)
        case "unknown_then_paid":
            _take_money(request, earlier, code, payer)
            raise Refusal("SYSTEMERROR", "系统超时")
        case "unknown_then_nothing":
            raise Refusal("SYSTEMERROR", "系统超时")
        case "insufficient":
            _refuse_insufficient_funds()
        case "refuses":
            _store_unpaid(request, earlier, code, "PAYERROR")
            raise Refusal("TRADE_ERROR", "用户没有输入支付密码")
        case "password":
            _store_unpaid(request, earlier, code, "USERPAYING", PASSWORD_TIMEOUT, "give_up")
            raise Refusal("USERPAYING", "需要用户输入支付密码")
        case "password_then_pays":
            _store_unpaid(request, earlier, code, "USERPAYING", PASSWORD_TYPING, "type_password")
            raise Refusal("USERPAYING", "需要用户输入支付密码")
        case unknown:
            raise AssertionError(f"no such behaviour: {unknown}")


def _check_number(request: AdmittedRequest, trade: Trade) -> None:
    """A number with a final result cannot be paid again; a failed payment can be retried. Raises Refusal."""
    if not belongs_to(trade, request) or not trade.is_micropay:
        raise Refusal("OUT_TRADE_NO_USED", "商户订单号重复")
    if trade.is_paid:
        raise Refusal("ORDERPAID", "该订单已支付")
    if trade.state == "REVOKED":
        raise Refusal("ORDERREVERSED", "该订单已撤销")
    if trade.state == "CLOSED":
        raise Refusal("ORDERCLOSED", "该订单已关闭")
    if trade.state == "USERPAYING":
        raise Refusal("USERPAYING", "需要用户输入支付密码")
    if (trade.total_fee, trade.fee_type) != (request.amount("total_fee"), fee_type_of(request)):
        raise Refusal("OUT_TRADE_NO_USED", "商户订单号重复")


def usable_code(request: AdmittedRequest) -> Code:
    """The scanned code. Raises Refusal, also if the code was resolved by another shop."""
    text = request.text("auth_code")
    if not AUTH_CODE.fullmatch(text):
        raise Refusal("AUTH_CODE_INVALID", "请扫描微信支付授权码(以10/11/12/13/14/15为前缀的18位数字)")
    code = read_code(request.connection, text)
    if code is None or code.wallet not in WALLETS:
        raise Refusal("AUTH_CODE_INVALID", "101 付款码无效，请重新扫码")
    if resolved_codes.reserved_for(request.connection, text) not in (None, request.merchant.number):
        raise Refusal("AUTH_CODE_INVALID", "101 付款码无效，请重新扫码")
    if code.used_by is not None or code.behaviour == "used":
        raise Refusal("AUTH_CODE_ERROR", "付款码已被使用，请刷新再试")
    if code.is_expired(request.now):
        raise Refusal("AUTHCODEEXPIRE", "付款码已过期，请刷新再试")
    return code


def _take_money(request: AdmittedRequest, earlier: Trade | None, code: Code, payer: Payer) -> Trade:
    if cash_price(request.amount("total_fee"), fee_type_of(request), payer) > payer.balance:
        _refuse_insufficient_funds()
    trade = earlier or _open(request, code, "USERPAYING")
    paid = trades.pay(request.connection, trade, payer, request.now)
    assert paid is not None
    mark_used(request.connection, code.auth_code, _order_of(request))
    return paid


def _refuse_insufficient_funds() -> Never:
    raise Refusal("NOTENOUGH", "余额不足，请更换银行卡后重新提交")


def _store_unpaid(
    request: AdmittedRequest,
    earlier: Trade | None,
    code: Code,
    state: State,
    delay: timedelta | None = None,
    step: DueStep | None = None,
) -> None:
    """Stores an unpaid order with its state and its next timed step."""
    trade = earlier or _open(request, code, state)
    due_at = (request.now + delay).timestamp() if delay is not None else None
    trades.move(request.connection, trade, state, due_at=due_at, due_step=step)
    mark_used(request.connection, code.auth_code, _order_of(request))


def _open(request: AdmittedRequest, code: Code, state: State) -> Trade:
    return trades.open_trade(
        request.connection,
        request.now,
        **columns_of(request),
        trade_type="MICROPAY",
        state=state,
        wallet=code.wallet,
        payer=code.payer,
        requested_openid="",
        notify_url="",
    )


def _order_of(request: AdmittedRequest) -> str:
    return f"{request.mch_id}/{request.text('out_trade_no')}"


def reverse(request: AdmittedRequest) -> dict[str, Value]:
    """Returns the money of a paid order, and makes an unpaid one unpayable."""
    check_transaction_id(request)
    trade = find_trade(request)
    if trade is None:
        raise Refusal("ORDERNOTEXIST", "订单不存在")
    if not trade.is_micropay:
        raise Refusal("TRADE_ERROR", "非付款码支付的订单不能撤销")
    if trade.state == "REVOKED":
        return dict(RECALL_NOT)
    age = request.now - from_stamp(trade.created_at)
    if age < MIN_REVERSE_AGE and current_profile(request.connection).is_strict:
        return dict(RECALL)
    if age > REVERSE_WINDOW:
        raise Refusal("REVERSE_EXPIRE", "订单已超过可撤销期限")
    if trade.state == "REFUND":
        raise Refusal("TRADE_ERROR", "订单发生过退款，不能撤销")
    if trade.is_paid:
        magic.refuse_if_requested(request.connection, magic.REVERSE, trade.total_fee)
    trades.revoke(request.connection, trade, request.now)
    return dict(RECALL_NOT)
