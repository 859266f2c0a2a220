"""What a user can permit an app to read."""

from collections.abc import Iterable
from enum import StrEnum


class Scope(StrEnum):
    """The values are QFPay's."""

    BASEINFO = "user_baseinfo"  #: nickname and user id
    TRADELIST = "user_tradelist"  #: the payments of the user's merchant


def read_scopes(text: str) -> tuple[Scope, ...] | None:
    """The scopes of a list with commas or spaces, each once; `user_baseinfo` if empty. None if one is unknown."""
    names = text.replace(",", " ").split(" ")
    try:
        scopes = {Scope(name) for name in names if name}
    except ValueError:
        return None
    return in_order(scopes or {Scope.BASEINFO})


def in_order(scopes: Iterable[Scope]) -> tuple[Scope, ...]:
    """Each once, in the order of their declaration."""
    given = set(scopes)
    return tuple(scope for scope in Scope if scope in given)


def joined(scopes: Iterable[Scope]) -> str:
    """As RFC 6749 writes a list of scopes."""
    return " ".join(scopes)
