"""micropay and reverse: the shop scans the payer's code, and undoes what became of it.

What happens is the code's behaviour. Whatever is refused without money having been at stake leaves no order
behind, except a payer's own refusal, which leaves a PAYERROR to be reversed.
"""

import re
from datetime import timedelta
from typing import Final, Never

from tael_sandbox.clock import from_stamp
from tael_sandbox.codes import PASSWORD_TYPING, Code, mark_used, read_code
from tael_sandbox.magic import asked_code
from tael_sandbox.payers import Payer, cash_price, payer_of
from tael_sandbox.profiles import in_force
from tael_sandbox.wechat import magic, resolved_codes, trades
from tael_sandbox.wechat.calls import Ask, Refusal, check_transaction_id, find_trade, is_of
from tael_sandbox.wechat.messages import Value
from tael_sandbox.wechat.notices import paid_fields
from tael_sandbox.wechat.ordering import columns_of, fee_type_of
from tael_sandbox.wechat.registry import WALLETS
from tael_sandbox.wechat.trades import PASSWORD_PATIENCE, DueStep, State, Trade

AUTH_CODE: Final = re.compile("1[0-5][0-9]{16}")
REVERSE_WINDOW: Final = timedelta(days=7)
#: A younger order has to be asked for again, in the profile `strict`.
REVERSE_AFTER: Final = timedelta(seconds=15)
RECALL_NOT: Final = (("recall", "N"),)
RECALL: Final = (("recall", "Y"),)


def micropay(ask: Ask) -> dict[str, Value]:
    before = trades.by_order(ask.connection, ask.mch_id, ask.text("out_trade_no"))
    if before is not None:
        _check_number(ask, before)
    code = usable_code(ask)
    payer = payer_of(ask.connection, code.wallet, code.payer)
    if before is not None and before.payer != payer.payer:
        raise Refusal("BUYER_MISMATCH", "支付帐号错误")
    asked_for = asked_code(ask.connection, magic.MICROPAY, code.auth_code, ask.amount("total_fee"))
    if asked_for == magic.CREDIT_CARD_ONLY and ask.text("limit_pay") != magic.NO_CREDIT:
        asked_for = ""
    if asked_for in magic.DECLINED:
        _leave(ask, before, code, "PAYERROR")
    magic.refuse((magic.SWIPE | magic.DECLINED).get(asked_for))
    match magic.WAITS.get(asked_for, code.behaviour):
        case "pays":
            return paid_fields(_take_money(ask, before, code, payer), ask.registry)
        case "unknown_then_paid":
            _take_money(ask, before, code, payer)
            raise Refusal("SYSTEMERROR", "系统超时")
        case "unknown_then_nothing":
            raise Refusal("SYSTEMERROR", "系统超时")
        case "insufficient":
            _refuse_for_lack_of_money()
        case "refuses":
            _leave(ask, before, code, "PAYERROR")
            raise Refusal("TRADE_ERROR", "用户没有输入支付密码")
        case "password":
            _leave(ask, before, code, "USERPAYING", PASSWORD_PATIENCE, "give_up")
            raise Refusal("USERPAYING", "需要用户输入支付密码")
        case "password_then_pays":
            _leave(ask, before, code, "USERPAYING", PASSWORD_TYPING, "type_password")
            raise Refusal("USERPAYING", "需要用户输入支付密码")
        case unheard_of:
            raise AssertionError(f"no such behaviour: {unheard_of}")


def _check_number(ask: Ask, trade: Trade) -> None:
    """A number that came to an end never takes money again; a failed sale may be tried anew."""
    if not is_of(trade, ask) or not trade.is_micropay:
        raise Refusal("OUT_TRADE_NO_USED", "商户订单号重复")
    if trade.is_paid:
        raise Refusal("ORDERPAID", "该订单已支付")
    if trade.state == "REVOKED":
        raise Refusal("ORDERREVERSED", "该订单已撤销")
    if trade.state == "CLOSED":
        raise Refusal("ORDERCLOSED", "该订单已关闭")
    if trade.state == "USERPAYING":
        raise Refusal("USERPAYING", "需要用户输入支付密码")
    if (trade.total_fee, trade.fee_type) != (ask.amount("total_fee"), fee_type_of(ask)):
        raise Refusal("OUT_TRADE_NO_USED", "商户订单号重复")


