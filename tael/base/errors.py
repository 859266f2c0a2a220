"""The gateway's refusals, each with its reason.

`api/pipeline.py` alone turns them into responses; a merchant's dialect has the codes and texts. A wallet's expected
responses are outcomes, not errors. The docstring of each class addresses the developer who receives the refusal.
"""

from tael.base.reasons import Reason


class TaelError(Exception):
    """A refusal by the gateway. `english` is for the developer; "" if the reason says enough."""

    reason: Reason

    def __init__(
        self, english: str = "", *, reference: str | None = None, payment_syssn: str | None = None
    ) -> None:
        self.english = english
        self.reference = reference  #: the merchant's number, echoed in the response
        self.payment_syssn = payment_syssn  #: our number of the payment in question
        super().__init__(f"{self.reason} {english}".rstrip())


# ---- the request -------------------------------------------------------------------------------------------


class NotAuthentic(TaelError):
    """The signature is wrong or was made for another request, or the appcode or its mchid is unknown."""

    reason = Reason.NOT_AUTHENTIC

    def __init__(self, english: str = "", *, cause: str = "", is_app_known: bool = True) -> None:
        super().__init__(english)
        self.cause = cause or self.english  #: for the operator's log, never in a response
        self.is_app_known = is_app_known


class OutOfService(TaelError):
    """The gateway cannot serve this now. Send the same request again a little later."""

    reason = Reason.OUT_OF_SERVICE


class Overloaded(OutOfService):
    """More calls than this process can work on; nothing was done. Send the same request again a little later."""


class UnderMaintenance(TaelError):
    """A maintenance window is open; nothing was created. Queries still work; send the same request again afterwards."""

    reason = Reason.UNDER_MAINTENANCE


class RateLimited(TaelError):
    """Too many requests; nothing was done. Send the same request again after `Retry-After` seconds."""

    reason = Reason.RATE_LIMITED

    def __init__(self, english: str, retry_after_s: int, limit: str) -> None:
        super().__init__(english)
        self.retry_after_s = retry_after_s
        self.limit = limit  #: which one


# ---- the merchant ------------------------------------------------------------------------------------------


class MerchantDisabled(TaelError):
    """The operator has disabled this merchant."""

    reason = Reason.MERCHANT_DISABLED


class MerchantNotAudited(TaelError):
    """The merchant has signed up and is not approved yet."""

    reason = Reason.MERCHANT_NOT_APPROVED


class MerchantNotNamed(TaelError):
    """The app has several merchants and no default one: name the merchant."""

    reason = Reason.MERCHANT_NOT_NAMED


class OperationDenied(TaelError):
    """The operator denies this operation to the merchant; respmsg names the operation."""

    reason = Reason.OPERATION_DENIED


class NotSetUp(TaelError):
    """The merchant has no account at any wallet yet; contact the operator."""

    reason = Reason.NO_ACCOUNT


class NoChannel(TaelError):
    """This merchant has not been granted this pay_type, or the pay_type does not exist."""

    reason = Reason.PAY_TYPE_NOT_GRANTED


class OtherWalletsCode(TaelError):
    """No account of the merchant belongs to a wallet whose payers show such a code."""

    reason = Reason.OTHER_WALLETS_CODE


class CurrencyRefused(TaelError):
    """txcurrcd is not the merchant's currency; leave it out or correct it."""

    reason = Reason.OTHER_CURRENCY


class AmountRefused(TaelError):
    """The amount is above the merchant's limit."""

    reason = Reason.AMOUNT_LIMIT


class ApplicationRefused(TaelError):
    """A field or a file of the application is missing or wrong, or this business has signed up before."""

    reason = Reason.BAD_APPLICATION


class DocumentRepeated(TaelError):
    """Every file of this upload is stored already."""

    reason = Reason.DOCUMENT_REPEATED


class DocumentsUnavailable(TaelError):
    """Files cannot be stored now, and nothing was stored. Send the same request again later."""

    reason = Reason.DOCUMENTS_UNAVAILABLE


# ---- the payment -------------------------------------------------------------------------------------------


class NotFound(TaelError):
    """This merchant has no payment with this number, or it cannot be closed, reversed or refunded."""

    reason = Reason.NO_SUCH_PAYMENT


class NotAllowed(TaelError):
    """The payment's state or its pay_type does not allow this."""

    reason = Reason.NOT_ALLOWED


class Mismatch(TaelError):
    """The given numbers or the amount do not belong to the same payment."""

    reason = Reason.MISMATCH


class RangeSpansMonths(TaelError):
    """A query covers one calendar month of UTC+8."""

    reason = Reason.RANGE_SPANS_MONTHS


class ReferenceReused(TaelError):
    """This reference already belongs to a payment or refund with different content; use a new reference."""

    reason = Reason.REFERENCE_REUSED


class OrderClosed(TaelError):
    """The order is closed and cannot be paid; use a new reference."""

    reason = Reason.ORDER_CLOSED


class OrderExpired(TaelError):
    """The order was not paid in time; use a new reference."""

    reason = Reason.ORDER_EXPIRED


class AlreadyRefunded(TaelError):
    """Nothing is left to refund."""

    reason = Reason.ALREADY_REFUNDED


class OverRefund(TaelError):
    """The refund is above the refundable amount of the payment."""

    reason = Reason.ABOVE_REMAINDER


class FullOnly(TaelError):
    """The merchant's contract with the wallet allows no partial refunds; refund the full amount."""

    reason = Reason.FULL_REFUND_ONLY


class WindowOver(TaelError):
    """The payment is too old to be refunded."""

    reason = Reason.WINDOW_OVER


# ---- the wallet --------------------------------------------------------------------------------------------


class WalletUnreachable(TaelError):
    """The wallet could not be reached and nothing was sent, so the same request may be sent again."""

    reason = Reason.WALLET_UNREACHABLE


class WalletRefused(TaelError):
    """The wallet refused; the code gives the reason."""

    def __init__(
        self,
        reason: Reason,
        english: str = "",
        *,
        reference: str | None = None,
        payment_syssn: str | None = None,
    ) -> None:
        self.reason = reason
        super().__init__(english, reference=reference, payment_syssn=payment_syssn)


# ---- internal ----------------------------------------------------------------------------------------------


class InvalidTransition(Exception):
    """A state transition that the state machine does not allow: a bug, never sent to a client."""
