"""All ciphertexts of a deployment: those in tables, and the contents of documents."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Final

from tael.base.cipher import DecryptionFailed
from tael.db.ciphertexts import Pass
from tael.merchants.domain.document import Document
from tael.operations.store import Store

#: Documents in one statement; their heads are read at once, by the few threads of their place.
BATCH: Final = 100
#: Stands for the key of a content whose head is not in our format.
NO_KEY: Final = "unreadable"


@dataclass(frozen=True, slots=True)
class Counts:
    """How many ciphertexts are under each key, by its id."""

    rows: Counter[str]
    documents: Counter[str]
    missing_documents: int  #: a row has no content in the place of documents

    def under(self, key_id: str) -> int:
        return self.rows[key_id] + self.documents[key_id]


async def count_ciphertexts(store: Store) -> Counts:
    """Raises OSError if documents cannot be read."""
    rows: Counter[str] = Counter()
    for column in store.ciphertexts:
        rows.update(await column.counts())
    documents: Counter[str] = Counter()
    missing = 0
    async for batch in _documents(store):
        ids = await asyncio.gather(*(_key_id(store, document) for document in batch))
        documents.update(key_id for key_id in ids if key_id is not None)
        missing += ids.count(None)
    return Counts(rows, documents, missing)


async def encrypt_all_again(store: Store, key_id: str) -> Pass:
    """One pass: encrypt under the current key, whose id is `key_id`, all that is under another. Raises OSError."""
    done = Pass()
    for column in store.ciphertexts:
        done += await column.encrypt_again(key_id)
    async for batch in _documents(store):
        ids = await asyncio.gather(*(_key_id(store, document) for document in batch))
        for document, found in zip(batch, ids, strict=True):
            if found not in (key_id, None):
                done += await _encrypt_document_again(store, document)
    return done


async def _documents(store: Store) -> AsyncIterator[list[Document]]:
    last = ""
    while batch := await store.applications.all_documents(last, BATCH):
        yield batch
        last = batch[-1].document_id


async def _key_id(store: Store, document: Document) -> str | None:
    try:
        return await store.document_files.key_id(document)
    except DecryptionFailed:
        return NO_KEY


async def _encrypt_document_again(store: Store, document: Document) -> Pass:
    try:
        await store.document_files.encrypt_again(document)
    except DecryptionFailed:
        return Pass(unreadable=(f"document {document.document_id}",))
    return Pass(replaced=1)
