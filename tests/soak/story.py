"""One payment of the plan, carried out: the merchant asks, the payer acts, refunds and closes follow, answers are kept.

A merchant who reads no answer sends the very same request again, as the manual tells it to.
"""

import asyncio
from typing import Final

from tests.soak.merchant import Members, Merchant, Street
from tests.soak.plan import Act, Pay

WALLET_OF: Final = {"800108": "alipay", "800208": "wechat", "800228": "wechat_hk"}
MAX_TRIES: Final = 5
AGAIN_S: Final = 0.8


class Story:
    """A payment and what is done about it."""

    def __init__(self, pay: Pay, merchant: Merchant, openid: str, street: Street) -> None:
        self._pay = pay
        self._merchant = merchant
        self._openid = openid
        self._street = street
        self._params: dict[str, str] = {}
        self._answer: Members = {}

    async def live(self) -> None:
        await self._prepare()
        acts = [self._at_its_time(act) for act in self._pay.acts]
        await asyncio.gather(self._open(self._pay.times), *acts)

    async def _prepare(self) -> None:
        pay = self._pay
        self._params = {
            "pay_type": pay.pay_type,
            "out_trade_no": self._street.reference(),
            "txamt": str(pay.amount_minor),
            "txdtm": self._street.moment(),
        }
        if pay.pay_type in WALLET_OF:
            self._params["auth_code"] = await self._street.code(WALLET_OF[pay.pay_type], pay.behaviour)
        if pay.pay_type == "800207":
            self._params["sub_openid"] = self._openid
        if pay.valid_s is not None:
            self._params["valid_time"] = str(pay.valid_s)

    async def _open(self, times: int) -> None:
        answers = await asyncio.gather(*(self._persistently("payment", self._params) for _ in range(times)))
        for answer in answers:
            if answer is not None and answer.get("syssn"):
                self._answer = answer

    async def _persistently(self, name: str, params: dict[str, str]) -> Members | None:
        """The same request until it is answered by more than "out of service"."""
        for _ in range(MAX_TRIES):
            answer = await self._street.call(self._merchant, name, params)
            if answer is not None and answer["respcd"] != "1112":
                return answer
            await asyncio.sleep(AGAIN_S)
        return None

    async def _at_its_time(self, act: Act) -> None:
        await asyncio.sleep(act.after_s)
        if act.name == "repeat":
            await self._open(act.times)
        elif act.name == "query":
            await self._street.call(self._merchant, "query", {"out_trade_no": self._params["out_trade_no"]})
        elif act.name in ("pay", "cancel", "wrong_password"):
            await self._payer(act.name)
        elif act.name == "refund":
            await self._refund(act)
        elif self._answer:
            call = "reversal" if act.name == "reverse" else act.name
            params = {
                "syssn": self._answer["syssn"],
                "txamt": self._params["txamt"],
                "txdtm": self._street.moment(),
            }
            await asyncio.gather(*(self._persistently(call, params) for _ in range(act.times)))

    async def _payer(self, action: str) -> None:
        """By the phone: what the answer gave to scan, or the order that waits on it."""
        answer = self._answer
        if self._pay.pay_type in WALLET_OF:
            if answer:
                await self._street.confirm(action, trade=answer["syssn"])
        elif answer.get("pay_params"):
            await self._street.confirm(action, url=answer["pay_params"]["package"])
        elif answer.get("pay_url"):
            await self._street.confirm(action, url=answer["pay_url"])

    async def _refund(self, act: Act) -> None:
        if not self._answer:
            return
        asked = [
            {
                "syssn": self._answer["syssn"],
                "out_trade_no": self._street.reference(),
                "txamt": str(amount_minor),
                "txdtm": self._street.moment(),
            }
            for amount_minor in act.amounts
        ]
        await asyncio.gather(
            *(self._persistently("refund", params) for params in asked for _ in range(act.times))
        )
