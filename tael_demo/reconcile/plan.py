"""A plan of trade: merchants, payments, refunds and reversals, all from one seed. Imports neither gateway nor sandbox.

The wallets' books and the gateway's are filled from it by separate code. Instants are seconds since 1970; a day is one
of UTC+8. Numbers have the gateway's form, with a node of their own.
"""

import json
import random
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from datetime import date, datetime, time, timedelta, timezone
from itertools import count
from typing import Final, Literal, cast

BEIJING: Final = timezone(timedelta(hours=8))
FIRST_DAY: Final = date(2026, 1, 1)
DAYS: Final = 31
NODE: Final = "97"
SERIAL_DIGITS: Final = 10
#: Share of a weekday's orders on a Saturday or Sunday.
WEEKEND_WEIGHT: Final = 1.6
PARTLY_REFUNDED: Final = 0.05
REFUNDED: Final = 0.04
REVERSED: Final = 0.03
#: Of a payment or a return that the wallet and the gateway date on two sides of midnight.
AT_MIDNIGHT: Final = 0.002
MAX_PARTS: Final = 3
#: Below the sandbox's magic values, which begin with 99.
MAX_AMOUNT_MINOR: Final = 90_000
MIN_AMOUNT_MINOR: Final = 200
OPENS: Final = 8 * 3600
CLOSES: Final = 22 * 3600
DAY_S: Final = 86_400

Wallet = Literal["alipay", "wechat"]
Kind = Literal["payment", "refund", "reversal"]


@dataclass(frozen=True, slots=True)
class TradingMerchant:
    """Prices are in `currency`. Alipay settles in it too; WeChat Pay settles in `settlement`."""

    label: str
    name: str
    currency: str
    settlement: str
    wallets: tuple[Wallet, ...]


@dataclass(frozen=True, slots=True)
class Event:
    """A movement of money. `number` is the gateway's: of the payment, the refund or the reversal."""

    kind: Kind
    merchant: int
    wallet: Wallet
    number: str
    order: str  #: the payment's number
    wallet_ref: str  #: the wallet's number of the trade, or of the refund
    at: int  #: at the wallet
    our_at: int  #: when the gateway opened the payment, or learned of the return
    amount_minor: int


@dataclass(frozen=True, slots=True)
class LiveOrder:
    """A payment that is made over HTTP, on this day."""

    merchant: int
    wallet: Wallet
    day: str
    currency: str
    amount_minor: int


@dataclass(frozen=True, slots=True)
class TradePlan:
    seed: int
    first_day: str
    last_day: str
    merchants: tuple[TradingMerchant, ...]
    events: tuple[Event, ...]  #: in the order of `at`
    live: tuple[LiveOrder, ...]


BOTH: Final[tuple[Wallet, ...]] = ("alipay", "wechat")
WECHAT_ONLY: Final[tuple[Wallet, ...]] = ("wechat",)


def _merchants() -> tuple[TradingMerchant, ...]:
    """Twenty, in three currencies; three of them are settled in another currency than that of their prices."""
    plain = [("HKD", 10), ("USD", 4), ("JPY", 3)]
    currencies = [(currency, currency, BOTH) for currency, number in plain for _ in range(number)]
    mixed = [
        (price, settled, WECHAT_ONLY) for price, settled in (("HKD", "USD"), ("USD", "HKD"), ("JPY", "HKD"))
    ]
    return tuple(
        TradingMerchant(f"month_{number:02d}", f"Month Shop {number:02d}", price, settled, wallets)
        for number, (price, settled, wallets) in enumerate([*currencies, *mixed], 1)
    )


MERCHANTS: Final = _merchants()


def plan_of(
    seed: int, orders: int, live: int, trading: tuple[TradingMerchant, ...] = MERCHANTS, days: int = DAYS
) -> TradePlan:
    """`orders` payments in all, `live` of them over HTTP, and what is returned of the others."""
    writer = _Writer(seed, trading, days)
    events = [event for number in range(orders - live) for event in writer.order(number)]
    return TradePlan(
        seed,
        FIRST_DAY.isoformat(),
        writer.last_day.isoformat(),
        writer.merchants,
        tuple(sorted(events, key=lambda event: (event.at, event.number))),
        tuple(writer.live_order() for _ in range(live)),
    )


