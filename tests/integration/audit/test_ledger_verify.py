"""`tael ledger verify` over every kind of order, concurrent daily closes, and the simulated wallets' book."""

import asyncio
import json
from dataclasses import dataclass, replace
from datetime import timedelta
from pathlib import Path
from typing import Any, Final

import pytest
from pytest_httpserver import HTTPServer
from typer.testing import CliRunner

from tael.audit.domain.wallet_book import WalletBook, WalletTrade
from tael.audit.store import snapshot as audit_snapshot
from tael.audit.store.snapshot import snapshot
from tael.audit.verification import Audit, audit_books
from tael.base.clock import RealClock
from tael.base.money import Money
from tael.channels.outcomes import Refunded
from tael.cli.app import app
from tael.incidents.domain.evidence import Evidence
from tael.incidents.domain.incident import Incident, IncidentKind
from tael.jobs.daily_close import daily_close_job
from tael.jobs.runner import run_once
from tael.ledger.daily_close import close_days
from tael.ledger.domain.digest import beginning_of, day_of
from tael.ledger.store import digests as ledger_digests
from tael.merchants.domain.merchant import UnmatchedPolicy
from tael.operations.store import Store
from tael.unmatched.domain.unmatched import (
    UnmatchedState,
    apply_return_outcome,
    confirm,
    unmatched_entries,
)
from tael.unmatched.review import keep_unmatched
from tael.unmatched.store.unmatched import UnmatchedChange
from tests.support.alipay import TestClock
from tests.support.crashing import Process
from tests.support.fake_wallet import FakeWallet
from tests.support.operator import Operator, operator_of
from tests.support.store import entered_store, put_back, with_a_merchant
from tests.support.values import BARCODE, MCHID, NOW, ONLINE, ORIGIN
from tests.support.world import World, close, pay, refund, reverse

DAY: Final = day_of(NOW)
UNMATCHED: Final = "202601020100990000009999"


@dataclass(frozen=True)
class OrderBook:
    """A world and the numbers of its orders."""

    world: World
    refunded: str
    reversed: str
    closed: str


async def order_book(store: Store) -> OrderBook:
    """Orders of every kind: refunded in two parts, reversed, closed; and a returned unmatched payment."""
    await store.directory.execute("UPDATE wallet_account SET fee_rate_ppm = 50000")
    clock = TestClock(NOW)
    world = World(store, clock, FakeWallet(clock))
    gateway = world.gateway(Process())
    first = await pay(gateway, BARCODE, "A")
    await refund(gateway, first, "R1", 30)
    await refund(gateway, first, "R2", 70)
    second = await pay(gateway, BARCODE, "B")
    await reverse(gateway, second)
    world.wallet.trades.clear()
    third = await pay(gateway, ONLINE, "C")
    world.wallet.trades[third.syssn].is_paid = False
    await close(gateway, third)
    await unmatched_payment(store)
    return OrderBook(world, first.syssn, second.syssn, third.syssn)


async def unmatched_payment(store: Store, unmatched: UnmatchedState = UnmatchedState.RETURNED) -> None:
    """7.00 for an unknown order: booked, and then returned, held or kept."""
    incident, evidence = report()
    await store.incidents.note([incident], [evidence])
    suspected = await store.unmatched_payments.by_id("d")
    assert suspected is not None
    returns = unmatched is UnmatchedState.RETURNED
    policy = UnmatchedPolicy.RETURN if returns else UnmatchedPolicy.HOLD
    booked = confirm(suspected, Money(700, "HKD"), UNMATCHED, policy, NOW)
    assert await store.unmatched_payments.record(
        UnmatchedChange(booked, unmatched_entries(suspected, booked, NOW))
    )
    if unmatched is UnmatchedState.KEPT:
        assert await keep_unmatched(store.unmatched_payments, "d", "agreed", ORIGIN)
    if unmatched is UnmatchedState.RETURNED:
        booked = replace(booked, version=2)
        sent = apply_return_outcome(booked, Refunded(None, "r9", NOW), at=NOW)
        assert await store.unmatched_payments.record(
            UnmatchedChange(sent, unmatched_entries(booked, sent, NOW))
        )


def report() -> tuple[Incident, Evidence]:
    """7.00 for an unknown order at WeChat Pay, as in a notice."""
    kind, detail = IncidentKind.UNKNOWN_ORDER, "7.00 HKD was paid"
    incident = Incident(MCHID, "unmatched", kind, "d", "wechat1", detail, NOW, unmatched_id="d")
    amount = Money(700, "HKD")
    return incident, Evidence(MCHID, "d", "unmatched", kind, "wechat1", "wechat_v2", NOW, amount, "t9")


