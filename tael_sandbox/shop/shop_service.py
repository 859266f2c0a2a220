"""What the shop does with the client: one method for each thing a merchant does, and what it makes of the answers.

This is the file to read for how to use the client. Nothing that is not decided is taken for a failure: it is asked
about again, by the order's own number.
"""

import json
import time
from collections.abc import Callable
from typing import Final

import httpx
from cachetools import TTLCache
from tael_client import (
    AsyncClient,
    BadSignature,
    Credentials,
    Exchange,
    Filters,
    Money,
    Notification,
    NotificationKind,
    OutcomePending,
    Payment,
    PaymentOrder,
    PayType,
    Refused,
    Row,
    RowKind,
    TaelClientError,
    Timeouts,
    Unreachable,
    read_notification,
)
from tael_client.codes import OK
from tael_client.notifications import Style, old_text
from tael_client.signing import is_signed

from tael_sandbox.shop.order import Order, Refund, RefundState, State, refund_state_of, state_of
from tael_sandbox.shop.order_store import OrderStore, Webhook

#: Between two questions about one order, as the API's documents say.
QUERY_REST_S: Final = 5.0
#: Orders of which the shop knows that they were queried a moment ago.
MAX_QUERIED: Final = 1000
TIMEOUTS: Final = Timeouts(connect_s=3.0, read_s=30.0)
MAX_CLAIM: Final = 128
MAX_SIGN: Final = 128


class ShopService:
    """`webhook_style` is the one that the app has; webhooks of the other one are refused."""

    def __init__(
        self,
        gateway_url: str,
        credentials: Credentials,
        webhook_style: Style,
        order_store: OrderStore,
        allow_http: bool = False,
        timer: Callable[[], float] = time.monotonic,
    ) -> None:
        self._gateway_url = gateway_url
        self._credentials = credentials
        self._webhook_style = webhook_style
        self._order_store = order_store
        self._allow_http = allow_http
        self._http = httpx.AsyncClient()
        self._queried: TTLCache[str, None, float] = TTLCache(MAX_QUERIED, QUERY_REST_S, timer)

    async def close_connections(self) -> None:
        await self._http.aclose()

    def _client(self, order: Order) -> AsyncClient:
        """A client whose exchanges are written down as `order`'s."""

        def keep(one: Exchange) -> None:
            ours = self._credentials
            is_proven = is_signed(one.answer, one.answer_sign, ours.key, ours.response_sign_type)
            self._order_store.keep_exchange(order.reference, one, is_proven, time.time())

        return AsyncClient(
            self._gateway_url,
            self._credentials,
            allow_http=self._allow_http,
            http=self._http,
            timeouts=TIMEOUTS,
            on_exchange=keep,
        )

    # ---- the five calls ------------------------------------------------------------------------------------

    async def pay(self, order: Order, auth_code: str, openid: str) -> None:
        """Open the payment of an order that was just written down."""
        asked = PaymentOrder(
            pay_type=order.pay_type,
            reference=order.reference,
            amount=order.amount,
            auth_code=auth_code,
            openid=openid,
            product_name=without_ampersand(order.basket.summary),
        )
        try:
            payment = await self._client(order).payment(asked)
        except TaelClientError as error:
            self._order_store.settle(order.reference, state_after(error), words_of(error), syssn_of(error))
            return
        state = State.PAID if payment.is_paid else State.WAITING
        self._order_store.settle(order.reference, state, "", payment.syssn, pay_way_of(payment))

    async def refund(self, order: Order, refund: Refund) -> None:
        """A refund that was just written down."""
        amount = Money(refund.amount_minor, order.amount.currency)
        try:
            await self._client(order).refund(order.syssn, refund.reference, amount)
        except TaelClientError as error:
            is_refused = isinstance(error, Refused | Unreachable)
            state = RefundState.REFUSED if is_refused else RefundState.PENDING
            self._order_store.apply_refund_outcome(refund.reference, state, words_of(error))
            return
        self._order_store.apply_refund_outcome(refund.reference, RefundState.DONE)

    async def close(self, order: Order) -> str:
        """End an unpaid online order; what stood in the way, or ""."""
        try:
            await self._client(order).close(reference=order.reference)
        except TaelClientError as error:
            return await self._look_after(order, error)
        self._order_store.settle(order.reference, State.CLOSED)
        return ""

    async def reverse(self, order: Order) -> str:
        """Undo a barcode payment, paid or not; what stood in the way, or ""."""
        try:
            await self._client(order).reversal(reference=order.reference, amount=order.amount)
        except TaelClientError as error:
            return await self._look_after(order, error)
        self._order_store.settle(order.reference, State.REVERSED)
        return ""

    async def _look_after(self, order: Order, error: TaelClientError) -> str:
        await self.look(order)
        return words_of(error)

    async def look_if_due(self, order: Order) -> None:
        """A query, if something of the order is undecided and the last query is some seconds old."""
        refunds = self._order_store.refunds(order.reference)
        if not order.is_undecided and not any(one.state is RefundState.PENDING for one in refunds):
            return
        if order.reference not in self._queried:
            await self.look(order)

    async def look(self, order: Order) -> None:
        """Ask how the order and its refunds stand."""
        self._queried[order.reference] = None
        references = [order.reference, *(one.reference for one in self._order_store.refunds(order.reference))]
        try:
            page = await self._client(order).query(Filters(references=references))
        except TaelClientError:
            return  # the exchange is written down, and the next look asks again
        for row in page.rows:
            self._take(row, order)

    def _take(self, row: Row, order: Order) -> None:
        if row.kind is RowKind.REFUND:
            self._order_store.apply_refund_outcome(row.reference, refund_state_of(row))
        elif row.kind is RowKind.PAYMENT and row.reference == order.reference:
            state = state_of(row)
            told = f"{row.respcd} {row.text}".strip() if state is State.REFUSED else ""
            self._order_store.settle(order.reference, state, told, row.syssn)

    # ---- webhooks ------------------------------------------------------------------------------------------

    def take_webhook(self, body: bytes, sign: str) -> bool:
        """Whether it is the gateway's; only then anything is booked."""
        try:
            told = read_notification(self._credentials, body, sign, self._webhook_style)
        except BadSignature as refused:
            self._keep_webhook(claimed_reference(body), False, f"Refused: {refused}", sign, "", body)
            return False
        signed_text = old_text(told.members) if told.style == "old" else body
        self._keep_webhook(told.reference, True, self._book(told), sign, signed_text.decode(), body)
        return True

    def _keep_webhook(
        self, reference: str, is_verified: bool, verdict: str, sign: str, signed_text: str, body: bytes
    ) -> None:
        text = body.decode("utf-8", "replace")
        self._order_store.keep_webhook(
            Webhook(reference, is_verified, verdict, sign[:MAX_SIGN], signed_text, text, time.time())
        )

    def _book(self, told: Notification) -> str:
        """What the webhook was good for."""
        if told.kind is NotificationKind.REFUND and told.respcd == OK:
            self._order_store.apply_refund_outcome(told.reference, RefundState.DONE)
            return "A refund is done"
        order = self._order_store.order(told.reference)
        if order is None:
            return "Not an order of this shop"
        if not told.is_paid:
            return "Not news of money"
        if told.amount.amount_minor != order.amount.amount_minor:
            return "Another amount than the order's, so nothing was booked"
        self._order_store.settle(order.reference, State.PAID, syssn=told.syssn)
        return "Paid"


