"""The payer's phone in a real browser: layout, keyboard, accessibility, live updates, and without a script."""

import re
import signal
from collections.abc import Callable
from typing import Any

import pytest
from playwright.sync_api import Page, expect

from tests.browser.conftest import NARROW, WIDE, check_accessibility, looks, targets_of
from tests.sandbox import alipay_shop, wechat_shop
from tests.sandbox.alipay_shop import confirm, new_number
from tests.sandbox.conftest import Sandbox

SCRIPT = "\"><script>window.ran = true</script><img src=x onerror='window.ran = true'>"
TARGET_PX = 44


def open_phone(page: Page, sandbox: Sandbox, query: str = "") -> None:
    page.goto(f"{sandbox.http}/{query}")
    expect(page.locator("#live")).to_have_text("Live")


def scan(page: Page, link: str) -> None:
    page.get_by_role("link", name="Scan").click()
    page.get_by_label("Code or link of an order").fill(link)
    page.get_by_role("button", name="Open", exact=True).click()


def check_in_each_look(page: Page) -> None:
    for _ in looks(page):
        check_accessibility(page)


def test_every_state_of_the_page_is_accessible(page: Page, sandbox: Sandbox) -> None:
    online, wechat = alipay_shop.shop(sandbox, "online"), wechat_shop.shop(sandbox)
    open_phone(page, sandbox)
    check_in_each_look(page)
    page.get_by_role("button", name="Show a new code").click()
    expect(page.get_by_role("img", name="Barcode")).to_be_visible()
    check_in_each_look(page)
    scan(page, "https://elsewhere.example/x")
    expect(page.locator("#link-note")).to_contain_text("does not know this")
    check_in_each_look(page)
    scan(page, online.pc_link(new_number(), return_url="https://merchant.example/back"))
    expect(page.locator("#order")).to_contain_text("CNY 109.48")
    check_in_each_look(page)
    page.get_by_role("button", name="Wrong password").click()
    expect(page.locator("#order-note")).to_contain_text("Wrong password")
    check_in_each_look(page)
    page.get_by_role("button", name="Pay with password").click()
    expect(page.get_by_role("link", name="Back to the merchant")).to_be_visible()
    check_in_each_look(page)
    order = new_number()
    open_phone(page, sandbox, "?payer=dora")
    wechat.scan_code(sandbox.code("password", "wechat", "dora"), out_trade_no=order)
    expect(page.get_by_role("heading", name="Waiting for you")).to_be_visible()
    check_in_each_look(page)
    page.get_by_role("button", name="Confirm with password").click()
    expect(page.locator("#waiting-note")).to_contain_text("Paid HKD 88.00.")
    wechat.refund(order, 300)
    page.get_by_role("button", name="Switch on once").click()
    page.get_by_role("link", name="History").click()
    expect(page.locator("#history")).to_contain_text(re.compile(r"\+ CNY.2\.74"))
    expect(page.locator("#faults")).to_contain_text("1 remaining")
    check_in_each_look(page)
    page.get_by_role("button", name="All off").click()
    expect(page.locator("#faults")).to_have_text("No faults are on.")
    open_phone(page, sandbox, "?payer=fay")
    check_in_each_look(page)


@pytest.mark.parametrize("page", [{"viewport": NARROW}, {"viewport": WIDE}], indirect=True)
def test_nothing_overflows_and_every_target_is_large_enough(page: Page, sandbox: Sandbox) -> None:
    wechat_shop.shop(sandbox).scan_code(sandbox.code("password", "wechat_hk", "emil"), body="W" * 60)
    open_phone(page, sandbox, "?payer=emil")
    page.get_by_role("button", name="Show a new code").click()
    expect(page.get_by_role("button", name="Copy the number")).to_be_visible()
    for view in ("Code", "Scan", "History"):
        page.get_by_role("link", name=view, exact=True).click()
        widths = page.evaluate("[document.documentElement.scrollWidth, innerWidth]")
        assert widths[0] <= widths[1]
        targets = targets_of(page)
        assert targets
        for text, width, height in targets:
            assert height >= TARGET_PX, text
            assert width >= TARGET_PX, text


