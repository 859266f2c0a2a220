"""The vectors on which gateway and sandbox agree, and changes that a signature must detect."""

import json
from pathlib import Path
from typing import Any

import pytest

from tael.base.secret import Secret
from tael.channels.wechat_v2.account import WeChatAccount, WeChatSignType
from tael.channels.wechat_v2.notices import decrypt_req_info
from tael.channels.wechat_v2.requests import bridge_params
from tael.channels.wechat_v2.signing import is_signed, signature

VECTORS: dict[str, Any] = json.loads(
    (Path(__file__).parents[2] / "vectors" / "wechat.json").read_text(encoding="utf-8")
)


def name_of(vector: dict[str, Any]) -> str:
    return str(vector["name"])


@pytest.mark.parametrize("vector", VECTORS["signatures"], ids=name_of)
def test_a_signature_is_the_documents(vector: dict[str, Any]) -> None:
    key = Secret(vector["key"])

    assert signature(vector["fields"], key, vector["sign_type"]) == vector["sign"]
    assert is_signed({**vector["fields"], "sign": vector["sign"]}, key, vector["sign_type"])


@pytest.mark.parametrize("vector", VECTORS["signatures"], ids=name_of)
def test_a_signature_of_the_other_algorithm_is_none(vector: dict[str, Any]) -> None:
    fields = {**vector["fields"], "sign": vector["sign"]}
    other: WeChatSignType = "MD5" if vector["sign_type"] == "HMAC-SHA256" else "HMAC-SHA256"

    assert not is_signed(fields, Secret(vector["key"]), other)


@pytest.mark.parametrize("vector", VECTORS["signatures"], ids=name_of)
def test_no_value_can_change_under_a_signature(vector: dict[str, Any]) -> None:
    fields, key = {**vector["fields"], "sign": vector["sign"]}, Secret(vector["key"])

    for name, value in fields.items():
        for place in range(len(value)):
            flipped = value[:place] + chr(ord(value[place]) ^ 1) + value[place + 1 :]
            assert not is_signed({**fields, name: flipped}, key, vector["sign_type"])


def test_the_text_0_is_signed_and_an_empty_one_is_not() -> None:
    key = Secret("key")

    assert signature({"a": "0"}, key, "MD5") != signature({}, key, "MD5")
    assert signature({"a": ""}, key, "MD5") == signature({}, key, "MD5")


@pytest.mark.parametrize("sign", ["", "签名", "9a0a8659f005d6984697e2ca0a9cf3b7"])
def test_a_missing_odd_or_lower_case_signature_is_none(sign: str) -> None:
    vector = VECTORS["signatures"][0]

    assert not is_signed({**vector["fields"], "sign": sign}, Secret(vector["key"]), "MD5")


@pytest.mark.parametrize("number", [4, 5])
def test_the_pages_parameters_are_signed_like_unifiedorder(number: int) -> None:
    vector = VECTORS["signatures"][number]
    fields = vector["fields"]
    account = WeChatAccount(
        account_id="account",
        mchid="merchant",
        currency="HKD",
        mch_id="1900000109",
        appid="wx-provider",
        key=Secret(vector["key"]),
        certificate="",
        certificate_key=Secret(""),
        sign_type=vector["sign_type"],
        sub_mch_id="1900000110",
        sub_appid=fields["appId"],
    )

    params = bridge_params(
        account,
        fields["appId"],
        prepay_id=fields["package"].removeprefix("prepay_id="),
        nonce=fields["nonceStr"],
        at_s=int(fields["timeStamp"]),
    )

    assert params == {**fields, "paySign": vector["sign"]}


def test_an_encrypted_refund_notice_decrypts() -> None:
    vector = VECTORS["req_info"]

    assert decrypt_req_info(vector["sealed"], Secret(vector["key"])).decode() == vector["plain"]
