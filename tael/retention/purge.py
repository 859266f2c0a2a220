"""Removes personal data of rows that are old and finished. Money, states, numbers and digests stay.

It can be interrupted and repeated, and run several times at once: each page is a commit of its own, and what is blank
already is not due. A document's content is removed before its row, so that no content is left that nothing names.
"""

from collections.abc import Callable, Collection, Coroutine
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial
from typing import Any, Final

from tael.audit_log.domain.entry import Origin
from tael.db.database import Database
from tael.db.tables import Home
from tael.merchants.store.document_files import DocumentFiles
from tael.retention.domain.personal_data import BLANKED
from tael.retention.store.applicants import Applicants
from tael.retention.store.blanking import Blanking, Page

#: A mistyped age removes nothing of this quarter, and a merchant has so long to ask about an order. What goes on longer
#: is left alone by the conditions of `store/blanking.py`.
MIN_AGE: Final = timedelta(days=90)
MAX_MERCHANTS: Final = 100  #: in one statement
APPLICATION: Final = "merchant_application"
DOCUMENT: Final = "merchant_document"

#: How many rows were purged, by table.
Purged = dict[str, int]
NextPage = Callable[[tuple[Any, ...] | None], Coroutine[Any, Any, Page | None]]


class TooRecent(ValueError):
    """The age is below MIN_AGE."""

    def __init__(self) -> None:
        super().__init__(f"must be at least {MIN_AGE.days}d")


@dataclass(frozen=True, slots=True)
class Purge:
    """One run. `older_than` is an instant."""

    directory: Database
    database: Database  #: of the cell
    files: DocumentFiles
    older_than: datetime
    origin: Origin
    homes: Collection[Home]  #: the parts of the database that are purged

    async def run(self) -> Purged:
        """Purge every table. Raises StoreUnavailable, and OSError if a document's content cannot be removed."""
        blank = Blanking(self.database).blank_page
        return await self._purged(
            lambda table: partial(blank, table, self.older_than, self.origin), is_counted_only=False
        )

    async def count(self) -> Purged:
        """How many rows `run` would purge now. Changes nothing. Raises StoreUnavailable."""
        count = Blanking(self.database).count_page
        return await self._purged(lambda table: partial(count, table, self.older_than), is_counted_only=True)

    async def _purged(self, next_page_of: Callable[[str], NextPage], *, is_counted_only: bool) -> Purged:
        in_cell = BLANKED if Home.CELL in self.homes else ()
        purged = {table: await _rows(next_page_of(table)) for table in in_cell}
        if Home.DIRECTORY in self.homes:
            purged |= await self._applicants(is_counted_only=is_counted_only)
        return purged

    async def _applicants(self, *, is_counted_only: bool) -> Purged:
        applicants = Applicants(self.directory)
        purged, after = {APPLICATION: 0, DOCUMENT: 0}, ""
        while mchids := await applicants.refused(self.older_than, after, MAX_MERCHANTS):
            for mchid in mchids:
                documents = await applicants.documents_of(mchid)
                if is_counted_only or await self._remove(mchid, applicants):
                    purged[APPLICATION] += 1
                    purged[DOCUMENT] += len(documents)
            after = mchids[-1]
        return purged

    async def _remove(self, mchid: str, applicants: Applicants) -> bool:
        if not await applicants.remove_application(mchid, self.older_than, self.origin):
            return False
        for document in await applicants.documents_of(mchid):
            await self.files.delete(document)
            await applicants.remove_document(document, self.origin)
        return True


def purge_before(
    directory: Database,
    database: Database,
    files: DocumentFiles,
    age: timedelta,
    origin: Origin,
    homes: Collection[Home] = tuple(Home),
) -> Purge:
    """A run for rows that are older than `age`, in the directory and one cell or in one of them. Raises TooRecent."""
    if age < MIN_AGE:
        raise TooRecent
    return Purge(directory, database, files, origin.at - age, origin, homes)


async def _rows(next_page: NextPage) -> int:
    """The sum over all pages of a table. A page that is not full is the last one."""
    rows, page = 0, await next_page(None)
    while page is not None:
        rows += page.rows
        page = await next_page(page.last) if page.is_full else None
    return rows
