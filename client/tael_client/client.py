"""The sync client. Takes the steps of the scripts one after the other, on the caller's thread."""

import time
from collections.abc import Callable, Iterator
from datetime import datetime
from types import TracebackType
from typing import Self

import httpx

from tael_client import paging, waiting
from tael_client.addresses import checked_base_url
from tael_client.answers import Close, Payment, QueryPage, Refund, Reversal, Row
from tael_client.calls import MAX_ROWS
from tael_client.core import Core
from tael_client.exchange import Rules
from tael_client.money import Money
from tael_client.observing import OnExchange, show
from tael_client.orders import Filters, PaymentOrder
from tael_client.sending import (
    FAILURES,
    Collected,
    Timeouts,
    heard_of,
    request_of,
    wall_clock,
)
from tael_client.signing import Credentials
from tael_client.steps import Heard, NoAnswer, NotSent, ReadClock, Reply, Rest, Result, Script, Send
from tael_client.waiting import OnDeadline, OnOpened, Waited


class Client:
    """The API of a merchant, at tael or hosted QFPay: `base_url` makes the difference.

    A call returns its answer only if the server said 0000, and otherwise raises a `TaelClientError`; see `errors`. Use
    one client for many calls, also from several threads, and close it, or use it in a `with`.

    `attempts` counts sendings of one call. `signed_answers=False` is for servers that do not sign their answers: then
    only TLS proves them; a signature that is there is verified all the same. `date_queries=True` sends `txdtm` with
    queries too, for an app that has a maximum age of requests. `allow_http=True` lets `base_url` be plain HTTP to
    another machine; to this one it may always be. `http` brings proxies or certificates of your own, and you close it;
    redirects are never followed. `on_exchange` is shown each `Exchange` with the server as soon as it is over. `now` is
    the time for `txdtm`; `monotonic` and `sleep` are what waiting goes by.
    """

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
        http: httpx.Client | None = None,
        now: Callable[[], datetime] = wall_clock,
        monotonic: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], object] = time.sleep,
    ) -> None:
        self._core = Core(Rules(credentials, attempts, signed_answers), now, date_queries)
        self._base_url = checked_base_url(base_url, allow_http=allow_http)
        self._timeouts = timeouts or Timeouts()
        self._on_exchange = on_exchange
        self._owns_http = http is None
        self._http = http or httpx.Client()
        self._monotonic = monotonic
        self._sleep = sleep

    def close_connections(self) -> None:
        """Ends the client. (`close` closes an order.)"""
        if self._owns_http:
            self._http.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close_connections()

    # ---- the calls -----------------------------------------------------------------------------------------

    def payment(self, order: PaymentOrder) -> Payment:
        """Open a payment. Returned: a barcode's is paid, an online one is created.

        Raises OutcomePending (1145: the payer is typing), OutcomeUnknown, Refused, Unreachable.
        """
        return self._run(self._core.payment(order))

    def close(self, *, syssn: str = "", reference: str = "", amount: Money | None = None) -> Close:
        """End an unpaid online order, by one of its numbers. A paid one is refused (1124): refund it.

        `amount` is for apps whose operator requires it. No server compares it.
        """
        return self._run(self._core.close(syssn, reference, amount))

    def refund(self, payment_syssn: str, reference: str, amount: Money) -> Refund:
        """Give back all or a part. `reference` is the refund's own: a repeat with it gives back nothing more.

        Raises OutcomePending for a refund that is accepted and not finished (2999): query its `syssn`.
        """
        return self._run(self._core.refund(payment_syssn, reference, amount))

    def reversal(self, *, syssn: str = "", reference: str = "", amount: Money | None = None) -> Reversal:
        """Undo a barcode payment whatever its state: unpaid it is closed, paid it is refunded in full and closed.

        `amount` must be the payment's. Without it, a query looks it up first: give it if you know it. If that query
        finds no payment, nothing more is sent, and Refused (1136) is raised, as for a number that the server does not
        know. Raises OutcomePending while it is under way: send it again.
        """
        return self._run(self._core.reversal(syssn, reference, amount))

    def query(self, filters: Filters | None = None, *, page: int = 1, page_size: int = MAX_ROWS) -> QueryPage:
        """One page of payments and refunds, newest first. An unknown number gives no rows."""
        return self._run(self._core.query(filters or Filters(), page, page_size))

    def query_all(self, filters: Filters | None = None, *, page_size: int = MAX_ROWS) -> Iterator[Row]:
        """Every row, newest first, asking for pages as they are needed; a long range is asked for month by month."""
        for piece in paging.pieces_of(filters or Filters(), self._core.now()):
            pages = paging.Pages()
            while not pages.is_over:
                yield from pages.take(self.query(piece, page=pages.number, page_size=page_size))

    # ---- waiting -------------------------------------------------------------------------------------------

    def pay_and_wait(
        self,
        order: PaymentOrder,
        *,
        deadline_s: float = waiting.DEADLINE_S,
        on_deadline: OnDeadline = "leave",
        on_opened: OnOpened | None = None,
    ) -> Waited:
        """Open a payment and stay with it until it is decided, querying every 5 s, for about `deadline_s` seconds.

        An online order needs `on_opened`, which is called once with the opened payment, to show it to the payer. What
        nobody decided in time is `Pending`, or is undone: `on_deadline` is "leave", "reverse" (barcodes) or "close".
        Raises Refused if the payment failed, Unreachable if nothing was ever sent.
        """
        return self._run(waiting.pay_and_wait(self._core, order, deadline_s, on_deadline, on_opened))

    def wait(
        self, payment: Payment, *, deadline_s: float = waiting.DEADLINE_S, on_deadline: OnDeadline = "leave"
    ) -> Waited:
        """As `pay_and_wait`, for a payment that is opened already."""
        return self._run(waiting.wait(self._core, payment, deadline_s, on_deadline))

    # ---- taking steps --------------------------------------------------------------------------------------

    def _run(self, script: Script[Result]) -> Result:
        heard: Heard = None
        while True:
            try:
                step = script.send(heard)
            except StopIteration as end:
                result: Result = end.value
                return result
            match step:
                case Send():
                    heard = self._send(step)
                    show(self._on_exchange, self._base_url, step, heard)
                case Rest(rest_s):
                    self._sleep(rest_s)
                    heard = None
                case ReadClock():
                    heard = float(self._monotonic())

    def _send(self, step: Send) -> Reply | NotSent | NoAnswer:
        request = request_of(step, self._base_url, self._timeouts)
        collected = Collected()
        try:
            response = self._http.send(request, stream=True, follow_redirects=False)
            try:
                for chunk in response.iter_bytes():
                    collected.add(chunk)
            finally:
                response.close()
        except FAILURES as error:
            return heard_of(error)
        return collected.reply(response)
