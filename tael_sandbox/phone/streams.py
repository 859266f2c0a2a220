"""Server-sent events: each open page hears what changes for its payer.

Nothing is queued. A stream that is woken looks at the books anew, at most a few times a second, and tells
what is different, so a slow reader costs one screen and a busy sandbox does not drown anyone.
"""

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator, Callable, Mapping
from typing import Final

from sse_starlette import EventSourceResponse, ServerSentEvent
from sse_starlette.sse import SendTimeoutError
from starlette.types import Receive, Scope, Send

from tael_sandbox.books import Books
from tael_sandbox.clock import Clock
from tael_sandbox.phone.screen import Choice, Screen, Screens

MAX_STREAMS: Final = 24
#: Between two looks of one stream.
GAP_S: Final = 0.2
#: A look without being woken, for what time alone changes in no row; it also finds out who has left.
MAX_REST_S: Final = 5.0
RECONNECT_MS: Final = 1000
#: How long a screen waits for a reader who does not read before the stream is ended.
SEND_LIMIT_S: Final = 10.0


class EventStream(EventSourceResponse):
    """A stream as a response. A HEAD request gets its headers only, and a reader who does not read is disconnected.

    The library's pings are off: each rest ends with a comment. It does not see our server end, because it looks for
    uvicorn's own signal handlers; `Streams.close` ends all streams at once.
    """

    def __init__(self, events: AsyncIterator[ServerSentEvent], headers: Mapping[str, str]) -> None:
        super().__init__(events, headers=headers, ping=0, send_timeout=SEND_LIMIT_S)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        with contextlib.suppress(SendTimeoutError):
            await super().__call__(scope, receive, send)


class Streams:
    def __init__(
        self, screens: Screens, books: Books, clock: Clock, draw: Callable[[Screen], dict[str, str]]
    ) -> None:
        self._screens = screens
        self._books = books
        self._clock = clock
        self._draw = draw
        self._waiting: set[asyncio.Event] = set()
        self._is_closing = False
        self._seen: tuple[object, ...] = ()

    @property
    def are_too_many(self) -> bool:
        return len(self._waiting) >= MAX_STREAMS

    def tick(self) -> None:
        """Wakes all if a row or the clock has changed since the last time. Asked ten times a second."""
        now = (self._books.changes, self._clock.offset)
        if now != self._seen:
            self._seen = now
            self._wake()

    def close(self) -> None:
        """Ends all streams, so that the server can end."""
        self._is_closing = True
        self._wake()

    async def tell(self, choice: Choice) -> AsyncIterator[ServerSentEvent]:
        woken = asyncio.Event()
        self._waiting.add(woken)
        try:
            yield ServerSentEvent(retry=RECONNECT_MS)
            told: Screen | None = None
            while not self._is_closing:
                woken.clear()
                screen = self._screens.look(choice)
                yield self._event(screen) if screen != told else ServerSentEvent(comment="still here")
                told = screen
                await asyncio.sleep(GAP_S)
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(MAX_REST_S):
                        await woken.wait()
        finally:
            self._waiting.discard(woken)

    def _event(self, screen: Screen) -> ServerSentEvent:
        return ServerSentEvent(json.dumps({"regions": self._draw(screen)}), event="screen")

    def _wake(self) -> None:
        for woken in self._waiting:
            woken.set()