def without_ampersand(text: str) -> str:
    """Text that others write, such as names of articles. The signed text of a request is not encoded: `&name=` inside a
    value could be cut out as a parameter of its own. The fullwidth sign looks the same and separates nothing.
    """
    return text.replace("&", "＆")


def state_after(error: TaelClientError) -> State:
    """What a payment is after this answer to it. Only a plain no, or no connection at all, is a no."""
    if isinstance(error, Refused | Unreachable):
        return State.REFUSED
    return State.WAITING if isinstance(error, OutcomePending) else State.UNKNOWN


def words_of(error: TaelClientError) -> str:
    if isinstance(error, Unreachable):
        return "The gateway could not be reached, so nothing was sent."
    return str(error)


def syssn_of(error: TaelClientError) -> str:
    return error.syssn if isinstance(error, Refused | OutcomePending) else ""


def pay_way_of(payment: Payment) -> str:
    """What the payer opens or scans."""
    match payment.pay_type:
        case PayType.WECHAT_QR:
            return payment.qr_code
        case PayType.WECHAT_IN_APP:
            return payment.bridge_params.get("package", "")
    return payment.pay_url


def claimed_reference(body: bytes) -> str:
    """The order that an unproven webhook speaks of, to show it there; nothing else is done with it."""
    try:
        members = json.loads(body)
    except (ValueError, RecursionError):
        return ""
    claimed = members.get("out_trade_no") if isinstance(members, dict) else None
    return claimed[:MAX_CLAIM] if isinstance(claimed, str) and claimed.isascii() else ""
