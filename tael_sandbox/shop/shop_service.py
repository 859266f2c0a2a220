"""The shop's use of the client: one method for each call of the gateway, and the state that follows from the response.

Read this file for an example of the client. An undecided result is never treated as a failure: the shop queries again
with the order's own number.
"""

import json
import time
from collections.abc import Callable
from dataclasses import dataclass
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

#: Between two queries of one order, as the API's documents require.
QUERY_INTERVAL_S: Final = 5.0
#: The number of recent queries that the shop remembers.
MAX_QUERIED: Final = 1000
TIMEOUTS: Final = Timeouts(connect_s=3.0, read_s=30.0)
MAX_REFERENCE: Final = 128
MAX_SIGN: Final = 128


@dataclass(frozen=True, slots=True)
class Visitor:
    """Whose browser it is, and the address at which it found the shop."""

    ip: str
    site_url: str


class ShopService:
    """`webhook_style` is the app's setting; webhooks of the other style are refused."""

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
        self._queried: TTLCache[str, None, float] = TTLCache(MAX_QUERIED, QUERY_INTERVAL_S, timer)

    async def close_connections(self) -> None:
        await self._http.aclose()

    def _client(self, order: Order) -> AsyncClient:
        """A client whose exchanges are stored with `order`."""

        def save(exchange: Exchange) -> None:
            key, sign_type = self._credentials.key, self._credentials.response_sign_type
            is_proven = is_signed(exchange.answer, exchange.answer_sign, key, sign_type)
            self._order_store.save_exchange(order.reference, exchange, is_proven, time.time())

        return AsyncClient(
            self._gateway_url,
            self._credentials,
            allow_http=self._allow_http,
            http=self._http,
            timeouts=TIMEOUTS,
            on_exchange=save,
        )

    # ---- the five calls ------------------------------------------------------------------------------------

    async def pay(self, order: Order, auth_code: str, openid: str, visitor: Visitor) -> None:
        """Opens the payment of an order that is already stored."""
        payment_order = payment_order_of(order, auth_code, openid, visitor)
        try:
            payment = await self._client(order).payment(payment_order)
        except TaelClientError as error:
            self._order_store.apply_outcome(
                order.reference, state_after(error), message_of(error), syssn_of(error)
            )
            return
        state = State.PAID if payment.is_paid else State.WAITING
        self._order_store.apply_outcome(order.reference, state, "", payment.syssn, presentment_of(payment))

    async def refund(self, order: Order, refund: Refund) -> None:
        """Makes a refund that is already stored."""
        amount = Money(refund.amount_minor, order.amount.currency)
        try:
            await self._client(order).refund(order.syssn, refund.reference, amount)
        except TaelClientError as error:
            is_refused = isinstance(error, Refused | Unreachable)
            state = RefundState.REFUSED if is_refused else RefundState.PENDING
            self._order_store.apply_refund_outcome(refund.reference, state, message_of(error))
            return
        self._order_store.apply_refund_outcome(refund.reference, RefundState.DONE)

    async def close(self, order: Order) -> str:
        """Closes an unpaid online order. Returns the error's message, or ""."""
        try:
            await self._client(order).close(reference=order.reference)
        except TaelClientError as error:
            return await self._refresh_after(order, error)
        self._order_store.apply_outcome(order.reference, State.CLOSED)
        return ""

    async def reverse(self, order: Order) -> str:
        """Reverses a barcode payment, paid or not. Returns the error's message, or ""."""
        try:
            await self._client(order).reversal(reference=order.reference, amount=order.amount)
        except TaelClientError as error:
            return await self._refresh_after(order, error)
        self._order_store.apply_outcome(order.reference, State.REVERSED)
        return ""

    async def _refresh_after(self, order: Order, error: TaelClientError) -> str:
        await self.refresh(order)
        return message_of(error)

    async def refresh_if_due(self, order: Order) -> None:
        """Queries if the order or a refund is undecided and the last query is old enough."""
        refunds = self._order_store.refunds(order.reference)
        if not order.is_undecided and not any(refund.state is RefundState.PENDING for refund in refunds):
            return
        if order.reference not in self._queried:
            await self.refresh(order)

    async def refresh(self, order: Order) -> None:
        """Queries the states of the order and its refunds."""
        self._queried[order.reference] = None
        references = [
            order.reference,
            *(refund.reference for refund in self._order_store.refunds(order.reference)),
        ]
        try:
            page = await self._client(order).query(Filters(references=references))
        except TaelClientError:
            return  # the exchange is stored, and the next refresh queries again
        for row in page.rows:
            self._apply_row(row, order)

    def _apply_row(self, row: Row, order: Order) -> None:
        if row.kind is RowKind.REFUND:
            self._order_store.apply_refund_outcome(row.reference, refund_state_of(row))
        elif row.kind is RowKind.PAYMENT and row.reference == order.reference:
            state = state_of(row)
            detail = f"{row.respcd} {row.text}".strip() if state is State.REFUSED else ""
            self._order_store.apply_outcome(order.reference, state, detail, row.syssn)

    # ---- webhooks ------------------------------------------------------------------------------------------

    def receive_webhook(self, body: bytes, sign: str) -> bool:
        """Whether the webhook is the gateway's. Only then is it applied."""
        try:
            notification = read_notification(self._credentials, body, sign, self._webhook_style)
        except BadSignature as refused:
            self._save_webhook(claimed_reference(body), False, f"Refused: {refused}", sign, "", body)
            return False
        signed_text = old_text(notification.members) if notification.style == "old" else body
        self._save_webhook(
            notification.reference, True, self._book(notification), sign, signed_text.decode(), body
        )
        return True

    def _save_webhook(
        self, reference: str, is_verified: bool, verdict: str, sign: str, signed_text: str, body: bytes
    ) -> None:
        text = body.decode("utf-8", "replace")
        self._order_store.save_webhook(
            Webhook(reference, is_verified, verdict, sign[:MAX_SIGN], signed_text, text, time.time())
        )

    def _book(self, notification: Notification) -> str:
        """Applies a verified webhook. Returns a sentence about the result."""
        if notification.kind is NotificationKind.REFUND and notification.respcd == OK:
            self._order_store.apply_refund_outcome(notification.reference, RefundState.DONE)
            return "Refund done"
        order = self._order_store.order(notification.reference)
        if order is None:
            return "Not an order of this shop"
        if not notification.is_paid:
            return "Not about a payment"
        if notification.amount.amount_minor != order.amount.amount_minor:
            return "Wrong amount, so nothing was booked"
        self._order_store.apply_outcome(order.reference, State.PAID, syssn=notification.syssn)
        return "Paid"


