"""Bad input: each mistake has its code and names its field, unauthenticated calls get no signature, none is a 500."""

import itertools
import json
import os
from collections.abc import Iterator
from urllib.parse import urlencode

import pytest

from tests.end_to_end.merchant import CALLS, FORM, Merchant, digest, new_reference, send
from tests.end_to_end.rig import Demo
from tests.support.http_calls import Answer

BAD_NUMBERS = ["a b", "a,b", "a&b", "a=b", "a%b", "a+b", "a'b", 'a"b', "a\\b", "茶", "x" * 129, "a\n"]
BAD_AMOUNTS = ["0", "-1", "01", "1.0", "1e3", "100000000000", "x", " 1", "１０"]
BAD_TIMES = ["2026-02-30 00:00:00", "2026-01-01", "2026-01-01T00:00:00", "26-01-01 00:00:00", "x", "１" * 19]
GOOD_LOOKING = "20170609090199003388"


def well_formed(shop: Merchant, call: str) -> dict[str, str]:
    """Valid parameters, of which a test spoils one."""
    number = {"syssn": "2" * 24}
    own = {"out_trade_no": new_reference()}
    given: dict[str, dict[str, str]] = {
        "payment": shop.payment_params("800201"),
        "close": number,
        "refund": number | own | {"txamt": "1"},
        "reversal": number,
        "query": number,
    }
    return shop.params(call, dict(given[call]))


def refused(answer: Answer, respcd: str, field: str = "") -> Answer:
    assert answer.respcd == respcd, answer.members
    assert field in answer["respmsg"], answer.members
    assert "syssn" not in answer.members
    return answer


def unsigned(answer: Answer, respcd: str, status: int = 200) -> None:
    """A refusal before authentication, which is not signed."""
    assert (answer.status, answer.respcd) == (status, respcd), answer
    assert answer.sign is None
    assert set(answer.members) <= {"respcd", "resperr", "respmsg", "out_trade_no"}


# ---- fields ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("call", "field"),
    [
        *(("payment", field) for field in ("pay_type", "out_trade_no", "txdtm", "txamt")),
        *(("refund", field) for field in ("syssn", "out_trade_no", "txamt")),
        ("close", "syssn"),
        *(("reversal", field) for field in ("syssn", "txdtm", "txamt")),
    ],
)
@pytest.mark.parametrize("is_empty", [True, False])
def test_a_missing_field_is_named_in_the_text_that_clients_match(
    shop: Merchant, call: str, field: str, is_empty: bool
) -> None:
    params = well_formed(shop, call)
    given: dict[str, str | None] = {**params, field: "" if is_empty else None}

    answer = refused(shop.call(call, **given), "1104")
    assert answer["respmsg"] == f"必传参数: {field}"
    if call in ("payment", "refund"):
        assert answer["resperr"] == "交易失败，请联系客服(1104)"
    expected = params["out_trade_no"] if field != "out_trade_no" and "out_trade_no" in params else None
    assert answer.members.get("out_trade_no") == expected


@pytest.mark.parametrize(
    ("pay_type", "field"),
    [("800108", "auth_code"), ("800208", "auth_code"), ("800228", "auth_code"), ("800207", "sub_openid")],
)
def test_a_field_of_only_some_pay_types_is_named_too(shop: Merchant, pay_type: str, field: str) -> None:
    for value in ("", None):
        params: dict[str, str | None] = {**shop.payment_params(pay_type), field: value}
        answer = refused(shop.call("payment", **params), "1104")
        assert answer["respmsg"] == f"必传参数: {field}"
        assert answer["out_trade_no"] == params["out_trade_no"]


