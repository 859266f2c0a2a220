"""MWEB orders: the link that unifiedorder returns, the page behind it, and the payer who opens it."""

import html
import json
import re
from collections.abc import Iterator
from typing import Any
from urllib.parse import parse_qs, quote, urlencode, urlsplit

import pytest

from tael_sandbox.wechat.addresses import is_same_address
from tests.sandbox.conftest import ControlRefused, Sandbox
from tests.sandbox.handset import Handset, text_of
from tests.sandbox.test_wechat_vendor_sandbox import in_vendor_sandbox
from tests.sandbox.wechat_shop import Shop, balance, confirm, new_number, shop, spent
from tests.support.hostile import SCRIPT, TEXTS, check_markup
from tests.support.http_calls import Answer, call_kept

HKD_88_IN_CNY = 8028  # 88.00 HKD at 0.9123
MALFORMED = "商家参数格式有误，请联系商家解决"
OTHER_ADDRESS = "网络环境未能通过安全验证，请稍后再试"
TOO_OLD = "支付请求已失效，请重新发起支付"
FIVE_MINUTES_S = 300
BACK = "https://shop.example/done?order=7&lang=zh"
CHECKOUT = "https://shop.example/checkout"


@pytest.fixture
def demo(sandbox: Sandbox) -> Shop:
    return shop(sandbox)


@pytest.fixture
def strict(sandbox: Sandbox) -> Iterator[None]:
    sandbox.control("PUT", "profile", {"profile": "strict"})
    yield
    sandbox.control("PUT", "profile", {"profile": "demo"})


def browse(sandbox: Sandbox, link: str, referer: str | None = None, **form: str) -> Answer:
    """Opens the link, or posts the page's form. Redirects are not followed."""
    assert link.startswith(sandbox.http + "/")
    method, body = ("POST", urlencode(form).encode()) if form else ("GET", b"")
    headers = [("Referer", referer)] if referer is not None else []
    return call_kept(sandbox.http, method, link.removeprefix(sandbox.http), body, headers)


def shown(answer: Answer) -> str:
    """The visible text of a page, whose markup is complete and ours."""
    page = answer.body.decode()
    check_markup(page)
    return text_of(page.split("</style>")[1])


def with_return(link: str, address: str = BACK) -> str:
    """The merchant appends the parameter."""
    return f"{link}&redirect_url={quote(address, safe='')}"


def scene(**info: object) -> str:
    return json.dumps({"h5_info": info})


# ---- unifiedorder ------------------------------------------------------------------------------------------------


def test_the_reply_has_a_link_of_wechat_s_form_to_the_sandbox(sandbox: Sandbox, demo: Shop) -> None:
    number = new_number()
    made = demo.order(out_trade_no=number, **demo.h5)
    assert (made["result_code"], made["trade_type"], "code_url" in made.fields) == ("SUCCESS", "MWEB", False)
    base, _, query = made["mweb_url"].partition("?")
    assert base == f"{sandbox.http}/cgi-bin/mmpayweb-bin/checkmweb"
    assert re.fullmatch(rf"prepay_id={made['prepay_id']}&package=\d{{10}}", query)
    assert demo.state(number) == "NOTPAY"


@pytest.mark.parametrize(
    "info",
    [
        {"type": "Wap", "wap_url": "https://shop.example", "wap_name": "店"},
        {"type": "IOS", "app_name": "Demo", "bundle_id": "com.example.demo"},
        {"type": "Android", "app_name": "Demo", "package_name": "com.example.demo"},
    ],
    ids=lambda info: str(info["type"]),
)
def test_each_type_of_scene_is_accepted_with_its_members_only(demo: Shop, info: dict[str, str]) -> None:
    assert demo.order(**demo.h5 | {"scene_info": scene(**info)})["mweb_url"]
    worse: tuple[Any, ...] = ("", 7, ["x"], {}, None)
    for name in info:
        without = {other: value for other, value in info.items() if other != name}
        for spoiled in (without, *({**without, name: value} for value in worse)):
            refused = demo.order(**demo.h5 | {"scene_info": scene(**spoiled)})
            assert refused.error == "scene_info参数格式错误", spoiled