class _Writer:
    def __init__(self, seed: int, trading: tuple[TradingMerchant, ...], days: int) -> None:
        self.merchants = trading
        self.last_day = FIRST_DAY + timedelta(days=days - 1)
        self._random = random.Random(seed)
        self._days = [FIRST_DAY + timedelta(days=number) for number in range(days)]
        self._weights = [WEEKEND_WEIGHT if day.isoweekday() > 5 else 1.0 for day in self._days]
        self._end = _start(self.last_day) + DAY_S
        self._serials = count(1)

    def order(self, number: int) -> Iterator[Event]:
        """A payment, and its returns before the end of the last day. Every merchant and wallet has its turn."""
        merchant = number % len(self.merchants)
        wallet = self._random.choice(self.merchants[merchant].wallets)
        opened = self._opened()
        if self._is_at_midnight(opened):
            opened += _till_midnight(opened) - 1
        paid, syssn, amount = opened + 2, self._number(opened), self._amount()
        payment = Event(
            "payment", merchant, wallet, syssn, syssn, self._wallet_ref(paid), paid, opened, amount
        )
        yield payment
        yield from self._returns(payment)

    def live_order(self) -> LiveOrder:
        merchant = self._random.randrange(len(self.merchants))
        trading = self.merchants[merchant]
        wallet = self._random.choice(trading.wallets)
        return LiveOrder(merchant, wallet, self._day().isoformat(), trading.currency, self._amount())

    def _returns(self, payment: Event) -> Iterator[Event]:
        drawn = self._random.random()
        if drawn < REVERSED:
            at = payment.at + self._random.randint(20, 600)
            if _day_of(at) == _day_of(payment.at):  # later it is too late
                yield from self._returned(payment, "reversal", at, payment.amount_minor)
        elif drawn < REVERSED + REFUNDED:
            yield from self._returned(payment, "refund", self._later(payment.at), payment.amount_minor)
        elif drawn < REVERSED + REFUNDED + PARTLY_REFUNDED:
            at, part = payment.at, payment.amount_minor // (MAX_PARTS + 1)
            for _ in range(self._random.randint(1, MAX_PARTS)):
                at = self._later(at)
                yield from self._returned(payment, "refund", at, self._random.randint(1, part))

    def _returned(self, payment: Event, kind: Kind, at: int, amount: int) -> Iterator[Event]:
        learned = at + 1
        if self._is_at_midnight(at) and kind == "refund":
            at += _till_midnight(at) - 1
            learned = at + 2
        if learned >= self._end:
            return
        number, wallet_ref = self._number(at - 1), self._wallet_ref(at)
        yield Event(
            kind, payment.merchant, payment.wallet, number, payment.order, wallet_ref, at, learned, amount
        )

    def _opened(self) -> int:
        seconds = self._random.randrange(OPENS, CLOSES)
        return _start(self._day()) + seconds

    def _day(self) -> date:
        (day,) = self._random.choices(self._days, self._weights)
        return day

    def _is_at_midnight(self, at: int) -> bool:
        return self._random.random() < AT_MIDNIGHT and at + DAY_S < self._end

    def _later(self, at: int) -> int:
        """A time of business on the same day or one of the next three."""
        day = _start(_day_of(at)) + self._random.randrange(4) * DAY_S
        return max(at + 60, day + self._random.randrange(OPENS, CLOSES))

    def _amount(self) -> int:
        return min(MAX_AMOUNT_MINOR, MIN_AMOUNT_MINOR + int(self._random.expovariate(1 / 6_000)))

    def _number(self, at: int) -> str:
        return f"{_day_of(at):%Y%m%d}{NODE}0099{next(self._serials):0{SERIAL_DIGITS}d}"

    def _wallet_ref(self, at: int) -> str:
        """28 digits, as both wallets have them."""
        return f"{_day_of(at):%Y%m%d}{self._random.randrange(10**20):020d}"


def _start(day: date) -> int:
    return int(datetime.combine(day, time(), BEIJING).timestamp())


def _day_of(at: int) -> date:
    return datetime.fromtimestamp(at, BEIJING).date()


def _till_midnight(at: int) -> int:
    return _start(_day_of(at)) + DAY_S - at


def plan_text(plan: TradePlan) -> str:
    """The plan as JSON: the members of its dataclasses."""
    return json.dumps(asdict(plan))


def read_plan(text: str) -> TradePlan:
    members = json.loads(text)
    return TradePlan(
        members["seed"],
        members["first_day"],
        members["last_day"],
        tuple(
            TradingMerchant(**{**row, "wallets": tuple(cast("list[Wallet]", row["wallets"]))})
            for row in members["merchants"]
        ),
        tuple(Event(**row) for row in members["events"]),
        tuple(LiveOrder(**row) for row in members["live"]),
    )
