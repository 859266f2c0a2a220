"""A zip is read in memory, whatever its directory claims: limited in files, sizes and compression, without paths."""

import hashlib
import struct
from io import BytesIO
from typing import Final
from zipfile import ZIP_BZIP2, ZIP_DEFLATED, ZIP_STORED, ZipFile, ZipInfo

import pytest

from tael.channels.statements import StatementRefused
from tael.statements import bundles
from tael.statements.files import is_stored_content, original_of, read_file

TEXTS: Final = {"list.csv": "交易时间,商户号\n".encode("gbk"), "lines.csv": "\ufeff茶\n2\n".encode()}


def zipped(*files: tuple[str, bytes], method: int = ZIP_DEFLATED, comment: bytes = b"") -> bytes:
    target = BytesIO()
    with ZipFile(target, "w", method) as archive:
        for name, content in files:
            archive.writestr(ZipInfo(name, (2026, 1, 5, 0, 0, 0)), content, method)
        archive.comment = comment
    return target.getvalue()


@pytest.mark.parametrize("method", [ZIP_STORED, ZIP_DEFLATED])
def test_the_files_of_a_zip_are_read_each_in_its_charset(method: int) -> None:
    original = zipped(*TEXTS.items(), method=method)
    file = read_file(BytesIO(original))
    texts = {member.name: list(member.lines()) for member in file.members}
    assert texts == {"list.csv": ["交易时间,商户号\n"], "lines.csv": ["茶\n", "2\n"]}
    assert {member.name: list(member.lines()) for member in file.members} == texts
    assert (file.sha256, file.size, file.line_count) == (
        hashlib.sha256(original).hexdigest(),
        len(original),
        3,
    )
    assert original_of(file.packed, is_packed=file.is_packed) == original
    assert is_stored_content(file.packed, file.sha256)
    with pytest.raises(StatementRefused, match="a zip file"):
        list(file.lines())


def noise(size: int) -> bytes:
    """The same each time, and not compressible."""
    return b"".join(
        hashlib.sha256(bytes([place % 256, place // 256])).digest() for place in range(size // 32)
    )


def encrypted(content: bytes) -> bytes:
    """With the flag of encryption in both headers of the only file."""
    directory = content.rindex(b"PK\x01\x02")
    changed = bytearray(content)
    changed[6] |= 1
    changed[directory + 8] |= 1
    return bytes(changed)


def claiming(content: bytes, size: int) -> bytes:
    """With this size of the only file in the directory, instead of its own."""
    directory = content.rindex(b"PK\x01\x02")
    return content[: directory + 24] + struct.pack("<I", size) + content[directory + 28 :]


GOOD: Final = zipped(("a.csv", noise(5000)))
BOMB: Final = zipped(("a.csv", bytes(1_000_000)))


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (BOMB, "a.csv is too large, or compressed too much"),
        (claiming(BOMB, 10), "incomplete or damaged"),
        (zipped(("a.csv", noise(150_000)), ("b.csv", noise(60_000))), "b.csv is too large"),
        (zipped(*((f"{number}", b"") for number in range(12))), "more than 10 files"),
        (GOOD[:2000], "the zip file is incomplete"),
        (GOOD[:-1], "the zip file is incomplete"),
        (GOOD[:100] + bytes([GOOD[100] ^ 1]) + GOOD[101:], "incomplete or damaged"),
        (zipped(("a.csv", b"x"), comment=b"a comment"), "has a comment"),
        (GOOD[:-22] + bundles.LOCATOR + bytes(16) + GOOD[-22:], "more than 10 files"),
        (encrypted(GOOD), "encrypted"),
        (zipped(("a.csv", b"x" * 100), method=ZIP_BZIP2), "compressed in an unexpected way"),
        (zipped(("../a.csv", b"x")), "unexpected name: '../a.csv'"),
        (zipped(("/etc/passwd", b"x")), "unexpected name"),
        (zipped(("folder/", b""), ("folder/a.csv", b"x")), "unexpected name"),
        (zipped(("C:\\a.csv", b"x")), "unexpected name"),
        (zipped((".hidden", b"x")), "unexpected name"),
        (zipped(("交.csv", b"x")), "unexpected name"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_other_zips_are_refused(content: bytes, message: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bundles, "MAX_BYTES", 200_000)
    monkeypatch.setattr(bundles, "MAX_MEMBERS", 10)
    with pytest.raises(StatementRefused, match=message):
        read_file(BytesIO(content))


@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_a_name_that_is_there_twice_is_refused() -> None:
    with pytest.raises(StatementRefused, match=r"has a\.csv twice"):
        read_file(BytesIO(zipped(("a.csv", b"1"), ("a.csv", b"2"))))


def test_a_file_that_is_no_text_is_refused_when_it_is_read() -> None:
    (member,) = read_file(BytesIO(zipped(("a.csv", b"\xff\xff\xff")))).members
    with pytest.raises(StatementRefused, match="not a text"):
        list(member.lines())
