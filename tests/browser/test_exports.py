"""The pages of exports in a real browser: readable, printable on A4, without scripts and other files."""

from collections.abc import Callable
from typing import Final

from playwright.sync_api import Page, expect

from tael.settlement.domain.movement import EntrySum, currency_totals, method_totals
from tael.settlement.exports import Format, Head, writer_of
from tael.settlement.movement_columns import MOVEMENTS, method_grid, total_grid
from tael.settlement.payout_columns import PAYOUTS
from tests.browser.conftest import check_accessibility
from tests.unit.settlement.test_exports import REFUND, named

NAME: Final = "海港茶餐廳 <Harbour> & Tea"
SUMS: Final = [
    EntrySum("HKD", "payment", "800208", "wechat_v2", 12, 123_450),
    EntrySum("HKD", "refund", "800208", "wechat_v2", 1, -1_250),
]
#: A4 across, less margins of 12 mm, in CSS pixels.
PRINTED: Final = (1032, 703)


def document() -> str:
    grids = [total_grid(currency_totals({"HKD": 25_000}, SUMS)), method_grid(method_totals(SUMS))]
    writer = writer_of(Format.HTML, MOVEMENTS, Head("Account statement", {"Merchant": NAME}, grids, {}))
    return (writer.begin() + writer.page([REFUND] * 5) + writer.end()).decode()


def test_an_account_statement_is_readable_and_fits_on_paper(new_page: Callable[..., Page]) -> None:
    page = new_page(viewport={"width": PRINTED[0], "height": PRINTED[1]})
    page.set_content(document())
    expect(page.get_by_text(NAME)).to_be_visible()
    expect(page.get_by_role("cell", name="-12.42")).to_have_count(5)
    check_accessibility(page)
    page.emulate_media(media="print")
    widths = page.evaluate("[...document.querySelectorAll('table')].map(table => table.scrollWidth)")
    assert max(widths) <= PRINTED[0]
    assert page.evaluate("document.documentElement.scrollWidth") <= PRINTED[0]
    payouts = writer_of(Format.HTML, PAYOUTS, Head("Payouts", {}, (), {}))
    page.set_content((payouts.begin() + payouts.page([named("A" * 64)]) + payouts.end()).decode())
    assert page.evaluate("document.documentElement.scrollWidth") <= PRINTED[0]
    sheets = page.pdf(prefer_css_page_size=True)
    assert b"/MediaBox [0 0 841" in sheets  # A4 is 842 points wide
