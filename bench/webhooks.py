"""Webhooks per second of one worker, to a receiver on this machine."""

import time
from typing import Final

import psycopg

from bench import processes, receiver, setup
from bench.rates import Bench

#: Not measured, or a quarter of all: the worker learns how fast the receiver is.
FIRST: Final = 2000
WAIT_S: Final = 30.0
POLL_S: Final = 0.02


def measure(bench: Bench, receiver_url: str, seconds: int) -> None:
    """One round: the webhooks of earlier payments."""
    warm_up = min(FIRST, _make_due(bench.url) // 4)
    environment = setup.environment(bench.url, bench.wallet_url)
    log = bench.server.folder / "worker.log"
    before = receiver.count(receiver_url)
    with processes.started(["-m", "tael.cli.child", "work"], environment, log) as worker:
        until = time.monotonic() + WAIT_S
        while receiver.count(receiver_url) < before + warm_up and time.monotonic() < until:
            time.sleep(POLL_S)
        began, first = time.monotonic(), receiver.count(receiver_url)
        cpu, postgres = processes.cpu_s(worker), processes.cpu_s_below(bench.server.pid)
        time.sleep(seconds)
        number, took = receiver.count(receiver_url) - first, time.monotonic() - began
        bench.figures.add("webhooks_per_s", number / took)
        if number:
            bench.figures.add("webhook_worker_us", (processes.cpu_s(worker) - cpu) * 1e6 / number)
            postgres_us = (processes.cpu_s_below(bench.server.pid) - postgres) * 1e6 / number
            bench.figures.add("webhook_postgres_us", postgres_us)


def _make_due(url: str) -> int:
    """How many there are."""
    with psycopg.connect(url) as connection:
        return connection.execute(
            "UPDATE webhook SET state = 'DUE', deliver_at = created_at, lease_until = NULL, attempts = 0,"
            " attempts_before = 0, delivered_at = NULL"
        ).rowcount
