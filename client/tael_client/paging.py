"""All rows of a query, page after page and month after month, newest first. Pure: says what to ask for next.

A range of several months is cut at their ends, because a server keeps books by month. Rows that arrive while we turn
pages push others onto the next one; those are given once.
"""

from collections.abc import Iterator
from dataclasses import replace
from datetime import datetime
from typing import Final

from tael_client.answers import QueryPage, Row
from tael_client.errors import PagesDoNotEnd
from tael_client.moments import months_within
from tael_client.orders import Filters

#: Of one month; a server that needs more is not getting anywhere.
MAX_PAGES: Final = 10_000


def pieces_of(filters: Filters, now: datetime) -> list[Filters]:
    """`filters`, cut into ranges of one month each. `until` is `now` if only `since` is given. Raises ValueError."""
    if filters.since is None:
        if filters.until is not None:
            raise ValueError("until needs a since")
        return [filters]
    until = filters.until or max(now, filters.since)
    return [replace(filters, since=first, until=last) for first, last in months_within(filters.since, until)]


class Pages:
    """The turning of one piece's pages: ask for `number` until `is_over`, and `take` what came."""

    def __init__(self) -> None:
        self.number = 1
        self.is_over = False
        self._seen: set[str] = set()
        self._last: tuple[str, ...] = ()

    def take(self, page: QueryPage) -> Iterator[Row]:
        """The rows that are new. Raises PagesDoNotEnd."""
        syssns = tuple(row.syssn for row in page.rows)
        self.is_over = len(syssns) < page.page_size or not syssns
        if not self.is_over and (syssns == self._last or self.number >= MAX_PAGES):
            raise PagesDoNotEnd(f"page {self.number} is like the one before, or one too many")
        fresh = [row for row in page.rows if row.syssn not in self._seen]
        self._seen.update(syssns)
        self._last = syssns
        self.number += 1
        return iter(fresh)
