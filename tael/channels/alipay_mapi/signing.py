"""Signatures of the mapi gateway: MD5 with a shared key, RSA (SHA-1) and RSA2 (SHA-256) with key pairs.

Requests, the nodes of XML responses, notices and browser returns are signed. Values are signed as they are, before URL
encoding. A signature of a type that is not the account's is invalid.
"""

import base64
import binascii
import hashlib
import hmac
from collections.abc import Mapping
from functools import lru_cache
from typing import Final

from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey, RSAPublicKey
from cryptography.hazmat.primitives.serialization import load_pem_private_key, load_pem_public_key

from tael.base.secret import Secret
from tael.channels.alipay_mapi.account import AlipayAccount

NOT_SIGNED: Final = frozenset({"sign", "sign_type"})
#: Parsing a key costs more than signing with it.
MAX_CACHED_KEYS: Final = 512


class UnusableKey(Exception):
    """A key of the account cannot be read: nothing can be signed or verified with it."""


def signing_text(fields: Mapping[str, str]) -> str:
    """The signed text: every non-empty field but `sign` and `sign_type`, sorted by name, values as they are."""
    pairs = sorted((name, value) for name, value in fields.items() if value and name not in NOT_SIGNED)
    return "&".join(f"{name}={value}" for name, value in pairs)


def signature(fields: Mapping[str, str], account: AlipayAccount) -> str:
    """Our signature of a request in UTF-8. Raises UnusableKey."""
    text = signing_text(fields)
    if account.sign_type == "MD5":
        return _md5(text.encode(), account.key)
    return rsa_signature(text, account, account.sign_type)


def rsa_signature(text: str, account: AlipayAccount, sign_type: str = "RSA") -> str:
    """Our signature of `text` with the private key. Raises UnusableKey."""
    signed = _private_key(account.private_key).sign(text.encode(), PKCS1v15(), _digest(sign_type))
    return base64.b64encode(signed).decode()


def is_genuine(
    fields: Mapping[str, str], sign: str, sign_type: str, account: AlipayAccount, charset: str = "utf-8"
) -> bool:
    """Whether the wallet signed `fields` with a sign type of this account."""
    if not sign or sign_type not in account.sign_types:
        return False  # an RSA account has no MD5 key, and anyone can sign with an empty key
    try:
        text = signing_text(fields).encode(charset)
        if sign_type == "MD5":
            expected = _md5(text, account.key)
            return hmac.compare_digest(expected.encode(), sign.lower().encode())
        # A space in Base64 is a `+` that was URL-decoded twice.
        raw = base64.b64decode(sign.replace(" ", "+"), validate=True)
        _public_key(account.alipay_public_key).verify(raw, text, PKCS1v15(), _digest(sign_type))
    except (InvalidSignature, UnusableKey, UnicodeEncodeError, binascii.Error, ValueError):
        return False
    return True


def _md5(text: bytes, key: Secret) -> str:
    if not key.reveal():
        raise UnusableKey("the account has no MD5 key")
    return hashlib.md5(text + key.reveal().encode()).hexdigest()


def _digest(sign_type: str) -> hashes.HashAlgorithm:
    return hashes.SHA256() if sign_type == "RSA2" else hashes.SHA1()


@lru_cache(maxsize=MAX_CACHED_KEYS)
def _private_key(pem: Secret) -> RSAPrivateKey:
    try:
        # Its numbers were checked when the operator gave it, which takes a thousand times as long as parsing it.
        key = load_pem_private_key(pem.reveal().encode(), password=None, unsafe_skip_rsa_key_validation=True)
    except (ValueError, TypeError, UnsupportedAlgorithm) as error:
        raise UnusableKey("the account's private key cannot be read") from error
    if not isinstance(key, RSAPrivateKey):
        raise UnusableKey("the account's private key is not an RSA key")
    return key


@lru_cache(maxsize=MAX_CACHED_KEYS)
def _public_key(pem: str) -> RSAPublicKey:
    try:
        key = load_pem_public_key(pem.encode())
    except (ValueError, UnsupportedAlgorithm) as error:
        raise UnusableKey("the wallet's public key cannot be read") from error
    if not isinstance(key, RSAPublicKey):
        raise UnusableKey("the wallet's public key is not an RSA key")
    return key
