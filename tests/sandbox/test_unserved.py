"""Calls that the sandbox does not serve: refused in the wallet's own form, with the call named in the response."""

import base64
import http.client
import json
from typing import Any, Final
from urllib.parse import urlencode, urlsplit
from xml.etree import ElementTree

import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding, rsa
from cryptography.hazmat.primitives.serialization import load_pem_public_key

from tests.sandbox import alipay_shop, wechat_shop
from tests.sandbox.conftest import Sandbox
from tests.sandbox.wechat_shop import Reply, from_xml

V2: Final = (
    *("/pay/nothing", "/pay/downloadfundflow", "/secapi/pay/refundv2", "/pay/facepay", "/deposit/pay"),
    *("/mmpaymkttransfers/promotion/transfers", "/risk/getpublickey", "/papay/entrustweb", "/tools/other"),
    *("/sandboxnew/pay/nothing", "/xdc/apiv2sandbox/pay/nothing", "/xdc/other", "/some/call/of/tomorrow"),
    "/pay/orderquery/",
)
SERVICES: Final = (
    *(
        "alipay.acquire.overseas.spot.reverse",
        "alipay.acquire.overseas.spot.cancel",
        "mobile.securitypay.pay",
    ),
    *("create_direct_pay_by_user", "forex_mobile", "batch_trans_notify", "single_trade_quer\u0443"),
    "SINGLE_TRADE_QUERY",
)


def send(
    sandbox: Sandbox, method: str, target: str, body: bytes = b"", host: str = "", *, tls: bool = False
) -> Reply:
    base = urlsplit(sandbox.tls if tls else sandbox.http)
    assert base.hostname is not None
    context = wechat_shop.shop(sandbox).client_tls() if tls else None
    connection = (
        http.client.HTTPSConnection(base.hostname, base.port, context=context, timeout=10)
        if tls
        else http.client.HTTPConnection(base.hostname, base.port, timeout=10)
    )
    try:
        connection.request(method, target, body, {"Host": host} if host else {})
        answer = connection.getresponse()
        return Reply(answer.status, answer.getheader("Content-Type", ""), answer.read())
    finally:
        connection.close()


def refusal(reply: Reply) -> tuple[str | None, str | None]:
    """The code and the refused service in Alipay's XML."""
    tree = ElementTree.fromstring(reply.body)  # noqa: S314 - our own sandbox's answer
    assert tree.findtext("is_success") == "F"
    assert tree.find("sign") is None
    return tree.findtext("error"), tree.findtext("request/param[@name='service']")


@pytest.mark.parametrize("tls", [False, True], ids=["http", "tls"])
@pytest.mark.parametrize("path", V2)
def test_a_call_of_v2_is_refused_by_name(sandbox: Sandbox, path: str, *, tls: bool) -> None:
    signed = wechat_shop.as_xml(wechat_shop.shop(sandbox).signed(out_trade_no="1"))
    for body in (signed, b"", b"<xml/>"):
        reply = send(sandbox, "POST", path, body, tls=tls)
        assert (reply.status, set(reply.fields)) == (200, {"return_code", "return_msg"})
        assert reply["return_code"] == "FAIL"
        assert f"POST {path}" in reply["return_msg"]


@pytest.mark.parametrize("method", ["GET", "PUT", "DELETE", "PATCH"])
def test_any_method_of_an_unknown_call_is_refused_by_name(sandbox: Sandbox, method: str) -> None:
    reply = send(sandbox, method, "/pay/nothing?x=1")
    assert (reply.status, reply["return_code"]) == (200, "FAIL")
    assert f"{method} /pay/nothing" in reply["return_msg"]


def test_a_name_is_truncated_and_valid_in_xml(sandbox: Sandbox) -> None:
    reply = send(sandbox, "POST", "/pay/%00%1b%ef%bf%be%3C/xml%3E]]%3E" + "x" * 500)
    text = reply["return_msg"]
    assert text.startswith("POST /pay/</xml>]]>x")
    assert len(text) <= 128


@pytest.mark.parametrize(
    "path", ["/v3/pay/transactions/native", "/v3/global/transactions/jsapi", "/v3/certificates"]
)
@pytest.mark.parametrize("method", ["GET", "POST"])
def test_a_call_of_v3_is_refused_in_its_form(sandbox: Sandbox, method: str, path: str) -> None:
    reply = send(sandbox, method, path, b"{}")
    error = json.loads(reply.body)
    assert (reply.status, set(error), error["code"]) == (404, {"code", "message"}, "NOT_FOUND")
    assert f"{method} {path}" in error["message"]


@pytest.mark.parametrize(
    ("method", "path", "status", "errcode"),
    [
        ("GET", "/sns/userinfo", 200, 40066),
        ("GET", "/cgi-bin/token", 200, 40066),
        ("POST", "/cgi-bin/ticket/getticket", 200, 40066),
        ("GET", "/connect/qrconnect", 200, 40066),
        ("POST", "/sns/oauth2/access_token", 405, 43001),
    ],
)
def test_a_call_of_the_official_account_is_refused_in_its_form(
    sandbox: Sandbox, method: str, path: str, status: int, errcode: int
) -> None:
    reply = send(sandbox, method, path)
    error = json.loads(reply.body)
    assert (reply.status, set(error), error["errcode"]) == (status, {"errcode", "errmsg"}, errcode)
    assert f"{method} {path}" in error["errmsg"]


