"""The sync client: runs the scripts' steps one after the other on the caller's thread."""

import time
from collections.abc import Callable, Iterator
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


class Client:
    """The merchant API of tael or of hosted QFPay; `base_url` selects the server.

    A call returns only if the server's respcd is 0000, and raises a `TaelClientError` otherwise; see `errors`. Use one
    client for many calls, also from several threads. Close it, or use it in a `with` statement.

    - `attempts`: how often one call may be sent.
    - `signed_answers=False`: for servers that do not sign their responses, which then only TLS proves. A signature that
      is present is verified all the same.
    - `date_queries=True`: send `txdtm` with queries too, for an app with a maximum age of requests.
    - `allow_http=True`: permit plain HTTP to another machine. To this machine it is always permitted.
    - `on_exchange`: called with each `Exchange` with the server when it has ended.
    - `http`: your own httpx client, for proxies or certificates; you close it. Redirects are never followed.
    - `now`: the time for `txdtm`. `monotonic` and `sleep`: the clock for waiting.
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
        """Close the client's connections. (`close` closes an order.)"""
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
        """Open a payment. A returned barcode payment is paid; a returned online payment is created.

        Raises OutcomePending (1145: the payer has to enter a password), OutcomeUnknown, Refused, Unreachable.
        """
        return self._run(self._core.payment(order))

    def close(self, *, syssn: str = "", reference: str = "", amount: Money | None = None) -> Close:
        """Close an unpaid online order. A paid one is refused (1124): refund it.

        `amount` is for apps whose operator requires it. Servers do not compare it with the order.
        """
        return self._run(self._core.close(syssn, reference, amount))

    def refund(self, payment_syssn: str, reference: str, amount: Money) -> Refund:
        """Refund a payment in full or in part. A repeat with the same `reference` refunds nothing more.

        Raises OutcomePending for a refund that is accepted and not completed (2999): query its `syssn`.
        """
        return self._run(self._core.refund(payment_syssn, reference, amount))

    def reversal(self, *, syssn: str = "", reference: str = "", amount: Money | None = None) -> Reversal:
        """Reverse a barcode payment in any state: an unpaid one is closed, a paid one is refunded in full.

        `amount` must be the payment's. Without it, the client queries it first. If that query finds no payment, nothing
        more is sent and Refused (1136) is raised, as for an unknown number. Raises OutcomePending while the reversal is
        in progress: send it again.
        """
        return self._run(self._core.reversal(syssn, reference, amount))

    def query(self, filters: Filters | None = None, *, page: int = 1, page_size: int = MAX_ROWS) -> QueryPage:
        """One page of payments and refunds, newest first. An unknown number has no rows."""
        return self._run(self._core.query(filters or Filters(), page, page_size))

    def query_all(self, filters: Filters | None = None, *, page_size: int = MAX_ROWS) -> Iterator[Row]:
        """All rows, newest first. Pages are requested as needed, and a long range month by month."""
        for piece in paging.pieces_of(filters or Filters(), self._core.now()):
            pages = paging.Pages()
            while not pages.is_over:
                yield from pages.take(self.query(piece, page=pages.number, page_size=page_size))

    def settlements(
        self, first: date, last: date, *, wallet: WalletName | None = None
    ) -> tuple[Settlement, ...]:
        """What the wallets paid out from `first` to `last`, days of settlement in UTC+8, both included.

        A year at most. `wallet` selects one of them.
        """
        return self._run(self._core.settlements(first, last, wallet))

    def trade_bill(self, day: date, *, mchid: str = "") -> bytes:
        """The bill of a day in UTC+8 that is over: a zip with a CSV and a JSON file for each merchant of the app.

        `mchid` selects one merchant. The client's own is not used.
        """
        return self._run(self._core.trade_bill(day, mchid))

    # ---- waiting -------------------------------------------------------------------------------------------

    def pay_and_wait(
        self,
        order: PaymentOrder,
        *,
        deadline_s: float = waiting.DEADLINE_S,
        on_deadline: OnDeadline = "leave",
        on_opened: OnOpened | None = None,
    ) -> Waited:
        """Open a payment and query it every 5 s until it is decided, for about `deadline_s` seconds.

        An online order needs `on_opened`: it is called once with the opened payment, to show it to the payer. A payment
        undecided at the deadline is returned as `Pending`, or undone first: `on_deadline` is "leave", "reverse"
        (barcode) or "close" (online). Raises Refused if the payment failed, Unreachable if nothing was ever sent.
        """
        return self._run(waiting.pay_and_wait(self._core, order, deadline_s, on_deadline, on_opened))

    def wait(
        self, payment: Payment, *, deadline_s: float = waiting.DEADLINE_S, on_deadline: OnDeadline = "leave"
    ) -> Waited:
        """Like `pay_and_wait`, for a payment that is already open."""
        return self._run(waiting.wait(self._core, payment, deadline_s, on_deadline))

    # ---- running scripts -----------------------------------------------------------------------------------

    def _run(self, script: Script[Result]) -> Result:
        step_result: StepResult = None
        while True:
            try:
                step = script.send(step_result)
            except StopIteration as end:
                result: Result = end.value
                return result
            match step:
                case Send():
                    step_result = self._send(step)
                    show(self._on_exchange, self._base_url, step, step_result)
                case Rest(rest_s):
                    self._sleep(rest_s)
                    step_result = None
                case ReadClock():
                    step_result = float(self._monotonic())

    def _send(self, step: Send) -> Reply | NotSent | NoAnswer:
        request = request_of(step, self._base_url, self._timeouts)
        collected = Collected(step)
        try:
            response = self._http.send(request, stream=True, follow_redirects=False)
            try:
                for chunk in response.iter_bytes():
                    collected.add(chunk)
            finally:
                response.close()
        except FAILURES as error:
            return failure_of(error)
        return collected.reply(response)
