"""Alipay's products for shops' codes, apps and merchants in Hong Kong: requests, pay data, deadlines and closes."""

import base64
import json
from collections.abc import Mapping
from dataclasses import replace
from datetime import timedelta
from typing import Any, Final
from urllib.parse import parse_qs, parse_qsl, unquote_plus, urlsplit

import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15

from tael.base.pay_types import Region
from tael.base.secret import Secret
from tael.base.transport import Answer, Result, Transport
from tael.channels.alipay_mapi.account import AlipayAccount, AlipaySignType
from tael.channels.alipay_mapi.adapter import AlipayMapi
from tael.channels.alipay_mapi.capabilities import capabilities_of
from tael.channels.outcomes import (
    AwaitingPayer,
    NotSent,
    Paid,
    PayCode,
    PayLink,
    PayParams,
    Refusal,
    Refused,
    Unknown,
)
from tests.support.alipay import (
    NOW,
    PID,
    SYSSN,
    TestClock,
    alipay_account,
    alipay_order,
    private_key,
    private_pem,
    public_pem,
    xml_answer,
    xml_rejection,
)

ONLINE: Final = {"800151", "800152", "801101", "801107"}
HK_ONLINE: Final = {"801512", "801514"}
IN_STORE: Final = {"800008", "800101", "800108"}


class Scripted(Transport):
    """Answers each service with its body, and keeps the last request."""

    __slots__ = ("answers", "requested")

    def __init__(self, answers: Mapping[str, bytes]) -> None:
        super().__init__()
        self.answers = answers
        self.requested: dict[str, str] = {}

    async def call(self, method: str, url: str, **how: Any) -> Result:
        self.requested = dict(parse_qsl(how["body"].decode()))
        return Answer(200, {}, self.answers[self.requested["service"]])


def channel(**answers: bytes) -> tuple[AlipayMapi, Scripted]:
    names = {"precreate": "alipay.acquire.precreate", "query": "alipay.acquire.overseas.query"}
    transport = Scripted({names[name]: body for name, body in answers.items()})
    return AlipayMapi(transport, TestClock(), "http://online", "http://instore"), transport


def with_keys_for_apps(sign_type: AlipaySignType = "MD5") -> AlipayAccount:
    return replace(
        alipay_account(sign_type),
        private_key=Secret(private_pem("merchant")),
        alipay_public_key=public_pem("wallet"),
    )


# ---- what an account serves --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("account", "codes"),
    [
        (alipay_account(), ONLINE),
        (alipay_account(online=False), IN_STORE),
        (alipay_account("RSA"), ONLINE | {"801110"}),
        (with_keys_for_apps(), ONLINE | {"801110"}),
        (alipay_account("RSA2"), ONLINE),
        (replace(alipay_account(), supports_alipay_hk=True), ONLINE | HK_ONLINE),
        (replace(with_keys_for_apps(), supports_alipay_hk=True), ONLINE | HK_ONLINE | {"801110", "801510"}),
        (replace(alipay_account(online=False), supports_alipay_hk=True), IN_STORE | {"801501"}),
    ],
)
def test_an_account_serves_what_its_contract_and_keys_allow(account: AlipayAccount, codes: set[str]) -> None:
    assert capabilities_of(account).pay_types == codes


# ---- pages -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("code", "region", "service", "inst"),
    [
        ("801101", None, "create_forex_trade", None),
        ("801107", None, "create_forex_trade_wap", None),
        ("801514", Region.HONG_KONG, "create_forex_trade", "ALIPAYHK"),
        ("801512", Region.MAINLAND, "create_forex_trade_wap", "ALIPAYCN"),
    ],
)
async def test_a_page_names_the_edition_of_the_wallet(
    code: str, region: Region | None, service: str, inst: str | None
) -> None:
    outcome = await channel()[0].open(alipay_order(code, alipay_account()).replace(region=region))
    assert isinstance(outcome, AwaitingPayer)
    assert isinstance(outcome.pay, PayLink)
    assert outcome.pay.creates_order
    fields = {name: values[0] for name, values in parse_qs(urlsplit(outcome.pay.url).query).items()}
    assert (fields["service"], fields.get("payment_inst")) == (service, inst)


# ---- in an app ---------------------------------------------------------------------------------------------


async def test_an_order_string_is_signed_as_the_app_joins_it() -> None:
    order = alipay_order("801510", with_keys_for_apps(), subject='Tea "&" cake', valid_s=1800).replace(
        region=Region.HONG_KONG,
        goods_info="two cups",
    )
    outcome = await channel()[0].open(order)
    assert isinstance(outcome, AwaitingPayer)
    assert isinstance(outcome.pay, PayParams)
    params = dict(outcome.pay.params)
    sign, sign_type = params.pop("sign"), params.pop("sign_type")
    assert params == {
        "_input_charset": "UTF-8",
        "body": "two cups",
        "currency": "HKD",
        "forex_biz": "FP",
        "it_b_pay": "30m",
        "notify_url": "https://gw.example/notices/alipay/acc1",
        "out_trade_no": SYSSN,
        "partner": PID,
        "payment_inst": "ALIPAYHK",
        "payment_type": "1",
        "product_code": "NEW_WAP_OVERSEAS_SELLER",
        "return_url": "https://gw.example/return/alipay/acc1",
        "seller_id": PID,
        "service": "mobile.securitypay.pay",
        "subject": "Tea     cake",
        "total_fee": "39.25",
    }
    assert sign_type == "RSA"
    text = "&".join(f'{name}="{params[name]}"' for name in sorted(params))
    raw = base64.b64decode(unquote_plus(sign), validate=True)
    private_key("merchant").public_key().verify(raw, text.encode(), PKCS1v15(), hashes.SHA1())