def malformed() -> Iterator[tuple[str, str, str]]:
    yield from (("payment", "out_trade_no", value) for value in BAD_NUMBERS)
    yield from (("payment", "txamt", value) for value in BAD_AMOUNTS)
    yield from (("payment", "txdtm", value) for value in BAD_TIMES)
    yield from (("payment", "pay_type", value) for value in ("80020", "8002011", "abcdef", "８００２０１"))
    yield from (
        ("payment", "valid_time", value) for value in ("299", "-1", "x", "300.0", "2592001", "9" * 12)
    )
    yield from (("payment", "expired_time", value) for value in ("4", "121", "x"))
    yield from (("payment", "udid", value) for value in ("x" * 41, "terminal&lnglat=1"))
    yield from (("refund", "out_trade_no", value) for value in BAD_NUMBERS[:3])
    yield from (("refund", "txamt", value) for value in BAD_AMOUNTS[:3])
    yield from (("refund", "txdtm", value) for value in BAD_TIMES[:2])
    yield from ((call, "syssn", "x") for call in ("refund", "close", "reversal", "query"))
    yield from (("close", "out_trade_no", value) for value in BAD_NUMBERS[:2])
    yield from (("reversal", "out_trade_no", value) for value in BAD_NUMBERS[:2])
    yield from (("reversal", "txamt", value) for value in BAD_AMOUNTS[:3])
    yield from (("reversal", "txdtm", value) for value in BAD_TIMES[:2])
    yield from (("query", "start_time", value) for value in BAD_TIMES)
    yield from (("query", "end_time", value) for value in BAD_TIMES[:2])
    yield from (("query", "start_time", value) for value in ("0001-01-01 00:00:00", "1969-12-31 23:59:59"))
    yield from (("query", "end_time", value) for value in ("3000-01-01 00:00:00", "9999-12-31 23:59:59"))
    yield from (("query", "respcd", value) for value in ("0", "abcd"))
    yield from (("query", "out_trade_no", value) for value in ("a b", "a=b"))
    yield from (("query", "pay_type", "x"),)


@pytest.mark.parametrize(("call", "field", "value"), list(malformed()))
def test_a_malformed_field_is_named(shop: Merchant, call: str, field: str, value: str) -> None:
    answer = refused(shop.call(call, **{**well_formed(shop, call), field: value}), "1104", field)

    assert value not in answer["respmsg"] or len(value) <= 2
    if field == "out_trade_no":
        assert "out_trade_no" not in answer.members


@pytest.mark.parametrize(
    "reference", ["10.564092470071751", "uuid--session--method", "a_b|c*d", "x" * 128, "~!@#$^()[]{}:;<>?/"]
)
def test_odd_but_valid_references_pass(shop: Merchant, reference: str) -> None:
    unique = (new_reference() + reference)[:128]
    answer = shop.open("800201", out_trade_no=unique)

    assert (answer.respcd, answer["out_trade_no"]) == ("0000", unique)


def test_old_and_early_hours_of_clients_pass(shop: Merchant) -> None:
    for txdtm in ("1999-12-31 23:59:59", "2099-01-01 00:00:00"):
        answer = shop.open("800201", txdtm=txdtm)
        assert (answer.respcd, answer["txdtm"]) == ("0000", txdtm)


def test_another_currency_is_refused_and_the_merchants_own_is_not(shop: Merchant) -> None:
    refused(shop.open("800201", txcurrcd="USD"), "1122")
    assert shop.open("800201", txcurrcd="HKD").respcd == "0000"


@pytest.mark.parametrize("pay_type", ["805801", "999999", "800107"])
def test_a_pay_type_without_an_account_is_a_filter_error(shop: Merchant, pay_type: str) -> None:
    reference = new_reference()
    answer = shop.open(pay_type, out_trade_no=reference)

    assert answer.members == {
        "resperr": "获取用户支付通道失败",
        "respcd": "1104",
        "respmsg": "filter_error",
        "out_trade_no": reference,
    }


# ---- authentication ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("call", CALLS)
def test_a_wrong_signature_is_1108_and_unsigned(shop: Merchant, call: str) -> None:
    params = well_formed(shop, call)
    body = urlencode(params).encode()
    right = shop.sign(params)
    wrong = [
        "0" * 32,
        "",
        right[:-1],
        right + "0",
        digest(b"another text"),
        right[:-1] + ("0" if right[-1] != "0" else "1"),
        "é" * 32,
        "x" * 5000,
    ]
    for sign in wrong:
        encoded = sign.encode().decode("latin-1")
        unsigned(send(shop.demo.gateway, "POST", f"/trade/v1/{call}", body, shop.headers(encoded)), "1108")
    for header in ("X-QF-SIGN", "X-QF-APPCODE"):
        rest = [pair for pair in shop.headers(right) if pair[0] != header]
        unsigned(send(shop.demo.gateway, "POST", f"/trade/v1/{call}", body, rest), "1108")


@pytest.mark.parametrize("call", CALLS)
def test_one_changed_value_breaks_the_signature(shop: Merchant, call: str) -> None:
    params = well_formed(shop, call)
    headers = shop.headers(shop.sign(params))

    for name in params:
        changed = urlencode({**params, name: params[name] + "1"}).encode()
        unsigned(send(shop.demo.gateway, "POST", f"/trade/v1/{call}", changed, headers), "1108")
    more = urlencode({**params, "zzz": "1"}).encode()
    unsigned(send(shop.demo.gateway, "POST", f"/trade/v1/{call}", more, headers), "1108")


