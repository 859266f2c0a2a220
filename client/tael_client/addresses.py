"""The base URL of a server: what it must look like, and where plain HTTP may go. Pure."""

from ipaddress import ip_address
from urllib.parse import urlsplit


def checked_base_url(base_url: str, *, allow_http: bool = False) -> str:
    """Without a slash at its end. Raises ValueError for what is not the address of a server.

    Over plain HTTP anybody on the way can read and change requests and answers, so it goes to this machine only, unless
    `allow_http` says that the network is trusted.
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
