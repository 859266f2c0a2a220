"""Alipay's files of the portal: the zip of a settlement, whose batches are sums of lines, and the files of shops.

Names and columns are those of Alipay's overseas document of reconciliation files.
"""

from collections.abc import Iterator, Mapping
from datetime import date
from typing import Final

import pytest

from tael.base.money import Money
from tael.channels.alipay_mapi.statements import STATEMENTS, read, read_name, recognizes
from tael.channels.statements import (
    BundleMember,
    FileName,
    LineType,
    RemittedBatch,
    StatementContent,
    StatementKind,
    StatementRefused,
)

PID: Final = "2088000000000001"
DAY: Final = date(2026, 1, 5)
HEADING: Final = (
    "Partner_transaction_id,Transaction_id,Amount,Rmb_amount,Fee,Settlement,Rmb_settlement,Currency,Rate,"
    "Payment_time,Settlement_time,Type,Status,Remarks,Secondary_merchant_industry,Secondary_merchant_name\n"
)


def row(number: str, amount: str, fee: str, currency: str = "HKD", type_: str = "P", day: str = "02") -> str:
    return (
        f"{number},2026{number},{amount},0,{fee},0,0,{currency},0.9,2026-01-{day} 11:04:05,2026-01-05 09:00:00,"
        f'{type_},L,"tea, green",5812,Tea House\n'
    )


BATCHES: Final = "Settle_batch_no,Settle_date,Amount,Fee,Settlement,Currency\n"
LIST: Final = f"{PID}_settlebatch_20260105.csv"
FILES: Final = {
    LIST: (
        BATCHES + "B1,20260105,71.25,1.50,69.75,HKD\n"
        "B2,2026-01-05,900,11,889,JPY\n"
        "B3,2026-01-05 09:00:00,-30.00,-0.36,-29.64,HKD\n"
    ),
    f"{PID}_settle_20260105_B1.csv": (
        HEADING
        + row("a", "50.25", "0.90")
        + row("b", "51.00", "0.60", day="04")
        + row("r", "-30.00", "0", type_="R")
    ),
    f"{PID}_settle_20260105_B2.csv": HEADING + row("c", "900", "11", "JPY"),
    # The amounts of refunds are printed without a sign as well: the type is the direction.
    f"{PID}_settle_20260105_B3.csv": HEADING + row("d", "30.00", "0.36", type_="CANCEL", day="03"),
}
READ: Final = (
    RemittedBatch("B1", DAY, date(2026, 1, 2), date(2026, 1, 4), "HKD", 10125, 3000, 150),
    RemittedBatch("B2", DAY, date(2026, 1, 2), date(2026, 1, 2), "JPY", 900, 0, 11),
    RemittedBatch("B3", DAY, date(2026, 1, 3), date(2026, 1, 3), "HKD", 0, 3000, -36),
)


def members(files: Mapping[str, str]) -> list[BundleMember]:
    def lines(text: str) -> Iterator[str]:
        return iter(text.splitlines(keepends=True))

    return [BundleMember(name, lambda text=text: lines(text)) for name, text in files.items()]  # type: ignore[misc]


def bundle(files: Mapping[str, str]) -> StatementContent:
    assert STATEMENTS.read_bundle is not None
    return STATEMENTS.read_bundle(members(files))


def test_a_zip_has_exact_remittances_and_all_lines() -> None:
    content = bundle(FILES)
    assert content.remittances == READ
    assert (content.kind, content.day, content.identity) == (StatementKind.SETTLEMENT, DAY, PID)
    lines = list(content.lines)
    # Numbered through all files, whose headings count.
    assert [(each.number, each.syssn) for each in lines] == [(2, "a"), (3, "b"), (4, "r"), (6, "c"), (8, "d")]
    assert (lines[2].type, lines[2].amount, lines[0].wallet_ref) == (
        LineType.REFUND,
        Money(3000, "HKD"),
        "2026a",
    )
    assert content.unknown_columns == 0


def changed(name: str, old: str, new: str) -> dict[str, str]:
    path = LIST if name == "list" else f"{PID}_settle_20260105_{name}.csv"
    assert old in FILES[path]
    return {**FILES, path: FILES[path].replace(old, new, 1)}


def without(name: str) -> dict[str, str]:
    return {path: text for path, text in FILES.items() if not path.endswith(f"{name}.csv")}


