"""The two OAuth calls that give a page inside WeChat the payer's openid."""

import http.client
import json
from typing import Any
from urllib.parse import parse_qs, urlencode, urlsplit

import pytest

from tests.sandbox.conftest import Sandbox
from tests.sandbox.wechat_shop import Shop, both_kinds, openid, shop

PAGE = "https://shop.example/pay?order=7"


@pytest.fixture
def demo(request: pytest.FixtureRequest, sandbox: Sandbox) -> Shop:
    return shop(sandbox, getattr(request, "param", "demo"))


def get(sandbox: Sandbox, path: str, query: dict[str, str]) -> tuple[int, str, Any]:
    base = urlsplit(sandbox.http)
    assert base.hostname is not None
    connection = http.client.HTTPConnection(base.hostname, base.port, timeout=10)
    connection.request("GET", f"{path}?{urlencode(query)}")
    answer = connection.getresponse()
    body = answer.read()
    connection.close()
    return answer.status, answer.getheader("Location", ""), json.loads(body or b"null")


def authorize(sandbox: Sandbox, demo: Shop, **change: str) -> tuple[int, str, Any]:
    request = {
        "appid": demo.official_appid,
        "redirect_uri": PAGE,
        "response_type": "code",
        "scope": "snsapi_base",
        "state": "a b&c",
    }
    return get(sandbox, "/connect/oauth2/authorize", request | change)


def oauth_code(sandbox: Sandbox, demo: Shop, **change: str) -> str:
    status, location, _ = authorize(sandbox, demo, **change)
    assert status == 302
    return parse_qs(urlsplit(location).query)["code"][0]


def exchange(sandbox: Sandbox, demo: Shop, auth: str, **change: str) -> Any:
    request = {
        "appid": demo.official_appid,
        "secret": demo.account["sub_secret"],
        "code": auth,
        "grant_type": "authorization_code",
    }
    status, _, answer = get(sandbox, "/sns/oauth2/access_token", request | change)
    assert status == 200
    return answer


@both_kinds
def test_the_page_gets_the_payers_openid_and_can_order(sandbox: Sandbox, demo: Shop) -> None:
    status, location, _ = authorize(sandbox, demo)
    assert status == 302
    parts = urlsplit(location)
    query = parse_qs(parts.query)
    assert f"{parts.scheme}://{parts.netloc}{parts.path}" == "https://shop.example/pay"
    assert (query["order"], query["state"]) == (["7"], ["a b&c"])
    answer = exchange(sandbox, demo, query["code"][0])
    assert set(answer) == {"access_token", "expires_in", "refresh_token", "openid", "scope"}
    assert answer["openid"] == openid(sandbox, "chen", demo.official_appid)
    made = demo.order(**demo.jsapi(answer["openid"]))
    assert made["result_code"] == "SUCCESS"


@pytest.mark.parametrize("payer", ["dora", "emil"])
def test_the_payer_can_be_chosen(sandbox: Sandbox, demo: Shop, payer: str) -> None:
    answer = exchange(sandbox, demo, oauth_code(sandbox, demo, payer=payer))
    assert answer["openid"] == openid(sandbox, payer, demo.account["sub_appid"])


@both_kinds
def test_a_code_is_valid_once_for_five_minutes_and_one_appid(sandbox: Sandbox, demo: Shop) -> None:
    first, late, other = (oauth_code(sandbox, demo) for _ in range(3))
    exchange(sandbox, demo, first)
    assert exchange(sandbox, demo, first)["errcode"] == 40163
    neighbour = shop(sandbox, "wechat_only")
    assert exchange(sandbox, neighbour, other)["errcode"] == 40029
    assert exchange(sandbox, demo, "unheard-of")["errcode"] == 40029
    sandbox.advance(301)
    assert exchange(sandbox, demo, late)["errcode"] == 40029


@both_kinds
def test_an_invalid_exchange_does_not_use_up_the_code(sandbox: Sandbox, demo: Shop) -> None:
    auth = oauth_code(sandbox, demo)
    assert exchange(sandbox, demo, auth, secret="wrong")["errcode"] == 40125
    assert exchange(sandbox, demo, auth, appid="wx0")["errcode"] == 40013
    assert exchange(sandbox, demo, auth, grant_type="password")["errcode"] == 40002
    assert "openid" in exchange(sandbox, demo, auth)


def decide(sandbox: Sandbox, demo: Shop, **form: str) -> tuple[int, str, str]:
    """Posts the page's form, as the payer's browser does."""
    base = urlsplit(sandbox.http)
    query = urlencode(
        {
            "appid": demo.official_appid,
            "redirect_uri": PAGE,
            "response_type": "code",
            "scope": "snsapi_userinfo",
        }
    )
    connection = http.client.HTTPConnection(base.hostname or "", base.port, timeout=10)
    connection.request("POST", f"/connect/oauth2/authorize?{query}", urlencode(form))
    answer = connection.getresponse()
    body = answer.read().decode()
    connection.close()
    return answer.status, answer.getheader("Location", ""), body


def test_a_payer_is_asked_for_more_than_the_openid(sandbox: Sandbox, demo: Shop) -> None:
    status, location, _ = decide(sandbox, demo, action="allow", payer="dora")
    assert status == 303
    answer = exchange(sandbox, demo, parse_qs(urlsplit(location).query)["code"][0])
    assert answer["openid"] == openid(sandbox, "dora", demo.official_appid)
    assert answer["scope"] == "snsapi_userinfo"
    status, location, body = decide(sandbox, demo, action="reject", payer="dora")
    assert (status, location) == (200, "")
    assert "You rejected it" in body
    assert decide(sandbox, demo, action="allow", payer="ada")[0] == 400
    assert decide(sandbox, demo, payer="dora")[0] == 400


def test_an_invalid_authorization_does_not_redirect(sandbox: Sandbox, demo: Shop) -> None:
    for change, errcode in (
        ({"appid": "wx0"}, 40013),
        ({"appid": demo.account["appid"]}, 10005),
        ({"appid": demo.account["mini_appid"]}, 10005),
        ({"appid": demo.account["app_appid"]}, 10005),
        ({"scope": "all"}, 10005),
        ({"redirect_uri": "javascript:alert(1)"}, 10003),
        ({"payer": "ada"}, 46004),
    ):
        status, location, answer = authorize(sandbox, demo, **change)
        assert (status, location, answer["errcode"]) == (400, "", errcode)