def usable_code(ask: Ask) -> Code:
    """The code that was scanned. Raises Refusal, also where another shop asked first whose it is."""
    text = ask.text("auth_code")
    if not AUTH_CODE.fullmatch(text):
        raise Refusal("AUTH_CODE_INVALID", "请扫描微信支付授权码(以10/11/12/13/14/15为前缀的18位数字)")
    code = read_code(ask.connection, text)
    if code is None or code.wallet not in WALLETS:
        raise Refusal("AUTH_CODE_INVALID", "101 付款码无效，请重新扫码")
    if resolved_codes.holder(ask.connection, text) not in (None, ask.sub_mch_id):
        raise Refusal("AUTH_CODE_INVALID", "101 付款码无效，请重新扫码")
    if code.used_by is not None or code.behaviour == "used":
        raise Refusal("AUTH_CODE_ERROR", "付款码已被使用，请刷新再试")
    if code.is_expired(ask.now):
        raise Refusal("AUTHCODEEXPIRE", "付款码已过期，请刷新再试")
    return code


def _take_money(ask: Ask, before: Trade | None, code: Code, payer: Payer) -> Trade:
    if cash_price(ask.amount("total_fee"), fee_type_of(ask), payer) > payer.balance:
        _refuse_for_lack_of_money()
    trade = before or _open(ask, code, "USERPAYING")
    paid = trades.pay(ask.connection, trade, payer, ask.now)
    assert paid is not None
    mark_used(ask.connection, code.auth_code, _order_of(ask))
    return paid


def _refuse_for_lack_of_money() -> Never:
    raise Refusal("NOTENOUGH", "余额不足，请更换银行卡后重新提交")


def _leave(
    ask: Ask,
    before: Trade | None,
    code: Code,
    state: State,
    wait: timedelta | None = None,
    step: DueStep | None = None,
) -> None:
    """An order without money so far, and what comes of it when nobody does anything."""
    trade = before or _open(ask, code, state)
    due_at = (ask.now + wait).timestamp() if wait is not None else None
    trades.move(ask.connection, trade, state, due_at=due_at, due_step=step)
    mark_used(ask.connection, code.auth_code, _order_of(ask))


def _open(ask: Ask, code: Code, state: State) -> Trade:
    return trades.open_trade(
        ask.connection,
        ask.now,
        **columns_of(ask),
        trade_type="MICROPAY",
        state=state,
        wallet=code.wallet,
        payer=code.payer,
        asked_openid="",
        notify_url="",
    )


def _order_of(ask: Ask) -> str:
    return f"{ask.mch_id}/{ask.text('out_trade_no')}"


def reverse(ask: Ask) -> dict[str, Value]:
    """Never both: what was paid is given back, what was not can no longer be paid."""
    check_transaction_id(ask)
    trade = find_trade(ask)
    if trade is None:
        raise Refusal("ORDERNOTEXIST", "订单不存在")
    if not trade.is_micropay:
        raise Refusal("TRADE_ERROR", "非付款码支付的订单不能撤销")
    if trade.state == "REVOKED":
        return dict(RECALL_NOT)
    age = ask.now - from_stamp(trade.created_at)
    if age < REVERSE_AFTER and in_force(ask.connection).is_strict:
        return dict(RECALL)
    if age > REVERSE_WINDOW:
        raise Refusal("REVERSE_EXPIRE", "订单已超过可撤销期限")
    if trade.state == "REFUND":
        raise Refusal("TRADE_ERROR", "订单发生过退款，不能撤销")
    if trade.is_paid:
        magic.refuse_if_asked(ask.connection, magic.REVERSE, trade.total_fee)
    trades.revoke(ask.connection, trade, ask.now)
    return dict(RECALL_NOT)
