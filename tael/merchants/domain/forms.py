"""The forms of the values that an operator enters: ids, names, URLs, networks."""

import re
from collections.abc import Sequence
from ipaddress import ip_address, ip_network
from typing import Final, NamedTuple
from urllib.parse import urlsplit

from tael.base.currencies import DECIMALS

MAX_URL_CHARS: Final = 2048
MAX_NOTE_CHARS: Final = 500
#: Every request is compared with all of them.
MAX_NETWORKS: Final = 100
MAX_REDIRECT_URIS: Final = 20
MAX_REDIRECT_URI_CHARS: Final = 500


class InvalidValue(ValueError):
    """A value cannot be stored. `field` names its member, `reason` is a clause such as "must be …"."""

    def __init__(self, field: str, reason: str) -> None:
        super().__init__(f"{field}: {reason}")
        self.field = field
        self.reason = reason


class Form(NamedTuple):
    """The form of a value, as a pattern and in words."""

    pattern: str
    description: str


APPCODE: Final = Form(r"[A-Za-z0-9]{1,64}", "1 to 64 letters and digits")
APP_KEY: Final = Form(r"[!-~]{16,128}", "16 to 128 characters without spaces")
MCHID: Final = Form(r"[A-Za-z0-9]{1,64}", "1 to 64 letters and digits")
MERCHANT_NAME: Final = Form(r"(?=.*\S).{1,128}", "1 to 128 characters")
CURRENCY: Final = Form("|".join(DECIMALS), "the code of a currency in capital letters, such as HKD")
REASON: Final = Form(r"[ -~]{1,200}", "one line of up to 200 ASCII characters")


def check(value: str, form: Form, field: str) -> str:
    """`value`, if it has the form. Raises InvalidValue."""
    if re.fullmatch(form.pattern, value) is None:
        raise InvalidValue(field, f"must be {form.description}")
    return value


def check_note(value: str, field: str) -> str:
    """A note of an operator, without surrounding whitespace. Raises InvalidValue."""
    note = value.strip()
    if not 1 <= len(note) <= MAX_NOTE_CHARS or not note.isprintable():
        raise InvalidValue(
            field, f"must be one line of 1 to {MAX_NOTE_CHARS} characters without control characters"
        )
    return note


def check_url(value: str, field: str, *, takes_fragment: bool = False) -> str:
    """`value`, if it is an absolute URL for a server, or for a browser if `takes_fragment`. Raises InvalidValue."""
    try:
        parts = urlsplit(value)
        usable = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:  # an invalid port or IPv6 address
        usable = False
    if not usable or len(value) > MAX_URL_CHARS or re.fullmatch(r"[!-~]+", value) is None:
        raise InvalidValue(field, "must be a URL such as https://shop.example/notify")
    if parts.username is not None:
        raise InvalidValue(field, "the URL must not contain a user name")
    if "#" in value and not takes_fragment:
        raise InvalidValue(field, "the URL must not contain a #fragment")
    return value


def check_networks(values: Sequence[str], field: str) -> tuple[str, ...]:
    """Addresses and networks in CIDR form, each once; empty values are left out. Raises InvalidValue."""
    try:
        networks = [str(ip_network(value.strip())) for value in values if value.strip()]
    except ValueError as error:
        reason = f"{error}; give an address such as 192.0.2.7 or a network such as 192.0.2.0/24"
        raise InvalidValue(field, reason) from error
    if len(networks) > MAX_NETWORKS:
        raise InvalidValue(field, f"at most {MAX_NETWORKS} networks")
    return tuple(dict.fromkeys(networks))


def check_redirect_uris(values: Sequence[str], field: str) -> tuple[str, ...]:
    """Addresses of an app's own pages for OAuth, each once; empty values are left out. Raises InvalidValue.

    They are compared as texts, so that none is normalised. As RFC 8252 permits, a loopback host may be without TLS.
    """
    given = tuple(dict.fromkeys(value for value in values if value))
    for value in given:
        parts = urlsplit(check_url(value, field))
        if parts.scheme != "https" and not _is_loopback(parts.hostname or ""):
            raise InvalidValue(field, "must begin with https://; http:// is for this machine only")
        if len(value) > MAX_REDIRECT_URI_CHARS or re.search(r"[\"<>\\^`{|}]", value):
            raise InvalidValue(
                field, f"must be a URL of at most {MAX_REDIRECT_URI_CHARS} characters of RFC 3986"
            )
    if len(given) > MAX_REDIRECT_URIS:
        raise InvalidValue(field, f"at most {MAX_REDIRECT_URIS} redirect URIs")
    return given


def _is_loopback(host: str) -> bool:
    try:
        return host == "localhost" or ip_address(host).is_loopback
    except ValueError:
        return False
