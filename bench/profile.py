"""Where the microseconds of a payment go: `python -m bench.profile [--seconds 10] [--stub]`.

py-spy samples the API process under load, and each sample counts for the part of a payment that its innermost known
function belongs to. Shares are multiplied by the process's CPU time for a payment. PostgreSQL's part is what the kernel
counts for its processes, and what its own EXPLAIN ANALYZE measures for each statement, for batches of 32 payments.
"""

import argparse
import asyncio
import json
import re
import shutil
import subprocess
import sys
from collections import Counter
from contextlib import ExitStack
from pathlib import Path
from typing import Final

from bench import closed_load, cluster, limit, processes, rates, requests, setup
from bench.limit import RecordingDatabase
from tael.payments.domain.payment import Payment
from tael_demo.testing.folders import new_folder

SAMPLES_PER_S: Final = 500
BATCH: Final = 32
FRAME: Final = re.compile(r"(.*) \((.*):\d+\)")
OTHER: Final = "event loop and the rest"
#: A part, and the functions that it begins with: "name" or "name@a part of the path".
PARTS: Final[dict[str, tuple[str, ...]]] = {
    "HTTP server": ("data_received@http", "run_asgi", "on_response_complete"),
    "application and steps": ("serve@pipeline", "__call__@tael/api/app", "__call__@starlette/routing"),
    "read body and parameters": ("read_body@steps", "read_call"),
    "app, merchant and limits": (
        *("identify", "select_merchant", "limit_merchant", "limit_address", "check_open", "check_state"),
        "pages@page_links",
    ),
    "verify": ("verify_call", "check_reading@steps", "check_age@steps", "check_address@steps"),
    "decide": ("read_payment", "opening_of", "pending_payment", "decide@outcomes", "record_decision"),
    "serial number": ("syssn@db/serials",),
    "open": ("open@store/payments", "_openings@store/payments"),
    "channel: XML": ("pairs_from_xml", "to_xml"),
    "channel: signatures": ("complete@wechat", "are_signed", "signature@wechat"),
    "channel: HTTP client": (
        "call@base/transport",
        "call@bench/wallet",
        "write_bytes@aiohttp",
        "send@aiohttp",
    ),
    "channel: the rest": ("_swipe",),
    "record": ("record@store/payments", "_recordings@store/payments"),
    "send batches": ("_write@store/payments",),
    "log": ("log_step",),
    "render and send": ("payment_answer", "_completed", "__call__@starlette/responses"),
}


def main() -> None:
    parser = argparse.ArgumentParser("bench.profile", description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--seconds", type=int, default=10)
    parser.add_argument("--connections", type=int, default=rates.CONNECTIONS)
    parser.add_argument("--stub", action="store_true", help="answer the wallet at the transport port")
    parser.add_argument("--py-spy", default=shutil.which("py-spy"), help="the program, if it is not in PATH")
    chosen = parser.parse_args()
    closed_load.check_tool()
    if chosen.py_spy is None:
        sys.exit("py-spy is not installed; pip install py-spy")
    with ExitStack() as exits:
        folder = exits.enter_context(new_folder())
        server = exits.enter_context(cluster.running(folder))
        wallet_url = exits.enter_context(processes.wallet(folder / "wallet.log"))
        url = cluster.create(server, "profile")
        asyncio.run(setup.add_merchant(url, "http://127.0.0.1:9/"))
        stub = 0 if chosen.stub else None
        api = exits.enter_context(
            processes.api(1, setup.environment(url, wallet_url), folder / "api.log", stub)
        )
        _load(api.url, folder, chosen.connections, 1)
        gateway, postgres = processes.cpu_s(*api.pids), processes.cpu_s_below(server.pid)
        spy = _spy(chosen.py_spy, api.pids[0], chosen.seconds, folder / "samples")
        payments = _load(api.url, folder, chosen.connections, chosen.seconds)
        gateway_us = (processes.cpu_s(*api.pids) - gateway) / payments * 1e6
        postgres_us = (processes.cpu_s_below(server.pid) - postgres) / payments * 1e6
        spy.wait(60)
        _show_parts(parts_of((folder / "samples").read_text()), gateway_us)
        print(f"PostgreSQL's processes: {postgres_us:.0f} us of CPU time for each payment")
        found = asyncio.run(setup.a_paid_payment(url))
        assert found is not None
        asyncio.run(_show_statements(url, found))


def _load(url: str, folder: Path, connections: int, seconds: int) -> int:
    path = folder / "payments.txt"
    requests.write_payments(path, [setup.MCHID], rates.MAX_PER_SECOND * seconds)
    return closed_load.run(url, path, connections, seconds).requests


def _spy(program: str, pid: int, seconds: int, output: Path) -> "subprocess.Popen[bytes]":
    sampled = ("record", "-d", str(seconds), "-r", str(SAMPLES_PER_S), "-f", "raw", "-o", str(output))
    quiet = subprocess.DEVNULL
    return subprocess.Popen([program, *sampled, "-p", str(pid)], stdout=quiet, stderr=quiet)


def parts_of(samples: str) -> Counter[str]:
    """Samples of each part. `samples` has a line for each stack: frames from the outermost on, and their number."""
    counts: Counter[str] = Counter()
    for line in samples.splitlines():
        stack, _, number = line.rpartition(" ")
        counts[next(filter(None, map(_part_of, reversed(stack.split(";")))), OTHER)] += int(number)
    return counts


def _part_of(frame: str) -> str | None:
    found = FRAME.fullmatch(frame)
    if found is None:
        return None
    name, path = found.group(1).rpartition(".")[2], found.group(2)
    for part, places in PARTS.items():
        for place in places:
            wanted, _, within = place.partition("@")
            if name == wanted and within in path:
                return part
    return None


def _show_parts(counts: Counter[str], gateway_us: float) -> None:
    print(f"API process: {gateway_us:.0f} us of CPU time for each payment")
    for part in (*PARTS, OTHER):
        print(f"  {part:<26}{counts[part] / counts.total() * gateway_us:>6.0f}")


async def _show_statements(url: str, template: Payment) -> None:
    """Planning is not included: the gateway's statements are prepared."""
    async with RecordingDatabase(url) as database:
        statements, made = await limit.recorded(database, template, BATCH)
        print(f"EXPLAIN ANALYZE of a batch of {BATCH}, us for each payment:")
        names = {name: _another(name) for pair in made for name in pair}
        async with database.connection() as connection:
            transaction = connection.transaction()
            await transaction.start()
            for statement in statements:
                if statement.values:
                    text = f"EXPLAIN (ANALYZE, TIMING OFF, FORMAT JSON) {statement.text}"
                    values = [[names.get(each, each) for each in array] for array in statement.values]
                    explained = json.loads(await connection.fetchval(text, *values))[0]
                    each_us = explained["Execution Time"] * 1000 / BATCH
                    print(f"  {' '.join(statement.text.split())[:60]:<62}{each_us:>6.1f}")
            await transaction.rollback()


def _another(name: str) -> str:
    """A syssn or reference that no row has."""
    return f"8{name[1:]}"


if __name__ == "__main__":
    main()
