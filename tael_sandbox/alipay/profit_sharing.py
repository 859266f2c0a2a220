"""`split_fund_info`: the shares of other accounts in a payment or refund.

The shares are validated but not booked: they belong to accounts other than the merchant's, and no response contains
them.
"""

import re
from dataclasses import replace
from typing import Final

from tael_sandbox.alipay.checks import Parameters

MAX_SHARES: Final = 10
MAX_UNITS: Final = "100000000.00"
PAYING_IN, PAYING_OUT = "transIn", "transOut"
_PID: Final = re.compile("2088[0-9]{12}")


def check_profit_shares(parameters: Parameters, party: str, currency: str, amount_minor: int) -> None:
    """Each share is in the price's currency, and their sum is at most the amount. Raises Refused."""
    rows = parameters.json("split_fund_info", list) or []
    if len(rows) > MAX_SHARES:
        raise parameters.refuse()
    shares = [_share_minor(parameters, row, party, currency) for row in rows]
    if sum(shares) > amount_minor:
        raise parameters.refuse()


def _share_minor(parameters: Parameters, row: object, party: str, currency: str) -> int:
    if not isinstance(row, dict) or not all(isinstance(value, str | int | float) for value in row.values()):
        raise parameters.refuse()
    share = replace(parameters, fields={name: str(value) for name, value in row.items()})
    if not _PID.fullmatch(share.text(party, 16)) or share.text("currency", 10) != currency:
        raise parameters.refuse()
    return share.amount("amount", currency, MAX_UNITS)
