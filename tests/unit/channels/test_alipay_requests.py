"""Our requests to Alipay: the pay link, its times, and the cleaned subject."""

from datetime import UTC, datetime, timedelta
from urllib.parse import parse_qs, parse_qsl, urlsplit

import pytest

from tael.base.money import Money
from tael.channels.alipay_mapi import requests, timing
from tests.support.alipay import (
    NOW,
    PID,
    SYSSN,
    alipay_account,
    alipay_order,
    alipay_refund,
)


def test_a_web_page_order() -> None:
    fields = requests.signed(requests.trade_page(alipay_order("800151", alipay_account())), alipay_account())
    sign = fields.pop("sign")
    assert len(sign) == 32
    assert fields == {
        "service": "create_forex_trade",
        "partner": PID,
        "_input_charset": "UTF-8",
        "sign_type": "MD5",
        "notify_url": "https://gw.example/notices/alipay/acc1",
        "return_url": "https://gw.example/return/alipay/acc1",
        "subject": "Tea",
        "out_trade_no": SYSSN,
        "currency": "HKD",
        "total_fee": "39.25",
        "product_code": "NEW_OVERSEAS_SELLER",
        "timeout_rule": "10m",
        "order_gmt_create": "2026-01-02 11:04:05",
        "order_valid_time": "600",
    }


def test_a_wap_page_order_wakes_the_app_and_ends() -> None:
    fields = requests.trade_page(alipay_order("800152", alipay_account(), amount=Money(100, "JPY")))
    assert fields["service"] == "create_forex_trade_wap"
    assert fields["product_code"] == "NEW_WAP_OVERSEAS_SELLER"
    assert (fields["app_pay"], fields["order_create"]) == ("Y", "2026-01-02 11:04:05")
    assert fields["total_fee"] == "100"


def test_a_value_is_encoded_once_and_an_unknown_notice_url_is_left_out() -> None:
    order = alipay_order("800151", alipay_account(), subject="茶 = tea", notice_url="")
    fields = requests.signed(requests.trade_page(order), alipay_account())
    assert "notify_url" not in fields
    query = urlsplit("https://x/?" + requests.encoded(fields)).query
    assert dict(parse_qsl(query)) == fields
    assert parse_qs(query)["subject"] == ["茶 = tea"]


@pytest.mark.parametrize(
    ("subject", "cleaned"),
    [
        ("Tea", "Tea"),
        ("Tea & cake #1 100% +\"'", "Tea   cake  1 100"),
        ("a\r\nb\x00c\u2028d", "a  b c d"),
        ("茶" * 300, "茶" * 256),
        ("\ud800x", "x"),
        ("&", SYSSN),
        ("", SYSSN),
        ("null", SYSSN),
    ],
)
def test_a_subject_is_cleaned(subject: str, cleaned: str) -> None:
    assert requests.clean_subject(alipay_order("800151", alipay_account(), subject=subject)) == cleaned


def test_a_subject_cannot_forge_other_fields() -> None:
    """The payer sees the link's signature: its text must not also be that of a notice."""
    order = alipay_order("800151", alipay_account(), subject="x&trade_status=TRADE_FINISHED")
    assert "&" not in requests.trade_page(order)["subject"]


def test_a_barcode_payment() -> None:
    account = alipay_account(online=False)
    fields = requests.spot_pay(alipay_order("800108", account), account)
    assert fields["trans_amount"] == "39.25"
    assert fields["trans_create_time"] == "20260102110405"
    assert fields["alipay_seller_id"] == PID


def test_a_refund_is_the_same_request_each_time() -> None:
    refund = alipay_refund(alipay_order("800152", alipay_account()), amount_minor=1005)
    fields = requests.forex_refund(refund)
    assert fields == requests.forex_refund(refund)
    assert (fields["return_amount"], fields["gmt_return"]) == ("10.05", "20260102110405")
    assert (fields["product_code"], fields["is_sync"]) == ("NEW_WAP_OVERSEAS_SELLER", "Y")


@pytest.mark.parametrize(
    ("seconds", "rule", "until_s"),
    [
        (1, "5m", 301),
        (300, "5m", 600),
        (301, "10m", 901),
        (600, "10m", 1200),
        (3601, "2h", 3601 + 7200),
        (86_400, "1d", 172_800),
        (86_401, "3d", 86_401 + 259_200),
        (2_592_000, "15d", 2_592_000 + 1_296_000),
        (9_999_999, "15d", 2_592_000 + 1_296_000),
        (-5, "5m", 301),
    ],
)
def test_the_wallets_deadline(seconds: int, rule: str, until_s: int) -> None:
    expires_at = NOW + timedelta(seconds=seconds)
    assert timing.timeout_rule(timing.valid_s(NOW, expires_at))[0] == rule
    assert timing.wallet_deadline(NOW, expires_at) == NOW + timedelta(seconds=until_s)


@pytest.mark.parametrize("text", ["20260102110405", "2026-01-02 11:04:05"])
def test_beijing_times_become_utc(text: str) -> None:
    assert timing.read_time(text) == datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)


@pytest.mark.parametrize("text", ["", "20261332110405", "yesterday"])
def test_an_invalid_time_is_none(text: str) -> None:
    assert timing.read_time(text) is None


@pytest.mark.parametrize(
    ("beijing", "is_night"), [("23:59", False), ("00:00", True), ("01:29", True), ("01:30", False)]
)
def test_the_night_of_in_store_refunds(beijing: str, is_night: bool) -> None:
    at = datetime.fromisoformat(f"2026-01-02T{beijing}:00+08:00").astimezone(UTC)
    assert timing.is_night(at) is is_night