def test_scripts_in_merchants_and_payers_texts_do_not_run(page: Page, sandbox: Sandbox) -> None:
    phone = wechat_shop.shop(sandbox)
    phone.scan_code(sandbox.code("password", "wechat", "chen"), body=SCRIPT)
    phone.scan_code(sandbox.code("pays", "wechat", "chen"), body=SCRIPT)
    open_phone(page, sandbox, "?payer=chen")
    expect(page.locator("#waiting")).to_contain_text(SCRIPT)
    scan(page, SCRIPT)
    expect(page.locator("#link-note")).to_contain_text("does not know this")
    expect(page.locator("#link")).to_have_value(SCRIPT)
    scan(page, phone.order(body=SCRIPT)["code_url"])
    expect(page.locator("#order")).to_contain_text(SCRIPT)
    page.locator("#order-pay").click()
    expect(page.locator("#history li").filter(has_text=SCRIPT)).to_have_count(2)
    page.locator("#waiting").get_by_role("button", name="Decline").click()
    expect(page.locator("#waiting-note")).to_contain_text("Declined")
    page.goto(f"{sandbox.http}/?payer={SCRIPT}&code={SCRIPT}")
    expect(page.locator("#page-note")).to_contain_text("<script>")
    assert page.evaluate("window.ran") is None
    assert page.locator("img, script:not([src='/phone/phone.js'])").count() == 0


def test_the_page_follows_the_books_without_a_reload(page: Page, sandbox: Sandbox) -> None:
    open_phone(page, sandbox, "?payer=bao")
    page.evaluate("window.isTheSame = true")
    page.get_by_label("When a shop scans it").select_option(label="Asks for the password")
    page.get_by_role("button", name="Show a new code").click()
    code = page.locator("#code-number").get_attribute("data-code")
    assert code is not None
    order, offline = new_number(), alipay_shop.shop(sandbox, "offline")
    offline.pay_spot(code, order)
    expect(page.locator("#code-title")).to_have_text("A shop used this code")
    expect(page.locator("#announcement")).to_have_text("Demo Shop requests HKD 39.25.")
    balance = page.locator("#balance").inner_text()
    confirm(sandbox, trade=order)
    expect(page.locator("#waiting")).to_be_empty()
    expect(page.locator("#balance")).not_to_have_text(balance)
    offline.refund_spot(order, new_number(), "39.25")
    expect(page.locator("#announcement")).to_have_text("Demo Shop refunded HKD 39.25.")
    assert page.evaluate("window.isTheSame") is True


def test_the_keyboard_alone_pays_an_order(page: Page, sandbox: Sandbox) -> None:
    link = alipay_shop.shop(sandbox, "online").pc_link(
        new_number(), return_url=f"{sandbox.http}/control/clock"
    )
    open_phone(page, sandbox, "#scan")
    page.get_by_label("Code or link of an order").focus()
    page.keyboard.type("nonsense")
    page.keyboard.press("Enter")
    expect(page.locator("#link")).to_be_focused()
    expect(page.locator("#link")).to_have_attribute("aria-invalid", "true")
    expect(page.locator("#link")).to_have_value("nonsense")
    page.keyboard.press("Control+a")
    page.keyboard.insert_text(link)
    page.keyboard.press("Enter")
    expect(page.locator("#order-title")).to_be_focused()
    assert page.locator("#link").get_attribute("aria-invalid") is None
    page.keyboard.press("Tab")
    expect(page.locator("#order-pay")).to_be_focused()
    assert page.evaluate("getComputedStyle(document.activeElement).outlineStyle") == "solid"
    page.keyboard.press("Enter")
    expect(page.locator("#order-note")).to_be_focused()
    page.keyboard.press("Tab")
    expect(page.get_by_role("link", name="Back to the merchant")).to_be_focused()
    page.keyboard.press("Enter")
    page.wait_for_url("**/control/clock?currency=HKD&out_trade_no=*")


def test_a_payer_with_too_little_money_sees_why_and_another_payer_can_pay(
    page: Page, sandbox: Sandbox
) -> None:
    link = wechat_shop.shop(sandbox).order()["code_url"]
    open_phone(page, sandbox, "?wallet=wechat_hk")
    page.get_by_role("link", name="Ivy Kwok").click()
    expect(page.locator("#balance")).to_have_text(re.compile(r"Balance\s+HKD.5\.00"))
    scan(page, link)
    page.locator("#order-pay").click()
    expect(page.locator("#order-note")).to_be_focused()
    expect(page.locator("#order-note")).to_have_text(
        re.compile("Not enough money, nothing was paid. The balance is HKD.5\\.00.")
    )
    expect(page.locator("#order-pay")).to_be_visible()
    page.get_by_role("link", name="Fay Chan").click()
    scan(page, link)
    page.locator("#order-pay").click()
    expect(page.locator("#order-note")).to_have_text(re.compile(r"Paid HKD.88\.00\."))


