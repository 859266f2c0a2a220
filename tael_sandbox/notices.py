"""Notices from a wallet to a merchant: queued with the change they report, delivered until acknowledged.

`queue_notice` writes a row in the caller's transaction; the `Courier` claims due rows by the sandbox's clock. A row's
next attempt is scheduled before it is sent, so a crash repeats a notice and never loses one.
"""

import asyncio
import json
import logging
import sqlite3
from collections import Counter
from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Final
from urllib.parse import urlsplit

import aiohttp
from defusedxml import DefusedXmlException
from defusedxml.ElementTree import ParseError, fromstring
from yarl import URL

from tael_sandbox.books import Books
from tael_sandbox.clock import Clock
from tael_sandbox.fault_injection.notices import NoticeFaults

log = logging.getLogger(__name__)

#: Seconds between one attempt and the next; no attempt follows the last gap.
_ALIPAY_GAPS: Final = (120, 600, 600, 3600, 7200, 21600, 54000)
_WECHAT_GAPS: Final = (15, 15, 30, 180, 1800, 1800, 1800, 1800, 3600)
SCHEDULES: Final[Mapping[str, tuple[int, ...]]] = {
    "alipay": _ALIPAY_GAPS,
    "alipay_hk": _ALIPAY_GAPS,
    "wechat": _WECHAT_GAPS,
    "wechat_hk": _WECHAT_GAPS,
}
DELIVERY_LIMIT_S: Final = 5.0
POLL_S: Final = 0.1
RESPONSE_LIMIT_BYTES: Final = 4096
MAX_IN_FLIGHT: Final = 200
MAX_IN_FLIGHT_PER_RECEIVER: Final = 32


def queue_notice(
    connection: sqlite3.Connection,
    *,
    wallet: str,
    url: str,
    content_type: str,
    body: bytes,
    at: float,
    headers: Mapping[str, str] | None = None,
) -> int:
    """Queues a notice that is due at once and sent when the courier wakes. Returns the notice's id."""
    inserted = connection.execute(
        "INSERT INTO notice (wallet, url, receiver, content_type, headers, body, due_at, created_at)"
        " VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
        (wallet, url, urlsplit(url).netloc, content_type, json.dumps(dict(headers or {})), body, at, at),
    )
    assert inserted.lastrowid is not None
    return inserted.lastrowid


def _is_alipay_acknowledgement(body: bytes) -> bool:
    return body.strip().lower() == b"success"


def _is_wechat_acknowledgement(body: bytes) -> bool:
    try:
        response = fromstring(body)
    except (ParseError, DefusedXmlException, ValueError, LookupError):  # the last two: a wrong encoding
        return False
    return (response.findtext("return_code") or "").strip() == "SUCCESS"


ACKNOWLEDGED: Final[Mapping[str, Callable[[bytes], bool]]] = {
    "alipay": _is_alipay_acknowledgement,
    "alipay_hk": _is_alipay_acknowledgement,
    "wechat": _is_wechat_acknowledgement,
    "wechat_hk": _is_wechat_acknowledgement,
}


