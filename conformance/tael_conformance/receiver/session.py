"""The merchant's receiver under test, and the unpaid orders that it knows."""

import itertools
import os
import shlex
import subprocess
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import datetime
from typing import Final, Protocol
from urllib.parse import quote

from tael_conformance.checks import Departure, Skipped, Unusable
from tael_conformance.credentials import Credentials
from tael_conformance.receiver.webhooks import UTC8, Signer, Style, Webhook, new_members, old_members
from tael_conformance.wire import SIGN_HEADER, Exchange, Wire

OPEN_LIMIT_S: Final = 60
#: The command does not get the key.
KEY_SETTING: Final = "QFPAY_KEY"
MAX_OUTPUT: Final = 64 * 1024
HTTP_OK: Final = 200
#: The word that acknowledges a webhook, in any case.
SUCCESS: Final = "success"

_numbers: Final = itertools.count(1)
_run: Final = int.from_bytes(os.urandom(2), "big")


@dataclass(frozen=True, slots=True)
class Order:
    """An order that the merchant has and that is not paid. `amount` in minor units, as text."""

    number: str
    amount: str


class OrderFailed(Unusable):
    """The command that opens orders failed; the message is one line."""


def read_order(text: str) -> Order:
    """`OUT_TRADE_NO=AMOUNT`, or the same with a blank. Raises ValueError."""
    number, _, amount = text.strip().replace("=", " ").rpartition(" ")
    if not number.strip() or not amount.isdecimal() or int(amount) < 1:
        raise ValueError(f"{text.strip()!r} is not an order number and an amount in minor units")
    return Order(number.strip(), amount)


def opened_by(command: str) -> Order:
    """The order in the last line that the command prints. Raises OrderFailed."""
    try:
        done = subprocess.run(
            shlex.split(command),
            env={name: value for name, value in os.environ.items() if name != KEY_SETTING},
            stdout=subprocess.PIPE,
            text=True,
            timeout=OPEN_LIMIT_S,
            check=True,
        )
        lines = done.stdout[:MAX_OUTPUT].splitlines()
        return read_order(lines[-1] if lines else "")
    except (OSError, ValueError, subprocess.SubprocessError) as error:
        reason = "it printed no order" if isinstance(error, ValueError) else type(error).__name__
        raise OrderFailed(f"--open-command: {reason}; its last line must be OUT_TRADE_NO AMOUNT") from None


class StateReader(Protocol):
    def read(self, order: Order) -> str:
        """The merchant's own state of the order, which is compared and never interpreted. Raises Departure."""


@dataclass(slots=True)
class Receiver:
    """`new_order` opens an order at the merchant, or raises Skipped. `states` reads the merchant's own state."""

    wire: Wire
    target: str
    credentials: Credentials
    signer: Signer
    new_order: Callable[[], Order]
    states: StateReader | None = None
    currency: str = "HKD"
    pay_type: str = "800201"
    now: Callable[[], datetime] = lambda: datetime.now(UTC8)
    _orders: dict[str, Order] = field(default_factory=dict)
    _times: dict[str, datetime] = field(default_factory=dict)  #: of payments, by order number

    def order(self, purpose: str) -> Order:
        """The order of this purpose, opened when it is first needed. Raises Skipped."""
        if purpose not in self._orders:
            self._orders[purpose] = self.new_order()
        return self._orders[purpose]

    def discard(self, order: Order) -> None:
        """Open another order for its purpose when that is needed again."""
        self._orders = {purpose: each for purpose, each in self._orders.items() if each != order}

    def members(self, order: Order, at: datetime | None = None, **changed: str) -> dict[str, str]:
        """A paid webhook's members; the same order has the same syssn and the same time, so that repeats are equal."""
        return self.members_of(self.signer.style, order, at) | changed

    def members_of(self, style: Style, order: Order, at: datetime | None = None) -> dict[str, str]:
        """`members`, of either style."""
        values = (
            self.credentials.mchid or "kit0merchant",
            order.number,
            order.amount,
            syssn_of(order.number),
            at or self._times.setdefault(order.number, self.now()),
            self.pay_type,
        )
        return old_members(*values) if style == "old" else new_members(*values, self.currency)

    def send(self, webhook: Webhook, note: str) -> Exchange:
        headers = {SIGN_HEADER: webhook.sign, "Content-Type": webhook.content_type}
        present = {name: value for name, value in headers.items() if value is not None}
        text = webhook.body[:1024].decode("utf-8", "backslashreplace")
        sent = f"POST {self.target} {text} ({note})"
        return self.wire.send("POST", self.target, webhook.body, present, sent)

    def send_at_once(self, webhook: Webhook, count: int, note: str) -> list[Exchange]:
        with ThreadPoolExecutor(count) as pool:
            return list(pool.map(lambda _: self.send(webhook, note), range(count)))

    def state(self, order: Order) -> str | None:
        """The merchant's own state of the order; None without --state-url."""
        return self.states.read(order) if self.states else None


@dataclass(frozen=True, slots=True)
class States:
    """Reads `url` with `{out_trade_no}` replaced. The text is compared, never interpreted."""

    wire: Wire
    url: str

    def read(self, order: Order) -> str:
        target = self.url.replace("{out_trade_no}", quote(order.number, safe=""))
        answer = self.wire.send("GET", target)
        if answer.status != HTTP_OK:
            raise Departure("HTTP 200 from --state-url", answer.received, answer.sent)
        return answer.body.decode("utf-8", "replace").strip()


_syssns: Final[dict[str, str]] = {}


def syssn_of(number: str) -> str:
    """The syssn of a reference: 24 digits that begin with today, the same for the same reference."""
    if number not in _syssns:
        _syssns[number] = f"{datetime.now(UTC8):%Y%m%d}0900{_run:05d}{next(_numbers):07d}"
    return _syssns[number]


def is_acknowledged(answer: Exchange) -> bool:
    return answer.status == HTTP_OK and answer.body.decode("utf-8", "replace").strip().lower() == SUCCESS


def given_orders(orders: list[Order]) -> Callable[[], Order]:
    def take() -> Order:
        if not orders:
            raise Skipped("needs another unpaid order: --order or --open-command")
        return orders.pop(0)

    return take
