"""How real clients encode a request: each form, of a query or a payment, must be accepted."""

import hashlib
import hmac
import json
from datetime import UTC, datetime
from urllib.parse import parse_qs, quote, quote_plus, urlencode, urlsplit

import pytest

from tests.end_to_end.merchant import FORM, Merchant, digest, new_reference, send, signed_text
from tests.support.http_calls import Answer

SHOP_FIELDS = {"txdtm": "2016-08-01 11:07:22", "txamt": "10", "pay_type": "800201"}


@pytest.fixture
def params(shop: Merchant) -> dict[str, str]:
    """A payment in the order a client happens to write it, unsorted."""
    return {**SHOP_FIELDS, "out_trade_no": new_reference(), "mchid": shop.mchid, "product_name": "Test Name"}


def pay(
    shop: Merchant,
    body: bytes,
    sign: str,
    content_type: str | None = FORM,
    query: str = "",
    more: tuple[tuple[str, str], ...] = (),
    method: str = "POST",
    call: str = "payment",
) -> Answer:
    headers = [*shop.headers(sign, content_type), *more]
    return send(shop.demo.gateway, method, f"/trade/v1/{call}{query}", body, headers)


def accepted(shop: Merchant, answer: Answer, reference: str, product_name: str = "Test Name") -> None:
    """The payment was opened with the client's values."""
    assert answer.respcd == "0000", answer.members
    shop.proven(answer)
    assert (answer["out_trade_no"], answer["txdtm"]) == (reference, SHOP_FIELDS["txdtm"])
    assert shop.demo.scan(answer["qrcode"])["subject"] == product_name


def test_everything_in_the_query_string_of_a_post(shop: Merchant, params: dict[str, str]) -> None:
    sign = shop.sign(params)

    accepted(shop, pay(shop, b"", sign, None, f"?{urlencode(params)}"), params["out_trade_no"])


def test_an_unsorted_form_with_empties_sent_and_signed(shop: Merchant, params: dict[str, str]) -> None:
    params |= {"auth_code": "", "sub_openid": "", "valid_time": "", "udid": "qiantai2", "lnglat": "1.2 3.4"}

    accepted(shop, pay(shop, urlencode(params).encode(), shop.sign(params)), params["out_trade_no"])


def test_empties_sent_and_not_signed(shop: Merchant, params: dict[str, str]) -> None:
    sent = params | {"auth_code": "", "valid_time": ""}

    accepted(shop, pay(shop, urlencode(sent).encode(), shop.sign(params)), params["out_trade_no"])


def test_sign_type_sent_and_not_signed(shop: Merchant, params: dict[str, str]) -> None:
    sign = shop.sign(params)
    sent = params | {"sign_type": "MD5", "sign": sign}

    accepted(shop, pay(shop, urlencode(sent).encode(), sign), params["out_trade_no"])


@pytest.mark.parametrize("content_type", [FORM, None, "text/plain"])
def test_a_literal_body_with_blanks_sorted_and_signed_as_it_stands(
    shop: Merchant, params: dict[str, str], content_type: str | None
) -> None:
    text = signed_text(params)
    sign = digest((text + shop.key).encode())

    answer = pay(shop, text.encode(), sign, content_type, more=(("Accept-Charset", "utf-8"),))
    accepted(shop, answer, params["out_trade_no"])


def test_a_php_client_that_encodes_each_field_and_signs_the_body_text(
    shop: Merchant, params: dict[str, str]
) -> None:
    encoded = params | {"product_name": quote_plus("香港 測試：1")}
    text = signed_text(encoded)

    answer = pay(shop, text.encode(), digest((text + shop.key).encode()))
    accepted(shop, answer, params["out_trade_no"], "香港 測試：1")


def test_a_body_decoded_again_with_the_sign_inside_at_its_sorted_place(
    shop: Merchant, params: dict[str, str]
) -> None:
    params |= {"notify_url": "http://m.example/n?a=b+c", "return_url": "http://m.example/r"}
    sign = shop.sign(params)
    text = signed_text(params | {"sign": sign})

    accepted(shop, pay(shop, text.encode(), sign), params["out_trade_no"])


