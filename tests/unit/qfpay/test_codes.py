"""The table of codes and their texts; the errors agree with it."""

import re
from typing import get_args

import pytest

from tael.base import errors
from tael.base.reasons import Reason
from tael.channels.outcomes import Refusal
from tael.payments.domain.refusals import reason_of
from tael.qfpay import codes
from tael.qfpay.codes import TABLE, Client
from tael.qfpay.errors import BadField
from tael.qfpay.reasons import code_of, resperr, respmsg

DOCUMENTED = (
    "0000 1100 1101 1102 1103 1104 1105 1106 1107 1108 1109 1110 1111 1112 1113 1114 1115 1116 1117 1118 "
    "1119 1120 1121 1122 1123 1124 1125 1126 1127 1128 1129 1130 1131 1132 1133 1134 1135 1136 1137 1138 "
    "1139 1140 1141 1142 1143 1144 1145 1146 1147 1150 1151 1152 1153 1154 1155 1161 1170 1180 1181 1201 "
    "1202 1203 1204 1205 1212 1241 1242 1243 1250 1251 1252 1254 1260 1261 1262 1263 1264 1265 1266 1267 "
    "1268 1269 1270 1271 1272 1294 1295 1296 1297 1298 2001 2002 2003 2004 2005 2006 2007 2008 2009 2010 "
    "2011 2012 2101 2999 "
)
EVERY_CODE = DOCUMENTED.split()
#: The same request may succeed later; after the other errors it never will.
LATER = {
    errors.DocumentsUnavailable,
    errors.OutOfService,
    errors.RateLimited,
    errors.UnderMaintenance,
    errors.WalletUnreachable,
}


def constants() -> dict[str, str]:
    return {name: value for name, value in vars(codes).items() if name.isupper() and str(value).isdigit()}


def refusals() -> list[type[errors.TaelError]]:
    """The errors whose code is fixed."""
    return [kind for kind in errors.TaelError.__subclasses__() if kind is not errors.WalletRefused]


def test_every_documented_code_is_in_the_table_once() -> None:
    assert list(TABLE) == EVERY_CODE
    assert len(codes._ROWS) == len(EVERY_CODE)


def test_every_row_has_a_meaning() -> None:
    for row in TABLE.values():
        assert row.english
        assert row.when.startswith("never") is not row.emitted


def test_every_code_with_a_name_is_emitted_and_named_once() -> None:
    assert len(set(constants().values())) == len(constants())
    assert all(TABLE[code].emitted for code in constants().values())


@pytest.mark.parametrize("refusal", Refusal)
def test_every_refusal_of_a_wallet_becomes_a_code_we_emit(refusal: Refusal) -> None:
    assert TABLE[code_of(reason_of(refusal))].emitted


@pytest.mark.parametrize(
    "code", ["1101", "1127", "1143", "1144", "1154", "1161", "2004", "2009", "2010", "2011"]
)
def test_codes_that_old_clients_do_not_know_are_not_emitted(code: str) -> None:
    assert not TABLE[code].emitted


def test_each_code_has_one_meaning_for_a_client() -> None:
    read = {
        Client.DONE: "0000",
        Client.PENDING: "1145 1143 2999 1161 1298",
        Client.RETRY: "1100 1111 1112 1120 1180 1269 1296 2009",
        Client.UNKNOWN: "1101 1127 1131 1144 1154 1252 1254 2010",
        Client.FINAL: "1102 1103 1104 1108 1124 1125 1136 1142 1181 1201 2005 2007",
    }
    for client, those in read.items():
        assert {TABLE[code].client for code in those.split()} == {client}


@pytest.mark.parametrize(
    ("code", "call", "text"),
    [
        ("0000", "payment", ""),
        ("0000", "query", ""),
        ("1104", "payment", "交易失败，请联系客服(1104)"),
        ("1145", "payment", "订单状态等待支付"),
        ("1145", "reversal", "订单状态等待支付"),
        ("2999", "refund", "交易失败，请联系客服(2999)"),
        ("1124", "reversal", "交易失败，请联系客服(1124)"),
        ("1124", "close", "该交易暂不支持关闭, 请联系管理员"),
        ("1136", "close", "交易不存在或不在可操作时间内"),
        ("1136", "refund", "交易不存在或不在可操作时间内"),
        ("1181", "close", "订单过期"),
        ("1272", "query", "该退款金额大于原交易可退款的最大金额"),
        ("2101", "query", "交易失败，请联系客服(2101)"),
    ],
)
def test_the_text_for_the_cashier(code: str, call: codes.Call, text: str) -> None:
    assert codes.resperr(code, call) == text


def test_no_text_names_another_company() -> None:
    texts = [
        text for code in codes.TABLE.values() for text in (code.english, code.chinese_oc, code.chinese_later)
    ]
    shown = [codes.row_text(code) for code in codes.TABLE]
    asked = [codes.resperr(code, call) for code in codes.TABLE for call in get_args(codes.Call)]
    for text in (*texts, *shown, *asked, codes.CLOSE_NOT_SUPPORTED, codes.UNKNOWN_ORDER):
        assert not re.search("钱方|錢方|钱台|錢台|qf", text, re.IGNORECASE), text


@pytest.mark.parametrize(
    ("code", "text"),
    [
        ("0000", "交易成功"),
        ("1145", "处理中，请稍等"),
        ("1142", "订单已关闭"),
        ("2999", "通道处理中"),
    ],
)
def test_the_text_of_a_row(code: str, text: str) -> None:
    assert codes.row_text(code) == text


@pytest.mark.parametrize("kind", refusals(), ids=lambda kind: str(kind.__name__))
def test_every_error_has_an_emitted_code_a_docstring_and_the_tables_retry_advice(
    kind: type[errors.TaelError],
) -> None:
    assert kind.__doc__
    assert TABLE[code_of(kind.reason)].emitted
    assert TABLE[code_of(kind.reason)].client is (Client.RETRY if kind in LATER else Client.FINAL)


def test_an_error_has_its_codes_meaning_as_the_default_text() -> None:
    assert respmsg(errors.NotFound()) == "no such transaction"
    error = errors.NotFound("no payment has this syssn", reference="A1", payment_syssn="2017")
    assert (respmsg(error), error.reference, error.payment_syssn) == (
        "no payment has this syssn",
        "A1",
        "2017",
    )


def test_a_field_is_named_in_the_texts_that_clients_match() -> None:
    assert BadField.missing("auth_code").english == "必传参数: auth_code"
    assert BadField.malformed("txamt", "must be a number").english == "txamt must be a number"
    assert BadField.malformed('"evil"\n', "is bad").english == "a parameter is bad"
    assert (respmsg(errors.NoChannel()), resperr(errors.NoChannel(), "payment")) == (
        "filter_error",
        "获取用户支付通道失败",
    )


def test_lower_areas_errors_name_the_fields_too() -> None:
    assert respmsg(errors.MerchantNotNamed()) == "必传参数: mchid"
    assert respmsg(errors.RangeSpansMonths()) == "end_time must lie in the same calendar month as start_time"


def test_a_wallets_refusal_carries_its_reason() -> None:
    refused = errors.WalletRefused(Reason.PAYER_BALANCE)
    code = code_of(refused.reason)
    assert (code, TABLE[code].client, respmsg(refused)) == (
        "1201",
        Client.FINAL,
        "the payer has too little money",
    )
    assert TABLE[code_of(errors.WalletRefused(Reason.OTHER).reason)].client is Client.UNKNOWN