class Courier:
    """Delivers due notices concurrently, with a limit in total and per receiver.

    Each round calls `tick` first, so that notices of changes that are due are sent in the same round.
    """

    def __init__(
        self, books: Books, clock: Clock, tick: Callable[[datetime], None], faults: NoticeFaults
    ) -> None:
        self._books = books
        self._clock = clock
        self._tick = tick
        self._faults = faults
        self._woken = asyncio.Event()
        self._sending: set[asyncio.Task[None]] = set()
        self._busy: Counter[str] = Counter()
        self._in_flight: set[int] = set()

    def wake(self) -> None:
        """Starts a round, since a notice may be due: one was queued, or the clock was moved."""
        self._woken.set()

    async def run(self) -> None:
        """Runs until cancelled. Notices in flight at that moment are sent again after the next start."""
        timeout = aiohttp.ClientTimeout(total=DELIVERY_LIMIT_S)
        connector = aiohttp.TCPConnector(limit=0)
        cookies = aiohttp.DummyCookieJar()
        async with aiohttp.ClientSession(timeout=timeout, connector=connector, cookie_jar=cookies) as session:
            try:
                while True:
                    self._round(session)
                    await self._wait()
            finally:
                for task in self._sending:
                    task.cancel()
                await asyncio.gather(*self._sending, return_exceptions=True)

    def _round(self, session: aiohttp.ClientSession) -> None:
        now = self._clock.now()
        try:
            self._tick(now)
            due = [(notice, self._faults.bodies(notice, now)) for notice in self._claim(now.timestamp())]
        except Exception:  # the edge of the job: one bad row must not end all deliveries
            log.exception("courier round failed")
            return
        for notice, bodies in due:
            if not bodies:
                continue
            self._busy[notice["receiver"]] += 1
            self._in_flight.add(notice["id"])
            task = asyncio.create_task(self._deliver(session, notice, bodies))
            self._sending.add(task)
            task.add_done_callback(self._sending.discard)

    async def _wait(self) -> None:
        try:
            async with asyncio.timeout(POLL_S):  # `wait_for` would lose a cancellation that comes with a wake
                await self._woken.wait()
        except TimeoutError:
            return
        self._woken.clear()

    def _claim(self, now: float) -> list[sqlite3.Row]:
        """Claims due rows of receivers below their limit, and schedules the next attempt of each."""
        full_receivers = [
            receiver for receiver, count in self._busy.items() if count >= MAX_IN_FLIGHT_PER_RECEIVER
        ]
        due = self._books.reader.execute(
            "SELECT id, wallet, url, receiver, content_type, headers, body, attempt FROM notice"
            " WHERE due_at <= ? AND receiver NOT IN (SELECT value FROM json_each(?)) ORDER BY due_at LIMIT ?",
            (now, json.dumps(full_receivers), max(MAX_IN_FLIGHT - len(self._sending), 0)),
        ).fetchall()
        claimed: list[sqlite3.Row] = []
        added: Counter[str] = Counter()
        for notice in due:
            receiver = notice["receiver"]
            if notice["id"] in self._in_flight:  # the clock was moved while it was being sent
                continue
            if self._busy[receiver] + added[receiver] < MAX_IN_FLIGHT_PER_RECEIVER:
                added[receiver] += 1
                claimed.append(notice)
        if claimed:
            with self._books.transaction() as connection:
                connection.executemany(
                    "UPDATE notice SET attempt = attempt + 1, due_at = ? WHERE id = ?",
                    [(_next_due(notice, now), notice["id"]) for notice in claimed],
                )
        return claimed

    async def _deliver(
        self, session: aiohttp.ClientSession, notice: sqlite3.Row, bodies: tuple[bytes, ...]
    ) -> None:
        try:
            if any(await asyncio.gather(*(_is_acknowledged(session, notice, body) for body in bodies))):
                self._record_acknowledgement(notice["id"])
            self._faults.release_overtaken(notice, self._clock.now())
        finally:
            self._in_flight.discard(notice["id"])
            receiver = notice["receiver"]
            self._busy[receiver] -= 1
            if not self._busy[receiver]:
                del self._busy[receiver]
            self._woken.set()

    def _record_acknowledgement(self, notice_id: int) -> None:
        with self._books.transaction() as connection:
            connection.execute(
                "UPDATE notice SET acknowledged_at = ?, due_at = NULL WHERE id = ?",
                (self._clock.now().timestamp(), notice_id),
            )


def _next_due(notice: sqlite3.Row, now: float) -> float | None:
    gaps = SCHEDULES[notice["wallet"]]
    attempt: int = notice["attempt"]
    return now + gaps[attempt] if attempt < len(gaps) else None


async def _is_acknowledged(session: aiohttp.ClientSession, notice: sqlite3.Row, body: bytes) -> bool:
    try:
        status, response = await _post(session, notice, body)
    except (aiohttp.ClientError, TimeoutError, OSError, ValueError) as error:
        log.info("notice %s not delivered: %r", notice["id"], error)
        return False
    return status == 200 and ACKNOWLEDGED[notice["wallet"]](response)


async def _post(session: aiohttp.ClientSession, notice: sqlite3.Row, body: bytes) -> tuple[int, bytes]:
    """Status and body of the response. Raises ValueError if the body is too long."""
    headers = {**json.loads(notice["headers"]), "Content-Type": notice["content_type"]}
    url = URL(notice["url"], encoded=True)  # as the merchant wrote it
    async with session.post(url, data=body, headers=headers, allow_redirects=False) as response:
        received = b""
        async for chunk in response.content.iter_any():
            received += chunk
            if len(received) > RESPONSE_LIMIT_BYTES:
                raise ValueError("the response is too long")
    return response.status, received
