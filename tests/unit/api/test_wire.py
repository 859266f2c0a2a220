"""Requests as real clients write them, from bytes to verified values; and everything that must be refused."""

import hashlib
import json
from collections.abc import Mapping
from datetime import timedelta
from pathlib import Path
from typing import Any, Final
from urllib.parse import quote, quote_plus, unquote_to_bytes, urlencode

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from starlette.datastructures import Headers

from tael.api import wire
from tael.api.authenticate import NO_KEY, Verified, check_age, check_reading, read_credentials, verify
from tael.api.wire import MAX_PARAMETERS, Parameters, answer, json_text, read_parameters
from tael.base.errors import NotAuthentic
from tael.base.secret import Secret
from tael.qfpay.errors import BadField, UnreadableMessage
from tael.qfpay.requests import CALL_NAMES
from tael.qfpay.signature import digest, sign_body, sign_members
from tests.support.values import NOW, an_app

VECTORS: Final[dict[str, Any]] = json.loads(
    (Path(__file__).parents[2] / "vectors" / "qfpay.json").read_text("utf-8")
)
KEY: Final = Secret("123456")
SHA256_OF_AN_ANSWER: Final = "15153CC7557FE018C1403D038F20C49271B1A2C462796FA7510D496563FC13EE"
FORM: Final = "application/x-www-form-urlencoded"

#: A payment as the samples make it; the values are those of vectors D, E and F.
PAYMENT: Final = {
    "mchid": "eqqmYMn0Zj6pncw5ZDxjgMqbzV",
    "out_trade_no": "78945580",
    "pay_type": "800201",
    "product_name": "香港測試：78945580",
    "txamt": "10",
    "txdtm": "2017-09-06 14:56:43",
}
ASCII_PAYMENT: Final = PAYMENT | {"product_name": "Test Name"}
WITH_EMPTIES: Final = ASCII_PAYMENT | {"auth_code": "", "sub_openid": "", "valid_time": ""}


def sorted_text(values: Mapping[str, str]) -> str:
    return "&".join(f"{name}={values[name]}" for name in sorted(values))


def signed(text: str | bytes, algorithm: str = "md5") -> str:
    """The signature as a client computes it, without our code."""
    octets = text.encode() if isinstance(text, str) else text
    return hashlib.new(algorithm, octets + b"123456").hexdigest().upper()


def multipart(parts: list[tuple[str, bytes]]) -> tuple[bytes, str]:
    """A body of parts, each given by the rest of its Content-Disposition, and the Content-Type."""
    lines = [
        b"--edge\r\nContent-Disposition: form-data; " + rest.encode() + b"\r\n\r\n" + content + b"\r\n"
        for rest, content in parts
    ]
    return b"".join(lines) + b"--edge--\r\n", "multipart/form-data; boundary=edge"


def received(
    sign: str,
    *,
    query: bytes = b"",
    body: bytes = b"",
    content_type: str = "",
    sign_type: str = "",
    key: Secret | None = KEY,
    sha256_only: bool = False,
) -> Mapping[str, str] | None:
    """The parameters that the gateway reads from a request, or None if it refuses the signature."""
    sent = {"X-Qf-Appcode": "123456", "X-QF-SIGN": sign}
    sent |= {"X-QF-SIGNTYPE": sign_type} if sign_type else {}
    sent |= {"Content-Type": content_type} if content_type else {}
    headers = Headers(sent)
    credentials = read_credentials(headers)
    assert credentials.appcode == "123456"
    parameters = read_parameters(query, headers, body)
    try:
        verified = verify(
            parameters, credentials.sign, credentials.sign_type, () if key is None else (key,), sha256_only
        )
        check_reading(parameters.values, CALL_NAMES["payment"])
    except NotAuthentic:
        return None
    return None if verified is None else verified.values


# ---- clients in the wild -----------------------------------------------------------------------------


def test_python_sample_posts_everything_in_the_query_string_without_a_body() -> None:
    query = urlencode(WITH_EMPTIES).encode()
    assert received(signed(sorted_text(WITH_EMPTIES)), query=query) == WITH_EMPTIES


