"""The layers of a response: only a proven response of WeChat's to our request decides anything."""

import pytest

from tael.base.transport import Answer
from tael.channels.outcomes import Refusal, Refused, Unknown
from tael.channels.wechat_v2.account import WeChatSignType
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
from tests.support.wechat import KEY, PAID, SUCCESS, SYSSN, account, signed, written

CERTIFICATE_PAGES = [
    b"<html>\r\n<head><title>400 No required SSL certificate was sent</title></head></html>",
    b"<html>\r\n<head><title>400 The SSL certificate error</title></head></html>",
]


def understood(
    body: bytes, *, status: int = 200, endpoint: Endpoint = ORDERQUERY, sign_type: WeChatSignType = "MD5"
) -> Response:
    request = complete({"out_trade_no": SYSSN}, account(sign_type), sign_type)
    return parse_response(Answer(status, {}, body), endpoint, [account(sign_type)], request, sign_type)[0]


@pytest.mark.parametrize("sign_type", ["MD5", "HMAC-SHA256"])
def test_a_signed_success_is_granted(sign_type: WeChatSignType) -> None:
    answer = signed({**PAID, "a_field_of_tomorrow": "1", "attach": ""}, sign_type=sign_type)

    assert understood(written(answer), sign_type=sign_type) == Succeeded(answer)


def test_a_signed_fail_is_a_failure() -> None:
    answer = signed({**SUCCESS, "result_code": "FAIL", "err_code": "NOAUTH", "err_code_des": "why"})

    assert understood(written(answer)) == Failure("NOAUTH", "why", answer)


def test_a_response_signed_with_the_weaker_algorithm_is_not_signed() -> None:
    assert isinstance(understood(written(signed(PAID)), sign_type="HMAC-SHA256"), Unknown)
    claims = signed({**PAID, "sign_type": "MD5"})
    assert isinstance(understood(written(claims), sign_type="HMAC-SHA256"), Unknown)


@pytest.mark.parametrize("missing", ["sign", "result_code", "return_code"])
def test_a_response_without_a_signature_or_a_code_decides_nothing(missing: str) -> None:
    answer = signed({name: value for name, value in PAID.items() if name != missing})
    if missing == "sign":
        del answer["sign"]

    assert isinstance(understood(written(answer)), Unknown)


def test_a_response_signed_with_another_key_decides_nothing() -> None:
    assert isinstance(understood(written(signed(PAID, key=KEY[::-1]))), Unknown)


@pytest.mark.parametrize("name", ["appid", "mch_id", "sub_mch_id", "out_trade_no"])
def test_a_signed_response_about_another_account_decides_nothing(name: str) -> None:
    assert isinstance(understood(written(signed({**PAID, name: "another"}))), Unknown)


@pytest.mark.parametrize("code", ["UNKNOWN", "", "success"])
def test_an_unknown_result_code_decides_nothing(code: str) -> None:
    assert isinstance(understood(written(signed({**PAID, "result_code": code}))), Unknown)


def test_an_unsigned_message_is_kept_separately_and_short() -> None:
    fail = {"return_code": "FAIL", "return_msg": "签名错误"}

    assert understood(written(fail)) == Rejected("签名错误")
    assert understood(written({**fail, "return_msg": "m" * 1000})) == Rejected("m" * MAX_MESSAGE_CHARS)


@pytest.mark.parametrize("status", [301, 302, 403, 404, 429, 500, 502, 503])
def test_another_status_decides_nothing_with_any_body(status: int) -> None:
    assert isinstance(understood(written(signed(PAID)), status=status), Unknown)
    assert isinstance(
        understood(written({"return_code": "FAIL", "return_msg": "签名错误"}), status=status), Unknown
    )


@pytest.mark.parametrize("body", [b"", b"<html>nginx</html>", b"{}", b"<!DOCTYPE xml><xml></xml>"])
def test_a_body_that_is_not_wechats_xml_decides_nothing(body: bytes) -> None:
    assert isinstance(understood(body), Unknown)


@pytest.mark.parametrize("page", CERTIFICATE_PAGES)
@pytest.mark.parametrize("endpoint", [REFUND, REVERSE])
def test_a_page_about_our_certificate_is_a_refusal(endpoint: Endpoint, page: bytes) -> None:
    outcome = understood(page, status=400, endpoint=endpoint)

    assert outcome == Refused(Refusal.OUR_CERTIFICATE, "HTTP 400")


@pytest.mark.parametrize("endpoint", [ORDERQUERY, CLOSEORDER])
def test_such_a_page_decides_nothing_for_a_call_without_a_certificate(endpoint: Endpoint) -> None:
    assert isinstance(understood(CERTIFICATE_PAGES[0], status=400, endpoint=endpoint), Unknown)


def test_any_other_bad_request_decides_nothing() -> None:
    page = b"<html><title>400 Bad Request</title></html>"

    assert isinstance(understood(page, status=400, endpoint=REFUND), Unknown)
