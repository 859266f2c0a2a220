"""The cashier in a real browser: live results, the countdown, WeChat's bridge, and a checkout link from end to end."""

import json
import re
from collections.abc import Callable
from typing import Final

import pytest
from playwright.sync_api import Page, Request, expect

from tests.browser.conftest import check_accessibility, looks
from tests.end_to_end import conftest as end_to_end
from tests.end_to_end.checkout import DESKTOP, IN_WECHAT, PHONE, address, choose, link_params, opened, signed
from tests.end_to_end.merchant import Merchant
from tests.end_to_end.rig import Demo, eventually

demo_folder = end_to_end.demo_folder
demo = end_to_end.demo
shop = end_to_end.shop

NewPage = Callable[..., Page]
SMALL: Final = {"viewport": {"width": 375, "height": 760}}
LANGUAGES: Final = ("en", "zh-cn", "zh-hk")
#: The bridge of WeChat's own browser: records its calls, and responds as the test requires.
BRIDGE: Final = """
window.calls = [];
window.WeixinJSBridge = {invoke: (name, params, done) => {
    window.calls.push([name, params]);
    if (window.answer) { done({err_msg: "get_brand_wcpay_request:" + window.answer}); }
}};
"""


def page_path(shop: Merchant, wallet: str, user_agent: str = DESKTOP, **given: str) -> tuple[str, str]:
    """The URL of the page of a new order from a new link, and the order's number."""
    where = choose(shop, opened(shop, **given), wallet, user_agent).headers["location"].partition("?")[0]
    return shop.demo.gateway + where, where.split("/")[4]


def shop_page(shop: Merchant, name: str) -> str:
    """A page of the merchant's on this machine."""
    return f"{shop.demo.gateway}/healthz?shop={name}"


def own_pages(shop: Merchant) -> dict[str, str]:
    return {name: shop_page(shop, name) for name in ("return_url", "failed_url", "cancel_url")}


def at_shop(shop: Merchant, name: str) -> re.Pattern[str]:
    return re.compile(re.escape(shop_page(shop, name)) + r"(?:&|$)")


# ---- to the wallet's page ------------------------------------------------------------------------------------------


def test_a_phone_goes_to_wechat_s_page_which_checks_where_it_comes_from(
    new_page: NewPage, shop: Merchant, demo: Demo
) -> None:
    where, syssn = page_path(shop, "wechat", PHONE, **own_pages(shop))
    page = new_page(**SMALL, user_agent=PHONE)
    page.goto(where)
    check_accessibility(page)
    demo.put_profile("strict")
    try:
        page.get_by_role("link", name="Pay with WeChat").click()
        page.get_by_role("button", name="Pay", exact=True).click()
        expect(page.get_by_text("The payment is done.")).to_be_visible()
    finally:
        demo.put_profile("demo")
    page.goto(where)
    page.wait_for_url(at_shop(shop, "return_url"))
    assert shop.row(syssn)["respcd"] == "0000"


# ---- waiting for the result ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("wallet", ["alipay", "wechat"])
def test_an_open_code_page_shows_paid_and_returns_to_the_shop(
    page: Page, shop: Merchant, demo: Demo, wallet: str
) -> None:
    where, syssn = page_path(shop, wallet, **own_pages(shop))
    page.goto(where)
    expect(page.get_by_role("img")).to_be_visible()
    expect(page.get_by_role("timer")).to_have_text(re.compile(r"^\d?\d:\d\d$"))

    link = page.get_by_role("link", name="Pay on this computer instead")
    demo.confirm(url=f"{demo.gateway}{link.get_attribute('href')}") if wallet == "alipay" else demo.confirm(
        trade=syssn
    )

    result = page.locator("#result")
    expect(result.get_by_role("heading", name="Paid")).to_be_focused()
    assert result.get_attribute("role") == "status"
    assert page.title() == "Paid"
    expect(page.get_by_role("img")).to_be_hidden()
    check_accessibility(page)
    page.wait_for_url(at_shop(shop, "return_url"))
    assert f"syssn={syssn}" in page.url


