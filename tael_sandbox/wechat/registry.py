"""The registry of service providers with their sub-merchants, of direct merchants, and of payers by openid.

Every one of these merchants has a twin in WeChat Pay's own sandbox, whose books are separate: the twin's numbers
have a prefix, so that neither finds orders or bills of the other. The prefix never leaves the books.
"""

import hashlib
import hmac
import secrets
import sqlite3
from dataclasses import dataclass, replace
from typing import Final

from tael_sandbox.books import Books
from tael_sandbox.payers import Payer, all_payers
from tael_sandbox.shops import MerchantAccount, Shop, Shops, WeChatContract
from tael_sandbox.wechat import numbering

#: The mainland's wallet (CNY) and Hong Kong's (HKD).
WALLETS: Final = ("wechat", "wechat_hk")

#: Prefix of the numbers of WeChat Pay's own sandbox; numbers on the wire never contain a slash.
VENDOR_SANDBOX: Final = "sandboxnew/"

TABLES: Final = """
CREATE TABLE IF NOT EXISTS wechat_secret (
    name  TEXT PRIMARY KEY,
    value BLOB NOT NULL
);
"""


@dataclass(frozen=True, slots=True)
class Merchant:
    """A sub-merchant with its provider, or a direct merchant."""

    account: MerchantAccount
    contract: WeChatContract
    shop: Shop

    @property
    def is_direct(self) -> bool:
        return not self.contract.sub_mch_id

    @property
    def number(self) -> str:
        """The number of the account that receives the money, as stored in the books."""
        return self.contract.sub_mch_id or self.account.mch_id

    @property
    def official_appid(self) -> str:
        return self.contract.sub_appid or self.account.appid

    @property
    def appids(self) -> tuple[str, str, str]:
        """The merchant's own, under each of which it may trade."""
        return self.official_appid, self.contract.mini_appid, self.contract.app_appid

    @property
    def in_vendor_sandbox(self) -> bool:
        return self.account.mch_id.startswith(VENDOR_SANDBOX)

    @property
    def twin(self) -> "Merchant":
        """The same merchant in WeChat Pay's own sandbox."""
        mch_id = VENDOR_SANDBOX + self.account.mch_id
        sub_mch_id = "" if self.is_direct else VENDOR_SANDBOX + self.contract.sub_mch_id
        return replace(
            self,
            account=replace(self.account, mch_id=mch_id, key=vendor_sandbox_key(self.account.key)),
            contract=replace(self.contract, mch_id=mch_id, sub_mch_id=sub_mch_id),
        )


def vendor_sandbox_key(key: str) -> str:
    """The key in WeChat Pay's own sandbox that belongs to this live key; the same at every start."""
    return hmac.new(key.encode(), b"sandbox_signkey", hashlib.sha256).hexdigest()[:32]


def wire_number(number: str) -> str:
    """Converts a number of the books to the number on the wire."""
    return number.removeprefix(VENDOR_SANDBOX)


class Registry:
    def __init__(self, books: Books, shops: Shops) -> None:
        self.use(shops)
        self._openid_secret = _stored_secret(books, "openid")

    def use(self, shops: Shops) -> None:
        """Sign and verify with the keys of `shops` from now on."""
        self._merchants = [
            Merchant(shops.account(shop.wechat.mch_id), shop.wechat, shop)
            for shop in shops.shops
            if shop.wechat is not None
        ]
        self._merchants_by_number = {
            (merchant.account.mch_id, merchant.contract.sub_mch_id): merchant
            for live_merchant in self._merchants
            for merchant in (live_merchant, live_merchant.twin)
        }
        self._accounts = {
            mch_id: merchant.account for (mch_id, _), merchant in self._merchants_by_number.items()
        }

    @property
    def merchants(self) -> list[Merchant]:
        return list(self._merchants)

    @property
    def merchants_and_twins(self) -> list[Merchant]:
        return list(self._merchants_by_number.values())

    def merchants_of(
        self, mch_id: str, sub_mch_id: str = "", *, in_vendor_sandbox: bool = False
    ) -> tuple[Merchant, ...]:
        """The provider's sub-merchants or only the named one, or the direct merchant. Empty if unknown.

        By numbers on the wire.
        """
        return tuple(
            merchant
            for merchant in self._merchants_by_number.values()
            if merchant.in_vendor_sandbox == in_vendor_sandbox
            and wire_number(merchant.account.mch_id) == mch_id
            and sub_mch_id in ("", wire_number(merchant.contract.sub_mch_id))
        )

    def payee(self, mch_id: str, sub_mch_id: str) -> str:
        """The merchant's name for payers, by numbers of the books."""
        return self._merchants_by_number[mch_id, sub_mch_id].shop.name

    def key(self, mch_id: str) -> str:
        """The API key of the provider or direct merchant."""
        return self._accounts[mch_id].key

    def owner_of_official_account(self, appid: str) -> Merchant | None:
        """None for a provider's: it has no pages here."""
        return next((merchant for merchant in self.merchants if merchant.official_appid == appid), None)

    def knows_appid(self, appid: str) -> bool:
        """Whether it is an appid of any provider or merchant."""
        return any(appid in (m.account.appid, *m.appids) for m in self._merchants)

    @property
    def appids_with_openids(self) -> list[str]:
        """The appids for which a merchant needs the payer's openid, the demo shop's first. Apps need none."""
        appids = [
            appid
            for m in self.merchants
            for appid in (m.account.appid, m.official_appid, m.contract.mini_appid)
        ]
        return list(dict.fromkeys(appids))

    def openid(self, payer: str, appid: str) -> str:
        return numbering.openid(self._openid_secret, payer, appid)

    def owner(self, connection: sqlite3.Connection, openid: str, appid: str) -> Payer | None:
        """The payer with this openid under the appid, if any."""
        for payer in all_payers(connection):
            if payer.wallet in WALLETS and self.openid(payer.payer, appid) == openid:
                return payer
        return None


def _stored_secret(books: Books, name: str) -> bytes:
    books.script(TABLES)
    with books.transaction() as connection:
        connection.execute(
            "INSERT OR IGNORE INTO wechat_secret (name, value) VALUES (?, ?)", (name, secrets.token_bytes(32))
        )
        row = connection.execute("SELECT value FROM wechat_secret WHERE name = ?", (name,)).fetchone()
    value: bytes = row["value"]
    return value
