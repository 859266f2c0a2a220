"""Pure models of four wallets, written from the wallets' documents and not from our code. Each handles one trade.

Alipay creates an online order when the payer logs in, WeChat when we open it. How each closes, reverses and refunds an
order in each state is the wallet's rule, and the reason why the order of events matters.
"""

from dataclasses import dataclass, replace
from datetime import datetime
from enum import StrEnum
from typing import Final, Protocol

from tael.base.money import Money
from tael.base.pay_types import PayType, Presentment, Wallet
from tael.channels.outcomes import (
    AwaitingPayer,
    Closed,
    Outcome,
    Paid,
    PayCode,
    PayLink,
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
from tests.support.values import AMOUNT

NO_SUCH_ORDER: Final = Unknown("no such order", no_such_order=True)


class Mark(StrEnum):
    """The order's state at the wallet."""

    ABSENT = "absent"
    WAITING = "waiting"
    HALFWAY = "halfway"  #: WeChat's PAYERROR: failed, and only a reverse makes that final
    PAID = "paid"
    CLOSED = "closed"


@dataclass(frozen=True, slots=True)
class Trade:
    """The wallet's row."""

    mark: Mark = Mark.ABSENT
    paid_at: datetime | None = None  #: when money came, even if it went back later
    reversal: ReversalAction | None = None
    refunds: tuple[tuple[str, int], ...] = ()
    has_code: bool = False  #: the payer of a barcode has agreed beforehand
    reported_closed: bool = False  #: it has reported the order as closed, though money may still come
    took_late: bool = False

    @property
    def refunded_minor(self) -> int:
        return sum(amount_minor for _, amount_minor in self.refunds)


class WalletRules(Protocol):
    """The rules of one wallet. `is_late`: the order's expiry is over. Every method returns the changed trade."""

    @property
    def has_notices(self) -> bool: ...
    @property
    def has_log_in(self) -> bool: ...
    @property
    def refunds_at_once(self) -> bool: ...
    def open(self, trade: Trade, at: datetime) -> tuple[Trade, Outcome]: ...
    def log_in(self, trade: Trade, is_late: bool) -> Trade: ...
    def pay(self, trade: Trade, at: datetime, is_late: bool) -> Trade: ...
    def expire(self, trade: Trade) -> Trade: ...
    def query(self, trade: Trade) -> Outcome: ...
    def close(self, trade: Trade) -> tuple[Trade, Outcome]: ...
    def reverse(self, trade: Trade, wallet_ref: str) -> tuple[Trade, ReversalOutcome]: ...


@dataclass(frozen=True, slots=True)
class AlipayOnline:
    """single_trade_query, close_trade, forex_refund. A phone's cashier shows no trade before it is paid."""

    shows_log_in: bool
    has_notices: bool = True
    has_log_in: bool = True
    refunds_at_once: bool = True

    def open(self, trade: Trade, at: datetime) -> tuple[Trade, Outcome]:
        return trade, AwaitingPayer(
            PayLink("https://wallet/pay")
        )  # only a link is built; the wallet gets no request

    def log_in(self, trade: Trade, is_late: bool) -> Trade:
        is_taken = trade.mark is Mark.ABSENT and not is_late
        return replace(trade, mark=Mark.WAITING) if is_taken else trade

    def pay(self, trade: Trade, at: datetime, is_late: bool) -> Trade:
        return _paid(trade, at)  # a logged-in payer may pay after the order's expiry

    def expire(self, trade: Trade) -> Trade:
        return trade

    def query(self, trade: Trade) -> Outcome:
        if trade.mark is Mark.WAITING and not self.shows_log_in:
            return NO_SUCH_ORDER
        is_refunded = trade.refunded_minor == AMOUNT.amount_minor
        return Closed() if is_refunded else _state_of(trade)  # a trade refunded in full is closed

    def close(self, trade: Trade) -> tuple[Trade, Outcome]:
        if self.query(trade) == NO_SUCH_ORDER:  # nothing to close, and nothing that would keep the close
            return trade, NO_SUCH_ORDER
        closed = replace(trade, mark=Mark.CLOSED) if trade.mark is Mark.WAITING else trade
        return closed, self.query(closed)

    def reverse(self, trade: Trade, wallet_ref: str) -> tuple[Trade, ReversalOutcome]:
        return trade, Refused(Refusal.WRONG_STATE, "")


@dataclass(frozen=True, slots=True)
class AlipayInStore:
    """spot.pay, cancel, spot.refund. Cancel succeeds in every state, and refunds what was paid."""

    has_notices: bool = True
    has_log_in: bool = False
    refunds_at_once: bool = True

    def open(self, trade: Trade, at: datetime) -> tuple[Trade, Outcome]:
        return _swiped(trade, at)

    def log_in(self, trade: Trade, is_late: bool) -> Trade:
        return trade

    def pay(self, trade: Trade, at: datetime, is_late: bool) -> Trade:
        return _confirmed(trade, at)  # it waits 180 s for the payer, we 120

    def expire(self, trade: Trade) -> Trade:
        return trade

    def query(self, trade: Trade) -> Outcome:
        return _record_of(trade)  # the time of the payment stays in its record, cancelled or not

    def close(self, trade: Trade) -> tuple[Trade, Outcome]:
        return trade, Refused(Refusal.WRONG_STATE, "")

    def reverse(self, trade: Trade, wallet_ref: str) -> tuple[Trade, ReversalOutcome]:
        if trade.mark is Mark.ABSENT:  # succeeds, and does not stop a swipe that arrives later
            return replace(trade, reported_closed=True), Reversed(ReversalAction.CLOSED)
        if trade.refunds:
            return trade, Refused(Refusal.REVERSAL_REFUSED, "REASON_TRADE_REFUND_FEE_ERR")
        after = _undone(trade)
        assert after.reversal is not None
        return after, Reversed(after.reversal, "trade-1")


@dataclass(frozen=True, slots=True)
class WeChatOnline:
    """unifiedorder, closeorder, refund. A refund is accepted first and done later."""

    has_notices: bool = True
    has_log_in: bool = False
    refunds_at_once: bool = False

    def open(self, trade: Trade, at: datetime) -> tuple[Trade, Outcome]:
        if trade.mark is Mark.ABSENT:
            return replace(trade, mark=Mark.WAITING), AwaitingPayer(PayCode("weixin://pay"))
        return trade, _record_of(trade)

    def log_in(self, trade: Trade, is_late: bool) -> Trade:
        return trade

    def pay(self, trade: Trade, at: datetime, is_late: bool) -> Trade:
        return trade if is_late else _paid(trade, at)

    def expire(self, trade: Trade) -> Trade:
        return trade  # it may read NOTPAY for a while, though it cannot be paid

    def query(self, trade: Trade) -> Outcome:
        return _state_of(trade)

    def close(self, trade: Trade) -> tuple[Trade, Outcome]:
        after = replace(trade, mark=Mark.CLOSED) if trade.mark is Mark.WAITING else trade
        return after, self.query(after)

    def reverse(self, trade: Trade, wallet_ref: str) -> tuple[Trade, ReversalOutcome]:
        return trade, Refused(Refusal.REVERSAL_REFUSED, "TRADE_ERROR")


@dataclass(frozen=True, slots=True)
class WeChatBarcode:
    """micropay, reverse, refund. It never sends a notice, and does not report whether a reverse returned money."""

    has_notices: bool = False
    has_log_in: bool = False
    refunds_at_once: bool = False

    def open(self, trade: Trade, at: datetime) -> tuple[Trade, Outcome]:
        return _swiped(trade, at)

    def log_in(self, trade: Trade, is_late: bool) -> Trade:
        return trade

    def pay(self, trade: Trade, at: datetime, is_late: bool) -> Trade:
        return _confirmed(trade, at)

    def expire(self, trade: Trade) -> Trade:
        return replace(trade, mark=Mark.HALFWAY) if trade.mark is Mark.WAITING else trade

    def query(self, trade: Trade) -> Outcome:
        return Closed() if trade.reversal is not None else _state_of(trade)  # REVOKED, paid before or not

    def close(self, trade: Trade) -> tuple[Trade, Outcome]:
        return trade, Refused(Refusal.WRONG_STATE, "")

    def reverse(self, trade: Trade, wallet_ref: str) -> tuple[Trade, ReversalOutcome]:
        if trade.mark is Mark.ABSENT:
            return trade, NO_SUCH_ORDER
        if trade.refunds:
            return trade, Refused(Refusal.REVERSAL_REFUSED, "TRADE_ERROR")
        # Our channel concludes that money went back if we had WeChat's number of the payment.
        action = ReversalAction.REFUNDED if wallet_ref else ReversalAction.DONE
        return _undone(trade), Reversed(action, wallet_ref)


def rules_of(pay_type: PayType) -> WalletRules:
    if pay_type.wallet is Wallet.WECHAT:
        return WeChatOnline() if pay_type.is_online else WeChatBarcode()
    if pay_type.is_online:
        return AlipayOnline(shows_log_in=pay_type.presentment is Presentment.WEB_PAGE)
    return AlipayInStore()


def refund(rules: WalletRules, trade: Trade, number: str, amount_minor: int) -> tuple[Trade, RefundOutcome]:
    """The same number moves money once; only what was paid and is not undone can go back."""
    if number not in dict(trade.refunds):
        if trade.mark is not Mark.PAID:
            return trade, Refused(Refusal.WRONG_STATE, "TRADE_STATE_ERROR")
        if trade.refunded_minor + amount_minor > AMOUNT.amount_minor:
            return trade, Refused(Refusal.ABOVE_REMAINDER, "REFUND_AMT_EXCEED")
        trade = replace(trade, refunds=tuple(sorted((*trade.refunds, (number, amount_minor)))))
    return trade, query_refund(trade, number) if rules.refunds_at_once else RefundPending("refund-1")


def query_refund(trade: Trade, number: str) -> RefundOutcome:
    """The record of a refund, which is done by the time of the query."""
    if number not in dict(trade.refunds):
        return NO_SUCH_ORDER
    amount = Money(dict(trade.refunds)[number], AMOUNT.currency)
    return Refunded(amount, f"refund-{number}", None)


def _paid(trade: Trade, at: datetime) -> Trade:
    if trade.mark is not Mark.WAITING:
        return trade
    return replace(trade, mark=Mark.PAID, paid_at=at, took_late=trade.reported_closed)


def _swiped(trade: Trade, at: datetime) -> tuple[Trade, Outcome]:
    """A payer's code arrives: paid at once, or the payer must confirm."""
    if trade.mark is Mark.ABSENT:
        waiting = replace(trade, mark=Mark.WAITING)
        trade = _paid(waiting, at) if trade.has_code else waiting
    return trade, _record_of(trade)


def _confirmed(trade: Trade, at: datetime) -> Trade:
    return replace(trade, has_code=True) if trade.mark is Mark.ABSENT else _paid(trade, at)


def _state_of(trade: Trade) -> Outcome:
    match trade.mark:
        case Mark.ABSENT:
            return NO_SUCH_ORDER
        case Mark.WAITING:
            return AwaitingPayer()
        case Mark.HALFWAY:
            return Unknown("PAYERROR", needs_reversal=True)
        case Mark.PAID:
            return _record_of(trade)
        case Mark.CLOSED:
            return Closed()


def _record_of(trade: Trade) -> Outcome:
    if trade.paid_at is not None:
        return Paid(AMOUNT, "trade-1", "payer-1", trade.paid_at)
    return _state_of(trade)


def _undone(trade: Trade) -> Trade:
    if trade.reversal is not None or trade.mark is Mark.CLOSED:
        return replace(trade, reversal=trade.reversal or ReversalAction.CLOSED)
    action = ReversalAction.CLOSED if trade.paid_at is None else ReversalAction.REFUNDED
    return replace(trade, reversal=action, mark=Mark.CLOSED)
