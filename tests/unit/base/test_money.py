"""Amounts survive every conversion to a wallet's format and back; only a plain decimal is an amount."""

import pytest
import tael_client.currencies
from babel.numbers import get_currency_precision
from hypothesis import given
from hypothesis import strategies as st

import tael_sandbox.currencies
from tael.base.currencies import DECIMALS
from tael.base.money import Money, exponent, from_major, major_text
from tael_sandbox import rates

AMOUNTS = st.integers(min_value=-(10**15), max_value=10**15)
CURRENCIES = st.sampled_from(["HKD", "CNY", "USD", "JPY", "KRW"])
#: Those of both wallets' documents, and those that a price may be in.
WALLETS_CURRENCIES = [
    *("AED", "AUD", "CAD", "CHF", "CNY", "CZK", "DKK", "EUR", "GBP", "HKD", "IDR", "ILS", "JPY", "KRW"),
    *("LKR", "MOP", "MUR", "MYR", "NOK", "NZD", "PHP", "RUB", "SEK", "SGD", "THB", "TWD", "USD", "ZAR"),
]
PLAIN_DECIMALS = st.from_regex(r"-?[0-9]{1,12}(\.[0-9]{1,2})?", fullmatch=True)


@given(AMOUNTS, CURRENCIES)
def test_an_amount_written_in_major_units_is_read_back_the_same(amount_minor: int, currency: str) -> None:
    money = Money(amount_minor, currency)
    assert from_major(major_text(money), currency) == money


@given(PLAIN_DECIMALS)
def test_every_plain_decimal_is_read_exactly(text: str) -> None:
    units, _, cents = text.lstrip("-").partition(".")
    expected = int(units) * 100 + int(cents.ljust(2, "0"))
    assert from_major(text, "HKD") == Money(-expected if text.startswith("-") else expected, "HKD")


@pytest.mark.parametrize(
    ("money", "text"),
    [
        (Money(3925, "HKD"), "39.25"),
        (Money(1, "HKD"), "0.01"),
        (Money(-5, "HKD"), "-0.05"),
        (Money(0, "USD"), "0.00"),
        (Money(100, "JPY"), "100"),
        (Money(1, "KRW"), "1"),
    ],
)
def test_wallets_write_amounts_in_major_units(money: Money, text: str) -> None:
    assert major_text(money) == text
    assert str(money) == f"{text} {money.currency}"


def test_yen_and_won_have_no_minor_unit() -> None:
    assert [exponent(currency) for currency in ("JPY", "KRW", "HKD", "CNY")] == [0, 0, 2, 2]


def test_a_currency_that_is_not_in_the_table_is_written_with_two_decimals() -> None:
    assert (major_text(Money(5, "XTS")), from_major("0.05", "XTS")) == ("0.05", Money(5, "XTS"))


@pytest.mark.parametrize("currency", WALLETS_CURRENCIES)
def test_the_wallets_currencies_have_the_exponents_that_unicode_lists(currency: str) -> None:
    """But for the rupiah: CLDR leaves out its cents, which nobody uses; ISO 4217 and the wallets write them."""
    listed = 2 if currency == "IDR" else get_currency_precision(currency)
    assert exponent(currency) == listed
    assert rates.exponent(currency) == listed


def test_where_the_tables_differ_from_unicode_it_leaves_out_decimals_that_nobody_uses() -> None:
    for table in (DECIMALS, tael_sandbox.currencies.DECIMALS, tael_client.currencies.DECIMALS):
        more = {code for code, decimals in table.items() if decimals != get_currency_precision(code)}
        assert all(get_currency_precision(code) == 0 < table[code] for code in more)
        assert more & set(WALLETS_CURRENCIES) == {"IDR"}
        assert table.keys() >= set(WALLETS_CURRENCIES)


def test_a_fraction_of_the_smallest_unit_is_not_an_amount() -> None:
    for text, currency in (("0.001", "HKD"), ("1.5", "JPY")):
        with pytest.raises(ValueError, match="not an amount"):
            from_major(text, currency)


@pytest.mark.parametrize(
    "text", ["", " ", "abc", "1,00", "1.0.0", "0x10", "NaN", "Infinity", "-Infinity", "1 0"]
)
def test_text_that_is_not_a_number_is_not_an_amount(text: str) -> None:
    with pytest.raises(ValueError, match="not an amount"):
        from_major(text, "HKD")


@pytest.mark.parametrize(
    "text",
    ["1e3", "1E+2", "1_0", " 1", "1 ", "+1", "１", "1E+999999", "1.00000000000000000000000000001"],
)
def test_only_a_plain_decimal_is_an_amount(text: str) -> None:
    with pytest.raises(ValueError, match="not an amount"):
        from_major(text, "HKD")
