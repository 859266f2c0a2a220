"""Queries in process on the kept database, as ratios to a select by primary key on the same connection pool."""

import random
import statistics
import time
from collections.abc import Awaitable, Callable
from typing import Any, Final

from bench import rows, setup
from bench.figures import Figures
from tael.db.database import Database
from tael.payments.domain.payment import Payment
from tael.payments.store.transactions import Filter

CALLS: Final = 300
PAGE_SIZE: Final = 10
LAST_PAGE: Final = 1000  #: less if there are few rows
MONTHS: Final = 12
PRIMARY_KEY: Final = "SELECT syssn, state, amount_minor FROM payment WHERE mchid = $1 AND syssn = $2"


async def measure(
    url: str, number_of_rows: int, template: Payment, figures: Figures, calls: int = CALLS
) -> None:
    """One round."""
    async with Database(url) as database:
        listing = setup.store_on(database).transactions.list
        chosen = random.Random(number_of_rows)
        first, end = rows.month_of(template)

        def some() -> int:
            return chosen.randrange(number_of_rows // rows.OWN_SHARE) * rows.OWN_SHARE

        def wanted(**others: object) -> Filter:
            every: dict[str, Any] = dict.fromkeys(
                ("start", "end", "syssns", "references", "pay_types", "states")
            )
            every |= {"page": 1, "page_size": PAGE_SIZE}
            return Filter(mchid=setup.MCHID, **(every | others))

        async def primary_key() -> None:
            assert await database.fetch(PRIMARY_KEY, setup.MCHID, rows.syssn_of(template, some()))

        async def syssn() -> None:
            assert await listing(wanted(syssns=[rows.syssn_of(template, some())]))

        async def reference() -> None:
            assert await listing(wanted(references=[f"loaded-{some()}"]))

        async def page(number: int) -> None:
            assert await listing(wanted(start=first, end=end, page=number))

        last_page = min(LAST_PAGE, number_of_rows // rows.OWN_SHARE // MONTHS // PAGE_SIZE // 2)
        base = await _p50_us(primary_key, calls)
        figures.add("primary_key_us", base)
        figures.add_ratio("query_syssn", await _p50_us(syssn, calls), base)
        figures.add_ratio("query_reference", await _p50_us(reference, calls), base)
        figures.add_ratio("query_month_page1", await _p50_us(lambda: page(1), calls), base)
        figures.add_ratio("query_month_page1000", await _p50_us(lambda: page(last_page), calls // 5), base)


async def _p50_us(call: Callable[[], Awaitable[None]], calls: int) -> float:
    for _ in range(calls // 10 + 10):  # plans and caches
        await call()
    taken = []
    for _ in range(calls):
        began = time.perf_counter()
        await call()
        taken.append(time.perf_counter() - began)
    return statistics.median(taken) * 1e6
