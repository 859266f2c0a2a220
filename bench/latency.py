"""Latencies under open load: at two thirds of the highest rate, and at twice of it."""

from typing import Final

from bench import closed_load, cluster, open_load, processes, rig, setup
from bench.rates import CONNECTIONS, MAX_PER_SECOND, WARM_UP_S, Bench

PARTS: Final = (2 / 3, 2.0)


def measure(bench: Bench) -> None:
    """One round over the wire, with one API process. The highest rate is that of closed load, just before."""
    figures, log = bench.figures, bench.server.folder / "api.log"
    cluster.checkpoint(bench.server)
    with processes.api(1, setup.environment(bench.url, bench.wallet_url), log) as api:
        closed_load.run(api.url, bench.write_payments(WARM_UP_S * MAX_PER_SECOND), CONNECTIONS, WARM_UP_S)
        path = bench.write_payments(bench.seconds * MAX_PER_SECOND)
        highest = closed_load.run(api.url, path, CONNECTIONS, bench.seconds).per_second
        for part in PARTS:
            # An overload is worst when it begins, so it has no warm-up.
            warm_up_s = WARM_UP_S if part < 1 else 0
            number = open_load.number_of_payments(highest * part, warm_up_s + bench.seconds)
            path = bench.write_payments(number)
            figures.add("cpu_jitter", rig.cpu_jitter())
            before_mb = processes.uss_mb(api.pids[0])
            found = open_load.run(api.url, path, highest * part, bench.seconds, warm_up_s=warm_up_s)
            if part < 1:
                figures.add("p50_ms_two_thirds", found.p50_ms)
                figures.add("p99_ms_two_thirds", found.p99_ms)
                figures.add("two_thirds_client_late_ms", found.late_p99_ms)
            else:
                figures.add("overload", found.p99_ms)
                figures.add("overload_accepted", found.accepted / found.scheduled)
                figures.add("overload_uss_mb", processes.uss_mb(api.pids[0]) - before_mb)
                figures.add("overload_recovered_ms", found.recovered_ms)
                figures.add("overload_client_late_ms", found.late_p99_ms)
                figures.add("overload_client_cpu", found.client_cpu)
                print(f"    {highest * part:.0f} a second: {found.codes}")
