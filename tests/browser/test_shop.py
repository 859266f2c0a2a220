"""The demo's shop in a real browser: narrow and wide, light and dark, with the keyboard, live, and without a script."""

import re
from collections.abc import Callable, Iterator
from typing import Final

import pytest
from playwright.sync_api import Page, expect

from tests.browser.conftest import WIDE, check_accessibility, looks
from tests.end_to_end.conftest import private_demo
from tests.end_to_end.rig import Demo

#: By the code that the shop shows beside each method.
ONLINE_METHODS: Final = ("800201", "800151", "800152", "800207")
MORE_METHODS: Final = (
    *("800101", "801101", "801107", "801110", "801501", "801510", "801512", "801514"),
    *("800210", "800212", "800213", "801010"),
)


@pytest.fixture(scope="module")
def demo() -> Iterator[Demo]:
    """A private demo, whose webhooks go to its shop."""
    with private_demo() as demo:
        yield demo


def fill(page: Page, demo: Demo) -> None:
    """Two milk teas."""
    page.goto(demo.shop)
    page.get_by_role("button", name="One Hong Kong milk tea more").click()
    page.get_by_role("button", name="One Hong Kong milk tea more").click()
    expect(page.locator("#total")).to_have_text("HKD\xa044.00")


def order(page: Page) -> None:
    page.get_by_role("button", name="Order and pay").click()
    page.wait_for_url("**/orders/*")


def pay(page: Page, demo: Demo) -> None:
    """Pays with the control API while the order's page is open."""
    link = page.locator("#payer .digits").inner_text()
    demo.scan(link)
    demo.confirm(url=link)
    expect(page.get_by_role("heading", name="Paid", exact=True)).to_be_visible()


def phone_of(page: Page) -> Page:
    """The payer's phone as the order's page opens it."""
    with page.expect_popup() as opened:
        page.locator("#to-phone").click()
    return opened.value


def test_every_state_of_the_shop_is_accessible_and_fits(page: Page, demo: Demo) -> None:
    def check() -> None:
        for look in looks(page):
            check_accessibility(page)
            assert page.evaluate("document.documentElement.scrollWidth <= innerWidth"), look

    fill(page, demo)
    check()
    page.get_by_role("radio", name="800208").check()
    page.get_by_label("Code on the payer's phone").fill("12")
    page.get_by_role("button", name="Order and pay").click()
    expect(page.locator("#errors")).to_be_focused()
    check()
    page.get_by_label("WeChat Pay, QR code").check()
    order(page)
    check()
    pay(page, demo)
    expect(page.locator("#webhooks")).to_contain_text("verified")
    for summary in page.locator("summary").all():
        summary.click()
    check()
    page.get_by_label("Amount in HKD").fill("99")
    page.get_by_role("button", name="Refund this amount").click()
    expect(page.locator("#amount-problem")).to_contain_text("at most HKD\xa044.00")
    check()
    page.get_by_role("link", name="Webhooks").click()
    expect(page.get_by_role("heading", name="Received webhooks")).to_be_visible()
    check()
    page.goto(f"{demo.shop}/nothing")
    expect(page.get_by_role("heading", name="Not found")).to_be_visible()
    check()


def test_an_order_is_made_and_reversed_by_keyboard_alone(page: Page, demo: Demo) -> None:
    page.goto(demo.shop)
    page.get_by_label("Egg tart", exact=True).focus()
    page.keyboard.type("3")
    page.get_by_label("WeChat Pay, QR code").focus()
    for _ in range(5):  # down to the fifth method after it
        page.keyboard.press("ArrowDown")
    expect(page.get_by_role("radio", name="800208")).to_be_checked()
    page.keyboard.press("Tab")  # to the other methods
    page.keyboard.press("Tab")
    page.keyboard.type(demo.code("wechat"))
    page.keyboard.press("Enter")
    expect(page.get_by_role("heading", name="Paid", exact=True)).to_be_visible()
    expect(page.locator(".amount")).to_have_text("HKD\xa033.00")
    page.get_by_role("button", name="Reverse the payment").press("Enter")
    expect(page.get_by_role("heading", name="Reversed")).to_be_visible()


def test_the_page_shows_paid_by_itself_and_keeps_open_details(page: Page, demo: Demo) -> None:
    fill(page, demo)
    order(page)
    page.locator("#exchanges summary").first.press("Enter")
    signed = page.locator("#exchanges pre.signed").first
    expect(signed).to_be_visible()

    pay(page, demo)

    expect(page.locator("#webhooks")).to_contain_text("verified")
    expect(signed).to_contain_text("&txamt=4400&txcurrcd=HKD&")
    expect(signed).to_be_visible()
    expect(page).to_have_title(re.compile("^Paid:"))


