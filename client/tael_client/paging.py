"""Paging through all rows of a query, newest first, page by page and month by month. Pure.

A range of several months is split by month, because servers store rows by month. Rows that are added meanwhile shift
others to the next page; those are returned once.
"""

from collections.abc import Iterator
from dataclasses import replace
from datetime import datetime
from typing import Final

from tael_client.answers import QueryPage, Row
from tael_client.errors import PagesDoNotEnd
from tael_client.moments import months_within
from tael_client.orders import Filters

#: For one month. More pages mean that the server repeats itself.
MAX_PAGES: Final = 10_000


def pieces_of(filters: Filters, now: datetime) -> list[Filters]:
    """`filters` split into ranges of one month each. `until` defaults to `now`. Raises ValueError."""
    if filters.since is None:
        if filters.until is not None:
            raise ValueError("until requires since")
        return [filters]
    until = filters.until or max(now, filters.since)
    return [replace(filters, since=first, until=last) for first, last in months_within(filters.since, until)]


class Pages:
    """The state of paging through one range: request page `number`, pass it to `take`, until `is_over`."""

    def __init__(self) -> None:
        self.number = 1
        self.is_over = False
        self._seen: set[str] = set()
        self._last: tuple[str, ...] = ()

    def take(self, page: QueryPage) -> Iterator[Row]:
        """The rows not returned before. Raises PagesDoNotEnd."""
        syssns = tuple(row.syssn for row in page.rows)
        self.is_over = len(syssns) < page.page_size or not syssns
        if not self.is_over and (syssns == self._last or self.number >= MAX_PAGES):
            raise PagesDoNotEnd(f"page {self.number} repeats the one before, or exceeds {MAX_PAGES} pages")
        new = [row for row in page.rows if row.syssn not in self._seen]
        self._seen.update(syssns)
        self._last = syssns
        self.number += 1
        return iter(new)
