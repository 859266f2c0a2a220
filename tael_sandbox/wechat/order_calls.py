"""unifiedorder, orderquery and closeorder: orders that a payer opens by QR code, inside WeChat or from outside."""

import sqlite3
from datetime import datetime, timedelta
from typing import Final

from tael_sandbox.clock import from_stamp
from tael_sandbox.payers import Payer
from tael_sandbox.profiles import current_profile
from tael_sandbox.wechat import magic, mweb_links, numbering, trades
from tael_sandbox.wechat.addresses import is_notify_url
from tael_sandbox.wechat.calls import AdmittedRequest, Missing, Refusal, Rejection, belongs_to, find_trade
from tael_sandbox.wechat.messages import Value
from tael_sandbox.wechat.notices import paid_fields
from tael_sandbox.wechat.signing import MD5
from tael_sandbox.wechat.trade_types import check_trade_type
from tael_sandbox.wechat.trades import DEFAULT_LIFE, Trade

MIN_LIFE: Final = timedelta(minutes=1)
#: An order can be closed only after this time, in the profile `strict`.
MIN_CLOSE_AGE: Final = timedelta(minutes=5)
STATE_TEXT: Final = {
    "SUCCESS": "支付成功",
    "REFUND": "订单发生过退款，退款详情请查询退款单",
    "NOTPAY": "订单未支付",
    "CLOSED": "订单已关闭",
    "REVOKED": "订单已撤销",
    "USERPAYING": "用户支付中，需要输入密码",
    "PAYERROR": "支付失败，请撤销订单",
}


def unifiedorder(request: AdmittedRequest) -> dict[str, Value]:
    check_trade_type(request)
    payer = _check_openid(request)
    expires_at = _expiry(request)
    _check_notify_url(request)
    trade = trades.by_order(request.connection, request.mch_id, request.text("out_trade_no"))
    if trade is None:
        magic.refuse_if_requested(request.connection, magic.OPEN, request.amount("total_fee"))
        trade = _open(request, payer, expires_at)
    else:
        _check_repeat(request, trade)
    return _made(request, trade)


def _made(request: AdmittedRequest, trade: Trade) -> dict[str, Value]:
    """The fields of the reply, with a new link if the type has links that expire."""
    fields: dict[str, Value] = {"trade_type": trade.trade_type, "prepay_id": trade.prepay_id or ""}
    if trade.code_url is not None:
        fields["code_url"] = trade.code_url
    if trade.trade_type == "MWEB":
        payer_ip = request.text("spbill_create_ip")
        link = mweb_links.make_link(request.connection, trade, payer_ip, request.now)
        fields["mweb_url"] = request.pages_url + link
    if request.text("device_info"):
        fields["device_info"] = request.text("device_info")
    return fields


def _check_openid(request: AdmittedRequest) -> Payer | None:
    """The payer of a JSAPI order. None for other types, which any payer can pay."""
    if request.text("sub_openid") and not request.text("sub_appid"):
        raise Missing("sub_appid")
    if request.text("trade_type") != "JSAPI":
        return None
    owners = [
        request.registry.owner(request.connection, request.text(openid), request.text(appid))
        for openid, appid in (("openid", "appid"), ("sub_openid", "sub_appid"))
        if request.text(openid)
    ]
    if not owners:
        raise Missing("openid", *(() if request.merchant.is_direct else ("sub_openid",)))
    if owners[0] is None or any(payer != owners[0] for payer in owners):
        raise Rejection("invalid openid")
    return owners[0]


def _expiry(request: AdmittedRequest) -> datetime:
    """`time_expire`, but at least one minute from now; two hours from now if it is absent."""
    times: dict[str, datetime] = {}
    for name in ("time_start", "time_expire"):
        if request.text(name):
            try:
                times[name] = numbering.read_wire_time(request.text(name))
            except ValueError:
                raise Rejection(f"{name}参数格式错误") from None
    if "time_expire" not in times:
        return request.now + DEFAULT_LIFE
    if times["time_expire"] <= times.get("time_start", request.now) or times["time_expire"] <= request.now:
        raise Rejection("time_expire参数格式错误")
    return max(times["time_expire"], request.now + MIN_LIFE)


def _check_notify_url(request: AdmittedRequest) -> None:
    if not is_notify_url(request.text("notify_url")):
        raise Rejection("notify_url参数格式错误")


