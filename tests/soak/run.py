"""Runs a soak: starts the processes, carries out the plan, ends all faults, runs all jobs, and compares the books."""

import asyncio
import json
import time
from collections import Counter
from collections.abc import Coroutine
from dataclasses import dataclass, field
from itertools import cycle
from pathlib import Path
from typing import Any, Final

from tests.end_to_end.merchant import APPID_OF
from tests.soak.books import Books, mismatches
from tests.soak.ending import ledger_verified, run_until_idle
from tests.soak.faulty import WalletFaults
from tests.soak.freezes import Freezer
from tests.soak.kills import Reaper
from tests.soak.merchant import SoakClient, merchants_of
from tests.soak.neighbours import Neighbours, quantile
from tests.soak.other_program import OtherProgram
from tests.soak.plan import (
    Cut,
    DatabaseDeath,
    Fault,
    Freeze,
    Hang,
    Jump,
    Kill,
    Pay,
    ReceiverFault,
    ServerFreeze,
    Step,
    Unmatched,
    plan,
)
from tests.soak.reading import BookReader, CellReader, wallets_book
from tests.soak.receiver import Receiver
from tests.soak.rig import SoakStack, running_soak, set_notify_urls
from tests.soak.separation import SECOND, Downtime, Separation
from tests.soak.server_faults import ServerFaults
from tests.soak.story import Scenario

WATCH_S: Final = 0.1
SNAPSHOT_S: Final = 0.7
#: No longer jump of the clock while a request is in flight: a wallet's 60 s would pass in one real second.
SHORT_JUMP_S: Final = 20
CALM_LIMIT_S: Final = 8.0
DECIDED_AFTER_KILL_S: Final = 3.0
SCENARIOS_LIMIT_S: Final = 75.0
READY_LIMIT_S: Final = 60.0
#: Between payments of the first cell while only the second's server is down.
GAP_WHILE_DOWN_S: Final = 0.15


@dataclass(slots=True)
class Figures:
    """What a soak did and found.

    `served_while_second_down`: payments of the first cell while only the second's server was down.
    `other_wallet`: payment times in seconds at one wallet while the other hung.
    """

    operations: int = 0
    kills: int = 0
    freezes: int = 0
    faults: int = 0
    servers_killed: dict[str, int] = field(default_factory=dict)
    served_while_second_down: int = 0
    other_wallet: dict[str, float] = field(default_factory=dict)
    mismatches: list[str] = field(default_factory=list)

    def line(self) -> str:
        return json.dumps(
            {
                "operations": self.operations,
                "kills": self.kills,
                "freezes": self.freezes,
                "faults": self.faults,
                "servers_killed": self.servers_killed,
                "served_while_second_down": self.served_while_second_down,
                "other_wallet": self.other_wallet,
                "mismatches": len(self.mismatches),
            }
        )


def run(seed: int, minutes: float, port: int, data: Path, mutant: str = "") -> Figures:
    """Call in the main thread: the processes end with it. The soak of a mutant ends with its first mismatch."""
    with running_soak(port, data, mutant) as stack:
        return asyncio.run(Soak(stack, plan(seed, minutes), ends_early=bool(mutant)).run())


