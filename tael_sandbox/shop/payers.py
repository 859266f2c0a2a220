"""Whom WeChat says is looking at our page. A real shop learns openids by WeChat's OAuth; this one asks the sandbox."""

from typing import Any, Final

import httpx

#: The shop as the sandbox's wallets know it, whose official account the openids are of.
SHOP: Final = "demo"
TIMEOUT_S: Final = 3.0


async def openids_of(sandbox_url: str) -> list[tuple[str, str]]:
    """(name, openid) of each payer; none if the sandbox does not say, and then one can still be typed."""
    try:
        async with httpx.AsyncClient(timeout=TIMEOUT_S) as http:
            accounts = await _ask(http, f"{sandbox_url}/control/accounts")
            payers = await _ask(http, f"{sandbox_url}/control/payers")
        appid = next(one["sub_appid"] for one in accounts if (one["wallet"], one["shop"]) == ("wechat", SHOP))
        return [
            (one["payer"].capitalize(), one["openids"][appid]) for one in payers if one["wallet"] == "wechat"
        ]
    except (httpx.HTTPError, ValueError, KeyError, TypeError, StopIteration):
        return []


async def _ask(http: httpx.AsyncClient, url: str) -> Any:
    return (await http.get(url)).json()
