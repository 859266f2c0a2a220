"""What a file is, by its content: its name and its declared type are never looked at.

Nothing is decoded. The dimensions of an image are read from its head: one that would fill the memory of the operator
who opens it is refused here.
"""

import io
from typing import Final

import imagesize
import puremagic

from tael.merchants.domain.document import ENDINGS, MAX_DOCUMENT_BYTES

#: What every accepted type begins with.
MAGIC_BYTES: Final = 4096
#: Enough for the metadata that cameras put before the dimensions. `imagesize` takes half a second for the worst head.
HEAD_BYTES: Final = 512 * 1024
#: 100 megapixels: 400 MB once decoded.
MAX_PIXELS: Final = 100_000_000


class UnusableDocument(ValueError):
    """The content cannot be stored. The message is a clause such as "must be …"."""


def media_type_of(content: bytes) -> str:
    """One of ENDINGS. Raises UnusableDocument."""
    if not content:
        raise UnusableDocument("is an empty file")
    if len(content) > MAX_DOCUMENT_BYTES:
        raise UnusableDocument(f"must have at most {MAX_DOCUMENT_BYTES} bytes")
    media_type = _by_magic(content)
    if media_type is None:
        raise UnusableDocument("must be a JPEG, PNG or WebP image, or a PDF file")
    if media_type.startswith("image/"):
        _check_dimensions(content)
    return media_type


def _by_magic(content: bytes) -> str | None:
    try:
        matches = puremagic.magic_string(content[:MAGIC_BYTES])
    except (puremagic.PureError, ValueError):
        return None
    return next((match.mime_type for match in matches if match.mime_type in ENDINGS), None)


def _check_dimensions(content: bytes) -> None:
    """Raises UnusableDocument."""
    try:
        width, height = imagesize.get(io.BytesIO(content[:HEAD_BYTES]))
    except Exception:  # of a broken head; the library names no base class
        width = height = -1
    if not (width > 0 and height > 0):
        raise UnusableDocument("is not a complete image")
    if width * height > MAX_PIXELS:
        raise UnusableDocument(f"must have at most {MAX_PIXELS // 1_000_000} megapixels")
