"""Reads multipart bodies with files, within limits of each file, of each body, and of all bodies in this process.

The parts are taken apart while they arrive, so that a body is in memory once.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Final

from starlette.requests import Request

from tael.api.request_body import MAX_DRAINED_BYTES, BodyTooLarge
from tael.api.wire import FilePart, Parameters, Parts, multipart_parameters
from tael.base.errors import OutOfService
from tael.merchants.domain.document import MAX_DOCUMENT_BYTES
from tael.qfpay.errors import UnreadableMessage

#: Four files of the largest size, and more than all eight of a usual one.
MAX_UPLOAD_BYTES: Final = 48 * 1024 * 1024
#: Bodies that this process holds at one time.
MAX_HELD_BYTES: Final = 4 * MAX_UPLOAD_BYTES


class UploadMemory:
    """Counts the bytes of all uploads that this process holds."""

    def __init__(self, max_bytes: int = MAX_HELD_BYTES) -> None:
        self._remaining_bytes = max_bytes

    @contextmanager
    def reservation(self) -> Iterator["Reservation"]:
        """What is taken within the block is given back at its end."""
        reservation = Reservation(self)
        try:
            yield reservation
        finally:
            self._remaining_bytes += reservation.taken_bytes

    def take(self, length: int) -> bool:
        """Whether there was room."""
        if length > self._remaining_bytes:
            return False
        self._remaining_bytes -= length
        return True


class Reservation:
    """The part of the memory that one upload has taken."""

    def __init__(self, memory: UploadMemory) -> None:
        self._memory = memory
        self.taken_bytes = 0

    def take(self, length: int) -> bool:
        """Whether there was room."""
        if not self._memory.take(length):
            return False
        self.taken_bytes += length
        return True


@dataclass(frozen=True, slots=True)
class Upload:
    """A multipart body, not yet verified."""

    parameters: Parameters
    files: tuple[FilePart, ...]


async def read_upload(
    request: Request, boundary: bytes, reservation: Reservation, max_text_bytes: int
) -> Upload:
    """Raises BodyTooLarge, OutOfService if too many uploads are held, UnreadableMessage, BadField, ClientDisconnect.

    The rest of a refused body is read as far as `read_body` does, so that its sender goes on to read our response.
    """
    parts = Parts(boundary, max_file_bytes=MAX_DOCUMENT_BYTES, max_text_bytes=max_text_bytes)
    error: Exception | None = None
    drained_bytes = 0
    async for piece in request.stream():
        if error is None:
            error = _error_of(piece, parts, reservation)
        if error is not None:
            drained_bytes += len(piece)
            if drained_bytes > MAX_DRAINED_BYTES:
                break
    if error is not None:
        raise error
    if reservation.taken_bytes:  # all parameters may be in the query string
        parts.close()
    return Upload(multipart_parameters(request.scope["query_string"], parts.pairs), tuple(parts.files))


def _error_of(piece: bytes, parts: Parts, reservation: Reservation) -> Exception | None:
    """Takes one piece of the body, or returns why it is refused."""
    if reservation.taken_bytes + len(piece) > MAX_UPLOAD_BYTES:
        return BodyTooLarge(MAX_UPLOAD_BYTES)
    if not reservation.take(len(piece)):
        return OutOfService("too many uploads at this moment")
    try:
        parts.write(piece)
    except UnreadableMessage as error:
        return error
    return None
