"""Signatures: of a request over its sorted parameters, of a response over its exact bytes.

A request is signed over all parameters except `sign`, sorted by name, as `name=value` joined with `&`, directly
followed by the key, in UTF-8. Values are neither percent-encoded nor trimmed. Some servers leave empty values out of
the text and others do not, so this client never sends one; `signing_text` keeps them.
"""

import hashlib
import hmac
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Final

SIGN: Final = "sign"


class SignType(StrEnum):
    """The digest algorithm. Every server accepts MD5; prefer SHA256 where it is accepted."""

    MD5 = "MD5"
    SHA256 = "SHA256"


@dataclass(frozen=True, slots=True)
class Credentials:
    """The app's credentials. `appcode` is public; `key` signs, is never sent, and is not in the repr.

    `mchid` is the merchant that receives the money; leave it empty if the appcode has only one. For another merchant of
    the same appcode: `dataclasses.replace(credentials, mchid=...)`.

    `sign_type` applies to requests, `response_sign_type` to the server's responses and new-style webhooks: QFPay signs
    them with MD5; an app of tael can be set to SHA256. A signature of the other type is refused.
    """

    appcode: str
    key: str = field(repr=False)
    mchid: str = ""
    sign_type: SignType = SignType.MD5
    response_sign_type: SignType = field(default=SignType.MD5, kw_only=True)

    def __post_init__(self) -> None:
        if not self.appcode or not self.key:
            raise ValueError("appcode and key must not be empty")
        if not self.appcode.isascii() or not self.appcode.isprintable():
            raise ValueError("appcode must be printable ASCII")


def signing_text(params: Mapping[str, str]) -> str:
    """The text to sign, without the key."""
    return "&".join(f"{name}={params[name]}" for name in sorted(params) if name != SIGN)


def digest(text: bytes, sign_type: SignType) -> str:
    """In upper-case hex, which every receiver accepts."""
    algorithm = hashlib.sha256 if sign_type is SignType.SHA256 else hashlib.md5
    return algorithm(text).hexdigest().upper()


def sign_params(params: Mapping[str, str], credentials: Credentials) -> str:
    """The `X-QF-SIGN` of a request."""
    return digest((signing_text(params) + credentials.key).encode(), credentials.sign_type)


def is_signed(text: bytes, sign: str, key: str, sign_type: SignType = SignType.MD5) -> bool:
    """Whether `sign` is the signature of `text` with this key and algorithm. Compared in constant time."""
    expected = digest(text + key.encode(), sign_type)
    return hmac.compare_digest(expected.encode(), sign.upper().encode("utf-8", "surrogateescape"))
