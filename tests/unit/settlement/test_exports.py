"""Exports: no text of a merchant or payer becomes a formula or markup, in any format, and numbers stay numbers."""

import csv
import io
import json
from collections.abc import Callable, Iterable
from dataclasses import fields, replace
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any, Final

import pytest

from tael.settlement.domain.movement import EntrySum, Movement, currency_totals, method_totals
from tael.settlement.domain.payout import KindSum, Slot, new_payout
from tael.settlement.domain.terms import Cycle, PayoutTerms
from tael.settlement.exports import FORMULA, Columns, Format, Head, csv_of, without_formula, writer_of
from tael.settlement.movement_columns import MOVEMENTS, method_grid, movements_csv, total_grid
from tael.settlement.payout_columns import PAYOUTS, NamedPayout, calculation

AT: Final = datetime(2026, 1, 1, 18, 0, tzinfo=UTC)  # two o'clock of January 2 in UTC+8
REFUND: Final = Movement(
    at=AT,
    kind="refund",
    syssn="202601020100990000000002",
    payment_syssn="202601020100990000000001",
    reference="R-1",
    pay_type="800208",
    protocol="wechat_v2",
    subject="奶茶, large",
    device="till 3",
    currency="HKD",
    amount_minor=-1250,
    fee_minor=8,
    wallet_fee_micros=60_120,
    settled_at=AT,
)
#: What a spreadsheet runs: OWASP's list, and the same typed on a Chinese keyboard.
HOSTILE: Final = [
    *("=1+1", "+1", "-1", "@SUM(A1)", "\t=1", "\r=1", "\n=1", "＝1", "＋1", "－1", "＠a"),
    '=HYPERLINK("http://x","y")',
    "-2+3|cmd",
]
HEAD: Final = Head("Title", {"Merchant": "<b>=1</b>"}, [], {"name": "=1"})
SUMS: Final = [KindSum("payment", True, 2, 10_000), KindSum("refund", False, 1, 2_500)]
PAYOUT: Final = new_payout(
    PayoutTerms("m", "HKD", Cycle.DAILY, None, 0, 100_000, 7, date(2026, 1, 1)),
    Slot(3, date(2026, 1, 3), date(2026, 1, 3), -50, 20),
    SUMS,
    "aPayout",
    AT,
)


def named(text: str | None) -> NamedPayout:
    """A payout whose texts are all `text`, or an honest one."""
    payout = PAYOUT if text is None else replace(PAYOUT, mchid=text, payout_id=text, bank_reference=text)
    return NamedPayout(text or "茶 Tea", payout)


def moved(text: str | None) -> Movement:
    names = ("kind", "syssn", "payment_syssn", "reference", "pay_type", "protocol", "subject", "device")
    return REFUND if text is None else replace(REFUND, **dict.fromkeys(names, text))  # type: ignore[arg-type]


#: Each kind of exported rows, and a row with a given text wherever it has one.
EXPORTED: Final[list[tuple[Columns[Any], Callable[[str | None], Any]]]] = [
    (MOVEMENTS, moved),
    (PAYOUTS, named),
]


def cells_of(columns: Columns[Any], rows: Iterable[Any]) -> list[list[str]]:
    """The cells of a CSV file as another program reads them, without the headings."""
    text = b"".join(csv_of(columns, rows)).decode("utf-8-sig")
    return list(csv.reader(io.StringIO(text, newline=""), strict=True))[1:]


def written(form: Format, columns: Columns[Any], *pages: list[Any], head: Head = HEAD) -> str:
    writer = writer_of(form, columns, head)
    return b"".join([writer.begin(), *map(writer.page, pages), writer.end()]).decode("utf-8-sig")


@pytest.mark.parametrize(("columns", "row_with"), EXPORTED)
def test_no_text_of_any_export_is_a_formula(
    columns: Columns[Any], row_with: Callable[[str | None], Any]
) -> None:
    (clean,) = cells_of(columns, [row_with(None)])
    texts = [place for place, cell in enumerate(clean) if columns.headings[place] not in columns.numbers]
    for text in HOSTILE:
        (cells,) = cells_of(columns, [row_with(text)])
        changed = [place for place in texts if cells[place] != clean[place]]
        assert len(changed) >= 4
        for place in changed:
            assert cells[place] == f"'{text}", (columns.headings[place], text)
        numbers = [cell for place, cell in enumerate(cells) if place not in texts]
        assert numbers == [cell for place, cell in enumerate(clean) if place not in texts]


def test_every_text_of_a_row_is_replaced_in_these_tests() -> None:
    """So that a new field of a merchant's or payer's is not forgotten."""
    honest = {"HKD", PAYOUT.cycle, PAYOUT.state}
    movement, named_payout = moved("=1"), named("=1")
    for row in (movement, named_payout, named_payout.payout):
        values = [getattr(row, field.name) for field in fields(row)]
        assert {text for text in values if isinstance(text, str)} <= {"=1", *honest}


def test_the_marks_of_a_formula_are_those_of_owasp() -> None:
    assert {text[0] for text in HOSTILE} == set(FORMULA)
    assert [without_formula(text) for text in ("=1", "tea", "", "'=1", "a=1")] == [
        "'=1",
        "tea",
        "",
        "'=1",
        "a=1",
    ]


