"""Alipay's notices and the returns of payers' browsers, as far as they can be verified without a request.

A notice is verified twice: its signature here, and with `notify_verify` in the adapter. A browser's return is only a
hint to query the payment: it may be replayed, or never arrive.
"""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Final

from tael.base.money import Money, from_major
from tael.channels.alipay_mapi.account import AlipayAccount
from tael.channels.alipay_mapi.answers import Trade
from tael.channels.alipay_mapi.messages import Form, Unreadable, read_form
from tael.channels.alipay_mapi.outcomes import trade_outcome
from tael.channels.alipay_mapi.signing import is_genuine
from tael.channels.alipay_mapi.timing import read_time
from tael.channels.base import BadSignature, Notice, PaymentNotice, RefundNotice
from tael.channels.outcomes import Unknown

STATE_CHANGED: Final = "trade_status_sync"
#: Fields that only a trade has that was paid, even if it is closed by now.
FIELDS_IF_PAID: Final = ("gmt_payment", "refund_status", "gmt_refund", "refund_fee")


def verified_fields(verifiers: Sequence[AlipayAccount], body: bytes) -> Mapping[str, str]:
    """The fields of a notice that the wallet of one of these accounts signed. Raises BadSignature."""
    try:
        form = read_form(body)
    except Unreadable as error:
        raise BadSignature(f"notice: {error}") from error
    fields = form.fields
    account = next((each for each in verifiers if _is_genuine(form, each)), None)
    if account is None:
        raise BadSignature("notice: the signature is not this account's")
    if fields.get("seller_id", account.pid) != account.pid:
        raise BadSignature("notice: for another seller")
    if not fields.get("notify_id") or not fields.get("out_trade_no"):
        raise BadSignature("notice: without notify_id or order number")
    return fields


def notice_of(fields: Mapping[str, str], seen_at: datetime) -> Notice:
    """The content of a verified notice. `seen_at` is used as the time of payment if the notice has none."""
    syssn = fields["out_trade_no"]
    if fields.get("out_return_no"):
        return RefundNotice(syssn=fields["out_return_no"], payment_syssn=syssn)
    if fields.get("notify_type") != STATE_CHANGED or fields.get("trade_status") == "WAIT_BUYER_PAY":
        content = f"{fields.get('notify_type')} {fields.get('trade_status')}"
        return PaymentNotice(syssn, Unknown(f"notice: {content}"))
    try:
        amount = _price(fields)
    except ValueError:
        return PaymentNotice(syssn, Unknown("notice: total_fee is not an amount"))
    trade = Trade(
        state=fields.get("trade_status", ""),
        order_number=syssn,
        trade_number=fields.get("trade_no", ""),
        buyer=fields.get("buyer_id", ""),
        amount=amount,
        paid_at=read_time(fields.get("gmt_payment", "")),
        was_paid=any(fields.get(name) for name in FIELDS_IF_PAID),
    )
    return PaymentNotice(syssn, trade_outcome(trade, syssn, seen_at))


def returned_order(verifiers: Sequence[AlipayAccount], query: Mapping[str, str]) -> str | None:
    """The order number in a return's decoded query, if the wallet of one of these accounts signed it."""
    if not query.get("trade_no") or not query.get("trade_status"):
        return None  # our own pay links are signed with the same key, but lack these fields
    if not any(_is_genuine(Form(query, "utf-8"), each) for each in verifiers):
        return None
    return query.get("out_trade_no") or None


def _is_genuine(form: Form, account: AlipayAccount) -> bool:
    sign, sign_type = form.fields.get("sign", ""), form.fields.get("sign_type", "")
    return is_genuine(form.fields, sign, sign_type, account, form.charset)


def _price(fields: Mapping[str, str]) -> Money | None:
    text, currency = fields.get("total_fee"), fields.get("currency")
    return from_major(text, currency) if text and currency else None
