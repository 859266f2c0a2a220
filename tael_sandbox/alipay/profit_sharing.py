"""`split_fund_info`: who else gets a share of a payment, or gives one of a refund.

The shares are checked and not booked: the accounts that they name are not the merchant's, and no answer tells of them.
"""

import re
from dataclasses import replace
from typing import Final

from tael_sandbox.alipay.checks import Parameters

MAX_SPLITS: Final = 10
MAX_UNITS: Final = "100000000.00"
PAYING_IN, PAYING_OUT = "transIn", "transOut"
_PID: Final = re.compile("2088[0-9]{12}")


def check_splits(asked: Parameters, party: str, currency: str, amount_minor: int) -> None:
    """Each share is in the price's currency, and together they are at most the amount. Raises Refused."""
    profit_shares = asked.json("split_fund_info", list) or []
    if len(profit_shares) > MAX_SPLITS:
        raise asked.refuse()
    shares = [_share_minor(asked, split, party, currency) for split in profit_shares]
    if sum(shares) > amount_minor:
        raise asked.refuse()


def _share_minor(asked: Parameters, split: object, party: str, currency: str) -> int:
    if not isinstance(split, dict) or not all(
        isinstance(value, str | int | float) for value in split.values()
    ):
        raise asked.refuse()
    share = replace(asked, fields={name: str(value) for name, value in split.items()})
    if not _PID.fullmatch(share.text(party, 16)) or share.text("currency", 10) != currency:
        raise asked.refuse()
    return share.amount("amount", currency, MAX_UNITS)