def test_python_sample_for_official_accounts_signs_appcode_udid_and_place_too() -> None:
    values = PAYMENT | {"appcode": "123456", "udid": "AA", "lnglat": "12.34 56.78"}
    assert received(signed(sorted_text(values)), body=urlencode(values).encode(), content_type=FORM) == values


def test_php_sample_sends_the_signed_text_with_literal_spaces() -> None:
    text = sorted_text(WITH_EMPTIES)
    assert received(signed(text), body=text.encode(), content_type=FORM) == WITH_EMPTIES


def test_php_sample_encodes_a_field_before_it_signs() -> None:
    text = sorted_text(PAYMENT | {"product_name": quote_plus(PAYMENT["product_name"])})
    assert received(signed(text), body=text.encode(), content_type=FORM) == PAYMENT


def test_java_sample_sends_literal_spaces_and_its_own_kind_of_number() -> None:
    values = PAYMENT | {"out_trade_no": "10.564092470071751"}
    text = sorted_text(values)
    assert received(signed(text), body=text.encode(), content_type=FORM) == values


@pytest.mark.parametrize(
    "written", [lambda text: text, lambda text: quote(text, safe="&=", encoding="gb18030")]
)
def test_java_and_csharp_samples_on_a_chinese_windows_send_gb18030_and_sign_utf8(written: Any) -> None:
    text = sorted_text(PAYMENT)
    assert received(signed(text), body=written(text).encode("gb18030"), content_type=FORM) == PAYMENT


def test_csharp_sample_sends_no_content_type() -> None:
    text = sorted_text(PAYMENT)
    assert received(signed(text), body=text.encode()) == PAYMENT


def test_omnipay_sends_decoded_characters_and_its_sign_inside_the_body() -> None:
    vector = next(each for each in VECTORS["requests"] if each["name"] == "H")
    before, after = vector["text"].split("&txamt=")
    body = f"{before}&sign={vector['digest']}&txamt={after}".encode()
    values = received(vector["digest"], body=body, content_type=FORM)
    assert values is not None
    assert values["notify_url"] == "http://m.example/n?a=b+c"
    assert values["return_url"] == "http://m.example/r"
    assert values["txdtm"] == "2018-01-01 10:00:00"
    assert "sign" not in values


def test_omnipay_query_of_the_vector_is_read() -> None:
    vector = next(each for each in VECTORS["requests"] if each["name"] == "G")
    body = f"{vector['text']}&sign={vector['digest']}".encode()
    assert received(vector["digest"], body=body, content_type=FORM) == {
        "mchid": "eqqmYMn0Zj6pncw5ZDxjgMqbzV",
        "respcd": "0000",
    }


def test_go_client_names_its_algorithm_and_spells_headers_its_way() -> None:
    sign = signed(sorted_text(PAYMENT))
    headers = Headers({"X-Qf-Appcode": "123456", "X-Qf-Sign": sign, "X-Qf-Signtype": "MD5"})
    parameters = read_parameters(b"", headers, urlencode(PAYMENT).encode())
    credentials = read_credentials(headers)
    assert verify(parameters, credentials.sign, credentials.sign_type, (KEY,)) == Verified(PAYMENT, KEY)


def test_go_client_sorts_whole_pairs() -> None:
    values = {"other": "x", "other_1": "y", "other1": "z"}
    text = "other1=z&other=x&other_1=y"
    assert received(signed(text), body=urlencode(values).encode(), content_type=FORM) == values


@pytest.mark.parametrize("change_case", [str.lower, str.upper])
def test_postman_encodes_spaces_by_percent_and_writes_lower_case_hex(change_case: Any) -> None:
    body = urlencode(PAYMENT, quote_via=quote).encode()
    assert received(change_case(signed(sorted_text(PAYMENT))), body=body, content_type=FORM) == PAYMENT


