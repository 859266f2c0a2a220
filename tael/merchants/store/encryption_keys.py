"""The table `encryption_key`: which keys have encrypted something, so that a rotation uses none of them again."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from tael.audit_log.domain.entry import Origin, entry_of
from tael.audit_log.store.entries import write_audit_entries, write_change
from tael.db.database import Database
from tael.db.tables import Home, Table


@dataclass(frozen=True, slots=True)
class UsedKey:
    """A key that encrypts or has encrypted."""

    encryption_key_id: str
    noted_at: datetime


ENCRYPTION_KEYS: Final = Table("encryption_key", Home.DIRECTORY, UsedKey, ("encryption_key_id",))
NOTE: Final = f"{ENCRYPTION_KEYS.insert_one()} ON CONFLICT DO NOTHING RETURNING 1"
#: The first number is the program's: "tael", as in `db/migrate.py`.
TRY_LOCK: Final = "SELECT pg_try_advisory_lock(1952540012, 2)"
UNLOCK: Final = "SELECT pg_advisory_unlock(1952540012, 2)"


class KeysInUse(Exception):
    """Another command rotates or removes keys."""


class EncryptionKeys:
    """The table `encryption_key`, and the lock of the commands that change keys."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def used(self) -> frozenset[str]:
        """The ids of keys that must not be used again."""
        return frozenset(
            row["encryption_key_id"]
            for row in await self._database.fetch("SELECT encryption_key_id FROM encryption_key")
        )

    async def note(self, key_id: str, origin: Origin) -> None:
        """Commit that the key encrypts, or has encrypted."""
        key = UsedKey(key_id, origin.at)
        async with self._database.transaction() as connection:
            if await connection.fetch(NOTE, *ENCRYPTION_KEYS.values(key, ENCRYPTION_KEYS.columns)):
                await write_change(connection, origin, ENCRYPTION_KEYS, key_id, None, key)

    async def note_removal(self, key_id: str, origin: Origin) -> None:
        """Commit that the key is about to be removed from the file of an operator. Its row stays."""
        entry = entry_of(origin, ENCRYPTION_KEYS.name, key_id, {"is_in_file": True}, {"is_in_file": False})
        async with self._database.transaction() as connection:
            await write_audit_entries(connection, ENCRYPTION_KEYS.home, [entry] if entry else [])

    @asynccontextmanager
    async def locked(self) -> AsyncIterator[None]:
        """No other command changes keys within the block. The lock ends with the process. Raises KeysInUse."""
        failure: OSError | None = None
        async with self._database.connection(is_long=True) as connection:
            if not await connection.fetchval(TRY_LOCK):
                raise KeysInUse("another command is changing the encryption keys")
            try:
                yield
            except OSError as error:  # of a file: the connection would report it as the database's
                failure = error
            finally:
                await connection.execute(UNLOCK)
        if failure is not None:
            raise failure
