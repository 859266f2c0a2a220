"""Signed texts of another kind that are posted as webhooks: none is accepted in any style.

Requests, checkout links, responses and webhooks are signed with one key. Here an attacker who has one of them with its
signature splits its text again at the `&`. Each forgery is checked against a receiver that only compares signatures.
"""

import hashlib
import json
from collections.abc import Iterator
from dataclasses import replace
from datetime import datetime
from typing import Any, Final
from urllib.parse import parse_qsl, urlsplit

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tael_client import BadSignature, Credentials, Money, SignType, checkout_link, read_notification

from tests.client.world import KEY, UTC8, Members, barcode_answer, online_answer

ALGORITHMS: dict[SignType, Any] = {SignType.MD5: hashlib.md5, SignType.SHA256: hashlib.sha256}
BOTH = list(ALGORITHMS)
#: Every configuration of a receiver.
STYLES: list[Any] = ["old", "new", ("old", "new")]
#: A product name, chosen by a payer or supplier, that makes a webhook of another payment.
HOSTILE = (
    "Tea&mchid=M&out_trade_no=ORDER-7&pay_type=800201&respcd=0000&respmsg=&syssn=202611280900990000000015&t="
)


def joined(params: Members) -> str:
    return "&".join(f"{name}={value}" for name, value in sorted(params.items()))


def sign(text: str, algorithm: SignType) -> str:
    digest: str = ALGORITHMS[algorithm](f"{text}{KEY}".encode()).hexdigest()
    return digest


def cut(text: str) -> Members:
    """The text as members: the first value of each name, in order; other parts belong to the value before."""
    members: Members = {}
    last = ""
    for piece in text.split("&"):
        name, equals, value = piece.partition("=")
        if equals and name > last:
            members[name], last = value, name
        else:
            members[last] += f"&{piece}"
    return members


def is_signed_for_a_naive_receiver(members: Members, signature: str, algorithm: SignType) -> bool:
    return sign(joined(members), algorithm) == signature


def assert_refused(body: bytes, signature: str) -> None:
    for response_sign_type in BOTH:
        credentials = Credentials("123456", KEY, response_sign_type=response_sign_type)
        for styles in STYLES:
            with pytest.raises(BadSignature):
                read_notification(credentials, body, signature, styles)


def assert_forgery_is_refused(text: str, algorithm: SignType) -> Members:
    members, signature = cut(text), sign(text, algorithm)
    assert is_signed_for_a_naive_receiver(members, signature, algorithm)
    assert_refused(json.dumps(members).encode(), signature)
    return members


# ---- links -------------------------------------------------------------------------------------------------


def link_text(goods_name: str, algorithm: SignType) -> str:
    return joined(
        {
            "appcode": "123456",
            "failed_url": "https://m.example/f",
            "goods_name": goods_name,
            "notify_url": "https://m.example/n",
            "out_trade_no": "ORDER-9",
            "paysource": "shop_checkout",
            "return_url": "https://m.example/r",
            "sign_type": algorithm.value,
            "txamt": "500000",
            "txcurrcd": "HKD",
            "txdtm": "2026-11-28 10:00:00",
        }
    )


@pytest.mark.parametrize("algorithm", BOTH)
def test_a_link_with_hostile_text_cannot_be_cut_into_a_webhook(algorithm: SignType) -> None:
    members = assert_forgery_is_refused(link_text(HOSTILE, algorithm), algorithm)
    forged = ("out_trade_no", "respcd", "respmsg", "syssn", "txamt")
    assert [members[name] for name in forged] == ["ORDER-7", "0000", "", "202611280900990000000015", "500000"]


@pytest.mark.parametrize("algorithm", BOTH)
def test_an_ordinary_link_cannot_be_cut_into_a_webhook(algorithm: SignType) -> None:
    assert_forgery_is_refused(link_text("Tea & biscuits", algorithm), algorithm)


@pytest.mark.parametrize("algorithm", BOTH)
def test_the_client_signs_no_link_with_that_text_and_an_ordinary_one_unchanged(
    algorithm: SignType,
) -> None:
    def link(goods_name: str) -> str:
        return checkout_link(
            "https://qf.example",
            Credentials("123456", KEY),
            reference="ORDER-9",
            amount=Money(500000, "HKD"),
            at=datetime(2026, 11, 28, 10, 0, 0, tzinfo=UTC8),
            paysource="shop_checkout",
            return_url="https://m.example/r",
            failed_url="https://m.example/f",
            notify_url="https://m.example/n",
            sign_type=algorithm,
            more={"goods_name": goods_name},
        )

    with pytest.raises(ValueError, match='goods_name must not contain "&mchid="'):
        link(HOSTILE)
    params = dict(
        parse_qsl(urlsplit(link("Tea & biscuits")).fragment.removeprefix("/?"), strict_parsing=True)
    )
    assert params["sign"] == sign(link_text("Tea & biscuits", algorithm), algorithm)


