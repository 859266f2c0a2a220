"""Webhooks of both styles, the documented ones first; and none that was not signed as one."""

import hashlib
import json
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
from tael_client import BadSignature, Credentials, Money, NotificationKind, read_notification
from tael_client.signing import is_signed

from tests.client.world import CREDENTIALS, KEY, MCHID, UTC8, Members, barcode_answer

VECTORS: dict[str, Any] = json.loads(
    (Path(__file__).parents[1] / "vectors" / "qfpay.json").read_text("utf-8")
)
#: The call of 2017 that was seen in the wild, with its whole numbers.
OLD_BODY = (
    b'{"pay_type": "800151", "txdtm": "2017-06-15 10:21:37", "mchid": "eqqmYMn0Zj6pncw5ZDxjgMqbzV", "txamt": 10,'
    b' "respmsg": "", "out_trade_no": "A", "syssn": 201706150902990034076180, "respcd": "0000"}'
)
OLD_SIGN = "67A4F8CD7C48E6E1900F300D803A0F67"
N4 = VECTORS["new_webhooks"][1]
NEW_MEMBERS: Members = json.loads(N4["body"])


def new_style(members: Members) -> tuple[bytes, str]:
    """Signed over the bytes."""
    body = json.dumps(members).encode()
    return body, hashlib.md5(body + KEY.encode()).hexdigest().upper()


def old_style(members: Members) -> tuple[bytes, str]:
    """Signed over the sorted members."""
    text = "&".join(f"{name}={value}" for name, value in sorted(members.items()))
    return json.dumps(members).encode(), hashlib.md5((text + KEY).encode()).hexdigest().upper()


def test_the_old_webhook_of_the_wild_is_proven_and_read() -> None:
    assert len(OLD_BODY) == 195
    told = read_notification(CREDENTIALS, OLD_BODY, OLD_SIGN)

    assert (told.style, told.kind, told.is_paid) == ("old", NotificationKind.PAYMENT, True)
    assert (told.mchid, told.syssn, told.reference) == (MCHID, "201706150902990034076180", "A")
    assert (told.pay_type, told.amount) == ("800151", Money(10))
    assert told.client_time == datetime(2017, 6, 15, 10, 21, 37, tzinfo=UTC8)
    assert told.paid_at is None


@pytest.mark.parametrize("vector", VECTORS["old_webhooks"], ids=lambda vector: str(vector["name"]))
def test_the_documented_old_webhooks_are_proven(vector: Any) -> None:
    body = json.dumps(vector["members"]).encode()
    assert read_notification(CREDENTIALS, body, vector["sign"]).is_paid


def test_the_documented_new_webhook_is_proven_and_read() -> None:
    assert len(N4["body"]) == 524
    told = read_notification(CREDENTIALS, N4["body"].encode(), N4["sign"])

    assert (told.style, told.kind, told.is_paid) == ("new", NotificationKind.PAYMENT, True)
    assert told.amount == Money(10, "HKD")
    assert told.paid_at == datetime(2020, 5, 14, 12, 33, 56, tzinfo=UTC8)
    assert told.server_time == datetime(2020, 5, 14, 12, 32, 56, tzinfo=UTC8)
    assert (told.payer_ref, told.wallet_ref) == ("2088032341453564", "2020051422001453561444935817")
    assert told.members["goods_info"] == ""


def test_a_refund_is_told_apart_and_names_the_payment() -> None:
    members = NEW_MEMBERS | {"notify_type": "refund", "orig_syssn": "1", "orig_out_trade_no": "A"}
    told = read_notification(CREDENTIALS, *new_style(members))
    assert (told.kind, told.is_paid) == (NotificationKind.REFUND, False)
    assert (told.payment_syssn, told.payment_reference) == ("1", "A")


@pytest.mark.parametrize("changed", [{"notify_type": "close"}, {"cancel": "1"}, {"respcd": "1142"}], ids=str)
def test_only_a_payment_that_succeeded_is_paid(changed: Members) -> None:
    assert not read_notification(CREDENTIALS, *new_style(NEW_MEMBERS | changed)).is_paid


