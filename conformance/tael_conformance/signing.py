"""Signatures, from the documentation: of parameters sorted by name, and of a body's bytes; the key follows the text."""

import hashlib
import hmac
from collections.abc import Mapping
from typing import Final, Literal, TypeAlias

Algorithm: TypeAlias = Literal["MD5", "SHA256"]
SIGN: Final = "sign"


def signed_text(params: Mapping[str, str]) -> str:
    """`name=value` of every parameter but `sign`, sorted by name and joined with `&`; values are not encoded."""
    return "&".join(f"{name}={params[name]}" for name in sorted(params) if name != SIGN)


def digest(text: bytes, key: str, algorithm: Algorithm = "MD5") -> str:
    """The signature of `text`, in upper-case hex."""
    made = hashlib.sha256 if algorithm == "SHA256" else hashlib.md5
    return made(text + key.encode()).hexdigest().upper()


def sign_params(params: Mapping[str, str], key: str, algorithm: Algorithm = "MD5") -> str:
    return digest(signed_text(params).encode(), key, algorithm)


def is_signature(sign: str, text: bytes, key: str, algorithm: Algorithm = "MD5") -> bool:
    """Whether `sign`, in hex of either case, is the signature of `text`."""
    return hmac.compare_digest(sign.upper().encode("utf-8", "replace"), digest(text, key, algorithm).encode())
