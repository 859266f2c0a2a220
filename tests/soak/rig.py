"""The processes of a soak: a demo's, but each under a node number of its own, behind a wire that can be cut.

The node is part of every number that a process gives, so that a kill can be told which rows were the dead one's.
"""

import asyncio
import os
import signal
import socket
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Final

from tael.base.clock import DemoClock
from tael.cli.demo import settings_of
from tael.cli.demo_stack import DemoPaths, DemoStack, listener_of, running_wallets
from tael.cli.processes import start
from tael.cli.seed import DemoApp, seed
from tael.main import open_store
from tests.soak.plan import APIS, WORKERS
from tests.support.wire import Wire

ROOT: Final = Path(__file__).resolve().parents[2]
NODES: Final = {name: f"{number:02d}" for number, name in enumerate((*APIS, *WORKERS), start=11)}


@dataclass(frozen=True, slots=True)
class SoakRig:
    """`rig.database_url` is the way to the database that is never cut."""

    rig: DemoStack
    wire: Wire
    apps: list[DemoApp]
    clock: DemoClock

    @property
    def place(self) -> DemoPaths:
        return self.rig.paths

    def running(self, names: Sequence[str]) -> "list[subprocess.Popen[bytes]]":
        """Those of them that live."""
        kept = [kept.child for kept in self.rig.supervisor.kept if kept.name in names]
        return [child for child in kept if child is not None and child.poll() is None]

    def kill(self, names: Sequence[str]) -> list[str]:
        """SIGKILL; those that were alive. They are started again by `watch`."""
        killed = []
        for kept in self.rig.supervisor.kept:
            if kept.name in names and kept.child is not None and kept.child.poll() is None:
                kept.child.kill()
                kept.child.wait()
                killed.append(kept.name)
        return killed

    def kill_database(self) -> bool:
        postgres = self.rig.postgres
        if postgres is None or postgres.pid is None:
            return False
        os.kill(postgres.pid, signal.SIGKILL)
        return True

    def watch(self) -> list[str]:
        """Start what has died; only in the main thread, with which the processes die."""
        return self.rig.watch()

    def are_all_up(self) -> bool:
        return all(kept.child is not None and kept.child.poll() is None for kept in self.rig.supervisor.kept)


@contextmanager
def running_soak(port: int, data: Path, planted: str = "") -> Iterator[SoakRig]:
    """Everything started; with the bug `planted` in every process of the gateway."""
    place = DemoPaths(port, data.resolve())
    with running_wallets(place) as rig, Wire(rig.database_url) as wire, listener_of(place) as listener:
        apps = asyncio.run(_seed(rig))
        environment = {**rig.environment, "TAEL_DATABASE_URL": wire.url}
        _start_gateway(rig, listener, environment, planted)
        yield SoakRig(rig, wire, apps, DemoClock(place.data / "clock"))


def _start_gateway(
    rig: DemoStack, listener: socket.socket, environment: dict[str, str], planted: str
) -> None:
    tael = ["-m", "tests.soak.mutants", planted] if planted else ["-m", "tael.cli"]
    serve, work = [*tael, "serve", "--demo", "--fd", str(listener.fileno())], [*tael, "work", "--demo"]
    for name, node in NODES.items():
        own = {**environment, "TAEL_NODE": node, "PYTHONPATH": str(ROOT)}
        log = rig.paths.data / "logs" / f"{name}.log"
        if name in APIS:
            rig.supervisor.keep(name, partial(start, serve, own, log=log, keep=[listener.fileno()]))
        else:
            rig.supervisor.keep(name, partial(start, work, own, log=log))


async def _seed(rig: DemoStack) -> list[DemoApp]:
    settings = settings_of(rig)
    async with open_store(settings) as store:
        apps = await seed(store, rig.accounts(), DemoClock(rig.paths.data / "clock").now())
        return [DemoApp(replace(one.app, notify_offline=one.app.sha256_only), one.mchids) for one in apps]


async def set_notify_urls(soak: SoakRig, url: str) -> None:
    """Webhooks of every app go to `url`, with the app's code behind it."""
    async with open_store(settings_of(soak.rig)) as store:
        for one in soak.apps:
            await store.merchants.set_app(replace(one.app, notify_url=f"{url}/{one.app.appcode}"))
