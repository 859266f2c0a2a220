"""The merchants' webhook receiver: keeps every webhook, checks its signature, and refuses, hangs or breaks off.

It fails the same webhook at most MAX_FAILURES times, so that no retry schedule is exhausted.
With aiohttp, not pytest-httpserver: a soak runs in one event loop without pytest, and a receiver that breaks off
aborts its connection.
"""

import asyncio
import hashlib
import json
from collections import Counter
from typing import Final, Self

from aiohttp import web

from tael_demo.seed import DemoApp
from tests.soak.rows import ReceivedWebhook

HOST: Final = "127.0.0.1"
MAX_FAILURES: Final = 3
HANG_S: Final = 11.0


class Receiver:
    """`fault` is "" for none, else refuse, hang or break."""

    def __init__(self, apps: list[DemoApp]) -> None:
        self.received: list[ReceivedWebhook] = []
        self.fault = ""
        self._apps = {demo_app.app.appcode: demo_app for demo_app in apps}
        self._failures: Counter[tuple[str, str]] = Counter()
        self._runner: web.AppRunner | None = None
        self.url = ""

    async def __aenter__(self) -> Self:
        server = web.Application()
        server.router.add_post("/webhooks/{appcode}", self._take)
        self._runner = web.AppRunner(server, access_log=None, shutdown_timeout=0.2)
        await self._runner.setup()
        await web.TCPSite(self._runner, HOST, 0).start()
        self.url = f"http://{HOST}:{self._runner.addresses[0][1]}/webhooks"
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._runner is not None:
            await self._runner.cleanup()

    async def _take(self, request: web.Request) -> web.StreamResponse:
        body = await request.read()
        members: dict[str, str] = json.loads(body)
        kind = members.get("notify_type", "payment")
        key = (members["syssn"], kind)
        fault = self.fault if self._failures[key] < MAX_FAILURES else ""
        self._failures[key] += bool(fault)
        self.received.append(
            ReceivedWebhook(
                appcode=request.match_info["appcode"],
                syssn=members["syssn"],
                reference=members["out_trade_no"],
                kind=kind,
                amount_minor=int(members["txamt"]),
                body=body,
                is_signed=self._is_signed(request, body, members),
                was_acknowledged=not fault,
            )
        )
        match fault:
            case "refuse":
                return web.Response(status=500, text="success")
            case "hang":
                await asyncio.sleep(HANG_S)
                return web.Response(text="success")
            case "break":
                if request.transport is not None:
                    request.transport.abort()
                return web.Response(text="")
            case _:
                return web.Response(text="success")

    def _is_signed(self, request: web.Request, body: bytes, members: dict[str, str]) -> bool:
        app = self._apps[request.match_info["appcode"]].app
        pairs = "&".join(f"{name}={members[name]}" for name in sorted(members)).encode()
        text = body if app.webhook_style.value == "new" else pairs
        expected = hashlib.md5(text + app.key.reveal().encode()).hexdigest().upper()
        return request.headers.get("X-QF-SIGN") == expected
