"""Measures the export of an account statement in each format: seconds, and the growth of the process's memory in MiB.

    python -m bench.exports [--payments 100000]

The ledger is filled by SQL, in a private PostgreSQL in memory. Each format runs in a process of its own.
"""

import argparse
import asyncio
import multiprocessing
import time
from contextlib import aclosing
from datetime import date
from pathlib import Path
from typing import Final

import psycopg

from tael_demo.testing.folders import new_folder
from tests.support.values import MCHID, NOW, a_merchant

KIB: Final = 1024
DAY: Final = date(2026, 1, 2)
#: A payment and its fee for each number, in one second each.
FILL: Final = """
INSERT INTO ledger_entry
SELECT %(mchid)s, lpad(n::text, 24, '0'), kind,
    CASE kind WHEN 'fee' THEN 'merchant:HKD:' || %(mchid)s ELSE 'wallet:HKD:w' END,
    CASE kind WHEN 'fee' THEN 'fee:HKD:w' ELSE 'merchant:HKD:' || %(mchid)s END,
    CASE kind WHEN 'fee' THEN 6 ELSE 1000 END,
    'HKD', TIMESTAMPTZ '2026-01-02 00:00:00+08' + n * INTERVAL '0.8 s'
FROM generate_series(1, %(payments)s::int) AS n, unnest(ARRAY['payment', 'fee']) AS kind
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--payments", type=int, default=100_000)
    chosen = parser.parse_args()
    with new_folder() as folder:
        _measure(folder, chosen.payments)


def _measure(folder: Path, payments: int) -> None:
    from tael.db.migrate import migrate
    from tael.settlement.exports import Format
    from tael_demo.embedded.server import EmbeddedPostgres

    with EmbeddedPostgres(folder) as postgres:
        migrate(postgres.url)
        _fill(postgres.url, payments)
        for form in Format:
            process = multiprocessing.get_context("spawn").Process(
                target=_export, args=(postgres.url, form.value)
            )
            process.start()
            process.join()


def _fill(url: str, payments: int) -> None:
    with psycopg.connect(url, options="-c search_path=cell_00") as connection:
        connection.execute(FILL, {"mchid": MCHID, "payments": payments})


def _export(url: str, form: str) -> None:
    asyncio.run(_timed(url, form))


async def _timed(url: str, form: str) -> None:
    from tael.settlement.exports import Format
    from tael.settlement.movement_export import Period, export_movements
    from tests.support.store import entered_store

    async with entered_store(url) as store:
        before_kib = _peak_kib()
        began, size = time.perf_counter(), 0
        pieces = export_movements(store.database, a_merchant(), Period(DAY, DAY), Format(form), NOW)
        async with aclosing(pieces):
            async for piece in pieces:
                size += len(piece)
        took_s = time.perf_counter() - began
    grown_mib = (_peak_kib() - before_kib) / KIB
    print(f"{form}: {size / KIB / KIB:.1f} MiB in {took_s:.1f} s, memory grew by {grown_mib:.1f} MiB")


def _peak_kib() -> int:
    """The largest memory of this program. `ru_maxrss` would include the program that started it."""
    status = Path("/proc/self/status").read_text()
    return int(status.partition("VmHWM:")[2].split()[0])


if __name__ == "__main__":
    main()
