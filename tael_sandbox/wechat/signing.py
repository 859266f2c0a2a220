"""V2 signatures, and the sealing of `req_info` in refund notices.

A signature covers every non-empty field of a message but `sign` itself, sorted by name, with the API key
appended last. MD5 hashes that text; HMAC-SHA256 hashes it again under the same key.
"""

import base64
import hashlib
import hmac
from collections.abc import Mapping
from typing import Final

from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from cryptography.hazmat.primitives.padding import PKCS7

MD5: Final = "MD5"
HMAC_SHA256: Final = "HMAC-SHA256"
SIGN_TYPES: Final = frozenset({MD5, HMAC_SHA256})


def signing_text(fields: Mapping[str, str], key: str) -> bytes:
    """The bytes that are hashed. The text `0` is a value like any other; only the empty text is left out."""
    names = sorted(name for name, value in fields.items() if value != "" and name != "sign")
    return "&".join([*(f"{name}={fields[name]}" for name in names), f"key={key}"]).encode()


def sign(fields: Mapping[str, str], key: str, sign_type: str) -> str:
    """The value of `sign`: upper-case hex, 32 characters for MD5 and 64 for HMAC-SHA256."""
    text = signing_text(fields, key)
    if sign_type == HMAC_SHA256:
        return hmac.new(key.encode(), text, hashlib.sha256).hexdigest().upper()
    if sign_type == MD5:
        return hashlib.md5(text, usedforsecurity=False).hexdigest().upper()
    raise ValueError(f"no such sign_type: {sign_type}")


def is_signed(fields: Mapping[str, str], key: str) -> bool:
    """Whether `sign` is right for these fields under the algorithm that the message itself names."""
    sign_type = fields.get("sign_type") or MD5
    if sign_type not in SIGN_TYPES:
        return False
    return hmac.compare_digest(sign(fields, key, sign_type).encode(), fields.get("sign", "").encode())


def req_info_key(key: str) -> str:
    """The AES key of `req_info`: 32 lower-case hex characters, used as characters and not as 16 bytes."""
    return hashlib.md5(key.encode(), usedforsecurity=False).hexdigest()


def encrypt_req_info(plain: bytes, key: str) -> str:
    """AES-256-ECB with PKCS#7 padding, in base64. ECB is what the wallet prescribes."""
    padder = PKCS7(128).padder()
    padded = padder.update(plain) + padder.finalize()
    encryptor = Cipher(algorithms.AES(req_info_key(key).encode()), modes.ECB()).encryptor()  # noqa: S305 (theirs)
    return base64.b64encode(encryptor.update(padded) + encryptor.finalize()).decode()


def decrypt_req_info(encrypted: str, key: str) -> bytes:
    """What was sealed. Raises ValueError where it was not sealed with this key."""
    decryptor = Cipher(algorithms.AES(req_info_key(key).encode()), modes.ECB()).decryptor()  # noqa: S305 (theirs)
    padded = decryptor.update(base64.b64decode(encrypted)) + decryptor.finalize()
    unpadder = PKCS7(128).unpadder()
    return unpadder.update(padded) + unpadder.finalize()
