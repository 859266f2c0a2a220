"""Webhooks of both styles: the documented ones, and each style's refusals."""

import hashlib
import json
from collections.abc import Callable
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
from tael_client import BadSignature, Credentials, Money, NotificationKind, SignType, read_notification
from tael_client.notifications import Style, Styles
from tael_client.signing import is_signed

from tests.client.world import CREDENTIALS, KEY, MCHID, UTC8, Members

VECTORS: dict[str, Any] = json.loads(
    (Path(__file__).parents[1] / "vectors" / "qfpay.json").read_text("utf-8")
)
#: A call of 2017 observed in production, with its whole numbers.
OLD_BODY = (
    b'{"pay_type": "800151", "txdtm": "2017-06-15 10:21:37", "mchid": "eqqmYMn0Zj6pncw5ZDxjgMqbzV", "txamt": 10,'
    b' "respmsg": "", "out_trade_no": "A", "syssn": 201706150902990034076180, "respcd": "0000"}'
)
OLD_SIGN = "67A4F8CD7C48E6E1900F300D803A0F67"
N4 = VECTORS["new_webhooks"][1]
NEW_MEMBERS: Members = json.loads(N4["body"])
OLD_MEMBERS: Members = {name: str(value) for name, value in json.loads(OLD_BODY).items()}
WRONG_STYLES: list[Any] = ["", (), [], "newer", ("old", "older"), ("",), ("old", None), "OLD"]


def new_style(members: Members, algorithm: Callable[[bytes], Any] = hashlib.md5) -> tuple[bytes, str]:
    """Signed over the bytes."""
    body = json.dumps(members).encode()
    return body, algorithm(body + KEY.encode()).hexdigest().upper()


def old_style(members: Members, algorithm: Callable[[bytes], Any] = hashlib.md5) -> tuple[bytes, str]:
    """Signed over the sorted members."""
    text = "&".join(f"{name}={value}" for name, value in sorted(members.items()))
    return json.dumps(members).encode(), algorithm((text + KEY).encode()).hexdigest().upper()


def without(members: Members, name: str) -> Members:
    return {each: value for each, value in members.items() if each != name}


def test_the_observed_old_webhook_is_verified_and_read() -> None:
    assert len(OLD_BODY) == 195
    webhook = read_notification(CREDENTIALS, OLD_BODY, OLD_SIGN, "old")

    assert (webhook.style, webhook.kind, webhook.is_paid) == ("old", NotificationKind.PAYMENT, True)
    assert (webhook.mchid, webhook.syssn, webhook.reference) == (MCHID, "201706150902990034076180", "A")
    assert (webhook.pay_type, webhook.amount) == ("800151", Money(10))
    assert webhook.client_time == datetime(2017, 6, 15, 10, 21, 37, tzinfo=UTC8)
    assert webhook.paid_at is None


@pytest.mark.parametrize("vector", VECTORS["old_webhooks"], ids=lambda vector: str(vector["name"]))
def test_the_documented_old_webhooks_are_verified(vector: Any) -> None:
    body = json.dumps(vector["members"]).encode()
    assert read_notification(CREDENTIALS, body, vector["sign"], "old").is_paid


def test_the_documented_new_webhook_is_verified_and_read() -> None:
    assert len(N4["body"]) == 524
    webhook = read_notification(CREDENTIALS, N4["body"].encode(), N4["sign"], "new")

    assert (webhook.style, webhook.kind, webhook.is_paid) == ("new", NotificationKind.PAYMENT, True)
    assert webhook.amount == Money(10, "HKD")
    assert webhook.paid_at == datetime(2020, 5, 14, 12, 33, 56, tzinfo=UTC8)
    assert webhook.server_time == datetime(2020, 5, 14, 12, 32, 56, tzinfo=UTC8)
    assert (webhook.payer_ref, webhook.wallet_ref) == ("2088032341453564", "2020051422001453561444935817")
    assert webhook.members["goods_info"] == ""


