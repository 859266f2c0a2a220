"""The gateway's signatures: the documents' vectors, both rules for empty values, every sign_type."""

import json
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import rsa

from tael_sandbox.alipay.signing import md5_sign, rsa_sign, rsa_verify, signing_text

VECTORS = json.loads((Path(__file__).parents[1] / "vectors" / "alipay.json").read_text("utf-8"))


@pytest.mark.parametrize("vector", VECTORS, ids=lambda vector: vector["id"])
def test_md5_of_the_documents_vectors(vector: dict[str, Any]) -> None:
    assert md5_sign(vector["text"], vector["key"], vector["charset"]) == vector["md5"]


@pytest.mark.parametrize("vector", VECTORS, ids=lambda vector: vector["id"])
def test_the_text_is_rebuilt_from_shuffled_fields(vector: dict[str, Any]) -> None:
    fields = {
        "currency": "USD",
        "alipay_trans_id": "2026010222001300000000000002",
        "trans_amount": "39.25",
        "sign_type": "MD5",
        "result_code": "SUCCESS",
        "partner_trans_id": "B1",
        "sign": "x",
        "error": "",
    }
    if vector["id"] == "node of an XML answer":
        assert signing_text(fields) == vector["text"]
    assert signing_text(fields, with_empties=True).split("&")[2] == "error="


def test_values_are_signed_raw_and_names_sort_by_bytes() -> None:
    assert signing_text({"b": "1&2=3+%20 ü", "_a": "x", "B": "y"}) == "B=y&_a=x&b=1&2=3+%20 ü"


@pytest.mark.parametrize("sign_type", ["RSA", "RSA2"])
def test_an_rsa_signature_has_one_spelling(sign_type: str) -> None:
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    sign = rsa_sign("a=1", key, sign_type, "utf-8")
    assert rsa_verify("a=1", sign, key.public_key(), sign_type, "utf-8")
    assert not rsa_verify("a=2", sign, key.public_key(), sign_type, "utf-8")
    for other in (sign.rstrip("="), sign + "\n", " " + sign, sign[:-3] + _next_letter(sign[-3]) + "=="):
        assert not rsa_verify("a=1", other, key.public_key(), sign_type, "utf-8")


def test_rsa_and_rsa2_are_not_interchangeable() -> None:
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    assert not rsa_verify("a=1", rsa_sign("a=1", key, "RSA", "utf-8"), key.public_key(), "RSA2", "utf-8")


def _next_letter(letter: str) -> str:
    """The Base64 letter that differs in the last bit, which the padding leaves unused."""
    alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"
    return alphabet[alphabet.index(letter) ^ 1]
