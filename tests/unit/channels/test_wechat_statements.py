"""WeChat Pay's bills: every documented form is read, and an incomplete or foreign one is refused.

Headings and cells are those of the overseas document of `downloadbill` and of the mainland's.
"""

from collections.abc import Callable
from datetime import UTC, datetime
from itertools import product
from typing import Final

import pytest

from tael.base.money import Money
from tael.channels.statements import LineType, StatementLine, StatementRefused
from tael.channels.wechat_v2.statements import read, recognizes
from tael_sandbox.wechat.bills import BILL_TYPES, bill_text

HEADING_LINE: Final = (
    "Transaction time,Official account ID,Vendor ID,Sub vendor ID,Device ID,Wechat order number,Vendor order number,"
    "User tag,Transaction type,Transaction status,Payment bank,Currency type,Total amount,Coupon amount,"
    "Wechat refund number,Vendor refund number,Refund amount,Coupon refund amount,Refund type,Refund status,"
    "Product name,Vendor's data package,Fee,Rate,Payment currency type,Cash payment amount,Settlement currency type,"
    "Settlement currency amount,Exchange rate,Refund exchange rate,Payer's refund amount,Payer's refund currency type,"
    "Refund currency type,Refund settlement currency type,Refund settlement amount"
)
HEADINGS: Final = HEADING_LINE.split(",")
TOTALS: Final = (
    "Total transaction count,Total transaction amount,Total refund amount,Total coupon refund amount,"
    "Total commission amount"
)
PAID: Final = {
    "Transaction time": "2026-01-02 11:04:05",
    "Vendor ID": "1900000109",
    "Sub vendor ID": "1900000110",
    "Wechat order number": "4200001",
    "Vendor order number": "202601020100990000000001",
    "Transaction status": "SUCCESS",
    "Currency type": "HKD",
    "Total amount": "10.00",
    "Refund amount": "0",
    "Coupon refund amount": "0",
    "Wechat refund number": "0",
    "Vendor refund number": "0",
    "Product name": "tea, green, 2 boxes",
    "Fee": "0.06012",
    "Settlement currency type": "USD",
    "Settlement currency amount": "1.28",
    "Exchange rate": "12800000",
}
RETURNED: Final = PAID | {
    "Transaction time": "2026-01-02 12:00:00",
    "Transaction status": "REFUND",
    "Total amount": "0",
    "Wechat refund number": "5000001",
    "Vendor refund number": "202601020100990000000002",
    "Refund amount": "4.00",
    "Refund status": "PROCESSING",
    "Fee": "-0.02400",
    "Refund currency type": "HKD",
    "Refund settlement currency type": "USD",
    "Refund settlement amount": "0.51",
    "Refund exchange rate": "12750000",
}
REVERSED: Final = RETURNED | {
    "Transaction status": "REVOKED",
    "Vendor refund number": "0",
    "Wechat refund number": "0",
    "Refund status": "SUCCESS",
}
PAYMENT: Final = StatementLine(
    number=2,
    type=LineType.PAYMENT,
    syssn="202601020100990000000001",
    payment_syssn="202601020100990000000001",
    wallet_ref="4200001",
    wallet_refund_ref="",
    at=datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC),
    amount=Money(1000, "HKD"),
    fee_micros=60_120,
    settlement=Money(128, "USD"),
    rate_e8=12_800_000,
    settled_at=None,
    state="SUCCESS",
    identity="1900000109/1900000110",
)
REFUND: Final = StatementLine(
    number=3,
    type=LineType.REFUND,
    syssn="202601020100990000000002",
    payment_syssn="202601020100990000000001",
    wallet_ref="4200001",
    wallet_refund_ref="5000001",
    at=datetime(2026, 1, 2, 4, 0, 0, tzinfo=UTC),
    amount=Money(400, "HKD"),
    fee_micros=24_000,
    settlement=Money(51, "USD"),
    rate_e8=12_750_000,
    settled_at=None,
    state="PROCESSING",
    identity="1900000109/1900000110",
)