@pytest.mark.parametrize("position", range(0, 195, 13))
def test_an_old_webhook_with_a_flipped_byte_is_refused(position: int) -> None:
    flipped = bytearray(OLD_BODY)
    flipped[position] ^= 1
    with pytest.raises(BadSignature):
        read_notification(CREDENTIALS, bytes(flipped), OLD_SIGN)


@pytest.mark.parametrize("position", range(0, 524, 29))
def test_a_new_webhook_with_a_flipped_byte_is_refused(position: int) -> None:
    flipped = bytearray(N4["body"].encode())
    flipped[position] ^= 1
    with pytest.raises(BadSignature):
        read_notification(CREDENTIALS, bytes(flipped), N4["sign"])


def test_another_key_and_no_signature_are_refused() -> None:
    with pytest.raises(BadSignature):
        read_notification(Credentials("a", "another"), OLD_BODY, OLD_SIGN)
    for sign in ("", "0" * 32, OLD_SIGN[:-1], "签" * 32):
        with pytest.raises(BadSignature):
            read_notification(CREDENTIALS, OLD_BODY, sign)


def test_the_style_that_an_app_is_not_set_to_is_refused() -> None:
    assert read_notification(CREDENTIALS, OLD_BODY, OLD_SIGN, ("old",)).is_paid
    with pytest.raises(BadSignature):
        read_notification(CREDENTIALS, OLD_BODY, OLD_SIGN, ("new",))
    with pytest.raises(BadSignature):
        read_notification(CREDENTIALS, N4["body"].encode(), N4["sign"], ("old",))


def test_a_signed_answer_of_the_api_is_no_webhook() -> None:
    """Answers are signed like new-style webhooks, and one of an online payment says 0000 before anybody paid."""
    with pytest.raises(BadSignature):
        read_notification(CREDENTIALS, *new_style(barcode_answer(pay_type="800201")))


def test_bytes_of_the_new_style_that_do_not_say_what_they_tell_of_are_no_webhook() -> None:
    n3 = VECTORS["new_webhooks"][0]
    assert is_signed(n3["body"].encode(), n3["sign"], n3["key"])
    with pytest.raises(BadSignature):
        read_notification(CREDENTIALS, n3["body"].encode(), n3["sign"])

    silent = {name: value for name, value in NEW_MEMBERS.items() if name != "notify_type"}
    with pytest.raises(BadSignature):
        read_notification(CREDENTIALS, *new_style(silent))


def test_a_signed_request_of_ours_is_no_webhook() -> None:
    request = {
        "mchid": MCHID,
        "out_trade_no": "A",
        "pay_type": "800151",
        "respcd": "0000",
        "syssn": "1",
        "txamt": "10",
    }
    with pytest.raises(BadSignature):
        read_notification(CREDENTIALS, *old_style(request))


@pytest.mark.parametrize("member", ["syssn", "out_trade_no", "pay_type", "txamt", "respcd"])
def test_a_webhook_that_lacks_what_it_is_about_is_refused(member: str) -> None:
    members = {name: value for name, value in NEW_MEMBERS.items() if name != member}
    with pytest.raises(BadSignature):
        read_notification(CREDENTIALS, *new_style(members))


def test_members_that_were_joined_into_one_value_are_refused() -> None:
    """The old text is the same for a reference "A" with an outcardnm behind it, and for one value that holds both."""
    members = {name: str(value) for name, value in json.loads(OLD_BODY).items()} | {"outcardnm": "X"}
    _, sign = old_style(members)
    assert read_notification(CREDENTIALS, json.dumps(members).encode(), sign).reference == "A"

    del members["outcardnm"]
    joined = json.dumps(members | {"out_trade_no": "A&outcardnm=X"}).encode()
    with pytest.raises(BadSignature):
        read_notification(CREDENTIALS, joined, sign)


@pytest.mark.parametrize(
    "body", [b"", b"{", b"[]", b"\xff", b"[" * 60_000, b'{"a": 1, "a": 2}', b'{"notify_type": 1.5}']
)
def test_rubbish_is_refused(body: bytes) -> None:
    sign = hashlib.md5(body + KEY.encode()).hexdigest().upper()
    with pytest.raises(BadSignature):
        read_notification(CREDENTIALS, body, sign)
