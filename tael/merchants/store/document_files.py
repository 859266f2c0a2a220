"""The contents of documents, encrypted, in a folder or a bucket, named by the documents' ids.

A content is written completely before its row exists. A crash in between leaves one without a row, which nothing reads.
"""

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import Final, TypeVar

import structlog

from tael.base.admission import without_place
from tael.base.cipher import HEADER_BYTES, Cipher, associated_data, key_id_of
from tael.base.errors import DocumentsUnavailable
from tael.merchants.domain.document import Document
from tael.merchants.store.document_places import Place

log = structlog.get_logger()
#: A place that hangs occupies no threads of anything else.
THREADS: Final = 4

NO_PLACE: Final = "TAEL_DOCUMENTS is not set"

Result = TypeVar("Result")


class DocumentFiles:
    """The documents' contents. Without a place, none can be stored."""

    def __init__(self, place: Place | None, cipher: Cipher) -> None:
        self._place = place
        self._cipher = cipher
        self._threads = ThreadPoolExecutor(THREADS, "documents")

    async def write(self, document: Document, content: bytes) -> None:
        """Raises DocumentsUnavailable."""
        place = self._place
        if place is None:
            raise DocumentsUnavailable("the operator has set up no place for documents")
        try:
            await self._in_thread(
                lambda: place.write(
                    document.document_id, self._cipher.encrypt_content(content, _place(document))
                )
            )
        except OSError as error:
            log.warning("documents.unavailable", reason=str(error))
            raise DocumentsUnavailable from error

    async def read(self, document: Document) -> bytes:
        """The content. Raises OSError, DecryptionFailed."""
        place = self._place
        if place is None:
            raise OSError(NO_PLACE)
        return await self._in_thread(
            lambda: self._cipher.decrypt_content(place.read(document.document_id), _place(document))
        )

    async def key_id(self, document: Document) -> str | None:
        """The id of the key that its content is encrypted with; None if there is no content.

        Raises OSError, DecryptionFailed.
        """
        place = self._place
        if place is None:
            raise OSError(NO_PLACE)
        try:
            head = await self._in_thread(lambda: place.read_head(document.document_id, HEADER_BYTES))
        except FileNotFoundError:
            return None
        return key_id_of(head)

    async def encrypt_again(self, document: Document) -> None:
        """Replace its content by the same under the first key. Its row exists, so that nothing else writes it.

        Raises OSError, DecryptionFailed.
        """
        place = self._place
        if place is None:
            raise OSError(NO_PLACE)
        content = await self.read(document)
        await self._in_thread(
            lambda: place.write(document.document_id, self._cipher.encrypt_content(content, _place(document)))
        )

    async def remove(self, document: Document) -> None:
        """Because its row does not exist. It may be missing; one that cannot be removed stays."""
        place = self._place
        if place is not None:
            with suppress(OSError):
                await self._in_thread(lambda: place.remove(document.document_id))

    async def delete(self, document: Document) -> None:
        """Because it is purged. It may be missing. Raises OSError."""
        place = self._place
        if place is None:
            raise OSError(NO_PLACE)
        await self._in_thread(lambda: place.remove(document.document_id))

    async def _in_thread(self, work: Callable[[], Result]) -> Result:
        with without_place():
            return await asyncio.get_running_loop().run_in_executor(self._threads, work)


def _place(document: Document) -> bytes:
    """What a ciphertext is bound to, so that two contents cannot be exchanged."""
    return associated_data("merchant_document", "content", (document.mchid, document.document_id))
