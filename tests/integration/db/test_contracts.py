"""The database's own constraints, independent of the code above it."""

from datetime import timedelta
from typing import Final

import asyncpg
import pytest

from tael.merchants.store.merchants import AlreadyThere
from tael.operations.store import Store
from tael.payments.domain.refund import RefundRules
from tael.payments.store.payments import Change
from tael.payments.store.reservations import Reservation, Reserved
from tests.support.store import opened, paid
from tests.support.values import (
    BARCODE,
    MCHID,
    NOW,
    ORIGIN,
    a_merchant,
    a_payment,
    a_refund,
    a_reversal,
    a_wechat_account,
    an_alipay_account,
    an_app,
)

DAY: Final = timedelta(days=1)


@pytest.fixture
async def second_mchid(store: Store) -> str:
    """A merchant without any account."""
    await store.merchants.add_merchant(a_merchant("mch2"), ORIGIN)
    return "mch2"


async def test_a_merchant_has_at_most_one_wechat_account(store: Store) -> None:
    with pytest.raises(AlreadyThere, match="this wallet for this scene"):
        await store.accounts.add(a_wechat_account("another", sub_mch_id="1900000199"), ORIGIN)


@pytest.mark.parametrize("scene", ["online", "offline"])
async def test_a_merchant_has_at_most_one_alipay_account_per_scene(store: Store, scene: str) -> None:
    assert scene in ("online", "offline")
    another = an_alipay_account(
        "another", scene="online" if scene == "online" else "offline", pid="2088000000000009"
    )
    with pytest.raises(AlreadyThere, match="this wallet for this scene"):
        await store.accounts.add(another, ORIGIN)


async def test_a_pid_belongs_to_one_merchant_and_one_scene(store: Store, second_mchid: str) -> None:
    taken = an_alipay_account("another", second_mchid, "offline", pid="2088000000000001")
    with pytest.raises(AlreadyThere, match="already belongs to a merchant"):
        await store.accounts.add(taken, ORIGIN)


async def test_a_sub_merchant_belongs_to_one_merchant(store: Store, second_mchid: str) -> None:
    with pytest.raises(AlreadyThere, match="already belongs to a merchant"):
        await store.accounts.add(a_wechat_account("another", second_mchid), ORIGIN)


async def test_an_account_covers_one_of_three_scenes(store: Store) -> None:
    with pytest.raises(asyncpg.CheckViolationError, match="account_scene"):
        await store.directory.execute("UPDATE wallet_account SET scene = 'web'")


async def test_an_account_has_a_merchant_and_a_merchant_an_app(store: Store) -> None:
    with pytest.raises(LookupError, match="no merchant unknown"):
        await store.accounts.add(an_alipay_account("another", "unknown", pid="2088000000000009"), ORIGIN)
    with pytest.raises(LookupError, match="no app unknown"):
        await store.merchants.add_merchant(a_merchant("mch3", "unknown"), ORIGIN)


async def test_an_app_is_unique_and_has_one_default_merchant(store: Store) -> None:
    with pytest.raises(AlreadyThere):
        await store.merchants.add_app(an_app(), ORIGIN)
    await store.merchants.add_merchant(a_merchant("default1", is_default=True), ORIGIN)
    with pytest.raises(AlreadyThere):
        await store.merchants.add_merchant(a_merchant("default2", is_default=True), ORIGIN)


async def test_accounts_are_read_back_unchanged(store: Store) -> None:
    accounts = {account.account_id: account for account in await store.accounts.all()}
    assert accounts["wechat1"] == a_wechat_account()
    assert accounts["alipay-online"] == an_alipay_account("alipay-online")
    assert await store.accounts.by_id("wechat1") == a_wechat_account()
    assert await store.accounts.by_id("unknown") is None
    assert len(await store.accounts.of_app("app1")) == 3
    assert await store.accounts.of_app("unknown") == []


@pytest.mark.parametrize(
    "change",
    [
        "refunded_minor = 101",
        "reserved_minor = 101",
        "refunded_minor = 60, reserved_minor = 41",
        "refunded_minor = -1",
        "reserved_minor = -1",
        "refund_count = -1",
        "refunded_minor = 1, state = 'CLOSED'",
    ],
)
async def test_refunds_never_exceed_the_payment(store: Store, change: str) -> None:
    payment = await paid(store, a_payment())
    with pytest.raises(asyncpg.CheckViolationError, match="never_more_back_than_came"):
        await store.database.execute(f"UPDATE payment SET {change} WHERE syssn = $1", payment.syssn)


@pytest.mark.parametrize("column", ["refunded_minor", "reserved_minor"])
async def test_an_unpaid_payment_has_no_refunds(store: Store, column: str) -> None:
    payment = await opened(store, a_payment())
    with pytest.raises(asyncpg.CheckViolationError, match="never_more_back_than_came"):
        await store.database.execute(f"UPDATE payment SET {column} = 1 WHERE syssn = $1", payment.syssn)


@pytest.mark.parametrize("change", ["state = 'FAILED'", "reason = 'other'"])
async def test_a_failed_row_has_a_reason_and_no_other_row_has_one(store: Store, change: str) -> None:
    payment = await opened(store, a_payment(BARCODE))
    async with store.database.transaction() as connection:
        await store.reversals.insert(connection, a_reversal(payment), Change(payment))
    back = Reservation(a_refund(await paid(store, a_payment())), RefundRules(DAY), NOW)
    assert isinstance(await store.refunds.reserve(back), Reserved)
    for table in ("payment", "refund", "reversal"):
        with pytest.raises(asyncpg.CheckViolationError, match=f"{table}_reason_of_failure"):
            await store.database.execute(f"UPDATE {table} SET {change}")


async def test_one_cause_has_one_entry_of_a_kind(store: Store) -> None:
    payment = await paid(store, a_payment())
    copy = "INSERT INTO ledger_entry SELECT * FROM ledger_entry WHERE cause = $1"
    with pytest.raises(asyncpg.UniqueViolationError):
        await store.database.execute(copy, payment.syssn)
    assert len(await store.database.fetch("SELECT 1 FROM ledger_entry")) == 1


async def test_a_payment_has_one_reversal_at_a_time(store: Store) -> None:
    payment = await paid(store, a_payment(BARCODE))
    insert = """INSERT INTO reversal (mchid, syssn, payment_syssn, amount_minor, client_time, fails_with, created_at,
        changed_at, state, reason, wallet_code, checks, version, account_id, protocol)
        VALUES ($1, $2, $3, 0, '', $6, $4, $4, $5, CASE WHEN $5 = 'FAILED' THEN 'other' END, '', 0, 1,
        'wechat1', 'wechat_v2')"""
    await store.database.execute(insert, MCHID, "r1", payment.syssn, NOW, "FAILED", None)
    await store.database.execute(
        insert, MCHID, "r2", payment.syssn, NOW, "DONE", "payer_code_expired"
    )  # an old one of our own
    await store.database.execute(insert, MCHID, "r3", payment.syssn, NOW, "PENDING", None)
    with pytest.raises(asyncpg.UniqueViolationError):
        await store.database.execute(insert, MCHID, "r4", payment.syssn, NOW, "DONE", None)
