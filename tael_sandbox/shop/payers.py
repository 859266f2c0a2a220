"""Whom WeChat says is looking at our page. A real shop learns openids by WeChat's OAuth; this one asks the sandbox."""

from typing import Any, Final

import httpx

#: The shop as the sandbox's wallets know it, whose official account the openids are of.
SHOP: Final = "demo"
TIMEOUT_S: Final = 3.0


class Payers:
    """The payers of one sandbox, over one client: a client reads all certificate authorities when it is made."""

    def __init__(self, sandbox_url: str) -> None:
        self._sandbox_url = sandbox_url
        self._http = httpx.AsyncClient(timeout=TIMEOUT_S)

    async def openids(self) -> list[tuple[str, str]]:
        """(name, openid) of each payer; none if the sandbox does not say, and then one can still be typed."""
        try:
            accounts = await self._ask("accounts")
            payers = await self._ask("payers")
            appid = next(
                one["sub_appid"] for one in accounts if (one["wallet"], one["shop"]) == ("wechat", SHOP)
            )
            return [
                (one["payer"].capitalize(), one["openids"][appid])
                for one in payers
                if one["wallet"] == "wechat"
            ]
        except (httpx.HTTPError, ValueError, KeyError, TypeError, StopIteration):
            return []

    async def close_connections(self) -> None:
        await self._http.aclose()

    async def _ask(self, what: str) -> Any:
        return (await self._http.get(f"{self._sandbox_url}/control/{what}")).json()
