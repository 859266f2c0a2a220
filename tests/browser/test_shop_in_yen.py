"""The demo's shop in a currency without decimals: every amount that a payer or a cashier sees is whole."""

from collections.abc import Iterator

import pytest
from playwright.sync_api import Page, expect

from tests.browser.test_shop import order, pay, phone_of
from tests.end_to_end.conftest import private_demo
from tests.end_to_end.rig import Demo


@pytest.fixture(scope="module")
def demo() -> Iterator[Demo]:
    with private_demo("--currency", "JPY") as demo:
        yield demo


def test_total_order_phone_and_refund_are_in_whole_yen(demo: Demo, page: Page) -> None:
    page.goto(demo.shop)
    for _ in range(7):
        page.get_by_role("button", name="One Hong Kong milk tea more").click()
    # 22 HKD at 0.9123 CNY are 416.4 JPY at 0.0482 CNY.
    expect(page.locator("#total")).to_have_text("JPY\xa02,912")
    order(page)
    expect(phone_of(page).get_by_text("JPY\xa02,912").first).to_be_visible()
    pay(page, demo)
    page.get_by_label("Amount in JPY").fill("12.5")
    page.get_by_role("button", name="Refund this amount").click()
    expect(page.locator("#actions")).to_contain_text("JPY\xa02,912 can be refunded")
    page.get_by_label("Amount in JPY").fill("912")
    page.get_by_role("button", name="Refund this amount").click()
    expect(page.locator("#refunds")).to_contain_text("JPY\xa0912 refunded")
    expect(page.locator("#actions")).to_contain_text("JPY\xa02,000 can be refunded")
