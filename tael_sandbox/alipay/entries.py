"""Movements of money at Alipay as its files list them: payments, refunds and cancelled payments.

A payment and its cancel have the order's number, a refund has its own. Amounts are in the contract's currency and never
negative: the type gives the direction. The charge of money that went back is the charge that is returned.
"""

import sqlite3
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Literal

from tael_sandbox import rates
from tael_sandbox.alipay.trades import Trade
from tael_sandbox.shops import AlipayContract

Kind = Literal["P", "R"]
#: For each type of whole trades: the column with its time, and the condition that selects its trades.
_MOMENTS: Final[Mapping[Kind, tuple[str, str]]] = {
    "P": ("paid_at", ""),
    "R": ("closed_at", " AND cancel_action = 'refund'"),
}


@dataclass(frozen=True, slots=True)
class Entry:
    pid: str
    number: str
    kind: Kind
    at: float
    amount_minor: int
    charge_minor: int
    currency: str


def entries_between(
    connection: sqlite3.Connection, contracts: Sequence[AlipayContract], since: float, until: float
) -> list[Entry]:
    """Sorted by time, from `since` up to but excluding `until`."""
    entries = [
        entry
        for contract in contracts
        for entry in (
            *_whole_trades(connection, contract, "P", since, until),
            *_whole_trades(connection, contract, "R", since, until),
            *_refunds(connection, contract, since, until),
        )
    ]
    return sorted(entries, key=lambda entry: entry.at)


def _whole_trades(
    connection: sqlite3.Connection, contract: AlipayContract, kind: Kind, since: float, until: float
) -> list[Entry]:
    """Payments, or cancels of paid trades. A cancel also returns the charge, a refund does not."""
    moment, others = _MOMENTS[kind]
    rows = connection.execute(
        f"SELECT * FROM alipay_trade WHERE pid = ? AND {moment} >= ? AND {moment} < ?{others} ORDER BY id",  # noqa: S608 (words of ours)
        (contract.pid, since, until),
    ).fetchall()
    return [
        _entry(contract, Trade(*row), kind, row["order_no"], row[moment], 0, row["amount_minor"])
        for row in rows
    ]


def _refunds(
    connection: sqlite3.Connection, contract: AlipayContract, since: float, until: float
) -> list[Entry]:
    rows = connection.execute(
        "SELECT r.rowid AS place, r.* FROM alipay_refund r"
        " WHERE pid = ? AND made_at >= ? AND made_at < ? ORDER BY r.rowid",
        (contract.pid, since, until),
    ).fetchall()
    return [_refund(connection, contract, row) for row in rows]


def _refund(connection: sqlite3.Connection, contract: AlipayContract, row: sqlite3.Row) -> Entry:
    entries = connection.execute("SELECT * FROM alipay_trade WHERE id = ?", (row["trade_id"],)).fetchone()
    refunded_before = connection.execute(
        "SELECT coalesce(sum(amount_minor), 0) FROM alipay_refund WHERE trade_id = ? AND rowid < ?",
        (row["trade_id"], row["place"]),
    ).fetchone()[0]
    trade, amount_minor = Trade(*entries), row["amount_minor"]
    return _entry(
        contract, trade, "R", row["refund_no"], row["made_at"], refunded_before, amount_minor, charge=False
    )


def _entry(
    contract: AlipayContract,
    trade: Trade,
    kind: Kind,
    number: str,
    at: float,
    refunded_before: int,
    amount_minor: int,
    *,
    charge: bool = True,
) -> Entry:
    """Each partial refund is the difference of running totals, so that all parts add up to the payment."""
    amount = _converted(trade, refunded_before + amount_minor) - _converted(trade, refunded_before)
    charge_minor = rates.fee_minor(amount, contract.fee_rate_ppm) if charge else 0
    return Entry(contract.pid, number, kind, at, amount, charge_minor, trade.currency)


def _converted(trade: Trade, amount_minor: int) -> int:
    return rates.convert(amount_minor, trade.price_currency, trade.currency)
