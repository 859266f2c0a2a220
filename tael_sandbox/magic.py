"""Magic values: in the profile `demo`, an amount or the ending of a barcode selects the gateway's response code.

An amount is 99 followed by the code, in minor units (991201); a barcode ends in the code (…1201). The `magic.py` of
each wallet maps the code to the wallet's response. A code that does not apply to a call has no effect.
"""

import re
import sqlite3
from collections.abc import Container
from typing import Final

from tael_sandbox.profiles import current_profile

#: The ending of a barcode that is paid normally.
PAYS: Final = "0000"
#: Every ending with a meaning. Issued codes have one of these endings only if it was requested.
ENDINGS: Final = frozenset(
    f"{PAYS} 1111 1118 1121 1123 1124 1131 1133 1135 1142 1145 1147 1201 1202 1203 1204 2005 2006 2007 2008".split()
)
ENDING_LENGTH: Final = 4
_AMOUNT: Final = re.compile("99([0-9]{4})")


def requested_code(connection: sqlite3.Connection, known: Container[str], *values: str | int) -> str:
    """The first code in `known` that a value selects, or "". A string is a barcode, a number is an amount."""
    if not current_profile(connection).has_magic:
        return ""
    return next((code for code in map(_code_of, values) if code in known), "")


def has_magic_ending(auth_code: str) -> bool:
    return auth_code[-ENDING_LENGTH:] in ENDINGS


def _code_of(value: str | int) -> str:
    if isinstance(value, str):
        return value[-ENDING_LENGTH:] if has_magic_ending(value) else ""
    amount = _AMOUNT.fullmatch(str(value))
    return amount[1] if amount is not None else ""
