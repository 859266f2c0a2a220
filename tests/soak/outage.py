"""`python -m tests.soak.outage --seconds N`: stops the database for N seconds under load, and starts it again.

Then it is frozen for `--frozen` seconds, as on a host that hangs: it accepts connections and answers nothing. The times
that merchants and /readyz wait meanwhile are measured and checked against their bounds.

No process of the gateway is restarted until it has shown that it recovers by itself. Then the soak's three books are
compared. The last line is JSON; the exit code is 0 if there was no mismatch.
"""

import argparse
import asyncio
import json
import os
import sys
from collections import Counter
from collections.abc import Awaitable, Callable
from contextlib import ExitStack, nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import aiohttp

from tests.end_to_end.rig import free_port_block
from tests.soak.merchant import Members
from tests.soak.neighbours import quantile
from tests.soak.plan import Pay, plan
from tests.soak.rig import SoakStack, running_soak
from tests.soak.run import Figures, Soak
from tests.soak.server_faults import frozen_server
from tests.support.postgres import open_folder

#: Load before the stop and after the start.
BEFORE_S: Final = 3.0
AFTER_S: Final = 5.0
#: Payments of this many soaks at once, about three per second each.
CROWDS: Final = 3
WATCH_S: Final = 0.1
RECOVERY_LIMIT_S: Final = 30.0
OUT_OF_SERVICE: Final = "1112"
#: While the database does not answer: concurrent calls of merchants, and time limits of these and of /readyz.
CROWD: Final = 400
ANSWER_LIMIT_S: Final = 8.0
READYZ_LIMIT_S: Final = 2.0
FROZEN_S: Final = 30.0


@dataclass(slots=True)
class OutageFigures(Figures):
    """`answers` are those of all merchants, `while_down` those to calls that began and ended in the outage."""

    seconds: float = 0.0
    http_500: int = 0
    answers: dict[str, int] = field(default_factory=dict)
    while_down: dict[str, int] = field(default_factory=dict)
    frozen: dict[str, float] = field(default_factory=dict)

    def line(self) -> str:
        return json.dumps(
            {
                "seconds": self.seconds,
                "operations": self.operations,
                "http_500": self.http_500,
                "answers": self.answers,
                "frozen": self.frozen,
                "mismatches": len(self.mismatches),
            }
        )


def run(
    seconds: float, seed: int, port: int, data: Path, frozen_s: float = FROZEN_S, crowd: int = CROWD
) -> OutageFigures:
    """Call in the main thread: PostgreSQL and the processes end with it."""
    with running_soak(port, data) as stack:
        outage = Outage(stack, seconds, seed, frozen_s, crowd)
        asyncio.run(outage.run())
        return outage.figures


