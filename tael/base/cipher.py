"""Encryption of secrets at rest: AES-256-GCM.

A ciphertext is: the format's name and version, the id of its key, a nonce, the encrypted content. It is bound to the
place where it is stored, as associated data: copied to another row, column or table it does not decrypt.
"""

import os
from typing import Final

from cryptography.exceptions import InvalidTag

from tael.base.key_file import KeySource
from tael.base.key_ring import KEY_ID_BYTES
from tael.base.secret import Secret

#: Name and version of the format.
FORMAT: Final = b"tael\x01"
NONCE_BYTES: Final = 12
HEADER_BYTES: Final = len(FORMAT) + KEY_ID_BYTES
#: The place of the key's id, as SQL counts bytes.
KEY_ID_FROM: Final = len(FORMAT) + 1
FAILED: Final = "TAEL_ENCRYPTION_KEY does not decrypt the secrets in this database"


class DecryptionFailed(Exception):
    """The key is missing, or the ciphertext was changed or moved."""


def associated_data(table: str, column: str, key: tuple[str, ...]) -> bytes:
    """The place of a ciphertext: its table, its column, and the primary key of its row.

    Texts of PostgreSQL have no NUL, so that two places never have the same.
    """
    return "\0".join((table, column, *key)).encode()


class Cipher:
    """Encrypts with the first key of `keys`, and decrypts with any of them."""

    def __init__(self, keys: KeySource) -> None:
        self.keys: Final = keys

    def encrypt(self, secret: Secret, place: bytes) -> bytes:
        """`secret` as stored at `place`, which is from `associated_data`."""
        return self.encrypt_content(secret.reveal().encode(), place)

    def encrypt_content(self, content: bytes, place: bytes) -> bytes:
        """`content` as stored at `place`."""
        ring = self.keys.current()
        cipher = ring.cipher_of(ring.encrypting_id)
        assert cipher is not None
        header, nonce = FORMAT + bytes.fromhex(ring.encrypting_id), os.urandom(NONCE_BYTES)
        return header + nonce + cipher.encrypt(nonce, content, header + place)

    def decrypt(self, ciphertext: bytes, place: bytes) -> Secret:
        """The secret in the `ciphertext` of `place`. Raises DecryptionFailed."""
        return Secret(self.decrypt_content(ciphertext, place).decode())

    def decrypt_content(self, ciphertext: bytes, place: bytes) -> bytes:
        """The content in the `ciphertext` of `place`. Raises DecryptionFailed."""
        key_id = key_id_of(ciphertext)
        cipher = self.keys.current().cipher_of(key_id) or self.keys.read_again().cipher_of(key_id)
        if cipher is None:
            raise DecryptionFailed(f"{FAILED}: it lacks the key {key_id}")
        header, rest = ciphertext[:HEADER_BYTES], ciphertext[HEADER_BYTES:]
        try:
            return cipher.decrypt(rest[:NONCE_BYTES], rest[NONCE_BYTES:], header + place)
        except (InvalidTag, ValueError) as error:
            raise DecryptionFailed(f"{FAILED}: a ciphertext was changed or moved") from error


def key_id_of(ciphertext: bytes) -> str:
    """The id of the key that encrypted it; its first `HEADER_BYTES` are enough. Raises DecryptionFailed."""
    if not ciphertext.startswith(FORMAT) or len(ciphertext) < HEADER_BYTES:
        raise DecryptionFailed(
            f"{FAILED}: they are not in the format of this version; start a demo over with --fresh"
        )
    return ciphertext[len(FORMAT) : HEADER_BYTES].hex()
