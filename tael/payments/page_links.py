"""The addresses of payers' pages in a running process, which follows a rotation of the link keys.

The keys are read as often as the settings' cache is. A token under a key that this process does not know
makes it look at once, but at most every `LOOK_S`: requests with made-up ids wait for a shared look and cause no queries
of their own.
"""

import asyncio
import time
from collections.abc import Callable
from contextvars import Context
from typing import Final

from tael.base.clock import Clock
from tael.base.read_cache import ReadCache
from tael.db.cells import STALE_S, directory_cache
from tael.db.database import StoreUnavailable
from tael.payments.domain.page_urls import LinkKey, Pages, Site
from tael.payments.store.link_keys import LinkKeys

#: Time between two looks for unknown keys.
LOOK_S: Final = 0.1
#: Known keys verify tokens without a look for this long.
MAX_AGE_S: Final = 60.0
#: The cache's only name.
ALL_KEYS: Final = ""


class PageLinks:
    """Makes and checks the addresses. `timer` is monotonic."""

    def __init__(
        self,
        public_url: str,
        link_keys: LinkKeys,
        clock: Clock,
        ttl_s: float,
        timer: Callable[[], float] = time.monotonic,
    ) -> None:
        self.site: Final = Site(public_url)
        self._link_keys = link_keys
        self._clock = clock
        self._cache: ReadCache[tuple[LinkKey, ...]] = directory_cache(min(ttl_s, MAX_AGE_S), timer)
        self._timer = timer
        self._keys: tuple[LinkKey, ...] = ()
        self._read_at_s = float("-inf")
        self._look_began_s = float("-inf")
        self._next_look: asyncio.Task[None] | None = None

    async def pages(self) -> Pages:
        """For making addresses. Raises StoreUnavailable, DecryptionFailed."""
        keys = await self._cache.get(ALL_KEYS, self._read)
        return Pages(self.site.public_url, keys or ())

    async def pages_for(self, token: str) -> Pages:
        """For checking an address with this token. Raises StoreUnavailable, DecryptionFailed."""
        pages, age_s = Pages(self.site.public_url, self._keys), self._timer() - self._read_at_s
        if age_s < MAX_AGE_S and pages.has_key_of(token):
            return pages
        try:
            await self._look()
        except StoreUnavailable:
            if age_s < STALE_S and pages.has_key_of(token):
                return pages
            raise
        return Pages(self.site.public_url, self._keys)

    async def _look(self) -> None:
        """Wait for a read that begins after this call; all callers until then share it, and its failure."""
        if self._next_look is None:
            # In a context of its own: it is not part of one caller's time for the database.
            self._next_look = asyncio.create_task(self._look_when_due(), context=Context())
            self._next_look.add_done_callback(lambda task: task.cancelled() or task.exception())
        await asyncio.shield(self._next_look)

    async def _look_when_due(self) -> None:
        try:
            await asyncio.sleep(self._look_began_s + LOOK_S - self._timer())
        finally:
            self._next_look = None  # later callers need a later read
        self._look_began_s = self._timer()
        await self._read(ALL_KEYS)

    async def _read(self, _: str) -> tuple[LinkKey, ...]:
        began_s = self._timer()
        keys = await self._link_keys.with_current(self._clock.now())
        if began_s >= self._read_at_s:  # a slow read does not undo a later one
            self._keys, self._read_at_s = keys, began_s
        return keys
