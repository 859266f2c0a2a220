"""A wallet in memory with its own book: correct, idempotent by order number, with delays and failures on request.

It implements `channels.base.Channel`. Tests check our book against its book.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum

from tael.base.clock import Clock
from tael.base.pay_types import Wallet
from tael.channels.base import (
    Acknowledgement,
    Capabilities,
    ChannelOrder,
    ChannelRefund,
    Notice,
    PaymentNotice,
    RefundNotice,
)
from tael.channels.outcomes import (
    AwaitingPayer,
    Closed,
    Outcome,
    Paid,
    PayCode,
    Refunded,
    RefundOutcome,
    RefundPending,
    Refusal,
    Refused,
    ReversalAction,
    ReversalOutcome,
    Reversed,
    Unknown,
)
from tael.merchants.domain.account import Account
from tests.support.capabilities import capabilities_of


class Payer(StrEnum):
    """What the payer of every order does."""

    PAYS = "pays"  #: a barcode is paid at once, an online order as soon as it is there
    WAITS = "waits"  #: does nothing; a test may confirm
    PAYS_BEFORE_QUERY = "pays before query"  #: pays just before the wallet answers the first query
    BEATS_THE_CLOSE = "beats the close"  #: pays just before the wallet would close or reverse
    HAS_NO_MONEY = "has no money"


@dataclass
class Trade:
    """The wallet's row of an order. A refused order has none."""

    order: ChannelOrder
    is_paid: bool = False
    is_closed: bool = False
    paid_at: datetime | None = None
    reversal: ReversalAction | None = None
    refunds: dict[str, int] = field(default_factory=dict)  #: refund number to minor units
    other_ref: str = ""  #: the wallet's own number, where the order's number has several trades
    is_unasked: bool = False  #: no request of ours led to this payment

    @property
    def wallet_ref(self) -> str:
        return self.other_ref or f"trade-{self.order.syssn}"

    @property
    def back_minor(self) -> int:
        total = sum(self.refunds.values())
        return self.order.amount.amount_minor if self.reversal is ReversalAction.REFUNDED else total


