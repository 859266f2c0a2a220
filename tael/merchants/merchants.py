"""What an operator does with merchants. Each function returns the merchants as they are stored.

A gateway in another process follows within `ttl_s` of its cache. A process that passes its own cache follows at once.
"""

from collections.abc import Sequence

from tael.audit_log.domain.entry import Origin
from tael.base import ids
from tael.merchants.apps import NoSuchApp
from tael.merchants.credential_cache import CredentialCache
from tael.merchants.domain.changes import MerchantChanges, check_max_amount, check_rates, check_volumes
from tael.merchants.domain.forms import CURRENCY, MCHID, MERCHANT_NAME, check
from tael.merchants.domain.merchant import Merchant, MerchantState, Operation, UnmatchedPolicy
from tael.merchants.store.merchants import Merchants


class NoSuchMerchant(LookupError):
    """The message names the mchid."""

    def __init__(self, mchid: str) -> None:
        super().__init__(f"no merchant {mchid}")


def new_merchant(
    appcode: str,
    name: str,
    currency: str,
    *,
    mchid: str | None = None,
    state: MerchantState = MerchantState.ACTIVE,
    is_default: bool = False,
    cell: int = 0,
    max_amount_minor: int | None = None,
    denied: frozenset[Operation] = frozenset(),
    unmatched_payments: UnmatchedPolicy = UnmatchedPolicy.HOLD,
    max_per_second: int | None = None,
    max_per_minute: int | None = None,
    max_daily_minor: int | None = None,
    max_monthly_minor: int | None = None,
) -> Merchant:
    """A merchant of an app; an mchid that is not given is generated. Raises InvalidValue."""
    check_max_amount(max_amount_minor)
    check_rates(max_per_second, max_per_minute)
    check_volumes(max_daily_minor, max_monthly_minor)
    return Merchant(
        mchid=ids.mchid() if mchid is None else check(mchid, MCHID, "mchid"),
        appcode=appcode,
        name=check(name, MERCHANT_NAME, "name"),
        currency=check(currency, CURRENCY, "currency"),
        state=state,
        is_default=is_default,
        cell=cell,
        max_amount_minor=max_amount_minor or None,
        denied=denied,
        unmatched_payments=unmatched_payments,
        max_per_second=max_per_second,
        max_per_minute=max_per_minute,
        max_daily_minor=max_daily_minor or None,
        max_monthly_minor=max_monthly_minor or None,
    )


async def add_merchant(
    merchants: Merchants, merchant: Merchant, origin: Origin, credentials: CredentialCache | None = None
) -> Merchant:
    """Raises AlreadyThere if the mchid exists or the app has a default merchant.

    LookupError if there is no app, or no such cell.
    """
    await merchants.add_merchant(merchant, origin)
    _forget(merchant, credentials)
    return merchant


async def change_merchant(
    merchants: Merchants,
    mchid: str,
    changes: MerchantChanges,
    origin: Origin,
    credentials: CredentialCache | None = None,
) -> Merchant:
    """Open orders continue. Raises NoSuchMerchant."""
    after = await merchants.change_merchant(mchid, changes.applied_to, origin)
    if after is None:
        raise NoSuchMerchant(mchid)
    _forget(after, credentials)
    return after


async def find_merchants(merchants: Merchants, appcode: str | None) -> Sequence[Merchant]:
    """The merchants of one app or of all, oldest first. Raises NoSuchApp."""
    if appcode is None:
        return await merchants.all()
    if await merchants.app(appcode) is None:
        raise NoSuchApp(appcode)
    return await merchants.of_app(appcode)


def _forget(merchant: Merchant, credentials: CredentialCache | None) -> None:
    """An app is cached with its merchants."""
    if credentials is not None:
        credentials.forget(merchant.appcode, merchant.mchid)
