"""Carries out one payment of the plan: the merchant's request, the payer's actions, refunds and closes.

A merchant that receives no response sends the same request again, as the manual requires.
"""

import asyncio
import json
from collections.abc import Mapping
from typing import Final

from tests.end_to_end.merchant import APPID_OF, EXTEND_INFO, WALLET_OF
from tests.soak.merchant import Members, Merchant, SoakClient
from tests.soak.plan import Action, Pay

MAX_TRIES: Final = 5
RETRY_S: Final = 0.8


class Scenario:
    """A payment and its actions."""

    def __init__(self, pay: Pay, merchant: Merchant, openids: Mapping[str, str], client: SoakClient) -> None:
        """`openids` are a payer's, by the setting with the appid."""
        self._pay = pay
        self._merchant = merchant
        self._openids = openids
        self._client = client
        self._params: dict[str, str] = {}
        self._answer: Members = {}

    async def live(self) -> None:
        await self._prepare()
        actions = [self._at_its_time(action) for action in self._pay.actions]
        await asyncio.gather(self._open(self._pay.times), *actions)

    async def _prepare(self) -> None:
        pay = self._pay
        self._params = {
            "pay_type": pay.pay_type,
            "out_trade_no": self._client.reference(),
            "txamt": str(pay.amount_minor),
            "txdtm": self._client.moment(),
        }
        if pay.pay_type in WALLET_OF:
            self._params["auth_code"] = await self._client.code(WALLET_OF[pay.pay_type], pay.behaviour)
        if pay.pay_type in APPID_OF:
            self._params["sub_openid"] = self._openids[APPID_OF[pay.pay_type]]
        if pay.pay_type == "800212":
            self._params["extend_info"] = EXTEND_INFO
        if pay.valid_s is not None:
            self._params["valid_time"] = str(pay.valid_s)

    async def _open(self, times: int) -> None:
        answers = await asyncio.gather(*(self._persistently("payment", self._params) for _ in range(times)))
        for answer in answers:
            if answer is not None and answer.get("syssn"):
                self._answer = answer

    async def _persistently(self, name: str, params: dict[str, str]) -> Members | None:
        """Repeat the request until the response is not "out of service"."""
        for _ in range(MAX_TRIES):
            answer = await self._client.call(self._merchant, name, params)
            if answer is not None and answer["respcd"] != "1112":
                return answer
            await asyncio.sleep(RETRY_S)
        return None

    async def _at_its_time(self, action: Action) -> None:
        await asyncio.sleep(action.after_s)
        if action.name == "repeat":
            await self._open(action.times)
        elif action.name == "query":
            await self._client.call(self._merchant, "query", {"out_trade_no": self._params["out_trade_no"]})
        elif action.name in ("pay", "cancel", "wrong_password"):
            await self._payer(action.name)
        elif action.name == "refund":
            await self._refund(action)
        elif self._answer:
            call = "reversal" if action.name == "reverse" else action.name
            params = {
                "syssn": self._answer["syssn"],
                "txamt": self._params["txamt"],
                "txdtm": self._client.moment(),
            }
            await asyncio.gather(*(self._persistently(call, params) for _ in range(action.times)))

    async def _payer(self, name: str) -> None:
        """Action on the payer's phone: on the scanned code, or on the order that waits there."""
        answer = self._answer
        if self._pay.pay_type in WALLET_OF:
            if answer:
                await self._client.confirm(name, trade=answer["syssn"])
        elif answer.get("pay_params"):
            await self._client.confirm(name, url=json.dumps(answer["pay_params"]))
        elif answer.get("pay_url"):
            await self._client.confirm(name, url=answer["pay_url"])

    async def _refund(self, action: Action) -> None:
        if not self._answer:
            return
        requests = [
            {
                "syssn": self._answer["syssn"],
                "out_trade_no": self._client.reference(),
                "txamt": str(amount_minor),
                "txdtm": self._client.moment(),
            }
            for amount_minor in action.amounts
        ]
        await asyncio.gather(
            *(self._persistently("refund", params) for params in requests for _ in range(action.times))
        )
