"""Signatures against the vectors that gateway and client share, and the client's requests for them."""

import hashlib
import json
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
from tael_client import Credentials, Money, PaymentOrder, SignType
from tael_client.signing import is_signed, sign_params, signing_text

from tests.client.world import MCHID, UTC8, Shop, barcode_answer, signed

VECTORS: dict[str, Any] = json.loads(
    (Path(__file__).parents[1] / "vectors" / "qfpay.json").read_text("utf-8")
)


def named(vector: Any) -> str:
    return str(vector["name"])


def values_of(text: str) -> dict[str, str]:
    """The values of a vector's text, in another order than the signed one."""
    return dict(reversed([pair.split("=", 1) for pair in text.split("&")]))


@pytest.mark.parametrize("vector", VECTORS["requests"], ids=named)
def test_a_request_has_the_documented_text_and_digest(vector: dict[str, Any]) -> None:
    values = values_of(vector["text"])
    credentials = Credentials("a", vector["key"], sign_type=SignType(vector["algorithm"]))

    assert signing_text(values) == vector["text"]
    assert sign_params({**values, "sign": "never signed"}, credentials) == vector["digest"].upper()


def test_the_documented_requests_are_sent_with_their_documented_signatures(shop: Shop) -> None:
    d = PaymentOrder.alipay_web("1470020842103", Money(10), client_time=at("2016-08-01 11:07:22"))
    e = PaymentOrder.wechat_barcode(
        "57003579",
        Money(10),
        "134567890123456789",
        product_name="Test Name",
        client_time=at("2017-09-06 14:56:43"),
    )
    f = PaymentOrder.wechat_qr(
        "78945580",
        Money(10),
        product_name="香港測試：78945580",
        valid_time_s=300,
        client_time=at("2017-09-06 14:56:43"),
    )
    for order in (d, e, f):
        shop.server.will(signed(barcode_answer(pay_type=order.pay_type.value, out_trade_no=order.reference)))
        shop.do("payment", order)

    assert [asked.headers["X-QF-SIGN"] for asked in shop.server.asked] == [
        "42537CC0A92F2BCF30C45A245BEBB22F",
        "DE416B630E672C1C941C017B2722E650",
        "B89662E26B3EE7A7727ADBA7FE11B888",
    ]


def test_a_request_is_a_form_with_the_three_headers_and_without_empty_values(shop: Shop) -> None:
    shop.server.will(signed(barcode_answer(pay_type="800151", out_trade_no="A-1")))
    shop.do("payment", PaymentOrder.alipay_web("A-1", Money(10), more={"limit_pay": ""}))

    asked = shop.server.asked[0]
    assert asked.params == {
        "mchid": MCHID,
        "pay_type": "800151",
        "out_trade_no": "A-1",
        "txdtm": "2017-09-06 14:56:43",
        "txamt": "10",
    }
    assert asked.headers["Content-Type"] == "application/x-www-form-urlencoded"
    assert asked.headers["X-QF-APPCODE"] == "123456"
    assert asked.headers["X-QF-SIGNTYPE"] == "MD5"


def test_sha256_is_used_where_it_is_chosen(shop: Shop) -> None:
    credentials = Credentials("123456", "123456", MCHID, SignType.SHA256)
    shop.server.will(signed(barcode_answer()))
    shop.do("payment", barcode(), client={"credentials": credentials})

    asked = shop.server.asked[0]
    assert asked.headers["X-QF-SIGNTYPE"] == "SHA256"
    # By sha256sum over the text of vector E without its product_name, and the key.
    assert asked.headers["X-QF-SIGN"] == "49B04F8CDA45913B14A242D875B0CC85100FE3F80D963C081BF82D3621DC7037"


def test_a_response_has_the_documented_signature() -> None:
    vector = VECTORS["answer"]
    body = vector["body"].encode()
    assert is_signed(body, vector["sign"], vector["key"])
    assert is_signed(body, vector["sign"].lower(), vector["key"])
    assert not is_signed(body[:-1] + b" }", vector["sign"], vector["key"])
    assert not is_signed(body, vector["sign"], vector["key"] + "0")
    assert not is_signed(body, "", vector["key"])
    assert not is_signed(body, "签名", vector["key"])


def test_a_signature_is_compared_with_one_algorithm_only() -> None:
    md5, sha256 = (algorithm(b"textkey").hexdigest() for algorithm in (hashlib.md5, hashlib.sha256))
    assert is_signed(b"text", md5, "key")
    assert not is_signed(b"text", sha256, "key")
    assert is_signed(b"text", sha256, "key", SignType.SHA256)
    assert not is_signed(b"text", md5, "key", SignType.SHA256)


def test_the_servers_signatures_are_md5_unless_the_credentials_name_another_algorithm() -> None:
    credentials = Credentials("a", "k", "m", SignType.SHA256)
    assert credentials.response_sign_type is SignType.MD5
    assert replace(credentials, response_sign_type=SignType.SHA256).sign_type is SignType.SHA256
    with pytest.raises(TypeError):
        Credentials("a", "k", "m", SignType.MD5, SignType.SHA256)  # type: ignore[call-arg]


def test_no_repr_shows_a_key_or_a_payers_code() -> None:
    credentials = Credentials("123", "hush-hush")
    assert "hush" not in repr(credentials) + str(credentials)
    assert "134567890123456789" not in repr(barcode())


@pytest.mark.parametrize(("appcode", "key"), [("", "k"), ("a", ""), ("a\r\nX: y", "k")])
def test_invalid_credentials_are_refused(appcode: str, key: str) -> None:
    with pytest.raises(ValueError, match="must"):
        Credentials(appcode, key)


def barcode() -> PaymentOrder:
    return PaymentOrder.wechat_barcode(
        "57003579", Money(10), "134567890123456789", client_time=at("2017-09-06 14:56:43")
    )


def at(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC8)
