"""Outcomes: a wallet's responses and notices in the gateway's own terms, the same for every wallet.

Channels produce them; `payment`, `refund` and `reversal` decide on them. Unknown is a result: `Unknown` and `NotSent`
are outcomes like the others, and never a refusal.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from tael.base.money import Money


class Refusal(StrEnum):
    """Why a wallet explicitly refused. Each has a `Reason` of the same name."""

    PAYER_BALANCE = "payer_balance"  #: the payer has too little money
    PAYER_CODE = "payer_code"  #: the payer's code is unreadable, unknown or used
    PAYER_CODE_EXPIRED = "payer_code_expired"
    OTHER_WALLETS_CODE = "other_wallets_code"
    PAYER_CANCELLED = "payer_cancelled"
    PAYER_ACCOUNT = "payer_account"
    PAYER_BANK = "payer_bank"
    SWIPE_FAILED = "swipe_failed"  #: WeChat declined a barcode payment
    CARD_KIND = "card_kind"  #: the order forbids the payer's kind of card
    AMOUNT_LIMIT = "amount_limit"
    RISK = "risk"
    BAD_REQUEST = "bad_request"  #: the wallet rejects our request as malformed: our fault
    OUR_IDENTITY = "our_identity"  #: the wallet refuses our signature or merchant number: incident
    OUR_CERTIFICATE = "our_certificate"  #: incident
    MERCHANT_SETUP = "merchant_setup"  #: the merchant is not set up at the wallet for this: incident
    WALLET_CLOSED = "wallet_closed"  #: the wallet's service is switched off; nothing happened
    NUMBER_REUSED = "number_reused"  #: our order number belongs to another order there: incident
    ORDER_CLOSED = "order_closed"
    NO_SUCH_TRADE = "no_such_trade"
    WRONG_STATE = "wrong_state"
    MISMATCH = "mismatch"  #: currency or owner differs from the payment's
    WINDOW_OVER = "window_over"  #: too late for a refund or reversal
    ABOVE_REMAINDER = "above_remainder"  #: above the refundable amount
    ALREADY_REFUNDED = "already_refunded"
    MERCHANT_BALANCE = "merchant_balance"
    REVERSAL_REFUSED = "reversal_refused"
    CLOSE_REFUSED = "close_refused"
    OTHER = "other"  #: any other explicit refusal


# ---- pay data: what the payer opens or scans ---------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class PayLink:
    """The wallet's page that the payer opens."""

    url: str
    creates_order: bool = True  #: the order exists at the wallet only once a payer has opened the page
    valid_until: datetime | None = None  #: then the wallet gives another link for the same order


@dataclass(frozen=True, slots=True)
class PayCode:
    """A text that the payer scans as a QR code."""

    text: str


@dataclass(frozen=True, slots=True)
class PayParams:
    """Parameters, signed by us, that the merchant's page, mini program or app passes to the wallet unchanged."""

    params: Mapping[str, str]


# ---- payments ----------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Paid:
    """The payer's money moved."""

    amount: Money | None  #: in the price's currency; None if the wallet does not report it
    wallet_ref: str  #: the wallet's own number of the trade; quote it in disputes
    payer_ref: str  #: the payer's id at the wallet
    paid_at: datetime  #: by the wallet's clock, in UTC


@dataclass(frozen=True, slots=True)
class AwaitingPayer:
    """The order exists and may still be paid."""

    pay: PayLink | PayCode | PayParams | None = None


@dataclass(frozen=True, slots=True)
class Refused:
    """The wallet explicitly refused: this request changed nothing there and never will."""

    reason: Refusal
    wallet_code: str  #: the wallet's error code, kept verbatim for support


@dataclass(frozen=True, slots=True)
class Closed:
    """The wallet will take no more money for this order."""

    wallet_ref: str = ""


@dataclass(frozen=True, slots=True)
class NotSent:
    """No byte of the request was sent, so nothing happened at the wallet."""

    reason: str


@dataclass(frozen=True, slots=True)
class Unknown:
    """A timeout, an invalid signature or an undocumented response: query again."""

    reason: str
    no_such_order: bool = (
        False  #: the wallet has no such order (or refund) yet; a request may still be on its way
    )
    needs_reversal: bool = False  #: the payment failed there, but only a reversal makes that final


Outcome = Paid | AwaitingPayer | Refused | Closed | NotSent | Unknown

# ---- payers ------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class PayerOpenid:
    """The payer's id under the merchant's own account at the wallet."""

    openid: str


OpenidOutcome = PayerOpenid | Refused | NotSent | Unknown

# ---- reversals ---------------------------------------------------------------------------------------------------


class ReversalAction(StrEnum):
    """What a reversal did at the wallet."""

    CLOSED = "closed"  #: the order was unpaid (or never created) and can no longer be paid
    REFUNDED = "refunded"  #: the order was paid and its money was returned
    DONE = "done"  #: reversed, but the wallet does not report which of the two
    BY_REFUND = "refunded_by_refund"  #: too late to reverse: refunded in full, as the wallet then requires


@dataclass(frozen=True, slots=True)
class Reversed:
    """The order is reversed at the wallet."""

    action: ReversalAction
    wallet_ref: str = ""


@dataclass(frozen=True, slots=True)
class Again:
    """The wallet could not finish and wants the same request repeated."""

    reason: str


ReversalOutcome = Reversed | Again | Refused | NotSent | Unknown

# ---- refunds -----------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Refunded:
    """The wallet reports the refund as done."""

    amount: Money | None  #: None if the wallet does not report it
    wallet_ref: str  #: the wallet's own number of the refund; "" if it has none
    refunded_at: datetime | None  #: by the wallet's clock, in UTC; None if it does not report it


@dataclass(frozen=True, slots=True)
class RefundPending:
    """The wallet accepted the refund and has not finished it."""

    wallet_ref: str = ""


@dataclass(frozen=True, slots=True)
class RefundStuck:
    """The money left the payment but could not reach the payer (WeChat's CHANGE); needs manual review."""

    wallet_code: str


RefundOutcome = Refunded | RefundPending | RefundStuck | Refused | NotSent | Unknown
