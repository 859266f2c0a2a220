"""WeChat Pay as a server for barcode payments alone, for load: it takes each, at once or when it is released."""

import asyncio
import re
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import datetime, timedelta, timezone
from typing import Final

from aiohttp import web

from tests.support.serving import serving
from tests.support.values import a_wechat_account
from tests.support.wechat import signed, written

KEY: Final = a_wechat_account().key.reveal()
FIELD: Final = re.compile(r"<(\w+)><!\[CDATA\[(.*?)\]\]></\1>", re.DOTALL)
#: Sent back as they came.
ECHOED: Final = ("appid", "mch_id", "sub_mch_id", "nonce_str", "total_fee", "fee_type", "out_trade_no")
UTC8: Final = timezone(timedelta(hours=8))


def paid(sent: Mapping[str, str]) -> bytes:
    """The response to a `micropay` whose payer has paid."""
    fields = {name: sent[name] for name in ECHOED} | {
        "return_code": "SUCCESS",
        "result_code": "SUCCESS",
        "openid": "o-of-the-provider",
        "trade_type": "MICROPAY",
        "bank_type": "CFT",
        "transaction_id": f"4200{sent['out_trade_no'][-24:]}",
        "time_end": f"{datetime.now(UTC8):%Y%m%d%H%M%S}",
    }
    return written(signed(fields, KEY))


@dataclass
class Micropay:
    """Answers orders of the sub-merchant `held` only once `released` is set."""

    held: str = ""
    released: asyncio.Event = field(default_factory=asyncio.Event)
    taken: list[str] = field(default_factory=list)  #: numbers of the orders that have arrived
    arrived: asyncio.Condition = field(default_factory=asyncio.Condition)

    @asynccontextmanager
    async def serving(self) -> AsyncIterator[str]:
        """Its URL. At the end all orders are released."""
        async with serving(self.serve) as url:
            try:
                yield url
            finally:
                self.released.set()

    async def serve(self, request: web.Request) -> web.Response:
        sent = dict(FIELD.findall((await request.read()).decode()))
        async with self.arrived:
            self.taken.append(sent["out_trade_no"])
            self.arrived.notify_all()
        if sent["sub_mch_id"] == self.held:
            await self.released.wait()
        return web.Response(body=paid(sent), content_type="text/xml")

    async def until_taken(self, number: int) -> None:
        async with self.arrived:
            await self.arrived.wait_for(lambda: len(self.taken) >= number)
