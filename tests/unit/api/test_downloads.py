"""Downloads: their slots are taken and given back whatever happens, and slow receivers do not keep them."""

import asyncio
import hashlib
import io
from collections.abc import MutableMapping
from typing import Any, Final

import pytest

from tael.api import downloads
from tael.api.downloads import MAX_DOWNLOADS, Download, DownloadSlots, download_response
from tael.base.errors import OutOfService
from tael.qfpay.signature import sign_body, sign_chunks
from tests.support.values import an_app

APP: Final = an_app()
CONTENT: Final = bytes(range(256)) * 1024

Message = MutableMapping[str, Any]


async def receive() -> Message:
    raise AssertionError("nothing is received")


def a_download(slots: DownloadSlots, appcode: str = "app1") -> Download:
    return Download("bill.zip", "application/zip", io.BytesIO(CONTENT), slots.take(appcode))


async def sent(download: Download, method: str = "GET") -> list[Message]:
    messages: list[Message] = []

    async def send(message: Message) -> None:
        messages.append(message)

    response = await download_response(download, APP)
    await response({"type": "http", "method": method}, receive, send)
    return messages


@pytest.mark.parametrize(("method", "body"), [("GET", CONTENT), ("HEAD", b"")])
async def test_a_file_is_sent_whole_with_its_length_and_signature(method: str, body: bytes) -> None:
    head, *pieces = await sent(a_download(DownloadSlots()), method)
    assert b"".join(piece["body"] for piece in pieces) == body
    headers = dict(head["headers"])
    assert headers[b"content-length"] == str(len(CONTENT)).encode()
    sign = hashlib.md5(CONTENT + APP.key.reveal().encode()).hexdigest().upper()
    assert headers[b"x-qf-sign"] == sign.encode()


@pytest.mark.parametrize("algorithm", ["MD5", "SHA256"])
def test_a_signature_in_pieces_is_that_of_the_whole(algorithm: Any) -> None:
    assert sign_chunks([b"a", b"", b"bc"], APP.key, algorithm) == sign_body(b"abc", APP.key, algorithm)


async def test_an_app_has_one_download_and_a_process_a_few() -> None:
    slots = DownloadSlots()
    running = [a_download(slots, f"app{number}") for number in range(MAX_DOWNLOADS)]
    for appcode in ("app0", "another"):
        with pytest.raises(OutOfService):
            slots.take(appcode)
    running[0].close()
    running[0].close()  # a second time changes nothing
    with pytest.raises(OutOfService, match="another download"):
        slots.take("app1")
    await sent(running[1])
    slots.take("app0")
    slots.take("app1")


async def test_a_slow_receiver_loses_its_slot(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(downloads, "MAX_SEND_S", 0.0)
    slots = DownloadSlots()

    async def never(_: Message) -> None:
        await asyncio.Event().wait()

    response = await download_response(a_download(slots), APP)
    await response({"type": "http", "method": "GET"}, receive, never)
    slots.take("app1")


async def test_a_receiver_that_is_gone_loses_its_slot() -> None:
    slots = DownloadSlots()

    async def fails(_: Message) -> None:
        raise OSError

    response = await download_response(a_download(slots), APP)
    with pytest.raises(OSError):
        await response({"type": "http", "method": "GET"}, receive, fails)
    slots.take("app1")


async def test_a_file_that_cannot_be_read_is_closed() -> None:
    slots = DownloadSlots()
    broken = a_download(slots)
    broken.file.close()
    with pytest.raises(ValueError, match="closed"):
        await download_response(broken, APP)
    slots.take("app1")
