"""Logs refused authentications and requests above a limit, sampled: anyone can cause them, and must not fill the disk.

No signature, key or token is logged, and only the beginning of a long unknown appcode.
"""

import time
from collections import Counter
from collections.abc import Callable
from ipaddress import IPv6Address, ip_address, ip_network
from typing import Final

import structlog

from tael.base.errors import NotAuthentic, RateLimited

log = structlog.get_logger()

WINDOW_S: Final = 60.0
#: Lines per event and window: for one subject and network, and in total.
MAX_LINES_OF_ONE: Final = 10
MAX_LINES: Final = 100
#: A developer may swap appcode and key by mistake, and the key must not be logged. A key has at least 16 characters.
MAX_UNKNOWN_APPCODE: Final = 15
SHOWN_OF_LONGER: Final = 8
MAX_TEXT: Final = 200
#: One IPv6 host typically has a network of this size.
IPV6_HOST_PREFIX: Final = 64


class Sample:
    """Decides which lines of one event are written."""

    def __init__(self, now_s: Callable[[], float] = time.monotonic) -> None:
        self._now_s = now_s
        self._began_s = now_s()
        self._written: Counter[tuple[str, ...]] = Counter()
        self._omitted = 0

    def admit(self, *key: str) -> int | None:
        """The number of lines omitted since the last written one, or None if this line is omitted too."""
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


# One sample per event, so that a flood of one does not hide another.
_authentications, _notices, _returns, _published_keys = Sample(), Sample(), Sample(), Sample()
_rate_limits, _sign_ins = Sample(), Sample()


def log_failed_authentication(error: NotAuthentic, appcode: str, peer: str, **response: str) -> None:
    """A merchant's request or checkout link was refused. `response` is what it got, in its dialect's terms."""
    omitted = _authentications.admit(appcode if error.is_app_known else "", network_of(peer))
    if omitted is not None:
        log.warning(
            "authentication.failed",
            appcode=appcode if error.is_app_known else shown_unknown(appcode),
            **response,
            reason=error.cause,
            peer=peer[:MAX_TEXT],
            omitted=omitted,
        )


def log_failed_sign_in(reason: str, peer: str) -> None:
    """A user's sign-in was refused. The username is not logged: it may be a password."""
    omitted = _sign_ins.admit(network_of(peer))
    if omitted is not None:
        log.warning("sign_in.failed", reason=reason, peer=peer[:MAX_TEXT], omitted=omitted)


def log_failed_client(appcode: str, is_app_known: bool, peer: str) -> None:
    """A request for tokens had the wrong secret, or came from an address that the app does not accept."""
    failed = NotAuthentic(cause="the client's secret or address is wrong", is_app_known=is_app_known)
    log_failed_authentication(failed, appcode, peer)


def log_rate_limited(error: RateLimited, mchid: str, peer: str) -> None:
    """A request was above a limit. `mchid` is "" before its signature is verified."""
    omitted = _rate_limits.admit(error.limit, mchid or network_of(peer))
    if omitted is not None:
        log.warning(
            "request.rate_limited", limit=error.limit, mchid=mchid, peer=peer[:MAX_TEXT], omitted=omitted
        )


def log_refused_notice(wallet: str, account_id: str, reason: str, is_account_known: bool, peer: str) -> None:
    """A request in a wallet's name was refused and changed nothing."""
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
    """A browser's return was refused: it is not verified, or not about an order of this account."""
    omitted = _returns.admit(network_of(peer))
    if omitted is not None:
        log.warning("return.refused", account_id=account_id[:MAX_TEXT], peer=peer[:MAX_TEXT], omitted=omitted)


def log_published_key(appcode: str) -> None:
    """An app with the published key, for which anyone could sign, was refused."""
    omitted = _published_keys.admit(appcode)
    if omitted is not None:
        log.error("app.published_key", appcode=appcode, omitted=omitted)


def shown_unknown(appcode: str) -> str:
    """An unknown appcode, truncated if it could be a key."""
    return appcode if len(appcode) <= MAX_UNKNOWN_APPCODE else f"{appcode[:SHOWN_OF_LONGER]}…"


def network_of(peer: str) -> str:
    """A caller, for samples and limits: its IPv4 address or its IPv6 network."""
    if ":" not in peer:
        return peer[:MAX_TEXT]
    try:
        address = ip_address(peer)
    except ValueError:
        return peer[:MAX_TEXT]
    if isinstance(address, IPv6Address) and address.ipv4_mapped is None:
        return str(ip_network((address, IPV6_HOST_PREFIX), strict=False))
    return peer
