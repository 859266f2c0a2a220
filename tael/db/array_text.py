"""Arrays as PostgreSQL reads them from text, which are made faster than asyncpg makes their binary form.

An array's literal differs from its JSON in the brackets, and in how some characters are escaped. So the JSON is made in
C, and an array with such a character, which is rare, in Python.
"""

from collections.abc import Sequence
from datetime import date
from typing import Final

import msgspec

_json: Final = msgspec.json.Encoder().encode
_ESCAPE: Final = b"\\"
#: What JSON and PostgreSQL write alike. A StrEnum is a str, a bool an int, a datetime a date.
_TYPES: Final = (str, int, date)


def array_text(values: Sequence[object]) -> bytes:
    """The literal of an array of values of one type, or None, in UTF-8.

    datetimes must have a time zone. Raises ValueError for a text that PostgreSQL cannot store.
    """
    for value in values:
        if value is not None:
            if not isinstance(value, _TYPES):
                raise TypeError(f"no text for an array of {type(value).__name__}")
            break
    text = _json(values)
    if _ESCAPE in text:
        return f"{{{','.join(map(_quoted, values))}}}".encode()
    return b"{%b}" % text[1:-1]


def _quoted(value: object) -> str:
    if value is None:
        return "NULL"
    text = str(value)
    if "\0" in text:  # it would end the parameter
        raise ValueError("a text with a NUL")
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'