def _check_repeat(request: AdmittedRequest, trade: Trade) -> None:
    """Allows a repeat of the same unpaid order; any other use of its number is refused. Raises Refusal."""
    if belongs_to(trade, request):
        if trade.is_paid:
            raise Refusal("ORDERPAID", "该订单已支付")
        if trade.state in ("CLOSED", "REVOKED"):
            raise Refusal("ORDERCLOSED", "该订单已关闭")
    stored = (
        trade.mch_id,
        trade.sub_mch_id,
        trade.sub_appid,
        trade.trade_type,
        trade.total_fee,
        trade.fee_type,
        trade.requested_openid,
        trade.body,
        trade.attach,
    )
    requested = (
        request.mch_id,
        request.sub_mch_id,
        request.text("sub_appid"),
        request.text("trade_type"),
        request.amount("total_fee"),
        fee_type_of(request),
        _requested_openid(request),
        request.text("body"),
        request.text("attach"),
    )
    if stored != requested:
        raise Refusal("INVALID_REQUEST", "201 商户订单号重复")


def _requested_openid(request: AdmittedRequest) -> str:
    return f"{request.text('openid')} {request.text('sub_openid')}".strip()


def _open(request: AdmittedRequest, payer: Payer | None, expires_at: datetime) -> Trade:
    is_native = request.text("trade_type") == "NATIVE"
    return trades.open_trade(
        request.connection,
        request.now,
        **columns_of(request),
        trade_type=request.text("trade_type"),
        state="NOTPAY",
        wallet=payer.wallet if payer is not None else "wechat",
        payer=payer.payer if payer is not None else None,
        requested_openid=_requested_openid(request),
        notify_url=request.text("notify_url"),
        prepay_id=numbering.prepay_id(request.now),
        code_url=_unused_code_url(request.connection) if is_native else None,
        due_at=expires_at.timestamp(),
        due_step="close",
    )


def fee_type_of(request: AdmittedRequest) -> str:
    return request.text("fee_type") or "CNY"


def columns_of(request: AdmittedRequest) -> dict[str, object]:
    """The columns that every new trade copies from the request."""
    return {
        "mch_id": request.mch_id,
        "sub_mch_id": request.sub_mch_id,
        "appid": request.text("appid"),
        "sub_appid": request.text("sub_appid"),
        "out_trade_no": request.text("out_trade_no"),
        "body": request.text("body"),
        "attach": request.text("attach"),
        "device_info": request.text("device_info"),
        "total_fee": request.amount("total_fee"),
        "fee_type": fee_type_of(request),
        "sign_type": request.text("sign_type") or MD5,
    }


def _unused_code_url(connection: sqlite3.Connection) -> str:
    """Draws until the URL is unused: seven characters are too few to rule out a collision."""
    while True:
        code_url = numbering.code_url()
        if trades.by_code_url(connection, code_url) is None:
            return code_url


def orderquery(request: AdmittedRequest) -> dict[str, Value]:
    trade = find_trade(request)
    if trade is None:
        raise Refusal("ORDERNOTEXIST", "order not exist")
    state: dict[str, Value] = {"trade_state": trade.state, "trade_state_desc": STATE_TEXT[trade.state]}
    if trade.is_paid:
        return paid_fields(trade, request.registry) | state
    fields: dict[str, Value] = {"out_trade_no": trade.out_trade_no}
    optional = {"attach": trade.attach, "device_info": trade.device_info}
    return fields | {name: text for name, text in optional.items() if text} | state


def closeorder(request: AdmittedRequest) -> dict[str, Value]:
    trade = find_trade(request)
    if trade is None:
        raise Refusal("ORDERNOTEXIST", "订单不存在")
    if trade.is_micropay:
        raise Refusal("TRADE_STATE_ERROR", "付款码支付的订单请使用撤销接口")
    if trade.is_paid:
        raise Refusal("ORDERPAID", "order paid")
    if trade.state == "CLOSED":
        raise Refusal("ORDERCLOSED", "order closed")
    is_too_young = request.now - from_stamp(trade.created_at) < MIN_CLOSE_AGE
    if is_too_young and current_profile(request.connection).is_strict:
        raise Refusal("TRADE_STATE_ERROR", "订单生成后5分钟内不能关闭")
    magic.refuse_if_requested(request.connection, magic.CLOSE, trade.total_fee)
    trades.move(request.connection, trade, "CLOSED")
    return {}
