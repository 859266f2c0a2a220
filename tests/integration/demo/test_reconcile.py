"""Five days of trade with planted errors, as `make reconcile-demo` has a month of it: each is found, none invented."""

import base64
import json
import shutil
import struct
from collections.abc import AsyncIterator
from datetime import UTC, date, datetime, time, timedelta
from pathlib import Path
from typing import Any, Final

import pytest

from tael.cli.demo_folder import CLOCK, ENCRYPTION_KEY
from tael_demo.reconcile import gateway_books, planting
from tael_demo.reconcile.__main__ import is_correct, summary_of
from tael_demo.reconcile.comparison import Comparison, compare
from tael_demo.reconcile.demonstration import BOOKS, Result, compared_accounts
from tael_demo.reconcile.plan import BEIJING, MERCHANTS, TradePlan, plan_of, plan_text
from tael_demo.reconcile.reconciling import Gateway, Month, opened_gateway, reconcile_month
from tael_demo.testing.serving import settings_for
from tael_demo.testing.template import CA_FILE
from tael_sandbox.trade_import import import_trades
from tests.sandbox.conftest import KEYS, Sandbox
from tests.support.forks import ForkServer

ORDERS: Final = 300
DAYS: Final = 5
ERRORS: Final = 14
#: Two currencies with both wallets, and one merchant that is settled in another currency.
TRADING: Final = (MERCHANTS[0], MERCHANTS[14], MERCHANTS[17])


@pytest.fixture(scope="module")
def plan() -> TradePlan:
    return plan_of(1, ORDERS, 0, TRADING, DAYS)