class Soak:
    """One soak over running processes."""

    def __init__(self, stack: SoakStack, steps: tuple[Step, ...], ends_early: bool) -> None:
        self._stack = stack
        self._steps = steps
        self._ends_early = ends_early  #: the first mismatch ends the plan
        self._merchants = merchants_of(stack.apps)
        self._downtime = Downtime()
        self._separation = Separation(self._downtime)
        self._client = SoakClient(
            stack.place.gateway_url, stack.place.sandbox_url, stack.clock, separation=self._separation
        )
        self._receiver = Receiver(stack.apps)
        self._reader = BookReader(stack.servers)
        self._wallet_faults = WalletFaults(self._client)
        self._reaper = Reaper(stack, self._client, self._reader, self._wallet_faults)
        self._freezer = Freezer(stack, self._reaper, self._wallet_faults, self._downtime)
        self._server_faults = ServerFaults(stack, self._freezer, self._downtime)
        self._neighbours = Neighbours(self._client, self._wallet_faults, self._merchants)
        self._other_program = OtherProgram(self._client, self._reader, self._merchants)
        self._openids: dict[str, dict[str, str]] = {}
        self._scenarios: set[asyncio.Task[None]] = set()
        self._disturbances: set[asyncio.Task[None]] = set()
        self._postponed: list[DatabaseDeath] = []
        self._other_faults: Counter[str] = Counter()
        self._restarted: Counter[str] = Counter()
        self._jumps: Counter[str] = Counter()
        self._found: dict[str, None] = {}  #: mismatches found during the plan, each once, in order
        self._troubles: list[str] = []

    async def run(self) -> Figures:
        async with self._client, self._receiver, self._reader:
            await set_notify_urls(self._stack, self._receiver.url)
            supervising = asyncio.create_task(self._supervise())
            try:
                await self._until_ready()
                self._openids = await self._read_openids()
                await self._other_program.prepare()
                self._separation.mchids = await self._merchants_of_first_cell()
                watching = [self._take_snapshots(cell) for cell in self._reader.cells]
                background: set[asyncio.Task[None]] = set()
                for work in (*watching, self._pay_while_second_is_down()):
                    self._begin(work, background)
                await self._carry_out()
                found = await self._broken_off() if self._is_over else await self._verdict()
                for task in background:
                    task.cancel()
            finally:
                supervising.cancel()
            return self._report([*found, *(f"the soak itself: {trouble}" for trouble in self._troubles)])

    @property
    def _is_over(self) -> bool:
        return self._ends_early and bool(self._found or self._separation.wrong)

    async def _read_openids(self) -> dict[str, dict[str, str]]:
        """For each shop a payer's openids, by the setting with the appid."""
        payers = await self._client.control("payers", "GET")
        openids: dict[str, str] = next(payer["openids"] for payer in payers if payer["wallet"] == "wechat")
        accounts = await self._client.control("accounts", "GET")
        return {
            row["shop"]: {name: openids[row[name]] for name in APPID_OF.values()}
            for row in accounts
            if row["wallet"] == "wechat" and row["kind"] == "provider"
        }

    # ---- the plan ------------------------------------------------------------------------------------------------

    async def _carry_out(self) -> None:
        loop = asyncio.get_running_loop()
        begun = loop.time()
        for step in self._steps:
            await asyncio.sleep(max(0.0, begun + step.at_s - loop.time()))
            if self._is_over:
                return
            if self._neighbours.is_measuring and not isinstance(step, Pay):
                self._postponed += [step] if isinstance(step, DatabaseDeath) else []
                continue
            is_scenario = isinstance(step, Pay | Unmatched)
            self._begin(self._do(step), self._scenarios if is_scenario else self._disturbances)

    def _begin(self, work: Coroutine[Any, Any, None], among: set[asyncio.Task[None]]) -> None:
        task = asyncio.create_task(work)
        among.add(task)
        task.add_done_callback(self._ended)

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._scenarios.discard(task)
        self._disturbances.discard(task)
        if not task.cancelled() and task.exception() is not None:
            self._troubles.append(repr(task.exception()))

    async def _do(self, step: Step) -> None:
        match step:
            case Pay():
                merchant = self._merchants[step.shop]
                await Scenario(step, merchant, self._openids[step.shop], self._client).live()
            case Unmatched():
                await self._other_program.live(step)
            case Jump():
                await self._jump(step.advance_s)
            case Kill():
                await self._reaper.carry_out(step)
            case DatabaseDeath():
                await self._server_faults.kill(step)
            case ServerFreeze():
                await self._server_faults.freeze(step)
            case Cut():
                await self._server_faults.cut_wire(step)
            case Freeze():
                await self._freezer.carry_out(step)
            case Hang():
                await self._hang(step)
            case Fault():
                await self._wallet_faults.live(step)
            case ReceiverFault():
                self._receiver.fault = step.how
                self._other_faults[f"receiver: {step.how}"] += 1
                await asyncio.sleep(step.for_s)
                self._receiver.fault = ""

    async def _hang(self, hang: Hang) -> None:
        async def quiet() -> None:
            self._freezer.thaw()
            others = self._disturbances - {asyncio.current_task()}
            if others:
                await asyncio.wait(others)

        await self._neighbours.carry_out(hang, quiet)
        postponed, self._postponed = self._postponed, []
        for death in postponed:
            await self._server_faults.kill(death)

    async def _jump(self, advance_s: int) -> None:
        if advance_s > SHORT_JUMP_S and not await self._is_calm():
            self._jumps["left out"] += 1
        else:
            await self._client.advance(advance_s)
            self._jumps["done"] += 1
        self._client.may_call.set()

    async def _is_calm(self) -> bool:
        """Whether no request to a wallet is in flight. Holds back new calls until the caller sets `may_call`."""
        if self._downtime.has_server:
            return False
        self._client.may_call.clear()
        until = time.monotonic() + CALM_LIMIT_S
        while time.monotonic() < until and not self._downtime.has_server:
            is_quiet = time.monotonic() - self._reaper.last_at > DECIDED_AFTER_KILL_S
            if is_quiet and not self._client.in_flight and not await self._reader.leases():
                return True
            await asyncio.sleep(WATCH_S)
        return False

    # ---- watching ------------------------------------------------------------------------------------------------

    async def _supervise(self) -> None:
        """Runs in this thread, since children end with the thread that started them."""
        while True:
            for name in self._stack.watch():
                self._restarted[name] += 1
            await asyncio.sleep(WATCH_S)

    async def _take_snapshots(self, cell: CellReader) -> None:
        """Check the invariants that hold at all times in a cell, every SNAPSHOT_S."""
        all_paid: set[str] = set()
        while True:
            for sentence in await cell.broken_invariants():
                self._found[sentence] = None
            paid = await cell.paid()
            for syssn in all_paid - paid:
                self._found[f"payment {syssn} was PAID, and then it was not"] = None
            all_paid |= paid
            await asyncio.sleep(SNAPSHOT_S)

    async def _merchants_of_first_cell(self) -> set[str]:
        rows = await self._reader.directory_rows("SELECT mchid FROM merchant WHERE cell = 0")
        return {row["mchid"] for row in rows}

    async def _pay_while_second_is_down(self) -> None:
        """Payments of the first cell while only the second's server is down; they are checked with all others."""
        in_first = [one for one in self._merchants.values() if one.mchid in self._separation.mchids]
        for merchant in cycle(in_first):
            if self._downtime.is_alone(SECOND):
                pay = Pay(0.0, merchant.shop, "800208", "pays", 100, None, 1, ())
                self._begin(Scenario(pay, merchant, {}, self._client).live(), self._scenarios)
            await asyncio.sleep(GAP_WHILE_DOWN_S)

    # ---- the end -------------------------------------------------------------------------------------------------

    async def _broken_off(self) -> list[str]:
        """Cancel everything; returns the mismatches found during the plan."""
        begun = self._scenarios | self._disturbances
        for task in begun:
            task.cancel()
        await asyncio.gather(*begun, return_exceptions=True)
        return [*self._found, *self._separation.wrong]

    async def _verdict(self) -> list[str]:
        """End all faults, finish every scenario, and compare the books."""
        await self._heal()
        await self._finish_scenarios()
        reported = await self._other_program.until_reported()
        idle = await run_until_idle(self._stack, self._client, self._reader)
        return [*reported, *idle, *await self._compare()]

    async def _heal(self) -> None:
        """End kills and faults, and wait until every process is up."""
        if self._disturbances:
            await asyncio.wait(set(self._disturbances))
        await self._wallet_faults.end()
        self._receiver.fault = ""
        await self._until_ready()

    async def _finish_scenarios(self) -> None:
        if self._scenarios:
            _, late = await asyncio.wait(set(self._scenarios), timeout=SCENARIOS_LIMIT_S)
            if late:
                self._troubles.append(f"{len(late)} scenarios did not end in time")
        await self._until_ready()

    async def _until_ready(self) -> None:
        until = time.monotonic() + READY_LIMIT_S
        while time.monotonic() < until:
            if self._stack.are_all_up():
                return
            await asyncio.sleep(WATCH_S)
        self._troubles.append("not every process came back")

    async def _compare(self) -> list[str]:
        book = wallets_book(await self._client.control("book", "GET"))
        books = Books(await self._reader.ours(), book, self._receiver.received, self._client.responses)
        states = Counter(payment.state for payment in books.ours.payments)
        refunds = Counter(refund.state for refund in books.ours.refunds)
        unmatched = Counter(row.state for row in books.ours.unmatched)
        print(f"payments    {dict(states)}; refunds {dict(refunds)}; webhooks received {len(books.received)}")
        print(f"unmatched   {dict(unmatched)}")
        if self._other_program.has_paid and not {"HELD", "RETURNED"} <= unmatched.keys():
            self._troubles.append("unmatched payments were not both held and returned")
        if self._server_faults.killed[SECOND] and not self._separation.served:
            self._troubles.append(f"no payment of cell_00 was served while only {SECOND} was down")
        return [
            *self._found,
            *self._separation.wrong,
            *self._neighbours.wrong,
            *self._client.broken,
            *mismatches(books),
            *await asyncio.to_thread(ledger_verified, self._stack),
        ]

    def _report(self, found: list[str]) -> Figures:
        client, reaper, neighbours = self._client, self._reaper, self._neighbours
        at_servers, hits = self._server_faults, self._wallet_faults.hits
        frozen = self._freezer.frozen + at_servers.frozen
        faults = sum(
            counted.total() for counted in (hits, self._other_faults, at_servers.killed, at_servers.cut)
        )
        other_wallet = {
            "calls": len(neighbours.meanwhile),
            "p50_s": quantile(neighbours.meanwhile, 0.5),
            "p99_s": quantile(neighbours.meanwhile, 0.99),
            "p99_s_before": quantile(neighbours.before, 0.99),
        }
        print(f"operations  {dict(client.operations)}")
        print(f"answers     {dict(sorted(client.answers.items()))}")
        print(f"kills       {reaper.sent} sent, {reaper.kills} with a payment or refund between two commits")
        print(f"  by step   {dict(reaper.kills_by_step)}; rows caught {dict(reaper.caught)}")
        print(f"restarted   {dict(self._restarted)}")
        print(f"faults      {dict(sorted(hits.items()))}; {dict(self._other_faults)}")
        print(
            f"servers     killed {dict(at_servers.killed)}; wires cut {dict(sorted(at_servers.cut.items()))}"
        )
        cell = self._separation
        print(
            f"cells       cell_00 served {cell.served} payments while only {SECOND} was down; {cell.late} late"
        )
        print(f"frozen      {dict(frozen)}")
        print(f"hung        {neighbours.hangs} times a wallet; the other's payments took {other_wallet}")
        print(f"clock       {dict(self._jumps)}")
        for sentence in found[:100]:
            print(f"MISMATCH    {sentence}")
        return Figures(
            operations=sum(client.operations.values()),
            kills=reaper.kills,
            freezes=frozen.total(),
            faults=faults,
            servers_killed=dict(at_servers.killed),
            served_while_second_down=self._separation.served,
            other_wallet=other_wallet,
            mismatches=found,
        )