def test_blanks_as_percent_20_and_a_digest_in_lower_case(shop: Merchant, params: dict[str, str]) -> None:
    body = urlencode(params, quote_via=quote).encode()

    accepted(shop, pay(shop, body, shop.sign(params).lower()), params["out_trade_no"])


@pytest.mark.parametrize("has_sign", [True, False])
def test_a_multipart_body_with_text_parts(shop: Merchant, params: dict[str, str], has_sign: bool) -> None:
    params |= {"product_name": "香港測試", "valid_time": ""}
    sign = shop.sign(params)
    sent = params | ({"sign": sign} if has_sign else {})
    boundary = "------------------------d74496d66958873e"
    parts = [
        f'--{boundary}\r\nContent-Disposition: form-data; name="{name}"\r\n\r\n{value}\r\n'
        for name, value in sent.items()
    ]
    file = (
        f'--{boundary}\r\nContent-Disposition: form-data; name="photo"; filename="p.jpg"\r\n'
        "Content-Type: image/jpeg\r\n\r\nnot signed\r\n"
    )
    body = ("".join(parts) + file + f"--{boundary}--\r\n").encode()

    answer = pay(shop, body, sign, f"multipart/form-data; boundary={boundary}")
    accepted(shop, answer, params["out_trade_no"], "香港測試")


def test_a_client_that_sends_gb18030_and_signs_utf_8(shop: Merchant, params: dict[str, str]) -> None:
    params |= {"product_name": "香港測試茶"}
    sign = shop.sign(params)

    raw = signed_text(params).encode("gb18030")
    accepted(shop, pay(shop, raw, sign), params["out_trade_no"], "香港測試茶")
    params["out_trade_no"] = new_reference()
    encoded = urlencode(params, encoding="gb18030").encode()
    accepted(shop, pay(shop, encoded, shop.sign(params)), params["out_trade_no"], "香港測試茶")


def test_blanks_at_the_ends_are_signed_untrimmed(shop: Merchant, params: dict[str, str]) -> None:
    params |= {"udid": " a b "}

    accepted(shop, pay(shop, urlencode(params).encode(), shop.sign(params)), params["out_trade_no"])


def test_pairs_sorted_as_whole_strings(shop: Merchant, params: dict[str, str]) -> None:
    params |= {"goods": "x", "goods1": "y"}  # "goods1=y" is before "goods=x" only if the pairs are compared
    text = "&".join(sorted(f"{name}={value}" for name, value in params.items()))
    assert text != signed_text(params)

    sign = digest((text + shop.key).encode())
    accepted(shop, pay(shop, urlencode(params).encode(), sign), params["out_trade_no"])


@pytest.mark.parametrize("is_upper", [True, False])
@pytest.mark.parametrize("kind", [(), (("X-QF-SIGNTYPE", "SHA256"),), (("X-Qf-Signtype", "sha256"),)])
def test_sha256_by_header_or_by_length(
    shop: Merchant, params: dict[str, str], is_upper: bool, kind: tuple[tuple[str, str], ...]
) -> None:
    sign = hashlib.sha256((signed_text(params) + shop.key).encode()).hexdigest()
    sign = sign.upper() if is_upper else sign

    answer = pay(shop, urlencode(params).encode(), sign, more=kind)
    accepted(shop, answer, params["out_trade_no"])


def test_header_names_in_any_case_and_without_a_blank(shop: Merchant, params: dict[str, str]) -> None:
    headers = [
        ("x-qf-appcode", shop.appcode),
        ("X-Qf-Sign", shop.sign(params)),
        ("X-Qf-Signtype", "MD5"),
        ("CONTENT-TYPE", f"{FORM}; charset=UTF-8"),
    ]

    answer = send(shop.demo.gateway, "POST", "/trade/v1/payment", urlencode(params).encode(), headers)
    accepted(shop, answer, params["out_trade_no"])


def test_a_get_query_without_mchid(shop: Merchant) -> None:
    opened = shop.open("800201")
    asked = {"out_trade_no": opened["out_trade_no"]}

    answer = pay(shop, b"", shop.sign(asked), None, f"?{urlencode(asked)}", method="GET", call="query")
    assert [row["syssn"] for row in shop.proven(answer)["data"]] == [opened["syssn"]]


