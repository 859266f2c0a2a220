"""Why something was refused, or failed. Pure.

Errors carry a reason, and the row of a failed payment, refund or reversal keeps one. What a merchant receives for it is
decided by the merchant's dialect (`qfpay/reasons.py`).
"""

from enum import StrEnum


class Reason(StrEnum):
    """A closed set. The values are stored: rename none."""

    # ---- the request
    UNREADABLE = "unreadable"  #: no form, or above a limit
    BAD_PARAMETER = "bad_parameter"  #: missing, malformed, or sent twice with different values
    RANGE_SPANS_MONTHS = "range_spans_months"  #: of a query
    NOT_AUTHENTIC = "not_authentic"

    # ---- the gateway
    OUT_OF_SERVICE = "out_of_service"
    UNDER_MAINTENANCE = "under_maintenance"
    RATE_LIMITED = "rate_limited"

    # ---- the merchant
    MERCHANT_NOT_NAMED = "merchant_not_named"  #: the app has several and no default
    MERCHANT_DISABLED = "merchant_disabled"
    MERCHANT_NOT_APPROVED = "merchant_not_approved"
    OPERATION_DENIED = "operation_denied"
    NO_ACCOUNT = "no_account"  #: at any wallet
    PAY_TYPE_NOT_GRANTED = "pay_type_not_granted"  #: or it does not exist
    BAD_APPLICATION = "bad_application"  #: a field or a file of it, or the business has signed up before
    DOCUMENT_REPEATED = "document_repeated"
    DOCUMENTS_UNAVAILABLE = "documents_unavailable"  #: the folder of documents
    OTHER_CURRENCY = "other_currency"  #: not the merchant's

    # ---- the payment
    NO_SUCH_PAYMENT = "no_such_payment"
    NOT_ALLOWED = "not_allowed"  #: by its state or its pay type
    REFERENCE_REUSED = "reference_reused"  #: for other content
    ORDER_EXPIRED = "order_expired"
    FULL_REFUND_ONLY = "full_refund_only"
    TOO_LATE_TO_REVERSE = "too_late_to_reverse"  #: a refund may still be possible
    PARTLY_REFUNDED = "partly_refunded"  #: so it cannot be reversed any more

    # ---- the wallet
    WALLET_UNREACHABLE = "wallet_unreachable"  #: nothing was sent

    # ---- refusals by the wallet, or by us for the same reason: the values of `channels/outcomes.py:Refusal`
    PAYER_BALANCE = "payer_balance"
    PAYER_CODE = "payer_code"
    PAYER_CODE_EXPIRED = "payer_code_expired"
    OTHER_WALLETS_CODE = "other_wallets_code"
    PAYER_CANCELLED = "payer_cancelled"
    PAYER_ACCOUNT = "payer_account"
    PAYER_BANK = "payer_bank"
    SWIPE_FAILED = "swipe_failed"
    CARD_KIND = "card_kind"
    AMOUNT_LIMIT = "amount_limit"
    RISK = "risk"
    BAD_REQUEST = "bad_request"
    OUR_IDENTITY = "our_identity"
    OUR_CERTIFICATE = "our_certificate"
    MERCHANT_SETUP = "merchant_setup"
    WALLET_CLOSED = "wallet_closed"
    NUMBER_REUSED = "number_reused"
    ORDER_CLOSED = "order_closed"
    NO_SUCH_TRADE = "no_such_trade"
    WRONG_STATE = "wrong_state"
    MISMATCH = "mismatch"
    WINDOW_OVER = "window_over"
    ABOVE_REMAINDER = "above_remainder"
    ALREADY_REFUNDED = "already_refunded"
    MERCHANT_BALANCE = "merchant_balance"
    REVERSAL_REFUSED = "reversal_refused"
    CLOSE_REFUSED = "close_refused"
    OTHER = "other"
