"""Who calls and whose money it is: apps (developers) and merchants."""

from dataclasses import dataclass
from enum import StrEnum
from typing import Final, Literal

from tael.base.secret import Secret

#: QFPay prints it in its documentation, with an appcode and a mchid. Everybody can sign with it.
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
    WAITING = "waiting"  #: for its audit


class Operation(StrEnum):
    """What a merchant's call does to money; a query does nothing, and can always be made."""

    PAYMENT = "payment"
    REFUND = "refund"
    REVERSAL = "reversal"
    CLOSE = "close"


@dataclass(frozen=True, slots=True)
class App:
    """A developer's credentials and settings. One notify URL and one return URL, whatever its pay types."""

    appcode: str
    key: Secret
    notify_url: str | None
    return_url: str | None
    webhook_style: Style = Style.NEW
    sha256_only: bool = False  #: refuse MD5 signatures
    notify_offline: bool = False  #: webhooks for barcode payments as well
    include_currency: bool = True  #: `txcurrcd` of query rows; off gives "" as QFPay once did
    cancel_codes_v2: bool = False  #: `cancel` of query rows as later documents have it: 3 refunded, 5 in part
    include_goods_name: bool = False  #: in query rows; one client breaks on quotes inside values
    quick_retries: bool = True  #: webhooks are first repeated four times after 30 s
    close_requires_amount: bool = False  #: so that no captured query closes an order
    max_request_age_s: int | None = None  #: of the signed `txdtm`, into the past and into the future
    sha256_responses: bool = False  #: sign answers and new-style webhooks by SHA256; QFPay signs by MD5
    allowed_addresses: tuple[str, ...] = ()  #: networks (CIDR) that requests may come from; empty for any

    @property
    def response_algorithm(self) -> Algorithm:
        """What answers and new-style webhooks are signed with. Old-style webhooks know MD5 only."""
        return "SHA256" if self.sha256_responses else "MD5"


@dataclass(frozen=True, slots=True)
class Merchant:
    """Who gets the money. `max_amount_minor` is the largest payment it may take, None for no limit."""

    mchid: str
    appcode: str
    name: str
    currency: str
    state: MerchantState = MerchantState.ACTIVE
    is_default: bool = False
    max_amount_minor: int | None = None
    denied: frozenset[Operation] = frozenset()  #: by the operator
