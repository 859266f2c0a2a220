"""Remittances are sums of a statement of settlements, current as long as their statement is."""

from collections.abc import Iterable
from datetime import date
from io import BytesIO
from typing import Final

import pytest

from tael.channels import statements
from tael.channels.alipay_mapi.statements import STATEMENTS
from tael.channels.statements import StatementRefused
from tael.operations.store import Store
from tael.statements.domain.remittance import Remittance, rounded_minor
from tael.statements.domain.statement import Statement
from tael.statements.files import read_file
from tael.statements.imports import ImportOptions, import_statement
from tests.support.values import ORIGIN, an_alipay_account

ACCOUNT: Final = an_alipay_account("alipay-online", scene="online", pid="2088000000000001")
DAY: Final = date(2026, 1, 5)
PAID: Final = (
    "{}|100.00|HKD|20260102110405|20260105090000|P|1.20|L|\n"
    "b|50.25|HKD|20260104235959|20260105090000|P|0.60|L|\n"
    "r|30.00|HKD|20260103000000|20260105090000|R|0|L|\n"
    "c|900|JPY|20260104110405|20260105090000|P|11|L|\n"
)


async def imported(store: Store, first: str, *, is_replacing: bool = False) -> Statement:
    file = read_file(BytesIO(PAID.format(first).encode()))
    options = ImportOptions(is_replacing=is_replacing)
    done = await import_statement(
        store.statements, ACCOUNT, STATEMENTS, file, "", options, ORIGIN, lambda lines: None
    )
    return done.statement


def sums(remittances: Iterable[Remittance]) -> list[tuple[object, ...]]:
    return [
        (each.currency, each.paid_minor, each.refunded_minor, each.fee_minor, each.net_minor)
        for each in remittances
    ]


async def test_a_statement_of_settlements_is_one_remittance_for_each_currency(store: Store) -> None:
    statement = await imported(store, "a")

    found = await store.remittances.of_statement(statement)
    assert sums(found) == [("HKD", 150_25, 30_00, 1_80, 118_45), ("JPY", 900, 0, 11, 889)]
    assert {(each.batch_no, each.settled_on, each.account_id) for each in found} == {
        ("20260105", DAY, ACCOUNT.account_id)
    }
    assert [(each.trades_from.day, each.trades_to.day) for each in found] == [(2, 4), (4, 4)]
    assert await store.remittances.settled_between(ACCOUNT.mchid, DAY, DAY) == found
    assert await store.remittances.settled_between(ACCOUNT.mchid, DAY, DAY, ACCOUNT.protocol) == found
    assert await store.remittances.settled_between(ACCOUNT.mchid, DAY, DAY, "another") == []


async def test_a_statement_takes_its_remittances_with_it(store: Store) -> None:
    first = await imported(store, "a")
    second = await imported(store, "x", is_replacing=True)
    superseded = await store.statements.by_id(first.statement_id)
    assert superseded is not None
    replaced = await store.remittances.of_statement(superseded)
    assert {each.superseded_at for each in replaced} == {ORIGIN.at}
    assert await store.remittances.settled_between(
        ACCOUNT.mchid, DAY, DAY
    ) == await store.remittances.of_statement(second)

    await imported(store, "a", is_replacing=True)
    current = await store.remittances.settled_between(ACCOUNT.mchid, DAY, DAY)
    assert sums(current) == sums(replaced)
    assert not {each.remittance_id for each in current} & {each.remittance_id for each in replaced}


async def test_a_day_of_transactions_is_no_remittance(store: Store) -> None:
    file = read_file(BytesIO(b"a|10.00|HKD|20260102110405||P|0.12|P|\n"))
    done = await import_statement(
        store.statements, ACCOUNT, STATEMENTS, file, "", ImportOptions(), ORIGIN, lambda lines: None
    )
    assert await store.remittances.of_statement(done.statement) == []


@pytest.mark.parametrize(
    ("micros", "currency", "minor"),
    [(125_000, "HKD", 13), (124_999, "HKD", 12), (500_000, "JPY", 1), (-125_000, "HKD", -13)],
)
def test_fees_are_rounded_half_up(micros: int, currency: str, minor: int) -> None:
    assert rounded_minor(micros, currency) == minor


async def test_sums_that_are_too_large_are_refused(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(statements, "MAX_SUM_MINOR", 150_25)
    await imported(store, "a")
    monkeypatch.setattr(statements, "MAX_SUM_MINOR", 150_24)
    with pytest.raises(StatementRefused, match="a sum of the file is too large"):
        await imported(store, "x", is_replacing=True)
