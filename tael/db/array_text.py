"""Arrays as PostgreSQL reads them from text, which are made faster than asyncpg makes their binary form."""

from collections.abc import Callable, Sequence
from datetime import date
from typing import Any, Final

NULL: Final = "NULL"


def array_text(values: Sequence[object]) -> str:
    """The literal of an array of values of one type, or None. Raises ValueError for a NUL.

    datetimes must have a time zone.
    """
    first = next((value for value in values if value is not None), None)
    if first is None:
        return "{" + ",".join([NULL] * len(values)) + "}"
    encode = _encoder(first)
    if None not in values:
        return "{" + ",".join(map(encode, values)) + "}"
    return "{" + ",".join([NULL if value is None else encode(value) for value in values]) + "}"


def _encoder(value: object) -> Callable[[Any], str]:
    match value:
        case bool():
            return _boolean
        case int():
            return str
        case str():
            return _text
        case date():  # a datetime is one too
            return _moment
        case _:
            raise TypeError(f"no text for an array of {type(value).__name__}")


def _boolean(value: bool) -> str:
    return "t" if value else "f"


def _text(value: str) -> str:
    if "\\" in value or '"' in value or "\0" in value:
        if "\0" in value:  # it would end the parameter
            raise ValueError("a text with a NUL")
        value = value.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{value}"'


def _moment(value: date) -> str:
    return f'"{value.isoformat()}"'
