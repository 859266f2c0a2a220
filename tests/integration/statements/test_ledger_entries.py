"""What a statement pays out and converts is booked in the commit of its import, and undone with it.

The expected amounts are those of decision 26.
"""

import asyncio
from collections import Counter
from datetime import datetime, timedelta
from typing import Final

import pytest

from tael.audit.verification import audit_books
from tael.operations.store import Store
from tael.statements.imports import ImportOptions
from tael.statements.store.statements import Statements
from tests.support.crashing import Crash, CrashingDatabase, Process, Side
from tests.support.statement_imports import (
    BILL,
    OTHER_BILL,
    OTHER_SETTLEMENT,
    SETTLEMENT,
    WECHAT,
    Importer,
)
from tests.support.store import all_entries, count_of
from tests.support.values import MCHID, NOW

Movement = tuple[str, str, str, int]


def later(hours: int) -> datetime:
    return NOW + timedelta(hours=hours)


async def movements(store: Store) -> list[Movement]:
    return sorted(
        (entry.kind.value, entry.debit, entry.credit, entry.amount.amount_minor)
        for entry in await all_entries(store)
    )


def account(kind: str, currency: str) -> str:
    return f"{kind}:{currency}:{MCHID if kind == 'merchant' else WECHAT}"


def moved(kind: str, debit: str, credit: str, currency: str, minor: int) -> Movement:
    return kind, account(debit, currency), account(credit, currency), minor


SETTLED: Final = [
    moved("remitted", "bank", "wallet", "HKD", 5434),
    moved("remitted", "wallet", "bank", "JPY", 89),
    moved("wallet_fee", "wallet_fee", "wallet", "HKD", 33),
    moved("wallet_fee", "wallet", "wallet_fee", "JPY", 1),
]
CONVERTED: Final = [
    moved("converted_in", "wallet", "merchant", "USD", 77),
    moved("converted_out", "merchant", "wallet", "HKD", 600),
]


def back(movements: list[Movement]) -> list[Movement]:
    return [(f"{kind}_back", credit, debit, minor) for kind, debit, credit, minor in movements]


@pytest.mark.parametrize(("content", "expected"), [(SETTLEMENT, SETTLED), (BILL, CONVERTED)])
async def test_a_statement_books_what_it_pays_out_and_converts(
    store: Store, content: bytes, expected: list[Movement]
) -> None:
    imports = Importer(store)
    stored = (await imports.put(content)).statement
    assert await movements(store) == sorted(expected)
    rows = [
        *(each.remittance_id for each in await store.remittances.of_statement(stored)),
        *(each.conversion_id for each in await store.conversions.of_statement(stored)),
    ]
    assert {entry.cause for entry in await all_entries(store)} == set(rows)
    assert {entry.at for entry in await all_entries(store)} == {NOW}

    assert not (await imports.put(content, later(1))).is_new
    assert await movements(store) == sorted(expected)
    assert (await audit_books(store.database)).first is None


async def test_a_price_in_the_currency_of_settlement_and_an_amount_of_0_book_nothing(store: Store) -> None:
    await Importer(store).put(BILL.replace(b"`USD", b"`HKD"))
    await Importer(store).put(OTHER_SETTLEMENT)
    assert [movement[0] for movement in await movements(store)] == ["remitted"]


@pytest.mark.parametrize(
    ("first", "second", "expected"),
    [
        (SETTLEMENT, OTHER_SETTLEMENT, SETTLED),
        (BILL, OTHER_BILL, CONVERTED),
    ],
)
async def test_each_replacement_undoes_what_was_booked_and_books_again(
    store: Store, first: bytes, second: bytes, expected: list[Movement]
) -> None:
    imports = Importer(store)
    await imports.put(first)
    for round_ in range(3):
        await imports.replace(second, later(2 * round_ + 1))
        assert (await audit_books(store.database)).first is None
        await imports.replace(first, later(2 * round_ + 2))
        assert (await audit_books(store.database)).first is None

    found = Counter(await movements(store))
    for movement in expected:
        assert found[movement] == 4  # the first time, and three times restored
    for movement in back(expected):
        assert found[movement] == 3
    netted: Counter[str] = Counter()
    for _, debit, credit, minor in found.elements():
        netted[debit] += minor
        netted[credit] -= minor
    once: Counter[str] = Counter()
    for _, debit, credit, minor in expected:
        once[debit] += minor
        once[credit] -= minor
    assert {name: minor for name, minor in netted.items() if minor} == once
    table = "conversion" if first == BILL else "remittance"
    current = await store.database.fetch(f"SELECT 1 FROM {table} WHERE superseded_at IS NULL")
    assert len(current) == len(expected) // 2


@pytest.mark.parametrize("side", Side)
@pytest.mark.parametrize(("first", "second"), [(SETTLEMENT, OTHER_SETTLEMENT), (BILL, OTHER_BILL)])
async def test_a_crash_at_any_step_of_an_import_books_nothing_twice(
    store: Store, first: bytes, second: bytes, side: Side
) -> None:
    """Imports a file, replaces it and restores it. Each process crashes one step later, and is then repeated."""
    steps = ((first, False), (second, True), (first, True))
    for place, (content, is_replacing) in enumerate(steps):
        options = ImportOptions(is_replacing=is_replacing)
        for dies_at in range(1, 10):
            process = Process(dies_at, side)
            statements = Statements(CrashingDatabase(store.database, process))
            try:
                await Importer(store, statements).put(content, later(place), options)
            except Crash:
                assert (await audit_books(store.database)).first is None
                continue
            break
        assert dies_at > 1, "no crash was simulated"
        await Importer(store).put(content, later(place), options)
        assert (await audit_books(store.database)).first is None
    assert await count_of(store, "statement") == 2
    booked = Counter(entry.kind.value for entry in await all_entries(store))
    kind = "remitted" if first == SETTLEMENT else "converted_in"
    assert booked[kind] - booked[f"{kind}_back"] == len(SETTLED if first == SETTLEMENT else CONVERTED) // 2


@pytest.mark.parametrize(("first", "second"), [(SETTLEMENT, OTHER_SETTLEMENT), (BILL, OTHER_BILL)])
async def test_of_two_replacements_at_once_one_is_booked(store: Store, first: bytes, second: bytes) -> None:
    imports = Importer(store)
    await imports.put(first)
    await imports.replace(second, later(1))
    for round_ in range(2, 5):
        await asyncio.gather(
            *(imports.replace(content, later(round_)) for content in (first, second, first)),
            return_exceptions=True,
        )
        current = await store.statements.list(None, with_superseded=False)
        assert (len(current), (await audit_books(store.database)).first) == (1, None)
