"""The table `link_key`: the keys of the tokens in the addresses of payers' pages, encrypted.

A unique index allows one current key. Its first use creates it; of two processes at once one inserts, and both read it.
"""

from datetime import datetime
from typing import Final

from tael.audit_log.domain.entry import Origin
from tael.audit_log.store.entries import write_change
from tael.base import ids
from tael.base.cipher import Cipher, associated_data
from tael.base.secret import Secret
from tael.db.database import Database
from tael.db.tables import Codec, Home, Table
from tael.payments.domain.page_urls import LinkKey

#: Rotations are rare; each keeps its key for weeks, and all of them are in every process's memory.
MAX_LINK_KEYS: Final = 16
#: The first of two numbers of an advisory lock is the program's: "tael", as in `db/migrate.py`.
LOCK: Final = "SELECT pg_advisory_xact_lock(1952540012, 1)"


class TooManyLinkKeys(Exception):
    """There are MAX_LINK_KEYS already, whose addresses still work."""


def link_key_table(cipher: Cipher) -> Table[LinkKey]:
    """The table, whose keys `cipher` encrypts."""

    def place(row: tuple[str, ...]) -> bytes:
        return associated_data("link_key", "key_encrypted", row)

    return Table(
        "link_key",
        Home.DIRECTORY,
        LinkKey,
        ("key_id",),
        codecs={
            "key": Codec(
                {"key_encrypted": "bytea"},
                lambda key, row: (cipher.encrypt(key, place(row)),),
                lambda ciphertext, row: cipher.decrypt(ciphertext, place(row)),
                is_bound=True,
            )
        },
    )


RETIRE_CURRENT: Final = "UPDATE link_key SET accepted_until = $1 WHERE accepted_until IS NULL"
DELETE_ENDED: Final = "DELETE FROM link_key WHERE accepted_until <= $1"


class LinkKeys:
    """The table `link_key`."""

    def __init__(self, database: Database, cipher: Cipher) -> None:
        self._database = database
        self._table = link_key_table(cipher)

    async def all(self) -> tuple[LinkKey, ...]:
        """The current key, if there is one yet, and those before it, newest first. Raises DecryptionFailed."""
        rows = await self._database.fetch(
            f"SELECT {self._table.select} FROM link_key ORDER BY created_at DESC, key_id LIMIT $1",
            MAX_LINK_KEYS,
        )
        return tuple(self._table.read(row) for row in rows)

    async def with_current(self, now: datetime) -> tuple[LinkKey, ...]:
        """All keys, after a current one was created if there was none."""
        keys = await self.all()
        if any(key.accepted_until is None for key in keys):
            return keys
        insert = f"{self._table.insert_one()} ON CONFLICT DO NOTHING"
        await self._database.execute(insert, *self._table.values(_new_key(now), self._table.columns))
        return await self.all()

    async def rotate(self, origin: Origin, accepted_until: datetime) -> LinkKey:
        """A new current key. The one before is accepted until then; keys whose time has passed are deleted.

        Raises TooManyLinkKeys.
        """
        table, new = self._table, _new_key(origin.at)
        async with self._database.transaction() as connection:
            await connection.execute(LOCK)
            await connection.execute(DELETE_ENDED, origin.at)
            count = await connection.fetchval("SELECT count(*) FROM link_key")
            if count >= MAX_LINK_KEYS:
                raise TooManyLinkKeys
            await connection.execute(RETIRE_CURRENT, accepted_until)
            await connection.execute(table.insert_one(), *table.values(new, table.columns))
            await write_change(connection, origin, table, new.key_id, None, new)
        return new


def _new_key(now: datetime) -> LinkKey:
    return LinkKey(ids.link_key_id(), Secret(ids.secret_bytes().hex()), now)
