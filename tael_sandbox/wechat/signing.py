"""V2 signatures, and the encryption of `req_info` in refund notices.

A signature covers every non-empty field of a message except `sign` itself, sorted by name, with the API key appended.
MD5 hashes this text; HMAC-SHA256 also uses the same key as the HMAC's key.
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
    """The bytes that are hashed. Only empty values are left out; `0` is a value."""
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
    """Whether `sign` matches these fields under the algorithm that the message names."""
    sign_type = fields.get("sign_type") or MD5
    if sign_type not in SIGN_TYPES:
        return False
    return hmac.compare_digest(sign(fields, key, sign_type).encode(), fields.get("sign", "").encode())


def req_info_key(key: str) -> str:
    """The AES key of `req_info`: 32 lower-case hex characters, used as 32 ASCII bytes and not as 16 bytes."""
    return hashlib.md5(key.encode(), usedforsecurity=False).hexdigest()


def encrypt_req_info(plain: bytes, key: str) -> str:
    """AES-256-ECB with PKCS#7 padding, in base64. The wallet prescribes ECB."""
    padder = PKCS7(128).padder()
    padded = padder.update(plain) + padder.finalize()
    encryptor = Cipher(algorithms.AES(req_info_key(key).encode()), modes.ECB()).encryptor()  # noqa: S305 (theirs)
    return base64.b64encode(encryptor.update(padded) + encryptor.finalize()).decode()


def decrypt_req_info(encrypted: str, key: str) -> bytes:
    """The plaintext. Raises ValueError if it was not encrypted with this key."""
    decryptor = Cipher(algorithms.AES(req_info_key(key).encode()), modes.ECB()).decryptor()  # noqa: S305 (theirs)
    padded = decryptor.update(base64.b64decode(encrypted)) + decryptor.finalize()
    unpadder = PKCS7(128).unpadder()
    return unpadder.update(padded) + unpadder.finalize()