def test_the_count_down_ends_in_expired(page: Page, shop: Merchant, demo: Demo) -> None:
    where, syssn = page_path(shop, "wechat", expired_time="5", checkout_expired_time="999")
    page.clock.install()
    page.goto(where)
    expect(page.get_by_role("timer")).to_have_text(re.compile(r"^[45]:\d\d$"))

    page.clock.fast_forward(299_000)
    page.clock.run_for(3_000)
    expect(page.get_by_text("Time is up.")).to_be_visible()
    expect(page.get_by_role("img")).to_be_hidden()
    demo.advance(301)
    shop.until(syssn, "1181")
    assert eventually_shows(page, "Order expired")
    expect(page.get_by_role("heading", name="Order expired")).to_be_focused()
    expect(page.get_by_role("link", name="Pay another way")).to_be_visible()


def test_an_open_page_shows_that_its_order_was_closed(page: Page, shop: Merchant) -> None:
    where, syssn = page_path(shop, "wechat", **own_pages(shop))
    page.goto(where)
    shop.call("close", syssn=syssn)

    expect(page.get_by_role("heading", name="Order closed")).to_be_visible()
    expect(page.get_by_role("link", name="Back to the shop")).to_be_visible()


def test_a_page_polls_slowly_not_while_hidden_and_not_after_the_result(
    page: Page, shop: Merchant, demo: Demo
) -> None:
    where, syssn = page_path(shop, "wechat", **own_pages(shop))
    requested: list[Request] = []
    answered: list[Request] = []

    def note(request: Request, polls: list[Request]) -> None:
        if request.url.endswith("/state"):
            polls.append(request)

    def pass_minute() -> None:
        """The page's clock waits for each answer, since the next poll is planned only then."""
        for _ in range(60):
            page.clock.run_for(1_000)
            assert eventually(lambda: page.evaluate("0") == 0 and len(answered) == len(requested), bool)

    page.on("request", lambda request: note(request, requested))
    page.on("requestfinished", lambda request: note(request, answered))
    page.clock.install()
    page.goto(where)
    pass_minute()
    assert 10 <= len(requested) <= 30

    hide(page, True)
    before = len(requested)
    pass_minute()
    assert len(requested) - before <= 1  # one request may have been in flight
    demo.confirm(trade=syssn)
    shop.until(syssn, "0000")
    hide(page, False)
    assert eventually_shows(page, "Paid")
    decided = len(requested)
    page.clock.run_for(2_000)
    assert len(requested) == decided


def eventually_shows(page: Page, heading: str) -> bool:
    """Whether the page shows this heading while the test moves its clock."""

    def look() -> bool:
        page.clock.run_for(1_000)
        return page.get_by_role("heading", name=heading).is_visible()

    return eventually(look, bool)


def hide(page: Page, is_hidden: bool) -> None:
    """Like switching to another tab."""
    page.evaluate(
        "is => { Object.defineProperty(document, 'hidden', {configurable: true, get: () => is});"
        " document.dispatchEvent(new Event('visibilitychange')); }",
        is_hidden,
    )


# ---- phones --------------------------------------------------------------------------------------------------------


def test_an_order_that_is_being_closed_shows_nothing_to_pay_and_then_closed(
    page: Page, shop: Merchant, demo: Demo
) -> None:
    opened = shop.open("800152")
    page.goto(opened["pay_url"])
    page.wait_for_url(f"{demo.sandbox}/**")
    assert shop.call("close", syssn=opened["syssn"]).respcd == "1145"

    page.goto(opened["pay_url"])
    expect(page.get_by_text("The shop is cancelling this order.")).to_be_visible()
    expect(page.get_by_role("timer")).to_have_count(0)
    expect(page.get_by_role("link", name="Pay with Alipay")).to_have_count(0)
    check_accessibility(page)
    demo.advance(1_300)
    expect(page.get_by_role("heading", name="Order closed")).to_be_visible()


