"""Whom WeChat Pay knows: service providers with their sub-merchants and appids, and payers by openid."""

import secrets
import sqlite3
from dataclasses import dataclass
from typing import Final

from tael_sandbox.books import Books
from tael_sandbox.payers import Payer, all_payers
from tael_sandbox.shops import Provider, Shop, Shops, WeChatContract
from tael_sandbox.wechat import numbering

#: The wallet of the mainland, and the wallet of Hong Kong with HKD in it.
WALLETS: Final = ("wechat", "wechat_hk")

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


class Registry:
    def __init__(self, books: Books, shops: Shops) -> None:
        self._shops = shops
        self._providers = {provider.mch_id: provider for provider in shops.providers}
        self._merchants = {
            (shop.wechat.mch_id, shop.wechat.sub_mch_id): Merchant(
                self._providers[shop.wechat.mch_id], shop.wechat, shop
            )
            for shop in shops.shops
            if shop.wechat is not None
        }
        self._openid_secret = _kept_secret(books, "openid")

    @property
    def merchants(self) -> list[Merchant]:
        return list(self._merchants.values())

    def merchant(self, mch_id: str, sub_mch_id: str) -> Merchant | None:
        return self._merchants.get((mch_id, sub_mch_id))

    def merchants_of(self, mch_id: str, sub_mch_id: str = "") -> tuple[Merchant, ...]:
        """The provider's sub-merchants, or the one that is named; none if there is no such provider."""
        return tuple(
            merchant
            for (provider, sub_merchant), merchant in self._merchants.items()
            if provider == mch_id and sub_mch_id in ("", sub_merchant)
        )

    def payee(self, mch_id: str, sub_mch_id: str) -> str:
        """The name that a payer sees, of a merchant that has orders."""
        return self._merchants[mch_id, sub_mch_id].shop.name

    def key(self, mch_id: str) -> str:
        """The API key that signs for this provider."""
        return self._providers[mch_id].key

    def contract_of(self, sub_appid: str) -> WeChatContract | None:
        return next((m.contract for m in self.merchants if m.contract.sub_appid == sub_appid), None)

    def is_provider_appid(self, appid: str) -> bool:
        return any(provider.appid == appid for provider in self._providers.values())

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
