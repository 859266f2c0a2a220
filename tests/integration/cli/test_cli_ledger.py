"""`tael ledger verify`: exit code 0 and figures if all agrees, else 1 and the first disagreement."""

import asyncio
import base64
from pathlib import Path

import pytest

from tests.integration.cli.test_cli import Operator
from tests.support.store import ENCRYPTION_KEY, entered_store, paid, with_a_merchant
from tests.support.values import MCHID, a_payment


@pytest.fixture
def operator(database_url: str, tmp_path: Path) -> Operator:
    """An operator of a database with one payment."""

    async def fill() -> None:
        async with entered_store(database_url) as store:
            await with_a_merchant(store)
            await paid(store, a_payment())

    asyncio.run(fill())
    encryption_key = base64.b64encode(ENCRYPTION_KEY).decode()
    return Operator({"TAEL_DATABASE_URL": database_url, "TAEL_ENCRYPTION_KEY": encryption_key}, tmp_path)


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
