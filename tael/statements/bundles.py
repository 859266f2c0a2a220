"""The files in a zip, as texts in memory. Nothing is written to a disk.

A zip is small until it is opened: the number of files, their sizes and their compression are limited by what is really
decompressed, whatever its directory claims. Names have no paths, so that a format can check each of them.
"""

import re
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from io import BytesIO
from typing import Final
from zipfile import ZIP_DEFLATED, ZIP_STORED, BadZipFile, ZipFile, ZipInfo

from tael.channels.statements import MAX_FILE_BYTES as MAX_BYTES
from tael.channels.statements import StatementRefused

ZIP: Final = b"PK\x03\x04"
MAX_MEMBERS: Final = 1000
#: Of decompressed to compressed bytes, above this many decompressed ones.
MAX_RATIO: Final = 200
RATIO_FROM: Final = 64 * 1024
PIECE: Final = 64 * 1024
NAME: Final = re.compile(r"[A-Za-z0-9_-][A-Za-z0-9_.-]{0,127}", re.ASCII)
#: The end of a zip without a comment: its signature, and where in it the number of files is.
END: Final = b"PK\x05\x06"
END_BYTES: Final = 22
#: The signature before the end of a zip whose end has larger numbers.
LOCATOR: Final = b"PK\x06\x07"
LOCATOR_BYTES: Final = 20
ENCRYPTED: Final = 0x1


@dataclass(frozen=True, slots=True)
class Member:
    name: str
    content: bytes


def members_of(content: bytes) -> tuple[Member, ...]:
    """All files of a zip in their order. Raises StatementRefused."""
    _check_end(content)
    try:
        with ZipFile(BytesIO(content)) as archive:
            entries = archive.infolist()
            _check_entries(entries)
            return tuple(_members(archive, entries))
    except (BadZipFile, EOFError, OSError, RuntimeError, ValueError, zlib.error):
        raise StatementRefused("the zip file is incomplete or damaged") from None


def _check_end(content: bytes) -> None:
    """The directory is read into memory at once, so the number of its entries is checked before."""
    end = content[-END_BYTES:]
    if not end.startswith(END) or len(end) != END_BYTES:
        raise StatementRefused("the zip file is incomplete, or has a comment")
    count = int.from_bytes(end[10:12], "little")
    is_long = content[-END_BYTES - LOCATOR_BYTES : -END_BYTES].startswith(LOCATOR)
    directory_bytes = int.from_bytes(end[12:16], "little")
    if is_long or count > MAX_MEMBERS or directory_bytes > MAX_MEMBERS * 512:
        raise StatementRefused(f"the zip file has more than {MAX_MEMBERS} files")


def _check_entries(entries: list[ZipInfo]) -> None:
    if len(entries) > MAX_MEMBERS:
        raise StatementRefused(f"the zip file has more than {MAX_MEMBERS} files")
    names = [entry.filename for entry in entries]
    for entry in entries:
        if NAME.fullmatch(entry.filename) is None:
            raise StatementRefused(
                f"the zip file has a file with an unexpected name: {entry.filename[:128]!r}"
            )
        if names.count(entry.filename) > 1:
            raise StatementRefused(f"the zip file has {entry.filename} twice")
        if entry.flag_bits & ENCRYPTED:
            raise StatementRefused("the zip file is encrypted")
        if entry.compress_type not in (ZIP_STORED, ZIP_DEFLATED):
            raise StatementRefused(f"{entry.filename} is compressed in an unexpected way")


def _members(archive: ZipFile, entries: list[ZipInfo]) -> Iterator[Member]:
    remaining = MAX_BYTES
    for entry in entries:
        limit = min(remaining, max(RATIO_FROM, entry.compress_size * MAX_RATIO))
        content = BytesIO()
        with archive.open(entry) as file:
            while piece := file.read(PIECE):
                content.write(piece)
                if content.tell() > limit:
                    raise StatementRefused(f"{entry.filename} is too large, or compressed too much")
        remaining -= content.tell()
        yield Member(entry.filename, content.getvalue())