def row(cells: dict[str, str], headings: list[str] = HEADINGS, first: str = "`") -> str:
    return first + ",`".join(cells.get(heading, "") for heading in headings)


def bill(*rows: str, headings: list[str] = HEADINGS, totals: str = "", names: str = TOTALS) -> list[str]:
    return [f"{line}\r\n" for line in (",".join(headings), *rows, names, totals)]


GOOD: Final = bill(row(PAID), row(RETURNED), totals="`2,`10.00,`4.00,`0,`0.03612")


def read_all(lines: list[str]) -> list[StatementLine]:
    return list(read(lines).lines)


def test_a_bill_is_read_line_by_line() -> None:
    assert read_all(GOOD) == [PAYMENT, REFUND]
    assert read(GOOD).unknown_columns == 0
    assert recognizes(GOOD[0])


def test_a_reversal_has_the_number_of_its_order() -> None:
    (line,) = read_all(bill(row(REVERSED), totals="`1,`0,`4.00,`0,`-0.02400"))
    assert (line.type, line.syssn, line.wallet_refund_ref) == (LineType.REVERSAL, PAYMENT.syssn, "")
    assert line.amount == Money(400, "HKD")


@pytest.mark.parametrize(
    "change",
    [
        lambda lines: ["\ufeff" + lines[0], *lines[1:]],
        lambda lines: [line.replace("\r\n", "\n") for line in lines],
        lambda lines: [lines[0], lines[1].removeprefix("`"), *lines[2:]],
        lambda lines: [*lines[:-1], lines[-1].rstrip()],
        lambda lines: [*lines, "\r\n"],
    ],
    ids=[
        "byte order mark",
        "LF",
        "first cell without a back-quote",
        "no last line end",
        "an empty last line",
    ],
)
def test_small_differences_are_accepted(change: Callable[[list[str]], list[str]]) -> None:
    assert read_all(change(GOOD)) == [PAYMENT, REFUND]


def test_columns_are_found_by_their_names_in_any_order_and_unknown_ones_are_counted() -> None:
    headings = [*reversed(HEADINGS), "Installments"]
    lines = bill(
        row(PAID, headings), row(RETURNED, headings), headings=headings, totals="`2,`10.00,`4.00,`0,`0.03612"
    )
    assert read_all(lines) == [PAYMENT, REFUND]
    assert read(lines).unknown_columns == 1


def test_the_mainlands_headings_are_read() -> None:
    headings = (
        "交易时间,公众账号ID,商户号,特约商户号,设备号,微信订单号,商户订单号,用户标识,交易类型,交易状态,付款银行,"
        "货币种类,应结订单金额,代金券金额,微信退款单号,商户退款单号,退款金额,充值券退款金额,退款类型,退款状态,"
        "商品名称,商户数据包,手续费,费率,订单金额,申请退款金额,费率备注"
    )
    cells = (
        "`2026-01-02 11:04:05,`wx1,`1900000109,`0,`,`4200001,`202601020100990000000001,`o1,`NATIVE,`SUCCESS,`CMB,"
        "`CNY,`10.00,`0.00,`0,`0,`0.00,`0.00,`,`,`茶,`,`0.06000,`0.60%,`10.00,`0.00,`"
    )
    names = "总交易单数,应结订单总金额,退款总金额,充值券退款总金额,手续费总金额,订单总金额,申请退款总金额"
    lines = [
        f"{line}\r\n" for line in (headings, cells, names, "`1,`10.00,`0.00,`0.00,`0.06000,`10.00,`0.00")
    ]

    (line,) = read_all(lines)

    assert (line.amount, line.fee_micros, line.settlement) == (Money(1000, "CNY"), 60_000, None)
    assert line.identity == "1900000109/"
    assert read(lines).unknown_columns == 0


