"""Wallet accounts, as operators manage them: add, change, show, check.

`now` is the machine's time, also in a demo: certificates are valid by it.
"""

import asyncio
from collections.abc import Callable, Mapping, Sequence
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
from tael.merchants.domain.account import Account, PreviousAccount
from tael.operations.store import Store

#: Accounts that are checked at once.
CHECKS_AT_ONCE: Final = 8
#: What selects accounts besides their settings.
SHARED_NAMES: Final = ("mchid", "protocol", "wallet", "scene", "currency")


class AccountRefused(Exception):
    """The change contradicts the merchant or the stored accounts. The message gives the reason."""


class OverlapLasts(AccountRefused):
    """The overlap of an earlier change of credentials has not ended. The message names its end."""

    def __init__(self, account: Account, until: datetime) -> None:
        super().__init__(
            f"the previous credentials of account {account.account_id} are accepted until {until.isoformat()}; "
            "end that overlap first"
        )


@dataclass(frozen=True, slots=True)
class Terms:
    """Terms of a contract that do not depend on its protocol. None keeps the current value, or takes the default."""

    refund_window_days: int | None = None
    supports_partial_refunds: bool | None = None
    fee_rate_ppm: int | None = None
    wallet_fee_rate_ppm: int | None = None

    def given(self) -> dict[str, Any]:
        values = {
            "refund_window_days": self.refund_window_days,
            "supports_partial_refunds": self.supports_partial_refunds,
            "fee_rate_ppm": self.fee_rate_ppm,
            "wallet_fee_rate_ppm": self.wallet_fee_rate_ppm,
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
    overlap: timedelta,
    origin: Origin,
    now: datetime,
) -> list[Account]:
    """Change the accounts with these members, all or none. Raises BadSetting, OverlapLasts, AccountRefused.

    What the wallet signed with a replaced key is accepted until the end of `overlap`. Without one, that of an earlier
    change ends too.
    """

    def changed(account: Account) -> Account:
        protocol = installed_protocols().named(account.protocol)
        new = protocol.changed(account, settings, now) if settings else account
        return _with_terms(_with_previous(account, new, overlap, origin.at), terms)

    return await _changed(store, selected, changed, origin)


async def end_overlaps(store: Store, selected: Mapping[str, str], origin: Origin) -> list[Account]:
    """Verify with the current credentials of these accounts only. Raises BadSetting, AccountRefused."""
    return await _changed(store, selected, lambda account: replace(account, previous=None), origin)


def _with_previous(account: Account, new: Account, overlap: timedelta, at: datetime) -> Account:
    """`new`, with the credentials of `account` if they differ. Raises OverlapLasts."""
    lasting = account.previous if len(account.verifiers(at)) > 1 else None
    if installed_protocols().named(account.protocol).has_same_keys(account, new):
        return replace(new, previous=lasting)
    if not overlap:
        return replace(new, previous=None)
    if lasting is not None:
        raise OverlapLasts(account, lasting.until)
    return replace(new, previous=PreviousAccount(replace(account, previous=None), at + overlap))


def _with_terms(account: Account, terms: Terms) -> Account:
    """The terms are those of the contract, so the previous account has them too."""
    previous = account.previous
    if previous is not None:
        previous = replace(previous, account=_with_terms(previous.account, terms))
    return replace(account, previous=previous, **terms.given())


async def _changed(
    store: Store, selected: Mapping[str, str], change: Callable[[Account], Account], origin: Origin
) -> list[Account]:
    known = {"account_id", *SHARED_NAMES, *_shown_names()}
    for name in selected:
        if name not in known:
            raise BadSetting(name, "no member of accounts that can be compared")
    accounts = await store.accounts.change(lambda account: _has(account, selected), change, origin)
    if not accounts:
        members = ", ".join(f"{name} {text}" for name, text in selected.items() if name != "account_id")
        raise AccountRefused(
            f"no account with {members}" if members else f"no account {selected['account_id']}"
        )
    return accounts


def account_members(account: Account) -> dict[str, Any]:
    """All members of `account` that may be shown."""
    protocol = installed_protocols().named(account.protocol)
    certificates = protocol.certificates_of(account)
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
        "wallet_fee_rate_ppm": account.wallet_fee_rate_ppm,
        "overlap_ends_at": account.previous.until if account.previous else None,
        "certificate_expires_at": certificates[0].expires_at if certificates else None,
        **protocol.shown(account),
    }


# ---- checks ------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Check:
    """The check of one account. `detail` says what was found, for the operator."""

    account: Account
    is_ok: bool
    detail: str


class Verifiers:
    """Which of an account's keys verified its last response, by account. `note` is a channel's `NoteAnswer`."""

    def __init__(self) -> None:
        self._previous: dict[str, bool] = {}

    async def note(self, account: Account, verifier: Account | None) -> None:
        self._previous[account.account_id] = verifier is not None and verifier is not account

    def detail(self, account: Account) -> str:
        """A suffix for the operator; "" outside an overlap."""
        if account.previous is None or account.account_id not in self._previous:
            return ""
        which = "previous" if self._previous[account.account_id] else "new"
        return f", verified with its {which} credentials"


async def check_accounts(
    accounts: Sequence[Account],
    channels: Mapping[str, Channel],
    store: Store,
    verifiers: Verifiers,
    *,
    at: datetime,
    now: datetime,
) -> list[Check]:
    """Check credentials without moving money: against each other, then with a query that the wallet must answer.

    `at` is the gateway's time, by which the query is made. The channels report to `verifiers`.
    """
    places = asyncio.Semaphore(CHECKS_AT_ONCE)

    async def check(account: Account) -> Check:
        async with places:
            return await _check(account, channels[account.protocol], store, verifiers, at, now)

    return list(await asyncio.gather(*map(check, accounts)))


async def _check(
    account: Account, channel: Channel, store: Store, verifiers: Verifiers, at: datetime, now: datetime
) -> Check:
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
            return Check(account, True, "the wallet answered a signed query" + verifiers.detail(account))
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
