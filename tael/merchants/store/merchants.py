"""Apps and merchants. Keys are encrypted in the rows. Every change is in the audit log, in the same commit."""

from collections.abc import Callable
from typing import TYPE_CHECKING, Final

import asyncpg

from tael.audit_log.domain.entry import Origin
from tael.audit_log.store.entries import write_change
from tael.base.cipher import Cipher, associated_data
from tael.base.secret import Secret
from tael.db.cells import DatabaseOf
from tael.db.database import Database
from tael.db.tables import Codec, Home, Row, Table
from tael.merchants.domain.merchant import App, Merchant, Operation, PreviousKey

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from tael.db.database import Connection

#: When the row was added: rows are listed in this order.
CREATED_AT: Final = {"created_at": "timestamptz"}


def app_table(cipher: Cipher) -> Table[App]:
    """The table `app`, whose keys `cipher` encrypts."""

    def encrypted(key: Secret, column: str, row: tuple[str, ...]) -> bytes:
        return cipher.encrypt(key, associated_data("app", column, row))

    def decrypted(ciphertext: bytes, column: str, row: tuple[str, ...]) -> Secret:
        return cipher.decrypt(ciphertext, associated_data("app", column, row))

    return Table(
        "app",
        Home.DIRECTORY,
        App,
        ("appcode",),
        codecs={
            "key": Codec(
                {"key_encrypted": "bytea"},
                lambda key, row: (encrypted(key, "key_encrypted", row),),
                lambda ciphertext, row: decrypted(ciphertext, "key_encrypted", row),
                is_bound=True,
            ),
            "previous_key": Codec(
                {"previous_key_encrypted": "bytea", "previous_key_until": "timestamptz"},
                lambda previous, row: (
                    (encrypted(previous.key, "previous_key_encrypted", row), previous.until)
                    if previous
                    else (None, None)
                ),
                lambda ciphertext, until, row: (
                    PreviousKey(decrypted(ciphertext, "previous_key_encrypted", row), until)
                    if ciphertext
                    else None
                ),
                is_bound=True,
            ),
            "allowed_addresses": Codec(
                {"allowed_addresses": "text[]"}, lambda networks: (list(networks),), tuple
            ),
            "redirect_uris": Codec({"redirect_uris": "text[]"}, lambda uris: (list(uris),), tuple),
        },
        internal=CREATED_AT,
    )


MERCHANTS: Final = Table(
    "merchant",
    Home.DIRECTORY,
    Merchant,
    ("mchid",),
    codecs={
        "denied": Codec(
            {"denied": "text[]"},
            lambda denied: (sorted(denied),),
            lambda names: frozenset(map(Operation, names)),
        )
    },
    internal=CREATED_AT,
)
ADD_MERCHANT: Final = MERCHANTS.insert_one("created_at")
SELECT_MERCHANT: Final = f"SELECT {MERCHANTS.select} FROM merchant"
#: The merchant's first daily close, which also makes it one of its cell's merchants.
ADD_DAILY_CLOSE: Final = "INSERT INTO daily_close (mchid, close_at) VALUES ($1, $2) ON CONFLICT DO NOTHING"
CELLS: Final = "SELECT mchid, cell FROM merchant ORDER BY mchid"
#: No row is deleted. A foreign key would do, but Citus then asks for the right to write to `cell_location`.
IS_CELL: Final = "SELECT FROM cell_location WHERE cell = $1"
#: New merchants belong to the cell with the fewest.
EMPTIEST_CELL: Final = """
SELECT c.cell FROM cell_location AS c LEFT JOIN merchant AS m ON m.cell = c.cell
GROUP BY c.cell ORDER BY count(m.mchid), c.cell LIMIT 1
"""


class AlreadyThere(Exception):
    """A row with this key exists, or a contract's constraint forbids a second one."""


async def insert_merchant(connection: "Connection", merchant: Merchant, origin: Origin) -> None:
    """In the caller's transaction, at whose end `begin_daily_close` follows. LookupError if there is no such cell."""
    if not await connection.fetch(IS_CELL, merchant.cell):
        raise LookupError(f"no cell {merchant.cell}")
    await connection.execute(ADD_MERCHANT, *MERCHANTS.values(merchant, MERCHANTS.columns), origin.at)
    await write_change(connection, origin, MERCHANTS, merchant.mchid, None, merchant)


