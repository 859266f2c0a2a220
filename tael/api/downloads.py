"""Files as responses: signed over all their bytes, sent from disk, within limits of how many and for how long.

The signature is a header, so a file is complete before its first byte is sent. A download has a slot until its last
byte is sent, so that slow receivers can neither fill the disk nor take the place of payments.
"""

import asyncio
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from typing import BinaryIO, Final

import structlog
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from tael.base.errors import OutOfService
from tael.merchants.domain.merchant import App
from tael.qfpay.signature import sign_chunks

log = structlog.get_logger()

#: At one time, in one process.
MAX_DOWNLOADS: Final = 2
MAX_DOWNLOADS_OF_APP: Final = 1
#: How long a receiver may take for a whole file.
MAX_SEND_S: Final = 120.0
CHUNK_BYTES: Final = 64 * 1024


class DownloadSlots:
    """The downloads of this process, by appcode."""

    def __init__(self) -> None:
        self._taken: Counter[str] = Counter()

    def take(self, appcode: str) -> "Slot":
        """Raises OutOfService if there is none."""
        if self._taken[appcode] >= MAX_DOWNLOADS_OF_APP:
            raise OutOfService("another download of this app has not ended")
        if self._taken.total() >= MAX_DOWNLOADS:
            raise OutOfService("too many downloads at this moment")
        self._taken[appcode] += 1
        return Slot(self, appcode)

    def give_back(self, appcode: str) -> None:
        self._taken[appcode] -= 1
        if not self._taken[appcode]:
            del self._taken[appcode]


class Slot:
    """One download's place. It can be given back more than once."""

    def __init__(self, slots: DownloadSlots, appcode: str) -> None:
        self._slots: DownloadSlots | None = slots
        self._appcode = appcode

    def give_back(self) -> None:
        slots, self._slots = self._slots, None
        if slots is not None:
            slots.give_back(self._appcode)


@dataclass(frozen=True, slots=True)
class Download:
    """A complete file, and the slot that it takes. `close` ends both."""

    name: str  #: for the receiver's disk: ASCII letters, digits, `_`, `-` and `.`
    media_type: str
    file: BinaryIO
    slot: Slot

    def close(self) -> None:
        self.file.close()
        self.slot.give_back()


async def download_response(download: Download, app: App | None) -> Response:
    """The response with this file, signed with the key of `app`. Closes the download if it cannot be made."""
    try:
        length, sign = await asyncio.to_thread(_measured, download.file, app)
    except BaseException:
        download.close()
        raise
    headers = {
        "Content-Type": download.media_type,
        "Content-Length": str(length),
        "Content-Disposition": f'attachment; filename="{download.name}"',
        "Cache-Control": "no-store",
        "X-Powered-By": "QF/1.1",
    }
    return DownloadResponse(download, headers | ({"X-QF-SIGN": sign} if sign else {}))


def _measured(file: BinaryIO, app: App | None) -> tuple[int, str]:
    """Length in bytes and signature."""
    file.seek(0)
    sign = sign_chunks(_chunks(file), app.key, app.response_algorithm) if app else ""
    return file.seek(0, 2), sign


def _chunks(file: BinaryIO) -> Iterator[bytes]:
    while chunk := file.read(CHUNK_BYTES):
        yield chunk


class DownloadResponse(Response):
    """Sends the file piece by piece, each read in a thread, and closes it in any case."""

    def __init__(self, download: Download, headers: dict[str, str]) -> None:
        super().__init__(headers=headers)
        self._download = download

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            async with asyncio.timeout(MAX_SEND_S):
                await self._send(scope, send)
        except TimeoutError:
            log.info("download.too_slow", name=self._download.name)  # the listener closes the connection
        finally:
            self._download.close()

    async def _send(self, scope: Scope, send: Send) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": self.raw_headers})
        file = self._download.file
        file.seek(0)
        while scope["method"] != "HEAD" and (chunk := await asyncio.to_thread(file.read, CHUNK_BYTES)):
            await send({"type": "http.response.body", "body": chunk, "more_body": True})
        await send({"type": "http.response.body", "body": b"", "more_body": False})