@dataclass
class FakeWallet:
    """Stands for both wallets of a gateway."""

    clock: Clock
    payer: Payer = Payer.PAYS
    is_refund_delayed: bool = False  #: a refund is first accepted, and done when queried
    too_late_to_reverse: bool = False  #: a paid order is refunded instead, as both wallets document
    remembers_paid: bool = False  #: an undone order is still shown as paid, as Alipay's in-store query does
    acknowledgement: Acknowledgement = field(default=Acknowledgement("text/plain", b"ok", b"no"))
    wallet: Wallet = Wallet.WECHAT
    reversal_after: timedelta = timedelta(seconds=15)
    refunds_single_trades: bool = True
    trades: dict[str, Trade] = field(default_factory=dict)
    unfinished: set[str] = field(default_factory=set)
    unacknowledged: set[str] = field(default_factory=set)  #: trades whose notice we have not acknowledged
    false_notices: dict[str, Outcome] = field(
        default_factory=dict
    )  #: outcomes in notices instead of the true ones
    false_records: dict[str, Outcome] = field(default_factory=dict)  #: the same in responses to queries
    refusal: Refused | None = None  #: the response to every new refund
    refunds_asked: list[str] = field(
        default_factory=list
    )  #: numbers of all refund requests, repeats included

    def confirm(self, syssn: str) -> None:
        """The payer pays, if the order is there and open."""
        trade = self.trades.get(syssn)
        if trade is not None and not trade.is_paid and not trade.is_closed:
            trade.is_paid, trade.paid_at = True, self.clock.now()

    def take(self, order: ChannelOrder, other_ref: str = "") -> None:
        """An unmatched payment: an order that is not ours, or a second trade for one of ours."""
        trade = Trade(order, is_paid=True, paid_at=self.clock.now(), other_ref=other_ref, is_unasked=True)
        self.trades[other_ref or order.syssn] = trade
        self.unacknowledged.add(other_ref or order.syssn)

    def book(self) -> dict[str, tuple[int, int]]:
        """Every paid order: amounts received and returned, in minor units."""
        return {
            syssn: (trade.order.amount.amount_minor, trade.back_minor)
            for syssn, trade in self.trades.items()
            if trade.is_paid
        }

    def refund_book(self) -> dict[str, int]:
        """The amount of every refund by its number, in minor units."""
        return {number: amount for trade in self.trades.values() for number, amount in trade.refunds.items()}

    # ---- Channel -------------------------------------------------------------------------------------------------

    @property
    def statements(self) -> None:
        return None

    @property
    def openids(self) -> None:
        return None

    def capabilities(self, account: Account) -> Capabilities:
        return capabilities_of(account)

    def shows_code(self, auth_code: str) -> bool:
        return True

    def deadline(self, order: ChannelOrder) -> datetime:
        return order.expires_at

    async def open(self, order: ChannelOrder) -> Outcome:
        if order.syssn not in self.trades:
            if self.payer is Payer.HAS_NO_MONEY:
                return Refused(Refusal.PAYER_BALANCE, "NOTENOUGH")
            self.trades[order.syssn] = Trade(order)
            if self.payer is Payer.PAYS:
                self.confirm(order.syssn)
        trade = self.trades[order.syssn]
        if order.pay_type.is_online:
            return AwaitingPayer(PayCode(f"pay://{order.syssn}"))
        return self._state_of(trade)

    async def query(self, order: ChannelOrder) -> Outcome:
        trade = self._named(order)
        if trade is None:
            return Unknown("no such order", no_such_order=True)
        if self.payer is Payer.PAYS_BEFORE_QUERY:
            self.confirm(order.syssn)
        return self.false_records.get(order.syssn) or self._state_of(trade)

    async def close(self, order: ChannelOrder) -> Outcome:
        trade = self._about_to_end(order)
        if trade is None:
            return Unknown("no such order", no_such_order=True)
        if not trade.is_paid:
            trade.is_closed = True
        return self._state_of(trade)

    async def reverse(self, order: ChannelOrder) -> ReversalOutcome:
        trade = self._about_to_end(order)
        if trade is None:
            return Unknown("no such order", no_such_order=True)
        if self.too_late_to_reverse and trade.is_paid:
            return Refused(Refusal.WINDOW_OVER, "REVERSE_EXPIRE")
        if trade.refunds:
            return Refused(Refusal.REVERSAL_REFUSED, "REFUNDED")
        if trade.reversal is None:
            trade.reversal = ReversalAction.REFUNDED if trade.is_paid else ReversalAction.CLOSED
            trade.is_closed = True
        return Reversed(trade.reversal, f"trade-{order.syssn}")

    async def refund(self, order: ChannelRefund) -> RefundOutcome:
        self.refunds_asked.append(order.syssn)
        trade = self._named(order.order)
        if trade is None or not trade.is_paid:
            return Refused(Refusal.WRONG_STATE, "NOT_PAID")
        if order.syssn not in trade.refunds:
            if self.refusal is not None:
                return self.refusal
            if trade.back_minor + order.amount.amount_minor > trade.order.amount.amount_minor:
                return Refused(Refusal.ABOVE_REMAINDER, "TOO_MUCH")
            trade.refunds[order.syssn] = order.amount.amount_minor
            if self.is_refund_delayed:
                self.unfinished.add(order.syssn)
        return self._refund_state(order)

    async def query_refund(self, order: ChannelRefund) -> RefundOutcome:
        trade = self._named(order.order)
        if trade is None or order.syssn not in trade.refunds:
            return Unknown("no such refund", no_such_order=True)
        self.unfinished.discard(order.syssn)
        return self._refund_state(order)

    async def read_notice(self, account: Account, headers: Mapping[str, str], body: bytes) -> Notice:
        number = body.decode()
        for trade in self.trades.values():
            if number in trade.refunds:
                return RefundNotice(number, trade.order.syssn)
        trade = self.trades[number]
        return PaymentNotice(trade.order.syssn, self.false_notices.get(number) or self._state_of(trade))

    def read_return(self, account: Account, query: Mapping[str, str]) -> str | None:
        return None

    def _named(self, order: ChannelOrder) -> Trade | None:
        return self.trades.get(order.wallet_ref if order.names_trade else order.syssn)

    def _about_to_end(self, order: ChannelOrder) -> Trade | None:
        if self.payer is Payer.BEATS_THE_CLOSE:
            self.confirm(order.syssn)
        return self.trades.get(order.syssn)

    def _state_of(self, trade: Trade) -> Outcome:
        if trade.reversal is not None and not (self.remembers_paid and trade.is_paid):
            return Closed()  # WeChat calls an undone order revoked, whether it was paid or not
        if trade.is_paid and trade.paid_at is not None:
            return Paid(trade.order.amount, trade.wallet_ref, "payer-1", trade.paid_at)
        return Closed() if trade.is_closed else AwaitingPayer()

    def _refund_state(self, order: ChannelRefund) -> RefundOutcome:
        if order.syssn in self.unfinished:
            return RefundPending()
        return Refunded(order.amount, f"refund-{order.syssn}", self.clock.now())
