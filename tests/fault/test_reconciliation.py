"""A crash at any side effect of a run writes no difference twice, loses none, and leaves the statement due."""

from itertools import count
from typing import Any, Final

import pytest

from tael.base.money import Money
from tael.channels.statements import LineType
from tael.jobs.runner import run_once
from tael.main import all_jobs
from tael.operations.store import Store
from tests.support.alipay import TestClock
from tests.support.crashing import Process, Side
from tests.support.fake_wallet import FakeWallet, Payer
from tests.support.statements import DAY, ONE_DAY, WECHAT, a_line, paid_line, stored
from tests.support.store import paid
from tests.support.unmatched import unmatched_order
from tests.support.values import NOW, ONLINE, a_payment
from tests.support.world import World, end_leases, pay

#: More side effects than two runs have.
MAX_SIDE_EFFECTS: Final = 100
RESET: Final = "; ".join(
    f"DELETE FROM {table}"
    for table in (
        *("payment", "reference", "ledger_entry", "incident", "unmatched_payment", "webhook"),
        *("statement", "statement_line", "difference", "reconciliation", "cell_audit_entry"),
    )
)
#: What a merchant and an operator see, without the numbers and times that differ from run to run.
RESULT: Final = {
    "difference": "SELECT kind, type, detail, state, resolution FROM difference",
    "reconciliation": "SELECT day, lines, matched, theirs, ours, differences FROM reconciliation",
    "incident": "SELECT kind, resolved_at, account_id FROM incident",
    "unmatched": "SELECT subject_id, kind, state, amount_minor FROM unmatched_payment",
    "payment": "SELECT state, amount_minor FROM payment",
    "statement": "SELECT day, check_at IS NULL AS is_done FROM statement",
}


async def prepared(store: Store) -> World:
    """A day with a payment that is pending here, one without a line, a wrong amount, and unknown money."""
    await store.database.execute(RESET)
    clock = TestClock(NOW)
    world = World(store, clock, FakeWallet(clock, Payer.WAITS))
    gateway = world.gateway(Process())
    pending = await pay(gateway, ONLINE, "A")
    world.wallet.confirm(pending.syssn)
    world.wallet.take(await unmatched_order(gateway, "wechat1", ONLINE))
    await paid(store, a_payment())
    wrong = await paid(store, a_payment())
    lines = [
        paid_line(pending.syssn),
        paid_line(wrong.syssn, Money(99, "HKD")),
        paid_line("unmatched-1", Money(700, "HKD")),
        a_line(LineType.REFUND, "unknown"),
    ]
    await stored(store, lines)
    await stored(store, [], day=DAY + ONE_DAY)
    return world


async def run_jobs(world: World, process: Process) -> None:
    """Reconcile until nothing is due or the process has crashed."""
    (job,) = [
        job for job in all_jobs(world.services(process)) if job.name == f"reconciliation.{WECHAT.protocol}"
    ]
    for _ in range(20):
        if process.is_dead or not await run_once(job, world.clock):
            return
    raise AssertionError("the runs never come to rest")


async def result(store: Store) -> dict[str, list[Any]]:
    return {
        name: sorted(str(tuple(row.values())) for row in await store.database.fetch(statement))
        for name, statement in RESULT.items()
    }


@pytest.mark.parametrize("side", list(Side))
async def test_a_crash_at_any_side_effect_changes_no_result(store: Store, side: Side) -> None:
    world = await prepared(store)
    await run_jobs(world, Process())
    expected = await result(store)
    assert len(expected["difference"]) == 5
    for dies_at in count(1):
        world = await prepared(store)
        process = Process(dies_at, side)
        try:
            await run_jobs(world, process)
        except BaseException:
            assert process.is_dead
        if not process.is_dead:
            break
        await end_leases(store)
        await run_jobs(world, Process())
        assert await result(store) == expected, dies_at
        assert dies_at < MAX_SIDE_EFFECTS
    assert dies_at > 10
