"""Queries in process on the kept database, as ratios to a select by primary key on the same connection pool."""

import random
import statistics
import time
from collections.abc import Awaitable, Callable
from typing import Any, Final

from bench import rows, setup
from bench.figures import Figures
from tael.db.cells import Cells
from tael.payments.domain.payment import Payment
from tael.payments.store.transactions import Filter
from tael.qfpay.fields import LIST_MAX, PAGE_SIZE_MAX

CALLS: Final = 300
PAGE_SIZE: Final = 10
LAST_PAGE: Final = 1000  #: less if there are few rows
WARM_UP: Final = 20
TURN: Final = 10
MONTHS: Final = 12
PRIMARY_KEY: Final = "SELECT syssn, state, amount_minor FROM payment WHERE mchid = $1 AND syssn = $2"

Query = Callable[[], Awaitable[None]]


async def measure(
    url: str, number_of_rows: int, template: Payment, figures: Figures, calls: int = CALLS
) -> None:
    """One round."""
    async with Cells(url) as cells:
        database = cells.databases.first
        listing = setup.store_on(cells).transactions.list
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

        async def references(number: int) -> None:
            asked = wanted(references=[f"loaded-{some()}" for _ in range(number)], page_size=PAGE_SIZE_MAX)
            assert await listing(asked)

        async def syssns(number: int) -> None:
            asked = wanted(
                syssns=[rows.syssn_of(template, some()) for _ in range(number)], page_size=PAGE_SIZE_MAX
            )
            assert await listing(asked)

        last_page = min(LAST_PAGE, number_of_rows // rows.OWN_SHARE // MONTHS // PAGE_SIZE // 2)
        queries = {
            "query_syssn": syssn,
            "query_reference": reference,
            "query_month_page1": lambda: page(1),
            "query_month_page1000": lambda: page(last_page),
            "query_references_100": lambda: references(100),
            "query_syssns_500": lambda: syssns(LIST_MAX),
        }
        for name, query in queries.items():
            base_us, query_us = await _p50s_us(primary_key, query, calls)
            figures.add(f"{name}_base_us", base_us)
            figures.add_ratio(name, query_us, base_us)


async def _p50s_us(base: Query, query: Query, calls: int) -> tuple[float, float]:
    """Of both. They take turns, so that what else runs on the machine is in both, but not at each call: the first one
    after a larger query finds the processor's caches filled with that one's rows.
    """
    await _times(base, WARM_UP)  # plans and caches
    await _times(query, WARM_UP)
    base_times, query_times = [], []
    for _ in range(0, calls, TURN):
        base_times += await _times(base, TURN)
        query_times += await _times(query, TURN)
    return statistics.median(base_times) * 1e6, statistics.median(query_times) * 1e6


async def _times(query: Query, calls: int) -> list[float]:
    taken = []
    for _ in range(calls):
        began = time.perf_counter()
        await query()
        taken.append(time.perf_counter() - began)
    return taken
