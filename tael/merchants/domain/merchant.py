"""Apps (a developer's credentials and settings) and merchants (who receives the money)."""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Final, Literal

from tael.base.secret import Secret

#: Printed in QFPay's documentation, with an appcode and an mchid, so anyone can sign with it.
PUBLISHED_KEY: Final = "123456"

Algorithm = Literal["MD5", "SHA256"]


class Style(StrEnum):
    """Which generation of webhooks an app's receiver understands."""

    OLD = "old"
    NEW = "new"


class MerchantState(StrEnum):
    """Whether a merchant may take payments."""

    ACTIVE = "active"
    DISABLED = "disabled"
    WAITING = "waiting"  #: not approved yet
    REFUSED = "refused"  #: its application was refused


#: The states of a merchant that has not been approved.
UNAPPROVED: Final = frozenset({MerchantState.WAITING, MerchantState.REFUSED})


class Operation(StrEnum):
    """What the operator can deny to a merchant. Queries are always allowed."""

    PAYMENT = "payment"
    REFUND = "refund"
    REVERSAL = "reversal"
    CLOSE = "close"


class UnmatchedPolicy(StrEnum):
    """What happens to an unmatched payment once the wallet's own record has confirmed it."""

    HOLD = "hold"  #: it is booked, and an operator decides
    RETURN = "return"  #: it is booked and returned to the payer


@dataclass(frozen=True, slots=True)
class PreviousKey:
    """A key that was replaced, with the end of the overlap in which it is still accepted (UTC)."""

    key: Secret
    until: datetime


@dataclass(frozen=True, slots=True)
class App:
    """A developer's credentials and settings. One notify URL and one return URL serve all pay types."""

    appcode: str
    key: Secret
    notify_url: str | None
    return_url: str | None
    webhook_style: Style = Style.NEW
    sha256_only: bool = False  #: refuse MD5 signatures
    notify_offline: bool = False  #: send webhooks for barcode payments too
    include_currency: bool = True  #: `txcurrcd` in query rows; if false it is "", as QFPay once did
    cancel_codes_v2: bool = False  #: `cancel` in query rows as in later documents: 3 refunded, 5 in part
    include_goods_name: bool = False  #: in query rows; one client breaks on quotes inside values
    include_settlement: bool = False  #: `date_settlement` and `refundable_until` in query rows
    quick_retries: bool = True  #: retry webhooks four times at 30 s intervals first
    close_requires_amount: bool = False  #: so that a captured query cannot be replayed as a close
    max_request_age_s: int | None = None  #: limit on the signed `txdtm`, in the past and in the future
    sha256_responses: bool = False  #: sign responses and new-style webhooks with SHA256; QFPay uses MD5
    allowed_addresses: tuple[str, ...] = ()  #: networks (CIDR) that may send requests; empty for any
    redirect_uris: tuple[str, ...] = ()  #: to which OAuth may send a user's browser; empty if OAuth is off
    signup_currency: str | None = None  #: of merchants that the app signs up; None if it may not sign up any
    previous_key: PreviousKey | None = None  #: of the last rotation, also after its overlap
    is_disabled: bool = False  #: none of its merchants may take payments

    def keys(self, now: datetime) -> tuple[Secret, ...]:
        """The keys with which requests and links may be signed: the current one, and during an overlap the previous."""
        previous = self.previous_key
        return (self.key, previous.key) if previous and now < previous.until else (self.key,)

    def webhook_key(self, now: datetime) -> Secret:
        """Signs webhooks. A receiver learns the new key during the overlap, so the previous one is used to its end."""
        return self.keys(now)[-1]

    @property
    def response_algorithm(self) -> Algorithm:
        """Signs responses and new-style webhooks. Old-style webhooks always use MD5."""
        return "SHA256" if self.sha256_responses else "MD5"


@dataclass(frozen=True, slots=True)
class VolumeLimits:
    """The largest sums of a merchant's payments in a day and in a month (UTC+8), in minor units; None for no limit."""

    daily_minor: int | None = None
    monthly_minor: int | None = None


@dataclass(frozen=True, slots=True)
class Merchant:
    """Who receives the money. `max_amount_minor` is the largest payment it may take, None for no limit."""

    mchid: str
    appcode: str
    name: str
    currency: str
    state: MerchantState = MerchantState.ACTIVE
    is_default: bool = False
    cell: int = 0  #: where its money is; never changed
    max_amount_minor: int | None = None
    denied: frozenset[Operation] = frozenset()  #: by the operator
    unmatched_payments: UnmatchedPolicy = UnmatchedPolicy.HOLD
    max_per_second: int | None = None  #: requests; 0 for no limit, None for the deployment's
    max_per_minute: int | None = None  #: the same
    max_daily_minor: int | None = None  #: the largest sum of its payments in a day (UTC+8); None for no limit
    max_monthly_minor: int | None = None  #: in a month

    @property
    def volume_limits(self) -> VolumeLimits:
        return VolumeLimits(self.max_daily_minor, self.max_monthly_minor)
