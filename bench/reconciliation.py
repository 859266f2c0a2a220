"""Measures the reconciliation of a day: seconds of a first run and of a repeat.

    python -m bench.reconciliation [--lines 50000] [--errors 500]

The day has as many payments as lines; of these, `--errors` have another amount at the wallet, and as many have no line.
The database is a private PostgreSQL in memory.
"""

import argparse
import asyncio
import time
from pathlib import Path
from typing import Final

from tael_demo.testing.folders import new_folder

FILL: Final = """
INSERT INTO payment (
    mchid, syssn, appcode, pay_type, reference, amount_minor, currency, account_id, protocol, content, subject,
    is_subject_ours, goods_info, return_url, payer_ip, scene_info, openid, client_time, device, notify_merchant,
    forbid_credit, fee_rate_ppm, created_at, changed_at, expires_at, deadline, state, wallet_code, has_initial_response,
    wallet_ref, payer_ref, paid_at, reversal_syssn, is_reversed, close_syssn, checks, version)
SELECT 'mch1', '2026010201009900' || lpad(n::text, 8, '0'), 'app1', '800201', 'r' || n, 100, 'HKD', 'wechat1',
    'wechat_v2', '', '', false, '', '', '', '', '', '', '', false, false, 0, $1, $1, $1, $1, 'PAID', '', true,
    't' || n, '', $1, '', false, '', 0, 1
FROM generate_series(1, $2::integer) AS n
"""
ENTRIES: Final = """
INSERT INTO ledger_entry (mchid, cause, kind, debit, credit, amount_minor, currency, at)
SELECT mchid, syssn, 'payment', 'wallet:HKD:wechat1', 'merchant:HKD:mch1', amount_minor, currency, paid_at FROM payment
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--lines", type=int, default=50_000)
    parser.add_argument("--errors", type=int, default=500)
    chosen = parser.parse_args()
    with new_folder() as folder:
        print(asyncio.run(_measure(folder, chosen.lines, chosen.errors)))


async def _measure(folder: Path, lines: int, errors: int) -> str:
    from tael.base.money import Money
    from tael.db.migrate import migrate
    from tael.services import ServiceSettings, payments_over
    from tael_demo.embedded.server import EmbeddedPostgres
    from tests.support.alipay import TestClock
    from tests.support.statements import DAY, ONE_DAY, paid_line, reconciled, stored
    from tests.support.store import entered_store, with_a_merchant
    from tests.support.values import NOW

    with EmbeddedPostgres(folder) as postgres:
        migrate(postgres.url)
        async with entered_store(postgres.url) as store:
            await with_a_merchant(store)
            await store.database.execute(FILL, NOW, lines)
            await store.database.execute(ENTRIES)
            gateway = payments_over(store, {}, TestClock(NOW), ServiceSettings(""))
            content = [
                paid_line(f"2026010201009900{n:08d}", Money(100 + (n <= errors), "HKD"), wallet_ref=f"t{n}")
                for n in range(1, lines + 1 - errors)
            ]
            await stored(store, [], day=DAY + ONE_DAY)
            statement = await stored(store, content)
            seconds = []
            for _ in range(2):
                began = time.perf_counter()
                run = await reconciled(statement, gateway)
                seconds.append(time.perf_counter() - began)
    assert (run.lines, run.matched) == (lines - errors, lines - 2 * errors)
    assert sum(run.differences.values()) == 2 * errors
    first, again = seconds
    return f"{run.lines} lines: {first:.2f} s, again {again:.2f} s"


if __name__ == "__main__":
    main()
