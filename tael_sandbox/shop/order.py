"""An order of the shop: its basket, its pay type and its state. Pure.

States are reported by responses, queries and webhooks, late and repeated. `next_state` applies only possible
transitions, so that an old "pending" never replaces a "paid".
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from tael_client import Meaning, Money, PayType, Row

from tael_sandbox import rates
from tael_sandbox.shop.goods import Basket

CLOSED_CODES: Final = ("1142", "1181")
AMOUNT: Final = re.compile(r"([0-9]{1,9})(?:\.([0-9]{1,2}))?")


class State(StrEnum):
    SENDING = "sending"  #: stored before the request is sent to the gateway
    UNKNOWN = "unknown"  #: no response, or none that decides
    WAITING = "waiting"  #: waiting for the payer
    PAID = "paid"
    REFUSED = "refused"
    CLOSED = "closed"
    REVERSED = "reversed"


class RefundState(StrEnum):
    PENDING = "pending"
    DONE = "done"
    REFUSED = "refused"


UNDECIDED: Final = frozenset({State.SENDING, State.UNKNOWN, State.WAITING})
#: The possible next states. A payer can be faster than a close, and a reversal is possible after any state.
ALLOWED: Final[Mapping[State, frozenset[State]]] = {
    State.SENDING: frozenset(State),
    State.UNKNOWN: frozenset(State) - {State.SENDING},
    State.WAITING: frozenset(State) - {State.SENDING, State.UNKNOWN},
    State.PAID: frozenset({State.PAID, State.REVERSED}),
    State.REFUSED: frozenset({State.REFUSED, State.PAID, State.REVERSED}),
    State.CLOSED: frozenset({State.CLOSED, State.PAID, State.REVERSED}),
    State.REVERSED: frozenset({State.REVERSED}),
}


@dataclass(frozen=True, slots=True)
class Order:
    """`presentment` is what the payer opens or scans: a URL, a QR code's text, or WeChat's `package`."""

    reference: str
    basket: Basket
    amount: Money
    pay_type: PayType
    state: State
    placed_at: float
    syssn: str = ""
    detail: str = ""  #: the last message of the gateway or the client
    presentment: str = ""

    @property
    def is_undecided(self) -> bool:
        return self.state in UNDECIDED

    @property
    def may_close(self) -> bool:
        return self.is_undecided and not self.pay_type.is_barcode

    @property
    def may_reverse(self) -> bool:
        return self.pay_type.is_barcode and self.state in UNDECIDED | {State.PAID}


@dataclass(frozen=True, slots=True)
class Refund:
    reference: str
    amount_minor: int
    state: RefundState
    detail: str = ""


def next_state(state: State, reported: State) -> State:
    """The state after `reported`, which is ignored if the transition is not possible."""
    return reported if reported in ALLOWED[state] else state


def state_of(row: Row) -> State:
    """The state that the row of a payment reports."""
    if row.cancel == "1":
        return State.REVERSED
    match row.meaning:
        case Meaning.DONE:
            return State.PAID
        case Meaning.PENDING | Meaning.UNKNOWN:
            return State.WAITING
        case Meaning.FINAL | Meaning.RETRY:
            return State.CLOSED if row.respcd in CLOSED_CODES else State.REFUSED


def refund_state_of(row: Row) -> RefundState:
    match row.meaning:
        case Meaning.DONE:
            return RefundState.DONE
        case Meaning.PENDING | Meaning.UNKNOWN:
            return RefundState.PENDING
        case Meaning.FINAL | Meaning.RETRY:
            return RefundState.REFUSED


def refunded_minor(refunds: list[Refund]) -> int:
    return sum(refund.amount_minor for refund in refunds if refund.state is RefundState.DONE)


def refundable_minor(order: Order, refunds: list[Refund]) -> int:
    """The amount that can still be refunded; a pending refund counts as refunded."""
    given = sum(refund.amount_minor for refund in refunds if refund.state is not RefundState.REFUSED)
    return order.amount.amount_minor - given if order.state is State.PAID else 0


def minor_of(typed: str, currency: str) -> int:
    """`12.5` HKD is 1250. Raises ValueError for an invalid amount."""
    parts = AMOUNT.fullmatch(typed.strip())
    places = rates.exponent(currency)
    if parts is None or len(parts[2] or "") > places:
        raise ValueError("not an amount")
    return int(parts[1] + (parts[2] or "").ljust(places, "0"))
