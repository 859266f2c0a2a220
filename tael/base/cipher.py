"""Encryption of secrets at rest: AES-256-GCM with one key from the settings. A ciphertext begins with its nonce."""

import os
from typing import Final

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from tael.base.secret import Secret

NONCE_BYTES: Final = 12
KEY_BYTES: Final = 32


class DecryptionFailed(Exception):
    """The encryption key differs from the one used to encrypt, or the ciphertext was changed."""


class Cipher:
    """Encrypts and decrypts with one key."""

    def __init__(self, key: bytes) -> None:
        if len(key) != KEY_BYTES:
            raise ValueError(f"an encryption key must have {KEY_BYTES} bytes")
        self._aead = AESGCM(key)

    def encrypt(self, secret: Secret) -> bytes:
        """`secret` as stored: nonce and ciphertext."""
        return self.encrypt_content(secret.reveal().encode(), None)

    def encrypt_content(self, content: bytes, name: bytes | None) -> bytes:
        """`content` as stored. It is decrypted under the same `name` only."""
        nonce = os.urandom(NONCE_BYTES)
        return nonce + self._aead.encrypt(nonce, content, name)

    def decrypt(self, ciphertext: bytes) -> Secret:
        """The secret in `ciphertext`. Raises DecryptionFailed."""
        return Secret(self.decrypt_content(ciphertext, None).decode())

    def decrypt_content(self, ciphertext: bytes, name: bytes | None) -> bytes:
        """The content in `ciphertext`. Raises DecryptionFailed."""
        nonce, encrypted = ciphertext[:NONCE_BYTES], ciphertext[NONCE_BYTES:]
        try:
            return self._aead.decrypt(nonce, encrypted, name)
        except (InvalidTag, ValueError) as error:
            raise DecryptionFailed(
                "TAEL_ENCRYPTION_KEY does not decrypt the secrets in this database"
            ) from error