def test_magento_plugin_sends_multipart_with_its_sign_among_the_parts() -> None:
    sign = signed(sorted_text(PAYMENT | {"valid_time": ""}))
    values = PAYMENT | {"valid_time": "", "sign": sign}
    body, content_type = multipart([(f'name="{name}"', value.encode()) for name, value in values.items()])
    assert received(sign, body=body, content_type=content_type) == PAYMENT | {"valid_time": ""}


def test_files_of_a_multipart_body_are_not_signed() -> None:
    parts = [
        ('name="mchid"', b"M1"),
        ('name="photo"; filename="a.png"', b"\x89PNG\0\xff"),
        ('name="note"', b""),
    ]
    body, content_type = multipart(parts)
    values = {"mchid": "M1", "note": ""}
    assert received(signed(sorted_text(values)), body=body, content_type=content_type) == values


def test_internal_callers_send_empties_unsigned_and_leave_out_sign_type() -> None:
    values = WITH_EMPTIES | {"sign_type": "MD5"}
    assert received(signed(sorted_text(ASCII_PAYMENT)), body=urlencode(values).encode()) == values


def test_apache_client_puts_its_sign_into_the_body_and_drops_empties_from_the_text() -> None:
    sign = signed(sorted_text(ASCII_PAYMENT))
    body = urlencode(WITH_EMPTIES | {"sign": sign}).encode()
    assert received(sign, body=body, content_type=FORM) == WITH_EMPTIES


@pytest.mark.parametrize("sign_type", ["SHA256", "sha256", ""])
def test_csharp_client_signs_by_sha256(sign_type: str) -> None:
    sign = signed(sorted_text(PAYMENT), "sha256")
    assert received(sign, body=urlencode(PAYMENT).encode(), sign_type=sign_type, sha256_only=True) == PAYMENT


def test_thinkphp_client_uses_get_with_one_parameter() -> None:
    assert received(signed("out_trade_no=T1"), query=b"out_trade_no=T1") == {"out_trade_no": "T1"}


def test_parameters_may_be_spread_over_query_and_body() -> None:
    values = {"a": "1", "b": "2", "c": "3"}
    assert received(signed(sorted_text(values)), query=b"c=3&a=1", body=b"b=2&a=1") == values


def test_the_vector_with_empties_passes_signed_with_and_without_them() -> None:
    by_name = {each["name"]: each for each in VECTORS["requests"]}
    body = by_name["D'"]["text"].encode()
    signed_with = received(by_name["D'"]["digest"], body=body)
    assert signed_with is not None
    assert received(by_name["D"]["digest"], body=body) == signed_with


def test_the_header_decides_over_a_sign_in_the_body() -> None:
    assert received(signed("a=1"), body=b"a=1&sign=nonsense") == {"a": "1"}


def test_a_raw_query_string_may_be_what_was_signed() -> None:
    assert received(signed("b=x+y&a=1"), query=b"b=x+y&a=1") == {"b": "x+y", "a": "1"}


def test_a_raw_text_is_proof_of_itself_only() -> None:
    assert received(signed("b=x+y"), query=b"extra=1", body=b"b=x+y") == {"b": "x+y"}


# ---- refused: not authentic --------------------------------------------------------------------------


@pytest.mark.parametrize("name", sorted(PAYMENT))
def test_one_changed_character_in_a_value_is_refused(name: str) -> None:
    sign = signed(sorted_text(PAYMENT))
    changed = PAYMENT | {name: PAYMENT[name][:-1] + chr(ord(PAYMENT[name][-1]) ^ 1)}
    for body in (
        urlencode(changed).encode(),
        sorted_text(changed).encode(),
        sorted_text(changed).encode("gb18030"),
    ):
        assert received(sign, body=body) is None


@pytest.mark.parametrize("index", range(32))
def test_one_changed_digit_of_the_signature_is_refused(index: int) -> None:
    sign = signed(sorted_text(PAYMENT))
    digit = "0" if sign[index] != "0" else "1"
    assert received(sign[:index] + digit + sign[index + 1 :], body=urlencode(PAYMENT).encode()) is None


@pytest.mark.parametrize("change", [{"txcurrcd": "HKD"}, {"txamt": "11"}])
def test_an_added_or_changed_parameter_is_refused(change: dict[str, str]) -> None:
    assert received(signed(sorted_text(PAYMENT)), body=urlencode(PAYMENT | change).encode()) is None


