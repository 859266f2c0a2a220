"""The contents of documents: encrypted files in one folder, named by their ids, readable by their owner only.

A file is written completely, under a temporary name, before it gets its own, and before its row exists. A crash in
between leaves a file without a row, which nothing reads. No part of a path comes from a request.
"""

import os
from contextlib import suppress
from pathlib import Path
from typing import Final

from tael.base.cipher import Cipher
from tael.base.errors import DocumentsUnavailable
from tael.merchants.domain.document import Document

UNFINISHED: Final = ".part"


class DocumentFiles:
    """The folder of documents. Its methods block: call them in a thread. Without a folder, none can be stored."""

    def __init__(self, folder: Path | None, cipher: Cipher) -> None:
        self._folder = folder
        self._cipher = cipher

    def write(self, document: Document, content: bytes) -> None:
        """Raises DocumentsUnavailable."""
        if self._folder is None:
            raise DocumentsUnavailable("the operator has set up no folder for documents")
        path = self._path(self._folder, document)
        try:
            _write_durably(path, self._cipher.encrypt_content(content, _name(document)))
        except OSError as error:
            raise DocumentsUnavailable from error

    def read(self, document: Document) -> bytes:
        """The content. Raises OSError, DecryptionFailed."""
        if self._folder is None:
            raise FileNotFoundError("TAEL_DOCUMENTS is not set")
        return self._cipher.decrypt_content(self._path(self._folder, document).read_bytes(), _name(document))

    def remove(self, document: Document) -> None:
        """After a row could not be written. The file may be missing."""
        if self._folder is not None:
            with suppress(OSError):
                self._path(self._folder, document).unlink(missing_ok=True)

    @staticmethod
    def _path(folder: Path, document: Document) -> Path:
        return folder / document.document_id


def _name(document: Document) -> bytes:
    """What a ciphertext is bound to, so that two files cannot be exchanged."""
    return f"{document.mchid}/{document.document_id}".encode()


def _write_durably(path: Path, content: bytes) -> None:
    """The whole file or none, also after a power failure."""
    part = path.with_name(path.name + UNFINISHED)
    try:
        with os.fdopen(os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        part.rename(path)
    except OSError:
        part.unlink(missing_ok=True)
        raise
    _sync(path.parent)


def _sync(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