def test_omnipays_query_of_successes_with_the_sign_in_the_body(shop: Merchant) -> None:
    body = f"mchid={shop.mchid}&respcd=0000&sign=B87D493241291768EAA3096D77404506".encode()

    answer = pay(shop, body, "B87D493241291768EAA3096D77404506", call="query")
    assert shop.proven(answer).respcd == "0000"


def test_the_oa_sample_posts_every_payment_twice_in_a_row(shop: Merchant) -> None:
    params = shop.payment_params("800207", appcode=shop.appcode, udid="qiantai2")
    body, sign = urlencode(params).encode(), shop.sign(params)

    first, second = (pay(shop, body, sign) for _ in range(2))
    assert first.respcd == "0000"
    assert first.body == second.body


def test_a_client_that_expects_100_continue(shop: Merchant, params: dict[str, str]) -> None:
    answer = pay(
        shop, urlencode(params).encode(), shop.sign(params), None, more=(("Expect", "100-continue"),)
    )

    accepted(shop, answer, params["out_trade_no"])


def test_query_and_body_are_one_set(shop: Merchant, params: dict[str, str]) -> None:
    in_query = {name: params[name] for name in ("mchid", "txdtm")}
    in_body = {name: value for name, value in params.items() if name not in in_query}

    answer = pay(shop, urlencode(in_body).encode(), shop.sign(params), query=f"?{urlencode(in_query)}")
    accepted(shop, answer, params["out_trade_no"])


def test_an_algorithm_that_no_document_has_is_refused(shop: Merchant, params: dict[str, str]) -> None:
    sign = hmac.new(shop.key.encode(), signed_text(params).encode(), "md5").hexdigest()

    assert pay(shop, urlencode(params).encode(), sign).respcd == "1108"


@pytest.mark.parametrize(
    ("text", "sign"),
    [
        (
            "mchid=eqqmYMn0Zj6pncw5ZDxjgMqbzV&out_trade_no=1470020842103&pay_type=800151&txamt=10"
            "&txdtm=2016-08-01 11:07:22",
            "42537CC0A92F2BCF30C45A245BEBB22F",
        ),
        (
            "mchid=eqqmYMn0Zj6pncw5ZDxjgMqbzV&out_trade_no=78945580&pay_type=800201"
            "&product_name=香港測試：78945580&txamt=10&txdtm=2017-09-06 14:56:43&valid_time=300",
            "B89662E26B3EE7A7727ADBA7FE11B888",
        ),
        (
            "mchid=eqqmYMn0Zj6pncw5ZDxjgMqbzV&notify_url=http://m.example/n?a=b+c&out_trade_no=T1"
            "&pay_type=800151&return_url=http://m.example/r&txamt=10&txdtm=2018-01-01 10:00:00",
            "49773AA9D543D93499F03BC97CC7B254",
        ),
    ],
)
def test_the_worked_examples_are_accepted(shop: Merchant, text: str, sign: str) -> None:
    answer = pay(shop, text.encode(), sign)

    assert answer.respcd in ("0000", "1181")  # 1181: sent before, and the clock has moved since
    assert answer["out_trade_no"] in text


def test_the_example_with_an_unknown_barcode_is_accepted(shop: Merchant) -> None:
    params = {
        "auth_code": "134567890123456789",
        "mchid": shop.mchid,
        "out_trade_no": "57003579",
        "pay_type": "800208",
        "product_name": "Test Name",
        "txamt": "10",
        "txdtm": "2017-09-06 14:56:43",
    }

    answer = pay(shop, urlencode(params).encode(), "DE416B630E672C1C941C017B2722E650")
    assert shop.proven(answer).respcd in ("1202", "2006")


# ---- whole flows of three kinds of clients of the later pay types ------------------------------------------