@pytest.mark.parametrize("sign", ["", "123456", "店", "0" * 32, "0" * 64])
def test_an_invalid_signature_is_refused(sign: str) -> None:
    parameters = Parameters(PAYMENT, (), "utf-8")
    assert verify(parameters, sign, "", (KEY,)) is None


def test_an_unknown_app_is_refused_even_under_the_placeholder_key() -> None:
    text = sorted_text(PAYMENT).encode()
    for key in ("", "0" * 32, "123456"):
        sign = hashlib.md5(text + key.encode(), usedforsecurity=False).hexdigest()
        assert received(sign, body=urlencode(PAYMENT).encode(), key=None) is None


@pytest.mark.parametrize("sign_type", ["HMAC-MD5", "SHA1", "SHA256"])
def test_another_algorithm_than_named_is_refused(sign_type: str) -> None:
    assert received(signed("a=1"), body=b"a=1", sign_type=sign_type) is None


def test_md5_is_refused_where_sha256_is_demanded() -> None:
    assert received(signed("a=1"), body=b"a=1", sha256_only=True) is None
    assert received(signed("a=1"), body=b"a=1", sign_type="MD5", sha256_only=True) is None


@pytest.mark.parametrize("name", ["respmsg", "respmesg", "paysource"])
@pytest.mark.parametrize("value", ["", "x"])
def test_a_webhook_or_a_checkout_link_is_no_request(name: str, value: str) -> None:
    values = ASCII_PAYMENT | {name: value}
    text = sorted_text(values)
    assert received(signed(text), body=urlencode(values).encode()) is None
    assert received(signed(text), body=text.encode()) is None


def test_a_webhook_cut_at_other_places_is_no_request() -> None:
    for vector in VECTORS["old_webhooks"]:
        members: dict[str, str] = vector["members"]
        hidden = {
            "respcd": "0000" + "".join(f"&{name}=" for name in ("respmesg", "respmsg") if name in members)
        }
        values = {name: value for name, value in members.items() if not name.startswith("respm")} | hidden
        assert sorted_text(values) == sorted_text(members)
        assert received(sign_members(members, KEY), body=urlencode(values).encode()) is None


def test_a_text_that_holds_two_values_only_undecoded_is_refused() -> None:
    text = "a=x+!&a=x%20!"  # the same when decoded; but it was signed as it stands
    assert received(signed(text), body=text.encode()) is None


@pytest.mark.parametrize("txdtm", ["0001-01-01 00:00:00", "1970-01-01 00:00:00", "9999-12-31 23:59:59"])
def test_a_time_at_the_end_of_the_calendar_is_too_far_from_now(txdtm: str) -> None:
    for age_s in (1, 2_000_000_000):
        app = an_app(max_request_age_s=age_s)
        with pytest.raises(NotAuthentic):
            check_age({"txdtm": txdtm}, app, NOW + timedelta(days=36_500))


# ---- refused: unreadable, or ambiguous ---------------------------------------------------------------


def read(query: bytes = b"", body: bytes = b"", content_type: str = FORM) -> Parameters:
    return read_parameters(query, Headers({"Content-Type": content_type}), body)


@pytest.mark.parametrize("body", [b"a=1&a=2", b"a=&a=1", b"%61=1&a=2"])
def test_one_name_with_two_values_is_refused_by_name(body: bytes) -> None:
    with pytest.raises(BadField) as refused:
        read(body=body)
    assert refused.value.field == "a"
    assert refused.value.english == "a was sent twice, with different values"


def test_one_name_with_two_values_in_query_and_body_is_refused() -> None:
    with pytest.raises(BadField):
        read(query=b"a=1", body=b"a=2")


def test_one_name_with_one_value_twice_counts_once() -> None:
    assert read(query=b"a=1+2", body=b"a=1%202&a=1 2").values == {"a": "1 2"}


