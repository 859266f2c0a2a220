"""Notices of WeChat Pay: payments (signed) and refunds (encrypted).

Micropay and failures send no notices. A notice is queued in the transaction of its change; the courier repeats it
until it is acknowledged. The rate is `rate` in responses and `rate_value` in a notice: the documents print `rate` for
both, but SDKs that sign only the elements they know refuse a notice with `rate`.
"""

import sqlite3
from typing import Final

from tael_sandbox.clock import from_stamp
from tael_sandbox.notices import queue_notice
from tael_sandbox.wechat import numbering, refunds
from tael_sandbox.wechat.messages import Value, signed, write_message
from tael_sandbox.wechat.refunds import Refund
from tael_sandbox.wechat.registry import Registry, wire_number
from tael_sandbox.wechat.signing import MD5, encrypt_req_info
from tael_sandbox.wechat.trades import Trade

_NAMES_IN_NOTICES: Final = {"rate": "rate_value"}


def paid_fields(trade: Trade, registry: Registry) -> dict[str, Value]:
    """The fields of a paid trade in micropay replies and order queries, and, except the rate, in payment notices."""
    assert trade.payer is not None
    assert trade.paid_at is not None
    fields: dict[str, Value] = {
        "openid": registry.openid(trade.payer, trade.appid),
        "is_subscribe": "N",
    }
    if trade.sub_appid:
        fields["sub_openid"] = registry.openid(trade.payer, trade.sub_appid)
        fields["sub_is_subscribe"] = "N"
    fields |= {
        "trade_type": trade.trade_type,
        "bank_type": trade.bank_type,
        "total_fee": trade.total_fee,
        "fee_type": trade.fee_type,
        "cash_fee": trade.cash_fee,
        "cash_fee_type": trade.cash_fee_type,
        "transaction_id": trade.transaction_id,
        "out_trade_no": trade.out_trade_no,
        "time_end": numbering.wire_time(from_stamp(trade.paid_at)),
    }
    optional = {"attach": trade.attach, "rate": trade.rate, "device_info": trade.device_info}
    return fields | {name: text for name, text in optional.items() if text}


def identity_fields(trade: Trade) -> dict[str, Value]:
    fields: dict[str, Value] = {"appid": trade.appid, "mch_id": wire_number(trade.mch_id)}
    optional = {"sub_appid": trade.sub_appid, "sub_mch_id": wire_number(trade.sub_mch_id)}
    fields |= {name: text for name, text in optional.items() if text}
    return fields | {"nonce_str": numbering.nonce()}


def queue_payment_notice(connection: sqlite3.Connection, trade: Trade, registry: Registry) -> None:
    if not trade.notify_url or trade.paid_at is None:
        return
    fields: dict[str, Value] = {"return_code": "SUCCESS", "return_msg": "OK", **identity_fields(trade)}
    fields["result_code"] = "SUCCESS"
    if trade.sign_type != MD5:
        fields["sign_type"] = trade.sign_type
    fields |= {
        _NAMES_IN_NOTICES.get(name, name): value for name, value in paid_fields(trade, registry).items()
    }
    body = write_message(signed(fields, registry.key(trade.mch_id), trade.sign_type))
    _queue(connection, trade, trade.notify_url, body, trade.paid_at)


def queue_refund_notice(
    connection: sqlite3.Connection, refund: Refund, trade: Trade, registry: Registry
) -> None:
    if not refund.notify_url or refund.success_at is None:
        return
    event: dict[str, Value] = {
        "transaction_id": trade.transaction_id,
        "out_trade_no": trade.out_trade_no,
        "refund_id": refund.refund_id,
        "out_refund_no": refund.out_refund_no,
        "total_fee": trade.total_fee,
        "refund_fee": refund.refund_fee,
        "settlement_total_fee": trade.total_fee,
        "settlement_refund_fee": refund.refund_fee,
        "refund_status": refund.status,
        "success_time": refunds.success_time(refund),
        "refund_recv_accout": "支付用户零钱",
        "refund_account": refund.refund_account,
        "refund_request_source": "API",
    }
    encrypted = encrypt_req_info(write_message(event, root="root"), registry.key(trade.mch_id))
    fields: dict[str, Value] = {"return_code": "SUCCESS", **identity_fields(trade), "req_info": encrypted}
    _queue(connection, trade, refund.notify_url, write_message(fields), refund.success_at)


def _queue(connection: sqlite3.Connection, trade: Trade, url: str, body: bytes, at: float) -> None:
    queue_notice(connection, wallet=trade.wallet, url=url, content_type="text/xml", body=body, at=at)