def without_ampersand(text: str) -> str:
    """Replaces `&` in text from elsewhere, such as names of articles, with the fullwidth sign.

    The signed text of a request is not encoded, so `&name=` inside a value could be split off as another parameter.
    """
    return text.replace("&", "＆")


def payment_order_of(order: Order, auth_code: str, openid: str, visitor: Visitor) -> PaymentOrder:
    product_name = without_ampersand(order.basket.summary)
    if order.pay_type is PayType.WECHAT_H5:
        return PaymentOrder.wechat_h5(
            order.reference, order.amount, visitor.ip, visitor.site_url, "Shop", product_name=product_name
        )
    return PaymentOrder(
        pay_type=order.pay_type,
        reference=order.reference,
        amount=order.amount,
        auth_code=auth_code,
        openid=openid,
        product_name=product_name,
    )


def state_after(error: TaelClientError) -> State:
    """The state of a payment after this error. Only an explicit refusal, or no connection at all, is a failure."""
    if isinstance(error, Refused | Unreachable):
        return State.REFUSED
    return State.WAITING if isinstance(error, OutcomePending) else State.UNKNOWN


def message_of(error: TaelClientError) -> str:
    if isinstance(error, Unreachable):
        return "The gateway could not be reached, so nothing was sent."
    return str(error)


def syssn_of(error: TaelClientError) -> str:
    return error.syssn if isinstance(error, Refused | OutcomePending) else ""


def presentment_of(payment: Payment) -> str:
    """What the payer opens or scans."""
    if payment.pay_params:
        return json.dumps(dict(payment.pay_params), ensure_ascii=False)
    return payment.pay_url or payment.qr_code


def claimed_reference(body: bytes) -> str:
    """The order that an unverified webhook claims to be about. Used only to show it there."""
    try:
        members = json.loads(body)
    except (ValueError, RecursionError):
        return ""
    claimed = members.get("out_trade_no") if isinstance(members, dict) else None
    return claimed[:MAX_REFERENCE] if isinstance(claimed, str) and claimed.isascii() else ""
