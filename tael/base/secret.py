"""A secret value, such as a merchant's or wallet's key.

`repr` and `str` hide it, so that no log, traceback or dataclass repr can show it; `reveal` is easy to search for.
"""

from typing import Final

HIDDEN: Final = "Secret(…)"


class Secret:
    """A text that only `reveal` returns."""

    __slots__ = ("_text",)

    def __init__(self, text: str) -> None:
        self._text = text

    def reveal(self) -> str:
        """The text itself, for signing and encryption only."""
        return self._text

    def __repr__(self) -> str:
        return HIDDEN

    __str__ = __repr__

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Secret) and other._text == self._text

    def __hash__(self) -> int:
        return hash(self._text)

    def __reduce__(self) -> tuple[object, ...]:
        raise TypeError("a Secret is not pickled")
