"""The merchants' signatures against the shared vectors."""

import json
from pathlib import Path
from typing import Any

import pytest

from tael.domain.secret import Secret
from tael.domain.signature import digest, is_same, raw_text, request_texts, sign_body, sign_members

VECTORS: dict[str, Any] = json.loads(
    (Path(__file__).parents[1] / "vectors" / "qfpay.json").read_text("utf-8")
)


def named(vector: Any) -> str:
    return str(vector["name"])


def pairs_of(text: str) -> dict[str, str]:
    return dict(pair.split("=", 1) for pair in text.split("&"))


@pytest.mark.parametrize("vector", VECTORS["requests"], ids=named)
def test_a_request_has_the_documented_digest(vector: dict[str, Any]) -> None:
    made = digest(vector["text"].encode(), Secret(vector["key"]), vector["algorithm"])
    assert is_same(made, vector["digest"])


@pytest.mark.parametrize("vector", VECTORS["requests"], ids=named)
def test_the_signed_text_is_found_among_the_texts_of_its_values(vector: dict[str, Any]) -> None:
    values = dict(reversed(pairs_of(vector["text"]).items()))
    assert vector["text"].encode() in request_texts({**values, "sign": "whatever"})


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


def test_an_answer_has_the_documented_signature() -> None:
    vector = VECTORS["answer"]
    assert len(vector["body"]) == 302
    assert sign_body(vector["body"].encode(), Secret(vector["key"])) == vector["sign"]


@pytest.mark.parametrize("vector", VECTORS["old_webhooks"], ids=named)
def test_an_old_webhook_has_the_documented_signature(vector: dict[str, Any]) -> None:
    assert sign_members(vector["members"], Secret(vector["key"])) == vector["sign"]


@pytest.mark.parametrize("vector", VECTORS["new_webhooks"], ids=named)
def test_a_new_webhook_has_the_documented_signature(vector: dict[str, Any]) -> None:
    assert sign_body(vector["body"].encode(), Secret(vector["key"])) == vector["sign"]


def test_digests_are_compared_in_any_case_and_with_anything() -> None:
    assert is_same("ab12", "Ab12")
    assert not is_same("ab12", "ab1")
    assert not is_same("ab12", "店")