def test_on_a_phone_one_tap_leads_to_alipay_and_back_to_the_shop(
    new_page: NewPage, shop: Merchant, demo: Demo
) -> None:
    where, syssn = page_path(shop, "alipay", PHONE, **own_pages(shop))
    page = new_page(user_agent=PHONE, **SMALL)
    page.goto(where)
    check_accessibility(page)
    page.get_by_role("link", name="Pay with Alipay").click()
    page.wait_for_url(f"{demo.sandbox}/**")

    page.goto(str(demo.confirm(trade=syssn)["return_to"]))
    page.wait_for_url(at_shop(shop, "return_url"))


@pytest.mark.parametrize(
    ("answer", "text"),
    [
        ("cancel", "Cancelled. You can still pay."),
        ("fail", "The payment did not go through. You can try again."),
    ],
)
def test_inside_wechat_the_bridge_is_called_and_a_payer_may_try_again(
    new_page: NewPage, shop: Merchant, answer: str, text: str
) -> None:
    payment = shop.open("800207")
    page = new_page(user_agent=IN_WECHAT, locale="en", **SMALL)
    page.add_init_script(f"window.answer = {json.dumps(answer)};{BRIDGE}")
    page.goto(payment["pay_url"])

    expect(page.get_by_role("status").get_by_text(text)).to_be_visible()
    check_accessibility(page)
    page.get_by_role("button", name="Pay now").click()
    assert page.evaluate("window.calls") == [["getBrandWCPayRequest", payment["pay_params"]]] * 2


def test_inside_wechat_the_bridges_ok_is_only_a_hint_and_the_wallet_decides(
    new_page: NewPage, shop: Merchant, demo: Demo
) -> None:
    payment = shop.open("800207")
    page = new_page(user_agent=IN_WECHAT, locale="en", **SMALL)
    page.add_init_script(f"window.answer = 'ok';{BRIDGE}")
    page.goto(payment["pay_url"])

    expect(page.get_by_text("Payment sent. Waiting for confirmation.")).to_be_visible()
    expect(page.get_by_role("button")).to_be_hidden()
    expect(page.get_by_role("heading", name="Paid")).to_have_count(0)
    demo.confirm(trade=payment["syssn"])
    expect(page.get_by_role("heading", name="Paid")).to_be_visible()


def test_outside_wechat_the_page_asks_to_be_opened_inside_wechat(new_page: NewPage, shop: Merchant) -> None:
    page = new_page(locale="en", **SMALL)
    page.goto(shop.open("800207")["pay_url"])

    expect(page.get_by_text("Open this page inside WeChat.")).to_be_visible()
    expect(page.get_by_role("button", name="Pay now")).to_be_disabled()
    page.evaluate(f"{BRIDGE} document.dispatchEvent(new Event('WeixinJSBridgeReady'))")
    assert page.evaluate("window.calls.length") == 1


# ---- a checkout link -----------------------------------------------------------------------------------------------


def test_a_link_leads_from_the_choice_to_the_shop_by_keyboard_alone(
    page: Page, shop: Merchant, demo: Demo
) -> None:
    params = signed(link_params(shop, goods_name="白茶 & 杯", **own_pages(shop)), shop.key)
    page.goto(address(shop, params))
    page.wait_for_url("**/checkstand/*/*")
    expect(page.get_by_text("白茶 & 杯")).to_be_visible()
    check_accessibility(page)

    page.keyboard.press("Tab")
    page.keyboard.press("Tab")
    expect(page.get_by_role("button", name="WeChat Pay")).to_be_focused()
    page.keyboard.press("Enter")
    page.wait_for_url("**/cashier/pay/**")
    expect(page.get_by_role("img", name="QR code for paying with WeChat Pay")).to_be_visible()
    demo.confirm(trade=shop.rows(out_trade_no=params["out_trade_no"])[0]["syssn"])
    page.wait_for_url(at_shop(shop, "return_url"))