async def begin_daily_close(database_of: DatabaseOf, merchant: Merchant, origin: Origin) -> None:
    """In a commit of its own, the last thing before that of the merchant: no merchant's days stay open.

    If the second one fails, a row is left of a merchant that has no entries.
    """
    database = await database_of(merchant.cell)
    await database.execute(ADD_DAILY_CLOSE, merchant.mchid, origin.at)


async def change_row(
    connection: "Connection", table: Table[Row], key: str, change: Callable[[Row], Row], origin: Origin
) -> Row | None:
    """Write what `change` makes of the row with this key; None if there is none.

    The row is locked in between, so that a second operator's change is not lost.
    """
    (key_column,) = table.key
    record = await connection.fetchrow(
        f"SELECT {table.select} FROM {table.name} WHERE {key_column} = $1 FOR UPDATE", key
    )
    if record is None:
        return None
    before = table.read(record)
    after = change(before)
    if after != before:
        columns = [column for column in table.columns if column != key_column]
        await connection.execute(table.update_one(columns), *table.values(after, (key_column, *columns)))
        await write_change(connection, origin, table, key, before, after)
    return after


class Merchants:
    """The tables `app` and `merchant`."""

    def __init__(self, directory: Database, cipher: Cipher, database_of: DatabaseOf) -> None:
        self._database = directory
        self._database_of = database_of
        self._apps = app_table(cipher)

    async def app(self, appcode: str) -> App | None:
        rows = await self._database.fetch(f"SELECT {self._apps.select} FROM app WHERE appcode = $1", appcode)
        return self._apps.read(rows[0]) if rows else None

    async def apps(self) -> list[App]:
        rows = await self._database.fetch(f"SELECT {self._apps.select} FROM app ORDER BY created_at, appcode")
        return [self._apps.read(row) for row in rows]

    async def of_app(self, appcode: str) -> "Sequence[Merchant]":
        """The merchants of an app, oldest first."""
        rows = await self._database.fetch(
            f"{SELECT_MERCHANT} WHERE appcode = $1 ORDER BY created_at, mchid", appcode
        )
        return [MERCHANTS.read(row) for row in rows]

    async def merchant(self, mchid: str) -> Merchant | None:
        rows = await self._database.fetch(f"{SELECT_MERCHANT} WHERE mchid = $1", mchid)
        return MERCHANTS.read(rows[0]) if rows else None

    async def all(self) -> "Sequence[Merchant]":
        rows = await self._database.fetch(f"{SELECT_MERCHANT} ORDER BY created_at, mchid")
        return [MERCHANTS.read(row) for row in rows]

    async def cells(self) -> "Mapping[str, int]":
        """The cell of each merchant, by mchid."""
        return {row["mchid"]: row["cell"] for row in await self._database.fetch(CELLS)}

    async def emptiest_cell(self) -> int:
        """The number of the cell with the fewest merchants."""
        (row,) = await self._database.fetch(EMPTIEST_CELL)
        return int(row["cell"])

    async def add_app(self, app: App, origin: Origin) -> None:
        """Raises AlreadyThere."""
        table = self._apps
        try:
            async with self._database.transaction() as connection:
                await connection.execute(
                    table.insert_one("created_at"), *table.values(app, table.columns), origin.at
                )
                await write_change(connection, origin, table, app.appcode, None, app)
        except asyncpg.UniqueViolationError as error:
            raise AlreadyThere(f"app {app.appcode} exists") from error

    async def change_app(self, appcode: str, change: Callable[[App], App], origin: Origin) -> App | None:
        """Write what `change` makes of an app; None if there is none."""
        async with self._database.transaction() as connection:
            return await change_row(connection, self._apps, appcode, change, origin)

    async def add_merchant(self, merchant: Merchant, origin: Origin) -> None:
        """Raises AlreadyThere if the mchid exists or the app has a default merchant.

        LookupError if there is no app, or no such cell.
        """
        try:
            async with self._database.transaction() as connection:
                await insert_merchant(connection, merchant, origin)
                await begin_daily_close(self._database_of, merchant, origin)
        except asyncpg.UniqueViolationError as error:
            raise AlreadyThere(
                f"merchant {merchant.mchid} exists, or its app has a default merchant"
            ) from error
        except asyncpg.ForeignKeyViolationError as error:
            raise LookupError(f"no app {merchant.appcode}") from error

    async def change_merchant(
        self, mchid: str, change: Callable[[Merchant], Merchant], origin: Origin
    ) -> Merchant | None:
        """Write what `change` makes of a merchant; None if there is none."""
        async with self._database.transaction() as connection:
            return await change_row(connection, MERCHANTS, mchid, change, origin)
