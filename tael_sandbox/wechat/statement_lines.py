"""The rows of WeChat Pay's bills as errors are planted in them.

A bill's totals are made from its rows at each download, so they agree with a row that was changed.
"""

import sqlite3
from collections.abc import Mapping
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Final

from tael_sandbox.clock import BEIJING
from tael_sandbox.statement_lines import DrawDigits, LineType, LineValues
from tael_sandbox.wallet import Row
from tael_sandbox.wechat import bills, numbering, trades
from tael_sandbox.wechat.registry import Registry

TYPES: Final[Mapping[str, LineType]] = {"SUCCESS": "payment", "REFUND": "refund", "REVOKED": "reversal"}
_FOLLOWING: Final = ("Refund application time", "Refund success time")


class WeChatLines:
    wallet: Final = bills.BOOK

    def __init__(self, connection: sqlite3.Connection, registry: Registry) -> None:
        self._connection = connection
        self._mch_ids = {merchant.number: merchant.account.mch_id for merchant in registry.merchants}

    def values(self, account: str, row: Row) -> LineValues:
        kind = TYPES[row["Transaction status"]]
        return LineValues(
            kind,
            row["Vendor refund number"] if kind == "refund" else row["Vendor order number"],
            _time(row["Transaction time"]),
            Decimal(row[_amount_column(row)]),
            Decimal(row["Fee"]),
            row["Currency type"],
            row["Transaction status"],
        )

    def with_amount(self, row: Row, amount: Decimal) -> Row:
        return {**row, _amount_column(row): f"{amount:f}"}

    def with_fee(self, row: Row, fee: Decimal) -> Row:
        return {**row, "Fee": f"{fee:f}"}

    def at_time(self, row: Row, at: datetime) -> Row:
        moved = at - _time(row["Transaction time"])
        names = ["Transaction time", *(name for name in _FOLLOWING if row.get(name))]
        if _is_payment(row):
            names.append("Payment time")
        return {**row, **{name: _moved(row[name], moved) for name in names}}

    def for_order(self, row: Row, number: str, draw_digits: DrawDigits) -> Row:
        transaction_id = draw_digits(row["Wechat order number"])
        return {**row, "Vendor order number": number, "Wechat order number": transaction_id}

    def returned(self, row: Row, at: datetime) -> Row:
        time = numbering.readable_time(at)
        return {
            **row,
            "Transaction time": time,
            "Transaction status": "REVOKED",
            "Total amount": "0",
            "Cash payment amount": "0",
            "Settlement currency amount": "0",
            "Refund application time": time,
            "Refund success time": time,
            "Refund amount": row["Total amount"],
            "Refund type": "ORIGINAL",
            "Refund status": "SUCCESS",
            "Fee": f"{-Decimal(row['Fee']):f}",
            "Refund exchange rate": row["Exchange rate"],
            "Payer's refund amount": row["Cash payment amount"],
            "Payer's refund currency type": row["Payment currency type"],
            "Refund currency type": row["Currency type"],
            "Refund settlement currency type": row["Settlement currency type"],
            "Refund settlement amount": row["Settlement currency amount"],
        }

    def is_unreturned(self, account: str, number: str) -> bool:
        trade = trades.by_order(self._connection, self._mch_ids[account], number)
        return trade is not None and trade.state == "SUCCESS"

    def has_order(self, account: str, number: str) -> bool:
        return trades.by_order(self._connection, self._mch_ids[account], number) is not None


def _amount_column(row: Row) -> str:
    return "Total amount" if _is_payment(row) else "Refund amount"


def _is_payment(row: Row) -> bool:
    return bool(row["Transaction status"] == "SUCCESS")


def _time(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=BEIJING)


def _moved(text: str, by: timedelta) -> str:
    return numbering.readable_time(_time(text) + by)
