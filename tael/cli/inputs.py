"""Validation of an operator's input before it is stored: URLs, currencies, wallets' numbers, key files.

An invalid value ends the command with one line that names the option. Secrets are read from files only: every user of
the machine can read a command's arguments.
"""

import re
from base64 import b64decode
from datetime import datetime
from ipaddress import ip_address, ip_network
from pathlib import Path
from typing import Final, NamedTuple
from urllib.parse import urlsplit

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey, RSAPublicKey
from cryptography.hazmat.primitives.asymmetric.types import CertificatePublicKeyTypes, PrivateKeyTypes
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
from cryptography.x509 import load_pem_x509_certificate

from tael.base.secret import Secret
from tael.cli.showing import UNUSABLE, refused

MAX_URL: Final = 2048
MAX_FILE: Final = 65_536
#: Every request is compared with all of them.
MAX_NETWORKS: Final = 100
#: WeChat Pay's own certificates have RSA keys of 2048 bits. OpenSSL refuses shorter ones at its default level.
MIN_CERTIFICATE_BITS: Final = 2048


class Form(NamedTuple):
    """The form of a value, as a pattern and in words."""

    pattern: str
    description: str


APPCODE: Final = Form(r"[A-Za-z0-9]{1,64}", "1 to 64 letters and digits")
MCHID: Final = Form(r"[A-Za-z0-9]{1,64}", "1 to 64 letters and digits")
MERCHANT_NAME: Final = Form(r"(?=.*\S).{1,128}", "1 to 128 characters")
REASON: Final = Form(r"[ -~]{1,200}", "one line of up to 200 ASCII characters")
CURRENCY: Final = Form(r"[A-Z]{3}", "a currency of three capital letters, such as HKD")
PID: Final = Form(r"2088[0-9]{12}", "a PID: 16 digits beginning with 2088")
WECHAT_NUMBER: Final = Form(r"[0-9]{6,32}", "a WeChat Pay merchant number: 6 to 32 digits")
APPID: Final = Form(r"[A-Za-z0-9_-]{6,32}", "an appid, such as wx0123456789abcdef")
APP_KEY: Final = Form(r"[!-~]{16,128}", "16 to 128 characters without spaces")
WALLET_KEY: Final = Form(r"[A-Za-z0-9]{32}", "32 letters and digits")
APP_SECRET: Final = Form(r"[!-~]{16,128}", "16 to 128 characters without spaces")


def checked(value: str, form: Form, option: str) -> str:
    """`value`, if it has the form."""
    if re.fullmatch(form.pattern, value) is None:
        raise refused(f"{option}: must be {form.description}", UNUSABLE)
    return value


def checked_url(value: str, option: str, *, takes_fragment: bool = False) -> str:
    """`value`, if it is an absolute URL for a server, or for a browser if `takes_fragment`. "" is accepted."""
    if not value:
        return value
    try:
        parts = urlsplit(value)
        usable = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:  # an invalid port or IPv6 address
        usable = False
    if not usable or len(value) > MAX_URL or re.fullmatch(r"[!-~]+", value) is None:
        raise refused(f"{option}: must be a URL such as https://shop.example/notify", UNUSABLE)
    if parts.username is not None:
        raise refused(f"{option}: the URL must not contain a user name", UNUSABLE)
    if "#" in value and not takes_fragment:
        raise refused(f"{option}: the URL must not contain a #fragment", UNUSABLE)
    return value


def is_loopback_host(host: str) -> bool:
    """Whether a URL's host is this machine."""
    try:
        return host == "localhost" or ip_address(host).is_loopback
    except ValueError:
        return False


def checked_networks(values: list[str], option: str) -> tuple[str, ...]:
    """Addresses and networks in CIDR form, each once; empty values are left out."""
    try:
        networks = [str(ip_network(value.strip())) for value in values if value.strip()]
    except ValueError as error:
        raise refused(
            f"{option}: {error}; give an address such as 192.0.2.7 or a network such as 192.0.2.0/24",
            UNUSABLE,
        ) from error
    if len(networks) > MAX_NETWORKS:
        raise refused(f"{option}: at most {MAX_NETWORKS} networks", UNUSABLE)
    return tuple(dict.fromkeys(networks))


def secret_in(path: Path, form: Form, option: str) -> Secret:
    """The whole file, without surrounding whitespace."""
    text = _text_of(path, option).strip()
    if re.fullmatch(form.pattern, text) is None:
        raise refused(f"{option}: {path} must contain {form.description}", UNUSABLE)
    return Secret(text)