async def close_ledger_days(world: World, days: int) -> None:
    """Run the daily close after so many days."""
    world.clock.at = beginning_of(DAY + timedelta(days=days)) + timedelta(hours=1)
    await run_once(daily_close_job(world.services(Process()).store.ledger_digests, world.clock), world.clock)


def named(audit: Audit) -> tuple[str, str, str]:
    assert audit.first is not None
    return audit.first.table, audit.first.syssn, audit.first.what


@pytest.mark.parametrize("page", [1, 3, 1_000])
async def test_correct_books_agree_with_every_batch_size(
    store: Store, page: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    book = await order_book(store)
    await close_ledger_days(book.world, 3)
    monkeypatch.setattr(audit_snapshot, "PAGE", page)
    monkeypatch.setattr(ledger_digests, "PAGE", page)
    audit = await audit_books(store.database)
    assert audit.first is None, audit.first
    # A payment has two entries, so has each of two refunds and a reversal; an unmatched payment came and went.
    assert (audit.orders, audit.entries, audit.digests) == (3, 6 + 4 + 2, 3)
    assert not any(audit.balances.minor.values())


#: Every column is checked, since any of them could hide a theft.
BYTES: Final = {
    "mchid": "'mch0'",
    "cause": "cause || 'x'",
    "kind": "kind || 'x'",
    "debit": "debit || 'x'",
    "credit": "credit || 'x'",
    "amount_minor": "amount_minor + 1",
    "currency": "currency || 'x'",
    "at": "(at AT TIME ZONE 'UTC' + interval '1 microsecond') AT TIME ZONE 'UTC'",
}


@pytest.mark.parametrize("is_closed", [False, True], ids=["open days", "closed days"])
@pytest.mark.parametrize("kind", ["payment", "fee", "refund", "fee_back", "reversal"])
async def test_a_change_of_any_column_of_any_entry_is_reported(
    store: Store, kind: str, is_closed: bool
) -> None:
    book = await order_book(store)
    if is_closed:
        await close_ledger_days(book.world, 3)
    (row,) = await store.database.fetch(
        "SELECT cause FROM ledger_entry WHERE kind = $1 ORDER BY cause LIMIT 1", kind
    )
    for column, other in BYTES.items():
        async with put_back(store, "ledger_entry"):
            await store.database.execute(
                f"UPDATE ledger_entry SET {column} = {other} WHERE kind = $1 AND cause = $2",
                kind,
                row["cause"],
            )
            audit = await audit_books(store.database)
        assert named(audit)[:2] == ("ledger_entry", row["cause"]), column
        if is_closed:
            assert audit.digests == 3
            assert audit.disagreements >= 2, column  # the order disagrees with it, and so does the digest
    assert (await audit_books(store.database)).first is None


@pytest.mark.parametrize(
    ("statement", "expected"),
    [
        ("DELETE FROM reversal", ("reversal", None, "a row is missing")),
        (
            "UPDATE refund SET amount_minor = 31 WHERE amount_minor = 30",
            ("ledger_entry", None, "a wrong entry"),
        ),
        (
            "DELETE FROM ledger_entry WHERE kind = 'unmatched_returned'",
            ("ledger_entry", UNMATCHED, "an entry is missing"),
        ),
        ("UPDATE unmatched_payment SET amount_minor = 701", ("ledger_entry", UNMATCHED, "a wrong entry")),
        ("UPDATE unmatched_payment SET state = 'REFUSED'", ("ledger_entry", UNMATCHED, "an entry too many")),
        (
            "UPDATE unmatched_payment SET state = 'KEPT', note = 'x'",
            ("ledger_entry", UNMATCHED, "an entry too many"),
        ),
        ("DELETE FROM unmatched_payment", ("unmatched_payment", "d", "a row is missing")),
        (
            "DELETE FROM incident; DELETE FROM unmatched_payment",
            ("ledger_entry", UNMATCHED, "an entry too many"),
        ),
        ("DELETE FROM daily_close", ("daily_close", MCHID, "a row is missing")),
    ],
)
async def test_changes_of_other_rows_are_reported(
    store: Store, statement: str, expected: tuple[str, str | None, str]
) -> None:
    await order_book(store)
    await store.database.execute(statement)
    table, number, what = named(await audit_books(store.database, mchids=[MCHID]))
    assert (table, what) == (expected[0], expected[2])
    assert expected[1] in (None, number)


async def test_a_change_of_any_column_of_any_digest_is_reported(store: Store) -> None:
    book = await order_book(store)
    await close_ledger_days(book.world, 3)
    for column in ("digest", "previous", "entries"):
        for day in range(3):
            other = "entries + 1" if column == "entries" else "repeat('0', 64)"
            which = DAY + timedelta(days=day)
            async with put_back(store, "ledger_digest"):
                await store.database.execute(
                    f"UPDATE ledger_digest SET {column} = {other} WHERE day = $1", which
                )
                assert named(await audit_books(store.database)) == (
                    "ledger_digest",
                    which.isoformat(),
                    column,
                )
    assert (await audit_books(store.database)).first is None


async def test_an_entry_moved_out_of_its_closed_day_with_its_payment_is_reported(store: Store) -> None:
    book = await order_book(store)
    await close_ledger_days(book.world, 3)
    earlier = NOW - timedelta(days=1)
    for statement in (
        "UPDATE payment SET changed_at = $1 WHERE syssn = $2",
        "UPDATE ledger_entry SET at = $1 WHERE cause = $2",
    ):
        await store.database.execute(statement, earlier, book.refunded)
    audit = await audit_books(store.database)
    assert named(audit) == ("ledger_entry", book.refunded, "an entry too many")
    assert audit.disagreements == 3  # two entries in a day without a digest, and the day that lacks them


@pytest.mark.parametrize("state", [UnmatchedState.HELD, UnmatchedState.KEPT])
async def test_money_that_is_held_or_kept_is_at_the_wallet(store: Store, state: UnmatchedState) -> None:
    await unmatched_payment(store, state)

    def book(amount_minor: int) -> WalletBook:
        trade = WalletTrade("wechat", "unmatched", "t9", "SUCCESS", amount_minor, "HKD", 0)
        return WalletBook({"unmatched": [trade]}, NOW + timedelta(hours=1))

    assert (await audit_books(store.database, book(700))).first is None
    assert named(await audit_books(store.database, book(699))) == (
        "wallet's book",
        "unmatched",
        "money held for an unknown order",
    )
    await store.database.execute("DELETE FROM ledger_entry")
    assert named(await audit_books(store.database)) == ("ledger_entry", UNMATCHED, "an entry is missing")


async def test_concurrent_changes_do_not_disturb_it(store: Store, other_store: Store) -> None:
    book = await order_book(store)
    async with snapshot(store.database) as books:
        before = [line async for line, _ in books.lines()]
        await pay(replace(book.world, watch=other_store).gateway(Process()), BARCODE, "D")
        assert [line async for line, _ in books.lines()] == before
        # The daily close does not wait for readers.
        await close_ledger_days(replace(book.world, watch=other_store), 1)
        assert [link async for link in books.digests(MCHID)] == []
    assert (await audit_books(store.database)).first is None


# ---- the job -----------------------------------------------------------------------------------------------------


async def test_the_chain_grows_by_one_link_per_day_also_for_days_without_entries(store: Store) -> None:
    book = await order_book(store)
    await close_ledger_days(book.world, 1)
    await pay(book.world.gateway(Process()), BARCODE, "D")  # in the first hour of the next day
    await close_ledger_days(book.world, 4)
    rows = await store.database.fetch("SELECT day, digest, previous, entries FROM ledger_digest ORDER BY day")
    assert [row["day"] for row in rows] == [DAY + timedelta(days=n) for n in range(4)]
    assert [row["entries"] for row in rows] == [12, 2, 0, 0]
    assert [row["previous"] for row in rows] == ["", *(row["digest"] for row in rows[:-1])]
    assert len({row["digest"] for row in rows}) == 4
    (daily_close,) = await store.database.fetch("SELECT close_at, lease_until, next_day FROM daily_close")
    assert daily_close["next_day"] == DAY + timedelta(days=4)
    assert daily_close["close_at"] == beginning_of(DAY + timedelta(days=5)) + timedelta(hours=1)
    assert daily_close["lease_until"] is None
    assert (await audit_books(store.database)).first is None


async def test_two_workers_at_once_write_one_chain(store: Store, other_store: Store) -> None:
    book = await order_book(store)
    book.world.clock.at = NOW + timedelta(days=5)
    workers = [replace(book.world, watch=of).services(Process()) for of in (store, other_store)]
    lease_of_the_past = RealClock().now() - timedelta(days=1)
    for worker in workers:  # the second takes over a lease that has ended, and both continue
        (claimed,) = await worker.store.ledger_digests.due.claim(
            book.world.clock.at, RealClock().now(), lease_of_the_past, 9
        )
    await asyncio.gather(
        *(close_days(claimed, worker.store.ledger_digests, book.world.clock) for worker in workers)
    )
    await run_once(daily_close_job(workers[0].store.ledger_digests, book.world.clock), book.world.clock)
    audit = await audit_books(store.database)
    assert (audit.first, audit.digests) == (None, 5)


async def test_a_merchant_without_entries_has_no_digests(store: Store) -> None:
    world = World(store, TestClock(NOW), FakeWallet(TestClock(NOW)))
    await close_ledger_days(world, 3)
    audit = await audit_books(store.database)
    assert (audit.first, audit.digests) == (None, 0)


# ---- the command -------------------------------------------------------------------------------------------------


@dataclass
class Sandbox:
    """Answers `GET /control/book`, and nothing else."""

    server: HTTPServer

    @property
    def url(self) -> str:
        return self.server.url_for("").rstrip("/")

    def hold(self, *trades: dict[str, Any]) -> None:
        self.give(json.dumps({"trades": trades, "refunds": []}))

    def give(self, text: str) -> None:
        self.server.clear()
        self.server.no_handler_status_code = 404
        self.server.expect_request("/control/book", method="GET").respond_with_data(text)


@pytest.fixture
def sandbox(httpserver_ipv4: HTTPServer) -> Sandbox:
    return Sandbox(httpserver_ipv4)


@pytest.fixture
def book(database_url: str) -> OrderBook:
    async def work() -> OrderBook:
        async with entered_store(database_url) as store:
            await with_a_merchant(store)
            return await order_book(store)

    return asyncio.run(work())


@pytest.fixture
def operator(book: OrderBook, database_url: str, tmp_path: Path) -> Operator:
    return operator_of(database_url, tmp_path)


def trade(order: str, **changes: Any) -> dict[str, Any]:
    row = {"wallet": "wechat", "order": order, "trade": f"t-{order}", "state": "REFUND", "amount": 100}
    return row | {"currency": "HKD", "refunded": 100} | changes


def test_figures_as_table_and_json(operator: Operator) -> None:
    assert operator.run_json("ledger", "verify") == {
        "ok": True,
        "orders": 3,
        "entries": 12,
        "digests": 0,
        "payouts": 0,
        "compared": 0,
        "balances": [
            {"account": kind, "currency": "HKD", "balance_minor": 0}
            for kind in ("fee", "merchant", "unmatched", "wallet")
        ],
        "disagreements": 0,
        "cell": None,
        "first": None,
    }
    shown = operator.run("ledger", "verify")
    assert all(value in shown for value in ("no mismatch", "entries", "12", "wallet", "0.00 HKD"))


def test_the_wallets_book_is_compared_with_ours(
    operator: Operator, book: OrderBook, sandbox: Sandbox
) -> None:
    correct = (trade(book.refunded), trade(book.reversed, state="REVOKED"))
    sandbox.hold(*correct, trade("unmatched", amount=700, refunded=700))
    agreed = operator.run_json("ledger", "verify", "--sandbox", f"{sandbox.url}/")
    assert (agreed["ok"], agreed["compared"]) == (True, 2)  # the closed order is still being watched
    sandbox.hold(correct[0], trade(book.reversed, refunded=99))
    refused = operator.is_refused("ledger", "verify", "--sandbox", sandbox.url, code=1)
    assert all(value in refused for value in ("wallet's book", book.reversed, "money held", "99 refunded"))
    sandbox.hold(*correct, trade("unknown", refunded=0))
    assert "unknown" in operator.is_refused("ledger", "verify", "--sandbox", sandbox.url, code=1)


def test_the_json_output_has_the_first_disagreement(
    operator: Operator, book: OrderBook, sandbox: Sandbox
) -> None:
    sandbox.hold()
    done = CliRunner().invoke(
        app, ["ledger", "verify", "--sandbox", sandbox.url, "--json"], env=operator.environment
    )
    assert (done.exit_code, done.stderr) == (1, "")
    answer = json.loads(done.stdout)
    assert (answer["ok"], answer["disagreements"]) == (False, 2)
    assert answer["first"] == {
        "table": "wallet's book",
        "mchid": MCHID,
        "syssn": book.refunded,
        "what": "a paid trade",
        "expected": "0 HKD",
        "found": "nothing",
    }


def test_a_book_that_cannot_be_read_is_no_agreement(operator: Operator, sandbox: Sandbox) -> None:
    for text in ("", "[]", '{"trades": [{"order": 1}]}'):
        sandbox.give(text)
        assert "cannot be read" in operator.is_refused("ledger", "verify", "--sandbox", sandbox.url, code=2)
    assert "404" in operator.is_refused("ledger", "verify", "--sandbox", f"{sandbox.url}/x", code=2)
    assert "cannot be read" in operator.is_refused("ledger", "verify", "--sandbox", "nonsense", code=2)
