"""The rows of Alipay's files as errors are planted in them. Both files of a day are made from the same rows.

A reversal is a line R with the order's number, a refund a line R with a number of its own: the book tells them apart.
"""

import sqlite3
from datetime import datetime
from decimal import Decimal
from typing import Final

from tael_sandbox.alipay import files
from tael_sandbox.alipay.checks import COMPACT
from tael_sandbox.alipay.trades import by_order
from tael_sandbox.clock import BEIJING, bjt
from tael_sandbox.statement_lines import DrawDigits, LineType, LineValues
from tael_sandbox.wallet import Row


class AlipayLines:
    wallet: Final = files.BOOK

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection

    def values(self, account: str, row: Row) -> LineValues:
        return LineValues(
            self._type(account, row),
            row["number"],
            datetime.strptime(row["at"], COMPACT).replace(tzinfo=BEIJING),
            Decimal(row["amount"]),
            Decimal(row["charge"]),
            row["currency"],
            row["kind"],
        )

    def with_amount(self, row: Row, amount: Decimal) -> Row:
        return {**row, "amount": f"{amount:f}"}

    def with_fee(self, row: Row, fee: Decimal) -> Row:
        return {**row, "charge": f"{fee:f}"}

    def at_time(self, row: Row, at: datetime) -> Row:
        return {**row, "at": f"{bjt(at):{COMPACT}}"}

    def for_order(self, row: Row, number: str, draw_digits: DrawDigits) -> Row:
        return {**row, "number": number}

    def returned(self, row: Row, at: datetime) -> Row:
        return {**self.at_time(row, at), "kind": "R"}

    def is_unreturned(self, account: str, number: str) -> bool:
        trade = by_order(self._connection, account, number)
        return trade is not None and trade.is_paid and trade.refunded_minor == 0

    def has_order(self, account: str, number: str) -> bool:
        return by_order(self._connection, account, number) is not None

    def _type(self, account: str, row: Row) -> LineType:
        if row["kind"] == "P":
            return "payment"
        return "reversal" if self.has_order(account, row["number"]) else "refund"