def rsa_private_key_in(path: Path, min_bits: int, option: str) -> Secret:
    """An RSA private key, as PEM."""
    pem, key = _private_key_in(path, option)
    if not isinstance(key, RSAPrivateKey) or key.key_size < min_bits:
        raise refused(f"{option}: {path} must contain an RSA key of at least {min_bits} bits", UNUSABLE)
    return pem


def rsa_public_key_in(path: Path, min_bits: int, option: str) -> str:
    """An RSA public key, as PEM."""
    pem = _key_text_of(path, "PUBLIC KEY", option)
    try:
        key = load_pem_public_key(pem.encode())
    except (ValueError, UnsupportedAlgorithm) as error:
        raise refused(f"{option}: {path} contains no public key in PEM or Base64", UNUSABLE) from error
    if not isinstance(key, RSAPublicKey) or key.key_size < min_bits:
        raise refused(f"{option}: {path} must contain an RSA key of at least {min_bits} bits", UNUSABLE)
    return pem


def is_public_half(public_pem: str, private_pem: Secret) -> bool:
    """Whether the two keys are a pair. False if either is unreadable: a key stored earlier was not validated."""
    try:
        private = load_pem_private_key(private_pem.reveal().encode(), password=None)
        return load_pem_public_key(public_pem.encode()) == private.public_key()
    except (ValueError, TypeError, UnsupportedAlgorithm):
        return False


def certificate_in(path: Path, option: str, now: datetime) -> tuple[str, CertificatePublicKeyTypes]:
    """A certificate valid at `now`, as PEM, and its public key."""
    pem = _text_of(path, option)
    try:
        certificate = load_pem_x509_certificate(pem.encode())
        key = certificate.public_key()
    except (ValueError, UnsupportedAlgorithm) as error:
        raise refused(f"{option}: {path} contains no certificate in PEM", UNUSABLE) from error
    if now < certificate.not_valid_before_utc:
        raise refused(
            f"{option}: the certificate in {path} is not valid before {certificate.not_valid_before_utc:%Y-%m-%d}",
            UNUSABLE,
        )
    if now > certificate.not_valid_after_utc:
        raise refused(
            f"{option}: the certificate in {path} expired on {certificate.not_valid_after_utc:%Y-%m-%d}",
            UNUSABLE,
        )
    if isinstance(key, RSAPublicKey) and key.key_size < MIN_CERTIFICATE_BITS:
        raise refused(
            f"{option}: the key of the certificate in {path} must have at least {MIN_CERTIFICATE_BITS} bits",
            UNUSABLE,
        )
    return pem, key


def certificate_key_in(path: Path, certified: CertificatePublicKeyTypes, option: str) -> Secret:
    """The private key of a certificate, as PEM."""
    pem, key = _private_key_in(path, option)
    if key.public_key() != certified:
        raise refused(f"{option}: the key in {path} does not match the certificate", UNUSABLE)
    return pem


def _private_key_in(path: Path, option: str) -> tuple[Secret, PrivateKeyTypes]:
    pem = _key_text_of(path, "PRIVATE KEY", option)
    try:
        return Secret(pem), load_pem_private_key(pem.encode(), password=None)
    except TypeError as error:
        raise refused(f"{option}: the key in {path} has a passphrase; remove it first", UNUSABLE) from error
    except (ValueError, UnsupportedAlgorithm) as error:
        raise refused(f"{option}: {path} contains no private key in PEM or Base64", UNUSABLE) from error


def _key_text_of(path: Path, label: str, option: str) -> str:
    """A key as PEM. Alipay's tools and pages give bare Base64, which is converted."""
    text = _text_of(path, option)
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
        return text  # the caller fails to read it as PEM and reports that


def _text_of(path: Path, option: str) -> str:
    try:
        with path.open("rb") as file:
            content = file.read(MAX_FILE + 1)
        text = content.decode()
    except OSError as error:
        raise refused(f"{option}: {path} cannot be read: {error.strerror}", UNUSABLE) from error
    except UnicodeDecodeError as error:
        raise refused(f"{option}: {path} is not a text file", UNUSABLE) from error
    if len(content) > MAX_FILE:
        raise refused(f"{option}: {path} is too large for a key", UNUSABLE)
    return text