@pytest.mark.parametrize("spelling", ["orig_syssn", "origssn"])
def test_a_refund_is_distinguished_and_names_the_payment(spelling: str) -> None:
    members = NEW_MEMBERS | {"notify_type": "refund", spelling: "1", "orig_out_trade_no": "A"}
    webhook = read_notification(CREDENTIALS, *new_style(members), "new")
    assert (webhook.kind, webhook.is_paid) == (NotificationKind.REFUND, False)
    assert (webhook.payment_syssn, webhook.payment_reference) == ("1", "A")


@pytest.mark.parametrize("changed", [{"notify_type": "close"}, {"cancel": "1"}, {"respcd": "1142"}], ids=str)
def test_only_a_payment_that_succeeded_is_paid(changed: Members) -> None:
    assert not read_notification(CREDENTIALS, *new_style(NEW_MEMBERS | changed), "new").is_paid


@pytest.mark.parametrize("position", range(0, 195, 13))
def test_an_old_webhook_with_a_changed_byte_is_refused(position: int) -> None:
    flipped = bytearray(OLD_BODY)
    flipped[position] ^= 1
    with pytest.raises(BadSignature):
        read_notification(CREDENTIALS, bytes(flipped), OLD_SIGN, "old")


@pytest.mark.parametrize("position", range(0, 524, 29))
def test_a_new_webhook_with_a_changed_byte_is_refused(position: int) -> None:
    flipped = bytearray(N4["body"].encode())
    flipped[position] ^= 1
    with pytest.raises(BadSignature):
        read_notification(CREDENTIALS, bytes(flipped), N4["sign"], "new")


def test_another_key_and_no_signature_are_refused() -> None:
    with pytest.raises(BadSignature):
        read_notification(Credentials("a", "another"), OLD_BODY, OLD_SIGN, "old")
    for sign in ("", "0" * 32, OLD_SIGN[:-1], "签" * 32):
        with pytest.raises(BadSignature):
            read_notification(CREDENTIALS, OLD_BODY, sign, "old")


# ---- styles ------------------------------------------------------------------------------------------------


def test_a_style_that_is_not_named_is_refused_and_the_message_names_the_expected_one() -> None:
    with pytest.raises(BadSignature, match="the new style is expected"):
        read_notification(CREDENTIALS, OLD_BODY, OLD_SIGN, "new")
    with pytest.raises(BadSignature, match="the old style is expected"):
        read_notification(CREDENTIALS, N4["body"].encode(), N4["sign"], ("old",))


@pytest.mark.parametrize("styles", ["old", ("old",), ["old"], ("old", "new"), ("new", "old")], ids=str)
def test_a_receiver_has_one_style_or_both(styles: Any) -> None:
    assert read_notification(CREDENTIALS, OLD_BODY, OLD_SIGN, styles=styles).style == "old"


def test_both_styles_are_read_while_an_app_is_moved_from_one_to_the_other() -> None:
    both: tuple[Style, ...] = ("old", "new")
    assert read_notification(CREDENTIALS, OLD_BODY, OLD_SIGN, both).style == "old"
    assert read_notification(CREDENTIALS, N4["body"].encode(), N4["sign"], both).style == "new"


@pytest.mark.parametrize("styles", WRONG_STYLES, ids=str)
def test_no_style_and_an_unknown_style_are_errors_of_the_program(styles: Any) -> None:
    with pytest.raises(ValueError, match="style"):
        read_notification(CREDENTIALS, OLD_BODY, OLD_SIGN, styles)


def test_the_style_has_no_default() -> None:
    with pytest.raises(TypeError, match="styles"):
        read_notification(CREDENTIALS, OLD_BODY, OLD_SIGN)  # type: ignore[call-arg]


# ---- the old style -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "changed",
    [
        {"udid": "terminal-1 茶"},
        {"udid": ""},
        {"udid": "Tea & biscuits = good & terminal=2\n&shop"},
        {"respmesg": ""},
        {"respmsg": "支付成功"},
        {"txdtm": ""},
        {"txamt": "99999999999"},
        {"mchid": "a_-" + "9" * 61},
        {"syssn": "1"},
        {"out_trade_no": "!#$()*-./09:;<>?@AZ[]^_`az{|}~"},
        {"out_trade_no": "r" * 128},
    ],
    ids=str,
)
def test_an_old_webhook_whose_members_have_their_forms_is_read(changed: Members) -> None:
    assert read_notification(CREDENTIALS, *old_style(OLD_MEMBERS | changed), "old").style == "old"