def test_a_row_in_csv_has_amounts_in_major_units_and_signs() -> None:
    text = b"".join(movements_csv([REFUND, replace(REFUND, currency="JPY", subject='say "tea"\nplease')]))
    assert text.startswith(b"\xef\xbb\xbftime,type,syssn,out_trade_no,")
    assert text.count(b"\r\n") == 3
    assert set(MOVEMENTS.numbers) < set(MOVEMENTS.headings)
    first, second = cells_of(
        MOVEMENTS, [REFUND, replace(REFUND, currency="JPY", subject='say "tea"\nplease')]
    )
    assert first == [
        *(
            "2026-01-02T02:00:00+08:00",
            "refund",
            "202601020100990000000002",
            "R-1",
            "202601020100990000000001",
        ),
        *(
            "800208",
            "wechat",
            "奶茶, large",
            "till 3",
            "HKD",
            "-12.50",
            "0.08",
            "-12.42",
            "0.060120",
            "2026-01-02",
        ),
    ]
    assert second[7] == 'say "tea"\nplease'
    assert second[9:13] == ["JPY", "-1250", "8", "-1242"]
    assert cells_of(MOVEMENTS, [replace(REFUND, wallet_fee_micros=None, settled_at=None)])[0][13:] == ["", ""]


@pytest.mark.parametrize("pages", [[], [[REFUND]], [[REFUND, REFUND], [REFUND]]])
def test_json_is_one_object_however_many_pages(pages: list[list[Movement]]) -> None:
    found = json.loads(written(Format.JSON, MOVEMENTS, *pages))
    assert found["name"] == "=1"
    assert len(found["movements"]) == sum(map(len, pages))
    for row in found["movements"]:
        assert (row["amount_minor"], row["fee_minor"], row["net_minor"]) == (-1250, 8, -1242)
        assert (row["goods_name"], row["settled_on"]) == ("奶茶, large", "2026-01-02")


@pytest.mark.parametrize(("columns", "row_with"), EXPORTED)
def test_html_is_escaped(columns: Columns[Any], row_with: Callable[[str | None], Any]) -> None:
    page = written(Format.HTML, columns, [row_with("<script>alert('\"')</script>")])
    assert "<script" not in page
    assert "&lt;b&gt;=1&lt;/b&gt;" in page
    assert page.count("&lt;script&gt;") >= 4


def test_a_payout_has_its_calculation_with_the_signs_of_the_balance() -> None:
    (cells,) = cells_of(PAYOUTS, [named(None)])
    row = dict(zip(PAYOUTS.headings, cells, strict=True))
    assert (row["name"], row["opening"], row["paid"], row["refunded"]) == (
        "茶 Tea",
        "-0.50",
        "100.00",
        "-25.00",
    )
    # A tenth of 7,500 is held; 7,500 - 50 + 20 - 750 are paid.
    assert (row["reserve_released"], row["reserve_held"], row["amount"]) == ("0.20", "-7.50", "67.20")
    assert (row["carried"], row["state"], row["first_day"]) == ("0.00", "CREATED", "2026-01-03")
    (found,) = json.loads(written(Format.JSON, PAYOUTS, [named(None)]))["payouts"]
    assert (found["amount_minor"], found["reserve_held_minor"], found["terms"]["reserve_days"]) == (
        6_720,
        750,
        7,
    )
    grid = calculation(PAYOUT)
    amounts = [cell for _, _, cell in grid.rows if isinstance(cell, Decimal)]
    assert sum(amounts[:-2]) == sum(amounts[-2:]) == Decimal("67.20")


def test_totals_add_up_to_the_closing_balance() -> None:
    def of(kind: str, amount_minor: int, pay_type: str = "800208", count: int = 1) -> EntrySum:
        return EntrySum("HKD", kind, pay_type, "wechat_v2" if pay_type else "", count, amount_minor)

    sums = [
        *(of("payment", 5000, count=2), of("payment", 700, "800108"), of("fee", -40), of("refund", -1000)),
        *(of("fee_back", 8), of("reversal", -700, "800108"), of("payout", -2000, "")),
        *(of("reserve_held", -300, ""), of("reserve_released", 100, ""), of("converted_in", 55, "")),
    ]
    (total,) = currency_totals({"HKD": 250, "JPY": 0}, sums)
    assert (total.opening_minor, total.closing_minor) == (
        250,
        250 + 5700 - 40 - 1000 + 8 - 700 - 2000 - 200 + 55,
    )
    assert (total.payments, total.paid_minor, total.refunds, total.refunded_minor) == (3, 5700, 1, -1000)
    assert (total.reversals, total.reversed_minor, total.fee_minor, total.fee_back_minor) == (1, -700, -40, 8)
    assert (total.payout_minor, total.reserve_minor, total.other_minor) == (-2000, -200, 55)
    alipay, wechat = method_totals(sums)
    assert (alipay.pay_type, alipay.paid_minor, alipay.refunded_minor, alipay.net_minor) == (
        "800108",
        700,
        -700,
        0,
    )
    assert (wechat.payments, wechat.scene, wechat.fee_minor, wechat.net_minor) == (2, "offline", -32, 3968)
    assert [each.closing_minor for each in currency_totals({"JPY": 9}, [])] == [9]
    grids = [total_grid([total]), method_grid([wechat])]
    assert all(len(grid.headings) == len(grid.rows[0]) for grid in grids)
    assert "3968" not in written(Format.CSV, MOVEMENTS, head=replace(HEAD, grids=grids))
    assert "39.68" in written(Format.HTML, MOVEMENTS, head=replace(HEAD, grids=grids))