@pytest.mark.parametrize(
    "body",
    [
        b'{"txamt": "10"}',
        b'\r\n {"txamt": "10"}',
        b"[1]",
        b'%7B"a": "b"%7D',
        b'sign=AB&{"a": "b=c"}',
        b"a=1\x00",
        b"a=%00",
        b"\x00\x01\x02",
        b"a=\xff",
        b"a=%FF%FF",
    ],
)
@pytest.mark.parametrize("content_type", [FORM, "application/json", "text/plain", ""])
def test_json_and_binary_rubbish_are_unreadable(body: bytes, content_type: str) -> None:
    with pytest.raises(UnreadableMessage):
        read(body=body, content_type=content_type)


def test_a_scanner_may_end_a_code_with_nul() -> None:
    values = ASCII_PAYMENT | {"pay_type": "800208", "auth_code": "134567890123456789\0"}
    assert received(signed(sorted_text(values)), body=urlencode(values).encode()) == values
    with pytest.raises(UnreadableMessage):
        read(body=b"auth_code%00=1")


def test_json_in_the_query_string_is_unreadable() -> None:
    with pytest.raises(UnreadableMessage):
        read(query=b'{"a": "b=c"}')


@pytest.mark.parametrize(
    ("body", "content_type"),
    [
        (b"--edge\r\n", "multipart/form-data; boundary=edge"),
        (b"a=1", "multipart/form-data; boundary=edge"),
        (b"--edge--", "multipart/form-data"),
        (b"--edge--", "multipart/form-data; boundary=" + "e" * 1000),
        (multipart([('filling="a"', b"1")])[0], "multipart/form-data; boundary=edge"),
        (multipart([('name="a"', b"\xff")])[0], "multipart/form-data; boundary=edge"),
        (multipart([('name="a"', b"1")])[0][:-4], "multipart/form-data; boundary=edge"),
    ],
)
def test_a_broken_multipart_body_is_unreadable(body: bytes, content_type: str) -> None:
    with pytest.raises(UnreadableMessage):
        read(body=body, content_type=content_type)


def test_the_number_of_parameters_and_the_length_of_names_are_limited() -> None:
    assert len(read(body=b"&".join(b"a%d=" % n for n in range(MAX_PARAMETERS))).values) == MAX_PARAMETERS
    with pytest.raises(UnreadableMessage):
        read(body=b"&".join(b"a%d=" % n for n in range(MAX_PARAMETERS + 1)))
    with pytest.raises(UnreadableMessage):
        read(body=b"a" * 70_000 + b"=1")


@pytest.mark.parametrize("content_type", [FORM, "multipart/form-data; boundary=edge"])
def test_parameters_are_counted_before_they_are_decoded(
    content_type: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def decode(_: bytes) -> bytes:
        raise AssertionError("it was decoded")

    monkeypatch.setattr(wire, "unquoted", decode)
    part = b'--edge\r\nContent-Disposition: form-data; name="a"\r\n\r\n%\r\n'
    body = b"%=%&" * 201 if content_type == FORM else part * 201 + b"--edge--"
    with pytest.raises(UnreadableMessage, match="more than 200 parameters"):
        read(body=body, content_type=content_type)


@given(st.lists(st.sampled_from([b"%", b"%4", b"%41", b"%zz", b"+", b"a", b"\xff", b"%%", b"%E8%8C%B6"])))
def test_text_is_decoded_as_the_standard_library_decodes_it(parts: list[bytes]) -> None:
    text = b"".join(parts)
    assert wire.unquoted(text) == unquote_to_bytes(text.replace(b"+", b" "))


@pytest.mark.parametrize(
    ("body", "values"), [(b"", {}), (b"&&a=1&", {"a": "1"}), (b"a", {"a": ""}), (b"=1", {"": "1"})]
)
def test_an_odd_but_readable_body_is_read(body: bytes, values: dict[str, str]) -> None:
    assert read(body=body).values == values


@given(
    st.binary(max_size=200),
    st.binary(max_size=200),
    st.sampled_from([FORM, "multipart/form-data; boundary=a", ""]),
)
def test_any_bytes_are_read_or_refused(query: bytes, body: bytes, content_type: str) -> None:
    try:
        parameters = read(query, body, content_type)
    except (UnreadableMessage, BadField):
        return
    assert verify(parameters, "0" * 32, "", (KEY,)) is None


def test_the_key_that_is_tried_for_an_unknown_app_signs_nothing() -> None:
    parameters = read(b"", urlencode(PAYMENT).encode(), FORM)
    sign = digest(sorted_text(PAYMENT).encode(), NO_KEY, "MD5")
    assert verify(parameters, sign, "", ()) is None
    assert verify(parameters, sign, "", (KEY,)) is None


@pytest.mark.parametrize("place", [0, 1])
def test_either_of_two_keys_signs_and_is_named(place: int) -> None:
    keys = (KEY, Secret("another key of the app"))
    parameters = read(b"", urlencode(PAYMENT).encode(), FORM)
    sign = digest(sorted_text(PAYMENT).encode(), keys[place], "MD5")
    assert verify(parameters, sign, "", keys) == Verified(PAYMENT, keys[place])


NAMES: Final = st.text(st.characters(codec="utf-8", exclude_characters="\0"), min_size=1, max_size=8).filter(
    lambda name: not name.lstrip().startswith(("{", "[")) and name != "sign"
)
VALUES: Final = st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=12)


