"""In-store payments: `alipay.acquire.overseas.spot.pay`, its query and its cancel.

The result of a payment is in the node's `result_code`; `is_success` only says that the request was read.
"""

import json
from dataclasses import replace
from datetime import datetime, timedelta
from decimal import Decimal, InvalidOperation
from typing import Final

from tael_sandbox import codes, rates
from tael_sandbox.alipay import changes, magic
from tael_sandbox.alipay.checks import COMPACT, Parameters
from tael_sandbox.alipay.messages import Node, Refused
from tael_sandbox.alipay.notices import login_id, user_id
from tael_sandbox.alipay.preconditions import Call, Preconditions
from tael_sandbox.alipay.trades import (
    BARCODE,
    CLOSED,
    NOT_EXIST,
    WAITING,
    Trade,
    by_order,
    by_trade_no,
    insert_trade,
    update_trade,
)
from tael_sandbox.clock import bjt, from_stamp
from tael_sandbox.magic import asked_code
from tael_sandbox.payers import payer_of

BIZ_PRODUCT: Final = "OVERSEAS_MBARCODE_PAY"
CODE_TYPES: Final = ("barcode", "QRcode", "qrcode")
MAX_UNITS: Final = "100000000.00"
WAIT: Final = timedelta(seconds=180)
CANCEL_GRACE: Final = timedelta(minutes=15)
IDENTITY: Final = ("trans_name", "currency", "trans_currency", "trans_amount", "quantity", "price")
JSON_FIELDS: Final = frozenset({"extend_info", "extend_params", "goods_detail", "trade_information"})


def pay_spot(call: Call) -> Node:
    asked = acquire_parameters(call)
    order_no, amount_minor = _check_payment(call, asked)
    identity = json.dumps({name: asked.fields.get(name) for name in IDENTITY})
    auth_code = asked.text("buyer_identity_code", 32)
    code = codes.read_code(call.preconditions.connection, auth_code)
    taken_by = f"alipay/{call.pid}/{order_no}"
    trade = by_order(call.preconditions.connection, call.pid, order_no)
    if trade is not None and trade.identity != identity:
        return _failed(asked, "CONTEXT_INCONSISTENT")
    if code is None or code.wallet != "alipay":
        return _failed(asked, "SOUNDWAVE_PARSER_FAIL")
    if trade is not None:
        return _repeat(call, asked, trade, code)
    if code.is_expired(call.preconditions.now) or code.is_used_by_other(taken_by):
        return _failed(asked, "SOUNDWAVE_PARSER_FAIL")
    asked_for = asked_code(call.preconditions.connection, magic.PAY_OR_WAIT, auth_code, amount_minor)
    error = magic.said(magic.PAY.get(asked_for))
    if error is not None:
        return _failed(asked, error)
    code = replace(code, behaviour=magic.WAITS.get(asked_for, code.behaviour))
    codes.mark_used(call.preconditions.connection, auth_code, taken_by)
    cny_minor = rates.to_cny_minor(amount_minor, asked.fields["currency"])
    refusal = _refusal(call, code, cny_minor)
    if refusal is not None:
        return refusal if isinstance(refusal, Node) else _failed(asked, refusal)
    trade = _new_trade(call, asked, code, order_no, amount_minor, cny_minor, identity)
    return _let_payer_act(call, asked, trade, code)


def query_spot(call: Call) -> Node:
    asked = acquire_parameters(call)
    trade = _find(call, asked, "alipay_trans_id", "partner_trans_id")
    if trade is None or not trade.exists:
        return Node("alipay", {"result_code": "FAIL", "error": NOT_EXIST})
    fields = {"result_code": "SUCCESS", "alipay_trans_status": trade.state, "out_trade_no": trade.order_no}
    return Node("alipay", fields | _trade_fields(call.preconditions, trade))