@pytest.fixture
def wallets(plan: TradePlan, tmp_path: Path, key_folder: Path, forking_server: ForkServer) -> Any:
    """The sandbox with the plan's trades in its books, after its days."""
    folder = tmp_path / "wallets"
    folder.mkdir()
    shutil.copy(key_folder / KEYS[0], folder)
    shutil.copytree(key_folder / KEYS[1], folder / KEYS[1])
    over = datetime.combine(date.fromisoformat(plan.last_day), time(), BEIJING) + timedelta(days=5)
    offset = over - datetime.now(UTC)
    (folder / CLOCK).write_bytes(struct.pack("<q", offset // timedelta(microseconds=1)))
    import_trades(json.loads(plan_text(plan)), folder)
    sandbox = Sandbox(folder, forking_server)
    yield sandbox
    sandbox.close()


@pytest.fixture
async def gateway(plan: TradePlan, wallets: Sandbox, database_url: str) -> AsyncIterator[Gateway]:
    """The gateway's store with the same trades."""
    accounts = wallets.control("GET", "accounts")
    (wallets.folder / ENCRYPTION_KEY).write_text(base64.b64encode(bytes(range(32))).decode())
    (wallets.folder / CA_FILE).write_text(accounts[0]["ca_pem"])
    settings = settings_for(wallets.folder, database_url, "http://gateway", wallets.http, wallets.tls)
    async with opened_gateway(settings) as entered:
        trading = await gateway_books.add_merchants(entered.store, plan, accounts, entered.clock.now())
        await gateway_books.write(entered.store.database, gateway_books.rows_of(plan, trading))
        yield entered


def note_nothing(*_: object) -> None:
    """Progress is for a terminal."""


async def test_every_planted_error_is_found_and_no_other(
    plan: TradePlan, wallets: Sandbox, gateway: Gateway, tmp_path: Path
) -> None:
    first, last = date.fromisoformat(plan.first_day), date.fromisoformat(plan.last_day)
    days = planting.days_between(first, last)

    def control(name: str, members: dict[str, Any]) -> Any:
        status, answer = wallets.call("POST", f"/control/{name}", json.dumps(members).encode())
        if status != 200:
            raise planting.ControlRefused(answer.decode())
        return json.loads(answer)

    planting.close_days(control, days, note_nothing)
    manifest = planting.plant(control, days, ERRORS, plan.seed, note_nothing)
    await reconcile_month(gateway, Month(first, last), tmp_path, note_nothing)
    write(tmp_path, "manifest", manifest)
    write(tmp_path, "accounts", compared_accounts(wallets.control("GET", "accounts"), plan))
    books = wallets.folder / BOOKS
    result = compare(tmp_path, books)
    assert result.planted == dict.fromkeys(planting.KINDS, ERRORS // len(planting.KINDS))
    assert (result.missed, result.invented) == ([], [])
    assert result.found == result.planted
    assert result.batches > 20
    assert result.wrong_batches == []
    check_that_the_comparison_can_fail(tmp_path, books)


def check_that_the_comparison_can_fail(folder: Path, books: Path) -> None:
    differences, remittances, banks = (read(folder, name) for name in ("differences", "remittances", "banks"))

    def compared(name: str, rows: list[dict[str, Any]]) -> Comparison:
        before = read(folder, name)
        write(folder, name, rows)
        result = compare(folder, books)
        write(folder, name, before)
        return result

    assert len(compared("differences", differences[1:]).missed) == 1
    assert len(compared("differences", [*differences, differences[0]]).invented) == 1
    renamed = [{**differences[0], "number": "1"}, *differences[1:]]
    assert len(compared("differences", renamed).invented) == 1
    for name in ("paid_minor", "refunded_minor", "fee_minor"):
        cent = [{**remittances[0], name: remittances[0][name] + 1}, *remittances[1:]]
        assert len(compared("remittances", cent).wrong_batches) == 1
    assert len(compared("remittances", remittances[1:]).wrong_batches) == 1
    assert len(compared("banks", banks[1:]).wrong_batches) == 1


def read(folder: Path, name: str) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = json.loads((folder / f"{name}.json").read_text())
    return rows


def write(folder: Path, name: str, rows: list[dict[str, Any]]) -> None:
    (folder / f"{name}.json").write_text(json.dumps(rows))


@pytest.mark.parametrize(
    ("changes", "is_exact"),
    [
        ({}, True),
        ({"found": {"fee": 1}}, False),
        ({"invented_count": 1}, False),
        ({"wrong_batch_count": 1}, False),
    ],
)
def test_the_demonstration_fails_unless_everything_agrees(changes: dict[str, Any], is_exact: bool) -> None:
    planted = {"fee": 2, "state": 1}
    comparison = {"planted": planted, "found": planted, "invented_count": 0, "wrong_batch_count": 0}
    result = Result(comparison | changes, 10, 1.5)
    assert is_correct(result) is is_exact
    assert summary_of(result)["planted"] == 3


# ---- the plan --------------------------------------------------------------------------------------------------------


def test_a_seed_has_one_plan() -> None:
    plan = plan_of(7, 300, 10)
    assert plan_of(7, 300, 10) == plan
    assert plan_of(8, 300, 10).events != plan.events


def test_a_month_has_what_a_reconciliation_must_know() -> None:
    plan = plan_of(1, 6_000, 100)
    payments = [event for event in plan.events if event.kind == "payment"]
    days = [datetime.fromtimestamp(event.at, BEIJING).date() for event in payments]
    crossing = [
        event.kind
        for event in plan.events
        if datetime.fromtimestamp(event.at, BEIJING).date()
        != datetime.fromtimestamp(event.our_at, BEIJING).date()
    ]
    assert len(payments) + len(plan.live) == 6_000
    assert len({event.number for event in plan.events}) == len(plan.events)
    assert {event.kind for event in plan.events} == {"payment", "refund", "reversal"}
    assert {"payment", "refund"} <= set(crossing)
    assert {day.isoweekday() for day in days} == set(range(1, 8))
    assert set(days) == {date(2026, 1, day) for day in range(1, 32)}
    assert {merchant.currency for merchant in plan.merchants} == {"HKD", "USD", "JPY"}
    assert any(merchant.currency != merchant.settlement for merchant in plan.merchants)
    returned = {event.order: 0 for event in payments}
    for event in plan.events:
        if event.kind != "payment":
            returned[event.order] += event.amount_minor
    assert all(returned[event.order] <= event.amount_minor for event in payments)
    assert any(0 < returned[event.order] < event.amount_minor for event in payments)
