"""The merchants' signatures against the shared vectors."""

import json
from pathlib import Path
from typing import Any

import pytest

from tael.base.secret import Secret
from tael.qfpay.signature import (
    digest,
    link_text,
    raw_text,
    request_texts,
    sign_body,
    sign_members,
    which_signed,
)

VECTORS: dict[str, Any] = json.loads(
    (Path(__file__).parents[2] / "vectors" / "qfpay.json").read_text("utf-8")
)


def named(vector: Any) -> str:
    return str(vector["name"])


def pairs_of(text: str) -> dict[str, str]:
    return dict(pair.split("=", 1) for pair in text.split("&"))


@pytest.mark.parametrize("vector", VECTORS["requests"], ids=named)
def test_a_request_has_the_documented_digest(vector: dict[str, Any]) -> None:
    key, text = Secret(vector["key"]), vector["text"].encode()
    for sign in (vector["digest"].lower(), vector["digest"].upper()):
        assert which_signed([text, b"another"], key, vector["algorithm"], sign) == [True, False]


@pytest.mark.parametrize("vector", VECTORS["requests"], ids=named)
def test_the_signed_text_is_found_among_the_texts_of_its_values(vector: dict[str, Any]) -> None:
    values = dict(reversed(pairs_of(vector["text"]).items()))
    assert vector["text"].encode() in request_texts({**values, "sign": "anything"})


def test_empty_values_may_be_signed_or_left_out() -> None:
    by_name = {vector["name"]: vector["text"].encode() for vector in VECTORS["requests"]}
    texts = request_texts(pairs_of(by_name["D'"].decode()))
    assert by_name["D"] in texts
    assert by_name["D'"] in texts


def test_sign_type_may_be_left_out_together_with_empty_values() -> None:
    assert request_texts({"b": "1", "sign_type": "MD5", "a": ""}) == (
        b"a=&b=1&sign_type=MD5",
        b"b=1&sign_type=MD5",
        b"b=1",
    )


def test_whole_pairs_may_be_sorted_instead_of_names() -> None:
    assert request_texts({"a": "x", "a1": "y"}) == (b"a=x&a1=y", b"a1=y&a=x")


def test_a_raw_text_loses_only_its_sign() -> None:
    assert raw_text(b"a=1&sign=AB&signs=%20+&b=") == b"a=1&signs=%20+&b="


#: The text was written by hand after QFPay's description of checkout links, the digests made by sha256sum and md5sum.
LINK_TEXT = (
    "appcode=123456&failed_url=https://m.example/f?a=1&b=2&goods_name=香港測試 tea&out_trade_no=T-1"
    "&paysource=remotepay_checkout&return_url=https://m.example/r&sign_type=sha256&txamt=10&txcurrcd=HKD"
    "&txdtm=2018-01-01 10:00:00"
)
LINK = {
    "txdtm": "2018-01-01 10:00:00",
    "txcurrcd": "HKD",
    "txamt": "10",
    "sign_type": "sha256",
    "return_url": "https://m.example/r",
    "paysource": "remotepay_checkout",
    "out_trade_no": "T-1",
    "goods_name": "香港測試 tea",
    "failed_url": "https://m.example/f?a=1&b=2",
    "appcode": "123456",
    "udid": "",
    "lang": "zh-hk",
    "sign": "anything",
}


def test_a_checkout_link_is_signed_with_its_sign_type_and_without_language_and_empties() -> None:
    assert link_text(LINK).decode() == LINK_TEXT
    made = digest(link_text(LINK), Secret("123456"), "SHA256")
    assert made == "aa121aae0074e6cee3758b9f5af6af04bbe6deca61baccfe809b21f681d05fe6"
    by_md5 = digest(link_text({**LINK, "sign_type": "md5"}), Secret("123456"), "MD5")
    assert by_md5 == "6574ce20aa2fa0373da50c15143114ab"


def test_a_response_has_the_documented_signature() -> None:
    vector = VECTORS["answer"]
    assert len(vector["body"]) == 302
    assert sign_body(vector["body"].encode(), Secret(vector["key"])) == vector["sign"]


@pytest.mark.parametrize("vector", VECTORS["old_webhooks"], ids=named)
def test_an_old_webhook_has_the_documented_signature(vector: dict[str, Any]) -> None:
    assert sign_members(vector["members"], Secret(vector["key"])) == vector["sign"]


@pytest.mark.parametrize("vector", VECTORS["new_webhooks"], ids=named)
def test_a_new_webhook_has_the_documented_signature(vector: dict[str, Any]) -> None:
    assert sign_body(vector["body"].encode(), Secret(vector["key"])) == vector["sign"]


@pytest.mark.parametrize("sign", ["", "6574ce20aa2fa0373da50c15143114a", "店"])
def test_a_signature_that_is_no_digest_is_of_no_text(sign: str) -> None:
    assert which_signed([b"text"], Secret("123456"), "MD5", sign) == [False]