def cancel(call: Call) -> Node:
    """Voids an order, whatever became of it: never made, unpaid, or paid. Again is the same again."""
    asked = acquire_parameters(call)
    asked.timestamp("timestamp", call.preconditions.now)
    order_no = asked.number("out_trade_no")
    trade = _find(call, asked, "trade_no", "out_trade_no")
    if trade is None or not trade.exists:
        if trade is not None:  # a QR code that nobody scanned: nobody can any more
            update_trade(call.preconditions.connection, trade, last_pay_at=call.preconditions.now.timestamp())
        return Node("alipay", {"result_code": "SUCCESS", "out_trade_no": order_no, "retry_flag": "N"})
    if trade.cancel_action is not None:
        return _cancelled(trade, trade.cancel_action)
    if call.preconditions.now > _end_of_day(trade) + CANCEL_GRACE:
        return _not_cancelled(trade, "TRADE_CANCEL_TIME_OUT")
    if trade.state == CLOSED:
        return (
            _not_cancelled(trade, "TRADE_HAS_CLOSE") if trade.refunded_minor else _cancelled(trade, "close")
        )
    if trade.state == WAITING:
        changes.close(call.preconditions, trade, call.preconditions.now.timestamp(), "close")
        return _cancelled(trade, "close")
    if trade.refunded_minor:
        return _not_cancelled(trade, "REASON_TRADE_REFUND_FEE_ERR")
    asked_for = magic.refusal(call.preconditions.connection, magic.CANCEL, trade.amount_minor)
    if asked_for is not None:
        return _not_cancelled(trade, asked_for)
    changes.give_back(call.preconditions, trade, trade.left_minor, "refund")
    return _cancelled(trade, "refund")


def acquire_parameters(call: Call) -> Parameters:
    """Of the acquire family, which takes no double quote outside JSON."""
    asked = call.parameters("INVALID_PARAMETER")
    if any('"' in value for name, value in asked.fields.items() if name not in JSON_FIELDS):
        raise asked.refuse()
    return asked


def _check_payment(call: Call, asked: Parameters) -> tuple[str, int]:
    """The order number and the amount, after every rule about the request itself."""
    order_no = asked.number("partner_trans_id")
    asked.one_of("alipay_seller_id", (call.pid,))
    asked.one_of("biz_product", (BIZ_PRODUCT,))
    asked.one_of("identity_code_type", CODE_TYPES)
    asked.text("buyer_identity_code", 32)
    asked.text("trans_name", 256)
    asked.optional("memo", 256)
    asked.url("notify_url")
    asked.json("extend_info", dict)
    asked.json("trade_information", dict)
    if asked.time("trans_create_time", COMPACT) is None:
        raise asked.refuse()
    currency = asked.currency()
    amount_minor = asked.amount("trans_amount", currency, MAX_UNITS)
    if currency != call.shop.currency or asked.fields.get("trans_currency", currency) != currency:
        raise Refused("ILLEGAL_CURRENCY")
    if "quantity" in asked.fields and "price" in asked.fields:
        _check_product(asked)
    return order_no, amount_minor


def _check_product(asked: Parameters) -> None:
    try:
        quantity, price = Decimal(asked.fields["quantity"]), Decimal(asked.fields["price"])
        is_right = quantity * price == Decimal(asked.fields["trans_amount"])
    except InvalidOperation:
        is_right = False
    if not is_right:
        raise asked.refuse()


def _repeat(call: Call, asked: Parameters, trade: Trade, code: codes.Code) -> Node:
    if code.payer != trade.payer:
        return _failed(asked, "TRADE_BUYER_NOT_MATCH")
    if trade.state == CLOSED:
        return _failed(asked, "TRADE_HAS_CLOSE")
    return _paid(call.preconditions, trade) if trade.is_paid else _undecided(call.preconditions, trade)


def _refusal(call: Call, code: codes.Code, cny_minor: int) -> str | Node | None:
    """What keeps a trade from being made at all."""
    if code.behaviour == "unknown_then_nothing":
        return _system_error()
    if code.behaviour == "refuses":
        return "PAYMENT_FAIL"
    balance = payer_of(call.preconditions.connection, "alipay", code.payer).balance
    if code.behaviour == "insufficient" or balance < cny_minor:
        return "BUYER_BALANCE_NOT_ENOUGH"
    return None


def _new_trade(
    call: Call,
    asked: Parameters,
    code: codes.Code,
    order_no: str,
    amount_minor: int,
    cny_minor: int,
    identity: str,
) -> Trade:
    now = call.preconditions.now
    trade = insert_trade(
        call.preconditions.connection,
        pid=call.pid,
        order_no=order_no,
        product=BARCODE,
        product_code=BIZ_PRODUCT,
        state=NOT_EXIST,
        identity=identity,
        subject=asked.fields["trans_name"],
        amount_minor=amount_minor,
        price_currency=asked.fields["currency"],
        currency=asked.fields["currency"],
        cny_minor=cny_minor,
        sign_type=call.sign_type,
        charset=call.request.charset,
        notify_url=asked.url("notify_url"),
        created_at=now.timestamp(),
        last_pay_at=(now + WAIT).timestamp(),
    )
    return changes.bring_into_being(call.preconditions, trade, code.payer)


