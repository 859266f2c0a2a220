"""A crash is left unchecked only after one that left the very same: rows, wallet, messages, place and scenario."""

from dataclasses import fields, replace
from datetime import timedelta
from typing import Any, Final

import pytest

from tael.base.pay_types import Wallet
from tael.channels.outcomes import Closed, Refusal, Refused, ReversalAction
from tael.operations.store import Store
from tael.payments.context import PaymentContext
from tests.support.alipay import TestClock
from tests.support.crash_states import CrashState, CrashStates, crash_state, each_crash, reset
from tests.support.crashing import Process, Side
from tests.support.fake_wallet import FakeWallet, Payer, Trade
from tests.support.store import count_of
from tests.support.values import BARCODE, NOW
from tests.support.world import Scenario, World, new_world, pay, refund


async def pay_and_refund(world: World, gateway: PaymentContext) -> None:
    payment = await pay(gateway, BARCODE, "A")
    await refund(gateway, payment, "R", 30)


SCENARIO: Final = Scenario("pay and refund", Payer.PAYS, pay_and_refund, is_refund_delayed=True)
#: One that is quickly gone through, crash by crash.
SHORT: Final = replace(SCENARIO, name="without jobs", jobs_follow=False)
OF_A_ROW: Final = (
    "UPDATE payment SET changed_at = changed_at + interval '1 microsecond'",
    "UPDATE payment SET checks = checks + 1",
    "UPDATE refund SET wallet_code = 'OTHER'",
    "UPDATE webhook SET body = body || '\\x00'::bytea",
    "UPDATE webhook_attempt SET took_ms = took_ms + 1",
    "UPDATE serial SET next_sequence = next_sequence + 1",
    "INSERT INTO refund_turn VALUES ('mch1', 'wechat1', '2026-01-02')",
    "DELETE FROM reference WHERE reference = 'R'",
    "INSERT INTO ledger_entry SELECT mchid, 'again', kind, debit, credit, amount_minor, currency, at"
    " FROM ledger_entry LIMIT 1",
    "ALTER TABLE refund ADD COLUMN of_tomorrow text DEFAULT ''",
    "CREATE TABLE of_tomorrow AS SELECT 1 AS one",
)
#: One other value for everything that a wallet remembers, and for everything that it remembers of a trade.
OF_THE_WALLET: Final[dict[str, Any]] = {
    "clock": TestClock(NOW + timedelta(days=9, microseconds=1)),
    "payer": Payer.WAITS,
    "is_refund_delayed": False,
    "too_late_to_reverse": True,
    "remembers_paid": True,
    "acknowledgement": None,
    "reversal_after": timedelta(seconds=16),
    "wallet": Wallet.ALIPAY,
    "refunds_single_trades": False,
    "trades": {},
    "unfinished": {"another"},
    "unacknowledged": {"another"},
    "false_notices": {"another": Closed()},
    "false_records": {"another": Closed()},
    "refusal": Refused(Refusal.WRONG_STATE, "NO"),
    "refunds_asked": [],
}
OF_A_TRADE: Final[dict[str, Any]] = {
    "order": None,
    "is_paid": False,
    "is_closed": True,
    "paid_at": NOW + timedelta(microseconds=1),
    "reversal": ReversalAction.CLOSED,
    "refunds": {},
    "other_ref": "another",
    "is_unasked": True,
}


@pytest.fixture
async def finished(store: Store) -> World:
    """The whole story, without a crash."""
    await store.directory.execute("UPDATE app SET notify_url = 'http://shop', notify_offline = true")
    world = new_world(store, SCENARIO)
    await world.live(SCENARIO, Process())
    return world


def is_checked_after(first: CrashState, then: CrashState) -> bool:
    states = CrashStates()
    assert states.is_to_check(first)
    assert not states.is_to_check(first)
    return states.is_to_check(then)


async def test_the_same_crash_leaves_a_state_that_is_checked_once(store: Store) -> None:
    left = []
    for _ in range(2):
        world = new_world(store, SCENARIO)
        await world.live(SCENARIO, Process(9))
        left.append(await crash_state(world, SCENARIO))
        await reset(store)
    assert not is_checked_after(*left)


async def test_a_reset_leaves_what_was_there_before_the_story(store: Store) -> None:
    world = new_world(store, SCENARIO)
    before = await crash_state(world, SCENARIO)
    await world.live(SCENARIO, Process())
    await reset(store)
    assert (await crash_state(world, SCENARIO)).rows == before.rows


