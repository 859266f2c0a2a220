"""The benchmark: `make bench`. Prints every figure with its spread, and writes `bench-result.json`.

    python -m bench [--rows 10000000] [--rounds 5] [--seconds 10] [--only rates latency …] [--quick]

`docs/performance.md` explains the figures. Everything runs on this machine, against a private PostgreSQL in `.bench`,
which keeps the loaded orders for the next run.
"""

import argparse
import asyncio
import socket
import sys
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Final

from bench import (
    closed_load,
    cluster,
    isolation,
    latency,
    limit,
    processes,
    queries,
    rates,
    receiver,
    requests,
    rig,
    rows,
    setup,
    webhooks,
)
from bench.figures import Figures, table, write_result
from bench.limit import Limit, RecordingDatabase
from bench.rates import Bench
from tael.payments.domain.payment import Payment

FOLDER: Final = Path(".bench")
PARTS: Final = ("rates", "latency", "isolation", "webhooks", "growth", "queries", "memory")
#: 500 slow payments need ten seconds to begin.
QUICK_PARTS: Final = tuple(part for part in PARTS if part != "isolation")


def main() -> None:
    parser = argparse.ArgumentParser("bench", description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--rows", type=int, default=10_000_000)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=int, default=10, help="of each measurement")
    parser.add_argument("--payments", type=int, default=1_000_000, help="before memory is measured")
    parser.add_argument("--only", nargs="+", choices=PARTS)
    parser.add_argument("--folder", type=Path, default=FOLDER)
    parser.add_argument("--quick", action="store_true", help="see that it works: one short round, few rows")
    chosen = parser.parse_args()
    if chosen.quick:
        chosen.rows, chosen.rounds, chosen.seconds, chosen.payments = 20_000, 1, 1, 2_000
    closed_load.check_tool()
    parts = chosen.only or (QUICK_PARTS if chosen.quick else PARTS)
    run(chosen.folder, chosen.rows, chosen.rounds, chosen.seconds, chosen.payments, parts)


def run(
    folder: Path, number_of_rows: int, rounds: int, seconds: int, payments: int, parts: Sequence[str]
) -> None:
    figures = Figures()
    with ExitStack() as exits:
        server = exits.enter_context(cluster.running(folder))
        measured_on = rig.rig_of(server.url, folder)
        print(rig.shown(measured_on), flush=True)
        wallet_url = exits.enter_context(processes.wallet(folder / "wallet.log"))
        merchant = exits.enter_context(receiver.running(_free_port(), folder / "receiver.log"))
        url = cluster.create(server, "small")
        asyncio.run(setup.add_merchant(url, merchant.url))
        template = _template(server, url, wallet_url)
        single, batch32 = asyncio.run(_limits(server, url, template))
        bench = Bench(server, url, wallet_url, figures, seconds, single, batch32)
        _show_written(bench)
        large = delivered = ""
        if "growth" in parts or "queries" in parts:
            large, loaded_s = rows.database_of(server, number_of_rows, template)
            size = cluster.size_of(large) / 1e9
            print(f"{number_of_rows} orders: {size:.1f} GB, loaded in {loaded_s:.0f} s (0: kept)", flush=True)
        if "webhooks" in parts:
            delivered = webhooks.new_database(server, merchant, template, seconds)
        for number in range(rounds):
            print(f"round {number + 1} of {rounds}", flush=True)
            if "rates" in parts:
                rates.measure(bench, number)
            if "latency" in parts:
                latency.measure(bench)
            if "isolation" in parts:
                isolation.measure(bench)
            if "webhooks" in parts:
                webhooks.measure(bench, merchant, delivered)
            if "growth" in parts:
                _growth(bench, large)
            if "queries" in parts:
                calls = queries.CALLS if seconds > 1 else queries.CALLS // 10
                asyncio.run(queries.measure(large, number_of_rows, template, figures, calls))
        if "memory" in parts:
            _memory(bench, payments)
    summary = figures.summary()
    print(f"\n{rig.shown(measured_on)}\n\n{table(summary)}")
    write_result(measured_on, summary)


def _template(server: cluster.Server, url: str, wallet_url: str) -> Payment:
    """A payment that the gateway has made and the stub has taken; the others are like it."""
    path, log = server.folder / "payments.txt", server.folder / "api.log"
    requests.write_payments(path, [setup.MCHID], rates.MAX_PER_SECOND)
    with processes.api(1, setup.environment(url, wallet_url), log) as api:
        closed_load.run(api.url, path, rates.CONNECTIONS, 1)
    found = asyncio.run(setup.a_paid_payment(url))
    if found is None:
        sys.exit(f"no payment was taken; see {log}")
    return found


async def _limits(server: cluster.Server, url: str, template: Payment) -> tuple[Limit, Limit]:
    limits = []
    async with RecordingDatabase(url) as database:
        for number in (1, 32):
            path = server.folder / f"limit-{number}.sql"
            path.write_text(limit.script(*await limit.recorded(database, template, number)))
            limits.append(Limit(url, path, number))
    return limits[0], limits[1]


def _show_written(bench: Bench) -> None:
    """Limit and gateway must write the same rows."""
    with cluster.counted(bench.url) as by_limit:
        bench.limit(bench.single, rates.SINGLE_CLIENTS)
    with cluster.counted(bench.url) as by_gateway:
        bench.gateway(1, 0, rates.CONNECTIONS)
    for name, written in (("limit", by_limit), ("gateway", by_gateway)):
        payments = written.rows["payment"]
        each = {table: round(rows / payments, 3) for table, rows in written.rows.items()}
        print(f"{name}: rows per payment {each}, {written.wal_bytes / payments:.0f} bytes of WAL", flush=True)
        if set(each.values()) != {1.0}:
            sys.exit("limit and gateway do not write the same rows")


def _growth(bench: Bench, large: str) -> None:
    with_many = Bench(
        bench.server, large, bench.wallet_url, bench.figures, bench.seconds, bench.single, bench.batch32
    )
    few, many = bench.gateway(1, 0, rates.CONNECTIONS), with_many.gateway(1, 0, rates.CONNECTIONS)
    bench.figures.add_ratio("growth_1e7_vs_1e4", many.load.per_second, few.load.per_second)


def _memory(bench: Bench, payments: int) -> None:
    environment, log = setup.environment(bench.url, bench.wallet_url), bench.server.folder / "api.log"
    with processes.api(1, environment, log, 0) as api:
        bench.figures.add("uss_mb_at_rest", processes.uss_mb(api.pids[0]))
        sent = 0
        while sent < payments:
            path = bench.write_payments(bench.seconds * rates.MAX_PER_SECOND)
            sent += closed_load.run(api.url, path, rates.CONNECTIONS, bench.seconds).requests
        bench.figures.add("uss_mb", processes.uss_mb(api.pids[0]))


def _free_port() -> int:
    with socket.create_server((processes.HOST, 0)) as free:
        port: int = free.getsockname()[1]
        return port


if __name__ == "__main__":
    main()