@pytest.mark.parametrize(
    "text",
    [
        *("{", "[]", "7", "null", "{}", '{"h5_info": []}', '{"h5_info": "Wap"}', "Wap"),
        '{"h5_info": {"type": "Wap", "wap_url": "https://shop.example"}}',
        '{"type": "Wap", "wap_url": "https://shop.example", "wap_name": "x"}',
        '{"h5_info": {"type": "PC", "wap_url": "https://shop.example", "wap_name": "x"}}',
    ],
)
def test_a_malformed_scene_is_refused(demo: Shop, text: str) -> None:
    assert demo.order(**demo.h5 | {"scene_info": text}).error == "scene_info参数格式错误"


@pytest.mark.parametrize(("length", "error"), [(256, ""), (257, "scene_info参数格式错误")])
def test_a_scene_has_at_most_256_characters(demo: Shop, length: int, error: str) -> None:
    frame = scene(type="Wap", wap_url="https://shop.example", wap_name="NAME")
    text = frame.replace("NAME", "店" * (length - len(frame) + len("NAME")))
    assert len(text) == length
    assert demo.order(**demo.h5 | {"scene_info": text}).error == error


def test_a_scene_is_required(demo: Shop) -> None:
    for change in ({"scene_info": ""}, {}):
        order = {"trade_type": "MWEB", **change}
        assert demo.order(**order).error == "缺少参数scene_info"


def test_the_payers_address_is_an_ip_address(demo: Shop) -> None:
    for address in ("203.0.113.7", "2001:db8::7", "::1"):
        assert demo.order(**demo.h5, spbill_create_ip=address)["mweb_url"]
    for address in ("shop.example", "203.0.113", "203.0.113.7:80", "fe80::1%eth0", "[::1]"):
        assert demo.order(**demo.h5, spbill_create_ip=address).error == "spbill_create_ip参数格式错误"


# ---- the page ----------------------------------------------------------------------------------------------------


def test_a_browser_shows_the_order_and_pays_it(sandbox: Sandbox, demo: Shop) -> None:
    number = new_number()
    link = demo.order(out_trade_no=number, **demo.h5)["mweb_url"]
    page = browse(sandbox, link)
    assert (page.status, page.headers["content-type"]) == (200, "text/html; charset=utf-8")
    for text in ("Demo Shop", "Demo Shop-tea & <cups>", number, "HKD 88.00", "CNY 80.28", "Pay", "Cancel"):
        assert text in shown(page)
    payers = re.findall('<option value="([a-z]+)">', page.body.decode())
    assert payers == ["chen", "dora", "emil", "fay", "hana", "ivy"]
    (action,) = re.findall('<form method="post" action="([^"]*)">', page.body.decode())
    assert html.unescape(action) == link.removeprefix(sandbox.http)
    with spent(sandbox, "dora", HKD_88_IN_CNY):
        paid = browse(sandbox, link, action="pay", payer="dora")
    assert (paid.status, "The payment is done." in shown(paid)) == (200, True)
    assert demo.query(number)["trade_type"] == "MWEB"
    assert demo.state(number) == "SUCCESS"


def test_the_page_s_policies_are_those_of_alipay_s_cashier(sandbox: Sandbox, demo: Shop) -> None:
    link = demo.order(**demo.h5)["mweb_url"]
    for answer in (
        browse(sandbox, link),
        browse(sandbox, link, action="cancel"),
        browse(sandbox, link + "1"),
    ):
        policy = answer.headers["content-security-policy"]
        assert re.fullmatch(
            "default-src 'none'; style-src 'sha256-[^ ]+'; form-action 'self' http: https:;"
            " base-uri 'none'; frame-ancestors 'none'",
            policy,
        )
        assert answer.headers["referrer-policy"] == "no-referrer"
        assert answer.headers["cache-control"] == "no-store"
        assert answer.headers["x-content-type-options"] == "nosniff"