def _let_payer_act(call: Call, asked: Parameters, trade: Trade, code: codes.Code) -> Node:
    now = call.preconditions.now
    if code.behaviour == "password":
        return _undecided(call.preconditions, trade)
    if code.behaviour == "password_then_pays":
        typed_at = (now + codes.PASSWORD_TYPING).timestamp()
        return _undecided(
            call.preconditions, update_trade(call.preconditions.connection, trade, due_at=typed_at)
        )
    if code.behaviour == magic.GIVES_UP:
        gone_at = (now + codes.PASSWORD_TYPING).timestamp()
        return _undecided(
            call.preconditions,
            update_trade(call.preconditions.connection, trade, due_at=gone_at, last_pay_at=gone_at),
        )
    paid = changes.pay(call.preconditions, trade, code.payer, now.timestamp())
    assert paid is not None  # the balance was looked at in this transaction
    return _system_error() if code.behaviour == "unknown_then_paid" else _paid(call.preconditions, paid)


def _find(call: Call, asked: Parameters, their_name: str, our_name: str) -> Trade | None:
    """By Alipay's number, which wins, or the merchant's."""
    if their_name in asked.fields:
        return by_trade_no(call.preconditions.connection, call.pid, asked.number(their_name))
    return by_order(call.preconditions.connection, call.pid, asked.number(our_name))


def _failed(asked: Parameters, error: str) -> Node:
    echo = {name: asked.fields[name] for name in ("partner_trans_id", "currency", "trans_amount")}
    return Node("alipay", {"result_code": "FAILED", "error": error, **echo})


def _system_error() -> Node:
    return Node("alipay", {"result_code": "UNKNOW", "error": "SYSTEM_ERROR"})


def _undecided(preconditions: Preconditions, trade: Trade) -> Node:
    return Node("alipay", {"result_code": "UNKNOW", **_trade_fields(preconditions, trade)})


def _paid(preconditions: Preconditions, trade: Trade) -> Node:
    return Node("alipay", {"result_code": "SUCCESS", **_trade_fields(preconditions, trade)})


def _trade_fields(preconditions: Preconditions, trade: Trade) -> dict[str, str]:
    assert trade.trade_no is not None
    assert trade.payer is not None
    fields = {
        "partner_trans_id": trade.order_no,
        "alipay_trans_id": trade.trade_no,
        "currency": trade.currency,
        "trans_amount": trade.amount,
        "exchange_rate": exchange_rate(trade),
        "trans_amount_cny": rates.in_units(trade.cny_minor, "CNY"),
        "alipay_buyer_login_id": login_id(trade.payer),
        "alipay_buyer_user_id": user_id(preconditions, trade.payer),
        "payment_inst": "ALIPAYCN",
    }
    if trade.paid_at is not None:
        fields["alipay_pay_time"] = f"{bjt(from_stamp(trade.paid_at)):{COMPACT}}"
    return fields


def exchange_rate(trade: Trade) -> str:
    return f"{rates.rate_to_cny(trade.price_currency):.8f}"


def _end_of_day(trade: Trade) -> datetime:
    day = bjt(from_stamp(trade.created_at)).replace(hour=0, minute=0, second=0, microsecond=0)
    return day + timedelta(days=1)


def _cancelled(trade: Trade, action: str) -> Node:
    return Node("alipay", {"result_code": "SUCCESS", "action": action, **_cancel_fields(trade)})


def _not_cancelled(trade: Trade, reason: str) -> Node:
    why = {"detail_error_code": reason, "detail_error_des": reason.replace("_", " ").lower()}
    return Node("alipay", {"result_code": "FAIL", **why, **_cancel_fields(trade)})


def _cancel_fields(trade: Trade) -> dict[str, str]:
    return {"trade_no": trade.trade_no or "", "out_trade_no": trade.order_no, "retry_flag": "N"}
