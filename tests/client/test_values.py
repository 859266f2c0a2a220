"""Money, times and orders: their valid values."""

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
from babel.numbers import get_currency_precision
from tael_client import Filters, Money, PaymentOrder, PayType
from tael_client.moments import UTC8, month_of_number, months_within, read_moment, wire_text
from tael_client.money import MAX_MINOR


def at(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC8)


@pytest.mark.parametrize("amount", [1.0, "1", True, None])
def test_money_is_made_of_whole_minor_units_only(amount: Any) -> None:
    with pytest.raises(TypeError, match="minor units"):
        Money(amount, "HKD")


@pytest.mark.parametrize(("amount_minor", "currency"), [(-1, "HKD"), (10**11, "HKD"), (1, "hkd"), (1, "HK")])
def test_invalid_money_is_refused(amount_minor: int, currency: str) -> None:
    with pytest.raises(ValueError, match="must be"):
        Money(amount_minor, currency)


@pytest.mark.parametrize(
    ("text", "currency", "amount_minor"),
    [
        ("12.50", "HKD", 1250),
        ("12.5", "HKD", 1250),
        ("12", "HKD", 1200),
        ("0.01", "USD", 1),
        ("1250", "JPY", 1250),
        ("1", "KRW", 1),
        ("1.234", "KWD", 1234),
        ("999999999.99", "HKD", MAX_MINOR),
    ],
)
def test_an_amount_in_major_units_has_the_currency_s_decimals(
    text: str, currency: str, amount_minor: int
) -> None:
    money = Money.from_major(text, currency)
    assert money == Money(amount_minor, currency)
    assert Money.from_major(money.major, currency) == money
    assert Decimal(money.major) == Decimal(text)
    assert len(money.major.partition(".")[2]) == get_currency_precision(currency)


@pytest.mark.parametrize(
    ("text", "currency"),
    [
        *(("12.505", "HKD"), ("1250.0", "JPY"), ("1.5", "KRW"), ("-1", "HKD"), ("1e3", "HKD"), ("", "HKD")),
        *(
            (".5", "HKD"),
            ("5.", "HKD"),
            ("1,000", "HKD"),
            ("１", "HKD"),
            ("1000000000", "HKD"),
            (" 1", "HKD"),
        ),
        *(("1", "HKX"), ("1", ""), ("1", "hkd")),
    ],
)
def test_what_is_not_an_amount_of_the_currency_is_refused(text: str, currency: str) -> None:
    with pytest.raises(ValueError, match=r"not an amount|must be|unknown currency"):
        Money.from_major(text, currency)


def test_a_time_is_written_in_utc_plus_8_and_read_back_aware() -> None:
    moment = datetime(2016, 12, 31, 16, 30, 0, 999_999, tzinfo=UTC)
    assert wire_text(moment) == "2017-01-01 00:30:00"
    assert read_moment("2017-01-01 00:30:00") == moment.replace(microsecond=0)
    assert read_moment("2017-01-01 00:30:00").utcoffset() == timedelta(hours=8)


def test_a_naive_time_is_refused() -> None:
    with pytest.raises(ValueError, match="aware"):
        wire_text(datetime(2017, 1, 1))
    with pytest.raises(ValueError, match="aware"):
        Filters(since=datetime(2017, 1, 1))


def test_a_range_is_cut_at_the_ends_of_months_in_utc_plus_8_newest_first() -> None:
    since, until = datetime(2015, 12, 31, 15, 59, 59, tzinfo=UTC), at("2016-03-01 00:00:00")
    assert months_within(since, until) == [
        (at("2016-03-01 00:00:00"), at("2016-03-01 00:00:00")),
        (at("2016-02-01 00:00:00"), at("2016-02-29 23:59:59")),
        (at("2016-01-01 00:00:00"), at("2016-01-31 23:59:59")),
        (at("2015-12-31 23:59:59"), at("2015-12-31 23:59:59")),
    ]


def test_a_range_within_one_month_is_left_whole() -> None:
    since, until = at("2016-02-01 00:00:00"), at("2016-02-29 23:59:59")
    assert months_within(since, until) == [(since, until)]
    with pytest.raises(ValueError, match="after"):
        months_within(until, since)


def test_a_number_of_the_server_has_its_month() -> None:
    assert month_of_number("201612310902990042326492") == (
        at("2016-12-01 00:00:00"),
        at("2016-12-31 23:59:59"),
    )
    assert month_of_number("123") is None
    assert month_of_number("20161301990299004232") is None


def test_each_constructor_makes_its_pay_type() -> None:
    money = Money(1)
    orders = [
        PaymentOrder.alipay_web("r", money),
        PaymentOrder.alipay_wap("r", money),
        PaymentOrder.alipay_barcode("r", money, "28"),
        PaymentOrder.wechat_qr("r", money),
        PaymentOrder.wechat_in_app("r", money, "o"),
        PaymentOrder.wechat_barcode("r", money, "13"),
        PaymentOrder.wechat_hk_barcode("r", money, "15"),
    ]
    codes = ["800151", "800152", "800108", "800201", "800207", "800208", "800228"]
    assert [order.pay_type.value for order in orders] == codes
    assert [order.pay_type.value for order in orders if order.is_barcode] == ["800108", "800208", "800228"]


@pytest.mark.parametrize(
    "given",
    [
        {"reference": ""},
        {"reference": "a,b"},
        {"reference": "a b"},
        {"reference": "茶"},
        {"reference": "r" * 129},
        {"amount": Money(0)},
        {"valid_time_s": 299},
        {"pay_type": PayType.ALIPAY_BARCODE},
        {"pay_type": PayType.WECHAT_IN_APP},
        {"client_time": datetime(2017, 1, 1)},
    ],
    ids=str,
)
def test_an_invalid_order_is_refused_before_it_is_sent(given: dict[str, Any]) -> None:
    whole: dict[str, Any] = {"pay_type": PayType.WECHAT_QR, "reference": "r", "amount": Money(1)}
    PaymentOrder(**whole)
    with pytest.raises(ValueError, match=r".+"):
        PaymentOrder(**whole | given)


def test_filters_take_lists_and_not_a_string_that_looks_like_one() -> None:
    with pytest.raises(TypeError, match="list"):
        Filters(references="abc")
    with pytest.raises(ValueError, match="500"):
        Filters(syssns=["1"] * 501)
    with pytest.raises(ValueError, match="commas"):
        Filters(references=["a,b"])
