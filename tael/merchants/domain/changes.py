"""What an operator can change of an app and of a merchant. None keeps a value.

The new values are checked when the change is made, so an invalid one never meets the database.
"""

from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from typing import Any, Final

from tael.merchants.domain.forms import (
    CURRENCY,
    InvalidValue,
    check,
    check_networks,
    check_redirect_uris,
    check_url,
)
from tael.merchants.domain.merchant import App, Merchant, MerchantState, Operation, Style, UnmatchedPolicy

#: 31 days. A longer limit would not limit anything.
MAX_REQUEST_AGE_S: Final = 31 * 24 * 3600
#: Amounts of the merchant API have at most eleven digits.
MAX_AMOUNT_MINOR: Final = 99_999_999_999
#: A hundred thousand of the largest amount.
MAX_VOLUME_MINOR: Final = 9_999_999_999_900_000
#: Requests in a second or a minute. No process serves more.
MAX_RATE: Final = 1_000_000


@dataclass(frozen=True, slots=True)
class AppChanges:
    """Settings of an app. "" and 0 clear one, and so does a list without values. Raises InvalidValue."""

    notify_url: str | None = None
    return_url: str | None = None
    webhook_style: Style | None = None
    sha256_only: bool | None = None
    notify_offline: bool | None = None
    include_currency: bool | None = None
    cancel_codes_v2: bool | None = None
    include_goods_name: bool | None = None
    include_settlement: bool | None = None
    quick_retries: bool | None = None
    close_requires_amount: bool | None = None
    max_request_age_s: int | None = None
    sha256_responses: bool | None = None
    allowed_addresses: Sequence[str] | None = None
    signup_currency: str | None = None
    redirect_uris: Sequence[str] | None = None

    def __post_init__(self) -> None:
        if self.notify_url:
            check_url(self.notify_url, "notify_url")
        if self.return_url:
            check_url(self.return_url, "return_url", takes_fragment=True)
        if not 0 <= (self.max_request_age_s or 0) <= MAX_REQUEST_AGE_S:
            raise InvalidValue("max_request_age_s", f"must be 0 to {MAX_REQUEST_AGE_S}")
        if self.allowed_addresses is not None:
            check_networks(self.allowed_addresses, "allowed_addresses")
        if self.redirect_uris is not None:
            check_redirect_uris(self.redirect_uris, "redirect_uris")
        if self.signup_currency:
            check(self.signup_currency, CURRENCY, "signup_currency")

    def applied_to(self, app: App) -> App:
        """`app` with these settings."""
        given = {field.name: getattr(self, field.name) for field in fields(self)}
        changes: dict[str, Any] = {name: value for name, value in given.items() if value is not None}
        for name in ("notify_url", "return_url", "max_request_age_s", "signup_currency"):
            if name in changes:
                changes[name] = changes[name] or None
        if self.allowed_addresses is not None:
            changes["allowed_addresses"] = check_networks(self.allowed_addresses, "allowed_addresses")
        if self.redirect_uris is not None:
            changes["redirect_uris"] = check_redirect_uris(self.redirect_uris, "redirect_uris")
        return replace(app, **changes)


@dataclass(frozen=True, slots=True)
class MerchantChanges:
    """A merchant's state, limits (0 for none), operations to deny or allow again, and policy. Raises InvalidValue."""

    state: MerchantState | None = None
    max_amount_minor: int | None = None
    deny: frozenset[Operation] = frozenset()
    allow: frozenset[Operation] = frozenset()
    unmatched_payments: UnmatchedPolicy | None = None
    max_per_second: int | None = None
    max_per_minute: int | None = None
    default_rates: bool = False  #: use the deployment's limits of requests again, except for those given
    max_daily_minor: int | None = None
    max_monthly_minor: int | None = None

    def __post_init__(self) -> None:
        both = self.deny & self.allow
        if both:
            raise InvalidValue("denied", f"{min(both)} is given in both")
        check_max_amount(self.max_amount_minor)
        check_rates(self.max_per_second, self.max_per_minute)
        check_volumes(self.max_daily_minor, self.max_monthly_minor)

    def applied_to(self, merchant: Merchant) -> Merchant:
        """`merchant` with these changes."""
        return replace(
            merchant,
            state=self.state or merchant.state,
            max_amount_minor=_limit(self.max_amount_minor, merchant.max_amount_minor),
            denied=(merchant.denied | self.deny) - self.allow,
            unmatched_payments=self.unmatched_payments or merchant.unmatched_payments,
            max_per_second=self._rate(self.max_per_second, merchant.max_per_second),
            max_per_minute=self._rate(self.max_per_minute, merchant.max_per_minute),
            max_daily_minor=_limit(self.max_daily_minor, merchant.max_daily_minor),
            max_monthly_minor=_limit(self.max_monthly_minor, merchant.max_monthly_minor),
        )

    def _rate(self, given: int | None, present: int | None) -> int | None:
        if given is not None:
            return given
        return None if self.default_rates else present


def _limit(given: int | None, present: int | None) -> int | None:
    """A new limit of an amount: 0 is given for none."""
    return present if given is None else given or None


def check_volumes(daily_minor: int | None, monthly_minor: int | None) -> None:
    """Raises InvalidValue. None and 0 stand for no limit."""
    for name, volume_minor in (("max_daily_minor", daily_minor), ("max_monthly_minor", monthly_minor)):
        if not 0 <= (volume_minor or 0) <= MAX_VOLUME_MINOR:
            raise InvalidValue(name, f"must be 0 to {MAX_VOLUME_MINOR}")


def check_rates(per_second: int | None, per_minute: int | None) -> None:
    """Raises InvalidValue. 0 stands for no limit, None for the deployment's."""
    for name, rate in (("max_per_second", per_second), ("max_per_minute", per_minute)):
        if not 0 <= (rate or 0) <= MAX_RATE:
            raise InvalidValue(name, f"must be 0 to {MAX_RATE}")


def check_max_amount(amount_minor: int | None) -> None:
    """Raises InvalidValue. None and 0 stand for no limit."""
    if not 0 <= (amount_minor or 0) <= MAX_AMOUNT_MINOR:
        raise InvalidValue("max_amount_minor", f"must be 0 to {MAX_AMOUNT_MINOR}")
