"""The audit of one statement: correct rows agree, and each single change of one is detected.

The rows are the example of decision 26, and a day on which more was returned than paid.
"""

from dataclasses import replace
from datetime import timedelta
from typing import Any, Final

import pytest

from tael.audit.domain.audit import ANY_TIME
from tael.audit.domain.statement_audit import (
    ConversionRow,
    LineSums,
    RemittanceRow,
    StatementRow,
    StatementRows,
    disagreements_of_statement,
    expected_of_remittance,
)
from tael.ledger.domain.digest import Line
from tests.support.values import MCHID, NOW


def line(cause: str, kind: str, debit: str, credit: str, minor: int, currency: str) -> Line:
    return Line(MCHID, cause, kind, debit, credit, minor, currency, NOW)


BILL: Final = StatementRows(
    StatementRow(MCHID, "bill", "transactions", None),
    [LineSums("HKD", "USD", 1000, 400, 36_120, 77), LineSums("HKD", "HKD", 500, 0, 0, 500)],
    [],
    [ConversionRow(MCHID, "C", "bill", "acc", "HKD", 600, "USD", 77, None)],
    [
        line("C", "converted_out", f"merchant:HKD:{MCHID}", "wallet:HKD:acc", 600, "HKD"),
        line("C", "converted_in", "wallet:USD:acc", f"merchant:USD:{MCHID}", 77, "USD"),
    ],
)
#: 0.0149 USD of fees are rounded to 0.01.
SETTLEMENT: Final = StatementRows(
    StatementRow(MCHID, "settlement", "settlement", None),
    [LineSums("USD", "USD", 128, 51, 14_900, 0)],
    [RemittanceRow(MCHID, "R", "settlement", "acc", "USD", 128, 51, 1, 76, None)],
    [],
    [
        line("R", "remitted", "bank:USD:acc", "wallet:USD:acc", 76, "USD"),
        line("R", "wallet_fee", "wallet_fee:USD:acc", "wallet:USD:acc", 1, "USD"),
    ],
)


def found(rows: StatementRows) -> list[tuple[str, str, str]]:
    return [(each.table, each.syssn, each.what) for each in disagreements_of_statement(rows)]


def changed(rows: StatementRows, field: str, **change: Any) -> StatementRows:
    """The first row of `field` with another value."""
    first, *others = getattr(rows, field)
    wrong: dict[str, Any] = {field: [replace(first, **change), *others]}
    return replace(rows, **wrong)


@pytest.mark.parametrize("rows", [BILL, SETTLEMENT])
def test_correct_rows_agree_and_no_entry_may_be_missing(rows: StatementRows) -> None:
    assert found(rows) == []
    for place, each in enumerate(rows.lines):
        without = [line for number, line in enumerate(rows.lines) if number != place]
        assert found(replace(rows, lines=without)) == [("ledger_entry", each.cause, "an entry is missing")]


@pytest.mark.parametrize(
    ("rows", "disagreement"),
    [
        (changed(BILL, "sums", paid_minor=1001), ("conversion", "C", "sums of lines")),
        (changed(BILL, "sums", settlement_minor=78), ("conversion", "C", "sums of lines")),
        (replace(BILL, sums=[]), ("conversion", "C", "a row too many")),
        (replace(BILL, conversions=[], lines=[]), ("conversion", "bill", "sums of lines")),
        (changed(SETTLEMENT, "sums", paid_minor=129), ("remittance", "R", "sums of lines")),
        (changed(SETTLEMENT, "sums", refunded_minor=50), ("remittance", "R", "sums of lines")),
        (changed(SETTLEMENT, "sums", fee_micros=15_001), ("remittance", "R", "fee of lines")),
        (replace(SETTLEMENT, remittances=[], lines=[]), ("remittance", "settlement", "sums of lines")),
        (
            replace(SETTLEMENT, statement=replace(SETTLEMENT.statement, superseded_at=NOW)),
            ("remittance", "R", "superseded_at"),
        ),
        (
            replace(SETTLEMENT, sums=[], statement=replace(SETTLEMENT.statement, kind="transactions")),
            ("remittance", "R", "a row too many"),
        ),
    ],
)
def test_rows_that_differ_from_the_lines_are_named(
    rows: StatementRows, disagreement: tuple[str, str, str]
) -> None:
    assert found(rows)[0] == disagreement


def test_a_settlement_without_lines_is_its_own_source() -> None:
    assert found(replace(SETTLEMENT, sums=[])) == []
    wrong = changed(replace(SETTLEMENT, sums=[]), "remittances", paid_minor=129)
    assert found(wrong) == [("remittance", "R", "net_minor")]


def test_negative_amounts_go_back_and_a_superseded_remittance_is_undone() -> None:
    later = NOW + timedelta(hours=1)
    row = RemittanceRow(MCHID, "R", "s", "acc", "JPY", 10, 100, -1, -89, later)

    def entry(kind: str, debit: str, credit: str, minor: int) -> Line:
        at = later if kind.endswith("_back") else ANY_TIME
        return replace(line("R", kind, debit, credit, minor, "JPY"), at=at)

    wallet, bank, fee = "wallet:JPY:acc", "bank:JPY:acc", "wallet_fee:JPY:acc"
    assert expected_of_remittance(row) == [
        entry("remitted", wallet, bank, 89),
        entry("remitted_back", bank, wallet, 89),
        entry("wallet_fee", wallet, fee, 1),
        entry("wallet_fee_back", fee, wallet, 1),
    ]
    assert expected_of_remittance(replace(row, net_minor=0, fee_minor=0)) == []
