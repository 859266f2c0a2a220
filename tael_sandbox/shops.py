"""The merchants of the wallets, created once with random keys and stored in one private file. Keys can be replaced.

`demo` has contracts with both wallets, `wechat_only` only with WeChat Pay, `chain_east` and `chain_west` are two
shops of one chain under another WeChat service provider. Each has another sign_type, so that every one is in use. The
contracts of `chain_east` are old ones. `direct` has a contract with WeChat Pay itself, without a service provider.
`in_hkd`, `in_jpy` and so on have contracts with both wallets in these currencies: Alipay accepts only the contract's
currency, WeChat Pay accepts any currency from every merchant and settles in the contract's.
"""

import json
import os
import secrets
import string
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Final

from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

CURRENCY: Final = "HKD"
#: One shop has its contracts in each.
CURRENCIES: Final = ("HKD", "CNY", "USD", "JPY", "KRW", "SGD", "EUR", "GBP", "AUD", "THB")
DIRECT: Final = "direct"
RSA_BITS: Final = 2048


@dataclass(frozen=True, slots=True)
class AlipayContract:
    """One PID. Alipay accepts every sign_type for it; the shop uses `sign_type`."""

    scene: str  #: online or offline
    pid: str
    key: str
    sign_type: str
    private_key_pem: str  #: the merchant's
    fee_rate_ppm: int = 8_000  #: Alipay's fee for each payment, in parts per million of its price
    needs_product_code: bool = True  #: False for contracts older than product codes


@dataclass(frozen=True, slots=True)
class MerchantAccount:
    """The holder of a `mch_id`, who signs the calls: a service provider for its sub-merchants, or a direct merchant."""

    appid: str  #: its official account
    mch_id: str
    key: str


@dataclass(frozen=True, slots=True)
class WeChatContract:
    """A sub-merchant, or a direct merchant, which has no `sub_mch_id` and no `sub_appid`.

    A file of an older version has no `mini_appid` and no `app_appid`; `open_shops` adds them.
    """

    mch_id: str  #: of its merchant account
    sub_mch_id: str
    sub_appid: str  #: a sub-merchant's official account
    sub_secret: str  #: of the official account
    sign_type: str
    fee_rate_ppm: int = 6_000  #: WeChat Pay's fee for each payment, in parts per million of its price
    mini_appid: str = ""  #: its mini program
    app_appid: str = ""  #: its mobile app at WeChat's open platform


@dataclass(frozen=True, slots=True)
class Shop:
    label: str
    name: str  #: shown to payers
    currency: str
    alipay: tuple[AlipayContract, ...]
    wechat: WeChatContract | None


@dataclass(frozen=True, slots=True)
class Shops:
    shops: tuple[Shop, ...]
    merchant_accounts: tuple[MerchantAccount, ...]
    alipay_private_key_pem: str  #: Alipay's own, one for all merchants

    def account(self, mch_id: str) -> MerchantAccount:
        return next(account for account in self.merchant_accounts if account.mch_id == mch_id)


def open_shops(path: Path) -> Shops:
    """Reads the shops. Creates them at the first start, and adds what a file of an older version lacks."""
    stored = _shops_from(json.loads(path.read_text("utf-8"))) if path.exists() else None
    shops = _with_every_appid(_with_direct_merchant(_with_every_currency(stored or _new_shops())))
    if shops != stored:
        save_shops(path, shops)
    return shops


def save_shops(path: Path, shops: Shops) -> None:
    """Writes the file that `open_shops` reads at the next start."""
    _write_private_file(path, json.dumps(asdict(shops), indent=1))


def with_new_alipay_keys(shops: Shops, label: str, key: str | None) -> Shops:
    """The shop's contracts with another key of their sign type: the shared one, or the merchant's private key.

    Alipay's own key stays. `key` is the shared key; None generates one.
    """

    def changed(contract: AlipayContract) -> AlipayContract:
        if contract.sign_type == "MD5":
            return replace(contract, key=key or _key())
        return replace(contract, private_key_pem=_private_key_pem())

    return replace(
        shops,
        shops=tuple(
            replace(shop, alipay=tuple(map(changed, shop.alipay))) if shop.label == label else shop
            for shop in shops.shops
        ),
    )


def with_new_wechat_key(shops: Shops, mch_id: str, key: str | None) -> Shops:
    """With another API key of `mch_id`, for all its sub-merchants; None generates one."""
    accounts = (
        replace(account, key=key or _key()) if account.mch_id == mch_id else account
        for account in shops.merchant_accounts
    )
    return replace(shops, merchant_accounts=tuple(accounts))


def _new_shops() -> Shops:
    provider_a, provider_b = _merchant_account(), _merchant_account()
    return Shops(
        (
            _shop("demo", "Demo Shop", "MD5", provider_a, "MD5"),
            _shop("wechat_only", "Corner Tea House", None, provider_a, "HMAC-SHA256"),
            _shop("chain_east", "Harbour Books East", "RSA", provider_b, "HMAC-SHA256"),
            _shop("chain_west", "Harbour Books West", "RSA2", provider_b, "MD5"),
        ),
        (provider_a, provider_b),
        _private_key_pem(),
    )


