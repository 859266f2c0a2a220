"""SIGKILL at the right moment: while a payment or refund is between the two commits of a step in the killed process.

Which rows really were between them is read afterwards: the killed process's node is part of its numbers. Only a kill
that caught a row counts.
"""

import asyncio
import time
from collections import Counter
from contextlib import suppress
from datetime import UTC, datetime
from typing import Final

from tests.soak.faulty import WalletFaults
from tests.soak.merchant import SoakClient
from tests.soak.plan import APIS, STEPS, WORKERS, Kill
from tests.soak.reading import BookReader
from tests.soak.rig import NODES, SoakStack

ARMED_LIMIT_S: Final = 2.0
LOOK_S: Final = 0.004
#: By then everything that the killed process had sent to the database is done or lost.
ECHO_S: Final = 0.05

NODE: Final = "substr({0}, 9, 2) = ANY($1::text[])"
#: The rows of each step that are between its commits, for the nodes $1.
BY_API: Final = {
    "opening": f"SELECT syssn FROM payment WHERE NOT has_initial_response AND state = 'PENDING'"
    f" AND {NODE.format('syssn')}",
    # A queued refund is sent by a job, and has another check_at.
    "refunding": "SELECT syssn FROM refund WHERE state = 'PROCESSING' AND version = 1 AND lease_until IS NULL"
    f" AND check_at - created_at = interval '1 second' AND {NODE.format('syssn')}",
    "reversing": "SELECT syssn FROM reversal WHERE state = 'PENDING' AND checks = 0 AND lease_until IS NULL"
    f" AND check_at - created_at = interval '5 seconds' AND {NODE.format('syssn')}",
    "closing": f"SELECT syssn FROM payment WHERE state = 'PENDING' AND {NODE.format('close_syssn')}",
}
#: Rows that workers have claimed and not written back, at the real time $1.
BY_WORKERS: Final = {
    "polling": "SELECT syssn FROM payment WHERE lease_until > $1 UNION ALL"
    " SELECT syssn FROM refund WHERE lease_until > $1 UNION ALL"
    " SELECT syssn FROM reversal WHERE lease_until > $1",
    "delivering": "SELECT cause || kind AS syssn FROM webhook WHERE lease_until > $1",
}


class Reaper:
    """Carries out planned kills. `caught`: rows by step; `kills`: kills that caught a payment or refund."""

    def __init__(
        self, stack: SoakStack, client: SoakClient, reader: BookReader, wallet_faults: WalletFaults
    ) -> None:
        self._stack = stack
        self._client = client
        self._reader = reader
        self._wallet_faults = wallet_faults
        self._seen: set[tuple[str, str]] = set()
        self.caught: Counter[str] = Counter()
        self.kills_by_step: Counter[str] = Counter()
        self.kills = 0
        self.sent = 0
        self.last_at = 0.0

    async def carry_out(self, kill: Kill) -> None:
        async with self._wallet_faults.slow():
            await self.wait_for(kill.step, kill.whom)
            closing = {about for call, about in self._client.in_flight if call == "close"}
            killed = self._stack.kill(kill.whom)
        if not killed:
            return
        self.last_at = time.monotonic()
        self.sent += 1
        await asyncio.sleep(ECHO_S)
        self._count(await self._between(killed, closing))
        if set(killed) >= set(WORKERS):
            await self._reader.end_leases()

    async def wait_for(self, step: str, whom: tuple[str, ...]) -> None:
        """Wait until the step is in progress in one of them, for at most ARMED_LIMIT_S, also while a server is down."""
        with suppress(TimeoutError):
            async with asyncio.timeout(ARMED_LIMIT_S):
                await self._wait_for(step, whom)

    async def _wait_for(self, step: str, whom: tuple[str, ...]) -> None:
        while True:
            if await self._is_in_progress(step, whom):
                return
            await asyncio.sleep(LOOK_S)

    async def _is_in_progress(self, step: str, whom: tuple[str, ...]) -> bool:
        if step in BY_WORKERS:
            return bool(await self._reader.rows(BY_WORKERS[step], datetime.now(UTC)))
        closing = {about for call, about in self._client.in_flight if call == "close"}
        if step == "closing" and not closing:
            return False
        found = await self._by_api(step, whom, closing)
        return any((step, syssn) not in self._seen for syssn in found)

    async def _by_api(self, step: str, whom: tuple[str, ...] | list[str], closing: set[str]) -> set[str]:
        rows = await self._reader.rows(BY_API[step], [NODES[name] for name in whom if name in APIS])
        found = {row["syssn"] for row in rows}
        return found & closing if step == "closing" else found

    async def _between(self, killed: list[str], closing: set[str]) -> dict[str, set[str]]:
        found: dict[str, set[str]] = {}
        for step in STEPS:
            if step in BY_WORKERS:
                # A lease does not name its holder, so only both workers at once count.
                if set(killed) >= set(WORKERS):
                    rows = await self._reader.rows(BY_WORKERS[step], datetime.now(UTC))
                    found[step] = {f"{row['syssn']} {self.sent}" for row in rows}
            else:
                found[step] = await self._by_api(step, killed, closing)
        return found

    def _count(self, between: dict[str, set[str]]) -> None:
        new = {step: {s for s in found if (step, s) not in self._seen} for step, found in between.items()}
        self._seen |= {(step, syssn) for step, found in new.items() for syssn in found}
        for step, found in new.items():
            self.caught[step] += len(found)
            self.kills_by_step[step] += bool(found)
        self.kills += any(found for step, found in new.items() if step != "delivering")
