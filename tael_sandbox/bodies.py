"""Bodies of requests, read no further than a limit."""

from starlette.requests import Request


async def read_body(request: Request, limit_bytes: int) -> bytes | None:
    """None if it is over the limit."""
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > limit_bytes:
            return None
    return bytes(body)
