"""The ciphertexts in one column of a table: counted by key, and encrypted again under the current one.

A ciphertext is replaced only if it is still the one that was read, so that a change at the same time is never undone.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final

from tael.base.cipher import KEY_ID_FROM, Cipher, DecryptionFailed
from tael.base.key_ring import KEY_ID_BYTES
from tael.db.database import Database
from tael.db.tables import Table

#: Rows in memory at once.
BATCH: Final = 100


@dataclass(frozen=True, slots=True)
class Pass:
    """What one pass over some ciphertexts did. `unreadable` names places, at most MAX_NAMED of them."""

    replaced: int = 0
    changed_meanwhile: int = 0
    unreadable: tuple[str, ...] = ()

    def __add__(self, other: "Pass") -> "Pass":
        return Pass(
            self.replaced + other.replaced,
            self.changed_meanwhile + other.changed_meanwhile,
            (self.unreadable + other.unreadable)[:MAX_NAMED],
        )


MAX_NAMED: Final = 20


class CiphertextColumn:
    """The column `column` of `table`, whose primary key has texts only."""

    def __init__(self, database: Database, cipher: Cipher, table: Table[Any], column: str) -> None:
        self.table: Final = table
        self.column: Final = column
        self._database = database
        self._cipher = cipher
        self._key_id = f"encode(substring({column} FROM {KEY_ID_FROM} FOR {KEY_ID_BYTES}), 'hex')"

    async def counts(self) -> dict[str, int]:
        """How many ciphertexts there are, by the id of their key."""
        rows = await self._database.fetch(
            f"SELECT {self._key_id} AS key_id, count(*) AS rows FROM {self.table.name}"
            f" WHERE {self.column} IS NOT NULL GROUP BY 1"
        )
        return {row["key_id"]: row["rows"] for row in rows}

    async def encrypt_again(self, key_id: str) -> Pass:
        """Encrypt under the current key, whose id is `key_id`, everything that is under another one."""
        done, last = Pass(), tuple("" for _ in self.table.key)
        while batch := await self._batch(key_id, last):
            for row, ciphertext in batch:
                done += await self._replace(row, ciphertext)
                last = row
        return done

    async def _batch(self, key_id: str, last: Sequence[str]) -> list[tuple[tuple[str, ...], bytes]]:
        """Primary keys behind `last`, in order, with ciphertexts under other keys than `key_id`."""
        key = ", ".join(self.table.key)
        places = ", ".join(f"${place}" for place in range(2, 2 + len(self.table.key)))
        rows = await self._database.fetch(
            f"SELECT {key}, {self.column} FROM {self.table.name}"
            f" WHERE {self.column} IS NOT NULL AND {self._key_id} <> $1 AND ({key}) > ({places})"
            f" ORDER BY {key} LIMIT {BATCH}",
            key_id,
            *last,
        )
        return [(tuple(row[name] for name in self.table.key), row[self.column]) for row in rows]

    async def _replace(self, row: tuple[str, ...], ciphertext: bytes) -> Pass:
        place = self.table.place(self.column, row)
        try:
            secret = self._cipher.decrypt(ciphertext, place)
        except DecryptionFailed:
            return Pass(unreadable=(" ".join((f"{self.table.name}.{self.column}", *row)),))
        is_row = " AND ".join(self._conditions())
        rows = await self._database.fetch(
            f"UPDATE {self.table.name} SET {self.column} = $1 WHERE {self.column} = $2 AND {is_row} RETURNING 1",
            self._cipher.encrypt(secret, place),
            ciphertext,
            *row,
        )
        return Pass(replaced=1) if rows else Pass(changed_meanwhile=1)

    def _conditions(self) -> Iterator[str]:
        for place, name in enumerate(self.table.key, 3):
            yield f"{name} = ${place}"
