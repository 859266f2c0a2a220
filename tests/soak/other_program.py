"""Another program that uses a shop's account at WeChat: its orders are opened and paid without the gateway.

The gateway learns of their money by notices only, so each of them is an unmatched payment.
"""

import asyncio
import http.client
import time
from typing import Any, Final
from xml.etree.ElementTree import ParseError

from tests.sandbox.wechat_shop import NATIVE, SALE, Shop, as_xml
from tests.soak.merchant import Merchant, SoakClient
from tests.soak.plan import Unmatched
from tests.soak.reading import BookReader

UNIFIEDORDER: Final = "/pay/unifiedorder"
MAX_TRIES: Final = 30
RETRY_S: Final = 0.5
#: The wallet repeats an unacknowledged notice after 15 s to an hour of its own clock.
STEP_S: Final = 600
REST_S: Final = 0.5
REPORTED_LIMIT_S: Final = 60.0
ACCOUNTS: Final = "SELECT mchid, account_id FROM wallet_account WHERE wallet = 'wechat'"
REPORTED: Final = "SELECT subject_id FROM unmatched_payment"


class OtherProgram:
    """Opens orders and lets payers pay them. Keeps the numbers of all that were paid."""

    def __init__(self, client: SoakClient, reader: BookReader, merchants: dict[str, Merchant]) -> None:
        self._client = client
        self._reader = reader
        self._merchants = merchants
        self._shops: dict[str, Shop] = {}
        self._notice_urls: dict[str, str] = {}
        self._paid: set[str] = set()

    @property
    def has_paid(self) -> bool:
        return bool(self._paid)

    async def prepare(self) -> None:
        """Read each shop's account at WeChat, and the address of its notices."""
        for row in await self._client.control("accounts", "GET"):
            if row["wallet"] == "wechat":
                self._shops[row["shop"]] = Shop(row)
        accounts = {row["mchid"]: row["account_id"] for row in await self._reader.directory_rows(ACCOUNTS)}
        for shop, merchant in self._merchants.items():
            path = f"notices/wechat/{accounts[merchant.mchid]}"
            self._notice_urls[shop] = f"{self._client.gateway_url}/{path}"

    async def live(self, step: Unmatched) -> None:
        """Open one order, in spite of the wallet's faults, and let it be paid."""
        order = self._client.reference()
        fields = SALE | NATIVE | {"out_trade_no": order, "total_fee": step.amount_minor}
        for _ in range(MAX_TRIES):
            url = await asyncio.to_thread(self._open, step.shop, fields)
            if url:
                await self._client.confirm("pay", url=url)
                self._paid.add(order)
                return
            await asyncio.sleep(RETRY_S)
        raise RuntimeError(f"{order} could not be opened at the wallet")

    async def until_reported(self) -> list[str]:
        """Move the clock until the wallet's notices of all paid orders have arrived."""
        until = time.monotonic() + REPORTED_LIMIT_S
        while missing := self._paid - {row["subject_id"] for row in await self._reader.rows(REPORTED)}:
            if time.monotonic() > until:
                return [f"the gateway never recorded the money of {', '.join(sorted(missing))}"]
            await self._client.advance(STEP_S)
            await asyncio.sleep(REST_S)
        return []

    def _open(self, shop: str, fields: dict[str, Any]) -> str:
        """The order's `code_url`, or "" if the wallet's response is lost or not usable."""
        at_wechat = self._shops[shop]
        sign_type = str(at_wechat.account["sign_type"])
        signed = at_wechat.signed(sign_type, **fields | {"notify_url": self._notice_urls[shop]})
        try:
            return at_wechat.send(UNIFIEDORDER, as_xml(signed)).fields.get("code_url", "")
        except (OSError, http.client.HTTPException, ParseError):
            return ""