@pytest.mark.parametrize(
    ("files", "message"),
    [
        (changed("list", "71.25", "71.26"), f"{LIST}: line 2, column Amount: 7126 .*, but 7125 by the lines"),
        (changed("list", "69.75", "69.76"), f"{LIST}: line 2, column Settlement: 6976 .*, but 6975"),
        (changed("list", "1.50,69.75", "1.51,69.74"), f"{LIST}: line 2, column Fee: the fee of the lines is 1500000"),
        (changed("B1", row("b", "51.00", "0.60", day="04"), ""), f"{LIST}: line 2, column Fee"),
        (changed("B1", ',5812,Tea House\nr', "\nr"), f"{PID}_settle_20260105_B1.csv: line 3: 14 cells"),
        (changed("B3", "Tea House\n", ""), f"{PID}_settle_20260105_B3.csv: line 2: .* no end"),
        (changed("B2", "JPY", "HKD"), f"{LIST}: line 3, column Settle_batch_no: without lines of JPY"),
        (changed("B2", "Status", "State"), f"{PID}_settle_20260105_B2.csv: line 1: .* without Status"),
        (changed("list", "B2,2026-01-05", "B2,2026-01-06"), f"{LIST}: batch B2 is of 2026-01-06, not of 2026-01-05"),
        (changed("list", "20260105", "20260132"), f"{LIST}: line 2, column Settle_date: not a day"),
        (changed("list", "B2", "B1"), f"{LIST}: line 3, column Settle_batch_no: without lines of JPY"),
        (changed("list", "B3,2026-01-05 09:00:00,-30.00,-0.36,-29.64", "B1,20260105,71.25,1.50,69.75"), ".*twice"),
        (changed("list", "Settlement", "Net"), f"{LIST}: line 1: no list of batches: Settlement"),
        (changed("list", ",JPY\n", "\n"), f"{LIST}: line 3: 5 cells under 6 headings"),
        (changed("list", "-29.64,HKD\n", "-29.64,HKD"), f"{LIST}: line 4: the line has no end"),
        (without("B3"), f"{LIST}: line 4, column Settle_batch_no: without lines of HKD"),
        (changed("list", "B2,2026-01-05,900,11,889,JPY\n", ""), f"{LIST}: without batch B2 of JPY"),
        ({path: text for path, text in FILES.items() if path != LIST}, "the zip file has no list of batches"),
        ({**FILES, "README.txt": "x"}, "the zip file has an unexpected file: 'README.txt'"),
        ({**FILES, f"{PID}_settle_20260105_B3.txt": HEADING}, "the zip file has two files of a batch"),
        ({**FILES, f"{PID}_settle_20260106_B4.csv": HEADING}, ".* files of several accounts or days"),
        ({**FILES, "2088000000000002_settle_20260105_B4.csv": HEADING}, ".* files of several accounts or days"),
        ({LIST.replace("0105", "0132"): BATCHES}, "the names of the files have no day"),
        ({}, "the zip file has no list of batches"),
    ],
)  # fmt: skip
def test_a_zip_that_is_incomplete_or_disagrees_is_refused_with_the_place(
    files: dict[str, str], message: str
) -> None:
    with pytest.raises(StatementRefused, match=f"^{message}"):
        list(bundle(files).lines)


def test_columns_of_the_list_are_found_by_their_names() -> None:
    listed = (
        "Currency|Settlement|Fee|Amount|Bonus|Settle_date|Settle_batch_no\nJPY|889|11|900|x|20260105|B2\n"
    )
    content = bundle(
        {LIST: "\ufeff" + listed, f"{PID}_settle_20260105_B2.csv": HEADING + row("c", "900", "11", "JPY")}
    )
    assert content.remittances == (READ[1],)


def test_the_list_alone_is_refused_and_the_name_of_a_zip_has_the_account() -> None:
    with pytest.raises(StatementRefused, match="import the zip file"):
        read(FILES[LIST].splitlines(keepends=True))
    assert read_name(f"{PID}_20260105.zip") == FileName(PID, StatementKind.SETTLEMENT)


# ---- files of shops ------------------------------------------------------------------------------------------

SHOP: Final = [
    "Partner,Payment_time,Total_count\n",
    f"{PID},20260102,4\n",
    "Partner_transaction_id,Transaction_id,Transaction_amount,Charge_amount,Currency,Payment_time,Transaction_type,"
    "Remark,Secondary_merchant_industry,Secondary_merchant_name,Secondary_merchant_id\n",
    "1,20261,10.00,0.12,HKD,2026-01-02 11:04:05,PAYMENT,,5812,Tea House,T1\n",
    "2,20261,-4.00,0,HKD,2026-01-02 11:05:05,REFUND,,5812,Tea House,T1\n",
    "3,20263,5.00,0.06,HKD,20260102110605,REVERSAL,,5812,Tea House,T1\n",
    "4,20264,-6.00,-0.07,HKD,20260102110705,CANCEL,,5812,Tea House,T1\n",
]


def test_a_shops_file_of_transactions_is_read() -> None:
    content = read(SHOP)
    assert (content.identity, content.day, content.unknown_columns) == (PID, date(2026, 1, 2), 0)
    lines = [
        (each.number, each.type.value, each.amount.amount_minor, each.fee_micros) for each in content.lines
    ]
    assert lines == [
        (4, "payment", 1000, 120_000),
        (5, "refund", 400, 0),
        (6, "reversal", 500, 60_000),
        (7, "reversal", 600, 70_000),
    ]
    assert recognizes(SHOP[0])


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        (SHOP[:-1], "line 2, column Total_count: the count is 4, that of the lines 3"),
        ([*SHOP, SHOP[-1]], "line 2, column Total_count: the count is 4, that of the lines 5"),
        (SHOP[:1], "line 2: the line has no end"),
        (SHOP[:2], "line 3: no heading"),
        ([SHOP[0], "1,2\n", *SHOP[2:]], "line 2: 2 cells under 3 headings"),
        ([SHOP[0], f"{PID},soon,4\n", *SHOP[2:]], "line 2, column Payment_time: not a day: 'soon'"),
        ([*SHOP[:2], SHOP[2].replace("Transaction_amount", "Price"), *SHOP[3:]], "line 3: .* without Amount"),
        ([*SHOP[:3], SHOP[3].replace("PAYMENT", "GIFT")], "line 4, column Transaction_type: not documented"),
    ],
)
def test_an_incomplete_file_of_a_shop_is_refused_with_the_place(lines: list[str], message: str) -> None:
    with pytest.raises(StatementRefused, match=f"^{message}"):
        list(read(lines).lines)


def test_a_shops_file_of_settlements_is_read() -> None:
    content = read([HEADING, row("a", "50.25", "0.90")])
    (line,) = content.lines
    assert (line.amount, line.state, content.unknown_columns) == (Money(5025, "HKD"), "L", 0)
