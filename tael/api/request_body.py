"""Reads the body of a merchant's request within a limit, and the caller's address."""

from typing import Final

from starlette.requests import ClientDisconnect, Request

#: The largest legitimate form has a few KB. Reading and verifying a body of this size takes a few milliseconds.
MAX_FORM_BYTES: Final = 96 * 1024
#: How much of an oversized body is read, so that its sender goes on to read our response. The listener limits the time.
MAX_DRAINED_BYTES: Final = 8 * 1024 * 1024


class BodyTooLarge(Exception):
    """The body has more bytes than `limit_bytes`."""

    def __init__(self, limit_bytes: int) -> None:
        super().__init__(f"the body is larger than {limit_bytes} bytes")


def peer_of(request: Request) -> str:
    """The client's address, or the one that a trusted proxy reports; "" if there is none."""
    return request.client.host if request.client else ""


async def read_body(request: Request, limit_bytes: int) -> bytes:
    """The body. Raises ClientDisconnect, and BodyTooLarge after reading the rest up to `MAX_DRAINED_BYTES`."""
    body, length, is_whole = b"", 0, False
    while not is_whole and length <= MAX_DRAINED_BYTES:
        message = await request.receive()
        if message["type"] == "http.disconnect":
            raise ClientDisconnect
        chunk = message.get("body", b"")
        length += len(chunk)
        if length <= limit_bytes:
            body += chunk
        is_whole = not message.get("more_body", False)
    if length > limit_bytes:
        raise BodyTooLarge(limit_bytes)
    return body
