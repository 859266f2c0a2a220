"""The stores of all cells, over one directory."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

from tael.base.cipher import Cipher
from tael.base.serial import cell_of
from tael.config import Settings
from tael.db.cells import FIRST, Cells, PerCell
from tael.db.database import PATIENT, Database, Limits
from tael.merchants.store.document_places import Place, place_at
from tael.operations.store import Store, store_over


def limits_of(settings: Settings) -> Limits:
    """The database limits of a gateway's process."""
    return Limits(connections=settings.database_connections, call_s=settings.database_timeout_s)


@dataclass(frozen=True, slots=True)
class Stores:
    """The stores of all cells, over one directory."""

    cells: Cells
    of_cell: PerCell[Store]

    @property
    def first(self) -> Store:
        """That of cell 0, for what is in the directory."""
        return self.of_cell.first

    async def of_merchant(self, mchid: str) -> Store:
        """The store of a merchant's cell; of an unknown merchant, the first. Raises StoreUnavailable."""
        merchant = await self.first.merchants.merchant(mchid)
        return await self.of_cell.of(merchant.cell) if merchant else self.first

    async def of_syssn(self, syssn: str) -> Store:
        """The store of the cell that a syssn names. Raises NoSuchCell, StoreUnavailable."""
        return await self.of_cell.of(cell_of(syssn) or FIRST)


@asynccontextmanager
async def open_stores(settings: Settings, limits: Limits = PATIENT) -> AsyncIterator[Stores]:
    """Stores over the configured database, which need not be up yet. The default limits are those of a command."""
    async with Cells(settings.database_url.reveal(), limits) as cells:
        cipher = Cipher(settings.key_source())
        place = place_at(settings.documents) if settings.documents else None
        yield stores_over(cells, cipher, settings.node, place)


def stores_over(cells: Cells, cipher: Cipher, node: int, documents: Place | None = None) -> Stores:
    """The stores over opened databases."""
    databases = cells.databases

    def store_in(number: int, database: Database) -> Store:
        return store_over(
            cells.directory, database, cipher, node, documents, cell=number, database_of=databases.of
        )

    return Stores(cells, databases.map_numbered(store_in))


@asynccontextmanager
async def open_store(settings: Settings, limits: Limits = PATIENT) -> AsyncIterator[Store]:
    """The store of the directory and the first cell."""
    async with open_stores(settings, limits) as stores:
        yield stores.first
