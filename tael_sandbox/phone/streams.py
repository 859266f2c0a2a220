"""Server-sent events: each open page gets the changes for its payer.

Nothing is queued. A stream that is woken reads the books again, at most a few times a second, and sends the screen if
it is different, so a slow reader costs one screen and a busy sandbox does not flood its readers.
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
#: Between two reads of one stream.
GAP_S: Final = 0.2
#: A stream reads again after this time without being woken: time changes some screens without changing a row. Sending
#: also detects readers that have disconnected.
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
        self._wake_events: set[asyncio.Event] = set()
        self._is_closing = False
        self._seen: tuple[object, ...] = ()

    @property
    def are_too_many(self) -> bool:
        return len(self._wake_events) >= MAX_STREAMS

    def tick(self) -> None:
        """Wakes all streams if a row or the clock has changed since the last call. Runs ten times a second."""
        now = (self._books.changes, self._clock.offset)
        if now != self._seen:
            self._seen = now
            self._wake()

    def close(self) -> None:
        """Ends all streams, so that the server can stop."""
        self._is_closing = True
        self._wake()

    async def events(self, choice: Choice) -> AsyncIterator[ServerSentEvent]:
        wake_event = asyncio.Event()
        self._wake_events.add(wake_event)
        try:
            yield ServerSentEvent(retry=RECONNECT_MS)
            sent: Screen | None = None
            while not self._is_closing:
                wake_event.clear()
                screen = self._screens.current(choice)
                yield self._event(screen) if screen != sent else ServerSentEvent(comment="still here")
                sent = screen
                await asyncio.sleep(GAP_S)
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(MAX_REST_S):
                        await wake_event.wait()
        finally:
            self._wake_events.discard(wake_event)

    def _event(self, screen: Screen) -> ServerSentEvent:
        return ServerSentEvent(json.dumps({"regions": self._draw(screen)}), event="screen")

    def _wake(self) -> None:
        for wake_event in self._wake_events:
            wake_event.set()
