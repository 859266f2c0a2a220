"""The async client: the methods of `Client`, running the same scripts on the event loop."""

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import date, datetime
from types import TracebackType
from typing import Self

import httpx

from tael_client import paging, waiting
from tael_client.addresses import checked_base_url
from tael_client.answers import Close, Payment, QueryPage, Refund, Reversal, Row, Settlement
from tael_client.calls import MAX_ROWS, WalletName
from tael_client.core import Core
from tael_client.exchange import Rules
from tael_client.money import Money
from tael_client.observing import OnExchange, show
from tael_client.orders import Filters, PaymentOrder
from tael_client.sending import (
    FAILURES,
    Collected,
    Timeouts,
    failure_of,
    request_of,
    wall_clock,
)
from tael_client.signing import Credentials
from tael_client.steps import NoAnswer, NotSent, ReadClock, Reply, Rest, Result, Script, Send, StepResult
from tael_client.waiting import OnDeadline, OnOpened, Waited


class AsyncClient:
    """`Client` with coroutines. A cancelled call is undecided, like one without a response: query."""

    def __init__(
        self,
        base_url: str,
        credentials: Credentials,
        *,
        timeouts: Timeouts | None = None,
        attempts: int = 3,
        signed_answers: bool = True,
        date_queries: bool = False,
        allow_http: bool = False,
        on_exchange: OnExchange | None = None,
        http: httpx.AsyncClient | None = None,
        now: Callable[[], datetime] = wall_clock,
        monotonic: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], Awaitable[object]] = asyncio.sleep,
    ) -> None:
        self._core = Core(Rules(credentials, attempts, signed_answers), now, date_queries)
        self._base_url = checked_base_url(base_url, allow_http=allow_http)
        self._timeouts = timeouts or Timeouts()
        self._on_exchange = on_exchange
        self._owns_http = http is None
        self._http = http or httpx.AsyncClient()
        self._monotonic = monotonic
        self._sleep = sleep

    async def close_connections(self) -> None:
        """Close the client's connections. (`close` closes an order.)"""
        if self._owns_http:
            await self._http.aclose()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close_connections()

    # ---- the calls -----------------------------------------------------------------------------------------

    async def payment(self, order: PaymentOrder) -> Payment:
        """See `Client.payment`."""
        return await self._run(self._core.payment(order))

    async def close(self, *, syssn: str = "", reference: str = "", amount: Money | None = None) -> Close:
        """See `Client.close`."""
        return await self._run(self._core.close(syssn, reference, amount))

    async def refund(self, payment_syssn: str, reference: str, amount: Money) -> Refund:
        """See `Client.refund`."""
        return await self._run(self._core.refund(payment_syssn, reference, amount))

    async def reversal(
        self, *, syssn: str = "", reference: str = "", amount: Money | None = None
    ) -> Reversal:
        """See `Client.reversal`."""
        return await self._run(self._core.reversal(syssn, reference, amount))

    async def query(
        self, filters: Filters | None = None, *, page: int = 1, page_size: int = MAX_ROWS
    ) -> QueryPage:
        """See `Client.query`."""
        return await self._run(self._core.query(filters or Filters(), page, page_size))

    async def query_all(
        self, filters: Filters | None = None, *, page_size: int = MAX_ROWS
    ) -> AsyncIterator[Row]:
        """See `Client.query_all`."""
        for piece in paging.pieces_of(filters or Filters(), self._core.now()):
            pages = paging.Pages()
            while not pages.is_over:
                for row in pages.take(await self.query(piece, page=pages.number, page_size=page_size)):
                    yield row

    async def settlements(
        self, first: date, last: date, *, wallet: WalletName | None = None
    ) -> tuple[Settlement, ...]:
        """See `Client.settlements`."""
        return await self._run(self._core.settlements(first, last, wallet))

    async def trade_bill(self, day: date, *, mchid: str = "") -> bytes:
        """See `Client.trade_bill`."""
        return await self._run(self._core.trade_bill(day, mchid))

    # ---- waiting -------------------------------------------------------------------------------------------

    async def pay_and_wait(
        self,
        order: PaymentOrder,
        *,
        deadline_s: float = waiting.DEADLINE_S,
        on_deadline: OnDeadline = "leave",
        on_opened: OnOpened | None = None,
    ) -> Waited:
        """See `Client.pay_and_wait`. `on_opened` is a plain function, not a coroutine function."""
        return await self._run(waiting.pay_and_wait(self._core, order, deadline_s, on_deadline, on_opened))

    async def wait(
        self, payment: Payment, *, deadline_s: float = waiting.DEADLINE_S, on_deadline: OnDeadline = "leave"
    ) -> Waited:
        """See `Client.wait`."""
        return await self._run(waiting.wait(self._core, payment, deadline_s, on_deadline))

    # ---- running scripts -----------------------------------------------------------------------------------

    async def _run(self, script: Script[Result]) -> Result:
        step_result: StepResult = None
        while True:
            try:
                step = script.send(step_result)
            except StopIteration as end:
                result: Result = end.value
                return result
            match step:
                case Send():
                    step_result = await self._send(step)
                    show(self._on_exchange, self._base_url, step, step_result)
                case Rest(rest_s):
                    await self._sleep(rest_s)
                    step_result = None
                case ReadClock():
                    step_result = float(self._monotonic())

    async def _send(self, step: Send) -> Reply | NotSent | NoAnswer:
        request = request_of(step, self._base_url, self._timeouts)
        collected = Collected(step)
        try:
            response = await self._http.send(request, stream=True, follow_redirects=False)
            try:
                async for chunk in response.aiter_bytes():
                    collected.add(chunk)
            finally:
                await response.aclose()
        except FAILURES as error:
            return failure_of(error)
        return collected.reply(response)