@pytest.mark.parametrize("message", ["respmsg", "respmesg"])
def test_an_old_webhook_needs_only_one_of_the_two_spellings_of_its_message(message: str) -> None:
    members = without(OLD_MEMBERS, "respmsg") | {message: ""}
    assert read_notification(CREDENTIALS, *old_style(members), "old").is_paid


def test_an_old_webhook_needs_no_time_of_the_merchants() -> None:
    webhook = read_notification(CREDENTIALS, *old_style(without(OLD_MEMBERS, "txdtm")), "old")
    assert webhook.client_time is None


@pytest.mark.parametrize(
    "member", ["mchid", "syssn", "pay_type", "out_trade_no", "txamt", "respcd", "respmsg"]
)
def test_an_old_webhook_that_lacks_a_member_is_refused(member: str) -> None:
    with pytest.raises(BadSignature, match=member):
        read_notification(CREDENTIALS, *old_style(without(OLD_MEMBERS, member)), "old")


@pytest.mark.parametrize(
    ("member", "value"),
    [
        *[("mchid", value) for value in ("", "a b", "a&b", "a=b", "a.b", "商", "m" * 65, "m\n")],
        *[("syssn", value) for value in ("", "1a", "-1", "1 ", "１", "1" * 41, "1&txamt=1")],
        *[("pay_type", value) for value in ("", "80015", "8001510", "80015a", "８００１５１")],
        *[("respcd", value) for value in ("", "000", "00000", "000a")],
        *[("txamt", value) for value in ("", "0", "010", "-1", "1.0", "1" * 12, "1 ", "+1")],
        *[("out_trade_no", f"a{sign}b") for sign in " ,&=%+'\"\\\n\x7f茶"],
        ("out_trade_no", ""),
        ("out_trade_no", "r" * 129),
        *[
            ("txdtm", value)
            for value in ("2017-06-15", "2017-06-15T10:21:37", "2017-06-15 10:21:37&t=1", " ")
        ],
        *[(member, f"a{sign}b") for member in ("respmsg", "respmesg") for sign in "&=\n\0\x1f\x7f\x85"],
        *[
            ("udid", f"terminal{rest}")
            for rest in ("&page=1", "&txamt=1", "&x=1&valid_time=300", "&respmsg=")
        ],
    ],
)
def test_an_old_webhook_with_a_malformed_member_is_refused(member: str, value: str) -> None:
    with pytest.raises(BadSignature, match=f"{member} is malformed"):
        read_notification(CREDENTIALS, *old_style(OLD_MEMBERS | {member: value}), "old")


@pytest.mark.parametrize("value", [1.5, True, ["1"], {"a": "1"}], ids=str)
def test_an_old_webhook_has_text_and_whole_numbers_only(value: Any) -> None:
    body = json.dumps(OLD_MEMBERS | {"respmsg": value}).encode()
    with pytest.raises(BadSignature, match="neither text nor a whole number"):
        read_notification(CREDENTIALS, body, OLD_SIGN, "old")


@pytest.mark.parametrize(
    "member",
    [
        "t",
        "outcardnm",
        "goods_name",
        "txcurrcd",
        "sysdtm",
        "cancel",
        "sign",
        "paysource",
        "Mchid",
        "",
        "a&b=c",
    ],
)
def test_an_old_webhook_with_a_member_outside_the_ten_is_refused(member: str) -> None:
    for value in ("", "X"):
        with pytest.raises(BadSignature, match="does not have"):
            read_notification(CREDENTIALS, *old_style(OLD_MEMBERS | {member: value}), "old")


def test_an_old_webhook_with_a_lone_surrogate_is_refused() -> None:
    body = json.dumps(OLD_MEMBERS | {"udid": "\ud800"}).encode()
    with pytest.raises(BadSignature, match="not a webhook"):
        read_notification(CREDENTIALS, body, OLD_SIGN, "old")


