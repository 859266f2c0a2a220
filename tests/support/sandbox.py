"""The sandbox as a process, and a listener for its calls, for tests in an event loop."""

import asyncio
import json
import subprocess
import sys
import threading
import urllib.request
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from aiohttp import web

from tests.support.serving import serving

ROOT: Final = Path(__file__).parents[2]
START_LIMIT_S: Final = 60
END_LIMIT_S: Final = 20
CALL_LIMIT_S: Final = 20
NOTICE_LIMIT_S: Final = 20


@dataclass(frozen=True, slots=True)
class RunningSandbox:
    """`http` and `tls` are its base URLs, `clock_file` moves with its clock."""

    http: str
    tls: str
    clock_file: Path

    async def control(self, name: str, payload: dict[str, Any] | None = None) -> Any:
        """GET `/control/<name>`, or POST if there is a payload."""
        return await asyncio.to_thread(self.control_now, name, payload)

    def control_now(self, name: str, payload: dict[str, Any] | None = None) -> Any:
        body = None if payload is None else json.dumps(payload).encode()
        request = urllib.request.Request(f"{self.http}/control/{name}", data=body)
        with urllib.request.urlopen(request, timeout=CALL_LIMIT_S) as answer:
            return json.loads(answer.read())

    async def advance(self, seconds: float) -> None:
        await self.control("clock", {"advance_s": seconds})

    async def code(self, wallet: str, behaviour: str = "pays") -> str:
        return str((await self.control("codes", {"wallet": wallet, "behaviour": behaviour}))["auth_code"])

    def account(self, wallet: str, shop: str, scene: str) -> dict[str, Any]:
        rows: list[dict[str, Any]] = self.control_now("accounts")
        key = (wallet, shop, scene)
        return next(row for row in rows if (row["wallet"], row["shop"], row["scene"]) == key)


@contextmanager
def running_sandbox(folder: Path) -> Iterator[RunningSandbox]:
    """A sandbox on free ports that keeps its books in `folder`."""
    arguments = ["--port", "0", "--tls-port", "0", "--data", str(folder)]
    process = subprocess.Popen(
        [sys.executable, "-m", "tael_sandbox", *arguments], cwd=ROOT, stdout=subprocess.PIPE
    )
    assert process.stdout is not None
    limit = threading.Timer(START_LIMIT_S, process.kill)
    limit.start()
    try:
        greeting = json.loads(process.stdout.readline() or b"{}")
        limit.cancel()  # it limits the start, not the run
        assert greeting.get("ready") is True, "the sandbox did not start"
        yield RunningSandbox(greeting["http"], greeting["tls"], folder / "clock")
    finally:
        limit.cancel()
        process.terminate()
        process.wait(END_LIMIT_S)
        process.stdout.close()


@dataclass(slots=True)
class Listener:
    """A server that records requests and answers with `body`, or with `body_of[path]`."""

    url: str = ""
    received: asyncio.Queue[bytes] = field(default_factory=asyncio.Queue)
    status: int = 200
    body: bytes = b""
    body_of: dict[str, bytes] = field(default_factory=dict)

    async def next(self) -> bytes:
        return await asyncio.wait_for(self.received.get(), NOTICE_LIMIT_S)

    async def answer(self, request: web.Request) -> web.Response:
        await self.received.put(await request.read())
        return web.Response(status=self.status, body=self.body_of.get(request.path, self.body))


@asynccontextmanager
async def listening() -> AsyncIterator[Listener]:
    """A listener on a free port, for any path."""
    listener = Listener()
    async with serving(listener.answer) as listener.url:
        yield listener
