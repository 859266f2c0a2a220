"""Reads request bodies up to a limit."""

from starlette.requests import Request
from starlette.responses import Response


async def read_body(request: Request, limit_bytes: int) -> bytes | None:
    """None if the body is over the limit."""
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > limit_bytes:
            return None
    return bytes(body)


async def client_left(_: Request, __: Exception) -> Response:
    """Handles ClientDisconnect, which is no error of ours; the connection for a response is gone."""
    return Response(status_code=400)
