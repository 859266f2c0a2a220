"""The parameters of each call: which may be missing, and which are ignored."""

import json
from collections.abc import Mapping
from typing import Final

import pytest

from tael.base.pay_types import Region
from tael.merchants.credential_cache import AppContext
from tael.qfpay.errors import BadField
from tael.qfpay.requests import AuthenticatedRequest, read_payment, read_query, read_refund, read_reversal
from tests.support.values import a_merchant, an_app

PAYMENT: Final = {"pay_type": "800201", "out_trade_no": "A", "txamt": "10", "txdtm": "2026-01-02 11:04:05"}
BARCODE: Final = PAYMENT | {"pay_type": "800208", "auth_code": "134567890123456789"}
REFUND: Final = {"syssn": "1", "out_trade_no": "B", "txamt": "10", "txdtm": "2026-01-02 11:04:05"}
REVERSAL: Final = REFUND


def caller(params: Mapping[str, str]) -> AuthenticatedRequest:
    app, merchant = an_app(), a_merchant()
    return AuthenticatedRequest(AppContext(app, {merchant.mchid: merchant}, ()), merchant, params)


def without(params: Mapping[str, str], name: str) -> dict[str, str]:
    return {other: value for other, value in params.items() if other != name}


@pytest.mark.parametrize("given", [{}, {"txdtm": ""}])
def test_payments_need_the_clients_time_and_refunds_do_not(given: dict[str, str]) -> None:
    assert read_refund(caller(without(REFUND, "txdtm") | given)).client_time == ""
    with pytest.raises(BadField) as refused:
        read_payment(caller(without(PAYMENT, "txdtm") | given))
    assert refused.value.english == "必传参数: txdtm"


@pytest.mark.parametrize("name", ["txamt", "txdtm"])
def test_a_reversal_needs_amount_and_time(name: str) -> None:
    with pytest.raises(BadField) as refused:
        read_reversal(caller(without(REVERSAL, name)))
    assert refused.value.field == name


def test_a_time_that_is_given_must_exist() -> None:
    for read, params in ((read_payment, PAYMENT), (read_refund, REFUND), (read_reversal, REVERSAL)):
        with pytest.raises(BadField, match="txdtm"):
            read(caller(params | {"txdtm": "2026-02-30 00:00:00"}))


def test_the_description_of_the_goods_is_optional_and_limited() -> None:
    assert read_payment(caller(PAYMENT)).goods_info == ""
    assert read_payment(caller(PAYMENT | {"goods_info": "茶" * 512})).goods_info == "茶" * 512
    with pytest.raises(BadField, match="goods_info"):
        read_payment(caller(PAYMENT | {"goods_info": "x" * 513}))


# ---- single pay types ----------------------------------------------------------------------------------------

SITE: Final = {"h5_info": {"type": "Wap", "wap_url": "https://shop.example", "wap_name": "茶"}}


def h5(info: object) -> dict[str, str]:
    return PAYMENT | {
        "pay_type": "800212",
        "extend_info": info if isinstance(info, str) else json.dumps(info),
    }


def test_a_payment_in_a_phones_browser_needs_the_payers_address() -> None:
    """It cannot be guessed: the merchant's server calls us, not the payer."""
    for params in (PAYMENT | {"pay_type": "800212"}, h5("")):
        with pytest.raises(BadField) as refused:
            read_payment(caller(params))
        assert refused.value.english == "必传参数: extend_info"


def test_address_and_site_are_passed_on() -> None:
    read = read_payment(caller(h5({"scene_info": SITE, "spbill_create_ip": "203.0.113.7", "more": 1})))
    assert read.site is not None
    assert read.site.ip == "203.0.113.7"
    assert json.loads(read.site.scene_info) == SITE
    assert "茶" in read.site.scene_info
    read = read_payment(caller(h5({"scene_info": SITE, "spbill_create_ip": "2001:db8::1"})))
    assert read.site is not None
    assert read.site.ip == "2001:db8::1"


@pytest.mark.parametrize(
    "info",
    [
        "{",
        "[]",
        "1",
        "null",
        "[" * 500,
        {"scene_info": SITE},
        {"spbill_create_ip": "203.0.113.7"},
        {"scene_info": "x", "spbill_create_ip": "203.0.113.7"},
        {"scene_info": SITE, "spbill_create_ip": "203.0.113"},
        {"scene_info": SITE, "spbill_create_ip": "203.0.113.7, 10.0.0.1"},
        {"scene_info": SITE, "spbill_create_ip": None},
        {"scene_info": SITE, "spbill_create_ip": 1},
        {"scene_info": SITE, "spbill_create_ip": True},
        {"scene_info": SITE, "spbill_create_ip": "fe80::1%eth0"},
        {"scene_info": SITE | {"long": "x" * 256}, "spbill_create_ip": "203.0.113.7"},
        "x" * 1025,
    ],
)
def test_a_malformed_site_or_address_is_refused(info: object) -> None:
    with pytest.raises(BadField, match="extend_info"):
        read_payment(caller(h5(info)))


def test_other_pay_types_ignore_extend_info() -> None:
    assert read_payment(caller(PAYMENT | {"extend_info": "{"})).site is None