@pytest.mark.parametrize(("action", "state"), [("pay", "SUCCESS"), ("cancel", "NOTPAY")])
def test_the_browser_then_goes_to_the_merchants_page(
    sandbox: Sandbox, demo: Shop, action: str, state: str
) -> None:
    number = new_number()
    link = with_return(demo.order(out_trade_no=number, **demo.h5)["mweb_url"])
    (target,) = re.findall('action="([^"]*)"', browse(sandbox, link).body.decode())
    assert parse_qs(urlsplit(html.unescape(target)).query)["redirect_url"] == [BACK]
    done = browse(sandbox, sandbox.http + html.unescape(target), action=action)
    assert (done.status, done.headers["location"]) == (303, BACK)
    assert demo.state(number) == state


@pytest.mark.parametrize(
    "address",
    [
        *("javascript:alert(1)", "//evil.example/x", "/control/clock", "ftp://shop.example/", "shop.example"),
        *("data:text/html,x", "https://", "http://[", "https:shop.example", "https://shop.example/\x00", ""),
    ],
)
def test_only_an_absolute_web_address_is_a_merchants_page(sandbox: Sandbox, demo: Shop, address: str) -> None:
    link = with_return(demo.order(**demo.h5)["mweb_url"], address)
    assert "Pay as" in shown(browse(sandbox, link))
    done = browse(sandbox, link, action="cancel")
    assert (done.status, "nothing was paid" in shown(done)) == (200, True)
    assert confirm(sandbox, "pay", url=link.replace("%00", "%01"))["return_to"] is None


def test_no_text_in_the_link_or_the_form_becomes_markup_or_a_header(sandbox: Sandbox, demo: Shop) -> None:
    number = new_number()
    link = demo.order(out_trade_no=number, body=SCRIPT, **demo.h5)["mweb_url"]
    assert SCRIPT in html.unescape(browse(sandbox, link).body.decode())
    for text in TEXTS:
        address = f"https://shop.example/{text}"
        for answer in (
            browse(sandbox, with_return(link, text)),
            browse(sandbox, with_return(link, address), action="cancel"),
            browse(sandbox, with_return(link, text), action=text or "x", payer=text),
            browse(sandbox, link, action="pay", payer=text or "x"),
        ):
            assert answer.status in (200, 303)
            assert "b" not in answer.headers.get("set-cookie", "")
            if answer.status == 200:
                check_markup(answer.body.decode())
            else:
                assert answer.headers["location"].startswith("https://shop.example/")
    assert demo.state(number) == "NOTPAY"


def test_too_little_money_leaves_the_order_to_another_payer(sandbox: Sandbox, demo: Shop) -> None:
    number = new_number()
    link = with_return(demo.order(out_trade_no=number, **demo.h5)["mweb_url"])
    refused = browse(sandbox, link, action="pay", payer="hana")
    assert (refused.status, "Not enough money" in shown(refused)) == (200, True)
    assert balance(sandbox, "hana") == 500
    assert browse(sandbox, link, action="pay", payer="fay").status == 303
    assert demo.state(number) == "SUCCESS"


def test_what_the_form_does_not_offer_is_refused(sandbox: Sandbox, demo: Shop) -> None:
    number = new_number()
    link = demo.order(out_trade_no=number, **demo.h5)["mweb_url"]
    for form in ({"action": "pay", "payer": "ada"}, {"action": "steal"}, {"payer": "chen"}):
        assert MALFORMED in shown(browse(sandbox, link, **form))
    assert demo.state(number) == "NOTPAY"


