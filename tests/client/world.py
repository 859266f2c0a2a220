"""A server with scripted responses, a clock that only moves on sleep, and the sync and async client.

Responses are signed here independently, from the documents alone.
"""

import asyncio
import hashlib
import json
from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from datetime import datetime, timedelta, timezone
from typing import Any, Final
from urllib.parse import parse_qsl

import httpx
from tael_client import AsyncClient, Client, Credentials, Money, PaymentOrder

UTC8: Final = timezone(timedelta(hours=8))
KEY: Final = "123456"
MCHID: Final = "eqqmYMn0Zj6pncw5ZDxjgMqbzV"
CREDENTIALS: Final = Credentials("123456", KEY, MCHID)
NOW: Final = datetime(2017, 9, 6, 14, 56, 43, tzinfo=UTC8)
SYSSN: Final = "201709060902990042326492"

Members = dict[str, Any]
Scripted = httpx.Response | Exception


def signed(
    members: Members | str, status: int = 200, key: str = KEY, algorithm: Callable[[bytes], Any] = hashlib.md5
) -> httpx.Response:
    """A response as the server signs it."""
    body = (members if isinstance(members, str) else json.dumps(members)).encode()
    sign = algorithm(body + key.encode()).hexdigest().upper()
    return httpx.Response(status, headers={"X-QF-SIGN": sign}, content=body)


def unsigned(members: Members | str, status: int = 200) -> httpx.Response:
    answer = signed(members, status)
    del answer.headers["X-QF-SIGN"]
    return answer


def verdict(respcd: str, **more: str) -> Members:
    return {"respcd": respcd, "respmsg": "", "resperr": "", **more}


def barcode_answer(respcd: str = "0000", **changed: str) -> Members:
    """The documented example of a barcode payment's response."""
    return {
        "pay_type": "800208",
        "out_trade_no": "57003579",
        "cardcd": "oKeGJuIhEWuWZQPdXFBkXdgr5nLc",
        "txdtm": "2017-09-06 14:56:43",
        "resperr": "",
        "txamt": "10",
        "respmsg": "ok",
        "sysdtm": "2017-09-06 14:56:43",
        "syssn": SYSSN,
        "txcurrcd": "HKD",
        "respcd": respcd,
        "code_url": "",
    } | changed


def online_answer(**changed: str) -> Members:
    more = {"pay_type": "800201", "cardcd": "", "qrcode": "weixin://wxpay/bizpayurl?pr=gFkB"}
    return barcode_answer(**more) | changed


def row(respcd: str = "0000", cancel: str = "0", **changed: str) -> Members:
    """The documented example of a row."""
    return {
        "pay_type": "800208",
        "sysdtm": "2017-09-06 14:56:43",
        "order_type": "payment",
        "txcurrcd": "",
        "txdtm": "2017-09-06 14:56:43",
        "txamt": "10",
        "out_trade_no": "57003579",
        "syssn": SYSSN,
        "cancel": cancel,
        "respcd": respcd,
        "errmsg": "交易成功",
    } | changed


def page(*rows: Members, number: int = 1, size: int = 100) -> Members:
    return {**verdict("0000"), "data": list(rows), "page": number, "page_size": size}


def reversal_answer(respcd: str = "0000", **changed: str) -> Members:
    """The documented example of a reversal's response."""
    return {
        "resperr": "",
        "sysdtm": "2017-09-06 15:00:35",
        "orig_syssn": SYSSN,
        "respmsg": "ok",
        "out_trade_no": "57003579",
        "syssn": "201709060902990042326548",
        "respcd": respcd,
    } | changed


def barcode_order() -> PaymentOrder:
    """The order of the documented example of a barcode payment."""
    return PaymentOrder.wechat_barcode("57003579", Money(10), "134567890123456789")


def online_order() -> PaymentOrder:
    return PaymentOrder.wechat_qr("57003579", Money(10))


@dataclass(slots=True)
class Clock:
    """A clock that moves only on sleep."""

    time_s: float = 1000.0
    rests: list[float] = field(default_factory=list)

    def monotonic(self) -> float:
        return self.time_s

    def sleep(self, rest_s: float) -> None:
        self.rests.append(rest_s)
        self.time_s += rest_s

    async def async_sleep(self, rest_s: float) -> None:
        self.sleep(rest_s)


@dataclass(frozen=True, slots=True)
class Asked:
    """A received request."""

    call: str
    params: dict[str, str]
    headers: httpx.Headers
    body: bytes
    timeouts: Any
    time_s: float


class Server:
    """Sends the responses of `will` in turn, and keeps the requests. An exception is a network failure."""

    def __init__(self, clock: Clock) -> None:
        self.clock = clock
        self.asked: list[Asked] = []
        self._answers: deque[Scripted] = deque()

    def will(self, *answers: Scripted) -> None:
        self._answers.extend(answers)

    def __call__(self, request: httpx.Request) -> httpx.Response:
        body = request.read()
        form = request.url.query if request.method == "GET" else body
        params = dict(parse_qsl(form.decode(), keep_blank_values=True, strict_parsing=True))
        call = request.url.path.removeprefix("/trade/v1/")
        self.asked.append(
            Asked(call, params, request.headers, body, request.extensions["timeout"], self.clock.time_s)
        )
        assert self._answers, f"no response was scripted for {call} {params}"
        answer = self._answers.popleft()
        if isinstance(answer, Exception):
            raise answer
        return httpx.Response(answer.status_code, headers=answer.headers, content=answer.content)

    @property
    def calls(self) -> list[str]:
        return [asked.call for asked in self.asked]

    @property
    def is_through(self) -> bool:
        """Whether every scripted response was used."""
        return not self._answers


@dataclass(slots=True)
class Shop:
    """A merchant's program with the sync or async client, and its server."""

    is_async: bool
    clock: Clock = field(default_factory=Clock)
    server: Server = field(init=False)

    def __post_init__(self) -> None:
        self.server = Server(self.clock)

    def settings(self, given: Members) -> Members:
        return {
            "base_url": "https://pay.example",
            "credentials": CREDENTIALS,
            "now": lambda: NOW,
            "monotonic": self.clock.monotonic,
            **given,
        }

    def do(self, name: str, *args: Any, client: Members | None = None, **kwargs: Any) -> Any:
        """Call a method of the client. Returns the rows of `query_all` as a list."""
        settings = self.settings(client or {})
        transport = httpx.MockTransport(self.server)
        if self.is_async:
            return asyncio.run(self._do_async(settings, transport, name, args, kwargs))
        with (
            httpx.Client(transport=transport) as http,
            Client(http=http, sleep=self.clock.sleep, **settings) as face,
        ):
            got = getattr(face, name)(*args, **kwargs)
            return list(got) if name == "query_all" else got

    async def _do_async(
        self,
        settings: Members,
        transport: httpx.MockTransport,
        name: str,
        args: Iterable[Any],
        kwargs: Members,
    ) -> Any:
        async with (
            httpx.AsyncClient(transport=transport) as http,
            AsyncClient(http=http, sleep=self.clock.async_sleep, **settings) as face,
        ):
            method: Callable[..., Any] = getattr(face, name)
            if name == "query_all":
                return [row async for row in method(*args, **kwargs)]
            return await method(*args, **kwargs)
