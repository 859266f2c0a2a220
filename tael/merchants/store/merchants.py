"""Apps and merchants. Keys are encrypted in the rows."""

from collections.abc import Callable
from datetime import datetime
from typing import TYPE_CHECKING, Final

import asyncpg

from tael.base.cipher import Cipher
from tael.db.database import Database
from tael.db.tables import Codec, Home, Table
from tael.merchants.domain.merchant import App, Merchant, Operation, PreviousKey

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tael.db.database import Connection

#: When the row was added: rows are listed in this order.
CREATED_AT: Final = {"created_at": "timestamptz"}


def app_table(cipher: Cipher) -> Table[App]:
    """The table `app`, whose keys `cipher` encrypts."""
    return Table(
        "app",
        Home.DIRECTORY,
        App,
        ("appcode",),
        codecs={
            "key": Codec({"key_encrypted": "bytea"}, lambda key: (cipher.encrypt(key),), cipher.decrypt),
            "previous_key": Codec(
                {"previous_key_encrypted": "bytea", "previous_key_until": "timestamptz"},
                lambda previous: (cipher.encrypt(previous.key), previous.until) if previous else (None, None),
                lambda encrypted, until: PreviousKey(cipher.decrypt(encrypted), until) if encrypted else None,
            ),
            "allowed_addresses": Codec(
                {"allowed_addresses": "text[]"}, lambda networks: (list(networks),), tuple
            ),
        },
        internal=CREATED_AT,
    )


#: Not among an app's settings: each has a statement of its own, so that a change of settings undoes none of them.
APP_KEYS: Final = ("key_encrypted", "previous_key_encrypted", "previous_key_until")

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
#: What an operator may change besides the state.
CHANGED: Final = (
    "max_amount_minor",
    "denied",
    "unmatched_payments",
    "max_per_second",
    "max_per_minute",
)
SET_MERCHANT: Final = MERCHANTS.update_one(CHANGED)
SET_MERCHANT_AND_STATE: Final = MERCHANTS.update_one(("state", *CHANGED))
SELECT_MERCHANT: Final = f"SELECT {MERCHANTS.select} FROM merchant"
#: The merchant's first daily close.
ADD_DAILY_CLOSE: Final = "INSERT INTO daily_close (mchid, close_at) VALUES ($1, $2)"


class AlreadyThere(Exception):
    """A row with this key exists, or a contract's constraint forbids a second one."""


async def insert_merchant(connection: "Connection", merchant: Merchant, at: datetime) -> None:
    """In the caller's transaction."""
    await connection.execute(ADD_MERCHANT, *MERCHANTS.values(merchant, MERCHANTS.columns), at)
    await connection.execute(ADD_DAILY_CLOSE, merchant.mchid, at)


class Merchants:
    """The tables `app` and `merchant`."""

    def __init__(self, database: Database, cipher: Cipher) -> None:
        self._database = database
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

    async def add_app(self, app: App, at: datetime) -> None:
        """Raises AlreadyThere."""
        try:
            await self._database.execute(
                self._apps.insert_one("created_at"), *self._apps.values(app, self._apps.columns), at
            )
        except asyncpg.UniqueViolationError as error:
            raise AlreadyThere(f"app {app.appcode} exists") from error

    async def set_app(self, app: App) -> None:
        """Write the settings of an app, but neither its keys nor whether it is disabled."""
        table, kept = self._apps, ("appcode", *APP_KEYS, "is_disabled")
        changed = [column for column in table.columns if column not in kept]
        await self._database.execute(table.update_one(changed), *table.values(app, (*table.key, *changed)))

    async def disable_app(self, appcode: str, is_disabled: bool) -> App | None:
        """The app as it is stored, or None if there is none."""
        rows = await self._database.fetch(
            f"UPDATE app SET is_disabled = $2 WHERE appcode = $1 RETURNING {self._apps.select}",
            appcode,
            is_disabled,
        )
        return self._apps.read(rows[0]) if rows else None

    async def change_keys(self, appcode: str, change: Callable[[App], App]) -> App | None:
        """Write the keys of `change(app)`; None if there is no app. Changes of one app are made one after another."""
        table = self._apps
        async with self._database.transaction() as connection:
            row = await connection.fetchrow(
                f"SELECT {table.select} FROM app WHERE appcode = $1 FOR UPDATE", appcode
            )
            if row is None:
                return None
            app = change(table.read(row))
            await connection.execute(table.update_one(APP_KEYS), *table.values(app, (*table.key, *APP_KEYS)))
        return app

    async def add_merchant(self, merchant: Merchant, at: datetime) -> None:
        """Raises AlreadyThere if the mchid exists or the app has a default merchant, LookupError if there is no app."""
        try:
            async with self._database.transaction() as connection:
                await insert_merchant(connection, merchant, at)
        except asyncpg.UniqueViolationError as error:
            raise AlreadyThere(
                f"merchant {merchant.mchid} exists, or its app has a default merchant"
            ) from error
        except asyncpg.ForeignKeyViolationError as error:
            raise LookupError(f"no app {merchant.appcode}") from error

    async def set_merchant(self, merchant: Merchant, *, keeps_state: bool = False) -> None:
        """Write what an operator may change. With `keeps_state`, a decision made meanwhile is not overwritten."""
        columns = CHANGED if keeps_state else ("state", *CHANGED)
        statement = SET_MERCHANT if keeps_state else SET_MERCHANT_AND_STATE
        await self._database.execute(statement, *MERCHANTS.values(merchant, (*MERCHANTS.key, *columns)))
