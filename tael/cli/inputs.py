"""Validation of an operator's input before it is stored: URLs, currencies, wallets' numbers, key files.

An invalid value ends the command with one line that names the option. Secrets are read from files only: every user of
the machine can read a command's arguments.
"""

import re
from ipaddress import ip_address, ip_network
from pathlib import Path
from typing import Final, NamedTuple
from urllib.parse import urlsplit

from tael.base.secret import Secret
from tael.cli.showing import UNUSABLE, refused

MAX_URL: Final = 2048
MAX_FILE: Final = 65_536
MAX_NOTE: Final = 500
#: Every request is compared with all of them.
MAX_NETWORKS: Final = 100


class Form(NamedTuple):
    """The form of a value, as a pattern and in words."""

    pattern: str
    description: str


APPCODE: Final = Form(r"[A-Za-z0-9]{1,64}", "1 to 64 letters and digits")
MCHID: Final = Form(r"[A-Za-z0-9]{1,64}", "1 to 64 letters and digits")
MERCHANT_NAME: Final = Form(r"(?=.*\S).{1,128}", "1 to 128 characters")
REASON: Final = Form(r"[ -~]{1,200}", "one line of up to 200 ASCII characters")
CURRENCY: Final = Form(r"[A-Z]{3}", "a currency of three capital letters, such as HKD")
APP_KEY: Final = Form(r"[!-~]{16,128}", "16 to 128 characters without spaces")


def checked(value: str, form: Form, option: str) -> str:
    """`value`, if it has the form."""
    if re.fullmatch(form.pattern, value) is None:
        raise refused(f"{option}: must be {form.description}", UNUSABLE)
    return value


def checked_note(note: str) -> str:
    """An operator's note, without surrounding whitespace."""
    text = note.strip()
    if not 1 <= len(text) <= MAX_NOTE or not text.isprintable():
        raise refused(
            f"--note: must be one line of 1 to {MAX_NOTE} characters without control characters", UNUSABLE
        )
    return text


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
    text = text_in(path, option).strip()
    if re.fullmatch(form.pattern, text) is None:
        raise refused(f"{option}: {path} must contain {form.description}", UNUSABLE)
    return Secret(text)


def text_in(path: Path, option: str) -> str:
    """The content of a file with a key or a certificate."""
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