@pytest.mark.parametrize("method", [*ONLINE_METHODS, *MORE_METHODS])
def test_an_online_order_is_confirmed_on_the_phone_and_shown_as_paid_by_itself(
    page: Page, demo: Demo, method: str
) -> None:
    fill(page, demo)
    if method in MORE_METHODS:
        page.get_by_text("More payment methods").click()
    page.get_by_role("radio", name=method).check()
    order(page)
    page.evaluate("window.isTheSame = true")
    expect(page.get_by_role("heading", name="Waiting for the payer")).to_be_visible()

    phone = phone_of(page)
    expect(phone.locator("#order")).to_contain_text("HKD\xa044.00")
    phone.get_by_role("button", name="Pay with password").click()

    expect(page.get_by_role("heading", name="Paid", exact=True)).to_be_visible()
    expect(page.locator("#webhooks")).to_contain_text("verified")
    assert page.evaluate("window.isTheSame") is True


def test_a_payer_who_types_a_wrong_password_can_still_pay(page: Page, demo: Demo) -> None:
    fill(page, demo)
    order(page)
    phone = phone_of(page)
    phone.get_by_role("button", name="Wrong password").click()
    expect(phone.locator("#order-note")).to_contain_text("Wrong password")
    page.get_by_role("button", name="Query the gateway now").click()
    expect(page.get_by_role("heading", name="Waiting for the payer")).to_be_visible()

    phone.get_by_role("button", name="Pay with password").click()

    expect(page.get_by_role("heading", name="Paid", exact=True)).to_be_visible()


def test_a_code_with_insufficient_funds_is_refused_and_the_basket_can_be_ordered_again(
    new_page: Callable[..., Page], demo: Demo
) -> None:
    phone = new_page()
    phone.goto(f"{demo.sandbox}/?wallet=wechat")
    phone.get_by_label("When a shop scans it").select_option(label="Not enough money")
    phone.get_by_role("button", name="Show a new code").click()
    expect(phone.locator("#code-number")).to_be_visible()
    page = new_page(viewport=WIDE)
    fill(page, demo)
    page.get_by_role("radio", name="800208").check()
    page.get_by_label("Code on the payer's phone").fill(phone.locator("#code-number").inner_text())
    order(page)

    expect(page.get_by_role("heading", name="Not paid")).to_be_visible()
    expect(page.locator("#standing")).to_contain_text("1201")
    check_accessibility(page)
    page.get_by_role("link", name="Change and order again").click()

    expect(page.locator("#total")).to_have_text("HKD\xa044.00")
    expect(page.get_by_label("Code on the payer's phone")).to_have_value("")


def test_a_refund_is_shown_in_the_shop_and_on_the_phone(page: Page, demo: Demo) -> None:
    fill(page, demo)
    page.get_by_role("radio", name="800151").check()
    order(page)
    phone = phone_of(page)
    phone.get_by_role("button", name="Pay with password").click()
    page.get_by_label("Amount in HKD").fill("12.5")
    page.get_by_role("button", name="Refund this amount").click()

    expect(page.get_by_role("heading", name="Paid, partially refunded")).to_be_visible()
    expect(page.locator("#refunds")).to_contain_text("HKD\xa012.50 refunded")
    expect(page.locator("#actions")).to_contain_text("HKD\xa031.50 can be refunded")
    expect(phone.locator("#announcement")).to_contain_text("refunded HKD\xa012.50")


def test_typed_input_stays_while_the_page_is_redrawn(page: Page, demo: Demo) -> None:
    fill(page, demo)
    order(page)
    pay(page, demo)
    amount = page.get_by_label("Amount in HKD")
    amount.fill("7.25")

    with page.expect_response(lambda answer: "/orders/" in answer.url):
        pass
    with page.expect_response(lambda answer: "/orders/" in answer.url):
        pass

    expect(amount).to_have_value("7.25")
    expect(amount).to_be_focused()


def test_everything_works_without_a_script(new_page: Callable[..., Page], demo: Demo) -> None:
    page = new_page(java_script_enabled=False, viewport=WIDE)
    page.goto(demo.shop)
    expect(page.get_by_role("button", name="One Egg tart more")).to_be_hidden()
    page.get_by_label("Egg tart", exact=True).fill("2")
    page.get_by_role("button", name="Calculate the total").click()
    expect(page.locator("#total")).to_have_text("HKD\xa022.00")
    page.get_by_role("radio", name="800228").check()
    page.get_by_label("Code on the payer's phone").fill(demo.code("wechat_hk"))
    order(page)
    expect(page.get_by_role("heading", name="Paid", exact=True)).to_be_visible()
    page.get_by_label("Amount in HKD").fill("1")
    page.get_by_role("button", name="Refund this amount").click()
    expect(page.locator("#refunds")).to_contain_text("HKD\xa01.00")
