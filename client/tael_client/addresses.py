"""Validation of the server's base URL. Pure."""

from ipaddress import ip_address
from urllib.parse import urlsplit


def checked_base_url(base_url: str, *, allow_http: bool = False) -> str:
    """The URL without a trailing slash. Raises ValueError if it is not the address of a server.

    Plain HTTP can be read and changed on its way, so it is allowed to this machine only, or with `allow_http` in a
    network that you trust.
    """
    parts = urlsplit(base_url)
    if parts.scheme not in ("http", "https") or not parts.hostname or parts.query or parts.fragment:
        raise ValueError("base_url must be like https://pay.example.com")
    if parts.scheme == "http" and not allow_http and not is_loopback(parts.hostname):
        raise ValueError(
            "base_url is plain HTTP to another machine; use https, or allow_http=True in a network that you trust"
        )
    return base_url.rstrip("/")


def is_loopback(host: str) -> bool:
    """Whether a URL's host is this machine."""
    try:
        return host == "localhost" or ip_address(host).is_loopback
    except ValueError:
        return False
