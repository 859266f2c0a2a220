"""Arrays as PostgreSQL reads them from text, which are made faster than asyncpg makes their binary form.

An array's literal differs from its JSON in the brackets, and in how some characters are escaped. So the JSON is made in
C, and an array with such a character, which is rare, in Python.
"""

from collections.abc import Sequence, Set
from datetime import date
from itertools import chain
from types import NoneType
from typing import Final

import msgspec

_json: Final = msgspec.json.Encoder().encode
_ESCAPE: Final = b"\\"
#: What JSON and PostgreSQL write alike. A StrEnum is a str, a bool an int, a datetime a date.
_TYPES: Final = (str, int, date, NoneType)
#: Types that were found to be such.
_known: Final[set[type]] = set()


def array_texts(arrays: Sequence[Sequence[object]]) -> list[bytes]:
    """The literals of arrays, each of values of one type, or None, in UTF-8.

    datetimes must have a time zone. Raises ValueError for a text that PostgreSQL cannot store.
    """
    kinds = set(map(type, chain.from_iterable(arrays)))
    if not kinds <= _known:
        _check(kinds)
    texts = list(map(_json, arrays))
    if _ESCAPE in b"".join(texts):
        return [_literal(array, text) for array, text in zip(arrays, texts, strict=True)]
    return [b"{%b}" % text[1:-1] for text in texts]


def _check(kinds: Set[type]) -> None:
    """Raises TypeError for one that has no text."""
    if unknown := {kind.__name__ for kind in kinds if not issubclass(kind, _TYPES)}:
        raise TypeError(f"no text for an array of {', '.join(sorted(unknown))}")
    _known.update(kinds)


def _literal(array: Sequence[object], text: bytes) -> bytes:
    if _ESCAPE in text:
        return f"{{{','.join(map(_quoted, array))}}}".encode()
    return b"{%b}" % text[1:-1]


def _quoted(value: object) -> str:
    if value is None:
        return "NULL"
    text = str(value)
    if "\0" in text:  # it would end the parameter
        raise ValueError("a text with a NUL")
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'
