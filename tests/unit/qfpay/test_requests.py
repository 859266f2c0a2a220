"""The parameters of each call: which may be missing, and which are ignored."""

from collections.abc import Mapping
from typing import Final

import pytest

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
@pytest.mark.parametrize("pay_type", ["800208", "800108", "800228"])
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
