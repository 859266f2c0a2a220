"""A movement of a merchant's ledger account, and the totals of a period. Pure.

The sign is that of the merchant's balance: what it receives is positive. The opening balance and the net amounts of all
movements add up to the closing balance.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from tael.base.pay_types import PAY_TYPES


@dataclass(frozen=True, slots=True)
class Movement:
    """A ledger entry of the merchant's account, with its fee. Texts are "" and values None where there are none."""

    at: datetime  #: of the entry, UTC
    kind: str  #: of the entry: payment, refund, reversal, payout …
    syssn: str  #: the entry's cause
    payment_syssn: str  #: the payment of a refund or reversal
    reference: str  #: out_trade_no; of a reversal, that of its payment
    pay_type: str
    protocol: str  #: of the wallet account
    subject: str
    device: str
    currency: str
    amount_minor: int
    fee_minor: int  #: our fee: negative if charged, positive if returned
    wallet_fee_micros: int | None  #: as in the statement's line, in millionths of the major unit
    settled_at: datetime | None  #: by the wallet, as in the statement's line

    @property
    def net_minor(self) -> int:
        return self.amount_minor + self.fee_minor


@dataclass(frozen=True, slots=True)
class EntrySum:
    """The sum of the entries of one currency, kind, pay type and protocol, with the sign of the balance."""

    currency: str
    kind: str
    pay_type: str
    protocol: str
    count: int
    amount_minor: int


@dataclass(frozen=True, slots=True)
class CurrencyTotal:
    """A period in one currency. `opening_minor` and the other sums add up to `closing_minor`."""

    currency: str
    opening_minor: int
    payments: int
    paid_minor: int
    refunds: int
    refunded_minor: int  #: not positive
    reversals: int
    reversed_minor: int  #: not positive
    fee_minor: int  #: charged: not positive
    fee_back_minor: int  #: returned
    payout_minor: int  #: not positive
    reserve_minor: int  #: released less held
    other_minor: int  #: of every other kind of entry
    closing_minor: int


@dataclass(frozen=True, slots=True)
class MethodTotal:
    """Payments of one currency and pay type, with their refunds, reversals and fees in the period."""

    currency: str
    protocol: str
    pay_type: str
    scene: str  #: online or offline
    payments: int
    paid_minor: int
    refunded_minor: int  #: refunds and reversals: not positive
    fee_minor: int  #: charged less returned, with the sign of the balance
    net_minor: int


#: Kinds of entries with a column of their own in the totals. Reserves have one for both kinds.
RETURNED: Final = ("refund", "reversal")
FEES: Final = ("fee", "fee_back")
RESERVES: Final = ("reserve_held", "reserve_released")
NAMED: Final = ("payment", *RETURNED, *FEES, "payout", *RESERVES)


def currency_totals(opening: Mapping[str, int], sums: Iterable[EntrySum]) -> list[CurrencyTotal]:
    """One for each currency with a balance or a movement, by code."""
    every = list(sums)
    currencies = {*(code for code, minor in opening.items() if minor), *(each.currency for each in every)}
    return [
        _currency_total(code, opening.get(code, 0), [each for each in every if each.currency == code])
        for code in sorted(currencies)
    ]


def method_totals(sums: Iterable[EntrySum]) -> list[MethodTotal]:
    """One for each currency, protocol and pay type."""
    by_method: dict[tuple[str, str, str], list[EntrySum]] = {}
    for each in sums:
        if each.pay_type:
            by_method.setdefault((each.currency, each.protocol, each.pay_type), []).append(each)
    return [_method_total(key, each) for key, each in sorted(by_method.items())]


def wallet_of(pay_type: str, protocol: str) -> str:
    """`alipay` or `wechat`, for a pay type of any wallet by the account's protocol; "" if there is no payment."""
    known = PAY_TYPES.get(pay_type)
    return known.wallet.value if known and known.wallet else protocol.partition("_")[0]


def _currency_total(code: str, opening_minor: int, sums: list[EntrySum]) -> CurrencyTotal:
    count_payments, paid_minor = _sum(sums, "payment")
    count_refunds, refunded_minor = _sum(sums, "refund")
    count_reversals, reversed_minor = _sum(sums, "reversal")
    return CurrencyTotal(
        currency=code,
        opening_minor=opening_minor,
        payments=count_payments,
        paid_minor=paid_minor,
        refunds=count_refunds,
        refunded_minor=refunded_minor,
        reversals=count_reversals,
        reversed_minor=reversed_minor,
        fee_minor=_sum(sums, "fee")[1],
        fee_back_minor=_sum(sums, "fee_back")[1],
        payout_minor=_sum(sums, "payout")[1],
        reserve_minor=_sum(sums, *RESERVES)[1],
        other_minor=sum(each.amount_minor for each in sums if each.kind not in NAMED),
        closing_minor=opening_minor + sum(each.amount_minor for each in sums),
    )


def _method_total(key: tuple[str, str, str], sums: list[EntrySum]) -> MethodTotal:
    currency, protocol, pay_type = key
    payments, paid_minor = _sum(sums, "payment")
    refunded_minor, fee_minor = _sum(sums, *RETURNED)[1], _sum(sums, *FEES)[1]
    known = PAY_TYPES.get(pay_type)
    return MethodTotal(
        currency=currency,
        protocol=protocol,
        pay_type=pay_type,
        scene=known.scene.value if known else "",
        payments=payments,
        paid_minor=paid_minor,
        refunded_minor=refunded_minor,
        fee_minor=fee_minor,
        net_minor=paid_minor + refunded_minor + fee_minor,
    )


def _sum(sums: list[EntrySum], *kinds: str) -> tuple[int, int]:
    """How many entries of these kinds there are, and their sum."""
    chosen = [each for each in sums if each.kind in kinds]
    return sum(each.count for each in chosen), sum(each.amount_minor for each in chosen)
