"""Alipay's statements: nine fields without a heading, and the portal's files by their headings."""

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Final

import pytest

from tael.base.money import Money
from tael.channels.alipay_mapi.statements import read, read_name, recognizes
from tael.channels.statements import FileName, LineType, StatementKind, StatementLine, StatementRefused

PAID: Final = "202601020100990000000001|10.00|HKD|20260102110405||P|0.12|P|\n"
RETURNED: Final = "202601020100990000000002|-4.00|HKD|20260102120000|20260105090000|R|0.00|L|a|b\n"
ONLINE: Final = (
    "Partner_transaction_id|Amount|Rmb_amount|Fee|Settlement|Rmb_settlement|Currency|Rate|Payment_time|"
    "Settlement_time|Type|Status|Remarks\n"
)
ONLINE_PAID: Final = (
    "202601020100990000000001|10.00|9.12|0.12|9.88|9.01|HKD|0.91200000|2026-01-02 11:04:05|"
    "2026-01-05 09:00:00|P|L|\n"
)
OFFLINE: Final = (
    "Time|Settlement_time|Transaction_ID|Partner_transaction_ID|Gross_amount|Rmb_Gross_amount|Distribute_amount|"
    "Rmb_Distribute_amount|Settlement|Rmb_settlement|Fee|Rmb_fee|M_Discount_amount|M_Discount_RMB_amount|Currency|"
    "Rate|Goods_title|Product|Type|Status|Liquidation|Remarks\n"
)
OFFLINE_ROW: Final = (
    "2026-01-02 11:04:05||20260102220014|{number}|10.00|9.12|0|0|9.88|9.01|0.12|0.11|0|0|HKD|0.912|tea|"
    "OVERSEAS_MBARCODE_PAY|{type}|P||\n"
)


def read_all(lines: Sequence[str]) -> list[StatementLine]:
    return list(read(lines).lines)


def test_nine_fields_are_read_by_their_place() -> None:
    paid, returned = read_all([PAID, RETURNED])
    assert paid == StatementLine(
        number=1,
        type=LineType.PAYMENT,
        syssn="202601020100990000000001",
        payment_syssn="202601020100990000000001",
        wallet_ref="",
        wallet_refund_ref="",
        at=datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC),
        amount=Money(1000, "HKD"),
        fee_micros=120_000,
        settlement=None,
        rate_e8=None,
        settled_at=None,
        state="P",
        identity="",
    )
    assert (returned.type, returned.syssn, returned.payment_syssn) == (
        LineType.REFUND,
        "202601020100990000000002",
        "",  # the file has the refund's number only
    )
    assert (returned.amount, returned.settled_at) == (
        Money(400, "HKD"),
        datetime(2026, 1, 5, 1, 0, 0, tzinfo=UTC),
    )
    assert recognizes(PAID)


def test_the_portals_online_file_is_read() -> None:
    (line,) = read_all([ONLINE, ONLINE_PAID])
    assert (line.amount, line.settlement, line.rate_e8) == (Money(1000, "HKD"), Money(988, "HKD"), 91_200_000)
    assert (line.number, line.state, line.fee_micros) == (2, "L", 120_000)
    assert read([ONLINE, ONLINE_PAID]).unknown_columns == 0


@pytest.mark.parametrize(
    ("type_text", "line_type"),
    [("P", "payment"), ("REFUND", "refund"), ("Reversal", "reversal"), ("CANCEL", "reversal")],
)
def test_the_portals_offline_file_is_read(type_text: str, line_type: str) -> None:
    lines = ["\ufeff" + OFFLINE, OFFLINE_ROW.format(number="2026", type=type_text)]
    (line,) = read_all(lines)
    assert (line.type, line.wallet_ref, line.amount) == (line_type, "20260102220014", Money(1000, "HKD"))
    assert line.payment_syssn == ("" if line_type == "refund" else "2026")
    assert read(lines).unknown_columns == 0


def test_commas_separate_too_with_quoted_cells_and_columns_in_any_order() -> None:
    lines = [
        "Remarks,Original_partner_transaction_ID,Issue,Bonus,Type,Status,Payment_time,Currency,Amount,"
        "Partner_transaction_id\r\n",
        '"tea, green",2025,ALIPAYHK,1,R,P,20260102110405,JPY,1200,2026\r\n',
    ]
    (line,) = read_all(lines)
    assert (line.syssn, line.payment_syssn, line.amount) == ("2026", "2025", Money(1200, "JPY"))
    assert read(lines).unknown_columns == 1


def test_a_day_without_transactions_is_empty() -> None:
    assert read_all(["No balance account data in the period"]) == []
    assert read_all([ONLINE]) == []


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        ([PAID, RETURNED.rstrip()], "line 2: the line has no end"),
        ([PAID, RETURNED[:40]], "line 2: the line has no end"),
        ([PAID, "202601|10.00\n"], "line 2: 2 fields, not 9: the file is incomplete"),
        ([ONLINE, ONLINE_PAID.replace("|L|", "|L")], "line 2: 12 cells under 13 headings"),
        ([ONLINE.replace("Status", "State")], "line 1: no heading of a statement: without Status"),
        ([ONLINE.replace("Remarks", "Fee")], "line 1, column Fee: the column is there twice"),
        ([PAID.replace("|P|0", "|X|0")], "line 1, column type: not documented: 'X'"),
        ([PAID.replace("10.00", "10.0x")], "line 1, column amount: not an amount of HKD"),
        ([PAID.replace("10.00", f"{10**13}.01")], "line 1, column amount: the number is too large"),
        ([PAID.replace("0.12", f"{10**9}.01")], "line 1, column fee: the number is too large"),
        ([PAID.replace("HKD", "hkd")], "line 1, column currency: not a currency: 'hkd'"),
        ([ONLINE, ONLINE_PAID.replace(" 11:04", "T11:04")], "line 2, column Payment_time: not a time"),
        (
            [ONLINE, ONLINE_PAID.replace("0.91200000", "0.912000001")],
            "line 2, column Rate: more than 8 decimals",
        ),
        (["System exception"], "an error of Alipay: 'System exception'"),
        (["<alipay>\n", "<error>ILLEGAL_PARTNER</error>\n"], "an error of Alipay: 'ILLEGAL_PARTNER'"),
        ([], "line 1: the line has no end"),
    ],
)
def test_an_incomplete_or_unreadable_file_is_refused_with_the_place(lines: list[str], message: str) -> None:
    with pytest.raises(StatementRefused, match=f"^{message}"):
        read_all(lines)


def test_the_portals_file_names_have_account_and_kind() -> None:
    pid = "2088000000000001"
    assert read_name(f"{pid}_fptrade_20260102.csv") == FileName(pid, StatementKind.TRANSACTIONS)
    assert read_name(f"{pid}_transaction_20260102.csv") == FileName(pid, StatementKind.TRANSACTIONS)
    assert read_name(f"{pid}_settle_20260102_B1.csv") == FileName(pid, StatementKind.SETTLEMENT)
    assert read_name("bill.csv") == FileName()
