"""unifiedorder, orderquery and closeorder: orders that a payer opens by QR code or inside WeChat."""

import sqlite3
from datetime import datetime, timedelta
from typing import Final
from urllib.parse import urlsplit

from tael_sandbox.clock import from_stamp
from tael_sandbox.payers import Payer
from tael_sandbox.profiles import in_force
from tael_sandbox.wechat import magic, numbering, trades
from tael_sandbox.wechat.calls import Ask, Missing, Refusal, Rejection, find_trade, is_of
from tael_sandbox.wechat.messages import Value
from tael_sandbox.wechat.notices import paid_fields
from tael_sandbox.wechat.signing import MD5
from tael_sandbox.wechat.trades import DEFAULT_LIFE, Trade

MIN_LIFE: Final = timedelta(minutes=1)
#: No order is closed before, in the profile `strict`.
CLOSE_AFTER: Final = timedelta(minutes=5)
STATE_TEXT: Final = {
    "SUCCESS": "支付成功",
    "REFUND": "订单发生过退款，退款详情请查询退款单",
    "NOTPAY": "订单未支付",
    "CLOSED": "订单已关闭",
    "REVOKED": "订单已撤销",
    "USERPAYING": "用户支付中，需要输入密码",
    "PAYERROR": "支付失败，请撤销订单",
}


def unifiedorder(ask: Ask) -> dict[str, Value]:
    _check_product(ask)
    owner = _check_openid(ask)
    expires_at = _expiry(ask)
    _check_notify_url(ask)
    trade = trades.by_order(ask.connection, ask.mch_id, ask.text("out_trade_no"))
    if trade is None:
        magic.refuse_if_asked(ask.connection, magic.OPEN, ask.amount("total_fee"))
        trade = _open(ask, owner, expires_at)
    else:
        _check_repeat(ask, trade)
    fields: dict[str, Value] = {"trade_type": trade.trade_type, "prepay_id": trade.prepay_id or ""}
    if trade.code_url is not None:
        fields["code_url"] = trade.code_url
    if ask.text("device_info"):
        fields["device_info"] = ask.text("device_info")
    return fields


def _check_product(ask: Ask) -> None:
    if ask.text("trade_type") in ("APP", "MWEB"):
        raise Rejection("商户号该产品权限未开通，请前往商户平台>产品中心检查后重试")
    is_nameless = ask.text("trade_type") == "NATIVE" and not ask.text("product_id")
    if is_nameless and in_force(ask.connection).is_strict:
        raise Missing("product_id")


def _check_openid(ask: Ask) -> Payer | None:
    """Whom a JSAPI order is for; None for other types, which anybody may pay."""
    if ask.text("sub_openid") and not ask.text("sub_appid"):
        raise Missing("sub_appid")
    if ask.text("trade_type") != "JSAPI":
        return None
    named = [
        ask.registry.owner(ask.connection, ask.text(openid), ask.text(appid))
        for openid, appid in (("openid", "appid"), ("sub_openid", "sub_appid"))
        if ask.text(openid)
    ]
    if not named:
        raise Missing("openid", "sub_openid")
    if named[0] is None or any(payer != named[0] for payer in named):
        raise Rejection("invalid openid")
    return named[0]


def _expiry(ask: Ask) -> datetime:
    """`time_expire`, moved out to a minute from now where it is shorter, or two hours from now."""
    times: dict[str, datetime] = {}
    for name in ("time_start", "time_expire"):
        if ask.text(name):
            try:
                times[name] = numbering.read_wire_time(ask.text(name))
            except ValueError:
                raise Rejection(f"{name}参数格式错误") from None
    if "time_expire" not in times:
        return ask.now + DEFAULT_LIFE
    if times["time_expire"] <= times.get("time_start", ask.now) or times["time_expire"] <= ask.now:
        raise Rejection("time_expire参数格式错误")
    return max(times["time_expire"], ask.now + MIN_LIFE)


def _check_notify_url(ask: Ask) -> None:
    if not is_notify_url(ask.text("notify_url")):
        raise Rejection("notify_url参数格式错误")


def is_notify_url(url: str) -> bool:
    """Absolute, HTTP, and without a query."""
    try:
        parts = urlsplit(url)
        port_is_right = parts.port != 0
    except ValueError:
        return False
    is_absolute = parts.scheme in ("http", "https") and bool(parts.hostname)
    return is_absolute and port_is_right and "?" not in url and "#" not in url


