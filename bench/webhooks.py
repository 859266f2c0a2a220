"""Webhooks per second of one worker and of two, to a receiver on this machine.

The database has one paid payment for each webhook, and the webhooks are as the gateway writes them: inserted once, in
the order of their payments, and never updated before.
"""

import asyncio
import sys
import time
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Final, Self

import psycopg

from bench import cluster, processes, rows, setup
from bench.cluster import Server
from bench.rates import Bench
from bench.receiver import Receiver
from tael.payments.domain.payment import Payment

DATABASE: Final = "webhooks"
#: More than are delivered in a second, by two workers.
MAX_PER_SECOND: Final = 12_000
#: Delivered before measuring, and then for so long: the worker learns how fast the receiver is.
FIRST: Final = 2000
WARM_UP_S: Final = 1.0
WAIT_S: Final = 30.0
POLL_S: Final = 0.02
DUE: Final = """
INSERT INTO webhook (mchid, cause, kind, appcode, payment_syssn, created_at, deliver_at)
SELECT mchid, syssn, 'payment', appcode, syssn, paid_at, paid_at FROM payment ORDER BY syssn
"""


def new_database(server: Server, receiver: Receiver, template: Payment, seconds: int) -> str:
    """The URL of a database with a payment like the paid `template` for each webhook."""
    number = (seconds + 1) * MAX_PER_SECOND
    url = cluster.create(server, DATABASE)
    asyncio.run(setup.add_merchant(url, receiver.url))
    asyncio.run(rows.copy_payments(url, template, number))
    with psycopg.connect(url) as connection:
        connection.execute("GRANT TRUNCATE ON webhook_attempt TO CURRENT_USER")
    return url


def measure(bench: Bench, receiver: Receiver, url: str) -> None:
    """One round on the database at `url`: by one worker, and by two."""
    one = _measured(bench, url, receiver, 1)
    two = _measured(bench, url, receiver, 2)
    bench.figures.add("webhooks_per_s", one.per_second)
    bench.figures.add("webhooks_per_s_by_two", two.per_second)
    bench.figures.add("webhook_worker_us", one.worker_us)
    bench.figures.add("webhook_postgres_us", one.postgres_us)
    bench.figures.add("webhook_receiver_us", one.receiver_us)


@dataclass(frozen=True, slots=True)
class _Measured:
    """Rate, and CPU time of each webhook."""

    per_second: float
    worker_us: float
    postgres_us: float
    receiver_us: float


@dataclass(frozen=True, slots=True)
class _Reading:
    """What was used and done up to an instant."""

    at_s: float
    delivered: int
    worker_s: float
    postgres_s: float
    receiver_s: float

    def since(self, before: Self) -> _Measured:
        number = self.delivered - before.delivered
        if not number:
            sys.exit("no webhook was delivered")
        micros = 1e6 / number
        return _Measured(
            number / (self.at_s - before.at_s),
            (self.worker_s - before.worker_s) * micros,
            (self.postgres_s - before.postgres_s) * micros,
            (self.receiver_s - before.receiver_s) * micros,
        )


def _measured(bench: Bench, url: str, receiver: Receiver, workers: int) -> _Measured:
    _make_due(url)
    cluster.checkpoint(bench.server)
    environment = setup.environment(url, bench.wallet_url)
    log = bench.server.folder / "worker.log"
    before = receiver.count()
    with ExitStack() as exits:
        command = ["-m", "tael.cli.child", "work"]
        pids = [exits.enter_context(processes.started(command, environment, log)) for _ in range(workers)]
        _wait_for(receiver, before + FIRST)
        time.sleep(WARM_UP_S)
        first = _reading(bench, receiver, pids)
        time.sleep(bench.seconds)
        return _reading(bench, receiver, pids).since(first)


def _make_due(url: str) -> None:
    """Fresh webhooks: rows that are updated many times would not be those of a deployment."""
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute("TRUNCATE webhook, webhook_attempt")
        connection.execute(DUE)
        connection.execute("VACUUM (ANALYZE) payment, webhook, webhook_attempt")


def _reading(bench: Bench, receiver: Receiver, workers: list[int]) -> _Reading:
    return _Reading(
        time.monotonic(),
        receiver.count(),
        processes.cpu_s(*workers),
        processes.cpu_s_below(bench.server.pid),
        processes.cpu_s(receiver.pid),
    )


def _wait_for(receiver: Receiver, number: int) -> None:
    until = time.monotonic() + WAIT_S
    while receiver.count() < number and time.monotonic() < until:
        time.sleep(POLL_S)