# ---- requests ----------------------------------------------------------------------------------------------

QUERY = {
    "mchid": "M",
    "out_trade_no": "ORDER-7",
    "page": "1",
    "page_size": "100",
    "pay_type": "800201",
    "respcd": "0000",
    "syssn": "202611280900990000000015",
}
PAYMENT = {
    "mchid": "M",
    "out_trade_no": "ORDER-9",
    "pay_type": "800201",
    "product_name": "Tea",
    "txamt": "500000",
    "txcurrcd": "HKD",
    "txdtm": "2026-11-28 10:00:00",
    "udid": "terminal-1",
}
CLOSE = {"mchid": "M", "out_trade_no": "ORDER-7", "txdtm": "2026-11-28 10:00:00"}
REFUND = CLOSE | {"syssn": "202611280900990000000015", "txamt": "1"}
REVERSAL = REFUND
#: A reference that the merchant got from elsewhere. It makes a webhook of any request.
HOSTILE_NUMBER = "A&pay_type=800201&respcd=0000&respmsg=&syssn=1&txamt=5&udid="


@pytest.mark.parametrize("algorithm", BOTH)
@pytest.mark.parametrize("request_", [QUERY, PAYMENT, CLOSE, REFUND, REVERSAL], ids=str)
def test_an_ordinary_request_cannot_be_cut_into_a_webhook(request_: Members, algorithm: SignType) -> None:
    assert_forgery_is_refused(joined(request_), algorithm)


@pytest.mark.parametrize("algorithm", BOTH)
@pytest.mark.parametrize(
    "name", ["product_name", "udid", "goods_name", "sub_openid", "limit_pay", "auth_code"]
)
def test_a_payment_with_hostile_text_cannot_be_cut_into_a_webhook(name: str, algorithm: SignType) -> None:
    assert_forgery_is_refused(joined(PAYMENT | {name: HOSTILE}), algorithm)


def test_a_payment_whose_beginning_is_hidden_in_the_first_member_is_no_webhook() -> None:
    """Every member has its name, but the first one holds the payment's own number."""
    hostile = "Tea&out_trade_no=ORDER-7&pay_type=800201&respcd=0000&respmsg=&syssn=1"
    params = {name: value for name, value in PAYMENT.items() if name not in ("txcurrcd", "udid")}
    text = joined(params | {"product_name": hostile})
    beginning, rest = text.split("&out_trade_no=ORDER-7&")
    members = {"mchid": beginning.removeprefix("mchid="), "out_trade_no": "ORDER-7"} | cut(rest)
    signature = sign(text, SignType.MD5)
    assert is_signed_for_a_naive_receiver(members, signature, SignType.MD5)
    assert_refused(json.dumps(members).encode(), signature)


@pytest.mark.parametrize("algorithm", BOTH)
def test_a_query_with_a_hostile_number_cannot_be_cut_into_a_webhook(algorithm: SignType) -> None:
    """Every member has its name and its form, but `udid` holds the rest of the query."""
    text = joined({"mchid": "M", "out_trade_no": HOSTILE_NUMBER, "page": "1", "page_size": "100"})
    members = assert_forgery_is_refused(text, algorithm)
    assert members["udid"] == "&page=1&page_size=100"


# ---- responses and webhooks of the other style -------------------------------------------------------------


@pytest.mark.parametrize("algorithm", BOTH)
@pytest.mark.parametrize("answer", [barcode_answer(), online_answer()], ids=["barcode", "online"])
def test_a_response_is_no_webhook(answer: Members, algorithm: SignType) -> None:
    body = json.dumps(answer)
    assert_refused(body.encode(), sign(body, algorithm))


@pytest.mark.parametrize("algorithm", BOTH)
def test_the_bytes_of_a_response_cannot_be_cut_into_a_webhook(algorithm: SignType) -> None:
    """A reference or an address with a `=` makes a name of all that is before it."""
    url = "weixin://pay?pr=1&mchid=M&out_trade_no=ORDER-7&pay_type=800201&respcd=0000&respmsg=&syssn=1&txamt=5&udid="
    body = json.dumps(online_answer(qrcode=url))
    members = {"": ""} | dict([body.split("&")[0].split("=", 1)]) | cut("&".join(body.split("&")[1:]))
    del members[""]
    text = "&".join(f"{name}={value}" for name, value in members.items())
    assert text == body
    assert_refused(json.dumps(members).encode(), sign(body, algorithm))