@given(st.dictionaries(NAMES, VALUES, max_size=6))
def test_every_correctly_signed_and_encoded_request_is_read(values: dict[str, str]) -> None:
    # Parameters of webhooks, links and other calls are refused, which other tests check.
    others = CALL_NAMES["payment"].unwanted
    assume(not any(f"&{name}=" in f"&{sorted_text(values)}" for name in others))
    assert received(signed(sorted_text(values)), body=urlencode(values).encode(), content_type=FORM) == values


# ---- responses ---------------------------------------------------------------------------------------


def test_a_response_is_written_and_signed_as_documented() -> None:
    vector = VECTORS["answer"]
    response = answer(json.loads(vector["body"]), an_app(key=Secret(vector["key"])))
    assert response.status_code == 200
    assert bytes(response.body) == vector["body"].encode()
    assert dict(response.headers) == {
        "content-type": "application/json; charset=UTF-8",
        "content-length": "302",
        "x-powered-by": "QF/1.1",
        "x-qf-sign": vector["sign"],
    }


def test_a_response_is_signed_with_sha256_if_the_app_is_set_so() -> None:
    response = answer({"respcd": "0000"}, an_app(key=Secret("123456"), sha256_responses=True))
    # printf '%s' '{"respcd": "0000"}123456' | sha256sum
    assert response.headers["x-qf-sign"] == SHA256_OF_AN_ANSWER


def test_a_response_before_verification_is_not_signed() -> None:
    response = answer({"respcd": "1108"}, None, status=404)
    assert response.status_code == 404
    assert "x-qf-sign" not in response.headers


def test_responses_are_ascii_with_lower_case_escapes() -> None:
    assert json_text({"resperr": "交易", "page": 1, "data": []}) == (
        b'{"resperr": "\\u4ea4\\u6613", "page": 1, "data": []}'
    )


@pytest.mark.parametrize("place", ["query", "body", "encoded body", "behind a sign", "multipart"])
def test_a_response_of_ours_is_no_request(place: str) -> None:
    body = json_text({"respcd": "0000", "pay_url": "https://pay.example/?a=b&txamt=1&x=y", "resperr": ""})
    sign = sign_body(body, KEY)
    name, _, value = body.partition(b"=")
    parts, parts_type = multipart([(f'name="{name.decode().replace(chr(34), chr(92) + chr(34))}"', value)])
    sent = {
        "query": {"query": body},
        "body": {"body": body},
        "encoded body": {"body": quote(body, safe="=").encode()},
        "behind a sign": {"body": b"sign=" + sign.encode() + b"&" + body},
        "multipart": {"body": parts},
    }[place]
    with pytest.raises(UnreadableMessage):
        received(sign, **sent, content_type=parts_type if place == "multipart" else FORM)  # type: ignore[arg-type]