def test_an_unknown_link_is_an_error_page(sandbox: Sandbox, demo: Shop) -> None:
    made, other = demo.order(**demo.h5), demo.order()
    base, package = made["mweb_url"].split("?")[0], made["mweb_url"].rsplit("=", 1)[1]
    for query in (
        "",
        f"prepay_id={made['prepay_id']}",
        f"prepay_id={made['prepay_id']}&package=0",
        f"prepay_id={other['prepay_id']}&package={package}",
        f"prepay_id=wx{'0' * 34}&package={package}",
    ):
        for form in ({}, {"action": "pay"}):
            page = browse(sandbox, f"{base}?{query}", **form)
            assert (page.status, MALFORMED in shown(page)) == (200, True)
        with pytest.raises(ControlRefused, match="no such code"):
            sandbox.control("POST", "scan", {"url": f"{base}?{query}"})


def test_a_paid_or_closed_order_is_an_error_page(sandbox: Sandbox, demo: Shop) -> None:
    paid, closed, number = demo.order(**demo.h5), new_number(), new_number()
    confirm(sandbox, "pay", url=paid["mweb_url"])
    link = demo.order(out_trade_no=closed, **demo.h5)["mweb_url"]
    demo.call("/pay/closeorder", out_trade_no=closed)
    late = demo.order(out_trade_no=number, **demo.h5)["mweb_url"]
    before = balance(sandbox, "chen")
    for form in ({}, {"action": "pay"}):
        assert "该订单已支付" in shown(browse(sandbox, paid["mweb_url"], **form))
        assert "该订单已关闭" in shown(browse(sandbox, link, **form))
    sandbox.advance(2 * 3600 + 1)
    assert "该订单已关闭" in shown(browse(sandbox, late, action="pay"))
    assert balance(sandbox, "chen") == before


# ---- five minutes ------------------------------------------------------------------------------------------------


def test_a_link_can_be_opened_for_five_minutes_and_a_repeat_returns_another(
    sandbox: Sandbox, demo: Shop
) -> None:
    number = new_number()
    first = demo.order(out_trade_no=number, **demo.h5)
    sandbox.advance(FIVE_MINUTES_S - 10)
    assert "Pay as" in shown(browse(sandbox, first["mweb_url"]))
    assert sandbox.control("POST", "scan", {"url": first["mweb_url"]})["order"] == number
    sandbox.advance(11)
    assert TOO_OLD in shown(browse(sandbox, first["mweb_url"]))
    for call, members in (("scan", {}), ("confirm", {"action": "pay"})):
        with pytest.raises(ControlRefused, match="the link is too old") as refused:
            sandbox.control("POST", call, {"url": first["mweb_url"], **members})
        assert refused.value.field == "url"
    again = demo.order(out_trade_no=number, **demo.h5)
    assert again["prepay_id"] == first["prepay_id"]
    assert again["mweb_url"] != first["mweb_url"]
    assert "Pay as" in shown(browse(sandbox, again["mweb_url"]))
    assert TOO_OLD in shown(browse(sandbox, first["mweb_url"]))
    assert confirm(sandbox, "pay", url=again["mweb_url"])["state"] == "SUCCESS"


def test_a_page_that_was_opened_in_time_can_be_used_later(sandbox: Sandbox, demo: Shop) -> None:
    number = new_number()
    link = demo.order(out_trade_no=number, **demo.h5)["mweb_url"]
    browse(sandbox, link)
    sandbox.advance(FIVE_MINUTES_S + 1)
    browse(sandbox, link, action="pay")
    assert demo.state(number) == "SUCCESS"


def test_links_survive_a_restart(own_sandbox: Sandbox) -> None:
    link = shop(own_sandbox).order(**shop(own_sandbox).h5)["mweb_url"]
    own_sandbox.restart()
    assert "Pay as" in shown(browse(own_sandbox, link))


# ---- the payer ---------------------------------------------------------------------------------------------------


