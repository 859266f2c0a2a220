"""Measures the import of a statement: seconds, and the growth of the process's memory as a ratio to the file's size.

    python -m bench.statements [--lines 100000]

The file is one of WeChat Pay's bills. The database is a private PostgreSQL in memory.
"""

import argparse
import asyncio
import resource
import time
from collections.abc import Iterator
from itertools import chain
from pathlib import Path
from typing import Final

from tael_demo.testing.folders import new_folder

KIB: Final = 1024
HEADINGS: Final = (
    "Transaction time,Official account ID,Vendor ID,Sub vendor ID,Device ID,Wechat order number,Vendor order number,"
    "User tag,Transaction type,Transaction status,Payment bank,Currency type,Total amount,Coupon amount,"
    "Wechat refund number,Vendor refund number,Refund amount,Coupon refund amount,Refund type,Refund status,"
    "Product name,Vendor's data package,Fee,Rate,Payment currency type,Cash payment amount,Settlement currency type,"
    "Settlement currency amount,Exchange rate,Refund exchange rate,Payer's refund amount,Payer's refund currency type,"
    "Refund currency type,Refund settlement currency type,Refund settlement amount\r\n"
)
ROW: Final = (
    "`2026-01-02 11:04:05,`wx1111111111111111,`1900000109,`1900000110,`,`4200942813202601{number:012d},"
    "`202601020100990{number:09d},`oUpF8uMuAJO_M2pxb1Q9zNjWeS6o,`NATIVE,`SUCCESS,`OTHERS,`HKD,`10.00,`0,`0,`0,`0,`0,`,`,"
    "`tea, green, 2 boxes,`,`0.06000,`0.60%,`CNY,`9.12,`HKD,`10.00,`91200000,`0,`0,`,`,`,`0\r\n"
)
TOTALS: Final = (
    "Total transaction count,Total transaction amount,Total refund amount,Total coupon refund amount,"
    "Total commission amount\r\n"
)


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--lines", type=int, default=100_000)
    chosen = parser.parse_args()
    with new_folder() as folder:
        path = folder / "bill.csv"
        with path.open("w", newline="") as file:
            file.writelines(_bill(chosen.lines))
        postgres = folder / "postgres"
        postgres.mkdir(mode=0o755)
        print(asyncio.run(_measure(postgres, path, chosen.lines)))


def _bill(lines: int) -> Iterator[str]:
    rows = (ROW.format(number=number) for number in range(lines))
    totals = f"`{lines},`{lines * 10}.00,`0,`0,`{lines * 6 / 100:.5f}\r\n"
    return chain([HEADINGS], rows, [TOTALS, totals])


async def _measure(folder: Path, path: Path, lines: int) -> str:
    from tael.channels.wechat_v2.statements import STATEMENTS
    from tael.db.migrate import migrate
    from tael.statements.files import read_file
    from tael.statements.imports import ImportOptions, import_statement
    from tael_demo.embedded.server import EmbeddedPostgres
    from tests.support.store import entered_store, with_a_merchant
    from tests.support.values import ORIGIN, a_wechat_account

    with EmbeddedPostgres(folder) as postgres:
        migrate(postgres.url)
        async with entered_store(postgres.url) as store:
            await with_a_merchant(store)
            before_kib = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
            began = time.perf_counter()
            with path.open("rb") as opened:
                file = read_file(opened)
            imported = await import_statement(
                store.statements,
                a_wechat_account(),
                STATEMENTS,
                file,
                path.name,
                ImportOptions(),
                ORIGIN,
                lambda count: None,
            )
            seconds = time.perf_counter() - began
            growth = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before_kib) * KIB
    assert imported.statement.lines == lines
    return f"{lines} lines, {file.size / KIB**2:.1f} MiB: {seconds:.2f} s, memory {growth / file.size:.2f} of the file"


if __name__ == "__main__":
    main()