def test_the_yen_has_no_decimals_and_a_fee_has_five() -> None:
    yen = PAID | {"Currency type": "JPY", "Total amount": "1200", "Fee": "7.20001"}
    (line,) = read_all(bill(row(yen), totals="`1,`1200,`0,`0,`7.20001"))
    assert (line.amount, line.fee_micros) == (Money(1200, "JPY"), 7_200_010)


def test_a_day_without_transactions_is_empty() -> None:
    error = (
        "<xml><return_code><![CDATA[FAIL]]></return_code><return_msg><![CDATA[{}]]></return_msg>"
        "<error_code>20002</error_code></xml>"
    )
    assert read_all([error.format("No Bill Exist")]) == []
    assert read_all(bill(totals="`0,`0,`0,`0,`0")) == []
    with pytest.raises(StatementRefused, match="Bill Creating"):
        read([error.format("Bill Creating")])


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        (GOOD[:3], "line 4: the totals are missing"),
        (GOOD[:4], "line 4: the totals are missing"),
        ([*GOOD[:2], GOOD[2][:80]], "line 3: .* cells under 35 headings: the file is incomplete"),
        ([GOOD[0], GOOD[1], *GOOD[3:]], "line 4, column Total transaction count: the total is 2"),
        (
            bill(row(PAID), totals="`1,`10.01,`0,`0,`0.06012"),
            "line 4, column Total transaction amount: the total is 10.01, that of the lines 10.00",
        ),
        (
            bill(row(PAID), totals="`1,`10.00,`0,`0,`0.06011"),
            "line 4, column Total commission amount: the total is 0.06011",
        ),
        (bill(row(PAID), totals="`1,`10.00,`0,`0"), "line 4: 4 cells under 5 headings"),
        ([*GOOD, GOOD[1]], "line 6: text after the totals"),
        (bill(row(PAID | {"Total amount": "ten"})), "line 2, column Total amount: not a number: 'ten'"),
        (
            bill(row(PAID | {"Total amount": "10.005"})),
            "line 2, column Total amount: not an amount of HKD: '10.005'",
        ),
        (
            bill(row(PAID | {"Transaction time": "2026-01-32 00:00:00"})),
            "line 2, column Transaction time: not a time",
        ),
        (
            bill(row(PAID | {"Transaction status": "LOST"})),
            "line 2, column Transaction status: not documented",
        ),
        (
            bill(row(RETURNED | {"Vendor refund number": "0"})),
            "line 2, column Vendor refund number: the cell is",
        ),
        (
            bill(row(PAID | {"Vendor order number": "1\x1b[2J"})),
            "line 2, column Vendor order number: not a text",
        ),
        (["Fee,Fee\r\n"], "line 1, column Fee: the column is there twice"),
        (["a,b\r\n"], "line 1: no heading of a bill"),
        ([], "line 1: no heading of a bill"),
    ],
)
def test_an_incomplete_or_unreadable_bill_is_refused_with_the_place(lines: list[str], message: str) -> None:
    with pytest.raises(StatementRefused, match=f"^{message}"):
        read_all(lines)


@pytest.mark.parametrize(("bill_type", "language"), list(product(BILL_TYPES, ("en", "zh"))))
def test_every_bill_of_the_sandbox_is_read(bill_type: str, language: str) -> None:
    statuses = BILL_TYPES[bill_type][1]
    times = {"Payment time": "2026-01-01 08:00:00", "Refund application time": "2026-01-02 12:00:00"}
    rows = [cells | times for cells in (PAID, RETURNED, REVERSED) if cells["Transaction status"] in statuses]
    text = bill_text(bill_type, rows, language)

    lines = read_all(text.splitlines(keepends=True))

    types = {"SUCCESS": LineType.PAYMENT, "REFUND": LineType.REFUND, "REVOKED": LineType.REVERSAL}
    assert [line.type for line in lines] == [types[status] for status in statuses]
    assert {line.at.date().isoformat() for line in lines} == {"2026-01-02"}
    assert read(text.splitlines(keepends=True)).unknown_columns == 0
