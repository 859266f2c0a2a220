"""Magic values: in the profile `demo` the end of a barcode or an amount asks for the answer that it names.

An amount is 99 followed by a response code of the gateway's, in minor units (991201); a barcode ends in the code
(…1201). What a wallet says so that the gateway answers this code is in the `magic.py` of each wallet; a value
that means nothing to a call does nothing.
"""

import re
import sqlite3
from collections.abc import Container
from typing import Final

from tael_sandbox.profiles import in_force

#: The end of a barcode that is simply paid.
PAYS: Final = "0000"
#: Every end of a barcode that asks for something. No other code that is handed out ends like this.
ENDINGS: Final = frozenset(
    f"{PAYS} 1111 1118 1121 1123 1124 1131 1133 1135 1142 1145 1147 1201 1202 1203 1204 2005 2006 2007 2008".split()
)
ENDING_LENGTH: Final = 4
_AMOUNT: Final = re.compile("99([0-9]{4})")


def asked_code(connection: sqlite3.Connection, known: Container[str], *values: str | int) -> str:
    """The first code of `known` that the values ask for, or "". A text is a barcode, a number an amount."""
    if not in_force(connection).has_magic:
        return ""
    return next((code for code in map(_code_of, values) if code in known), "")


def ends_in_magic(auth_code: str) -> bool:
    return auth_code[-ENDING_LENGTH:] in ENDINGS


def _code_of(value: str | int) -> str:
    if isinstance(value, str):
        return value[-ENDING_LENGTH:] if ends_in_magic(value) else ""
    amount = _AMOUNT.fullmatch(str(value))
    return amount[1] if amount is not None else ""