def test_an_unknown_appcode_another_key_and_another_mchid_are_1108(
    shop: Merchant, wechat_only: Merchant, chain: Merchant
) -> None:
    params = well_formed(shop, "query")
    body = urlencode(params).encode()
    sign = shop.sign(params)
    for appcode in ("unknown", "", "123457", wechat_only.appcode):
        headers = [("X-QF-APPCODE", appcode), ("X-QF-SIGN", sign)]
        unsigned(send(shop.demo.gateway, "POST", "/trade/v1/query", body, headers), "1108")
    for mchid in (wechat_only.mchid, chain.mchid, "unknown", shop.mchid.lower()):
        unsigned(shop.post("query", mchid=mchid), "1108")
        unsigned(shop.post("payment", **shop.payment_params("800201", mchid=mchid)), "1108")


def test_unknown_signature_types_and_homemade_algorithms_are_refused(shop: Merchant) -> None:
    params = well_formed(shop, "query")
    body = urlencode(params).encode()
    for kind in ("HMAC-MD5", "SHA1", "SHA256"):
        headers = [*shop.headers(shop.sign(params)), ("X-QF-SIGNTYPE", kind)]
        unsigned(send(shop.demo.gateway, "POST", "/trade/v1/query", body, headers), "1108")


def test_an_app_for_sha256_only_refuses_md5(chain: Merchant) -> None:
    params = well_formed(chain, "query")
    text = "&".join(f"{name}={params[name]}" for name in sorted(params)) + chain.key
    body = urlencode(params).encode()
    for kind in ((), (("X-QF-SIGNTYPE", "MD5"),)):
        headers = [("X-QF-APPCODE", chain.appcode), ("X-QF-SIGN", digest(text.encode())), *kind]
        unsigned(send(chain.demo.gateway, "POST", "/trade/v1/query", body, headers), "1108")
    assert chain.call("query", **params).respcd == "0000"
    no_type = [("X-QF-APPCODE", chain.appcode), ("X-QF-SIGN", chain.sign(params))]
    assert send(chain.demo.gateway, "POST", "/trade/v1/query", body, no_type).respcd == "0000"


def test_an_app_with_two_merchants_must_name_one(chain: Merchant, shop: Merchant) -> None:
    for call in CALLS:
        for mchid in (None, ""):
            answer = chain.post(call, **{**well_formed(chain, call), "mchid": mchid})
            assert (answer.respcd, answer["respmsg"]) == ("1104", "必传参数: mchid")
    assert shop.call("query", mchid=None, syssn="2" * 24).respcd == "0000"
    assert shop.call("query", mchid="", syssn="2" * 24).respcd == "0000"
    assert shop.call("query", mchid=None, Mchid=shop.mchid, syssn="2" * 24).respcd == "0000"


# ---- the message -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("call", CALLS)
def test_a_name_with_two_values_is_refused_before_the_signature_is_looked_at(
    shop: Merchant, call: str
) -> None:
    params = well_formed(shop, call)
    headers = shop.headers(shop.sign(params))
    target = f"/trade/v1/{call}"
    twice = urlencode([*params.items(), ("mchid", "other")]).encode()
    unsigned(send(shop.demo.gateway, "POST", target, twice, headers), "1104")
    elsewhere = urlencode(params).encode()
    answer = send(shop.demo.gateway, "POST", f"{target}?mchid=other", elsewhere, headers)
    unsigned(answer, "1104")
    assert "mchid" in answer["respmsg"]


def test_a_name_with_one_value_twice_counts_once(shop: Merchant) -> None:
    params = well_formed(shop, "query")
    body = urlencode([*params.items(), *params.items()]).encode()
    headers = shop.headers(shop.sign(params))

    shop.proven(send(shop.demo.gateway, "POST", f"/trade/v1/query?{urlencode(params)}", body, headers))


@pytest.mark.parametrize("call", CALLS)
@pytest.mark.parametrize(
    "body",
    [b'{"mchid": "1"}', b"[1]", b"  \n{", b'{"a": "b"}=&x=1', b"%7B%22a%22%3A1%7D=1", b"a=%00", b"\x00"],
)
def test_json_and_nul_are_unreadable(shop: Merchant, call: str, body: bytes) -> None:
    for kind in ("application/json", FORM, None):
        headers = shop.headers(digest(body + shop.key.encode()), kind)
        answer = send(shop.demo.gateway, "POST", f"/trade/v1/{call}", body, headers)
        unsigned(answer, "1103")