def test_the_phone_and_control_open_the_link_without_its_page(sandbox: Sandbox, demo: Shop) -> None:
    number = new_number()
    link = with_return(demo.order(out_trade_no=number, **demo.h5)["mweb_url"])
    for variant in (link, link.replace(sandbox.http, "https://wx.tenpay.com")):
        assert sandbox.control("POST", "scan", {"url": variant})["order"] == number
    for action, address in (("wrong_password", None), ("cancel", BACK)):
        assert confirm(sandbox, action, url=link)["return_to"] == address
    phone = Handset(sandbox, "emil")
    assert number in phone.scan(link)["order"]
    paid = phone.act("pay")
    assert paid["order-note"] == "Paid HKD 88.00. Back to the merchant"
    assert f'href="{html.escape(BACK)}"' in paid.region("order-note")


def test_without_a_merchants_page_confirm_leads_nowhere(sandbox: Sandbox, demo: Shop) -> None:
    number = new_number()
    made = demo.order(out_trade_no=number, **demo.h5)
    assert confirm(sandbox, "cancel", url=made["mweb_url"])["return_to"] is None
    by_number = confirm(sandbox, "pay", trade=number, url=with_return(made["mweb_url"]))
    assert (by_number["state"], by_number["return_to"]) == ("SUCCESS", None)


def test_the_link_of_wechat_s_own_sandbox_leads_to_its_order(sandbox: Sandbox, demo: Shop) -> None:
    vendor, number = in_vendor_sandbox(demo), new_number()
    link = vendor.order(out_trade_no=number, **demo.h5)["mweb_url"]
    assert "Demo Shop" in shown(browse(sandbox, link, action="pay"))
    assert vendor.query(number)["trade_state"] == "SUCCESS"
    assert demo.query(number).error == "ORDERNOTEXIST"


# ---- strict ------------------------------------------------------------------------------------------------------


def test_strict_requires_a_referer(sandbox: Sandbox, demo: Shop, strict: None) -> None:
    link = demo.order(**demo.h5)["mweb_url"]
    for referer in (None, "", "shop.example", "about:blank", "https://"):
        assert MALFORMED in shown(browse(sandbox, link, referer))
    assert "Pay as" in shown(browse(sandbox, link, CHECKOUT))
    assert "The payment is done." in shown(browse(sandbox, link, action="pay"))  # our page sends no Referer


def test_strict_requires_the_payers_own_address(sandbox: Sandbox, demo: Shop, strict: None) -> None:
    for address in ("203.0.113.7", "2001:db8::7"):
        link = demo.order(**demo.h5, spbill_create_ip=address)["mweb_url"]
        assert OTHER_ADDRESS in shown(browse(sandbox, link, CHECKOUT))
    for address in ("127.0.0.1", "::1"):
        link = demo.order(**demo.h5, spbill_create_ip=address)["mweb_url"]
        assert "Pay as" in shown(browse(sandbox, link, CHECKOUT))


def test_a_repeat_from_the_right_address_returns_a_link_for_it(
    sandbox: Sandbox, demo: Shop, strict: None
) -> None:
    number = new_number()
    demo.order(out_trade_no=number, **demo.h5, spbill_create_ip="203.0.113.7")
    again = demo.order(out_trade_no=number, **demo.h5)
    assert "Pay as" in shown(browse(sandbox, again["mweb_url"], CHECKOUT))


def test_other_profiles_require_neither(sandbox: Sandbox, demo: Shop) -> None:
    link = demo.order(**demo.h5, spbill_create_ip="203.0.113.7")["mweb_url"]
    assert "Pay as" in shown(browse(sandbox, link))


@pytest.mark.parametrize(
    ("one", "other", "is_same"),
    [
        ("127.0.0.1", "::1", True),
        ("::ffff:127.0.0.1", "127.9.9.9", True),
        ("::ffff:203.0.113.7", "203.0.113.7", True),
        ("2001:db8::7", "2001:0DB8:0::7", True),
        ("127.0.0.1", "203.0.113.7", False),
        ("203.0.113.7", "203.0.113.8", False),
    ],
)
def test_loopback_addresses_are_one_address(one: str, other: str, *, is_same: bool) -> None:
    assert is_same_address(one, other) == is_same
    assert is_same_address(other, one) == is_same
