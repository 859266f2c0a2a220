"""What merchants see while PostgreSQL fails over: `make failover`.

    python -m bench.failover [--rounds 1] [--folder FOLDER]

Patroni keeps a primary and a synchronous standby on this machine. While payments are made, the primary's host is
killed, is frozen and thawed again, and the roles are switched by hand. At the end every payment that was acknowledged
is read from both servers. The last line is JSON:

    acknowledged           payments that were answered 0000
    lost                   acknowledged ones that are not PAID in the database, with a ledger entry
    refused                answers that say that nothing was done (1112), and connections without an answer
    unknown                other answers: the merchant is to query
    seconds_until_accepted the longest time without an acknowledged payment after one of the events
    kills                  how often each was done
    events                 for each, in order: seconds until accepted, and refused payments
"""

import argparse
import asyncio
import json
import os
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import Any, Final
from urllib.parse import parse_qs

import aiohttp
import psycopg

from bench import patroni, processes, setup
from bench.patroni import Cluster
from bench.requests import APPCODE, PATH, payments
from tael.db.migrate import migrate
from tael.db.servers import of_primary
from tael_demo.testing.folders import new_folder

#: PostgreSQL and Patroni do not run as root, and another user may not enter root's folders.
FOLDER: Final = Path(".bench/failover" if os.geteuid() else "/var/tmp/tael-failover")  # noqa: S108 - made by root
MERCHANTS: Final = 16  #: each sends its next payment after the last one was answered
PER_SECOND: Final = 60
CLIENT_S: Final = 20.0
#: Before an event, and after payments are accepted again.
QUIET_S: Final = 5.0
MIN_ACKNOWLEDGED: Final = 1_000
ACCEPTED: Final = "0000"
OUT_OF_SERVICE: Final = "1112"
PAID: Final = """
SELECT p.reference FROM payment AS p JOIN ledger_entry AS e ON e.mchid = p.mchid AND e.cause = p.syssn
WHERE p.mchid = %s AND p.reference = ANY(%s) AND p.state = 'PAID' AND e.kind = 'payment'
"""


@dataclass(slots=True)
class Load:
    """Payments of several clients in a thread of its own, until `stop`."""

    url: str
    acknowledged: dict[str, float] = field(default_factory=dict)  #: when each was answered, by its number
    refused: list[float] = field(default_factory=list)  #: when
    unknown: Counter[str] = field(default_factory=Counter)
    is_stopped: bool = False

    def run(self) -> None:
        asyncio.run(self._run())

    async def _run(self) -> None:
        source = payments([setup.MCHID])
        timeout = aiohttp.ClientTimeout(total=CLIENT_S)
        async with aiohttp.ClientSession(timeout=timeout) as session:

            async def send_payments() -> None:
                while not self.is_stopped:
                    began = time.monotonic()
                    await self._send(session, *next(source))
                    await asyncio.sleep(max(0, began + MERCHANTS / PER_SECOND - time.monotonic()))

            await asyncio.gather(*(send_payments() for _ in range(MERCHANTS)))

    async def _send(self, session: aiohttp.ClientSession, sign: str, body: bytes) -> None:
        headers = {
            "Content-Type": "application/x-www-form-urlencoded",
            "X-QF-APPCODE": APPCODE,
            "X-QF-SIGN": sign,
        }
        try:
            async with session.post(self.url + PATH, data=body, headers=headers) as response:
                code = str((await response.json(content_type=None))["respcd"])
        except aiohttp.ClientConnectionError:
            code = OUT_OF_SERVICE
        except TimeoutError:
            code = "no answer"
        if code == ACCEPTED:
            self.acknowledged[parse_qs(body.decode())["out_trade_no"][0]] = time.monotonic()
        elif code == OUT_OF_SERVICE:
            self.refused.append(time.monotonic())
        else:
            self.unknown[code] += 1

    def accepted_since(self, since: float) -> list[float]:
        return sorted(at for at in list(self.acknowledged.values()) if at >= since)

    def longest_pause_s(self, since: float) -> float:
        """Without an acknowledged payment."""
        times = [since, *self.accepted_since(since)]
        return max((b - a for a, b in pairwise(times)), default=time.monotonic() - since)


@dataclass(frozen=True, slots=True)
class Event:
    kind: str
    seconds_until_accepted: float
    refused: int


