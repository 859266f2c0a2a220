"""Both places of documents: a folder, and a bucket of an S3-compatible server."""

import asyncio
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from tael.base.admission import Admission
from tael.base.cipher import Cipher
from tael.base.errors import DocumentsUnavailable
from tael.base.key_ring import key_ring
from tael.merchants.domain.document import Document, DocumentKind
from tael.merchants.store.document_files import DocumentFiles
from tael.merchants.store.document_places import Folder, Place, place_at
from tests.support.s3 import S3Server, running_s3
from tests.support.store import CIPHER, ENCRYPTION_KEY
from tests.support.values import MCHID, NOW

PATIENCE_S = 20.0
CONTENT = b"%PDF-1.7 " + bytes(10 * 1024 * 1024)


@pytest.fixture
def s3(monkeypatch: pytest.MonkeyPatch) -> Iterator[S3Server]:
    with running_s3() as server:
        for name, value in server.environment.items():
            monkeypatch.setenv(name, value)
        yield server


@pytest.fixture(params=["folder", "bucket"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Place:
    if request.param == "folder":
        return place_at(str(tmp_path))
    return place_at(f"s3://{request.getfixturevalue('s3').bucket}/kyc/2026")


def a_document(document_id: str = "d" * 24) -> Document:
    return Document(document_id, MCHID, DocumentKind.LICENSE, "application/pdf", len(CONTENT), "", NOW)


async def test_a_content_is_read_as_it_was_written_and_removed(place: Place) -> None:
    files, document = DocumentFiles(place, CIPHER), a_document()
    await files.write(document, CONTENT)
    assert await files.read(document) == CONTENT
    stored = place.read(document.document_id)
    assert (len(stored), CONTENT[:100] in stored) == (len(CONTENT) + 13 + 12 + 16, False)
    for _ in range(2):
        await files.remove(document)
    with pytest.raises(OSError):
        await files.read(document)


async def test_a_content_is_encrypted_again_over_what_a_killed_process_has_left(
    place: Place, tmp_path: Path
) -> None:
    new, document = key_ring(bytes(32), ENCRYPTION_KEY), a_document()
    files, rotated = DocumentFiles(place, CIPHER), DocumentFiles(place, Cipher(new))
    assert await files.key_id(document) is None
    await files.write(document, CONTENT)
    assert await files.key_id(document) == key_ring(ENCRYPTION_KEY).encrypting_id
    (tmp_path / f"{document.document_id}.part").write_bytes(b"half of it")
    await rotated.encrypt_again(document)
    assert await rotated.key_id(document) == new.encrypting_id
    assert await DocumentFiles(place, Cipher(key_ring(bytes(32)))).read(document) == CONTENT


async def test_objects_are_below_the_prefix_and_encrypted(s3: S3Server) -> None:
    files = DocumentFiles(place_at(f"s3://{s3.bucket}/kyc/2026"), CIPHER)
    await files.write(a_document(), CONTENT)
    assert s3.names() == {f"kyc/2026/{'d' * 24}"}
    assert CONTENT[:100] not in s3.content(f"kyc/2026/{'d' * 24}")
    await DocumentFiles(place_at(f"s3://{s3.bucket}"), CIPHER).write(a_document("e" * 24), b"x")
    assert "e" * 24 in s3.names()


async def test_a_bucket_that_does_not_exist_or_answer_is_unavailable(
    s3: S3Server, capfd: pytest.CaptureFixture[str]
) -> None:
    for location in ("s3://unknown", f"s3://{s3.bucket}"):
        files = DocumentFiles(place_at(location), CIPHER)
        with pytest.raises(DocumentsUnavailable):
            await files.write(a_document(), b"x")
        with pytest.raises(OSError):
            await files.read(a_document())
        await files.remove(a_document())
        s3.server.stop()
    written = "".join(capfd.readouterr())
    assert "documents.unavailable" in written
    assert "secret" not in written


async def test_a_bucket_without_tls_is_refused_unless_it_is_allowed(
    s3: S3Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("AWS_ALLOW_HTTP")
    files = DocumentFiles(place_at(f"s3://{s3.bucket}"), CIPHER)
    with pytest.raises(DocumentsUnavailable):
        await files.write(a_document(), b"x")
    assert s3.names() == set()


async def test_a_folder_that_is_gone_is_unavailable(tmp_path: Path) -> None:
    files = DocumentFiles(place_at(str(tmp_path / "gone")), CIPHER)
    with pytest.raises(DocumentsUnavailable):
        await files.write(a_document(), b"x")


async def test_a_call_that_waits_for_the_place_of_documents_uses_no_place_of_its_process(
    tmp_path: Path,
) -> None:
    is_released, admission = threading.Event(), Admission(1)

    class Hanging(Folder):
        def write(self, name: str, content: bytes) -> None:
            is_released.wait(PATIENCE_S)
            super().write(name, content)

    async def upload(files: DocumentFiles) -> None:
        with await admission.take("a"):
            await files.write(a_document(), CONTENT)

    uploading = asyncio.create_task(upload(DocumentFiles(Hanging(tmp_path), CIPHER)))
    await asyncio.sleep(0)
    with await admission.take("b"):
        is_released.set()
        await uploading
    assert admission.in_progress == 0