async def test_a_state_has_as_many_rows_as_each_table(finished: World) -> None:
    state = await crash_state(finished, SCENARIO)
    store = finished.watch
    tables = await store.database.fetch("SELECT schemaname, relname FROM pg_stat_user_tables")
    assert {store.directory.schema, store.database.schema} <= {schema for schema, _ in tables}
    assert len(tables) > 30
    for schema, table in tables:
        rows = [row for of, row in state.rows if of == f'"{schema}"."{table}"']
        assert len(rows) == await count_of(store, f"{schema}.{table}"), table


async def test_a_difference_in_any_row_is_checked(finished: World) -> None:
    before = await crash_state(finished, SCENARIO)
    for sql in OF_A_ROW:
        await finished.watch.database.execute(sql)
        after = await crash_state(finished, SCENARIO)
        assert is_checked_after(before, after), sql
        before = after


async def test_a_difference_in_anything_that_the_wallet_remembers_is_checked(finished: World) -> None:
    assert set(OF_THE_WALLET) == {field.name for field in fields(FakeWallet)}
    state = await crash_state(finished, SCENARIO)
    for name, other in OF_THE_WALLET.items():
        setattr(finished.wallet, name, other)
        assert is_checked_after(state, await crash_state(finished, SCENARIO)), name
        finished.wallet = replace(state.wallet)


async def test_a_difference_in_anything_that_the_wallet_remembers_of_a_trade_is_checked(
    finished: World,
) -> None:
    assert set(OF_A_TRADE) == {field.name for field in fields(Trade)}
    state = await crash_state(finished, SCENARIO)
    ((syssn, trade),) = finished.wallet.trades.items()
    for name, other in OF_A_TRADE.items():
        finished.wallet.trades = {syssn: replace(trade, **{name: other})}
        assert is_checked_after(state, await crash_state(finished, SCENARIO)), name


async def test_a_copy_of_the_wallet_does_not_change_with_it(finished: World) -> None:
    state = await crash_state(finished, SCENARIO)
    (trade,) = finished.wallet.trades.values()
    trade.refunds["another"] = 1
    finished.wallet.refunds_asked.append("another")
    finished.clock.at += timedelta(seconds=1)
    then = await crash_state(finished, SCENARIO)
    assert (len(then.wallet.refunds_asked), len(state.wallet.refunds_asked)) == (2, 1)
    assert is_checked_after(state, then)


async def test_a_difference_in_the_place_the_messages_or_the_story_is_checked(finished: World) -> None:
    state = await crash_state(finished, SCENARIO)
    others: dict[str, Any] = {
        "stopped_at": ("live:1", "pay_and_refund:2"),
        "received": (*state.received, *state.received[-1:]),
        "scenario": replace(SCENARIO, name="another"),
    }
    assert set(others) == {field.name for field in fields(CrashState)} - {"rows", "wallet"}
    for name, other in others.items():
        assert is_checked_after(state, replace(state, **{name: other})), name


async def test_two_crashes_that_differ_only_in_their_place_are_both_checked(store: Store) -> None:
    """While a payment was made, which then was left undecided, and when its refund began."""
    left = [await crash_state(world, SHORT) async for world, _ in each_crash(SHORT, store, unfiltered())]
    apart = [
        (one, other)
        for place, one in enumerate(left)
        for other in left[:place]
        if one != other and replace(one, stopped_at=other.stopped_at) == other
    ]
    assert apart
    assert all(is_checked_after(one, other) for one, other in apart)


async def test_equal_states_go_on_alike(store: Store) -> None:
    """Why it is enough to check one of them: a restart makes equal states of equal states."""
    ends: list[tuple[CrashState, CrashState]] = []
    repeated = 0
    async for world, _ in each_crash(SHORT, store, unfiltered()):
        left = await crash_state(world, SHORT)
        await world.restart()
        end = await crash_state(world, SHORT)
        for known, known_end in ends:
            if left == known:
                repeated += 1
                assert end == known_end
        ends.append((left, end))
    assert repeated


async def test_every_crash_is_checked_where_all_are_wanted(store: Store) -> None:
    some, everything = CrashStates(), unfiltered()
    checked = [
        len([where async for _, where in each_crash(SHORT, store, each)]) for each in (some, everything)
    ]
    assert some.runs == everything.runs == checked[1]
    assert len(Side) < checked[0] < checked[1]


def unfiltered() -> CrashStates:
    return CrashStates(checks_all=True)
