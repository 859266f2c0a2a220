"""What a wallet told us, in words of ours. The channels speak them, `payment`, `refund` and `reversal` decide on them.

Not knowing is a result: `Unknown` and `NotSent` are answers like the others, and never a refusal.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from tael.base.money import Money


class Refusal(StrEnum):
    """Why a wallet explicitly refused, the same words for every wallet. `respcd.py` says which code each becomes."""

    PAYER_BALANCE = "payer_balance"  #: the payer has too little money
    PAYER_CODE = "payer_code"  #: the payer's code is unreadable, unknown or used
    PAYER_CODE_EXPIRED = "payer_code_expired"
    OTHER_WALLETS_CODE = "other_wallets_code"
    PAYER_CANCELLED = "payer_cancelled"
    PAYER_ACCOUNT = "payer_account"
    PAYER_BANK = "payer_bank"
    SWIPE_FAILED = "swipe_failed"  #: WeChat declined a barcode payment
    CARD_KIND = "card_kind"  #: the order bars the kind of card that the payer has
    AMOUNT_LIMIT = "amount_limit"
    RISK = "risk"
    BAD_REQUEST = "bad_request"  #: the wallet rejects how we asked: our fault, alarm
    OUR_IDENTITY = "our_identity"  #: our signature or merchant number is refused: alarm
    OUR_CERTIFICATE = "our_certificate"
    MERCHANT_SETUP = "merchant_setup"  #: the merchant is not set up at the wallet for this: alarm
    WALLET_CLOSED = "wallet_closed"  #: the wallet's service is switched off; nothing happened
    NUMBER_REUSED = "number_reused"  #: our order number means something else there: alarm
    ORDER_CLOSED = "order_closed"
    NO_SUCH_TRADE = "no_such_trade"
    WRONG_STATE = "wrong_state"
    MISMATCH = "mismatch"  #: currency or owner differs from the payment's
    WINDOW_OVER = "window_over"  #: too late for a refund
    ABOVE_REMAINDER = "above_remainder"  #: more than is left to refund
    ALREADY_REFUNDED = "already_refunded"
    MERCHANT_BALANCE = "merchant_balance"
    REVERSAL_REFUSED = "reversal_refused"
    CLOSE_REFUSED = "close_refused"
    OTHER = "other"  #: an explicit refusal that has no word of its own


# ---- what the payer is given -------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class PayLink:
    """A page of the wallet's that the payer opens."""

    url: str


@dataclass(frozen=True, slots=True)
class PayCode:
    """A text that the payer scans as a QR code."""

    text: str


@dataclass(frozen=True, slots=True)
class BridgeParams:
    """What a page inside the wallet hands over to the wallet, signed by us for the wallet."""

    params: Mapping[str, str]


# ---- payments ----------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Paid:
    """The payer's money moved."""

    amount: Money | None  #: in the price's currency; None where the wallet does not say it
    wallet_ref: str  #: the wallet's own number; quote it in disputes
    payer_ref: str  #: who paid, by the wallet's id
    paid_at: datetime  #: by the wallet's clock, in UTC


@dataclass(frozen=True, slots=True)
class AwaitingPayer:
    """The order stands and may still be paid."""

    pay: PayLink | PayCode | BridgeParams | None = (
        None  #: what the payer opens, scans, or the page hands over
    )


@dataclass(frozen=True, slots=True)
class Refused:
    """The wallet's explicit no: this call changed nothing there and never will."""

    reason: Refusal
    wallet_code: str  #: theirs, kept verbatim for support


@dataclass(frozen=True, slots=True)
class Closed:
    """The wallet will take no more money for this order."""

    wallet_ref: str = ""


@dataclass(frozen=True, slots=True)
class NotSent:
    """No byte of the question left us, so nothing happened at the wallet."""

    reason: str


@dataclass(frozen=True, slots=True)
class Unknown:
    """A timeout, a bad signature, a word we have never seen: ask again."""

    reason: str
    no_such_order: bool = False  #: the wallet knows no such order (or refund); it may still come to know it
    needs_reversal: bool = False  #: it failed there, but only a reversal makes that final


Outcome = Paid | AwaitingPayer | Refused | Closed | NotSent | Unknown

# ---- reversals ---------------------------------------------------------------------------------------------------


class ReversalAction(StrEnum):
    """What a reversal did at the wallet."""

    CLOSED = "closed"  #: the order was unpaid (or never came to be) and can no longer be paid
    REFUNDED = "refunded"  #: the order was paid and its money went back
    DONE = "done"  #: the wallet says that it is undone, but not which of the two it was
    BY_REFUND = "refunded_by_refund"  #: too late to reverse: refunded whole, as the wallet then wants it


@dataclass(frozen=True, slots=True)
class Reversed:
    """The order is undone at the wallet."""

    action: ReversalAction
    wallet_ref: str = ""


@dataclass(frozen=True, slots=True)
class Again:
    """The wallet could not finish and asks for the same call again."""

    reason: str


ReversalOutcome = Reversed | Again | Refused | NotSent | Unknown

# ---- refunds -----------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Refunded:
    """The money is on its way back and the wallet says that it is done."""

    amount: Money | None  #: None where the wallet does not say it
    wallet_ref: str  #: the wallet's own number of the refund; "" where it has none
    refunded_at: datetime | None  #: by the wallet's clock, UTC; None where it does not say


@dataclass(frozen=True, slots=True)
class RefundPending:
    """The wallet accepted the refund and has not finished it."""

    wallet_ref: str = ""


@dataclass(frozen=True, slots=True)
class RefundStuck:
    """The money left the payment but could not reach the payer; somebody has to look (WeChat's CHANGE)."""

    wallet_code: str


RefundOutcome = Refunded | RefundPending | RefundStuck | Refused | NotSent | Unknown
