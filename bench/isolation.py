"""Payments of one merchant beside 500 payments of another, whose wallet answers after ten seconds."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

import psycopg

from bench import closed_load, cluster, open_load, processes, requests, setup, wallet
from bench.latency import PARTS
from bench.rates import CONNECTIONS, MAX_PER_SECOND, WARM_UP_S, Bench

#: Under way at a time: each takes `wallet.SLOW_S`.
SLOW: Final = 500
SLOW_PER_SECOND: Final = SLOW / wallet.SLOW_S
#: By then as many have begun as will end.
FILL_S: Final = wallet.SLOW_S + 2
#: Of the gateway to a wallet; one account may use half of them.
WALLET_CONNECTIONS: Final = 4 * SLOW
UNDER_WAY: Final = """
SELECT count(*) FROM payment WHERE mchid = %s AND state = 'PENDING' AND created_at > now() - interval '10 s'
"""


def measure(bench: Bench) -> None:
    """One round, with one API process: alone, then beside the slow payments, at the same rate."""
    figures, log = bench.figures, bench.server.folder / "api.log"
    cluster.checkpoint(bench.server)
    environment = dict(setup.environment(bench.url, bench.wallet_url))
    environment["TAEL_WALLET_CONNECTIONS"] = str(WALLET_CONNECTIONS)
    with processes.api(1, environment, log) as api:
        closed_load.run(api.url, bench.write_payments(WARM_UP_S * MAX_PER_SECOND), CONNECTIONS, WARM_UP_S)
        alone = _rate(bench, api.url)
        figures.add("p99_ms_alone", _p99_ms(bench, api.url, alone * PARTS[0]))
        with _slow_payments(bench, api.url):
            figures.add("p99_ms_beside_500_slow", _p99_ms(bench, api.url, alone * PARTS[0]))
            figures.add_ratio("rate_beside_500_slow", _rate(bench, api.url), alone)
            print(f"    {_under_way(bench)} slow payments under way")


def _rate(bench: Bench, url: str) -> float:
    """Payments per second of closed load."""
    path = bench.write_payments(bench.seconds * MAX_PER_SECOND)
    return closed_load.run(url, path, CONNECTIONS, bench.seconds).per_second


def _p99_ms(bench: Bench, url: str, per_second: float) -> float:
    number = open_load.number_of_payments(per_second, WARM_UP_S + bench.seconds)
    path = bench.write_payments(number)
    return open_load.run(url, path, per_second, bench.seconds, warm_up_s=WARM_UP_S).p99_ms


@contextmanager
def _slow_payments(bench: Bench, url: str) -> Iterator[None]:
    """In the block, `SLOW` payments of the other merchant are under way."""
    folder = bench.server.folder
    path, seconds = folder / "slow-payments.txt", FILL_S + 10 * bench.seconds + 60
    requests.write_payments(path, [setup.SLOW_MCHID], int(SLOW_PER_SECOND * seconds * 1.5))
    load = ["-m", "bench.open_load", url, str(path), str(SLOW_PER_SECOND), str(seconds), str(2 * SLOW)]
    with processes.started(load, {}, folder / "slow.log"):
        time.sleep(FILL_S)
        yield


def _under_way(bench: Bench) -> int:
    with psycopg.connect(bench.url) as connection:
        row = connection.execute(UNDER_WAY, [setup.SLOW_MCHID]).fetchone()
        assert row is not None
        return int(row[0])
