"""Bodies of requests, read no further than a limit."""

from starlette.requests import Request
from starlette.responses import Response


async def read_body(request: Request, limit_bytes: int) -> bytes | None:
    """None if it is over the limit."""
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > limit_bytes:
            return None
    return bytes(body)


async def client_left(_: Request, __: Exception) -> Response:
    """For ClientDisconnect, which is no error of ours; there is no connection left to answer on."""
    return Response(status_code=400)
