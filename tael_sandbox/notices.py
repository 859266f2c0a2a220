"""Notices from a wallet to a merchant: queued with the change they tell of, delivered until acknowledged.

`queue_notice` writes a row in the caller's transaction; the `Courier` claims due rows by the sandbox's
clock. A row's next time is written before it is sent, so that a crash repeats a notice and never loses one.
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
from tael_sandbox.fault_injection.notices import FaultyNotices

log = logging.getLogger(__name__)

#: Seconds between one sending and the next; after the last gap the wallet gives up.
_WECHAT_GAPS: Final = (15, 15, 30, 180, 1800, 1800, 1800, 1800, 3600)
SCHEDULES: Final[Mapping[str, tuple[int, ...]]] = {
    "alipay": (120, 600, 600, 3600, 7200, 21600, 54000),
    "wechat": _WECHAT_GAPS,
    "wechat_hk": _WECHAT_GAPS,
}
DELIVERY_LIMIT_S: Final = 5.0
POLL_S: Final = 0.1
ANSWER_LIMIT_BYTES: Final = 4096
SENDING_AT_ONCE: Final = 200
SENDING_AT_ONCE_TO_ONE_RECEIVER: Final = 32


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
    """Due at once, first sent when the courier wakes; answers the notice's id."""
    made = connection.execute(
        "INSERT INTO notice (wallet, url, receiver, content_type, headers, body, due_at, created_at)"
        " VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
        (wallet, url, urlsplit(url).netloc, content_type, json.dumps(dict(headers or {})), body, at, at),
    )
    assert made.lastrowid is not None
    return made.lastrowid


def _alipay_is_content(body: bytes) -> bool:
    return body.strip().lower() == b"success"


def _wechat_is_content(body: bytes) -> bool:
    try:
        answer = fromstring(body)
    except (ParseError, DefusedXmlException, ValueError, LookupError):  # the last two: a wrong encoding
        return False
    return (answer.findtext("return_code") or "").strip() == "SUCCESS"


ACKNOWLEDGED: Final[Mapping[str, Callable[[bytes], bool]]] = {
    "alipay": _alipay_is_content,
    "wechat": _wechat_is_content,
    "wechat_hk": _wechat_is_content,
}


class Courier:
    """Delivers due notices, many at a time, no more than a few to one receiver.

    `tick` is called first in each round, so that what time brings about is noticed in the same round.
    """

    def __init__(
        self, books: Books, clock: Clock, tick: Callable[[datetime], None], faults: FaultyNotices
    ) -> None:
        self._books = books
        self._clock = clock
        self._tick = tick
        self._faults = faults
        self._woken = asyncio.Event()
        self._sending: set[asyncio.Task[None]] = set()
        self._busy: Counter[str] = Counter()
        self._under_way: set[int] = set()

    def wake(self) -> None:
        """Something may have become due: a notice was queued or the clock was moved."""
        self._woken.set()

    async def run(self) -> None:
        """Until cancelled. Notices that are being sent then are sent again after the next start."""
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
            self._under_way.add(notice["id"])
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
        """Due rows whose receivers have room, each with its next time already written."""
        full = [
            receiver for receiver, count in self._busy.items() if count >= SENDING_AT_ONCE_TO_ONE_RECEIVER
        ]
        due = self._books.reader.execute(
            "SELECT id, wallet, url, receiver, content_type, headers, body, attempt FROM notice"
            " WHERE due_at <= ? AND receiver NOT IN (SELECT value FROM json_each(?)) ORDER BY due_at LIMIT ?",
            (now, json.dumps(full), max(SENDING_AT_ONCE - len(self._sending), 0)),
        ).fetchall()
        claimed: list[sqlite3.Row] = []
        joining: Counter[str] = Counter()
        for notice in due:
            receiver = notice["receiver"]
            if notice["id"] in self._under_way:  # the clock was moved while it is being sent
                continue
            if self._busy[receiver] + joining[receiver] < SENDING_AT_ONCE_TO_ONE_RECEIVER:
                joining[receiver] += 1
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
            self._faults.let_overtaken_go(notice, self._clock.now())
        finally:
            self._under_way.discard(notice["id"])
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
        status, answer = await _post(session, notice, body)
    except (aiohttp.ClientError, TimeoutError, OSError, ValueError) as problem:
        log.info("notice %s not delivered: %r", notice["id"], problem)
        return False
    return status == 200 and ACKNOWLEDGED[notice["wallet"]](answer)


async def _post(session: aiohttp.ClientSession, notice: sqlite3.Row, body: bytes) -> tuple[int, bytes]:
    """Status and body of the answer. Raises ValueError for one that is too long to be read."""
    headers = {**json.loads(notice["headers"]), "Content-Type": notice["content_type"]}
    url = URL(notice["url"], encoded=True)  # as the merchant wrote it
    async with session.post(url, data=body, headers=headers, allow_redirects=False) as answer:
        told = b""
        async for chunk in answer.content.iter_any():
            told += chunk
            if len(told) > ANSWER_LIMIT_BYTES:
                raise ValueError("the answer is too long")
    return answer.status, told