def _with_every_currency(shops: Shops) -> Shops:
    """A shop in each currency. A file of an older version has some of them, with contracts only at Alipay."""
    provider = shops.merchant_accounts[0]
    labels = {shop.label for shop in shops.shops}
    missing = [currency for currency in CURRENCIES if _label_in(currency) not in labels]
    private_key_pem = _private_key_pem() if missing else ""
    added = (_shop_in(currency, private_key_pem, provider) for currency in missing)
    return replace(shops, shops=(*(_with_wechat(shop, provider) for shop in shops.shops), *added))


def _with_wechat(shop: Shop, provider: MerchantAccount) -> Shop:
    if shop.wechat is not None:
        return shop
    return replace(shop, wechat=_sub_merchant(provider, "MD5"))


def _with_direct_merchant(shops: Shops) -> Shops:
    if any(shop.label == DIRECT for shop in shops.shops):
        return shops
    account = _merchant_account()
    contract = WeChatContract(account.mch_id, "", "", secrets.token_hex(16), "HMAC-SHA256")
    shop = Shop(DIRECT, "Lantern Cafe", CURRENCY, (), contract)
    return replace(shops, shops=(*shops.shops, shop), merchant_accounts=(*shops.merchant_accounts, account))


def _with_every_appid(shops: Shops) -> Shops:
    return replace(shops, shops=tuple(_shop_with_every_appid(shop) for shop in shops.shops))


def _shop_with_every_appid(shop: Shop) -> Shop:
    contract = shop.wechat
    if contract is None:
        return shop
    mini_appid, app_appid = (appid or _appid() for appid in (contract.mini_appid, contract.app_appid))
    return replace(shop, wechat=replace(contract, mini_appid=mini_appid, app_appid=app_appid))


def _label_in(currency: str) -> str:
    return f"in_{currency.lower()}"


def _shop_in(currency: str, private_key_pem: str, provider: MerchantAccount) -> Shop:
    """The shops share a private key: creating keys takes most of the time of the first start."""
    contracts = (
        _alipay_contract(scene, "MD5", private_key_pem, is_old=False) for scene in ("online", "offline")
    )
    name = f"Airport Tea {currency}"
    return Shop(_label_in(currency), name, currency, tuple(contracts), _sub_merchant(provider, "MD5"))


def _shop(
    label: str, name: str, alipay_sign: str | None, provider: MerchantAccount, wechat_sign: str
) -> Shop:
    scenes = ("online", "offline") if alipay_sign is not None else ()
    contracts = (
        _alipay_contract(scene, alipay_sign or "", _private_key_pem(), is_old=label == "chain_east")
        for scene in scenes
    )
    return Shop(label, name, CURRENCY, tuple(contracts), _sub_merchant(provider, wechat_sign))


def _sub_merchant(provider: MerchantAccount, sign_type: str) -> WeChatContract:
    return WeChatContract(provider.mch_id, _digits("1", 10), _appid(), secrets.token_hex(16), sign_type)


def _alipay_contract(scene: str, sign_type: str, private_key_pem: str, *, is_old: bool) -> AlipayContract:
    pid = _digits("2088", 16)
    return AlipayContract(scene, pid, _key(), sign_type, private_key_pem, needs_product_code=not is_old)


def _merchant_account() -> MerchantAccount:
    return MerchantAccount(_appid(), _digits("1", 10), _key())


def _key() -> str:
    return "".join(secrets.choice(string.ascii_lowercase + string.digits) for _ in range(32))


def _appid() -> str:
    return "wx" + secrets.token_hex(8)


def _digits(prefix: str, length: int) -> str:
    return prefix + "".join(secrets.choice(string.digits) for _ in range(length - len(prefix)))


def _private_key_pem() -> str:
    private_key = rsa.generate_private_key(public_exponent=65537, key_size=RSA_BITS)
    return private_key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()


def _shops_from(stored: dict[str, Any]) -> Shops:
    names = ("merchant_accounts", "senders", "providers")  # the last two in files of older versions
    merchant_accounts = next(stored[name] for name in names if name in stored)
    return Shops(
        tuple(_shop_from(shop) for shop in stored["shops"]),
        tuple(MerchantAccount(**account) for account in merchant_accounts),
        stored["alipay_private_key_pem"],
    )


def _shop_from(stored: dict[str, Any]) -> Shop:
    contracts = tuple(AlipayContract(**contract) for contract in stored["alipay"])
    wechat = WeChatContract(**stored["wechat"]) if stored["wechat"] else None
    return Shop(stored["label"], stored["name"], stored["currency"], contracts, wechat)


def _write_private_file(path: Path, text: str) -> None:
    """Writes atomically: a file truncated by a crash would lock out every shop permanently."""
    draft = path.with_name(path.name + ".new")
    with open(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w", encoding="utf-8") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    draft.replace(path)
