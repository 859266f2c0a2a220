"""Queries in process on the kept database, as ratios to a select by primary key on the same connection pool."""

import random
import statistics
import time
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, Final

from bench import rows, setup
from bench.figures import Figures
from tael.db.database import Database
from tael.payments.domain.payment import Payment
from tael.payments.store.transactions import Filter
from tael.qfpay.fields import LIST_MAX, PAGE_SIZE_MAX

CALLS: Final = 300
PAGE_SIZE: Final = 10
LAST_PAGE: Final = 1000  #: less if there are few rows
WARM_UP: Final = 20
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
        base, *others = await _p50s_us([primary_key, *queries.values()], calls)
        figures.add("primary_key_us", base)
        for name, p50_us in zip(queries, others, strict=True):
            figures.add_ratio(name, p50_us, base)


async def _p50s_us(queries: Sequence[Callable[[], Awaitable[None]]], calls: int) -> list[float]:
    """Of each query. They take turns, so that what else runs on the machine is in all of them."""
    taken: list[list[float]] = [[] for _ in queries]
    for number in range(-WARM_UP, calls):
        for query, times in zip(queries, taken, strict=True):
            began = time.perf_counter()
            await query()
            if number >= 0:  # plans and caches are warm
                times.append(time.perf_counter() - began)
    return [statistics.median(times) * 1e6 for times in taken]
