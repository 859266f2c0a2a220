"""`tael ledger verify`: exit code 0 and figures if all agrees, else 1 and the first disagreement."""

import asyncio
from pathlib import Path

import pytest

from tael.operations.store import Store
from tests.support.operator import Operator, fill, operator_of
from tests.support.store import entered_store, paid, with_a_merchant
from tests.support.values import MCHID, a_payment


@pytest.fixture
def operator(database_url: str, tmp_path: Path) -> Operator:
    """An operator of a database with one payment."""

    async def with_a_payment(store: Store) -> None:
        await with_a_merchant(store)
        await paid(store, a_payment())

    fill(database_url, with_a_payment)
    return operator_of(database_url, tmp_path)


def spoil(database_url: str) -> None:
    async def work() -> None:
        async with entered_store(database_url) as store:
            await store.database.execute("UPDATE ledger_entry SET amount_minor = amount_minor + 1")

    asyncio.run(work())


def test_books_that_agree_have_figures(operator: Operator) -> None:
    report = operator.run_json("ledger", "verify")
    assert (report["ok"], report["orders"], report["entries"], report["disagreements"]) == (True, 1, 1, 0)
    assert report["first"] is None


def test_a_row_that_disagrees_is_reported(operator: Operator, database_url: str) -> None:
    spoil(database_url)
    refused = operator.is_refused("ledger", "verify", code=1)
    assert "ledger_entry" in refused
    assert MCHID in refused
