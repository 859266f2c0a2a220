"""Caches apps with their merchants and accounts for a moment, so that a payment need not read them again.

A change made by another process is seen within `ttl_s`. While the directory is down, what was read from it before is
used for `STALE_S`.
"""

from dataclasses import dataclass, replace

from tael.base import errors
from tael.base.read_cache import DEFAULT_TTL_S, ReadCache
from tael.base.security_log import log_published_key
from tael.db.cells import directory_cache
from tael.merchants.domain.account import Account
from tael.merchants.domain.maintenance import MaintenanceWindow
from tael.merchants.domain.merchant import (
    PUBLISHED_KEY,
    UNAPPROVED,
    App,
    Merchant,
    MerchantState,
    Operation,
)
from tael.merchants.store.accounts import Accounts
from tael.merchants.store.maintenance import MaintenanceWindows
from tael.merchants.store.merchants import Merchants


@dataclass(frozen=True, slots=True)
class AppContext:
    """An app with its merchants and accounts."""

    app: App
    merchants: dict[str, Merchant]
    accounts: tuple[Account, ...]

    def merchant_of(self, mchid: str) -> Merchant:
        """The merchant `mchid`; if empty, the only approved or the default one.

        Raises NotAuthentic for another app's merchant, MerchantNotNamed.
        """
        if mchid:
            merchant = self.merchants.get(mchid)
            if merchant is None:
                raise errors.NotAuthentic(cause="the mchid is not the app's")
            return merchant
        merchants = self.merchants.values()
        # A sign-up must not change which merchant is meant.
        candidates = [each for each in merchants if each.state not in UNAPPROVED] or list(merchants)
        if len(candidates) > 1:
            candidates = [merchant for merchant in candidates if merchant.is_default]
        if len(candidates) != 1:
            raise errors.MerchantNotNamed
        return candidates[0]

    def accounts_of(self, merchant: Merchant) -> list[Account]:
        """The merchant's accounts, at least one. Raises NotSetUp if the operator has added none."""
        accounts = [account for account in self.accounts if account.mchid == merchant.mchid]
        if not accounts:
            raise errors.NotSetUp
        return accounts


def check_app(app: App) -> None:
    """Raises MerchantDisabled if all merchants of the app are."""
    if app.is_disabled:
        raise errors.MerchantDisabled


def check_state(app: App, merchant: Merchant) -> None:
    """Raises MerchantDisabled or MerchantNotAudited if the merchant may not take payments."""
    check_app(app)
    match merchant.state:
        case MerchantState.DISABLED:
            raise errors.MerchantDisabled
        case MerchantState.WAITING | MerchantState.REFUSED:
            raise errors.MerchantNotAudited
        case MerchantState.ACTIVE:
            return


def check_grant(merchant: Merchant, operation: Operation) -> None:
    """Raises OperationDenied."""
    if operation in merchant.denied:
        raise errors.OperationDenied(f"{operation} is denied to this merchant")


class CredentialCache:
    """Apps by appcode, merchants and accounts by id, and the current maintenance window."""

    def __init__(
        self,
        merchants: Merchants,
        accounts: Accounts,
        maintenance_windows: MaintenanceWindows,
        *,
        takes_published_key: bool = False,
        ttl_s: float = DEFAULT_TTL_S,
    ) -> None:
        self._merchants = merchants
        self._wallet_accounts = accounts
        self._maintenance_windows = maintenance_windows
        self._takes_published_key = takes_published_key
        self._apps: ReadCache[AppContext] = directory_cache(ttl_s)
        self._merchants_by_id: ReadCache[Merchant] = directory_cache(ttl_s)
        self._accounts: ReadCache[Account] = directory_cache(ttl_s)
        self._maintenance: ReadCache[MaintenanceWindow] = directory_cache(ttl_s)

    async def app(self, appcode: str) -> AppContext | None:
        """Raises StoreUnavailable; NotAuthentic if the app's key is QFPay's published one, outside a demo."""
        return await self._apps.get(appcode, self._read_app)

    def forget(self, appcode: str, mchid: str = "") -> None:
        """Read this app, and this merchant, again at their next use, because this process has changed them."""
        self._apps.invalidate(appcode)
        self._merchants_by_id.invalidate(mchid)

    async def merchant(self, mchid: str) -> Merchant | None:
        """Raises StoreUnavailable."""
        return await self._merchants_by_id.get(mchid, self._merchants.merchant)

    async def account(self, account_id: str) -> Account | None:
        """Raises StoreUnavailable."""
        return await self._accounts.get(account_id, self._wallet_accounts.by_id)

    async def check_open(self) -> None:
        """Raises UnderMaintenance during a maintenance window, StoreUnavailable."""
        window = await self._maintenance.get("", lambda _: self._maintenance_windows.now())
        if window is not None:
            raise errors.UnderMaintenance(window.reason and f"under maintenance: {window.reason}")

    async def _read_app(self, appcode: str) -> AppContext | None:
        # The same reads for an unknown appcode, so that the time of a refusal does not reveal which appcodes exist.
        app = await self._merchants.app(appcode)
        merchants = await self._merchants.of_app(appcode)
        accounts = await self._wallet_accounts.of_app(appcode)
        if app is None:
            return None
        if app.key.reveal() == PUBLISHED_KEY and not self._takes_published_key:
            log_published_key(appcode)
            raise errors.NotAuthentic(cause="the app's key is QFPay's published one")
        if (
            app.previous_key
            and app.previous_key.key.reveal() == PUBLISHED_KEY
            and not self._takes_published_key
        ):
            app = replace(app, previous_key=None)
        return AppContext(app, {merchant.mchid: merchant for merchant in merchants}, tuple(accounts))
