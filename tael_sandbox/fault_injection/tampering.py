"""The interface through which a wallet builds faulty responses and notices.

Each wallet has one `Tampering`. It knows which of the wallet's operations a request is, and builds the wallet's own
system error, wrong signature or wrong amount. It never writes to the books.
"""

from dataclasses import dataclass
from sqlite3 import Row
from typing import Protocol

from starlette.responses import Response


@dataclass(frozen=True, slots=True)
class WalletRequest:
    """A request to a wallet, with its whole body."""

    path: str
    query: bytes
    body: bytes


@dataclass(frozen=True, slots=True)
class Operation:
    wallet: str
    name: str  #: Alipay's service, or WeChat Pay's path


class Tampering(Protocol):
    """A method returns None where its fault does not apply to the request, response or notice."""

    @property
    def wallets(self) -> tuple[str, ...]: ...

    @property
    def operations(self) -> frozenset[str]: ...

    def serves_path(self, path: str) -> bool:
        """Whether the wallet's API is served at this path. Pages of the payer's are not part of it."""
        ...

    def operation_of(self, request: WalletRequest) -> Operation | None: ...

    def system_error(self, request: WalletRequest) -> Response | None:
        """The wallet's own system error. None also for a request that fails the checks that come first."""
        ...

    def with_wrong_signature(self, response: bytes) -> bytes | None:
        """The response with one byte of its signature changed."""
        ...

    def with_wrong_amount(self, request: WalletRequest, response: bytes) -> bytes | None:
        """The response with its amounts one minor unit higher, correctly signed."""
        ...

    def notice_with_wrong_signature(self, notice: Row) -> bytes | None: ...

    def notice_with_wrong_amount(self, notice: Row) -> bytes | None: ...


def with_other_first_byte(signature: str) -> str:
    """The signature with its first byte changed, within the same alphabet (hexadecimal or base64)."""
    return ("1" if signature.startswith("0") else "0") + signature[1:]
