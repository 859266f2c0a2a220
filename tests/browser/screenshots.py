"""Takes the screenshots for the documents: `make screenshots` starts a demo and makes some payments in it.

The pictures change with each run (numbers, times, codes), so they are updated manually when a page's look has changed.
"""

import sys
from collections.abc import Callable
from typing import Final

from playwright.sync_api import Browser, Page, expect, sync_playwright

from tests.browser.chromium import known_chromium
from tests.browser.conftest import NO_BROWSER, SWITCHES
from tests.end_to_end.checkout import choose, opened
from tests.end_to_end.conftest import merchant_of, private_demo
from tests.end_to_end.rig import ROOT, Demo

PICTURES: Final = ROOT / "docs" / "pictures"
DESKTOP: Final = {"width": 1180, "height": 860}
PHONE: Final = {"width": 390, "height": 820}

Open = Callable[[dict[str, int]], Page]


def main() -> int:
    if known_chromium() is None:
        print(NO_BROWSER, file=sys.stderr)
        return 1
    PICTURES.mkdir(exist_ok=True)
    with private_demo() as demo, sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=known_chromium(), args=list(SWITCHES))
        for draw in (draw_shop_and_phone, draw_code, draw_cashier):
            draw(demo, opener(browser))
        browser.close()
    return 0


def opener(browser: Browser) -> Open:
    def open_page(viewport: dict[str, int]) -> Page:
        return browser.new_page(
            viewport=viewport,  # type: ignore[arg-type]
            color_scheme="light",
            reduced_motion="reduce",  # otherwise a picture may show a scrolling page
            locale="en-GB",
        )

    return open_page


def save(page: Page, name: str) -> None:
    page.wait_for_load_state()
    path = PICTURES / f"{name}.png"
    page.screenshot(path=path, animations="disabled")
    print(path.relative_to(ROOT))


def draw_shop_and_phone(demo: Demo, open_page: Open) -> None:
    """A basket, its order on the payer's phone, and the paid order."""
    shop = open_page(DESKTOP)
    shop.goto(demo.shop)
    for article in ("Hong Kong milk tea", "Egg tart", "Egg tart"):
        shop.get_by_role("button", name=f"One {article} more").click()
    save(shop, "shop")
    shop.get_by_role("button", name="Order and pay").click()
    link = shop.locator("#to-phone").get_attribute("href")
    assert link is not None
    phone = open_page(PHONE)
    phone.goto(link)
    expect(phone.locator("#live")).to_have_text("Live")
    save(phone, "phone-order")
    phone.get_by_role("button", name="Pay with password").click()
    expect(shop.locator("#webhooks")).to_contain_text("verified")
    shop.locator("#exchanges summary").first.click()
    save(shop, "shop-order")


def draw_code(demo: Demo, open_page: Open) -> None:
    phone = open_page(DESKTOP)
    phone.goto(f"{demo.sandbox}/?wallet=alipay")
    phone.get_by_role("button", name="Show a new code").click()
    expect(phone.get_by_role("img", name="Barcode")).to_be_visible()
    save(phone, "phone-code")


def draw_cashier(demo: Demo, open_page: Open) -> None:
    """The cashier page behind a checkout link, in English and in Chinese."""
    merchant = merchant_of(demo, "published")
    for name, query in (("cashier", "lang=en"), ("cashier-zh", "lang=zh-hk")):
        path = choose(merchant, opened(merchant), "wechat").headers["location"].partition("?")[0]
        page = open_page(PHONE)
        page.goto(f"{demo.gateway}{path}?{query}")
        expect(page.get_by_role("timer")).to_be_visible()
        save(page, name)


if __name__ == "__main__":
    sys.exit(main())
