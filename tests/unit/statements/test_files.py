"""The file of a statement: plain or gzip, UTF-8 or GBK, and limited in size."""

import gzip
import hashlib
from io import BytesIO
from typing import Final

import pytest

from tael.channels.statements import StatementRefused
from tael.statements import files
from tael.statements.files import is_stored_content, original_of, read_file

TEXT: Final = "交易时间,商户号\r\n`茶,`2\r\n"


@pytest.mark.parametrize("charset", ["utf-8", "utf-8-sig", "gbk"])
@pytest.mark.parametrize("is_packed", [False, True])
def test_plain_and_gzip_files_of_every_charset_are_read(charset: str, is_packed: bool) -> None:
    content = TEXT.encode(charset)
    original = gzip.compress(content) if is_packed else content

    file = read_file(BytesIO(original))

    assert list(file.lines()) == ["交易时间,商户号\r\n", "`茶,`2\r\n"]
    assert (file.sha256, file.size, file.line_count) == (hashlib.sha256(content).hexdigest(), len(content), 2)
    assert original_of(file.packed, is_packed=file.is_packed) == original
    assert is_stored_content(file.packed, file.sha256)
    assert not is_stored_content(gzip.compress(b"other"), file.sha256)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "the file is empty"),
        (gzip.compress(b""), "the file is empty"),
        (gzip.compress(b"abc" * 99)[:-9], "the gzip file is incomplete or damaged"),
        (b"\xff\xff\xff", "not a text in UTF-8 or GBK"),
        (b"x" * 2001, "more than"),
        (gzip.compress(b"x" * 2001), "more than"),
    ],
    ids=["empty", "empty gzip", "half a gzip file", "no text", "large", "large when decompressed"],
)
def test_other_files_are_refused(content: bytes, message: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(files, "MAX_BYTES", 2000)
    with pytest.raises(StatementRefused, match=message):
        read_file(BytesIO(content))


def test_a_line_without_an_end_is_limited() -> None:
    file = read_file(BytesIO(b"a\n" + b"x" * 20_000))
    with pytest.raises(StatementRefused, match=r"^line 2: the line has more than 16384 characters"):
        list(file.lines())
