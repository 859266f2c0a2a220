"""The simulated Alipay's cashier in a real browser: every page, narrow and wide, light and dark, with the keyboard."""

import pytest
from playwright.sync_api import Page, expect

from tests.browser.conftest import check_accessibility, looks, targets_of
from tests.browser.test_phone_page import TARGET_PX
from tests.sandbox import alipay_shop
from tests.sandbox.alipay_shop import new_number
from tests.sandbox.conftest import Sandbox

LONG = "W" * 200


@pytest.fixture
def online(sandbox: Sandbox) -> alipay_shop.Shop:
    return alipay_shop.shop(sandbox, "online")


def check(page: Page) -> None:
    for look in looks(page):
        check_accessibility(page)
        widths = page.evaluate("[document.documentElement.scrollWidth, innerWidth]")
        assert widths[0] <= widths[1], look
        for text, width, height in targets_of(page):
            assert min(height, width) >= TARGET_PX, (text, look)


def test_every_page_of_the_cashier_is_accessible(page: Page, online: alipay_shop.Shop) -> None:
    link = online.pc_link(new_number(), subject=LONG)
    page.goto(link)
    expect(page.get_by_text("CNY 109.48")).to_be_visible()
    check(page)
    page.get_by_label("Pay as").select_option(label="Gil Ng")
    page.get_by_role("button", name="Pay", exact=True).click()
    expect(page.get_by_role("alert")).to_contain_text("Not enough money")
    check(page)
    page.get_by_role("button", name="Cancel").click()
    expect(page.get_by_role("heading", name="Not paid")).to_be_visible()
    check(page)
    page.goto(link)
    page.get_by_label("Pay as").select_option(label="Bao Li")
    page.get_by_role("button", name="Pay", exact=True).click()
    expect(page.get_by_role("heading", name="Paid")).to_be_visible()
    check(page)
    page.goto(link)
    expect(page.get_by_text("TRADE_NOT_ALLOWED_PAY")).to_be_visible()
    check(page)


@pytest.mark.parametrize("page", [{"color_scheme": "dark"}, {"color_scheme": "light"}], indirect=True)
def test_the_cashier_follows_the_browser_s_color_scheme(page: Page, online: alipay_shop.Shop) -> None:
    page.goto(online.pc_link(new_number()))
    is_dark = page.evaluate("matchMedia('(prefers-color-scheme: dark)').matches")
    background = page.evaluate("getComputedStyle(document.body).backgroundColor")
    assert background == ("rgb(18, 22, 28)" if is_dark else "rgb(243, 245, 248)")


def test_the_keyboard_alone_pays_and_returns_to_the_merchant(
    page: Page, sandbox: Sandbox, online: alipay_shop.Shop
) -> None:
    page.goto(online.pc_link(new_number(), return_url=f"{sandbox.http}/control/clock"))
    page.keyboard.press("Tab")
    expect(page.get_by_label("Pay as")).to_be_focused()
    page.keyboard.press("b")
    page.keyboard.press("Tab")
    expect(page.get_by_role("button", name="Pay", exact=True)).to_be_focused()
    page.keyboard.press("Enter")
    page.wait_for_url("**/control/clock?currency=HKD&out_trade_no=*")
