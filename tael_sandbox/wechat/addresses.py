"""The rules of addresses in requests: pages and notice receivers on the web, and IP addresses of payers."""

from ipaddress import IPv4Address, IPv6Address, ip_address
from urllib.parse import SplitResult, urlsplit


def is_web_address(url: str) -> bool:
    """Absolute and HTTP."""
    return _parts_of(url) is not None


def is_notify_url(url: str) -> bool:
    """Absolute, HTTP, and without a query."""
    parts = _parts_of(url)
    try:
        is_port_valid = parts is not None and parts.port != 0
    except ValueError:
        return False
    return is_port_valid and "?" not in url and "#" not in url


def _parts_of(url: str) -> SplitResult | None:
    try:
        parts = urlsplit(url)
    except ValueError:
        return None
    return parts if parts.scheme in ("http", "https") and parts.hostname else None


def is_ip_address(text: str) -> bool:
    """Without the scope that IPv6 allows."""
    try:
        return "%" not in text and bool(ip_address(text))
    except ValueError:
        return False


def is_same_address(one: str, other: str) -> bool:
    """All loopback addresses are one: a browser of this machine has several."""
    first, second = _plain(ip_address(one)), _plain(ip_address(other))
    return first == second or (first.is_loopback and second.is_loopback)


def _plain(address: IPv4Address | IPv6Address) -> IPv4Address | IPv6Address:
    """The IPv4 address that an IPv6 listener writes as `::ffff:127.0.0.1`."""
    return getattr(address, "ipv4_mapped", None) or address
