"""A database with at least two ciphertexts in each column that has any, and what is stored there."""

from dataclasses import dataclass, replace
from datetime import timedelta
from pathlib import Path

from tael.base.cipher import Cipher, associated_data
from tael.base.secret import Secret
from tael.merchants.credential_cache import CredentialCache
from tael.merchants.domain.account import PreviousAccount
from tael.merchants.domain.document import DocumentKind, Scan
from tael.merchants.domain.merchant import PreviousKey
from tael.merchants.sign_up import SignUpContext, sign_up
from tael.merchants.store.document_files import DocumentFiles
from tael.merchants.store.document_places import Folder
from tael.operations.store import Store
from tests.support import citus
from tests.support.store import CIPHER
from tests.support.values import NOW, ORIGIN, an_app
from tests.unit.merchants.test_application import an_application

#: The keys of the schema's tables, from the catalog: not from the declarations that are tested.
KEYS = """
SELECT c.table_name, array_agg(k.column_name::text ORDER BY k.ordinal_position) AS key
FROM information_schema.table_constraints AS c
JOIN information_schema.key_column_usage AS k USING (constraint_schema, constraint_name, table_name)
WHERE c.table_schema IN ('public', 'cell_00') AND c.constraint_type = 'PRIMARY KEY' GROUP BY 1
"""
COLUMNS = f"""
SELECT table_name, column_name FROM information_schema.columns
WHERE table_schema IN ('public', 'cell_00') AND column_name LIKE '%\\_encrypted' AND table_name !~ '{citus.SHARD}'
ORDER BY 1, 2
"""
SCANS = [Scan(kind, "application/pdf", kind.value.encode() * 9) for kind in list(DocumentKind)[:3]]


@dataclass(frozen=True, slots=True)
class Stored:
    """A ciphertext in the database."""

    table: str
    column: str
    key: tuple[str, ...]
    ciphertext: bytes

    @property
    def place(self) -> bytes:
        return associated_data(self.table, self.column, self.key)


async def with_every_ciphertext(store: Store, folder: Path, cipher: Cipher = CIPHER) -> None:
    """Apps and accounts with previous keys, applications with documents in `folder`, link keys."""
    previous = PreviousKey(Secret("the key before"), NOW + timedelta(days=1))
    for appcode in ("rotated1", "rotated2"):
        await store.merchants.add_app(an_app(appcode, previous_key=previous, signup_currency="HKD"), ORIGIN)
    await store.accounts.change(
        lambda _: True,
        lambda account: replace(account, previous=PreviousAccount(account, NOW + timedelta(days=1))),
        ORIGIN,
    )
    await signed_up(store, folder, cipher, "x")
    await signed_up(store, folder, cipher, "y")
    await store.link_keys.with_current(NOW)
    await store.link_keys.rotate(ORIGIN, NOW + timedelta(days=61))


async def signed_up(store: Store, folder: Path, cipher: Cipher, name: str) -> str:
    """The mchid of a merchant that signs up in a process with these keys."""
    files = DocumentFiles(Folder(folder), cipher)
    credentials = CredentialCache(store.merchants, store.accounts, store.maintenance_windows, ttl_s=0)
    context = SignUpContext(store.merchants, store.applications, files, credentials)
    application = replace(an_application(), username=name, license_number=name)
    return await sign_up(application, SCANS, an_app("rotated1", signup_currency="HKD"), ORIGIN, context)


async def ciphertexts_in(store: Store) -> list[Stored]:
    """All of the schema's columns, by table, column and key."""
    keys = {row["table_name"]: row["key"] for row in await store.directory.fetch(KEYS)}
    found = []
    for table, column in [tuple(row) for row in await store.directory.fetch(COLUMNS)]:
        names = ", ".join(keys[table])
        rows = await store.directory.fetch(
            f"SELECT {names}, {column} FROM {table} WHERE {column} IS NOT NULL ORDER BY {names}"
        )
        found += [Stored(table, column, tuple(row)[:-1], row[column]) for row in rows]
    return found