@pytest.mark.parametrize("call", CALLS)
def test_binary_rubbish_gets_a_response_and_never_a_server_error(shop: Merchant, call: str) -> None:
    kinds: list[str | None] = [
        FORM,
        None,
        "multipart/form-data",
        "multipart/form-data; boundary=x",
        "multipart/form-data; boundary=",
        "application/octet-stream",
        "text/plain; charset=utf-16",
        ";;;",
    ]
    bodies = [
        os.urandom(300),
        os.urandom(3000),
        b"\xff\xfe\x00",
        b"--x\r\n",
        b"&&&===&",
        b"%",
        b"%zz=%",
        b"--x--",
    ]
    for kind, body in itertools.product(kinds, bodies):
        answer = send(shop.demo.gateway, "POST", f"/trade/v1/{call}", body, shop.headers("0" * 32, kind))
        assert answer.status == 200
        assert answer.respcd in ("1103", "1104", "1108")
        assert answer.sign is None


def test_an_empty_request_is_1108(demo: Demo) -> None:
    for call in CALLS:
        unsigned(send(demo.gateway, "POST", f"/trade/v1/{call}"), "1108")


@pytest.mark.parametrize("call", CALLS)
@pytest.mark.parametrize("size", [98_305, 2_000_000])
def test_a_body_that_is_too_long_is_413_and_readable(shop: Merchant, call: str, size: int) -> None:
    answer = send(shop.demo.gateway, "POST", f"/trade/v1/{call}", b"%" * size, shop.headers("0" * 32))

    unsigned(answer, "1103", status=413)
    assert answer.headers["content-type"].startswith("application/json")


def test_a_body_of_just_the_limit_is_read(shop: Merchant) -> None:
    params = well_formed(shop, "query")
    params["goods_info"] = "x" * (98_304 - len(urlencode({**params, "goods_info": ""})))
    body = urlencode(params).encode()

    answer = send(shop.demo.gateway, "POST", "/trade/v1/query", body, shop.headers(shop.sign(params)))
    assert answer.respcd == "0000"


def test_thousands_of_parameters_are_unreadable(shop: Merchant) -> None:
    body = "&".join(f"a{number}=1" for number in range(5000)).encode()

    unsigned(send(shop.demo.gateway, "POST", "/trade/v1/query", body, shop.headers("0" * 32)), "1103")


@pytest.mark.parametrize(
    ("method", "target"),
    [
        *((method, f"/trade/v1/{call}") for method in ("PUT", "DELETE", "PATCH") for call in CALLS),
        *(("GET", f"/trade/v1/{call}") for call in CALLS if call != "query"),
    ],
)
def test_a_wrong_method_is_405_in_json(shop: Merchant, method: str, target: str) -> None:
    params = well_formed(shop, "payment")
    answer = send(
        shop.demo.gateway, method, f"{target}?{urlencode(params)}", headers=shop.headers(shop.sign(params))
    )

    unsigned(answer, "1103", status=405)
    assert shop.rows(out_trade_no=params["out_trade_no"]) == []


@pytest.mark.parametrize("method", ["GET", "POST"])
@pytest.mark.parametrize(
    "target",
    [
        "/",
        "/trade/v1/",
        "/trade/v1/payment/",
        "/trade/v1/pay",
        "/trade/v2/query",
        "/%00",
        "/trade/v1/query/x",
    ],
)
def test_an_unknown_path_is_404_in_json(demo: Demo, method: str, target: str) -> None:
    unsigned(send(demo.gateway, method, target), "1103", status=404)


@pytest.mark.parametrize("target", ["//trade/v1/query", "/trade//v1///query", "/trade/v1/%2fquery"])
def test_slashes_inside_a_path_are_merged(shop: Merchant, target: str) -> None:
    params = well_formed(shop, "query")
    body = urlencode(params).encode()

    answer = send(shop.demo.gateway, "POST", target, body, shop.headers(shop.sign(params)))
    assert (answer.status, answer.respcd) == (200, "0000")


@pytest.mark.parametrize(
    ("method", "target"),
    [
        *(("GET", f"/cashier/{target}") for target in ("pay/%00/1/x", "wechat/m/%00/x")),
        *(("GET", f"/checkstand/{target}") for target in ("%00/x", "m/%00", "m/%00/left", "m/%00/failed")),
        *(("POST", f"/checkstand/m/{target}") for target in ("%00/leave", "%00/by/alipay")),
    ],
)
def test_a_nul_in_a_page_s_address_is_404(demo: Demo, method: str, target: str) -> None:
    page = send(demo.gateway, method, target)

    assert page.status == 404
    assert b"Payment not found" in page.body


