"""Open load: payments are sent on a schedule, whether or not earlier ones were answered.

    python -m bench.open_load URL FILE PER_SECOND SECONDS [CONNECTIONS [WARM_UP_SECONDS]]

A payment's time begins when it was to be sent, so a server that stops for a moment is charged for every payment that
was due meanwhile. Gaps are exponentially distributed with a fixed seed. Payments that are due in the warm-up, which
comes before the seconds, do not count. Prints one JSON object.

The client's own delay is a part of every latency. On a machine that it shares with the server it has a higher priority,
if its user may set that.

After the load a payment is sent every few milliseconds until one is accepted. They count for `recovered_ms` only.
"""

import asyncio
import ctypes
import gc
import json
import math
import os
import random
import re
import subprocess
import sys
import time
from collections import Counter, deque
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final, cast
from urllib.parse import urlsplit

import uvloop

from bench.processes import ROOT
from bench.requests import APPCODE, PATH

CONNECTIONS: Final = 512
OPENED_BEFORE: Final = 256
#: How long answers are waited for after the last payment was sent.
DRAIN_S: Final = 15.0
#: Between two payments after the load.
PROBE_S: Final = 0.005
SEED: Final = 1
#: The client's, as `nice` has it.
PRIORITY: Final = -10
TFD_TIMER_ABSTIME: Final = 1
LENGTH: Final = re.compile(rb"\r\ncontent-length: *(\d+)\r\n", re.IGNORECASE)
CODE: Final = re.compile(rb'"respcd": ?"(\d{4})"')
ACCEPTED: Final = "0000"


@dataclass(frozen=True, slots=True)
class OpenLoad:
    """Latencies are those of accepted payments, in milliseconds. The warm-up is not included."""

    scheduled: int
    codes: dict[str, int]  #: answers by respcd, or "HTTP 503", "closed"
    p50_ms: float
    p99_ms: float
    worst_ms: float
    late_p99_ms: (
        float  #: 99th percentile of the client's own delay: how long a payment was due before it was sent
    )
    client_cpu: float  #: CPU seconds of the client in a second
    recovered_ms: float  #: from the end of the load to the first answer 0000 to a payment sent after it

    @property
    def accepted(self) -> int:
        return self.codes.get(ACCEPTED, 0)


def number_of_payments(per_second: float, seconds: float) -> int:
    """How many payments a load of so many seconds, with its warm-up, may need."""
    return int(per_second * seconds * 1.5) + 1000


