"""Whom WeChat Pay knows: service providers with their sub-merchants and appids, and payers by openid.

Every provider and sub-merchant has a twin in WeChat Pay's own sandbox, whose books are wholly apart: there its
numbers carry a mark, so that no order or bill of one is found from the other. The mark never leaves the books.
"""

import hashlib
import hmac
import secrets
import sqlite3
from dataclasses import dataclass, replace
from typing import Final

from tael_sandbox.books import Books
from tael_sandbox.payers import Payer, all_payers
from tael_sandbox.shops import Provider, Shop, Shops, WeChatContract
from tael_sandbox.wechat import numbering

#: The wallet of the mainland, and the wallet of Hong Kong with HKD in it.
WALLETS: Final = ("wechat", "wechat_hk")

#: Before a number of WeChat Pay's own sandbox; no number on the wire has a slash in it.
VENDOR_SANDBOX: Final = "sandboxnew/"

TABLES: Final = """
CREATE TABLE IF NOT EXISTS wechat_secret (
    name  TEXT PRIMARY KEY,
    value BLOB NOT NULL
);
"""


@dataclass(frozen=True, slots=True)
class Merchant:
    """A sub-merchant together with the provider that speaks for it."""

    provider: Provider
    contract: WeChatContract
    shop: Shop

    @property
    def in_vendor_sandbox(self) -> bool:
        return self.provider.mch_id.startswith(VENDOR_SANDBOX)

    @property
    def twin(self) -> "Merchant":
        """The same in WeChat Pay's own sandbox."""
        mch_id = VENDOR_SANDBOX + self.provider.mch_id
        return replace(
            self,
            provider=replace(self.provider, mch_id=mch_id, key=vendor_sandbox_key(self.provider.key)),
            contract=replace(
                self.contract, mch_id=mch_id, sub_mch_id=VENDOR_SANDBOX + self.contract.sub_mch_id
            ),
        )


def vendor_sandbox_key(key: str) -> str:
    """What signs in WeChat Pay's own sandbox for who has this key outside: the same at every start."""
    return hmac.new(key.encode(), b"sandbox_signkey", hashlib.sha256).hexdigest()[:32]


def wire_number(number: str) -> str:
    """A number out of the books as it is sent."""
    return number.removeprefix(VENDOR_SANDBOX)


class Registry:
    def __init__(self, books: Books, shops: Shops) -> None:
        self._shops = shops
        self._merchants = [
            Merchant(shops.provider(shop.wechat.mch_id), shop.wechat, shop)
            for shop in shops.shops
            if shop.wechat is not None
        ]
        self._everybody = {
            (merchant.provider.mch_id, merchant.contract.sub_mch_id): merchant
            for each in self._merchants
            for merchant in (each, each.twin)
        }
        self._providers = {mch_id: merchant.provider for (mch_id, _), merchant in self._everybody.items()}
        self._openid_secret = _kept_secret(books, "openid")

    @property
    def merchants(self) -> list[Merchant]:
        return list(self._merchants)

    @property
    def merchants_and_twins(self) -> list[Merchant]:
        return list(self._everybody.values())

    def merchants_of(
        self, mch_id: str, sub_mch_id: str = "", *, in_vendor_sandbox: bool = False
    ) -> tuple[Merchant, ...]:
        """By numbers of the wire: the provider's sub-merchants, or the one that is named; none if it has none."""
        return tuple(
            merchant
            for merchant in self._everybody.values()
            if merchant.in_vendor_sandbox == in_vendor_sandbox
            and wire_number(merchant.provider.mch_id) == mch_id
            and sub_mch_id in ("", wire_number(merchant.contract.sub_mch_id))
        )

    def payee(self, mch_id: str, sub_mch_id: str) -> str:
        """The name that a payer sees, of a merchant that has orders."""
        return self._everybody[mch_id, sub_mch_id].shop.name

    def key(self, mch_id: str) -> str:
        """The API key that signs for this provider."""
        return self._providers[mch_id].key

    def contract_of(self, sub_appid: str) -> WeChatContract | None:
        return next((m.contract for m in self.merchants if m.contract.sub_appid == sub_appid), None)

    def is_provider_appid(self, appid: str) -> bool:
        return any(merchant.provider.appid == appid for merchant in self._merchants)

    @property
    def appids(self) -> list[str]:
        """Every appid under which a payer has an openid, the demo shop's first."""
        known = [appid for m in self.merchants for appid in (m.provider.appid, m.contract.sub_appid)]
        return list(dict.fromkeys(known))

    def openid(self, payer: str, appid: str) -> str:
        return numbering.openid(self._openid_secret, payer, appid)

    def owner(self, connection: sqlite3.Connection, openid: str, appid: str) -> Payer | None:
        """Whose openid this is under that appid."""
        for payer in all_payers(connection):
            if payer.wallet in WALLETS and self.openid(payer.payer, appid) == openid:
                return payer
        return None


def _kept_secret(books: Books, name: str) -> bytes:
    books.script(TABLES)
    with books.transaction() as connection:
        connection.execute(
            "INSERT OR IGNORE INTO wechat_secret (name, value) VALUES (?, ?)", (name, secrets.token_bytes(32))
        )
        row = connection.execute("SELECT value FROM wechat_secret WHERE name = ?", (name,)).fetchone()
    value: bytes = row["value"]
    return value
