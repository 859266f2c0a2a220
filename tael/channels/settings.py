"""The settings of an account that a protocol declares: names, forms, and how an operator's text is read.

Each reader returns the text as it is stored. It raises ValueError with what the text must be, and with no part of it.
"""

import re
from base64 import b64decode
from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey, RSAPublicKey
from cryptography.hazmat.primitives.asymmetric.types import PrivateKeyTypes
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_der_private_key,
    load_der_public_key,
    load_pem_private_key,
    load_pem_public_key,
)
from cryptography.x509 import Certificate, load_pem_x509_certificate

#: WeChat Pay's own certificates have RSA keys of 2048 bits. OpenSSL refuses shorter ones at its default level.
MIN_CERTIFICATE_BITS: Final = 2048
#: The shortest RSA key in Alipay's documents.
MIN_RSA_BITS: Final = 1024


class Kind(StrEnum):
    """How a setting is stored in the account, given and shown."""

    TEXT = "text"
    FLAG = "flag"  #: true or false
    DOCUMENT = "document"  #: public, but too long to be shown
    SECRET = "secret"  # noqa: S105  only ever read from a file, and never shown


@dataclass(frozen=True, slots=True)
class Setting:
    """One setting. Its name is that of the account's field."""

    name: str
    description: str
    read: Callable[[str], str]
    kind: Kind = Kind.TEXT
    default: str | None = None  #: None: it must be given
    is_fixed: bool = False  #: identifies the account, so it cannot be changed
    is_sign_type: bool = False  #: selects the algorithm of signatures
    is_for_messages: bool = (
        True  #: false for a secret of another purpose than messages from and to the wallet
    )

    @property
    def is_shown(self) -> bool:
        return self.kind in (Kind.TEXT, Kind.FLAG)

    @property
    def is_credential(self) -> bool:
        """Whether messages are signed or verified with it, so that a change needs an overlap."""
        return self.is_sign_type or (self.is_for_messages and not self.is_shown)


class BadSetting(Exception):
    """A setting is missing, unknown or malformed, or contradicts another. The message names it and shows no value."""

    def __init__(self, name: str, why: str) -> None:
        super().__init__(f"{name}: {why}")
        self.name = name


# ---- readers -----------------------------------------------------------------------------------------------------


def text_of(pattern: str, description: str) -> Callable[[str], str]:
    """A text that matches `pattern`; `description` completes "must be"."""

    def read(text: str) -> str:
        text = text.strip()
        if re.fullmatch(pattern, text) is None:
            raise ValueError(f"must be {description}")
        return text

    return read


def one_of(*choices: str) -> Callable[[str], str]:
    """One of these texts."""

    def read(text: str) -> str:
        text = text.strip()
        if text not in choices:
            raise ValueError(f"must be {', '.join(choices[:-1])} or {choices[-1]}")
        return text

    return read


read_flag: Final = one_of("true", "false")


def read_rsa_private_key(text: str) -> str:
    """An RSA private key, as PEM."""
    pem, key = _private_key(text)
    if not isinstance(key, RSAPrivateKey) or key.key_size < MIN_RSA_BITS:
        raise ValueError(f"must be an RSA key of at least {MIN_RSA_BITS} bits")
    return pem


def read_rsa_public_key(text: str) -> str:
    """An RSA public key, as PEM."""
    pem = _as_pem(text, "PUBLIC KEY")
    try:
        key = load_pem_public_key(pem.encode())
    except (ValueError, UnsupportedAlgorithm) as error:
        raise ValueError("must be a public key in PEM or Base64") from error
    if not isinstance(key, RSAPublicKey) or key.key_size < MIN_RSA_BITS:
        raise ValueError(f"must be an RSA key of at least {MIN_RSA_BITS} bits")
    return pem


def read_certificate(text: str) -> str:
    """An X.509 certificate, as PEM."""
    try:
        key = certificate_of(text).public_key()
    except (ValueError, UnsupportedAlgorithm) as error:
        raise ValueError("must be a certificate in PEM") from error
    if isinstance(key, RSAPublicKey) and key.key_size < MIN_CERTIFICATE_BITS:
        raise ValueError(f"the certificate's key must have at least {MIN_CERTIFICATE_BITS} bits")
    return text


def read_private_key(text: str) -> str:
    """A private key of any algorithm, as PEM."""
    return _private_key(text)[0]


# ---- what was read -----------------------------------------------------------------------------------------------


def certificate_of(pem: str) -> Certificate:
    """Raises ValueError."""
    return load_pem_x509_certificate(pem.encode())


def rsa_bits(pem: str) -> int:
    """The length of an RSA key that was read, private or public."""
    is_private = "PRIVATE KEY" in pem
    key = _read_private_key(pem) if is_private else load_pem_public_key(pem.encode())
    assert isinstance(key, RSAPrivateKey | RSAPublicKey)
    return key.key_size


def is_key_pair(public_pem: str, private_pem: str) -> bool:
    """Whether the two keys that were read belong together."""
    return load_pem_public_key(public_pem.encode()) == _read_private_key(private_pem).public_key()


def is_certified(certificate_pem: str, private_pem: str) -> bool:
    """Whether the certificate is that of the private key."""
    return _read_private_key(private_pem).public_key() == certificate_of(certificate_pem).public_key()


def _read_private_key(pem: str) -> PrivateKeyTypes:
    """A key that was read. Its numbers were checked then, which takes a thousand times as long as parsing it."""
    return load_pem_private_key(pem.encode(), password=None, unsafe_skip_rsa_key_validation=True)


def _private_key(text: str) -> tuple[str, PrivateKeyTypes]:
    pem = _as_pem(text, "PRIVATE KEY")
    try:
        return pem, load_pem_private_key(pem.encode(), password=None)
    except TypeError as error:
        raise ValueError("the key has a passphrase; remove it first") from error
    except (ValueError, UnsupportedAlgorithm) as error:
        raise ValueError("must be a private key in PEM or Base64") from error


def _as_pem(text: str, label: str) -> str:
    """A key as PEM. Alipay's tools and pages give bare Base64, which is converted."""
    base64_text = "".join(text.split())
    if re.fullmatch(r"[A-Za-z0-9+/]+={0,2}", base64_text) is None:
        return text
    try:
        der = b64decode(base64_text, validate=True)
        if label == "PUBLIC KEY":
            public = load_der_public_key(der)
            return public.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode()
        private = load_der_private_key(der, password=None)
        return private.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()
    except (ValueError, TypeError, UnsupportedAlgorithm):
        return text  # the caller fails to read it as PEM, and says so
