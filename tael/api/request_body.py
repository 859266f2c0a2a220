"""What arrives besides parameters: the body of a merchant's request, within a limit, and the caller's address."""

from typing import Final

from starlette.requests import Request

#: The largest honest form has a few KB. Reading and verifying one of this size takes a few milliseconds.
MAX_FORM_BYTES: Final = 96 * 1024
#: What is read of a body that is too long, so that its sender comes to read our answer. The listener limits its time.
MAX_DRAINED_BYTES: Final = 8 * 1024 * 1024


class BodyTooLarge(Exception):
    """The body has more bytes than `limit_bytes`."""

    def __init__(self, limit_bytes: int) -> None:
        super().__init__(f"the body is larger than {limit_bytes} bytes")


def peer_of(request: Request) -> str:
    """The address of the connection, or what a trusted proxy says of it; "" if there is none."""
    return request.client.host if request.client else ""


async def read_body(request: Request, limit_bytes: int) -> bytes:
    """The body. Raises BodyTooLarge, after draining what a sender may still be writing, and ClientDisconnect."""
    body, length = bytearray(), 0
    async for chunk in request.stream():
        length += len(chunk)
        if length <= limit_bytes:
            body += chunk
        elif length > MAX_DRAINED_BYTES:
            break
    if length > limit_bytes:
        raise BodyTooLarge(limit_bytes)
    return bytes(body)