@pytest.mark.parametrize("service", SERVICES)
def test_a_service_is_refused_by_name(sandbox: Sandbox, service: str) -> None:
    for scene in ("online", "offline"):
        shop = alipay_shop.shop(sandbox, scene)
        signed = shop.signed(service, {})
        members = urlencode(signed)
        for method, target, body in (
            ("POST", "/gateway.do?_input_charset=utf-8", members.encode()),
            ("GET", f"/gateway.do?{members}", b""),
        ):
            reply = send(sandbox, method, target, body)
            assert (reply.status, refusal(reply)) == (200, ("ILLEGAL_SERVICE", service))
            assert reply.content_type.startswith("text/xml;")


def test_a_service_of_another_contract_is_named_too(sandbox: Sandbox) -> None:
    online = alipay_shop.shop(sandbox, "online")
    signed = online.signed("alipay.acquire.cancel", {})
    reply = send(sandbox, "POST", "/gateway.do?_input_charset=utf-8", urlencode(signed).encode())
    assert refusal(reply) == ("ILLEGAL_PARTNER_EXTERFACE", "alipay.acquire.cancel")


@pytest.mark.parametrize(
    ("method", "target", "status", "name"),
    [
        ("GET", "/trade/other.do?partner=1", 200, "GET /trade/other.do"),
        ("POST", "/cooperate/gateway.do", 200, "POST /cooperate/gateway.do"),
        ("GET", "/cooperate/gateway.do?service=x&partner=1", 200, "x"),
        ("POST", "/elsewhere?service=single_trade_query&partner=1", 200, "single_trade_query"),
        ("PUT", "/gateway.do", 405, "PUT /gateway.do"),
        ("POST", "/trade/notify_query.do", 405, "POST /trade/notify_query.do"),
    ],
)
def test_an_address_of_alipay_s_is_refused_by_name(
    sandbox: Sandbox, method: str, target: str, status: int, name: str
) -> None:
    reply = send(sandbox, method, target)
    assert (reply.status, refusal(reply)) == (status, ("ILLEGAL_SERVICE", name))


@pytest.mark.parametrize("path", ["/gateway.do", "/gateway.do?charset=utf-8", "/elsewhere"])
def test_alipay_s_open_platform_is_refused_in_its_form_and_signed(sandbox: Sandbox, path: str) -> None:
    members = {"app_id": "2021000000000000", "method": "alipay.trade.pay", "sign_type": "RSA2", "sign": "x"}
    reply = send(sandbox, "POST", path, urlencode(members).encode())
    response = json.loads(reply.body)
    assert (reply.status, set(response)) == (200, {"error_response", "sign"})
    error = response["error_response"]
    assert (error["code"], error["sub_code"]) == ("40002", "isv.invalid-method")
    assert "alipay.trade.pay" in error["sub_msg"]
    text = reply.body[len(b'{"error_response":') : reply.body.rindex(b',"sign"')]
    key = load_pem_public_key(sandbox.account("alipay")["alipay_public_key_pem"].encode())
    assert isinstance(key, rsa.RSAPublicKey)
    key.verify(base64.b64decode(response["sign"]), text, padding.PKCS1v15(), hashes.SHA256())


def test_antom_is_refused_in_its_form(sandbox: Sandbox) -> None:
    reply = send(sandbox, "POST", "/ams/api/v1/payments/pay", b"{}")
    result = json.loads(reply.body)["result"]
    assert (reply.status, result["resultCode"], result["resultStatus"]) == (200, "INVALID_API", "F")
    assert "/ams/api/v1/payments/pay" in result["resultMessage"]


@pytest.mark.parametrize(
    ("host", "is_alipay"),
    [
        ("mapi.alipay.com", True),
        ("openapi.alipaydev.com:443", True),
        ("api.mch.weixin.qq.com", False),
        ("APIHK.mch.weixin.qq.com:8003", False),
    ],
)
def test_the_host_decides_which_wallet_refuses_a_call(
    sandbox: Sandbox, *, host: str, is_alipay: bool
) -> None:
    for method, path in (("GET", "/whatever"), ("POST", "/whatever"), ("POST", "/whatever.do")):
        reply = send(sandbox, method, path, host=host)
        if is_alipay:
            assert refusal(reply) == ("ILLEGAL_SERVICE", f"{method} {path}")
        else:
            assert from_xml(reply.body)["return_code"] == "FAIL"


@pytest.mark.parametrize("host", ["alipay.com.evil.example", "notalipay.com", "weixin.qq.com.example"])
def test_a_host_that_only_looks_like_a_wallet_s_is_not_one(sandbox: Sandbox, host: str) -> None:
    assert send(sandbox, "GET", "/whatever", host=host).status == 404


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/favicon.ico", 404),
        ("GET", "/robots.txt", 404),
        ("POST", "/control/nothing", 404),
        ("POST", "/phone/nothing", 404),
        ("DELETE", "/control/clock", 405),
        ("PUT", "/alipay/cashier/token", 405),
        ("PUT", "/cgi-bin/mmpayweb-bin/checkmweb", 405),
    ],
)
def test_a_call_that_belongs_to_no_wallet_is_refused_in_json_by_name(
    sandbox: Sandbox, method: str, path: str, status: int
) -> None:
    reply = send(sandbox, method, path)
    error: dict[str, Any] = json.loads(reply.body)
    assert (reply.status, set(error)) == (status, {"error", "field"})
    assert f"{method} {path}" in error["error"]


def test_no_body_of_an_unserved_call_breaks_its_refusal(sandbox: Sandbox) -> None:
    for body in (b"\xff\xfe", b"x" * 1_000_000, b"&" * 5_000, b"_input_charset=none&service=a&partner=b"):
        for path in ("/pay/nothing", "/trade/other.do", "/v3/none"):
            assert send(sandbox, "POST", path, body).status in (200, 404)
