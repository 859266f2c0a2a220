"""Refused authentications in the log. Strangers cause them, so they are sampled: no stranger can fill the disk.

No signature, key or token is logged, and of a long unknown appcode only its beginning.
"""

import time
from collections import Counter
from collections.abc import Callable
from ipaddress import IPv6Address, ip_address, ip_network
from typing import Final

import structlog

from tael.base.errors import NotAuthentic

log = structlog.get_logger()

WINDOW_S: Final = 60.0
#: Of each event in a window: for one subject and network, and for all of them.
MAX_LINES_OF_ONE: Final = 10
MAX_LINES: Final = 100
#: A developer who swaps appcode and key must not put the key into our log; it has at least 16 characters.
MAX_UNKNOWN_APPCODE: Final = 15
SHOWN_OF_LONGER: Final = 8
MAX_TEXT: Final = 200
#: In IPv6 one host has a network of this size.
IPV6_HOST_PREFIX: Final = 64


class Sample:
    """Which lines of one event are written."""

    def __init__(self, now_s: Callable[[], float] = time.monotonic) -> None:
        self._now_s = now_s
        self._began_s = now_s()
        self._written: Counter[tuple[str, ...]] = Counter()
        self._omitted = 0

    def admit(self, *key: str) -> int | None:
        """How many lines were omitted since the last one that was written, or None if this one is omitted too."""
        now_s = self._now_s()
        if now_s - self._began_s >= WINDOW_S:
            self._began_s = now_s
            self._written.clear()
        if self._written[key] >= MAX_LINES_OF_ONE or self._written.total() >= MAX_LINES:
            self._omitted += 1
            return None
        self._written[key] += 1
        omitted, self._omitted = self._omitted, 0
        return omitted


# One sample for each event: a flood of one does not hide another.
_authentications, _notices, _returns, _published_keys = Sample(), Sample(), Sample(), Sample()


def log_failed_authentication(error: NotAuthentic, appcode: str, peer: str) -> None:
    """A merchant's call or a checkout link is refused with 1108."""
    omitted = _authentications.admit(appcode if error.is_app_known else "", network_of(peer))
    if omitted is not None:
        log.warning(
            "authentication.failed",
            appcode=appcode if error.is_app_known else shown_unknown(appcode),
            respcd=error.respcd,
            reason=error.cause,
            peer=peer[:MAX_TEXT],
            omitted=omitted,
        )


def log_refused_notice(wallet: str, account_id: str, reason: str, is_account_known: bool, peer: str) -> None:
    """A call in a wallet's name is refused, and changes nothing."""
    omitted = _notices.admit(wallet, account_id if is_account_known else "", network_of(peer))
    if omitted is not None:
        log.warning(
            "notice.refused",
            wallet=wallet,
            account_id=account_id[:MAX_TEXT],
            reason=reason[:MAX_TEXT],
            peer=peer[:MAX_TEXT],
            omitted=omitted,
        )


def log_refused_return(account_id: str, peer: str) -> None:
    """A browser's return is not one of a payer of this account."""
    omitted = _returns.admit(network_of(peer))
    if omitted is not None:
        log.warning("return.refused", account_id=account_id[:MAX_TEXT], peer=peer[:MAX_TEXT], omitted=omitted)


def log_published_key(appcode: str) -> None:
    """An app that anybody could sign for was found, and is refused."""
    omitted = _published_keys.admit(appcode)
    if omitted is not None:
        log.error("app.published_key", appcode=appcode, omitted=omitted)


def shown_unknown(appcode: str) -> str:
    """An appcode that nobody has, as far as it cannot be a key."""
    return appcode if len(appcode) <= MAX_UNKNOWN_APPCODE else f"{appcode[:SHOWN_OF_LONGER]}…"


def network_of(peer: str) -> str:
    """Where a caller counts as the same one: its address, or its network in IPv6."""
    try:
        address = ip_address(peer)
    except ValueError:
        return peer[:MAX_TEXT]
    if isinstance(address, IPv6Address) and address.ipv4_mapped is None:
        return str(ip_network((address, IPV6_HOST_PREFIX), strict=False))
    return peer