class Outage(Soak):
    """A soak of payments only, with two long disturbances."""

    def __init__(self, stack: SoakStack, seconds: float, seed: int, frozen_s: float, crowd: int) -> None:
        total_s = BEFORE_S + seconds + AFTER_S + frozen_s + AFTER_S
        super().__init__(stack, payments(total_s, seed), ends_early=False)
        self.figures = OutageFigures(seconds=seconds)
        self._seconds = seconds
        self._frozen_s = frozen_s
        self._crowd = crowd
        for cell in self._reader.cells:
            cell.patience_s += seconds + frozen_s
        self._may_restart = asyncio.Event()
        self._while_down: Counter[str] = Counter()

    async def _carry_out(self) -> None:
        await self._until(self._serves, "the gateway never served")
        load = asyncio.create_task(super()._carry_out())
        await asyncio.sleep(BEFORE_S)
        await self._stay_down()
        received = len(self._receiver.received)
        await self._until(self._serves, "the gateway never served again")
        await self._until(lambda: self._has_delivered(received), "no worker delivered a webhook again")
        await self._stay_frozen()
        await self._until(self._serves, "the gateway never served again after the freeze")
        await self._until(self._is_ready, "the gateway was never ready again after the freeze")
        await load
        self._may_restart.set()

    async def _stay_down(self) -> None:
        """In the main thread, with which PostgreSQL ends: the load pauses while its servers stop and start."""
        with ExitStack() as stopped:
            for server in self._stack.servers:
                server.postgres.stop()
                stopped.enter_context(server.stopped())
            await self._call_while_down()

    async def _call_while_down(self) -> None:
        loop = asyncio.get_running_loop()
        until = loop.time() + self._seconds
        while loop.time() < until:
            for name, params in self._requests().items():
                answer = await self._call(name, params)
                respcd = "none" if answer is None else answer["respcd"]
                self._while_down[respcd] += 1
                if respcd != OUT_OF_SERVICE:
                    self._found[f"while the database was down, a {name} was answered {respcd}"] = None
            await asyncio.sleep(WATCH_S)

    async def _stay_frozen(self) -> None:
        """Crowd after crowd of calls, each sent and answered while the database does not answer."""
        loop = asyncio.get_running_loop()
        took: list[float] = []
        with ExitStack() as frozen:
            for server in self._stack.servers:
                frozen.enter_context(frozen_server(server.pid))
            began = loop.time()
            unready = asyncio.create_task(self._unready_after())
            while loop.time() < began + self._frozen_s:
                took += await asyncio.gather(*(self._timed(number) for number in range(self._crowd)))
            unready_s = await unready
        self.figures.frozen = {
            "calls": len(took),
            "p50_s": quantile(took, 0.5),
            "p99_s": quantile(took, 0.99),
            "max_s": quantile(took, 1.0),
            "readyz_503_after_s": round(unready_s, 2),
        }

    async def _timed(self, number: int) -> float:
        """The time of one of the requests, in seconds."""
        loop = asyncio.get_running_loop()
        requests = list(self._requests().items())
        name, params = requests[number % len(requests)]
        began = loop.time()
        answer = await self._call(name, params)
        respcd = "none" if answer is None else answer["respcd"]
        if respcd != OUT_OF_SERVICE:
            self._found[f"while the database was frozen, a {name} was answered {respcd}"] = None
        return loop.time() - began

    async def _unready_after(self) -> float:
        """Seconds until /readyz answers 503; RECOVERY_LIMIT_S if it does not."""
        loop = asyncio.get_running_loop()
        began = loop.time()
        while await self._is_ready():
            if loop.time() > began + RECOVERY_LIMIT_S:
                break
            await asyncio.sleep(WATCH_S)
        return loop.time() - began

    async def _is_ready(self) -> bool:
        limit = aiohttp.ClientTimeout(total=RECOVERY_LIMIT_S)
        async with (
            aiohttp.ClientSession(timeout=limit) as session,
            session.get(f"{self._stack.place.gateway_url}/readyz") as answer,
        ):
            return answer.status == 200

    def _requests(self) -> dict[str, dict[str, str]]:
        """Calls that need the database."""
        named = {"out_trade_no": self._client.reference(), "txdtm": self._client.moment(), "txamt": "100"}
        return {
            "payment": named | {"pay_type": "800201"},
            "refund": named | {"syssn": "2" * 24},
            "query": {"out_trade_no": named["out_trade_no"]},
        }

    async def _call(self, name: str, params: dict[str, str]) -> Members | None:
        return await self._client.call(self._merchants["demo"], name, params)

    async def _serves(self) -> bool:
        answer = await self._call("query", {"page_size": "1"})
        return answer is not None and answer["respcd"] == "0000"

    async def _has_delivered(self, received: int) -> bool:
        return len(self._receiver.received) > received

    async def _until(self, is_so: Callable[[], Awaitable[bool]], otherwise: str) -> None:
        loop = asyncio.get_running_loop()
        until = loop.time() + RECOVERY_LIMIT_S
        while not await is_so():
            if loop.time() > until:
                self._found[otherwise] = None
                return
            await asyncio.sleep(WATCH_S)

    async def _supervise(self) -> None:
        """Until the outage is over, ended processes are only noted: the soak's own end kills the workers on purpose."""
        while not self._may_restart.is_set():
            for kept in self._stack.demo_stack.supervisor.kept:
                if kept.child is not None and kept.child.poll() is not None:
                    self._found[f"{kept.name} died of the outage"] = None
            await asyncio.sleep(WATCH_S)
        await super()._supervise()

    def _report(self, found: list[str]) -> Figures:
        client, figures = self._client, self.figures
        unanswered = client.answers["none"]
        figures.operations = sum(client.operations.values())
        figures.http_500 = sum(1 for sentence in client.broken if "HTTP 5" in sentence)
        figures.answers = dict(sorted(client.answers.items()))
        figures.while_down = dict(self._while_down)
        figures.mismatches = [*found, *self._troubles]
        if unanswered:
            figures.mismatches.append(f"{unanswered} calls were never answered")
        print(f"operations  {dict(client.operations)}")
        print(f"answers     {figures.answers}; HTTP 500: {figures.http_500}")
        print(f"while down  {figures.while_down}")
        print(f"frozen      {figures.frozen}")
        for sentence in figures.mismatches[:100]:
            print(f"MISMATCH    {sentence}")
        return figures


def too_slow(figures: OutageFigures) -> list[str]:
    """Times above their bounds; meaningful only on an otherwise idle machine."""
    answer_s, unready_s = figures.frozen["max_s"], figures.frozen["readyz_503_after_s"]
    found = []
    if answer_s > ANSWER_LIMIT_S:
        found.append(f"while the database was frozen, an answer took {answer_s:.1f} s")
    if unready_s > READYZ_LIMIT_S:
        found.append(f"/readyz answered 503 only {unready_s:.1f} s after the database had frozen")
    return found


def payments(seconds: float, seed: int) -> tuple[Pay, ...]:
    """The payments of several soaks in this time, each with its own seed."""
    steps = [step for crowd in range(CROWDS) for step in plan(seed * CROWDS + crowd, seconds / 60)]
    return tuple(sorted((step for step in steps if isinstance(step, Pay)), key=lambda pay: pay.at_s))


def main() -> int:
    parser = argparse.ArgumentParser("tests.soak.outage")
    parser.add_argument("--seconds", type=float, default=120.0)
    parser.add_argument("--frozen", type=float, default=FROZEN_S)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--data", type=Path, help="an empty folder to keep everything in")
    options = parser.parse_args()
    for name in [name for name in os.environ if name.startswith("TAEL_")]:
        del os.environ[name]  # the caller's settings would redirect the soak
    with nullcontext(options.data) if options.data else open_folder() as folder:
        print(f"outage      {options.seconds:g} seconds, logs in {folder / 'logs'}", flush=True)
        figures = run(options.seconds, options.seed, free_port_block(), folder, options.frozen)
    for sentence in too_slow(figures):
        figures.mismatches.append(sentence)
        print(f"MISMATCH    {sentence}")
    print(figures.line(), flush=True)
    return 1 if figures.mismatches else 0


if __name__ == "__main__":
    sys.exit(main())
