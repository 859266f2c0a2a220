"""The layers of an answer: what is not proven to be WeChat's word on our question decides nothing."""

import pytest

from tael.base.transport import Answer
from tael.channels.outcomes import Refusal, Refused, Unknown
from tael.channels.wechat_v2.exchange import (
    CLOSEORDER,
    MAX_MESSAGE_CHARS,
    ORDERQUERY,
    REFUND,
    REVERSE,
    Endpoint,
    Failure,
    Rejected,
    Response,
    Succeeded,
    complete,
    parse_response,
)
from tael.merchants.domain.account import WeChatSignType
from tests.support.wechat import KEY, PAID, SUCCESS, SYSSN, account, signed, written

CERTIFICATE_PAGES = [
    b"<html>\r\n<head><title>400 No required SSL certificate was sent</title></head></html>",
    b"<html>\r\n<head><title>400 The SSL certificate error</title></head></html>",
]


def said(
    body: bytes, *, status: int = 200, endpoint: Endpoint = ORDERQUERY, sign_type: WeChatSignType = "MD5"
) -> Response:
    asked = complete({"out_trade_no": SYSSN}, account(sign_type), sign_type)
    return parse_response(Answer(status, {}, body), endpoint, account(sign_type), asked, sign_type)


@pytest.mark.parametrize("sign_type", ["MD5", "HMAC-SHA256"])
def test_a_signed_success_is_granted(sign_type: WeChatSignType) -> None:
    answer = signed({**PAID, "a_field_of_tomorrow": "1", "attach": ""}, sign_type=sign_type)

    assert said(written(answer), sign_type=sign_type) == Succeeded(answer)


def test_a_signed_fail_is_a_failure() -> None:
    answer = signed({**SUCCESS, "result_code": "FAIL", "err_code": "NOAUTH", "err_code_des": "why"})

    assert said(written(answer)) == Failure("NOAUTH", "why", answer)


def test_an_answer_signed_by_the_weaker_algorithm_is_not_signed() -> None:
    assert isinstance(said(written(signed(PAID)), sign_type="HMAC-SHA256"), Unknown)
    claims = signed({**PAID, "sign_type": "MD5"})
    assert isinstance(said(written(claims), sign_type="HMAC-SHA256"), Unknown)


@pytest.mark.parametrize("missing", ["sign", "result_code", "return_code"])
def test_an_answer_without_a_signature_or_a_code_decides_nothing(missing: str) -> None:
    answer = signed({name: value for name, value in PAID.items() if name != missing})
    if missing == "sign":
        del answer["sign"]

    assert isinstance(said(written(answer)), Unknown)


def test_an_answer_signed_with_another_key_decides_nothing() -> None:
    assert isinstance(said(written(signed(PAID, key=KEY[::-1]))), Unknown)


@pytest.mark.parametrize("name", ["appid", "mch_id", "sub_mch_id", "out_trade_no"])
def test_a_signed_answer_about_somebody_else_decides_nothing(name: str) -> None:
    assert isinstance(said(written(signed({**PAID, name: "another"}))), Unknown)


@pytest.mark.parametrize("code", ["UNKNOWN", "", "success"])
def test_a_result_that_is_neither_yes_nor_no_decides_nothing(code: str) -> None:
    assert isinstance(said(written(signed({**PAID, "result_code": code}))), Unknown)


def test_a_message_that_is_not_signed_is_kept_apart_and_short() -> None:
    fail = {"return_code": "FAIL", "return_msg": "签名错误"}

    assert said(written(fail)) == Rejected("签名错误")
    assert said(written({**fail, "return_msg": "m" * 1000})) == Rejected("m" * MAX_MESSAGE_CHARS)


@pytest.mark.parametrize("status", [301, 302, 403, 404, 429, 500, 502, 503])
def test_another_status_decides_nothing_whatever_the_body_says(status: int) -> None:
    assert isinstance(said(written(signed(PAID)), status=status), Unknown)
    assert isinstance(
        said(written({"return_code": "FAIL", "return_msg": "签名错误"}), status=status), Unknown
    )


@pytest.mark.parametrize("body", [b"", b"<html>nginx</html>", b"{}", b"<!DOCTYPE xml><xml></xml>"])
def test_what_is_not_their_xml_decides_nothing(body: bytes) -> None:
    assert isinstance(said(body), Unknown)


@pytest.mark.parametrize("page", CERTIFICATE_PAGES)
@pytest.mark.parametrize("endpoint", [REFUND, REVERSE])
def test_a_page_about_our_certificate_is_a_refusal(endpoint: Endpoint, page: bytes) -> None:
    outcome = said(page, status=400, endpoint=endpoint)

    assert outcome == Refused(Refusal.OUR_CERTIFICATE, "HTTP 400")


@pytest.mark.parametrize("endpoint", [ORDERQUERY, CLOSEORDER])
def test_such_a_page_means_nothing_where_no_certificate_is_asked_for(endpoint: Endpoint) -> None:
    assert isinstance(said(CERTIFICATE_PAGES[0], status=400, endpoint=endpoint), Unknown)


def test_any_other_bad_request_decides_nothing() -> None:
    page = b"<html><title>400 Bad Request</title></html>"

    assert isinstance(said(page, status=400, endpoint=REFUND), Unknown)
