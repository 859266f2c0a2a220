"""Signatures of the mapi gateway: the published vectors, and everything that must be refused."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tael.base.secret import Secret
from tael.channels.alipay_mapi.signing import UnusableKey, is_genuine, signature, signing_text
from tests.support.alipay import SIGN_TYPES, alipay_account, flipped, wallet_signature

VECTORS: list[dict[str, Any]] = json.loads(
    (Path(__file__).parents[2] / "vectors" / "alipay.json").read_text(encoding="utf-8")
)
FIELDS = {"out_trade_no": "T1", "total_fee": "1.00", "subject": "测试 a+b&c=d%", "body": ""}


def as_fields(text: str) -> dict[str, str]:
    """A mapping that is signed as `text`: values may contain `&`, so only the first name is cut off."""
    name, _, value = text.partition("=")
    return {name: value}


@pytest.mark.parametrize("vector", VECTORS, ids=lambda vector: str(vector["id"]))
def test_the_published_vectors_are_genuine(vector: dict[str, Any]) -> None:
    account = alipay_account(key=vector["key"])
    fields = as_fields(vector["text"])
    assert is_genuine(fields, vector["md5"], "MD5", account, vector["charset"])
    assert not is_genuine(fields, flipped(vector["md5"]), "MD5", account, vector["charset"])
    if vector["charset"].lower() == "utf-8":
        assert signature(fields, account) == vector["md5"]


def test_the_text_is_sorted_raw_and_without_empty_fields_and_signatures() -> None:
    fields = {**FIELDS, "_input_charset": "utf-8", "sign": "x", "sign_type": "MD5"}
    assert signing_text(fields) == "_input_charset=utf-8&out_trade_no=T1&subject=测试 a+b&c=d%&total_fee=1.00"


@pytest.mark.parametrize("sign_type", SIGN_TYPES)
def test_the_wallets_signature_is_genuine_and_a_changed_byte_is_not(sign_type: str) -> None:
    account = alipay_account(sign_type)  # type: ignore[arg-type]
    sign = wallet_signature(FIELDS, sign_type)
    assert is_genuine(FIELDS, sign, sign_type, account)
    for name in ("out_trade_no", "total_fee", "subject"):
        assert not is_genuine({**FIELDS, name: flipped(FIELDS[name])}, sign, sign_type, account)
    assert not is_genuine(FIELDS, flipped(sign[:-4]) + sign[-3:], sign_type, account)


@pytest.mark.parametrize("sign_type", ["RSA", "RSA2"])
def test_a_blank_in_base64_is_a_lost_plus(sign_type: str) -> None:
    for number in range(1000):
        sign = wallet_signature({"n": str(number)}, sign_type)
        if "+" in sign:
            account = alipay_account(sign_type)  # type: ignore[arg-type]
            assert is_genuine({"n": str(number)}, sign.replace("+", " "), sign_type, account)
            return
    pytest.fail("no signature with a plus")


@pytest.mark.parametrize("mine", SIGN_TYPES)
@pytest.mark.parametrize("theirs", SIGN_TYPES)
def test_only_the_accounts_own_sign_type_counts(mine: str, theirs: str) -> None:
    sign = wallet_signature(FIELDS, theirs)
    assert is_genuine(FIELDS, sign, theirs, alipay_account(mine)) is (mine == theirs)  # type: ignore[arg-type]


def test_no_key_makes_no_signature() -> None:
    account = replace(alipay_account("RSA2"), sign_type="MD5")
    assert not is_genuine(FIELDS, wallet_signature(FIELDS, "MD5", key=""), "MD5", account)
    with pytest.raises(UnusableKey):
        signature(FIELDS, account)


@pytest.mark.parametrize(
    "pem", ["", "nonsense", "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----"]
)
def test_a_broken_key_is_named_as_such(pem: str) -> None:
    account = replace(alipay_account("RSA2"), private_key=Secret(pem), alipay_public_key=pem)
    with pytest.raises(UnusableKey) as caught:
        signature(FIELDS, account)
    assert pem == "" or pem not in str(caught.value)
    assert not is_genuine(FIELDS, wallet_signature(FIELDS, "RSA2"), "RSA2", account)


@pytest.mark.parametrize("sign", ["", "é", "%%%", "AAAA", "x" * 10_000])
@pytest.mark.parametrize("sign_type", SIGN_TYPES)
def test_rubbish_is_no_signature(sign: str, sign_type: str) -> None:
    assert not is_genuine(FIELDS, sign, sign_type, alipay_account(sign_type))  # type: ignore[arg-type]
