"""Movements of money at WeChat Pay: payments, refunds and reversals, with their amounts in settlement.

Bills print them and settlements add them up. Each partial refund is the difference of running totals, so that all
parts add up to exactly the payment and return exactly its fee.
"""

import sqlite3
from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Final, Literal

from tael_sandbox import rates
from tael_sandbox.wechat import refunds, trades
from tael_sandbox.wechat.refunds import Refund
from tael_sandbox.wechat.registry import Merchant
from tael_sandbox.wechat.trades import Trade

FEE_DECIMALS: Final = 5

Kind = Literal["SUCCESS", "REFUND", "REVOKED"]


@dataclass(frozen=True, slots=True)
class Entry:
    """Money that was received or returned, depending on `kind`."""

    kind: Kind
    merchant: Merchant
    trade: Trade
    at: float
    refund: Refund | None
    refunded_before: int  #: refunded before this entry, in the price's currency
    amount: int  #: in minor units of the price's currency

    @property
    def is_payment(self) -> bool:
        return self.kind == "SUCCESS"

    @property
    def settlement_currency(self) -> str:
        return self.merchant.shop.currency

    @property
    def settled(self) -> int:
        """`amount` in minor units of the settlement currency."""
        return self._settled(self.refunded_before + self.amount) - self._settled(self.refunded_before)

    @property
    def poundage(self) -> int:
        """The fee in minor units of the settlement currency, in which remittances are made."""
        kept = self._poundage(self.refunded_before + self.amount) - self._poundage(self.refunded_before)
        return kept if self.is_payment else -kept

    @property
    def fee(self) -> Decimal:
        """In the price's currency; negative where a fee is returned."""
        fee = self._fee(self.refunded_before + self.amount) - self._fee(self.refunded_before)
        return fee if self.is_payment else -fee

    def _settled(self, amount: int) -> int:
        return rates.convert(amount, self.trade.fee_type, self.settlement_currency)

    def _poundage(self, amount: int) -> int:
        return rates.fee_minor(self._settled(amount), self.merchant.contract.fee_rate_ppm)

    def _fee(self, amount: int) -> Decimal:
        rate_ppm = self.merchant.contract.fee_rate_ppm
        return rates.fee(amount, self.trade.fee_type, rate_ppm, FEE_DECIMALS)


def entries_between(
    connection: sqlite3.Connection, merchants: Sequence[Merchant], since: float, until: float
) -> list[Entry]:
    """Sorted by time, from `since` up to but excluding `until`."""
    entries = [
        entry
        for merchant in merchants
        for entry in (
            *_payments(connection, merchant, since, until),
            *_refunds(connection, merchant, since, until),
            *_reversals(connection, merchant, since, until),
        )
    ]
    return sorted(entries, key=lambda entry: entry.at)


def _payments(connection: sqlite3.Connection, merchant: Merchant, since: float, until: float) -> list[Entry]:
    paid = trades.paid_between(connection, *_numbers(merchant), since, until)
    return [Entry("SUCCESS", merchant, trade, trade.paid_at or 0, None, 0, trade.total_fee) for trade in paid]


def _refunds(connection: sqlite3.Connection, merchant: Merchant, since: float, until: float) -> list[Entry]:
    accepted = refunds.accepted_between(connection, *_numbers(merchant), since, until)
    entries: list[Entry] = []
    for refund in accepted:
        trade = trades.by_id(connection, refund.trade_id)
        siblings = refunds.of_trade(connection, trade)
        refunded_before = sum(other.refund_fee for other in siblings if other.id < refund.id)
        entries.append(
            Entry("REFUND", merchant, trade, refund.created_at, refund, refunded_before, refund.refund_fee)
        )
    return entries


def _reversals(connection: sqlite3.Connection, merchant: Merchant, since: float, until: float) -> list[Entry]:
    reversed_ = trades.reversed_between(connection, *_numbers(merchant), since, until)
    return [Entry("REVOKED", merchant, trade, at, None, 0, trade.total_fee) for trade, at in reversed_]


def _numbers(merchant: Merchant) -> tuple[str, str]:
    return merchant.account.mch_id, merchant.contract.sub_mch_id
