"""Asynchronous notices, the browser's return to the merchant, and the verification of notices.

Notice and return have the sign_type of the payment request. A notice's id can be verified until it is acknowledged.
"""

import secrets
import sqlite3
from typing import Final
from urllib.parse import urlencode, urlsplit, urlunsplit

from tael_sandbox import rates
from tael_sandbox.alipay.checks import DASHED
from tael_sandbox.alipay.payment_inst import wallet_of
from tael_sandbox.alipay.preconditions import Preconditions
from tael_sandbox.alipay.trades import Trade
from tael_sandbox.clock import bjt, from_stamp
from tael_sandbox.notices import queue_notice

NAMES: Final = {"utf-8": "UTF-8", "gbk": "GBK"}


def login_id(payer: str) -> str:
    """The masked e-mail address that merchants see."""
    return f"{payer[:3]}***@wallet.test"


def user_id(preconditions: Preconditions, payer: str) -> str:
    row: str = preconditions.connection.execute(
        "SELECT user_id FROM payer WHERE payer = ?", (payer,)
    ).fetchone()[0]
    return row


def queue_trade_notice(preconditions: Preconditions, trade: Trade, action: str) -> None:
    """Queues the notice of the trade's new state if it has a notify_url. `action` is Alipay's name of the change."""
    if trade.notify_url is None:
        return
    notify_id = secrets.token_hex(17)
    fields = {
        "notify_id": notify_id,
        "notify_type": "trade_status_sync",
        "notify_time": f"{bjt(preconditions.now):{DASHED}}",
        "out_trade_no": trade.order_no,
        "trade_no": trade.trade_no or "",
        "trade_status": trade.state,
        "total_fee": trade.total_fee,
        "currency": trade.currency,
    }
    if trade.price_currency != trade.currency:
        fields["rmb_fee"] = trade.amount
    if trade.is_in_store:
        fields |= _in_store_fields(preconditions, trade, action)
    body = urlencode(_signed(preconditions, trade, fields), encoding=trade.charset)
    notice_id = queue_notice(
        preconditions.connection,
        wallet=wallet_of(preconditions.connection, trade),
        url=trade.notify_url,
        content_type=f"application/x-www-form-urlencoded; charset={NAMES[trade.charset]}",
        body=body.encode("ascii"),
        at=preconditions.now.timestamp(),
    )
    preconditions.connection.execute(
        "INSERT INTO alipay_notice (notify_id, pid, notice_id) VALUES (?, ?, ?)",
        (notify_id, trade.pid, notice_id),
    )


def return_address(preconditions: Preconditions, trade: Trade) -> str | None:
    """The URL to which the payer's browser returns after paying. The query of the merchant's URL is kept."""
    if trade.return_url is None:
        return None
    fields = {
        "currency": trade.currency,
        "out_trade_no": trade.order_no,
        "total_fee": trade.total_fee,
        "trade_no": trade.trade_no or "",
        "trade_status": trade.state,
    }
    added = urlencode(_signed(preconditions, trade, fields), encoding=trade.charset)
    parts = urlsplit(trade.return_url)
    return urlunsplit(parts._replace(query=f"{parts.query}&{added}" if parts.query else added))


def is_live(connection: sqlite3.Connection, pid: str, notify_id: str) -> bool:
    """Whether this is the id of an unacknowledged notice to this merchant."""
    row = connection.execute(
        "SELECT 1 FROM alipay_notice JOIN notice ON notice.id = notice_id"
        " WHERE notify_id = ? AND pid = ? AND acknowledged_at IS NULL",
        (notify_id, pid),
    )
    return row.fetchone() is not None


def _in_store_fields(preconditions: Preconditions, trade: Trade, action: str) -> dict[str, str]:
    fields = {
        "notify_action_type": action,
        "subject": trade.subject,
        "seller_id": trade.pid,
        "price": trade.amount,
        "quantity": "1",
        "gmt_create": _printed(trade.created_at),
    }
    if trade.payer is not None:
        fields |= {"buyer_id": user_id(preconditions, trade.payer), "buyer_email": login_id(trade.payer)}
    passback = preconditions.connection.execute(
        "SELECT passback FROM alipay_passback WHERE trade_id = ?", (trade.id,)
    ).fetchone()
    if passback is not None:
        fields["extra_common_param"] = passback["passback"]
    if trade.paid_at is not None:
        fields["gmt_payment"] = _printed(trade.paid_at)
    if trade.closed_at is not None:
        fields["gmt_close"] = _printed(trade.closed_at)
    if trade.refunded_minor:
        fields["refund_fee"] = rates.in_units(trade.refunded_minor, trade.price_currency)
    return fields


def _signed(preconditions: Preconditions, trade: Trade, fields: dict[str, str]) -> dict[str, str]:
    sign = preconditions.keys.sign(trade.pid, fields, trade.sign_type, trade.charset)
    return {**fields, "sign": sign, "sign_type": trade.sign_type}


def _printed(stamp: float) -> str:
    return f"{bjt(from_stamp(stamp)):{DASHED}}"
