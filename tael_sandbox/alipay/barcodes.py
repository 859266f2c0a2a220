"""In-store payments: `alipay.acquire.overseas.spot.pay`, its query and its cancel.

The result of a payment is in the node's `result_code`; `is_success` only means that the request was accepted.
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
from tael_sandbox.alipay.payment_inst import PAYMENT_INST_OF, WALLETS, charge_for, wallet_of
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
from tael_sandbox.magic import requested_code
from tael_sandbox.payers import payer_by_name

BIZ_PRODUCT: Final = "OVERSEAS_MBARCODE_PAY"
CODE_TYPES: Final = ("barcode", "QRcode", "qrcode")
MAX_UNITS: Final = "100000000.00"
WAIT: Final = timedelta(seconds=180)
CANCEL_GRACE: Final = timedelta(minutes=15)
IDENTITY: Final = ("trans_name", "currency", "trans_currency", "trans_amount", "quantity", "price")
JSON_FIELDS: Final = frozenset({"extend_info", "extend_params", "goods_detail", "trade_information"})


def pay_spot(call: Call) -> Node:
    parameters = acquire_parameters(call)
    order_no, amount_minor = _check_payment(call, parameters)
    identity = json.dumps({name: parameters.fields.get(name) for name in IDENTITY})
    auth_code = parameters.text("buyer_identity_code", 32)
    code = codes.read_code(call.preconditions.connection, auth_code)
    used_by = f"alipay/{call.pid}/{order_no}"
    trade = by_order(call.preconditions.connection, call.pid, order_no)
    if trade is not None and trade.identity != identity:
        return _failed(parameters, "CONTEXT_INCONSISTENT")
    if code is None or code.wallet not in WALLETS:
        return _failed(parameters, "SOUNDWAVE_PARSER_FAIL")
    if trade is not None:
        return _repeat(call, parameters, trade, code)
    if code.is_expired(call.preconditions.now) or code.is_used_by_other(used_by):
        return _failed(parameters, "SOUNDWAVE_PARSER_FAIL")
    magic_code = requested_code(call.preconditions.connection, magic.PAY_OR_WAIT, auth_code, amount_minor)
    error = magic.service_error(magic.PAY.get(magic_code))
    if error is not None:
        return _failed(parameters, error)
    code = replace(code, behaviour=magic.WAITS.get(magic_code, code.behaviour))
    codes.mark_used(call.preconditions.connection, auth_code, used_by)
    cny_minor = rates.to_cny_minor(amount_minor, parameters.fields["currency"])
    refusal = _refusal(call, code, amount_minor, parameters.fields["currency"])
    if refusal is not None:
        return refusal if isinstance(refusal, Node) else _failed(parameters, refusal)
    trade = _new_trade(call, parameters, code, order_no, amount_minor, cny_minor, identity)
    return _apply_behaviour(call, parameters, trade, code)


def query_spot(call: Call) -> Node:
    parameters = acquire_parameters(call)
    trade = _find(call, parameters, "alipay_trans_id", "partner_trans_id")
    if trade is None or not trade.exists:
        return Node("alipay", {"result_code": "FAIL", "error": NOT_EXIST})
    fields = {"result_code": "SUCCESS", "alipay_trans_status": trade.state, "out_trade_no": trade.order_no}
    return Node("alipay", fields | _trade_fields(call.preconditions, trade))


def cancel(call: Call) -> Node:
    """Voids an order in any state: never created, unpaid, or paid. A repeat has the same result."""
    parameters = acquire_parameters(call)
    parameters.timestamp("timestamp", call.preconditions.now)
    order_no = parameters.number("out_trade_no")
    trade = _find(call, parameters, "trade_no", "out_trade_no")
    if trade is None or not trade.exists:
        if trade is not None:  # a QR code that was never scanned cannot be scanned from now on
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
    magic_error = magic.refusal(call.preconditions.connection, magic.CANCEL, trade.amount_minor)
    if magic_error is not None:
        return _not_cancelled(trade, magic_error)
    changes.return_money(call.preconditions, trade, trade.refundable_minor, "refund")
    return _cancelled(trade, "refund")


def acquire_parameters(call: Call) -> Parameters:
    """The parameters of a service of the acquire family, which refuses double quotes outside JSON."""
    parameters = call.parameters("INVALID_PARAMETER")
    if any('"' in value for name, value in parameters.fields.items() if name not in JSON_FIELDS):
        raise parameters.refuse()
    return parameters


def _check_payment(call: Call, parameters: Parameters) -> tuple[str, int]:
    """Checks every rule about the request itself. Returns the order number and the amount."""
    order_no = parameters.number("partner_trans_id")
    parameters.one_of("alipay_seller_id", (call.pid,))
    parameters.one_of("biz_product", (BIZ_PRODUCT,))
    parameters.one_of("identity_code_type", CODE_TYPES)
    parameters.text("buyer_identity_code", 32)
    parameters.text("trans_name", 256)
    parameters.optional("memo", 256)
    parameters.url("notify_url")
    parameters.json("extend_info", dict)
    parameters.json("trade_information", dict)
    if parameters.time("trans_create_time", COMPACT) is None:
        raise parameters.refuse()
    currency = parameters.currency()
    amount_minor = parameters.amount("trans_amount", currency, MAX_UNITS)
    if currency != call.shop.currency or parameters.fields.get("trans_currency", currency) != currency:
        raise Refused("ILLEGAL_CURRENCY")
    if "quantity" in parameters.fields and "price" in parameters.fields:
        _check_product(parameters)
    return order_no, amount_minor


def _check_product(parameters: Parameters) -> None:
    try:
        quantity, price = Decimal(parameters.fields["quantity"]), Decimal(parameters.fields["price"])
        is_valid = quantity * price == Decimal(parameters.fields["trans_amount"])
    except InvalidOperation:
        is_valid = False
    if not is_valid:
        raise parameters.refuse()


def _repeat(call: Call, parameters: Parameters, trade: Trade, code: codes.Code) -> Node:
    if code.payer != trade.payer:
        return _failed(parameters, "TRADE_BUYER_NOT_MATCH")
    if trade.state == CLOSED:
        return _failed(parameters, "TRADE_HAS_CLOSE")
    return _paid(call.preconditions, trade) if trade.is_paid else _undecided(call.preconditions, trade)


def _refusal(call: Call, code: codes.Code, amount_minor: int, currency: str) -> str | Node | None:
    """The error, or the whole node, of a payment for which no trade is created. None if it may be created."""
    if code.behaviour == "unknown_then_nothing":
        return _system_error()
    if code.behaviour == "refuses":
        return "PAYMENT_FAIL"
    payer = payer_by_name(call.preconditions.connection, code.payer)
    if code.behaviour == "insufficient" or payer.balance < charge_for(amount_minor, currency, payer):
        return "BUYER_BALANCE_NOT_ENOUGH"
    return None


def _new_trade(
    call: Call,
    parameters: Parameters,
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
        subject=parameters.fields["trans_name"],
        amount_minor=amount_minor,
        price_currency=parameters.fields["currency"],
        currency=parameters.fields["currency"],
        cny_minor=cny_minor,
        sign_type=call.sign_type,
        charset=call.request.charset,
        notify_url=parameters.url("notify_url"),
        created_at=now.timestamp(),
        last_pay_at=(now + WAIT).timestamp(),
    )
    return changes.begin_trade(call.preconditions, trade, code.payer)


def _apply_behaviour(call: Call, parameters: Parameters, trade: Trade, code: codes.Code) -> Node:
    now = call.preconditions.now
    if code.behaviour == "password":
        return _undecided(call.preconditions, trade)
    if code.behaviour == "password_then_pays":
        pays_at = (now + codes.PASSWORD_TYPING).timestamp()
        return _undecided(
            call.preconditions, update_trade(call.preconditions.connection, trade, due_at=pays_at)
        )
    if code.behaviour == magic.GIVES_UP:
        gives_up_at = (now + codes.PASSWORD_TYPING).timestamp()
        return _undecided(
            call.preconditions,
            update_trade(call.preconditions.connection, trade, due_at=gives_up_at, last_pay_at=gives_up_at),
        )
    paid = changes.pay(call.preconditions, trade, code.payer, now.timestamp())
    assert paid is not None  # the balance was checked in this transaction
    return _system_error() if code.behaviour == "unknown_then_paid" else _paid(call.preconditions, paid)


def _find(call: Call, parameters: Parameters, trade_no_name: str, order_no_name: str) -> Trade | None:
    """Finds the trade by Alipay's number, which takes precedence, or by the merchant's."""
    if trade_no_name in parameters.fields:
        return by_trade_no(call.preconditions.connection, call.pid, parameters.number(trade_no_name))
    return by_order(call.preconditions.connection, call.pid, parameters.number(order_no_name))


def _failed(parameters: Parameters, error: str) -> Node:
    echo = {name: parameters.fields[name] for name in ("partner_trans_id", "currency", "trans_amount")}
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
        "payment_inst": PAYMENT_INST_OF[wallet_of(preconditions.connection, trade)],
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
