"""The body of a merchant's request, within a limit. Used by `api/app.py` and `api/checkstand.py`."""

from typing import Final

from starlette.requests import Request

MOST_BODY_BYTES: Final = 1024 * 1024
#: What is read of a body that is too long, so that its sender comes to read our answer.
MOST_DRAINED_BYTES: Final = 8 * 1024 * 1024


class BodyTooLarge(Exception):
    """More than MOST_BODY_BYTES."""


async def read_body(request: Request) -> bytes:
    """The body. Raises BodyTooLarge, after draining what a sender may still be writing."""
    body, length = bytearray(), 0
    async for chunk in request.stream():
        length += len(chunk)
        if length <= MOST_BODY_BYTES:
            body += chunk
        elif length > MOST_DRAINED_BYTES:
            break
    if length > MOST_BODY_BYTES:
        raise BodyTooLarge
    return bytes(body)