def test_a_payer_may_change_to_the_other_wallet(page: Page, shop: Merchant) -> None:
    params = signed(link_params(shop), shop.key)
    page.goto(address(shop, params))
    page.get_by_role("button", name="Alipay").click()
    page.get_by_role("link", name="Pay another way").click()
    expect(page.get_by_role("link", name="Continue your payment")).to_be_visible()
    page.get_by_role("button", name="WeChat Pay").click()
    expect(page.get_by_role("img", name="QR code for paying with WeChat Pay")).to_be_visible()

    rows = shop.rows(out_trade_no=params["out_trade_no"])
    assert sorted((row["pay_type"], row["respcd"]) for row in rows) == [
        ("800151", "1142"),
        ("800201", "1145"),
    ]


def test_a_payer_who_cancels_goes_to_the_shops_cancel_url(page: Page, shop: Merchant) -> None:
    page.goto(address(shop, signed(link_params(shop, **own_pages(shop)), shop.key)))
    page.get_by_role("button", name="WeChat Pay").click()
    page.get_by_role("button", name="Cancel and go back").click()

    expect(page.get_by_role("heading", name="Payment cancelled")).to_be_visible()
    check_accessibility(page)
    page.wait_for_url(at_shop(shop, "cancel_url"))


def test_an_expired_link_sends_the_payer_to_the_failed_url(page: Page, shop: Merchant, demo: Demo) -> None:
    params = signed(link_params(shop, checkout_expired_time="5", **own_pages(shop)), shop.key)
    page.goto(address(shop, params))
    expect(page.get_by_role("button", name="Alipay")).to_be_visible()
    demo.advance(301)
    page.goto(address(shop, params))

    page.wait_for_url(at_shop(shop, "failed_url"))


def test_an_invalid_link_shows_a_readable_page_without_its_content(page: Page, shop: Merchant) -> None:
    params = signed(link_params(shop), shop.key)
    page.goto(address(shop, params | {"goods_name": "<b>win a prize</b>"}))

    expect(page.get_by_role("heading", name="This payment link does not work")).to_be_focused()
    expect(page.get_by_text("1108")).to_be_visible()
    assert "prize" not in page.locator("body").inner_text()
    check_accessibility(page)


@pytest.mark.parametrize(
    ("lang", "text"),
    [("zh-hk", "請選擇支付方式"), ("zh-cn", "请选择支付方式"), ("en", "How would you like to pay?")],
)
def test_a_link_is_shown_in_its_own_language(page: Page, shop: Merchant, lang: str, text: str) -> None:
    params = signed(link_params(shop), shop.key)
    page.goto(address(shop, params | {"lang": lang}))
    expect(page.get_by_role("heading", name=text)).to_be_visible()

    page.get_by_role("button").first.click()
    page.wait_for_url(f"**/cashier/pay/**lang={lang}")


# ---- all pages -----------------------------------------------------------------------------------------------------


def test_a_subject_with_a_script_in_it_does_not_run(page: Page, shop: Merchant) -> None:
    attack = "<script>window.hit=1</script><img src=x onerror='window.hit=1'>"
    params = signed(link_params(shop, goods_name=attack), shop.key)
    page.goto(address(shop, params))
    expect(page.get_by_text(attack)).to_be_visible()
    page.get_by_role("button", name="WeChat Pay").click()
    expect(page.get_by_role("img", name="QR code")).to_be_visible()

    expect(page.get_by_text(attack)).to_be_visible()
    assert page.evaluate("window.hit") is None


@pytest.mark.parametrize("lang", LANGUAGES)
def test_pages_fit_their_window_and_are_accessible(page: Page, shop: Merchant, lang: str) -> None:
    long_name = "Silver-Needle-white-tea-" * 8
    link = shop.demo.gateway + opened(shop, goods_name=long_name, cancel_url="https://shop.example/basket")
    paths = [
        link,
        page_path(shop, "alipay", goods_name=long_name)[0],
        shop.open("800207")["pay_url"],
        f"{link}x",
    ]
    for where in paths:
        page.goto(f"{where}?lang={lang}")
        for look in looks(page):
            assert page.evaluate("document.documentElement.scrollWidth <= window.innerWidth"), (where, look)
            check_accessibility(page)
