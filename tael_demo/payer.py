"""The demo's merchant and payer: signed calls to /trade/v1 and control calls of the sandbox."""

import asyncio
import hashlib
import itertools
import os
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final, Self
from urllib.parse import parse_qs, urlsplit

import aiohttp
from yarl import URL

from tael.base.moments import UTC8
from tael_demo.addresses import Addresses
from tael_demo.seed import DemoApp

DECIDE_LIMIT_S: Final = 20.0
POLL_S: Final = 0.2
#: The merchant's page inside WeChat. Nothing opens it: its address is read from a redirect.
PAGE: Final = "https://shop.example/pay?order=7"
Members = dict[str, Any]


@dataclass(slots=True)
class Payer:
    """The merchant's and the payer's calls for one app. Enter it before use."""

    at: Addresses
    demo_app: DemoApp
    wallet_link: Callable[[str], Awaitable[str]] | None = (
        None  #: Alipay's link of an order, from the gateway's database
    )
    _session: aiohttp.ClientSession | None = None
    _numbers: "itertools.count[int]" = field(default_factory=lambda: itertools.count(1))
    _run: str = field(default_factory=lambda: os.urandom(4).hex())

    async def __aenter__(self) -> Self:
        self._session = aiohttp.ClientSession()
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._session is not None:
            await self._session.close()

    def reference(self) -> str:
        """A new reference of the merchant."""
        return f"demo-{self._run}-{next(self._numbers)}"

    async def trade(
        self, call: str, mchid: str | None = None, method: str = "POST", **params: str
    ) -> Members:
        """POST /trade/v1/CALL, signed; `txdtm` is filled in."""
        now = datetime.now(UTC8).strftime("%Y-%m-%d %H:%M:%S")
        sent = {
            "mchid": mchid or self.demo_app.mchids[0],
            **({} if call == "query" else {"txdtm": now}),
            **params,
        }
        return await self._call(f"/trade/v1/{call}", method, sent)

    async def openid_by_oauth(self) -> str:
        """The openid of the payer who opens the merchant's page inside WeChat: through WeChat's consent and back."""
        sent = {"app_code": self.demo_app.app.appcode, "mchid": self.demo_app.mchids[0], "redirect_uri": PAGE}
        sent["sign"] = self._signature(sent)
        consent = await self._location(f"{self.at.gateway}/tool/v1/get_weixin_oauth_code", sent)
        page = await self._location(consent)
        (code,) = parse_qs(urlsplit(page).query)["code"]
        answer = await self._call(
            "/tool/v1/get_weixin_openid", "GET", {"code": code, "mchid": self.demo_app.mchids[0]}
        )
        return str(answer["openid"])

    async def _location(self, url: str, query: Mapping[str, str] | None = None) -> str:
        """Where the payer's browser is sent."""
        target = URL(url.partition("#")[0], encoded=True).update_query(query or {})
        async with self._entered().get(target, allow_redirects=False) as answer:
            return answer.headers["Location"]

    def _signature(self, sent: Mapping[str, str]) -> str:
        text = "&".join(f"{name}={sent[name]}" for name in sorted(sent)) + self.demo_app.app.key.reveal()
        digest = hashlib.sha256 if self.demo_app.app.sha256_only else hashlib.md5
        return digest(text.encode()).hexdigest().upper()

    async def _call(self, path: str, method: str, sent: Mapping[str, str]) -> Members:
        """A signed call of the merchant's server."""
        headers = {
            "X-QF-APPCODE": self.demo_app.app.appcode,
            "X-QF-SIGN": self._signature(sent),
            "X-QF-SIGNTYPE": "SHA256" if self.demo_app.app.sha256_only else "MD5",
        }
        url = f"{self.at.gateway}{path}"
        query, form = (sent, None) if method == "GET" else (None, sent)
        async with self._entered().request(method, url, headers=headers, params=query, data=form) as answer:
            members: Members = await answer.json()
            return members

    async def row(self, syssn: str) -> Members:
        """The row of one transaction in the merchant's query."""
        rows = (await self.trade("query", syssn=syssn))["data"]
        return rows[0] if rows else {}

    async def decided(self, syssn: str, respcd: str = "0000", cancel: str | None = None) -> Members:
        """The row once it has this `respcd` and `cancel`, or as it is after `DECIDE_LIMIT_S`."""
        until = time.monotonic() + DECIDE_LIMIT_S
        while True:
            row = await self.row(syssn)
            is_expected = row.get("respcd") == respcd and cancel in (None, row.get("cancel"))
            if is_expected or time.monotonic() > until:
                return row
            await asyncio.sleep(POLL_S)

    async def control(self, name: str, **asked: object) -> Members:
        """POST /control/NAME of the sandbox."""
        async with self._entered().post(f"{self.at.sandbox}/control/{name}", json=asked) as answer:
            members: Members = await answer.json()
            return members

    async def code(self, wallet: str, behaviour: str = "pays") -> str:
        """A new barcode on a payer's phone."""
        return str((await self.control("codes", wallet=wallet, behaviour=behaviour))["auth_code"])

    async def openid(self, appid_of: str = "sub_appid") -> str:
        """A payer's openid under the merchant's official account, or its mini program."""
        async with self._entered().get(f"{self.at.sandbox}/control/accounts") as answer:
            accounts = await answer.json()
        appid = next(row[appid_of] for row in accounts if row["wallet"] == "wechat" and row["shop"] == "demo")
        async with self._entered().get(f"{self.at.sandbox}/control/payers") as answer:
            payers = await answer.json()
        return str(next(payer["openids"][appid] for payer in payers if payer["wallet"] == "wechat"))

    async def book(self, order: str) -> Members:
        """The wallet's own row of an order."""
        async with self._entered().get(f"{self.at.sandbox}/control/book") as answer:
            trades = (await answer.json())["trades"]
        return next((trade for trade in trades if trade["order"] == order), {})

    def _entered(self) -> aiohttp.ClientSession:
        if self._session is None:
            raise RuntimeError("enter a Payer before use")
        return self._session