def run(
    url: str,
    payments: Path,
    per_second: float,
    seconds: float,
    connections: int = CONNECTIONS,
    warm_up_s: float = 0.0,
) -> OpenLoad:
    """In a process of its own."""
    command = [sys.executable, "-m", "bench.open_load", url, str(payments), str(per_second), str(seconds)]
    done = subprocess.run(
        [*command, str(connections), str(warm_up_s)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
        timeout=seconds + warm_up_s + DRAIN_S + 60,
    )
    return OpenLoad(**json.loads(done.stdout))


class _Client:
    """Keeps idle connections, and payments for which there is none."""

    def __init__(self, host: str, port: int, connections: int) -> None:
        self._address = host, port
        self._spare = connections
        self.idle: list[_Connection] = []
        self.waiting: deque[tuple[float, bytes]] = deque()
        self.latencies: list[float] = []
        self.recovered_at: float | None = None
        self._counted_from = 0.0
        self._ended = math.inf
        self.codes: Counter[str] = Counter()
        self.answered = 0
        self._expected = -1
        self._drained = asyncio.Event()

    def send(self, due: float, request: bytes) -> None:
        self.waiting.append((due, request))
        self.work()

    def work(self) -> None:
        while self.waiting and self.idle:
            self.idle.pop().send(*self.waiting.popleft())
        if self.waiting and self._spare:
            self._spare -= 1
            asyncio.get_running_loop().create_task(self._connect())

    async def connect(self) -> None:
        """Open connections before the load, as clients that keep theirs. More are opened when they are needed."""
        number = min(self._spare, OPENED_BEFORE)
        self._spare -= number
        for _ in range(number):
            await self._connect()

    async def _connect(self) -> None:
        await asyncio.get_running_loop().create_connection(lambda: _Connection(self), *self._address)

    def count_from(self, due: float) -> None:
        """Payments that were due before do not count."""
        self._counted_from = due

    def note(self, code: str, due: float) -> None:
        if due >= self._ended:
            if code == ACCEPTED and self.recovered_at is None:
                self.recovered_at = time.perf_counter()
            return
        if due < self._counted_from:
            return
        self.answered += 1
        self.codes[code] += 1
        if code == ACCEPTED:
            self.latencies.append(time.perf_counter() - due)
        self._check_is_drained()

    def lost(self) -> None:
        self._spare += 1

    async def recovered(self, requests: Iterator[bytes]) -> float:
        """Seconds from now until a payment that is sent from now on is accepted; at most `DRAIN_S`."""
        self._ended = time.perf_counter()
        while self.recovered_at is None and time.perf_counter() < self._ended + DRAIN_S:
            self.send(time.perf_counter(), next(requests))
            await asyncio.sleep(PROBE_S)
        return (self.recovered_at or time.perf_counter()) - self._ended

    async def drained(self, number: int) -> None:
        """Returns once so many payments were answered, or after `DRAIN_S`."""
        self._expected = number
        self._check_is_drained()
        with suppress(TimeoutError):
            await asyncio.wait_for(self._drained.wait(), DRAIN_S)

    def _check_is_drained(self) -> None:
        if self.answered == self._expected:
            self._drained.set()


class _Connection(asyncio.Protocol):
    def __init__(self, client: _Client) -> None:
        self._client = client
        self._received = b""
        self._due: float | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        self._client.idle.append(self)
        self._client.work()

    def send(self, due: float, request: bytes) -> None:
        self._due = due
        self._transport.write(request)

    def data_received(self, data: bytes) -> None:
        self._received += data
        end = self._received.find(b"\r\n\r\n")
        found = LENGTH.search(self._received, 0, end + 2) if end >= 0 else None
        if found is None or len(self._received) < end + 4 + int(found.group(1)):
            return
        status, code = self._received[9:12].decode(), CODE.search(self._received, end)
        due, self._due, self._received = self._due, None, b""
        if due is not None:
            self._client.note(code.group(1).decode() if code and status == "200" else f"HTTP {status}", due)
        self._client.idle.append(self)
        self._client.work()

    def connection_lost(self, _: Exception | None) -> None:
        if self._due is not None:
            self._client.note("closed", self._due)
        if self in self._client.idle:
            self._client.idle.remove(self)
        self._client.lost()


class _TimerSpec(ctypes.Structure):
    """`itimerspec`: the interval, which is not used, and the instant."""

    _fields_ = tuple((name, ctypes.c_long) for name in ("every_s", "every_ns", "at_s", "at_ns"))


class _Alarm:
    """A timer of the kernel, since those of the event loop are in milliseconds: man timerfd_create."""

    def __init__(self) -> None:
        self._libc = ctypes.CDLL(None, use_errno=True)
        self._fd = self._libc.timerfd_create(time.CLOCK_MONOTONIC, os.O_NONBLOCK | os.O_CLOEXEC)
        if self._fd < 0:
            raise OSError(ctypes.get_errno(), "timerfd_create")
        self._rang = asyncio.Event()
        asyncio.get_running_loop().add_reader(self._fd, self._ring)

    async def wait_until(self, at: float) -> None:
        """Returns at this value of `time.perf_counter`. The event loop has a turn in any case."""
        if at <= time.perf_counter():
            await asyncio.sleep(0)
            return
        self._rang.clear()
        at_ns = int(at * 1e9)
        spec = _TimerSpec(0, 0, *divmod(at_ns, 1_000_000_000))
        if self._libc.timerfd_settime(self._fd, TFD_TIMER_ABSTIME, ctypes.byref(spec), None) < 0:
            raise OSError(ctypes.get_errno(), "timerfd_settime")
        await self._rang.wait()

    def _ring(self) -> None:
        with suppress(BlockingIOError):
            os.read(self._fd, 8)
            self._rang.set()


async def _load(
    url: str,
    lines: Sequence[bytes],
    per_second: float,
    seconds: float,
    connections: int,
    warm_up_s: float,
) -> OpenLoad:
    address = urlsplit(url)
    assert address.hostname is not None
    assert address.port is not None
    client = _Client(address.hostname, address.port, connections)
    gaps, scheduled = random.Random(SEED), 0
    await client.connect()
    requests = iter([_request(line, address.netloc) for line in lines])  # made before, not while they are due
    gc.freeze()
    late: list[float] = []
    with suppress(PermissionError):
        os.setpriority(os.PRIO_PROCESS, 0, PRIORITY)
    cpu = time.process_time()
    due = time.perf_counter() + 0.1
    counted_from = due + warm_up_s
    client.count_from(counted_from)
    alarm = _Alarm()
    while due < counted_from + seconds:
        await alarm.wait_until(due)
        while due <= (now := time.perf_counter()) and due < counted_from + seconds:
            client.send(due, next(requests))
            if due >= counted_from:
                late.append(now - due)
                scheduled += 1
            due += gaps.expovariate(per_second)
    cpu = time.process_time() - cpu
    recovered = await client.recovered(requests)
    await client.drained(scheduled)
    client.codes["unanswered"] = scheduled - client.answered
    return OpenLoad(
        scheduled=scheduled,
        codes=dict(client.codes),
        p50_ms=_quantile_ms(client.latencies, 0.5),
        p99_ms=_quantile_ms(client.latencies, 0.99),
        worst_ms=_quantile_ms(client.latencies, 1.0),
        late_p99_ms=_quantile_ms(late, 0.99),
        client_cpu=cpu / (warm_up_s + seconds),
        recovered_ms=recovered * 1000,
    )


def _quantile_ms(seconds: Sequence[float], part: float) -> float:
    ordered = sorted(seconds) or [0.0]
    return ordered[int(part * (len(ordered) - 1))] * 1000


def _request(line: bytes, host: str) -> bytes:
    sign, body = line.split(b" ", 1)
    head = (
        f"POST {PATH} HTTP/1.1\r\nHost: {host}\r\nContent-Type: application/x-www-form-urlencoded\r\n"
        f"X-QF-APPCODE: {APPCODE}\r\nX-QF-SIGN: {sign.decode()}\r\nContent-Length: {len(body)}\r\n\r\n"
    )
    return head.encode() + body


def main() -> None:
    url, path, per_second, seconds, *others = sys.argv[1:]
    connections, warm_up_s = [*others, *(str(CONNECTIONS), "0")[len(others) :]]
    lines = Path(path).read_bytes().splitlines()
    found = uvloop.run(
        _load(url, lines, float(per_second), float(seconds), int(connections), float(warm_up_s))
    )
    print(json.dumps({name: getattr(found, name) for name in OpenLoad.__dataclass_fields__}))


if __name__ == "__main__":
    main()
