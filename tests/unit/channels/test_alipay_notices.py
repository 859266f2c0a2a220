"""Notices and browser returns: their proof, their outcome, and the effect of a changed byte."""

from datetime import UTC, datetime

import pytest

from tael.base.money import Money
from tael.channels.alipay_mapi.notices import notice_of, returned_order, verified_fields
from tael.channels.alipay_mapi.requests import signed, trade_page
from tael.channels.base import BadSignature, Notice, PaymentNotice, RefundNotice
from tael.channels.outcomes import Closed, Paid, Unknown
from tests.support.alipay import (
    NOW,
    PID,
    REFUND_SYSSN,
    SIGN_TYPES,
    SYSSN,
    TRADE_NO,
    alipay_account,
    alipay_order,
    flipped,
    notice_body,
    wallet_signature,
)

NOTICE = {
    "notify_id": "n1",
    "notify_type": "trade_status_sync",
    "notify_time": "2026-01-02 11:05:00",
    "out_trade_no": SYSSN,
    "trade_no": TRADE_NO,
    "trade_status": "TRADE_FINISHED",
    "total_fee": "39.25",
    "currency": "HKD",
    "subject": "茶 a+b",
    "seller_id": PID,
    "buyer_id": "2088102",
    "gmt_payment": "2026-01-02 11:04:30",
}
RETURN = {
    name: NOTICE[name] for name in ("out_trade_no", "trade_no", "trade_status", "total_fee", "currency")
}


def read(fields: dict[str, str], **how: str) -> Notice:
    return notice_of(verified_fields([alipay_account()], notice_body(fields, **how)), NOW)


@pytest.mark.parametrize("charset", ["utf-8", "gbk"])
def test_a_notice_of_a_payment_is_paid(charset: str) -> None:
    paid = Paid(Money(3925, "HKD"), TRADE_NO, "2088102", datetime(2026, 1, 2, 3, 4, 30, tzinfo=UTC))
    assert read(NOTICE, charset=charset) == PaymentNotice(SYSSN, paid)


@pytest.mark.parametrize("sign_type", SIGN_TYPES)
@pytest.mark.parametrize("name", sorted(NOTICE))
def test_a_changed_byte_is_no_notice(name: str, sign_type: str) -> None:
    account = alipay_account(sign_type)  # type: ignore[arg-type]
    sign = wallet_signature(NOTICE, sign_type)
    assert verified_fields([account], notice_body(NOTICE, sign_type, sign=sign))
    with pytest.raises(BadSignature):
        verified_fields([account], notice_body({**NOTICE, name: flipped(NOTICE[name])}, sign_type, sign=sign))


@pytest.mark.parametrize(
    "fields",
    [
        {**NOTICE, "seller_id": "2088000000000009"},
        {name: value for name, value in NOTICE.items() if name != "notify_id"},
        {name: value for name, value in NOTICE.items() if name != "out_trade_no"},
    ],
)
def test_a_signed_notice_that_is_not_for_us_is_refused(fields: dict[str, str]) -> None:
    with pytest.raises(BadSignature):
        read(fields)


@pytest.mark.parametrize("sign", ["", "0" * 32])
def test_without_its_signature_it_is_refused(sign: str) -> None:
    with pytest.raises(BadSignature):
        read(NOTICE, sign=sign)


def test_another_sign_type_is_refused() -> None:
    with pytest.raises(BadSignature):
        verified_fields([alipay_account("RSA2")], notice_body(NOTICE, "RSA"))
    with pytest.raises(BadSignature):
        verified_fields(
            [alipay_account("RSA2")], notice_body(NOTICE, "MD5", sign=wallet_signature(NOTICE, "MD5"))
        )


def test_the_text_of_a_pay_link_is_no_notice_and_no_return() -> None:
    """The payer sees the link, and it is signed with the same key."""
    account = alipay_account()
    link = signed(trade_page(alipay_order("800151", account)), account)
    assert returned_order([account], link) is None
    rest = {name: value for name, value in link.items() if name not in ("sign", "sign_type")}
    with pytest.raises(BadSignature):
        verified_fields([account], notice_body(rest, sign=link["sign"]))


@pytest.mark.parametrize(
    ("changes", "outcome"),
    [
        ({"trade_status": "TRADE_CLOSED", "gmt_payment": ""}, Closed(TRADE_NO)),
        ({"trade_status": "TRADE_SOMETHING"}, Unknown("trade status 'TRADE_SOMETHING'")),
        ({"trade_status": "WAIT_BUYER_PAY"}, Unknown("notice: trade_status_sync WAIT_BUYER_PAY")),
        ({"notify_type": "other"}, Unknown("notice: other TRADE_FINISHED")),
        ({"total_fee": "39.2.5"}, Unknown("notice: total_fee is not an amount")),
    ],
)
def test_other_notices(changes: dict[str, str], outcome: object) -> None:
    assert read({**NOTICE, **changes}) == PaymentNotice(SYSSN, outcome)  # type: ignore[arg-type]


@pytest.mark.parametrize("changes", [{"refund_fee": "10.00"}, {"trade_status": "TRADE_CLOSED"}])
def test_a_payment_that_was_refunded_stays_paid(changes: dict[str, str]) -> None:
    notice = read({**NOTICE, **changes})
    assert isinstance(notice, PaymentNotice)
    assert isinstance(notice.outcome, Paid)


def test_without_a_currency_the_amount_is_unknown() -> None:
    notice = read({**NOTICE, "currency": ""})
    assert isinstance(notice, PaymentNotice)
    assert isinstance(notice.outcome, Paid)
    assert notice.outcome.amount is None


def test_a_refund_is_named() -> None:
    assert read({**NOTICE, "out_return_no": REFUND_SYSSN}) == RefundNotice(REFUND_SYSSN, SYSSN)


@pytest.mark.parametrize("sign_type", SIGN_TYPES)
def test_a_browsers_return_is_a_hint_only_if_signed(sign_type: str) -> None:
    account = alipay_account(sign_type)  # type: ignore[arg-type]
    query = {**RETURN, "sign": wallet_signature(RETURN, sign_type), "sign_type": sign_type}
    assert returned_order([account], query) == SYSSN
    for name in RETURN:
        assert returned_order([account], {**query, name: flipped(query[name])}) is None
    assert returned_order([account], {**query, "sign_type": "DSA"}) is None
    assert returned_order([account], RETURN) is None
