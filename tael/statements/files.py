"""The file of a statement: plain, gzip or zip, in UTF-8 or GBK. It is kept compressed, and read line by line.

Sizes are limited before anything is decoded, so a small file cannot become a large one in memory.
"""

import codecs
import gzip
import hashlib
import io
import zlib
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import BinaryIO, Final

from tael.channels.statements import MAX_FILE_BYTES as MAX_BYTES
from tael.channels.statements import BundleMember, StatementRefused
from tael.statements.bundles import ZIP, Member, members_of

MAX_LINE: Final = 16_384
PIECE: Final = 64 * 1024
GZIP: Final = b"\x1f\x8b"
#: Tried in this order. The second contains GBK.
CHARSETS: Final = ("utf-8-sig", "gb18030")


@dataclass(frozen=True, slots=True)
class StatementFile:
    """A file that was read completely. `packed` is gzip: the file itself if `is_packed`, else made from it."""

    packed: bytes
    is_packed: bool
    sha256: str  #: of the decompressed content, in hexadecimal
    size: int  #: of the decompressed content, in bytes
    line_count: int
    charset: str  #: "" of a zip
    members: tuple[BundleMember, ...] = ()  #: the files in it, if it is a zip

    def lines(self) -> Iterator[str]:
        """The lines with their ends. Raises StatementRefused for one that is too long, and for a zip."""
        if self.members:
            raise StatementRefused("a zip file, which has several")
        with gzip.open(io.BytesIO(self.packed)) as content:
            yield from _lines(content, self.charset)


def read_file(file: BinaryIO) -> StatementFile:
    """Read a file from its beginning. Raises StatementRefused if it is too large, incomplete, or not a text."""
    raw = file.read(len(ZIP))
    if raw == ZIP:
        return _read_zip(raw + file.read(MAX_BYTES))
    is_packed = raw.startswith(GZIP)
    if is_packed:
        packed = raw + file.read(MAX_BYTES)
        if len(packed) > MAX_BYTES:
            raise _too_large()
    else:
        packed = _packed(raw, file)
    digest, size, lines = _measured(packed)
    if not size:
        raise StatementRefused("the file is empty")
    return StatementFile(packed, is_packed, digest, size, lines, _charset(partial(_pieces, packed)))


def _read_zip(content: bytes) -> StatementFile:
    if len(content) > MAX_BYTES:
        raise _too_large()
    packed = _packed(content, io.BytesIO())
    digest, size, _ = _measured(packed)
    found = members_of(content)
    members = tuple(BundleMember(each.name, partial(_lines_of_member, each)) for each in found)
    count = sum(each.content.count(b"\n") for each in found)
    return StatementFile(packed, False, digest, size, count, "", members)


def _lines_of_member(member: Member) -> Iterator[str]:
    """Raises StatementRefused, also for a text in another charset."""
    return _lines(io.BytesIO(member.content), _charset(lambda: [member.content]))


def _lines(content: io.BytesIO | gzip.GzipFile, charset: str) -> Iterator[str]:
    text = io.TextIOWrapper(content, charset, newline="\n")
    number = 0
    while line := text.readline(MAX_LINE):
        number += 1
        if len(line) == MAX_LINE:
            raise StatementRefused(f"the line has more than {MAX_LINE} characters", number)
        yield line


def original_of(packed: bytes, *, is_packed: bool) -> bytes:
    """The file as it arrived."""
    return packed if is_packed else gzip.decompress(packed)


def is_stored_content(packed: bytes, sha256: str) -> bool:
    """Whether the decompressed content has this digest."""
    return _measured(packed)[0] == sha256


def _packed(head: bytes, file: BinaryIO) -> bytes:
    """The file compressed, without a time, so that the same content is the same bytes."""
    target = io.BytesIO()
    size = len(head)
    with gzip.GzipFile(fileobj=target, mode="wb", compresslevel=4, mtime=0) as packing:
        packing.write(head)
        while piece := file.read(PIECE):
            size += len(piece)
            if size > MAX_BYTES:
                raise _too_large()
            packing.write(piece)
    return target.getvalue()


def _measured(packed: bytes) -> tuple[str, int, int]:
    """Digest, size and number of line ends of the content."""
    digest = hashlib.sha256()
    size = lines = 0
    for piece in _pieces(packed):
        digest.update(piece)
        size += len(piece)
        lines += piece.count(b"\n")
    return digest.hexdigest(), size, lines


def _charset(pieces: Callable[[], Iterable[bytes]]) -> str:
    for charset in CHARSETS:
        decode: Callable[..., str] = codecs.getincrementaldecoder(charset)().decode
        try:
            for piece in pieces():
                decode(piece)
            decode(b"", final=True)
        except UnicodeDecodeError:
            continue
        return charset
    raise StatementRefused("not a text in UTF-8 or GBK")


def _pieces(packed: bytes) -> Iterator[bytes]:
    """The content, decompressed. Raises StatementRefused."""
    size = 0
    try:
        with gzip.open(io.BytesIO(packed)) as content:
            while piece := content.read(PIECE):
                size += len(piece)
                if size > MAX_BYTES:
                    raise _too_large()
                yield piece
    except (EOFError, zlib.error, gzip.BadGzipFile):
        raise StatementRefused("the gzip file is incomplete or damaged") from None


def _too_large() -> StatementRefused:
    return StatementRefused(f"more than {MAX_BYTES // 1024 // 1024} MiB")
