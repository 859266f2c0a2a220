"""The audit of the books: correct books agree, and a changed row is reported."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Final

import pytest

from tael.audit.domain.wallet_book import WalletBook, WalletTrade
from tael.audit.verification import Audit, audit_books
from tael.jobs.daily_close import daily_close_job
from tael.jobs.runner import run_once
from tael.ledger.domain.digest import beginning_of, day_of
from tael.operations.store import Store
from tael.payments.store.refunds import RefundChange
from tests.support.alipay import TestClock
from tests.support.crashing import Process
from tests.support.fake_wallet import FakeWallet
from tests.support.store import put_back
from tests.support.values import BARCODE, MCHID, NOW
from tests.support.world import World, pay, refund

#: Half a percent, so that every payment and refund here has a fee.
FEE_RATE_PPM: Final = 50_000
LATER: Final = NOW + timedelta(days=3)


async def a_book(store: Store) -> tuple[World, str, str]:
    """Make two payments of 100 and refund 30 of the first. Returns their numbers."""
    await store.directory.execute("UPDATE wallet_account SET fee_rate_ppm = $1", FEE_RATE_PPM)
    clock = TestClock(NOW)
    world = World(store, clock, FakeWallet(clock))
    gateway = world.gateway(Process())
    first = await pay(gateway, BARCODE, "A")
    await refund(gateway, first, "R1", 30)
    second = await pay(gateway, BARCODE, "B")
    return world, first.syssn, second.syssn


async def ledger_digest(world: World) -> None:
    """Run the daily close of three days."""
    world.clock.at = LATER
    await run_once(daily_close_job(world.services(Process()).store.ledger_digests, world.clock), world.clock)


async def audit_of(store: Store, book: WalletBook | None = None) -> Audit:
    return await audit_books(store.database, book)


def first_of(audit: Audit) -> tuple[str, str]:
    """Table and number of the first disagreement."""
    assert audit.first is not None
    return audit.first.table, audit.first.syssn


@pytest.mark.parametrize("is_encrypted", [False, True])
async def test_correct_books_agree(store: Store, is_encrypted: bool) -> None:
    world, _, _ = await a_book(store)
    if is_encrypted:
        await ledger_digest(world)
    audit = await audit_of(store)
    assert audit.first is None
    assert (audit.orders, audit.entries, audit.disagreements) == (2, 6, 0)
    assert audit.digests == (3 if is_encrypted else 0)
    # 200 came, 30 went back. The fee was 5 of each 100, and 1 came back with the 30, since 3.5 of 70 rounds to 4.
    assert audit.balances.minor == {
        ("wallet", "HKD"): 170,
        ("merchant", "HKD"): -161,
        ("fee", "HKD"): -9,
    }


BROKEN: Final = (
    ("UPDATE ledger_entry SET amount_minor = 101 WHERE cause = $1 AND kind = 'payment'", "ledger_entry"),
    (
        "UPDATE ledger_entry SET debit = 'wallet:HKD:wechat2' WHERE cause = $1 AND kind = 'payment'",
        "ledger_entry",
    ),
    ("UPDATE ledger_entry SET currency = 'HKE' WHERE cause = $1 AND kind = 'payment'", "ledger_entry"),
    (
        "UPDATE ledger_entry SET at = (at AT TIME ZONE 'UTC' + interval '1 microsecond') AT TIME ZONE 'UTC' "
        "WHERE cause = $1 AND kind = 'fee'",
        "ledger_entry",
    ),
    ("DELETE FROM ledger_entry WHERE cause = $1 AND kind = 'payment'", "ledger_entry"),
    ("DELETE FROM ledger_entry WHERE cause = $1 AND kind = 'fee'", "ledger_entry"),
    (
        "INSERT INTO ledger_entry SELECT mchid, cause, 'reversal', credit, debit, amount_minor, currency, at "
        "FROM ledger_entry WHERE cause = $1 AND kind = 'payment'",
        "ledger_entry",
    ),
    ("UPDATE payment SET amount_minor = 99 WHERE syssn = $1", "ledger_entry"),
    ("UPDATE payment SET refunded_minor = refunded_minor + 1 WHERE syssn = $1", "payment"),
    ("UPDATE payment SET reserved_minor = 1 WHERE syssn = $1", "payment"),
    ("DELETE FROM payment WHERE syssn = $1", "payment"),
)


@pytest.mark.parametrize("is_encrypted", [False, True])
async def test_one_changed_row_is_reported(store: Store, is_encrypted: bool) -> None:
    world, _, second = await a_book(store)
    if is_encrypted:
        await ledger_digest(world)
    for statement, table in BROKEN:
        async with put_back(store, "payment", "ledger_entry"):
            await store.database.execute(statement, second)
            audit = await audit_of(store)
        assert first_of(audit) == (table, second), statement
        assert audit.first is not None
        assert audit.first.mchid == MCHID
    assert (await audit_of(store)).first is None


async def test_an_entry_without_a_cause_is_reported(store: Store) -> None:
    await a_book(store)
    await store.database.execute(
        "INSERT INTO ledger_entry SELECT mchid, 'unknown', kind, debit, credit, 1, currency, at "
        "FROM ledger_entry WHERE kind = 'refund'"
    )
    assert first_of(await audit_of(store)) == ("ledger_entry", "unknown")


async def test_a_deleted_refund_is_reported(store: Store) -> None:
    await a_book(store)
    (row,) = await store.database.fetch("DELETE FROM refund RETURNING syssn")
    assert first_of(await audit_of(store)) == ("refund", row["syssn"])


async def test_a_payment_deleted_with_its_entries_is_reported(store: Store) -> None:
    _, first, _ = await a_book(store)
    await store.database.execute("DELETE FROM ledger_entry WHERE cause = $1", first)
    await store.database.execute("DELETE FROM payment WHERE syssn = $1", first)
    assert first_of(await audit_of(store)) == ("payment", first)


async def test_a_late_outcome_of_a_completed_refund_changes_nothing(store: Store) -> None:
    _, first, _ = await a_book(store)
    (done,) = await store.refunds.of_payment(MCHID, first)
    assert await store.refunds.record(RefundChange(done, is_decided=False))
    assert (await audit_of(store)).first is None


BROKEN_DIGESTS: Final = (
    ("UPDATE ledger_digest SET entries = entries + 1 WHERE day = $1", "entries"),
    ("UPDATE ledger_digest SET digest = repeat('0', 64) WHERE day = $1", "digest"),
    ("UPDATE ledger_digest SET previous = 'x' WHERE day = $1", "previous"),
)


@pytest.mark.parametrize(("statement", "what"), BROKEN_DIGESTS)
async def test_a_changed_digest_is_reported(store: Store, statement: str, what: str) -> None:
    world, _, _ = await a_book(store)
    await ledger_digest(world)
    await store.database.execute(statement, day_of(NOW))
    audit = await audit_of(store)
    assert first_of(audit) == ("ledger_digest", str(day_of(NOW)))
    assert audit.first is not None
    assert audit.first.what == what


@pytest.mark.parametrize("day", [0, 1, 2])
async def test_a_removed_link_is_reported(store: Store, day: int) -> None:
    world, _, _ = await a_book(store)
    await ledger_digest(world)
    await store.database.execute(
        "DELETE FROM ledger_digest WHERE day = $1", day_of(NOW + timedelta(days=day))
    )
    assert (await audit_of(store)).disagreements


async def test_the_digest_reveals_a_consistent_change_of_payment_and_entry(store: Store) -> None:
    world, _, second = await a_book(store)
    await ledger_digest(world)
    for statement in (
        "UPDATE payment SET amount_minor = 101 WHERE syssn = $1",
        "UPDATE ledger_entry SET amount_minor = 101 WHERE cause = $1 AND kind = 'payment'",
    ):
        await store.database.execute(statement, second)
    assert first_of(await audit_of(store)) == ("ledger_digest", str(day_of(NOW)))


async def test_a_day_is_closed_an_hour_after_its_end_and_only_once(store: Store, other_store: Store) -> None:
    world, _, _ = await a_book(store)
    end = beginning_of(day_of(NOW) + timedelta(days=1))
    for minutes, digests in ((59, 0), (60, 1), (61, 1)):
        world.clock.at = end + timedelta(minutes=minutes)
        for of in (store, other_store):
            await run_once(
                daily_close_job(
                    replace(world, watch=of).services(Process()).store.ledger_digests, world.clock
                ),
                world.clock,
            )
        rows = await store.database.fetch("SELECT day, entries FROM ledger_digest")
        assert [(row["day"], row["entries"]) for row in rows] == [(day_of(NOW), 6)][:digests]


async def test_a_late_entry_belongs_to_the_first_open_day(store: Store) -> None:
    world, _, second = await a_book(store)
    payment = await store.payments.by_syssn(MCHID, second)
    assert payment is not None
    await ledger_digest(world)
    world.clock.at = NOW  # a worker whose clock is behind
    await refund(world.gateway(Process()), payment, "R2", 10)
    (row,) = await store.database.fetch("SELECT max(at) AS at FROM ledger_entry WHERE kind = 'refund'")
    assert row["at"] == beginning_of(day_of(LATER))
    assert (await audit_of(store)).first is None


async def test_the_wallets_book_must_agree(store: Store) -> None:
    _, first, second = await a_book(store)

    def book(held: dict[str, tuple[int, int]]) -> WalletBook:
        trades = {
            order: [WalletTrade("wechat", order, "t1", "SUCCESS", amount, "HKD", back)]
            for order, (amount, back) in held.items()
        }
        return WalletBook(trades, datetime(2100, 1, 1, tzinfo=UTC))

    correct = {first: (100, 30), second: (100, 0)}
    assert (await audit_of(store, book(correct))).first is None
    for wrong, number in (
        ({first: (100, 30)}, second),
        (correct | {first: (100, 31)}, first),
        (correct | {second: (101, 0)}, second),
        (correct | {"unknown": (1, 0)}, "unknown"),
    ):
        assert first_of(await audit_of(store, book(wrong))) == ("wallet's book", number)
