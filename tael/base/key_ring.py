"""The encryption keys of a process: the first encrypts, and all of them decrypt.

A key is known by its id, a digest that is stored with each ciphertext and reveals nothing of the key.
"""

import base64
import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from tael.base.secret import Secret

KEY_BYTES: Final = 32
KEY_ID_BYTES: Final = 8
#: So that no other use of a key's digest gives the same id.
ID_LABEL: Final = b"tael: id of an encryption key\0"
#: A rotation needs two; keys of earlier rotations may not be removed yet.
MAX_KEYS: Final = 8


class BadKeys(Exception):
    """The text has no valid keys. The message says why, with no part of the text."""


@dataclass(frozen=True, slots=True)
class EncryptionKey:
    """One key, as it is written in the settings."""

    secret: Secret  #: base64 of 32 bytes

    @property
    def content(self) -> bytes:
        return base64.b64decode(self.secret.reveal())

    @property
    def key_id(self) -> str:
        """16 hex digits."""
        return hashlib.sha256(ID_LABEL + self.content).digest()[:KEY_ID_BYTES].hex()


class KeyRing:
    """Keys in order. It is also a source of keys that never change: see `base/key_file.py`."""

    def __init__(self, keys: Sequence[EncryptionKey]) -> None:
        """Raises BadKeys unless there are 1 to MAX_KEYS different keys."""
        self.keys: Final = tuple(keys)
        self._ciphers = {key.key_id: AESGCM(key.content) for key in keys}
        if not 1 <= len(self.keys) <= MAX_KEYS:
            raise BadKeys(f"has {len(self.keys)} keys; there must be 1 to {MAX_KEYS}")
        if len(self._ciphers) < len(self.keys):
            raise BadKeys("has the same key twice")

    @property
    def key_ids(self) -> tuple[str, ...]:
        return tuple(self._ciphers)

    @property
    def encrypting_id(self) -> str:
        """The id of the key that encrypts."""
        return self.key_ids[0]

    def cipher_of(self, key_id: str) -> AESGCM | None:
        return self._ciphers.get(key_id)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, KeyRing) and other.keys == self.keys

    def __hash__(self) -> int:
        return hash(self.keys)

    def current(self) -> "KeyRing":
        return self

    def read_again(self) -> "KeyRing":
        return self


def read_keys(text: str, separator: str) -> KeyRing:
    """The keys in `text`, separated by a comma in a variable and by a line's end in a file. Raises BadKeys."""
    return KeyRing([_read_key(part) for part in map(str.strip, text.split(separator)) if part])


def key_ring(*keys: bytes) -> KeyRing:
    """A ring of these keys of 32 bytes. Raises BadKeys."""
    return KeyRing([_read_key(base64.b64encode(key).decode()) for key in keys])


def _read_key(text: str) -> EncryptionKey:
    try:
        is_valid = len(base64.b64decode(text, validate=True)) == KEY_BYTES
    except ValueError:
        is_valid = False
    if not is_valid:
        raise BadKeys(f"is not {KEY_BYTES} bytes in base64; create it with openssl rand -base64 {KEY_BYTES}")
    return EncryptionKey(Secret(text))