def test_an_old_webhook_with_a_member_twice_is_refused() -> None:
    body = OLD_BODY.replace(b'"respmsg": ""', b'"respmsg": "", "respmsg": ""')
    with pytest.raises(BadSignature, match="twice"):
        read_notification(CREDENTIALS, body, OLD_SIGN, "old")


@pytest.mark.parametrize("response_sign_type", list(SignType))
def test_an_old_webhook_is_signed_with_md5_under_all_credentials(response_sign_type: SignType) -> None:
    credentials = replace(CREDENTIALS, response_sign_type=response_sign_type)
    body, sign = old_style(OLD_MEMBERS)
    assert read_notification(credentials, body, sign, "old").is_paid
    with pytest.raises(BadSignature, match="signature"):
        read_notification(credentials, *old_style(OLD_MEMBERS, hashlib.sha256), "old")


# ---- the new style -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("blank", [" ", "\n", "\t", "\r\n", "\ufeff"], ids=repr)
def test_a_new_webhook_starts_with_its_brace(blank: str) -> None:
    body = (blank + json.dumps(NEW_MEMBERS)).encode()
    sign = hashlib.md5(body + KEY.encode()).hexdigest()
    with pytest.raises(BadSignature, match="not a webhook"):
        read_notification(CREDENTIALS, body, sign, "new")


def test_a_new_webhook_may_have_undocumented_members_and_any_reference() -> None:
    members = NEW_MEMBERS | {"out_trade_no": "A&b=c", "a_later_member": "x", "goods_name": "Tea&txamt=1"}
    webhook = read_notification(CREDENTIALS, *new_style(members), "new")
    assert (webhook.reference, webhook.members["a_later_member"]) == ("A&b=c", "x")


@pytest.mark.parametrize("kind", ["", None, 1.5, []], ids=str)
def test_a_new_webhook_needs_a_known_kind(kind: Any) -> None:
    with pytest.raises(BadSignature, match="notify_type"):
        read_notification(CREDENTIALS, *new_style(NEW_MEMBERS | {"notify_type": kind}), "new")


@pytest.mark.parametrize(
    ("expected", "right", "wrong"),
    [(SignType.MD5, hashlib.md5, hashlib.sha256), (SignType.SHA256, hashlib.sha256, hashlib.md5)],
    ids=["MD5", "SHA256"],
)
def test_a_new_webhook_is_signed_with_the_algorithm_of_the_credentials(
    expected: SignType, right: Any, wrong: Any
) -> None:
    credentials = replace(CREDENTIALS, response_sign_type=expected)
    assert read_notification(credentials, *new_style(NEW_MEMBERS, right), "new").is_paid
    with pytest.raises(BadSignature, match="signature"):
        read_notification(credentials, *new_style(NEW_MEMBERS, wrong), "new")


def test_bytes_of_the_new_style_without_notify_type_are_no_webhook_in_either_style() -> None:
    n3 = VECTORS["new_webhooks"][0]
    assert is_signed(n3["body"].encode(), n3["sign"], n3["key"])
    every: list[Styles] = ["old", "new", ("old", "new")]
    for styles in every:
        with pytest.raises(BadSignature):
            read_notification(CREDENTIALS, n3["body"].encode(), n3["sign"], styles)

    with pytest.raises(BadSignature, match="notify_type"):
        read_notification(CREDENTIALS, *new_style(without(NEW_MEMBERS, "notify_type")), "new")


@pytest.mark.parametrize("member", ["syssn", "out_trade_no", "pay_type", "txamt", "respcd"])
def test_a_new_webhook_without_a_required_member_is_refused(member: str) -> None:
    with pytest.raises(BadSignature, match=member):
        read_notification(CREDENTIALS, *new_style(without(NEW_MEMBERS, member)), "new")


@pytest.mark.parametrize("styles", ["old", "new"])
@pytest.mark.parametrize(
    "body", [b"", b"{", b"[]", b"\xff", b"[" * 60_000, b'{"a": 1, "a": 2}', b'{"notify_type": 1.5}']
)
def test_rubbish_is_refused(body: bytes, styles: Any) -> None:
    sign = hashlib.md5(body + KEY.encode()).hexdigest().upper()
    with pytest.raises(BadSignature):
        read_notification(CREDENTIALS, body, sign, styles)
