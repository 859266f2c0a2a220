"""The openid of a payer inside WeChat: the link to the consent, the code, and what is refused."""

from pathlib import Path
from typing import Final
from urllib.parse import parse_qs, urlencode, urlsplit

import pytest

from tests.end_to_end.merchant import Merchant, new_reference, send
from tests.end_to_end.rig import Demo
from tests.support.http_calls import Answer

LINK: Final = "/tool/v1/get_weixin_oauth_code"
OPENID: Final = "/tool/v1/get_weixin_openid"
PAGE: Final = "https://shop.example/pay?order=7&page=2"


def link_params(merchant: Merchant, **given: str) -> dict[str, str]:
    params = {"app_code": merchant.appcode, "mchid": merchant.mchid, "redirect_uri": PAGE} | given
    return params | {"sign": merchant.sign(params)}


def open_link(merchant: Merchant, params: dict[str, str]) -> Answer:
    return send(merchant.demo.gateway, "GET", f"{LINK}?{urlencode(params)}")


def payers_code(merchant: Merchant, **given: str) -> str:
    """The payer opens the link inside WeChat; the merchant's page gets the code."""
    opened = open_link(merchant, link_params(merchant, **given))
    assert (opened.status, opened.headers["cache-control"]) == (302, "no-store")
    consent = urlsplit(opened.headers["location"])
    assert (consent.path, consent.fragment) == ("/connect/oauth2/authorize", "wechat_redirect")
    page = send(merchant.demo.sandbox, "GET", f"{consent.path}?{consent.query}").headers["location"]
    assert page.startswith("https://shop.example/pay?order=7&page=2&code=")
    return parse_qs(urlsplit(page).query)["code"][0]


def ask(merchant: Merchant, **given: str) -> Answer:
    params = {"mchid": merchant.mchid} | given
    headers = merchant.headers(merchant.sign(params), None)
    return merchant.proven(
        send(merchant.demo.gateway, "GET", f"{OPENID}?{urlencode(params)}", headers=headers)
    )


@pytest.mark.parametrize("kind", ["published", "direct", "chain"])
def test_the_merchants_page_gets_the_payers_openid_and_is_paid(
    demo: Demo, request: pytest.FixtureRequest, kind: str
) -> None:
    merchant: Merchant = request.getfixturevalue({"published": "shop"}.get(kind, kind))
    code = payers_code(merchant)
    if kind == "chain":  # its responses are signed with MD5, its requests with SHA256
        code = payers_code(merchant, sign_type="SHA256")
    answer = ask(merchant, code=code)
    assert answer.members == {"respcd": "0000", "respmsg": "ok", "resperr": "", "openid": answer["openid"]}
    appid_of = "appid" if kind == "direct" else "sub_appid"
    label = {"published": "demo", "chain": "chain_east"}.get(kind, kind)
    assert answer["openid"] == demo.openid(label, appid_of)
    price = {"out_trade_no": new_reference(), "txamt": "1000"}
    opened = merchant.call("payment", pay_type="800207", sub_openid=answer["openid"], **price)
    assert opened.respcd == "0000"


def test_a_code_that_is_used_unknown_expired_or_of_another_merchant_is_1202(
    shop: Merchant, wechat_only: Merchant, demo: Demo
) -> None:
    used, others, late = payers_code(shop), payers_code(wechat_only), payers_code(shop)
    assert ask(shop, code=used).respcd == "0000"
    for code in (used, others, "unknown"):
        answer = ask(shop, code=code)
        assert (answer.respcd, "openid" in answer.members) == ("1202", False)
        assert "get_weixin_oauth_code" in answer["respmsg"]
    assert ask(wechat_only, code=others).respcd == "0000"  # the attempt did not use it up
    demo.advance(301)
    assert ask(shop, code=late).respcd == "1202"


@pytest.mark.parametrize(
    "page",
    [
        "",
        "javascript:alert(1)",
        "//shop.example",
        "https://",
        "https://a b",
        "https://[",
        "ftp://x",
        "https://x/" + "a" * 600,
    ],
)
def test_a_page_that_is_no_web_address_is_1104(shop: Merchant, page: str) -> None:
    answer = open_link(shop, link_params(shop, redirect_uri=page))
    assert (answer.status, answer.respcd, answer.sign) == (200, "1104", None)
    assert "redirect_uri" in answer["respmsg"]


@pytest.mark.parametrize("code", ["", "a b", "a&b", "茶", "a" * 129])
def test_a_code_of_another_form_is_1104_and_not_sent_to_wechat(shop: Merchant, code: str) -> None:
    assert ask(shop, code=code).respcd == "1104"


def test_only_what_the_app_signed_redirects(shop: Merchant, chain: Merchant) -> None:
    good = link_params(shop)
    for change in (
        {"redirect_uri": "https://evil.example/"},
        {"mchid": chain.mchid},
        {"app_code": chain.appcode},
        {"app_code": ""},
        {"sign": ""},
        {"sign": "0" * 32},
        {"extra": "1"},
    ):
        answer = open_link(shop, good | change)
        assert (answer.status, answer.respcd, answer.sign) == (200, "1108", None), change
        assert "location" not in answer.headers
    twice = send(shop.demo.gateway, "GET", f"{LINK}?{urlencode(good)}&mchid=another")
    assert twice.respcd == "1104"


def test_a_link_that_a_payer_has_seen_is_no_request(shop: Merchant) -> None:
    """Its signature covers the appcode's other name, which every call refuses."""
    params = link_params(shop)
    sign = params.pop("sign")
    for path in (OPENID, "/trade/v1/query", "/mch/v1/query"):
        target = f"{path}?{urlencode(params | {'code': 'x'})}"
        assert send(shop.demo.gateway, "GET", target, headers=shop.headers(sign, None)).respcd == "1108"
        seen = send(shop.demo.gateway, "GET", f"{path}?{urlencode(params)}", headers=shop.headers(sign, None))
        assert (seen.respcd, "app_code" in seen["respmsg"]) == ("1108", True)


def test_a_merchant_without_an_app_secret_is_1135(demo: Demo, tmp_path: Path) -> None:
    app = demo.ask("app", "add")
    merchant = demo.ask("merchant", "add", app["appcode"], "--name", "No secret", "--currency", "HKD")
    key = tmp_path / "key"
    key.write_text("k" * 32)
    alipay = ("--set", "pid=2088999999999998", "--set", "scene=online", "--set", "sign_type=MD5")
    demo.ask(
        "account", "add", merchant["mchid"], "--protocol", "alipay_mapi", *alipay, "--file", f"key={key}"
    )
    other = Merchant(demo, app["appcode"], app["key"], merchant["mchid"], (merchant["mchid"],))
    assert open_link(other, link_params(other)).respcd == "1135"
    assert ask(other, code="x").respcd == "1135"
