"""What a wallet must be able to say for the faults that are told in its own words.

Each wallet has one `Tampering`: it knows which of the wallet's calls a request is, and how that wallet would sign a
system error, a wrong signature or a wrong amount. It changes no book.
"""

from dataclasses import dataclass
from sqlite3 import Row
from typing import Protocol

from starlette.responses import Response


@dataclass(frozen=True, slots=True)
class Ask:
    """A request to a wallet, read whole."""

    path: str
    query: bytes
    body: bytes


@dataclass(frozen=True, slots=True)
class Operation:
    wallet: str
    name: str  #: the service or the path


class Tampering(Protocol):
    """Where a method answers None, that lie cannot be told of this request, answer or notice."""

    @property
    def wallets(self) -> tuple[str, ...]: ...

    @property
    def operations(self) -> frozenset[str]: ...

    def listens_at(self, path: str) -> bool:
        """Whether requests to this path can be calls to the wallet; a payer's pages are not."""
        ...

    def operation_of(self, ask: Ask) -> Operation | None: ...

    def system_error(self, ask: Ask) -> Response | None:
        """None also where the wallet would refuse the request before its systems came into it."""
        ...

    def missigned(self, answer: bytes) -> bytes | None:
        """The same answer with one byte of its signature changed."""
        ...

    def misquoted(self, ask: Ask, answer: bytes) -> bytes | None:
        """The answer with one minor unit more, properly signed."""
        ...

    def missigned_notice(self, notice: Row) -> bytes | None: ...

    def misquoted_notice(self, notice: Row) -> bytes | None: ...


def other_first_byte(signature: str) -> str:
    """Still of the same alphabet, hexadecimal or base64: what is wrong is only the signature."""
    return ("1" if signature.startswith("0") else "0") + signature[1:]