def _check_repeat(ask: Ask, trade: Trade) -> None:
    """The same unpaid order may be asked for again; anything else about a known number is refused."""
    if is_of(trade, ask):
        if trade.is_paid:
            raise Refusal("ORDERPAID", "该订单已支付")
        if trade.state in ("CLOSED", "REVOKED"):
            raise Refusal("ORDERCLOSED", "该订单已关闭")
    known = (
        trade.mch_id,
        trade.sub_mch_id,
        trade.sub_appid,
        trade.trade_type,
        trade.total_fee,
        trade.fee_type,
        trade.asked_openid,
        trade.body,
        trade.attach,
    )
    asked = (
        ask.mch_id,
        ask.sub_mch_id,
        ask.text("sub_appid"),
        ask.text("trade_type"),
        ask.amount("total_fee"),
        fee_type_of(ask),
        _asked_openid(ask),
        ask.text("body"),
        ask.text("attach"),
    )
    if known != asked:
        raise Refusal("INVALID_REQUEST", "201 商户订单号重复")


def _asked_openid(ask: Ask) -> str:
    return f"{ask.text('openid')} {ask.text('sub_openid')}".strip()


def _open(ask: Ask, owner: Payer | None, expires_at: datetime) -> Trade:
    is_native = ask.text("trade_type") == "NATIVE"
    return trades.open_trade(
        ask.connection,
        ask.now,
        **columns_of(ask),
        trade_type=ask.text("trade_type"),
        state="NOTPAY",
        wallet=owner.wallet if owner is not None else "wechat",
        payer=owner.payer if owner is not None else None,
        asked_openid=_asked_openid(ask),
        notify_url=ask.text("notify_url"),
        prepay_id=numbering.prepay_id(ask.now),
        code_url=_unused_code_url(ask.connection) if is_native else None,
        due_at=expires_at.timestamp(),
        due_step="close",
    )


def fee_type_of(ask: Ask) -> str:
    return ask.text("fee_type") or "CNY"


def columns_of(ask: Ask) -> dict[str, object]:
    """What every new trade takes over from the request."""
    return {
        "mch_id": ask.mch_id,
        "sub_mch_id": ask.sub_mch_id,
        "appid": ask.text("appid"),
        "sub_appid": ask.text("sub_appid"),
        "out_trade_no": ask.text("out_trade_no"),
        "body": ask.text("body"),
        "attach": ask.text("attach"),
        "device_info": ask.text("device_info"),
        "total_fee": ask.amount("total_fee"),
        "fee_type": fee_type_of(ask),
        "sign_type": ask.text("sign_type") or MD5,
    }


def _unused_code_url(connection: sqlite3.Connection) -> str:
    """Seven characters are few enough to meet by chance."""
    while True:
        code_url = numbering.code_url()
        if trades.by_code_url(connection, code_url) is None:
            return code_url


def orderquery(ask: Ask) -> dict[str, Value]:
    trade = find_trade(ask)
    if trade is None:
        raise Refusal("ORDERNOTEXIST", "order not exist")
    state: dict[str, Value] = {"trade_state": trade.state, "trade_state_desc": STATE_TEXT[trade.state]}
    if trade.is_paid:
        return paid_fields(trade, ask.registry) | state
    fields: dict[str, Value] = {"out_trade_no": trade.out_trade_no}
    optional = {"attach": trade.attach, "device_info": trade.device_info}
    return fields | {name: text for name, text in optional.items() if text} | state


def closeorder(ask: Ask) -> dict[str, Value]:
    trade = find_trade(ask)
    if trade is None:
        raise Refusal("ORDERNOTEXIST", "订单不存在")
    if trade.is_micropay:
        raise Refusal("TRADE_STATE_ERROR", "付款码支付的订单请使用撤销接口")
    if trade.is_paid:
        raise Refusal("ORDERPAID", "order paid")
    if trade.state == "CLOSED":
        raise Refusal("ORDERCLOSED", "order closed")
    is_young = ask.now - from_stamp(trade.created_at) < CLOSE_AFTER
    if is_young and in_force(ask.connection).is_strict:
        raise Refusal("TRADE_STATE_ERROR", "订单生成后5分钟内不能关闭")
    magic.refuse_if_asked(ask.connection, magic.CLOSE, trade.total_fee)
    trades.move(ask.connection, trade, "CLOSED")
    return {}
