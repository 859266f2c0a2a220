"""Payments per second: the limit and the gateway in turn, in an order that changes with each round."""

import random
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from bench import closed_load, cluster, processes, requests, setup
from bench.closed_load import Load
from bench.cluster import Server
from bench.figures import Figures
from bench.limit import Limit
from bench.processes import Api

#: Connections of wrk: no more than the calls that a process works on by default.
CONNECTIONS: Final = 64
#: For the highest rate: as many payments at a time as the limit has in its largest transactions.
MAX_CONNECTIONS: Final = 256
#: At which CPU time is measured.
CPU_CONNECTIONS: Final = 32
#: Clients of pgbench, where it is fastest.
SINGLE_CLIENTS: Final = 32
BATCH_CLIENTS: Final = 8
WARM_UP_S: Final = 1
#: More payments than are sent in a second.
MAX_PER_SECOND: Final = 12_000


@dataclass(slots=True)
class Bench:
    """A run: the server, the database of a measurement, and the stub wallet."""

    server: Server
    url: str
    wallet_url: str
    figures: Figures
    seconds: int
    single: Limit
    batch32: Limit
    first: int = 10**12  #: the next number for pgbench

    @property
    def payments(self) -> Path:
        return self.server.folder / "payments.txt"

    def write_payments(self, number: int) -> Path:
        requests.write_payments(self.payments, [setup.MCHID], number)
        return self.payments

    def limit(self, limit: Limit, clients: int) -> float:
        cluster.checkpoint(self.server)
        self.first += 10**12
        return limit.run(clients, self.seconds, self.first)

    def gateway(self, processes_of_api: int, stub_delay_ms: int | None, connections: int) -> "Measured":
        cluster.checkpoint(self.server)
        environment = dict(setup.environment(self.url, self.wallet_url))
        if connections > CONNECTIONS:
            # One account may use half; and when wrk ends, calls are under way that the next run meets.
            environment |= dict.fromkeys(
                ("TAEL_MAX_CONCURRENT_CALLS", "TAEL_WALLET_CONNECTIONS"), str(2 * connections)
            )
        log = self.server.folder / "api.log"
        with processes.api(processes_of_api, environment, log, stub_delay_ms) as api:
            closed_load.run(api.url, self.write_payments(WARM_UP_S * MAX_PER_SECOND), connections, WARM_UP_S)
            path = self.write_payments(self.seconds * MAX_PER_SECOND)
            return measured(
                lambda: closed_load.run(api.url, path, connections, self.seconds), api, self.server
            )


@dataclass(frozen=True, slots=True)
class Measured:
    load: Load
    gateway_us: float  #: CPU of a payment
    postgres_us: float
    uss_mb: float


def measured(load: Callable[[], Load], api: Api, server: Server) -> Measured:
    gateway, postgres = processes.cpu_s(*api.pids), processes.cpu_s_below(server.pid)
    done = load()
    gateway, postgres = (
        processes.cpu_s(*api.pids) - gateway,
        processes.cpu_s_below(server.pid) - postgres,
    )
    micros = 1e6 / done.requests
    return Measured(done, gateway * micros, postgres * micros, processes.uss_mb(api.pids[0]))


def measure(bench: Bench, round_number: int) -> None:
    """One round: payments per second of the limit, in process and over the wire, and their ratios."""
    found: dict[str, float] = {}

    def single() -> None:
        found["single"] = bench.limit(bench.single, SINGLE_CLIENTS)

    def batch32() -> None:
        found["batch32"] = bench.limit(bench.batch32, BATCH_CLIENTS)

    def in_process() -> None:
        found["inprocess"] = bench.gateway(1, 0, MAX_CONNECTIONS).load.per_second

    def in_process_by_two() -> None:
        found["inprocess_by_two"] = bench.gateway(2, 0, MAX_CONNECTIONS).load.per_second

    def wire() -> None:
        found["wire"] = bench.gateway(1, None, MAX_CONNECTIONS).load.per_second

    def wire_by_two() -> None:
        found["wire_by_two"] = bench.gateway(2, None, MAX_CONNECTIONS).load.per_second

    def cpu() -> None:
        at_32 = bench.gateway(1, None, CPU_CONNECTIONS)
        found["gateway_cpu"], found["postgres_cpu"] = at_32.gateway_us, at_32.postgres_us

    steps = [single, batch32, in_process, in_process_by_two, wire, wire_by_two, cpu]
    random.Random(round_number).shuffle(steps)
    for step in steps:
        step()
    figures = bench.figures
    for name in ("single", "batch32", "inprocess", "inprocess_by_two", "wire", "wire_by_two"):
        figures.add(f"{name}_per_s", found[name])
    figures.add("gateway_cpu_us", found["gateway_cpu"])
    figures.add("postgres_cpu_us", found["postgres_cpu"])
    in_process_rate = max(found["inprocess"], found["inprocess_by_two"])
    figures.add_ratio("inprocess_vs_single", in_process_rate, found["single"])
    figures.add_ratio("inprocess_vs_batch32", in_process_rate, found["batch32"])
    figures.add_ratio("wire_vs_single", max(found["wire"], found["wire_by_two"]), found["single"])
    figures.add_ratio("gateway_us", found["gateway_cpu"], found["postgres_cpu"])
