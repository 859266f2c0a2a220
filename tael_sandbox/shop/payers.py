"""The openids of the sandbox's payers. A real shop gets openids with WeChat's OAuth; this one reads the control API."""

from typing import Any, Final

import httpx

#: The sandbox's label of the shop whose official account and mini program the openids belong to.
SHOP: Final = "demo"
#: The fields of the form that name the payer, and whose openid each wants.
APPIDS: Final = {"openid": "sub_appid", "mini_openid": "mini_appid"}
#: For each field the (name, openid) of each payer.
Openids = dict[str, list[tuple[str, str]]]
TIMEOUT_S: Final = 3.0


class Payers:
    """The payers of one sandbox, over one client: a client reads all CA certificates when it is created."""

    def __init__(self, sandbox_url: str) -> None:
        self._sandbox_url = sandbox_url
        self._http = httpx.AsyncClient(timeout=TIMEOUT_S)

    async def openids(self) -> Openids:
        """Empty if the sandbox does not respond; an openid can still be entered."""
        try:
            accounts = await self._get("accounts")
            payers = await self._get("payers")
            account = next(row for row in accounts if (row["wallet"], row["shop"]) == ("wechat", SHOP))
            return {
                field: [
                    (row["payer"].capitalize(), row["openids"][account[appid]])
                    for row in payers
                    if row["wallet"] == "wechat"
                ]
                for field, appid in APPIDS.items()
            }
        except (httpx.HTTPError, ValueError, KeyError, TypeError, StopIteration):
            return {field: [] for field in APPIDS}

    async def close_connections(self) -> None:
        await self._http.aclose()

    async def _get(self, what: str) -> Any:
        return (await self._http.get(f"{self._sandbox_url}/control/{what}")).json()
