"""The documents of a merchant: scans and photographs that it sends with its sign-up or later. Pure."""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Final

MAX_DOCUMENT_BYTES: Final = 10 * 1024 * 1024
#: With all earlier ones. A merchant cannot fill the disk.
MAX_DOCUMENTS_OF_MERCHANT: Final = 64
#: The accepted types, each with the ending of a saved file.
ENDINGS: Final[Mapping[str, str]] = {
    "image/jpeg": "jpg",
    "image/png": "png",
    "image/webp": "webp",
    "application/pdf": "pdf",
}


class DocumentKind(StrEnum):
    """What a document shows. The values are stored, and begin the names of saved files."""

    ID_CARD = "id_card"
    LICENSE = "license"
    GOODS = "goods"
    SHOP = "shop"
    CREDIT_CARD = "credit_card"
    SHOPKEEPER = "shopkeeper"
    OTHER_1 = "other_1"
    OTHER_2 = "other_2"


@dataclass(frozen=True, slots=True)
class Scan:
    """The content of a document whose type is known."""

    kind: DocumentKind
    media_type: str  #: one of ENDINGS
    content: bytes

    @property
    def sha256(self) -> str:
        """In hex."""
        return hashlib.sha256(self.content).hexdigest()

    def __repr__(self) -> str:
        return f"Scan({self.kind}, {self.media_type}, {len(self.content)} bytes)"


@dataclass(frozen=True, slots=True)
class Document:
    """A stored document without its content. The newest of a kind is the current one; earlier ones are kept."""

    document_id: str
    mchid: str
    kind: DocumentKind
    media_type: str
    size_bytes: int
    sha256: str
    created_at: datetime
