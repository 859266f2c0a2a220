"""The only source of randomness: unguessable ids and keys, and random steps that hide the volume of transactions."""

import os
import secrets
import string
import uuid
from typing import Final

LETTERS: Final = string.ascii_letters + string.digits
KEY_LENGTH: Final = 32
MCHID_LENGTH: Final = 16
ACCOUNT_ID_LENGTH: Final = 24
LINK_ID_LENGTH: Final = 24
DOCUMENT_ID_LENGTH: Final = 24
STATEMENT_ID_LENGTH: Final = 16
RECONCILIATION_ID_LENGTH: Final = 16
REMITTANCE_ID_LENGTH: Final = 16
PAYOUT_ID_LENGTH: Final = 16
USERID_LENGTH: Final = 13
PASSWORD_LENGTH: Final = 20
LINK_KEY_ID_LENGTH: Final = 8
#: The system is asked for so many random bytes at a time.
POOL_BYTES: Final = 4096


def appcode() -> str:
    """A developer's public id: 32 upper-case hex digits."""
    return secrets.token_hex(16).upper()


def key() -> str:
    """A developer's secret: 32 letters and digits."""
    return _letters(KEY_LENGTH)


def mchid() -> str:
    return _letters(MCHID_LENGTH)


def account_id() -> str:
    """The unguessable part of a notice URL."""
    return _letters(ACCOUNT_ID_LENGTH)


def link_id() -> str:
    """The unguessable part of a checkout page's URL."""
    return _letters(LINK_ID_LENGTH)


def document_id() -> str:
    """The name of a document's file."""
    return _letters(DOCUMENT_ID_LENGTH)


def statement_id() -> str:
    """What an operator names a statement by."""
    return _letters(STATEMENT_ID_LENGTH)


def reconciliation_id() -> str:
    """Names one run."""
    return _letters(RECONCILIATION_ID_LENGTH)


def remittance_id() -> str:
    """The cause of a remittance's ledger entries."""
    return _letters(REMITTANCE_ID_LENGTH)


def conversion_id() -> str:
    """The cause of a conversion's ledger entries."""
    return _letters(REMITTANCE_ID_LENGTH)


def payout_id() -> str:
    """The cause of a payout's ledger entries."""
    return _letters(PAYOUT_ID_LENGTH)


def userid() -> str:
    """What apps see of a merchant's user."""
    return _letters(USERID_LENGTH)


def password() -> str:
    """A user's first password."""
    return _letters(PASSWORD_LENGTH)


def token() -> str:
    """A token or code of OAuth, in the form of QFPay's: a UUID with 122 random bits."""
    return str(uuid.UUID(bytes=secrets.token_bytes(16), version=4))


def session() -> str:
    """What a signed-in browser has in its cookie."""
    return secrets.token_urlsafe(32)


def link_key_id() -> str:
    """A part of a page's address."""
    return _letters(LINK_KEY_ID_LENGTH)


def secret_bytes() -> bytes:
    """A key of 256 bits."""
    return secrets.token_bytes(32)


def request_id() -> str:
    return _pool.take(8).hex()


def nonce() -> str:
    """The random text in a message to a wallet: 32 hex digits."""
    return _pool.take(16).hex()


def small_step(maximum: int) -> int:
    """A step from 1 to `maximum`, which is at most 256, uniformly distributed."""
    end = 256 - 256 % maximum
    while (byte := _pool.take(1)[0]) >= end:  # a remainder would favour small steps
        pass
    return 1 + byte % maximum


class _Pool:
    """Random bytes for texts that need not be secret. Each byte is used once, also in a process and its copy."""

    def __init__(self) -> None:
        self.clear()

    def clear(self) -> None:
        self._bytes, self._next = b"", 0

    def take(self, count: int) -> bytes:
        start, self._next = self._next, self._next + count
        if self._next > len(self._bytes):
            self._bytes = secrets.token_bytes(POOL_BYTES)
            start, self._next = 0, count
        return self._bytes[start : self._next]


_pool: Final = _Pool()
os.register_at_fork(after_in_child=_pool.clear)


def _letters(length: int) -> str:
    return "".join(secrets.choice(LETTERS) for _ in range(length))