def main() -> None:
    parser = argparse.ArgumentParser("bench.failover", description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--rounds", type=int, default=1)
    parser.add_argument("--folder", type=Path, default=FOLDER, help="where Patroni is installed")
    chosen = parser.parse_args()
    chosen.folder.mkdir(parents=True, exist_ok=True)
    tools = patroni.check_tools(chosen.folder.absolute())
    with new_folder() as folder:
        found = run(tools, folder, chosen.rounds)
    print(json.dumps(found))
    if found["lost"] or found["acknowledged"] < MIN_ACKNOWLEDGED:
        sys.exit(1)


def run(tools: patroni.Tools, folder: Path, rounds: int) -> Mapping[str, Any]:
    with patroni.running(tools, folder) as cluster, processes.wallet(folder / "wallet.log") as wallet_url:
        print(f"two servers: {tools.postgres.parent.name}, Patroni {patroni.VERSION}", flush=True)
        migrate(cluster.url)
        asyncio.run(setup.add_merchant(cluster.url, "http://127.0.0.1:9/"))
        environment = setup.environment(cluster.url, wallet_url)
        with processes.api(1, environment, folder / "api.log") as api:
            load = Load(api.url)
            thread = threading.Thread(target=load.run)
            thread.start()
            try:
                events = [event for _ in range(rounds) for event in _events(cluster, load, folder)]
            finally:
                load.is_stopped = True
                thread.join()
            cluster.wait_until_whole()
            lost = _lost(cluster, frozenset(load.acknowledged), folder)
    return {
        "acknowledged": len(load.acknowledged),
        "lost": lost,
        "refused": len(load.refused),
        "unknown": sum(load.unknown.values()),
        "seconds_until_accepted": max(event.seconds_until_accepted for event in events),
        "kills": Counter(event.kind for event in events),
        "events": [[event.kind, event.seconds_until_accepted, event.refused] for event in events],
    }


def _events(cluster: Cluster, load: Load, folder: Path) -> Sequence[Event]:
    return (
        _event("sigkill", cluster, load, folder, _kill),
        _event("frozen", cluster, load, folder, _freeze),
        _event("switchover", cluster, load, folder, Cluster.switch_over),
    )


def _event(
    kind: str,
    cluster: Cluster,
    load: Load,
    folder: Path,
    happen: Callable[[Cluster], Callable[[], None] | None],
) -> Event:
    """What happens to the primary, until payments are accepted by the other server and the cluster is whole again."""
    cluster.wait_until_whole()
    old = cluster.primary()
    time.sleep(QUIET_S)
    since, refused = time.monotonic(), len(load.refused)
    repair = happen(cluster)

    def is_replaced() -> bool:
        now = cluster.primary()
        return now is not None and now is not old

    patroni.wait_until(is_replaced, "another primary", folder)
    at = time.monotonic()
    patroni.wait_until(lambda: bool(load.accepted_since(at)), "an accepted payment", folder)
    time.sleep(QUIET_S)
    event = Event(kind, round(load.longest_pause_s(since), 2), len(load.refused) - refused)
    print(f"  {kind}: {event.seconds_until_accepted} s, {event.refused} refused", flush=True)
    if repair is not None:
        repair()
    cluster.wait_until_whole()
    return event


def _kill(cluster: Cluster) -> Callable[[], None]:
    primary = cluster.primary()
    assert primary is not None
    cluster.kill(primary)
    return lambda: cluster.start(primary)


def _freeze(cluster: Cluster) -> Callable[[], None]:
    primary = cluster.primary()
    assert primary is not None
    cluster.freeze(primary)
    return lambda: cluster.thaw(primary)


def _lost(cluster: Cluster, acknowledged: frozenset[str], folder: Path) -> int:
    """How many are missing. A server that wrote anything after it was replaced would differ from the other."""
    patroni.wait_until(
        lambda: (
            len({missing(cluster.url_of(host), setup.MCHID, acknowledged) for host in cluster.hosts}) == 1
        ),
        "the standby to have the payments of the primary",
        folder,
    )
    return len(missing(cluster.url, setup.MCHID, acknowledged))


def missing(url: str, mchid: str, acknowledged: frozenset[str]) -> frozenset[str]:
    """Those that are not PAID in the database, or have no ledger entry."""
    with psycopg.connect(of_primary(url)) as connection:
        return acknowledged - {row[0] for row in connection.execute(PAID, (mchid, list(acknowledged)))}


if __name__ == "__main__":
    main()
