"""Small HTTP servers of a test's own, on real sockets, in the test's event loop.

`local_server.py` has those on threads. These are by aiohttp and not by pytest-httpserver: their handlers await what a
test opens, and break connections off.
"""

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

from aiohttp import web

Serve = Callable[[web.Request], Awaitable[web.StreamResponse]]


@asynccontextmanager
async def serving(serve: Serve) -> AsyncIterator[str]:
    """The url of a server that answers every request with `serve`."""
    application = web.Application(client_max_size=1 << 26)
    application.router.add_route("*", "/{tail:.*}", serve)
    runner = web.AppRunner(application, shutdown_timeout=0)
    await runner.setup()
    try:
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        host, port = runner.addresses[0][:2]
        yield f"http://{host}:{port}"
    finally:
        await runner.cleanup()
