"""A merchant's webhook receiver for the demo: verifies each call by the app's key and style, and acknowledges it."""

import asyncio
import hashlib
import hmac
import json
from dataclasses import dataclass, field, replace
from typing import Final, Self

from aiohttp import web

from tael.domain.merchant import App
from tael.domain.webhook import Style

HOST: Final = "127.0.0.1"


@dataclass(frozen=True, slots=True)
class Received:
    """One call; `is_signed` is what a merchant would have found."""

    appcode: str
    style: Style
    members: dict[str, str]
    is_signed: bool


@dataclass(slots=True)
class Receiver:
    """Listens on a free port while it is entered."""

    received: list[Received] = field(default_factory=list)
    _arrival: asyncio.Condition = field(default_factory=asyncio.Condition)
    _apps: dict[str, App] = field(default_factory=dict)
    _runner: web.AppRunner | None = None
    _port: int = 0

    async def __aenter__(self) -> Self:
        server = web.Application()
        server.router.add_post("/webhooks/{appcode}", self._take)
        self._runner = web.AppRunner(server, access_log=None)
        await self._runner.setup()
        site = web.TCPSite(self._runner, HOST, 0)
        await site.start()
        self._port = int(self._runner.addresses[0][1])
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._runner is not None:
            await self._runner.cleanup()

    def listened_to(self, app: App) -> App:
        """`app` with its webhooks coming here."""
        self._apps[app.appcode] = app
        return replace(app, notify_url=f"http://{HOST}:{self._port}/webhooks/{app.appcode}")

    async def has_received(self, syssn: str, style: Style, limit_s: float) -> bool:
        """Whether a well-signed webhook about `syssn` has come, or comes in time."""

        def is_there() -> bool:
            return any(
                one.is_signed and one.style is style and one.members["syssn"] == syssn
                for one in self.received
            )

        async with self._arrival:
            try:
                await asyncio.wait_for(self._arrival.wait_for(is_there), limit_s)
            except TimeoutError:
                return False
        return True

    async def _take(self, request: web.Request) -> web.Response:
        app = self._apps[request.match_info["appcode"]]
        body = await request.read()
        members: dict[str, str] = json.loads(body)
        text = body if app.webhook_style is Style.NEW else sorted_text(members)
        expected = hashlib.md5(text + app.key.reveal().encode()).hexdigest().upper()
        is_signed = hmac.compare_digest(expected, request.headers.get("X-QF-SIGN", ""))
        async with self._arrival:
            self.received.append(Received(app.appcode, app.webhook_style, members, is_signed))
            self._arrival.notify_all()
        return web.Response(text="success")


def sorted_text(members: dict[str, str]) -> bytes:
    """What an old-style receiver signs."""
    return "&".join(f"{name}={members[name]}" for name in sorted(members)).encode()
