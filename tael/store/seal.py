"""Secrets at rest: AES-256-GCM under one key from the environment or a file. A sealed value is nonce + ciphertext."""

import os
from typing import Final

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from tael.domain.secret import Secret

NONCE_BYTES: Final = 12
KEY_BYTES: Final = 32


class WrongSeal(Exception):
    """The sealing key is not the one that these secrets were sealed with."""


class Seal:
    """Seals and opens with one key."""

    def __init__(self, key: bytes) -> None:
        if len(key) != KEY_BYTES:
            raise ValueError(f"a sealing key has {KEY_BYTES} bytes")
        self._cipher = AESGCM(key)

    def close(self, secret: Secret) -> bytes:
        """`secret` as it may lie in the database."""
        nonce = os.urandom(NONCE_BYTES)
        return nonce + self._cipher.encrypt(nonce, secret.reveal().encode(), None)

    def open(self, sealed: bytes) -> Secret:
        """The secret again. Raises WrongSeal."""
        try:
            return Secret(self._cipher.decrypt(sealed[:NONCE_BYTES], sealed[NONCE_BYTES:], None).decode())
        except (InvalidTag, ValueError) as error:
            raise WrongSeal("TAEL_SEAL_KEY does not open the secrets in this database") from error
