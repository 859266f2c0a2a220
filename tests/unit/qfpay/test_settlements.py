"""The parameters of a query of settlements, and which calls take them."""

from datetime import date
from typing import Final

import pytest

from tael.merchants.credential_cache import AppContext
from tael.qfpay.codes import Call
from tael.qfpay.errors import BadField
from tael.qfpay.requests import CALL_NAMES, AuthenticatedRequest
from tael.qfpay.settlements import SettlementQuery, read_settlement_query
from tael.qfpay.signed_names import misread
from tests.support.values import MCHID, a_merchant, a_wechat_account, an_alipay_account, an_app

DAYS: Final = {"date_start": "20160201", "date_end": "20160229"}
ACCOUNTS: Final = (an_alipay_account(), a_wechat_account(), a_wechat_account("other", "mch2"))


def read(**params: str) -> SettlementQuery:
    context = AppContext(an_app(), {MCHID: a_merchant()}, ACCOUNTS)
    return read_settlement_query(AuthenticatedRequest(context, a_merchant(), params))


@pytest.mark.parametrize("spelling", ["date", "Date", "DATE"])
def test_days_are_read_in_the_spellings_of_both_editions(spelling: str) -> None:
    start, end = (
        ("DATE_START", "DATE_END") if spelling == "DATE" else (f"{spelling}_start", f"{spelling}_end")
    )
    asked = read(**{start: "20160201", end: "20160229"})
    assert (asked.first, asked.last) == (date(2016, 2, 1), date(2016, 2, 29))


@pytest.mark.parametrize(
    ("paymethod", "account_ids"), [("", ["alipay1", "wechat1"]), ("2", ["alipay1"]), ("3", ["wechat1"])]
)
def test_the_accounts_are_the_merchants_own_of_the_wallet(paymethod: str, account_ids: list[str]) -> None:
    asked = read(**DAYS, paymethod=paymethod)
    assert [account.account_id for account in asked.accounts] == account_ids


def test_a_range_has_at_most_a_leap_years_days() -> None:
    assert read(date_start="20160101", date_end="20161231").last == date(2016, 12, 31)
    with pytest.raises(BadField, match="date_end must be within 366 days"):
        read(date_start="20160101", date_end="20170101")


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"date_start": ""}, "必传参数: date_start"),
        ({"date_end": ""}, "必传参数: date_end"),
        ({"date_start": "2016-02-01"}, "date_start must be a day written YYYYMMDD"),
        ({"date_start": "２０１６０２０１"}, "date_start must be a day written YYYYMMDD"),
        ({"date_end": "20160230"}, "date_end must be a day written YYYYMMDD that exists in the calendar"),
        ({"date_start": "00000101"}, "date_start"),
        ({"date_start": "19691231"}, "date_start must lie in the years 1970 to 2999"),
        ({"date_start": "20160301"}, "date_end must not be before date_start"),
        ({"Date_start": "20160202"}, "date_start and its other spellings have different values"),
        ({"paymethod": "1"}, "paymethod must be 2"),
        ({"paymethod": "02"}, "paymethod must be 2"),
        ({"paymethod": "alipay"}, "paymethod must be 2"),
    ],
)
def test_a_wrong_parameter_is_named(changes: dict[str, str], field: str) -> None:
    with pytest.raises(BadField) as refused:
        read(**DAYS | changes)
    assert field in refused.value.english


@pytest.mark.parametrize(
    ("own", "params"), [("settlements", DAYS), ("trade_bill", {"trade_date": "2026-01-02"})]
)
def test_a_call_of_a_period_has_one_meaning(own: Call, params: dict[str, str]) -> None:
    """The path is not signed: of the other calls, those that could read the merchant refuse the days."""
    signed = {"mchid": MCHID} | params
    assert misread(signed, CALL_NAMES[own]) == ""
    others: set[Call] = {"query", "merchant", "uploadcert", "openid", "signup", "settlements", "trade_bill"}
    for call in others - {own}:
        assert misread(signed, CALL_NAMES[call]) in signed


def test_the_number_at_wechat_pay_is_the_sub_merchants_or_a_direct_merchants_own() -> None:
    assert a_wechat_account().merchant_number == "1900000110"
    assert a_wechat_account(sub_mch_id="").merchant_number == "1900000109"
    assert an_alipay_account().merchant_number == "2088000000000001"
