"""A statement is of one account and one day; its totals are by currency."""

from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from typing import Final

import pytest

from tael.base.money import Money
from tael.channels.statements import LineType, StatementKind, StatementLine, StatementRefused
from tael.statements.domain.statement import CurrencyTotal, Summary, SummaryBuilder

DAY: Final = date(2026, 1, 2)
#: The last second of the day in UTC+8.
LAST: Final = datetime(2026, 1, 2, 15, 59, 59, tzinfo=UTC)
PAID: Final = StatementLine(
    number=1,
    type=LineType.PAYMENT,
    syssn="1",
    payment_syssn="1",
    wallet_ref="",
    wallet_refund_ref="",
    at=LAST,
    amount=Money(1000, "HKD"),
    fee_micros=60_120,
    settlement=None,
    rate_e8=None,
    settled_at=None,
    state="P",
    identity="",
)
BACK: Final = replace(PAID, number=2, type=LineType.REFUND, amount=Money(400, "HKD"), fee_micros=24_000)
SETTLED: Final = replace(PAID, settled_at=LAST + timedelta(days=3))


def summary(
    *lines: StatementLine, kind: StatementKind | None = None, day: date | None = None, identity: str = "me"
) -> Summary:
    builder = SummaryBuilder(identity, kind, day)
    for line in lines:
        builder.add(line)
    return builder.finish()


def test_totals_are_by_currency_and_a_returned_fee_is_subtracted() -> None:
    reversal = replace(BACK, type=LineType.REVERSAL, amount=Money(600, "HKD"), fee_micros=0)
    yen = replace(PAID, amount=Money(1200, "JPY"), fee_micros=0)
    assert summary(PAID, BACK, reversal, yen) == Summary(
        StatementKind.TRANSACTIONS,
        DAY,
        4,
        (CurrencyTotal("HKD", 1, 1000, 2, 1000, 36_120), CurrencyTotal("JPY", 1, 1200, 0, 0, 0)),
    )


def test_a_file_whose_lines_are_all_settled_is_of_the_day_of_the_settlement() -> None:
    settled = summary(SETTLED, replace(SETTLED, at=LAST - timedelta(days=1)))
    assert (settled.kind, settled.day) == (StatementKind.SETTLEMENT, date(2026, 1, 5))
    assert summary(SETTLED, PAID).kind is StatementKind.TRANSACTIONS
    assert summary(SETTLED, kind=StatementKind.TRANSACTIONS).day == DAY


def test_a_file_without_lines_is_of_the_day_that_is_given() -> None:
    assert summary(day=DAY) == Summary(StatementKind.TRANSACTIONS, DAY, 0, ())
    with pytest.raises(StatementRefused, match="the day must be given"):
        summary()


@pytest.mark.parametrize(
    ("lines", "kind", "day", "message"),
    [
        ([replace(PAID, identity="other")], None, None, "line 1: of another account: other"),
        (
            [PAID, replace(BACK, at=LAST + timedelta(seconds=1))],
            None,
            None,
            "line 2: of 2026-01-03, another day than 2026-01-02",
        ),
        ([PAID], None, date(2026, 1, 3), "line 1: of 2026-01-02, another day than 2026-01-03"),
        ([SETTLED, BACK], StatementKind.SETTLEMENT, None, "line 2: not settled"),
    ],
)
def test_lines_of_another_account_or_day_are_refused(
    lines: list[StatementLine], kind: StatementKind | None, day: date | None, message: str
) -> None:
    with pytest.raises(StatementRefused, match=f"^{message}"):
        summary(*lines, kind=kind, day=day)