NEW = {
    "notify_type": "payment",
    "mchid": "M",
    "syssn": "1",
    "pay_type": "800201",
    "out_trade_no": "ORDER-7",
    "txamt": "5",
    "txcurrcd": "HKD",
    "respcd": "0000",
}
OLD = {name: value for name, value in NEW.items() if name not in ("notify_type", "txcurrcd")} | {
    "respmsg": ""
}


def test_a_webhook_of_one_style_is_not_taken_for_the_other() -> None:
    """The same members, signed as in the other style."""
    new_body, old_body = json.dumps(NEW), json.dumps(OLD)
    for algorithm in BOTH:
        assert_refused(new_body.encode(), sign(joined(NEW), algorithm))
        assert_refused(old_body.encode(), sign(old_body, algorithm))
    credentials = Credentials("123456", KEY)
    assert read_notification(credentials, new_body.encode(), sign(new_body, SignType.MD5), "new").is_paid
    assert read_notification(credentials, old_body.encode(), sign(joined(OLD), SignType.MD5), "old").is_paid
    sha256 = replace(credentials, response_sign_type=SignType.SHA256)
    assert read_notification(sha256, new_body.encode(), sign(new_body, SignType.SHA256), "new").is_paid


# ---- any hostile text --------------------------------------------------------------------------------------

#: Free text that others may have written. References are the merchant's own.
FREE = {
    "payment": ["product_name", "goods_name", "udid", "sub_openid", "auth_code", "limit_pay", "notify_url"],
    "link": ["product_name", "goods_name", "udid", "sub_openid", "return_url", "cancel_url"],
}
#: Optional parameters of a request.
OPTIONAL = ["product_name", "txcurrcd", "udid"]
WANTED = {
    "mchid": "M",
    "out_trade_no": "ORDER-7",
    "pay_type": "800201",
    "respcd": "0000",
    "respmesg": "",
    "respmsg": "",
    "syssn": "202611280900990000000015",
    "txamt": "5",
    "txdtm": "2026-11-28 10:00:00",
}
PAIRS = [f"&{name}={value}" for name, value in WANTED.items()]
HOSTILE_TEXT = st.one_of(
    # A webhook that lacks some members, which the request may have.
    st.sets(st.sampled_from(PAIRS), max_size=3).map(
        lambda missing: "Tea" + "".join(pair for pair in PAIRS if pair not in missing)
    ),
    st.lists(
        st.sampled_from([*PAIRS, "&notify_type=payment", "&t=", "Tea", "&", "=", "{", '"', " ", "1"]),
        max_size=12,
    ).map("".join),
)


KINDS: Final = st.sampled_from(["payment", "link"])
LEFT_OUT: Final = st.sets(st.sampled_from(OPTIONAL))
HOSTILE_NAMES: Final = {
    kind: st.sets(st.sampled_from(names), min_size=1, max_size=2) for kind, names in FREE.items()
}
ENDS: Final = st.sampled_from(["", "&t=", "&udid="])


@st.composite
def signed_texts(draw: st.DrawFn) -> str:
    """The text of a naive signer, with hostile text in some of its free values."""
    kind = draw(KINDS)
    params = dict(PAYMENT) if kind == "payment" else cut(link_text("", SignType.MD5))
    for name in draw(LEFT_OUT):
        params.pop(name, None)
    for name in draw(HOSTILE_NAMES[kind]):
        params[name] = draw(HOSTILE_TEXT) + draw(ENDS)
    return joined(params)


def cuts_of(text: str) -> Iterator[Members]:
    """The text split again: the first value ends at each of the `&`; after it, each name in order is a member."""
    pieces = text.split("&")
    for end in range(1, len(pieces) + 1):
        name, _, value = "&".join(pieces[:end]).partition("=")
        members, last = {name: value}, name
        for piece in pieces[end:]:
            name, equals, value = piece.partition("=")
            if equals and name > last:
                members[name], last = value, name
            else:
                members[last] += f"&{piece}"
        yield members


@settings(deadline=None, max_examples=150)
@given(text=signed_texts(), algorithm=st.sampled_from(BOTH))
def test_no_text_of_a_request_or_a_link_is_accepted_as_a_webhook(text: str, algorithm: SignType) -> None:
    signature = sign(text, algorithm)
    for members in cuts_of(text):
        assert is_signed_for_a_naive_receiver(members, signature, algorithm)
        assert_refused(json.dumps(members).encode(), signature)
    assert_refused(text.encode(), signature)