def form_of(shop: Merchant, call: str, *more: tuple[str, str], **params: str) -> Answer:
    """As Go's `url.Values` and PHP's `http_build_query` write it: sorted, blanks as plus signs, without mchid."""
    body = urlencode(dict(sorted(params.items()))).encode()
    headers = [*shop.headers(shop.sign(params)), *more]
    return shop.proven(send(shop.demo.gateway, "POST", f"/trade/v1/{call}", body, headers))


def test_a_client_in_go_shows_a_code_and_queries_until_it_is_paid(shop: Merchant) -> None:
    reference, sign_type = new_reference(), ("X-QF-SIGNTYPE", "MD5")
    now = datetime.now(UTC).strftime("%Y-%m-%d %H:%M:%S")  # its clock is in UTC
    sale = {"pay_type": "800101", "txcurrcd": "HKD", "goods_name": "Tea & cake", "txamt": "1234"}
    opened = form_of(shop, "payment", sign_type, out_trade_no=reference, txdtm=now, **sale)
    assert opened.respcd == "0000"
    (row,) = form_of(shop, "query", sign_type, out_trade_no=reference)["data"]
    assert row["respcd"] == "1145"

    shop.demo.scan(opened["qrcode"])
    shop.demo.confirm(url=opened["qrcode"])
    shop.until(opened["syssn"], "0000")
    (row,) = form_of(shop, "query", sign_type, syssn=opened["syssn"])["data"]
    assert (row["txamt"], row["txcurrcd"], row["order_type"]) == ("1234", "HKD", "payment")
    assert row["chnlsn"] == shop.demo.trades(opened["syssn"])[0]["trade"]
    refused = form_of(shop, "close", sign_type, syssn=opened["syssn"], txamt="1234", txdtm=now)
    assert refused.respcd == "1124"


def test_a_mini_program_passes_the_parameters_on_and_the_payer_pays(shop: Merchant) -> None:
    """It knows no reference but its own, and no name of the goods."""
    reference, openid = new_reference(), shop.demo.openid("demo", "mini_appid")
    sale = {"txamt": "100", "txcurrcd": "HKD", "pay_type": "800213", "txdtm": "2020-07-03 03:14:29"}
    opened = form_of(shop, "payment", out_trade_no=reference, sub_openid=openid, **sale)
    assert opened.respcd == "0000"
    assert opened["pay_params"].keys() == {"appId", "timeStamp", "nonceStr", "package", "signType", "paySign"}
    assert all(isinstance(value, str) for value in opened["pay_params"].values())
    shop.demo.confirm(url=json.dumps(opened["pay_params"]))
    shop.until(opened["syssn"], "0000")
    (row,) = form_of(shop, "query", out_trade_no=reference)["data"]
    assert (row["respcd"], row["txamt"]) == ("0000", "100")


def test_a_shop_system_redirects_the_payer_who_returns_to_its_own_address(shop: Merchant) -> None:
    """As an Odoo module does: the order is found by its reference in the return URL, and then queried."""
    reference = new_reference()
    back = f"https://odoo.example/payment/qfpay/return?{urlencode({'out_trade_no': reference})}"
    urls = {"return_url": back, "notify_url": "https://odoo.example/payment/qfpay/webhook"}
    sale = {"pay_type": "801101", "txcurrcd": "HKD", "txamt": "1999", "txdtm": "2026-11-29 10:00:00"}
    opened = form_of(shop, "payment", out_trade_no=reference, **sale, **urls)
    assert opened.respcd == "0000"
    done = shop.pay_by_phone(opened)
    shop.until(opened["syssn"], "0000")

    answer = urlsplit(done["return_to"])
    onward = send(shop.demo.gateway, "GET", f"{answer.path}?{answer.query}").headers["location"]
    assert onward.startswith(back)
    names = parse_qs(urlsplit(onward).query)
    assert names["out_trade_no"][0] == reference
    (row,) = form_of(shop, "query", out_trade_no=names["out_trade_no"][0])["data"]
    assert (float(row["txamt"]) / 100, row["txcurrcd"], row["respcd"]) == (19.99, "HKD", "0000")
    refund = form_of(
        shop, "refund", syssn=row["syssn"], txamt="999", out_trade_no=new_reference(), txdtm=sale["txdtm"]
    )
    assert refund.respcd in ("0000", "2999")