async def test_without_a_key_nothing_is_signed() -> None:
    outcome = await channel()[0].open(alipay_order("801110", alipay_account()))
    assert isinstance(outcome, NotSent)


def test_an_app_may_open_the_order_at_the_last_moment() -> None:
    order = alipay_order("801110", with_keys_for_apps(), valid_s=1800)
    assert channel()[0].deadline(order) == NOW + timedelta(minutes=60)


# ---- a code that the shop shows ----------------------------------------------------------------------------

QR_CODE: Final = "https://qr.alipay.com/bax00001"
ACCEPTED: Final = {
    "result_code": "SUCCESS",
    "out_trade_no": SYSSN,
    "qr_code": QR_CODE,
    "voucher_type": "qrcode",
}


def code_order(**changes: Any) -> Any:
    return alipay_order("800101", alipay_account(online=False), valid_s=1800).replace(**changes)


async def test_a_code_is_requested_with_its_lifetime() -> None:
    wallet, transport = channel(precreate=xml_answer(ACCEPTED))
    assert await wallet.open(code_order()) == AwaitingPayer(PayCode(QR_CODE))
    sent = transport.requested
    assert (sent["total_fee"], sent["currency"], sent["trans_currency"]) == ("39.25", "HKD", "HKD")
    assert (sent["qr_code_it_b_pay"], sent["it_b_pay"]) == ("30m", "3m")
    assert (sent["product_code"], sent["seller_id"]) == ("OVERSEAS_MBARCODE_PAY", PID)
    assert sent["timestamp"] == "2026-01-02 11:04:05"
    assert json.loads(sent["extend_params"]) == {"store_id": "mch1", "store_name": "mch1"}


@pytest.mark.parametrize(
    ("changes", "outcome"),
    [
        ({"out_trade_no": "another"}, Unknown("the response names another order")),
        ({"qr_code": ""}, Unknown("SUCCESS without our number or the code")),
        ({"out_trade_no": ""}, Unknown("SUCCESS without our number or the code")),
        (
            {"result_code": "FAIL", "detail_error_code": "INVALID_STORE_ID"},
            Refused(Refusal.MERCHANT_SETUP, "INVALID_STORE_ID"),
        ),
        (
            {"result_code": "UNKNOWN", "detail_error_code": "SYSTEM_ERROR"},
            Unknown("result_code 'UNKNOWN' SYSTEM_ERROR"),
        ),
    ],
)
async def test_only_a_code_of_this_order_is_shown(changes: Mapping[str, str], outcome: object) -> None:
    assert await channel(precreate=xml_answer({**ACCEPTED, **changes}))[0].open(code_order()) == outcome


async def test_the_gateways_refusal_of_a_code_is_final() -> None:
    outcome = await channel(precreate=xml_rejection("ILLEGAL_SIGN"))[0].open(code_order())
    assert outcome == Refused(Refusal.OUR_IDENTITY, "ILLEGAL_SIGN")


def test_a_payer_who_scans_at_the_last_moment_has_three_minutes() -> None:
    assert channel()[0].deadline(code_order()) == NOW + timedelta(minutes=33)


QUERIED: Final = {
    "result_code": "SUCCESS",
    "partner_trans_id": SYSSN,
    "alipay_trans_id": "2026",
    "alipay_buyer_user_id": "2088",
    "currency": "HKD",
    "trans_amount": "39.25",
    "alipay_pay_time": "20260102110500",
}


async def test_closing_a_code_never_cancels_what_a_payer_may_just_have_paid() -> None:
    """A cancel would return the money of a payment made meanwhile. Only queries are sent; the code ends by itself."""
    absent = channel(query=xml_answer({"result_code": "FAIL", "detail_error_code": "TRADE_NOT_EXIST"}))[0]
    outcome = await absent.close(code_order())
    assert isinstance(outcome, Unknown)
    assert outcome.no_such_order
    paid = channel(query=xml_answer({**QUERIED, "alipay_trans_status": "TRADE_SUCCESS"}))[0]
    assert isinstance(await paid.close(code_order()), Paid)
    waiting = channel(query=xml_answer({**QUERIED, "alipay_trans_status": "WAIT_BUYER_PAY"}))[0]
    assert await waiting.close(code_order()) == Unknown("the code has not ended")


def test_alipays_codes_begin_with_25_to_30() -> None:
    wallet = channel()[0]
    assert all(wallet.shows_code(f"{n}" + "0" * 14) for n in range(25, 31))
    assert wallet.shows_code("28" + "0" * 22)
    for other in (
        "130000000000000000",
        "240000000000000000",
        "310000000000000000",
        "28" + "0" * 13,
        "28" + "0" * 23,
    ):
        assert not wallet.shows_code(other)
