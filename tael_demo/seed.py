"""The apps of a demo with their merchants and wallet accounts, created at the first start."""

import socket
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final, NamedTuple

from tael.audit_log.domain.entry import Origin
from tael.base import ids
from tael.base.clock import RealClock
from tael.base.secret import Secret
from tael.channels.registry import installed_protocols
from tael.channels.settings import Kind
from tael.merchants.domain.account import Account
from tael.merchants.domain.changes import MerchantChanges
from tael.merchants.domain.merchant import PUBLISHED_KEY, App, Merchant, Style, UnmatchedPolicy
from tael.operations.store import Store

#: Published by QFPay. Its sample clients run against the demo with no change but the base URL.
PUBLISHED_APPCODE: Final = "123456"
PUBLISHED_MCHID: Final = "eqqmYMn0Zj6pncw5ZDxjgMqbzV"
DEFAULT_CURRENCY: Final = "HKD"
#: Those of the sandbox's shops that have one each.
CURRENCIES: Final = ("HKD", "CNY", "USD", "JPY", "KRW", "SGD", "EUR", "GBP", "AUD", "THB")
#: The operator's fee on each payment: 0.6 %.
FEE_RATE_PPM: Final = 6_000


class Shop(NamedTuple):
    """A shop of the sandbox whose accounts the merchant uses."""

    label: str  #: in the sandbox
    name: str  #: the merchant's
    currency: str = DEFAULT_CURRENCY


@dataclass(frozen=True, slots=True)
class Plan:
    """One app and the shops of its merchants, in order."""

    shops: tuple[Shop, ...]
    style: Style = Style.OLD
    sha256_only: bool = False
    is_published: bool = False

    @property
    def first_name(self) -> str:
        """The name of its first merchant. No other app of a demo has it, and it cannot be changed."""
        return self.shops[0].name


PLANS: Final = (
    Plan((Shop("demo", "Harbour Tea"),), is_published=True),
    Plan((Shop("wechat_only", "Peak Books"),)),
    Plan(
        (Shop("chain_east", "Star Ferry East"), Shop("chain_west", "Star Ferry West")),
        Style.NEW,
        sha256_only=True,
    ),
    Plan((Shop("direct", "Lantern Tailors"),)),  # with a contract of its own at WeChat Pay
    # Webhooks of the new style name the currency.
    Plan(tuple(Shop(f"in_{code.lower()}", f"Airport Tea {code}", code) for code in CURRENCIES), Style.NEW),
)
#: The index of the last one's app.
IN_EACH_CURRENCY: Final = len(PLANS) - 1


@dataclass(frozen=True, slots=True)
class DemoApp:
    """An app of the demo and the ids of its merchants."""

    app: App
    mchids: tuple[str, ...]


async def seed(
    store: Store,
    accounts: list[dict[str, Any]],
    now: datetime,
    unmatched_payments: UnmatchedPolicy | None = None,
) -> list[DemoApp]:
    """The demo's apps, in the order of PLANS. New merchants return unmatched payments, unless a policy is given.

    A given policy is also set for the demo's merchants of an earlier start.
    """
    known = await _known(store)
    for index, plan in enumerate(PLANS):
        if plan.first_name not in known:
            # Apps are listed oldest first: the published app comes first, and an app of the user after all of these.
            await _add(plan, store, accounts, now + timedelta(microseconds=index))
    known = await _known(store)
    demo_apps = [known[plan.first_name] for plan in PLANS]
    for _, merchants in demo_apps:
        for merchant in merchants:
            if unmatched_payments is not None:
                changes = MerchantChanges(unmatched_payments=unmatched_payments)
                await store.merchants.change_merchant(merchant.mchid, changes.applied_to, origin_of_demo(now))
    return [DemoApp(app, tuple(merchant.mchid for merchant in of_app)) for app, of_app in demo_apps]


def origin_of_demo(now: datetime) -> Origin:
    """What a demo changes by itself."""
    return Origin("demo", socket.gethostname(), "tael demo", now)


async def _known(store: Store) -> dict[str, tuple[App, Sequence[Merchant]]]:
    """The apps with merchants by the name of the first; of two with the same, the older app."""
    found: dict[str, tuple[App, Sequence[Merchant]]] = {}
    for app in await store.merchants.apps():
        if merchants := await store.merchants.of_app(app.appcode):
            found.setdefault(merchants[0].name, (app, merchants))
    return found


async def _add(plan: Plan, store: Store, accounts: list[dict[str, Any]], now: datetime) -> None:
    app = App(
        appcode=PUBLISHED_APPCODE if plan.is_published else ids.appcode(),
        key=Secret(PUBLISHED_KEY if plan.is_published else ids.key()),
        notify_url=None,
        return_url=None,
        webhook_style=plan.style,
        sha256_only=plan.sha256_only,
        signup_currency=DEFAULT_CURRENCY if plan.is_published else None,
    )
    await store.merchants.add_app(app, origin_of_demo(now))
    for index, shop in enumerate(plan.shops):
        mchid = PUBLISHED_MCHID if plan.is_published else ids.mchid()
        merchant = Merchant(
            mchid,
            app.appcode,
            shop.name,
            shop.currency,
            cell=await store.merchants.emptiest_cell(),
            is_default=plan.is_published,  # QFPay's samples name no merchant, also after others have signed up
            unmatched_payments=UnmatchedPolicy.RETURN,
        )
        at = now + timedelta(milliseconds=index)
        await store.merchants.add_merchant(merchant, origin_of_demo(at))
        for row in accounts:
            if row["shop"] == shop.label:
                await store.accounts.add(account_of(row, mchid), origin_of_demo(now))


#: The protocol of each wallet's rows in the sandbox's control API, and the member with each setting.
SETTINGS: Final = {
    "alipay": (
        "alipay_mapi",
        {
            "pid": "pid",
            "scene": "scene",
            "sign_type": "sign_type",
            "key": "key",
            "private_key": "private_key_pem",
            "alipay_public_key": "alipay_public_key_pem",
        },
    ),
    "wechat": (
        "wechat_v2",
        {
            "mch_id": "mch_id",
            "appid": "appid",
            "sign_type": "sign_type",
            "sub_mch_id": "sub_mch_id",
            "sub_appid": "sub_appid",
            "official_secret": "sub_secret",
            "mini_appid": "mini_appid",
            "app_appid": "app_appid",
            "key": "key",
            "certificate": "cert_pem",
            "certificate_key": "key_pem",
        },
    ),
}

#: The sandbox names keys for every sign type.
UNUSED_KEYS: Final = {"MD5": (), "RSA": ("key",), "RSA2": ("key",)}


def account_of(row: dict[str, Any], mchid: str) -> Account:
    """The account described by a row of the sandbox's control API."""
    name, members = SETTINGS[row["wallet"]]
    protocol = installed_protocols().named(name)
    unused = UNUSED_KEYS.get(row["sign_type"], ())
    # A direct merchant of WeChat Pay has no sub-merchant's number and appid.
    texts = {name: row[member] for name, member in members.items() if name not in unused and row[member]}
    flags = {setting.name: "true" for setting in protocol.settings if setting.kind is Kind.FLAG}
    fields = {
        "account_id": ids.account_id(),
        "mchid": mchid,
        "currency": row["currency"],
        "fee_rate_ppm": FEE_RATE_PPM,
    }
    return protocol.account_of(fields, protocol.read(texts | flags, RealClock().now()))
