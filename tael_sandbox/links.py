"""A link that a payer scans need not be the wallet's own: a page of the gateway's leads there, as in a browser.

Only pages of this machine are asked, and only so many: the sandbox is told what to open by whoever reaches it.
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


async def followed(url: str, is_wallets: Callable[[str], bool]) -> str:
    """The wallet's link to which redirects lead from `url`; `url` itself where it is no page of this machine.

    Raises ControlError for a page that leads elsewhere, or nowhere.
    """
    for _ in range(MAX_REDIRECTS):
        if is_wallets(url) or not _is_here(url):
            return url
        url = urljoin(url, await _location(url))
    if is_wallets(url):
        return url
    raise ControlError(f"the link leads to no wallet within {MAX_REDIRECTS} redirects", "url")


def _is_here(url: str) -> bool:
    """Whether it is a page of a loopback address."""
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


async def _location(url: str) -> str:
    """Where the page at `url` sends a browser."""
    try:
        async with (
            aiohttp.ClientSession(timeout=TIMEOUT, cookie_jar=aiohttp.DummyCookieJar()) as session,
            session.get(url, allow_redirects=False) as answer,
        ):
            location = answer.headers.get("Location", "")
            if answer.status in REDIRECTS and location:
                return location
            raise ControlError(f"the link leads to a page and not to a wallet: HTTP {answer.status}", "url")
    except (aiohttp.ClientError, TimeoutError, ValueError) as error:
        raise ControlError(f"the link cannot be opened: {type(error).__name__}", "url") from None
