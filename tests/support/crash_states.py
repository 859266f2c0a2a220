"""The states that crashes leave behind, so that an equal state is checked once however many crashes end in it.

A crash at one side effect often leaves exactly what a crash at the previous one left: nothing was written in
between, or the last response was lost before it had a consequence. Checking such a state again proves nothing. After
a crash there is a new process, which knows only what `CrashState` holds: every row of every table, the whole wallet,
the time, the messages that merchants received, and the scenario with the line at which it stopped. It has no other
input: numbers are drawn without randomness and only the tests move the clock. Equal states therefore have the same
future, and checking one checks all of them.

Nothing is masked or left out for this. A value that differs by chance, such as the milliseconds of a delivery, makes
another state, which is checked as well. The only change before the comparison is the first step of every restart:
leases, which end in real time, are over.
"""

from collections.abc import AsyncIterator
from copy import deepcopy
from dataclasses import dataclass
from itertools import count
from typing import Final

from tael.operations.store import Store
from tests.support.crashing import Process, Side
from tests.support.fake_wallet import FakeWallet
from tests.support.world import Scenario, World, end_leases, new_world

#: More side effects than any scenario has, and fewer than any scenario has.
MAX_SIDE_EFFECTS: Final = 300
MIN_SIDE_EFFECTS: Final = 5

TABLES: Final = """
SELECT table_schema, table_name FROM information_schema.tables
WHERE table_type = 'BASE TABLE' AND table_schema NOT IN ('pg_catalog', 'information_schema')
ORDER BY table_schema, table_name
"""
#: What a scenario writes. A table that is forgotten here costs time and no truth: its rows are part of the next state.
RESET: Final = "; ".join(
    [
        *(
            f"DELETE FROM {table}"
            for table in (
                "payment",
                "refund",
                "reversal",
                "reference",
                "ledger_entry",
                "webhook",
                "webhook_attempt",
                "incident",
                "unmatched_payment",
                "checkout_link",
                "serial",
                "refund_turn",
            )
        ),
    ]
)


@dataclass(frozen=True)
class CrashState:
    """All that a new process and the check after it can see."""

    rows: tuple[tuple[str, str], ...]  #: table, and a whole row of it as text; in order
    wallet: FakeWallet  #: a copy: its book, its debts, what it was asked, its clock
    received: tuple[bytes, ...]  #: by merchants, repeats too
    scenario: Scenario
    stopped_at: tuple[str, ...]  #: where in the scenario the process died; empty if it came to its end


class CrashStates:
    """The states that have been checked. With `checks_all`, an equal one is checked again."""

    def __init__(self, *, checks_all: bool = False) -> None:
        self._checks_all = checks_all
        self._known: list[CrashState] = []
        self.runs = 0

    @property
    def checked(self) -> int:
        return len(self._known)

    def is_to_check(self, state: CrashState) -> bool:
        """Whether no equal state was seen before; from now on, this one was."""
        self.runs += 1
        if state in self._known and not self._checks_all:
            return False
        self._known.append(state)
        return True


async def crash_state(world: World, scenario: Scenario) -> CrashState:
    """The state as it is now. Leases are over after this."""
    await end_leases(world.watch)
    wallet = world.wallet
    shared = {id(trade.order): trade.order for trade in wallet.trades.values()}  # frozen, with secrets inside
    return CrashState(
        rows=await all_rows(world.watch),
        wallet=deepcopy(wallet, shared),
        received=tuple(world.received),
        scenario=scenario,
        stopped_at=world.stopped_at,
    )


async def all_rows(store: Store) -> tuple[tuple[str, str], ...]:
    """Every row of every table, with all columns."""
    tables = [f'"{schema}"."{name}"' for schema, name in await store.database.fetch(TABLES)]
    rows = await store.database.fetch(
        " UNION ALL ".join(f"SELECT '{table}' AS of, t::text AS row FROM {table} AS t" for table in tables)
    )
    return tuple(sorted((row["of"], row["row"]) for row in rows))


async def each_crash(
    scenario: Scenario, store: Store, states: CrashStates
) -> AsyncIterator[tuple[World, str]]:
    """The world after each crash of the scenario that leaves it in a state not yet checked, and where that crash was.

    The process dies before its first side effect, then before its second, until none is left; then after each.
    """
    for side in Side:
        for nth in count(1):
            assert nth < MAX_SIDE_EFFECTS
            process = Process(nth, side)
            world = new_world(store, scenario)
            await world.live(scenario, process)
            assert process.in_progress == 0, "something is still on its way"
            if states.is_to_check(await crash_state(world, scenario)):
                yield world, f"{side} side effect {nth}"
            await reset(store)
            if not process.is_dead:
                break
        assert nth > MIN_SIDE_EFFECTS
    print(f"{scenario}: {states.runs} crashes, {states.checked} states")


async def reset(store: Store) -> None:
    """An empty book for the next crash."""
    await store.database.execute(RESET)
