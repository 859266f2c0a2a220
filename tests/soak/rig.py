"""The processes of a soak: those of a demo, each with its own node number, and a second server for the second cell.

The node is part of every number that a process assigns, which shows the rows of a killed process.
"""

import asyncio
import socket
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Final

from tael.base.clock import DemoClock
from tael.cli.processes import Child, start
from tael.merchants.domain.changes import AppChanges, MerchantChanges
from tael.merchants.domain.merchant import UnmatchedPolicy
from tael.stores import open_store
from tael_demo.demo import settings_of
from tael_demo.embedded.server import EmbeddedPostgres
from tael_demo.seed import DemoApp, seed
from tael_demo.stack import DemoPaths, DemoStack, listener_of, running_wallets
from tests.soak.merchant import merchants_of
from tests.soak.plan import APIS, WORKERS
from tests.soak.servers import Server, add_cell, running_postgres, share_login, with_wire
from tests.support.values import ORIGIN

ROOT: Final = Path(__file__).resolve().parents[2]
#: The shops whose merchants hold unmatched payments; the others return them.
HOLDING_SHOPS: Final = frozenset({"wechat_only", "chain_west"})
NODES: Final = {name: f"{number:02d}" for number, name in enumerate((*APIS, *WORKERS), start=11)}


@dataclass(frozen=True, slots=True)
class SoakStack:
    """`demo_stack.database_url` bypasses the wire; `servers` are by cell."""

    demo_stack: DemoStack
    servers: tuple[Server, ...]
    apps: list[DemoApp]
    clock: DemoClock

    @property
    def place(self) -> DemoPaths:
        return self.demo_stack.paths

    def running(self, names: Sequence[str]) -> list[Child]:
        """The running processes among `names`."""
        kept = [kept.child for kept in self.demo_stack.supervisor.kept if kept.name in names]
        return [child for child in kept if child is not None and child.poll() is None]

    def kill(self, names: Sequence[str]) -> list[str]:
        """SIGKILL. Returns the names of those that were running; `watch` starts them again."""
        killed = []
        for kept in self.demo_stack.supervisor.kept:
            if kept.name in names and kept.child is not None and kept.child.poll() is None:
                kept.child.kill()
                kept.child.wait()
                killed.append(kept.name)
        return killed

    def server(self, name: str) -> Server:
        return next(server for server in self.servers if server.name == name)

    def watch(self) -> list[str]:
        """Restart ended processes, but no server. Call in the main thread, with which the processes end."""
        return self.demo_stack.supervisor.watch()

    def are_all_up(self) -> bool:
        return all(
            kept.child is not None and kept.child.poll() is None for kept in self.demo_stack.supervisor.kept
        )


@contextmanager
def running_soak(port: int, data: Path, mutant: str = "") -> Iterator[SoakStack]:
    """Start everything; every process of the gateway runs as `mutant`, if given."""
    place = DemoPaths(port, data.resolve())
    with (
        running_postgres(place.data / "second") as second_postgres,
        running_wallets(place) as demo_stack,
        _servers(demo_stack, second_postgres) as servers,
        listener_of(place) as listener,
    ):
        apps = asyncio.run(_seed(demo_stack))
        environment = {**demo_stack.environment, "TAEL_DATABASE_URL": servers[0].wire.url}
        _start_gateway(demo_stack, listener, environment, mutant)
        yield SoakStack(demo_stack, servers, apps, DemoClock(place.data / "clock"))


@contextmanager
def _servers(demo_stack: DemoStack, second_postgres: EmbeddedPostgres) -> Iterator[tuple[Server, ...]]:
    """The demo's server, and that of a second cell, which is added."""
    first_postgres, url = demo_stack.postgres, demo_stack.database_url
    assert first_postgres is not None
    with (
        with_wire(0, first_postgres, url) as first,
        with_wire(1, second_postgres, share_login(url, second_postgres)) as second,
    ):
        add_cell(url, second)
        yield first, second


def _start_gateway(
    demo_stack: DemoStack, listener: socket.socket, environment: dict[str, str], mutant: str
) -> None:
    tael = ["-m", "tests.soak.mutants", mutant] if mutant else ["-m", "tael.cli.child"]
    serve, work = [*tael, "serve", str(listener.fileno()), "--demo"], [*tael, "work", "--demo"]
    for name, node in NODES.items():
        own = {**environment, "TAEL_NODE": node, "PYTHONPATH": str(ROOT)}
        log = demo_stack.paths.data / "logs" / f"{name}.log"
        if name in APIS:
            demo_stack.supervisor.keep(name, partial(start, serve, own, log=log, keep=[listener.fileno()]))
        else:
            demo_stack.supervisor.keep(name, partial(start, work, own, log=log))


async def _seed(demo_stack: DemoStack) -> list[DemoApp]:
    settings = settings_of(demo_stack)
    async with open_store(settings) as store:
        apps = await seed(store, demo_stack.accounts(), DemoClock(demo_stack.paths.data / "clock").now())
        for shop in HOLDING_SHOPS:
            merchant = await store.merchants.merchant(merchants_of(apps)[shop].mchid)
            assert merchant is not None
            hold = MerchantChanges(unmatched_payments=UnmatchedPolicy.HOLD)
            await store.merchants.change_merchant(merchant.mchid, hold.applied_to, ORIGIN)
        return [DemoApp(replace(one.app, notify_offline=one.app.sha256_only), one.mchids) for one in apps]


async def set_notify_urls(stack: SoakStack, url: str) -> None:
    """Send the webhooks of every app to `url`, followed by its appcode."""
    async with open_store(settings_of(stack.demo_stack)) as store:
        for one in stack.apps:
            changes = AppChanges(notify_url=f"{url}/{one.app.appcode}")
            await store.merchants.change_app(one.app.appcode, changes.applied_to, ORIGIN)
