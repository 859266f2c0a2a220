"""The merchants and payers of a soak, over HTTP. Keeps every response and the calls in flight."""

import asyncio
import hashlib
import itertools
import json
import os
from collections import Counter
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final, Self

import aiohttp

from tael.base.clock import Clock
from tael.base.moments import UTC8
from tael_demo.seed import DemoApp
from tests.soak.rows import MerchantResponse
from tests.soak.separation import Downtime, Separation

CALL_LIMIT_S: Final = 60.0
CONTROL_LIMIT_S: Final = 10.0
Members = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Merchant:
    """One merchant and its app."""

    demo_app: DemoApp
    mchid: str
    shop: str  #: its name at the wallets

    def headers(self, params: dict[str, str]) -> dict[str, str]:
        text = "&".join(f"{name}={params[name]}" for name in sorted(params)) + self.demo_app.app.key.reveal()
        digest = hashlib.sha256 if self.demo_app.app.sha256_only else hashlib.md5
        return {
            "X-QF-APPCODE": self.demo_app.app.appcode,
            "X-QF-SIGN": digest(text.encode()).hexdigest().upper(),
            "X-QF-SIGNTYPE": "SHA256" if self.demo_app.app.sha256_only else "MD5",
        }


def merchants_of(apps: list[DemoApp]) -> dict[str, Merchant]:
    """The merchants of a demo, by shop."""
    shops = {"demo": (0, 0), "wechat_only": (1, 0), "chain_east": (2, 0), "chain_west": (2, 1)}
    return {shop: Merchant(apps[app], apps[app].mchids[mch], shop) for shop, (app, mch) in shops.items()}


@dataclass(slots=True)
class SoakClient:
    """The HTTP client of all merchants and payers. Use it as a context manager."""

    gateway_url: str
    sandbox_url: str
    clock: Clock
    responses: list[MerchantResponse] = field(default_factory=list)
    broken: list[str] = field(default_factory=list)  #: responses that no gateway may send
    operations: Counter[str] = field(default_factory=Counter)
    answers: Counter[str] = field(default_factory=Counter)
    in_flight: Counter[tuple[str, str]] = field(default_factory=Counter)  #: (call, reference or syssn)
    may_call: asyncio.Event = field(default_factory=asyncio.Event)
    separation: Separation = field(default_factory=lambda: Separation(Downtime()))
    _session: aiohttp.ClientSession | None = None
    _numbers: "itertools.count[int]" = field(default_factory=lambda: itertools.count(1))
    _run: str = field(default_factory=lambda: os.urandom(3).hex())

    async def __aenter__(self) -> Self:
        connector = aiohttp.TCPConnector(
            limit=0, force_close=True
        )  # so that both API processes get their share
        self._session = aiohttp.ClientSession(connector=connector)
        self.may_call.set()
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._session is not None:
            await self._session.close()

    def reference(self) -> str:
        return f"soak-{self._run}-{next(self._numbers)}"

    def moment(self) -> str:
        return self.clock.now().astimezone(UTC8).strftime("%Y-%m-%d %H:%M:%S")

    async def call(self, merchant: Merchant, name: str, params: dict[str, str]) -> Members | None:
        """The response to a signed call, or None if none came."""
        await self.may_call.wait()
        sent = {"mchid": merchant.mchid, **params}
        key = (name, sent.get("syssn") or sent.get("out_trade_no", ""))
        self.operations[name] += 1
        self.in_flight[key] += 1
        mark = self.separation.begin(merchant.mchid) if name == "payment" else None
        try:
            async with self._entered().post(
                f"{self.gateway_url}/trade/v1/{name}",
                data=sent,
                headers=merchant.headers(sent),
                timeout=aiohttp.ClientTimeout(total=CALL_LIMIT_S),
            ) as answer:
                body, status, sign = await answer.read(), answer.status, answer.headers.get("X-QF-SIGN")
        except (aiohttp.ClientError, TimeoutError, OSError):
            self.answers["none"] += 1
            return None
        finally:
            self.in_flight[key] -= 1
            if not self.in_flight[key]:
                del self.in_flight[key]
        members = self._read(merchant, name, sent, status, body, sign)
        if members is not None:
            self.separation.end(mark, sent.get("out_trade_no", ""), members["respcd"])
        return members

    def _read(
        self, merchant: Merchant, name: str, sent: dict[str, str], status: int, body: bytes, sign: str | None
    ) -> Members | None:
        if status != 200:
            self.broken.append(f"{name} was answered with HTTP {status}")
            return None
        members = _members(body)
        if members is None:
            self.broken.append(f"{name} was answered with no JSON response: {body[:200]!r}")
            return None
        expected = hashlib.md5(body + merchant.demo_app.app.key.reveal().encode()).hexdigest().upper()
        # A gateway that could not read the app's key signs nothing.
        if sign != expected and members["respcd"] != "1112":
            self.broken.append(f"{name} was answered without a good signature: {members['respcd']}")
        self.answers[members["respcd"]] += 1
        if name == "query":
            self._keep_rows(members)
        else:
            self.responses.append(
                MerchantResponse(
                    name,
                    str(sent.get("out_trade_no", "")),
                    members["respcd"],
                    members.get("syssn", ""),
                    members.get("orig_syssn", ""),
                    int(members["txamt"]) if "txamt" in members else None,
                )
            )
        return members

    def _keep_rows(self, members: Members) -> None:
        for row in members.get("data", ()):
            self.responses.append(
                MerchantResponse(
                    "row", row["out_trade_no"], row["respcd"], row["syssn"], amount_minor=int(row["txamt"])
                )
            )

    # ---- the wallets' side -------------------------------------------------------------------------------------

    async def control(self, name: str, method: str = "POST", payload: object = None) -> Any:
        """The sandbox's response, or None if it refuses the call."""
        async with self._entered().request(
            method,
            f"{self.sandbox_url}/control/{name}",
            json=payload,
            timeout=aiohttp.ClientTimeout(total=CONTROL_LIMIT_S),
        ) as answer:
            if answer.status == 400:
                return None
            answer.raise_for_status()
            return await answer.json()

    async def code(self, wallet: str, behaviour: str) -> str:
        return str(
            (await self.control("codes", payload={"wallet": wallet, "behaviour": behaviour}))["auth_code"]
        )

    async def confirm(self, action: str, **what: str) -> None:
        self.operations[action] += 1
        await self.control("confirm", payload={"action": action, **what})

    async def advance(self, seconds: float) -> None:
        await self.control("clock", payload={"advance_s": seconds})

    def now(self) -> datetime:
        return self.clock.now()

    def _entered(self) -> aiohttp.ClientSession:
        if self._session is None:
            raise RuntimeError("use SoakClient as a context manager")
        return self._session


def _members(body: bytes) -> Members | None:
    """The members of a response, or None if it is none."""
    try:
        members = json.loads(body)
    except ValueError:
        return None
    return members if isinstance(members, dict) and "respcd" in members else None