@pytest.mark.parametrize(("wallet", "refused"), [("alipay", b"fail"), ("wechat", b"NOT ACCEPTED")])
def test_a_notice_to_a_number_with_nul_is_refused(demo: Demo, wallet: str, refused: bytes) -> None:
    answer = send(demo.gateway, "POST", f"/notices/{wallet}/%00", b"a=b")

    assert answer.status == 200
    assert refused in answer.body


def test_rubbish_in_the_query_string_gets_a_response(demo: Demo, shop: Merchant) -> None:
    for query in ("%ff%fe", "a=%", "=&=&", "{%22a%22:1}", "a=1&a=2", "x" * 4000, "a=%00"):
        for call, method in (("query", "GET"), ("payment", "POST")):
            answer = send(
                demo.gateway, method, f"/trade/v1/{call}?{query}", headers=shop.headers("0" * 32, None)
            )
            assert answer.status == 200
            assert answer.respcd in ("1103", "1104", "1108")
            assert answer.sign is None


# ---- our own responses, sent back to us --------------------------------------------------------------------


def kinds_of_answers(shop: Merchant) -> list[Answer]:
    """One response of every kind, with attacker-chosen text where a response repeats any."""
    chosen = "mchid|" + new_reference()
    paid = shop.paid("800208")
    return [
        shop.open("800201"),
        paid,
        shop.open("800208", "insufficient", out_trade_no=chosen),
        shop.open("805801", out_trade_no=new_reference()),
        shop.call("payment", **shop.payment_params("800201", txamt="0")),
        shop.call("payment", **shop.payment_params("800201", out_trade_no="a&b=c")),
        shop.open("800201", txcurrcd="USD"),
        shop.open("800208", out_trade_no=paid["out_trade_no"]),
        shop.call("close", syssn=paid["syssn"]),
        shop.call("close", out_trade_no="&other=x"),
        shop.call("close", out_trade_no=new_reference()),
        shop.call("reversal", syssn=paid["syssn"], txamt="7"),
        shop.refund(paid, "5000"),
        shop.refund(paid, "1"),
        shop.call("query", syssn=paid["syssn"]),
        shop.call("query", page="0"),
        shop.post("query", mchid="another"),
        send(shop.demo.gateway, "POST", "/trade/v1/pay"),
        send(shop.demo.gateway, "GET", "/trade/v1/payment"),
    ]


def test_none_of_our_responses_is_a_request(shop: Merchant) -> None:
    for answer in kinds_of_answers(shop):
        sign = answer.sign or "0" * 32
        text = answer.body.decode()
        form = urlencode({name: str(value) for name, value in answer.members.items()}).encode()
        for call in CALLS:
            target = f"/trade/v1/{call}"
            replies = [
                *(
                    send(shop.demo.gateway, "POST", target, body, shop.headers(sign, kind))
                    for kind in (FORM, None, "application/json", "multipart/form-data; boundary=x")
                    for body in (answer.body, form)
                ),
                send(
                    shop.demo.gateway,
                    "POST",
                    f"{target}?{urlencode({'': text})[1:]}",
                    headers=shop.headers(sign, None),
                ),
                send(
                    shop.demo.gateway,
                    "POST",
                    f"{target}?{urlencode({text: ''})}",
                    headers=shop.headers(sign, None),
                ),
            ]
            for reply in replies:
                assert reply.respcd in ("1103", "1108", "1104"), (answer.members, reply.members)
                assert reply.sign is None


@pytest.mark.parametrize("name", ["respmsg", "respmesg", "paysource"])
@pytest.mark.parametrize("call", CALLS)
def test_parameters_signed_for_another_purpose_are_no_request(shop: Merchant, call: str, name: str) -> None:
    params = {**well_formed(shop, call), name: ""}

    unsigned(shop.post(call, **params), "1108")


def test_a_response_repeats_only_well_formed_references(shop: Merchant) -> None:
    marker = "zQ" + new_reference()
    for call in CALLS:
        for field in ("txamt", "txdtm", "pay_type", "syssn", "valid_time", "start_time", "page"):
            answer = shop.post(call, **{**well_formed(shop, call), field: f"<{marker}>"})
            assert marker not in json.dumps(answer.members), (call, field)
