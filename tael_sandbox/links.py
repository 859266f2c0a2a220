"""Follows a scanned link to the wallet's own: a payer may scan a page of the gateway's that redirects to it.

Only pages on this machine are requested, and only a few: anyone who reaches the sandbox chooses the URL.
"""

import ipaddress
from collections.abc import Callable
from typing import Final
from urllib.parse import urljoin, urlsplit

import aiohttp

from tael_sandbox.wallet import ControlError

MAX_REDIRECTS: Final = 3
TIMEOUT: Final = aiohttp.ClientTimeout(total=5)
REDIRECTS: Final = (301, 302, 303, 307, 308)


async def resolve_link(url: str, is_wallet_link: Callable[[str], bool]) -> str:
    """The wallet's link that `url` is or redirects to. A URL that is not on this machine is returned unchanged.

    Raises ControlError for a page that does not redirect to a wallet.
    """
    for _ in range(MAX_REDIRECTS):
        if is_wallet_link(url) or not _is_local(url):
            return url
        url = urljoin(url, await _redirect_target(url))
    if is_wallet_link(url):
        return url
    raise ControlError(f"the link leads to no wallet within {MAX_REDIRECTS} redirects", "url")


def _is_local(url: str) -> bool:
    """Whether it is a web page at a loopback address."""
    try:
        parts = urlsplit(url)
        host, _ = parts.hostname or "", parts.port
    except ValueError:
        return False
    if parts.scheme not in ("http", "https"):
        return False
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


async def _redirect_target(url: str) -> str:
    """The redirect target of the page at `url`. Raises ControlError if it does not redirect."""
    try:
        async with (
            aiohttp.ClientSession(timeout=TIMEOUT, cookie_jar=aiohttp.DummyCookieJar()) as session,
            session.get(url, allow_redirects=False) as response,
        ):
            location = response.headers.get("Location", "")
            if response.status in REDIRECTS and location:
                return location
            raise ControlError(f"the link leads to a page and not to a wallet: HTTP {response.status}", "url")
    except (aiohttp.ClientError, TimeoutError, ValueError) as error:
        raise ControlError(f"the link cannot be opened: {type(error).__name__}", "url") from None