def test_a_redrawn_request_keeps_the_focus(page: Page, sandbox: Sandbox) -> None:
    shop = wechat_shop.shop(sandbox)
    first, second = new_number(), new_number()
    shop.scan_code(sandbox.code("password", "wechat", "dora"), out_trade_no=first)
    open_phone(page, sandbox, "?payer=dora")
    page.get_by_role("button", name="Decline").focus()
    focused = page.evaluate("document.activeElement.id")
    shop.scan_code(sandbox.code("password", "wechat", "dora"), out_trade_no=second)
    expect(page.locator("#waiting article")).to_have_count(2)
    assert page.evaluate("document.activeElement.id") == focused
    for order in (first, second):
        confirm(sandbox, "cancel", trade=order)


NOTE_COPIED = """new MutationObserver(() => {
    if (document.querySelector("#copy")?.textContent.includes("Copied")) window.wasCopied = true;
}).observe(document.body, { subtree: true, childList: true, characterData: true })"""


def test_the_number_is_copied(new_page: Callable[..., Page], sandbox: Sandbox) -> None:
    page = new_page(permissions=["clipboard-read", "clipboard-write"])
    open_phone(page, sandbox)
    page.get_by_role("button", name="Show a new code").click()
    expect(page.locator("#code-number")).to_be_visible()
    page.evaluate(NOTE_COPIED)  # the live page may replace the button at any time
    page.get_by_role("button", name="Copy the number").click()
    page.wait_for_function("window.wasCopied")
    copied = page.evaluate("navigator.clipboard.readText()")
    assert re.fullmatch(r"28\d{16}", copied)
    assert copied == page.locator("#code-number").get_attribute("data-code")


def test_the_page_reconnects_to_a_restarted_sandbox(page: Page, own_sandbox: Sandbox) -> None:
    open_phone(page, own_sandbox)
    page.get_by_role("link", name="Scan").click()
    page.get_by_label("Code or link of an order").fill("weixin://what-was-typed")
    own_sandbox.restart(number=signal.SIGKILL)
    alipay_shop.shop(own_sandbox, "offline").pay_spot(own_sandbox.code(), new_number())
    page.get_by_role("link", name="History").click()
    expect(page.locator("#history")).to_contain_text("Milk tea")
    expect(page.locator("#live")).to_have_text("Live")
    own_sandbox.end()
    expect(page.locator("#live")).to_have_text("Reconnecting")
    page.get_by_role("link", name="Scan").click()
    page.get_by_role("button", name="Open", exact=True).click()
    expect(page.locator("#link-note")).to_have_text(
        "The sandbox does not respond. Nothing is lost; try again."
    )
    expect(page.locator("#link")).to_have_value("weixin://what-was-typed")


@pytest.mark.parametrize("page", [{"reduced_motion": "reduce"}], indirect=True)
def test_reduced_motion_disables_animations(page: Page, sandbox: Sandbox) -> None:
    open_phone(page, sandbox)
    assert page.evaluate("getComputedStyle(document.documentElement).scrollBehavior") == "auto"
    durations = page.evaluate(
        "[...new Set([...document.querySelectorAll('*')].map((e) => getComputedStyle(e).transitionDuration))]"
    )
    assert durations == ["0s"]


@pytest.mark.parametrize("page", [{"java_script_enabled": False}], indirect=True)
def test_without_a_script_an_order_can_be_paid(page: Page, sandbox: Sandbox) -> None:
    page.goto(f"{sandbox.http}/?payer=emil")
    page.get_by_role("button", name="Show a new code").click()
    expect(page.get_by_role("img", name="QR code")).to_be_visible()
    page.get_by_label("Code or link of an order").fill(wechat_shop.shop(sandbox).order()["code_url"])
    page.get_by_role("button", name="Open", exact=True).click()
    expect(page.get_by_role("img", name="QR code")).to_be_visible()
    page.get_by_role("button", name="Pay with password").click()
    expect(page.locator("#order-note")).to_contain_text("Paid HKD 88.00.")
    expect(page.locator("#history")).to_contain_text("HKD 88.00")


def test_the_tester_s_clock_shows_the_sandbox_s_time(page: Page, own_sandbox: Sandbox) -> None:
    open_phone(page, own_sandbox)
    page.get_by_role("button", name="Move the clock forward by + 1 day").click()
    expect(page.locator("#tester-note")).to_have_text("The clock was moved forward by 1 day.")
    expect(page.locator("#clock")).to_contain_text("ahead of real time by 1 day")
    time = page.locator("#clock time")
    expect(time).not_to_have_text(time.inner_text())  # the page advances the clock itself
    shown: Any = page.evaluate("Date.parse(document.querySelector('#clock time').textContent + ' UTC+8')")
    ahead_h = (shown - page.evaluate("Date.now()")) / 3_600_000
    assert round(ahead_h) == 24
