"""The wallet's signatures, encryption and XML, compared with the shared vectors."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tael_sandbox.wechat.messages import BadXml, read_message, signed, write_message
from tael_sandbox.wechat.signing import encrypt_req_info, is_signed, req_info_key, sign, signing_text

VECTORS: dict[str, Any] = json.loads((Path(__file__).parents[1] / "vectors" / "wechat.json").read_text())


@pytest.mark.parametrize("vector", VECTORS["signatures"], ids=lambda vector: str(vector["name"]))
def test_a_signature_is_the_documented_one(vector: dict[str, Any]) -> None:
    assert sign(vector["fields"], vector["key"], vector["sign_type"]) == vector["sign"]


def test_req_info_is_encrypted_as_documented() -> None:
    vector = VECTORS["req_info"]
    assert req_info_key(vector["key"]) == vector["aes_key"]
    assert encrypt_req_info(vector["plain"].encode(), vector["key"]) == vector["sealed"]


def test_a_zero_is_signed_and_an_empty_value_is_not() -> None:
    assert signing_text({"b": "0", "a": "", "C": " x "}, "k") == b"C= x &b=0&key=k"


def test_an_unknown_algorithm_never_verifies() -> None:
    fields = {"a": "1", "sign_type": "RSA"}
    assert not is_signed({**fields, "sign": sign(fields, "k", "MD5")}, "k")


@pytest.mark.parametrize(
    "text", ["plain", "a]]>b", "<&>", "two\nlines", "back\rspace", " edges ", "店", "x]]"]
)
def test_any_text_is_written_and_read_unchanged(text: str) -> None:
    fields = signed({"body": text, "total_fee": 7}, "k", "HMAC-SHA256")
    read = read_message(write_message(fields))
    assert read["body"] == text
    assert is_signed({**read, "sign_type": ""}, "k") is False  # HMAC must be named
    assert read["sign"] == sign(read, "k", "HMAC-SHA256")


def test_integers_are_bare_and_text_is_in_cdata() -> None:
    assert write_message({"a": 1, "b": "1"}) == b"<xml>\n<a>1</a>\n<b><![CDATA[1]]></b>\n</xml>"


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"no xml",
        b"<html><a>1</a></html>",
        b"<xml><a>1</a>",
        b"<xml><a><b>1</b></a></xml>",
        b"<xml><a>1</a><a>2</a></xml>",
        b'<xml><a kind="x">1</a></xml>',
        b"<xml><a>\xff</a></xml>",
        b'<!DOCTYPE xml [<!ENTITY e "v">]><xml><a>&e;</a></xml>',
        b'<!DOCTYPE xml SYSTEM "file:///etc/passwd"><xml><a>1</a></xml>',
        b"<xml><a>&e;</a></xml>",
        b"<xml><a>" + b"x" * 300_000 + b"</a></xml>",
    ],
)
def test_a_message_that_is_not_flat_is_refused(body: bytes) -> None:
    with pytest.raises(BadXml):
        read_message(body)
