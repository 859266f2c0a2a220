"""Wallet accounts, as operators manage them: add, change, show, check.

`now` is the machine's time, also in a demo: certificates are valid by it.
"""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any, Final

from tael.audit_log.domain.entry import Origin
from tael.base import ids
from tael.base.money import Money
from tael.base.pay_types import PAY_TYPES
from tael.channels.base import Channel, ChannelOrder
from tael.channels.outcomes import NotSent, Refused, Unknown
from tael.channels.registry import installed_protocols
from tael.channels.settings import BadSetting
from tael.merchants.domain.account import Account
from tael.operations.store import Store

#: Accounts that are checked at once.
CHECKS_AT_ONCE: Final = 8
#: What selects accounts besides their settings.
SHARED_NAMES: Final = ("mchid", "protocol", "wallet", "scene", "currency")


class AccountRefused(Exception):
    """The change contradicts the merchant or the stored accounts. The message gives the reason."""


@dataclass(frozen=True, slots=True)
class Terms:
    """Terms of a contract that do not depend on its protocol. None keeps the current value, or takes the default."""

    refund_window_days: int | None = None
    supports_partial_refunds: bool | None = None
    fee_rate_ppm: int | None = None

    def given(self) -> dict[str, Any]:
        values = {
            "refund_window_days": self.refund_window_days,
            "supports_partial_refunds": self.supports_partial_refunds,
            "fee_rate_ppm": self.fee_rate_ppm,
        }
        return {name: value for name, value in values.items() if value is not None}


async def add_account(
    store: Store,
    mchid: str,
    protocol_name: str,
    settings: Mapping[str, str],
    terms: Terms,
    *,
    currency: str | None,
    origin: Origin,
    now: datetime,
) -> Account:
    """Add an account with these settings. Its currency is the merchant's: another one is refused.

    Raises BadSetting, UnknownProtocol, AccountRefused, AlreadyThere.
    """
    protocol = installed_protocols().named(protocol_name)
    merchant = await store.merchants.merchant(mchid)
    if merchant is None:
        raise AccountRefused(f"no merchant {mchid}")
    if currency not in (None, merchant.currency):
        raise AccountRefused(f"the accounts of merchant {mchid} must be in {merchant.currency}")
    # Decrypts the app's key: nothing may be encrypted with a wrong encryption key.
    await store.merchants.app(merchant.appcode)
    fields = {"account_id": ids.account_id(), "mchid": mchid, "currency": merchant.currency, **terms.given()}
    account = protocol.account_of(fields, protocol.read(settings, now))
    await store.accounts.add(account, origin)
    return account


async def change_accounts(
    store: Store,
    selected: Mapping[str, str],
    settings: Mapping[str, str],
    terms: Terms,
    *,
    origin: Origin,
    now: datetime,
) -> list[Account]:
    """Change the accounts with these members, all or none. Raises BadSetting, AccountRefused."""
    known = {"account_id", *SHARED_NAMES, *_shown_names()}
    for name in selected:
        if name not in known:
            raise BadSetting(name, "no member of accounts that can be compared")

    def changed(account: Account) -> Account:
        protocol = installed_protocols().named(account.protocol)
        return replace(
            protocol.changed(account, settings, now) if settings else account,
            **terms.given(),
        )

    accounts = await store.accounts.change(lambda account: _has(account, selected), changed, origin)
    if not accounts:
        members = ", ".join(f"{name} {text}" for name, text in selected.items() if name != "account_id")
        raise AccountRefused(
            f"no account with {members}" if members else f"no account {selected['account_id']}"
        )
    return accounts


def account_members(account: Account) -> dict[str, Any]:
    """All members of `account` that may be shown."""
    return {
        "account_id": account.account_id,
        "mchid": account.mchid,
        "protocol": account.protocol,
        "wallet": account.wallet,
        "scene": account.scene,
        "currency": account.currency,
        "refund_window_days": account.refund_window_days,
        "supports_partial_refunds": account.supports_partial_refunds,
        "fee_rate_ppm": account.fee_rate_ppm,
        **installed_protocols().named(account.protocol).shown(account),
    }


# ---- checks ------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Check:
    """The check of one account. `detail` says what was found, for the operator."""

    account: Account
    is_ok: bool
    detail: str


async def check_accounts(
    accounts: Sequence[Account], channels: Mapping[str, Channel], store: Store, *, at: datetime, now: datetime
) -> list[Check]:
    """Check credentials without moving money: against each other, then with a query that the wallet must answer.

    `at` is the gateway's time, by which the query is made.
    """
    places = asyncio.Semaphore(CHECKS_AT_ONCE)

    async def check(account: Account) -> Check:
        async with places:
            return await _check(account, channels[account.protocol], store, at, now)

    return list(await asyncio.gather(*map(check, accounts)))


async def _check(account: Account, channel: Channel, store: Store, at: datetime, now: datetime) -> Check:
    try:
        installed_protocols().named(account.protocol).changed(account, {}, now)
    except BadSetting as error:
        return Check(account, False, str(error))
    pay_type = PAY_TYPES[min(channel.capabilities(account).pay_types)]
    order = ChannelOrder(
        account=account,
        pay_type=pay_type,
        syssn=await store.serials.syssn(at),
        amount=Money(1, account.currency),
        subject="",
        created_at=at,
        expires_at=at + timedelta(seconds=pay_type.expires_after_s),
        notice_url="",
        return_url="",
    )
    match await channel.query(order):
        case Unknown(no_such_order=True):
            return Check(account, True, "the wallet answered a signed query")
        case NotSent(reason):
            return Check(account, False, f"the query was not sent: {reason}")
        case Refused(reason, wallet_code):
            return Check(account, False, f"the wallet refused the query: {wallet_code or reason}")
        case Unknown(reason):
            return Check(account, False, f"the wallet's answer: {reason}")
        case outcome:
            return Check(account, False, f"unexpected: {type(outcome).__name__}")


def _has(account: Account, selected: Mapping[str, str]) -> bool:
    members = account_members(account)
    return all(name in members and _text(members[name]) == text for name, text in selected.items())


def _text(value: object) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def _shown_names() -> set[str]:
    protocols = installed_protocols().by_name.values()
    return {setting.name for protocol in protocols for setting in protocol.settings if setting.is_shown}