@pytest.mark.parametrize("pay_type", ["801501", "801510", "801512", "801514"])
def test_payments_in_hong_kong_choose_the_edition_of_the_wallet(pay_type: str) -> None:
    params = PAYMENT | {"pay_type": pay_type}
    assert read_payment(caller(params)).region is Region.HONG_KONG
    assert read_payment(caller(params | {"pay_tag": "ALIPAYHK"})).region is Region.HONG_KONG
    assert read_payment(caller(params | {"pay_tag": "ALIPAYCN"})).region is Region.MAINLAND
    with pytest.raises(BadField, match="pay_tag"):
        read_payment(caller(params | {"pay_tag": "ALIPAY"}))


@pytest.mark.parametrize("pay_type", ["800101", "800151", "801101", "800201"])
def test_other_payments_are_for_any_edition(pay_type: str) -> None:
    params = PAYMENT | {"pay_type": pay_type, "pay_tag": "ALIPAYCN", "txamt": "101"}
    assert read_payment(caller(params)).region is None


def test_801101_is_for_more_than_one_hong_kong_dollar() -> None:
    params = PAYMENT | {"pay_type": "801101"}
    assert read_payment(caller(params | {"txamt": "101"})).amount.amount_minor == 101
    assert read_payment(caller(params | {"txamt": "1", "txcurrcd": "JPY"})).amount.amount_minor == 1
    with pytest.raises(BadField, match="txamt"):
        read_payment(caller(params | {"txamt": "100"}))


def test_a_payment_may_have_a_return_url_of_its_own() -> None:
    url = "https://shop.example/done?cart=1"
    assert read_payment(caller(PAYMENT | {"return_url": url})).return_url == url
    assert read_payment(caller(PAYMENT)).return_url == ""
    for bad in ("javascript:alert(1)", "//shop.example", "https://", "https://a b"):
        with pytest.raises(BadField, match="return_url"):
            read_payment(caller(PAYMENT | {"return_url": bad}))


# ---- the payer's code ----------------------------------------------------------------------------------------

#: What scanners and paste put around a code: blanks of all widths, line ends, STX and ETX, a byte order mark.
AROUND: Final = (
    " ",
    "\t",
    "\r",
    "\n",
    "\r\n",
    " \t\r\n ",
    "\x02",
    "\x03",
    "\x1d",
    "\x7f",
    "\x85",
    "\x00",
    "\u3000",
    "\ufeff",
    "\u200b",
)


@pytest.mark.parametrize("around", AROUND)
@pytest.mark.parametrize("pay_type", ["800208", "800108", "800228", "801008", "800008"])
def test_blanks_and_controls_around_the_payers_code_do_not_count(pay_type: str, around: str) -> None:
    code = "134567890123456789"
    for sent in (code + around, around + code, around + code + around):
        asked = read_payment(caller(BARCODE | {"pay_type": pay_type, "auth_code": sent}))
        assert asked.auth_code == code


def test_blanks_inside_the_payers_code_stay() -> None:
    assert read_payment(caller(BARCODE | {"auth_code": "\n13 45\t6\n"})).auth_code == "13 45\t6"


def test_a_nul_inside_the_payers_code_is_refused() -> None:
    with pytest.raises(BadField, match="auth_code must not contain NUL"):
        read_payment(caller(BARCODE | {"auth_code": "13\0" + "45"}))


@pytest.mark.parametrize("code", AROUND)
def test_a_code_of_only_blanks_is_missing(code: str) -> None:
    with pytest.raises(BadField) as refused:
        read_payment(caller(BARCODE | {"auth_code": code}))
    assert refused.value.english == "必传参数: auth_code"


def test_the_length_of_a_code_is_measured_without_blanks_around_it() -> None:
    assert read_payment(caller(BARCODE | {"auth_code": "1" * 128 + "\r\n" * 100})).auth_code == "1" * 128
    with pytest.raises(BadField, match="auth_code must have at most 128"):
        read_payment(caller(BARCODE | {"auth_code": "1" * 129}))


@pytest.mark.parametrize("around", AROUND)
def test_blanks_and_controls_around_an_openid_do_not_count_either(around: str) -> None:
    asked = read_payment(caller(PAYMENT | {"pay_type": "800207", "sub_openid": f"{around}oPayer{around}"}))
    assert asked.openid == "oPayer"


@pytest.mark.parametrize("openid", ["o\x01Payer", "o\rPayer", "o\x7fPayer", "o\ufffePayer", "o\u2028Payer"])
def test_an_openid_that_cannot_be_written_in_xml_is_refused_by_name(openid: str) -> None:
    with pytest.raises(BadField) as refused:
        read_payment(caller(PAYMENT | {"pay_type": "800207", "sub_openid": openid}))
    assert refused.value.field == "sub_openid"


# ---- times of a query ----------------------------------------------------------------------------------------

TIMES: Final = {"start_time": "2020-01-31 00:00:00", "end_time": "2020-02-01 00:00:00"}


def test_times_beside_a_syssn_do_not_filter() -> None:
    asked = read_query(caller(TIMES | {"syssn": "1"}))
    assert (asked.start, asked.end) == (None, None)
    asked = read_query(caller(TIMES | {"out_trade_no": "A"}))
    assert asked.start is not None
    assert asked.end is not None


@pytest.mark.parametrize("name", list(TIMES))
def test_times_beside_a_syssn_must_be_times(name: str) -> None:
    with pytest.raises(BadField) as refused:
        read_query(caller({"syssn": "1", name: "2020-02-30 00:00:00"}))
    assert refused.value.field == name
