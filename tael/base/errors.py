"""The gateway's refusals, each with its response code and whether a retry can help.

`api/pipeline.py` alone turns them into responses. A wallet's expected responses are outcomes, not errors. The docstring
of each class addresses the developer who receives its code.
"""

import re
from enum import StrEnum
from typing import Final, Self

from tael.base import respcd as codes

#: Names of parameters that a response may echo.
ECHOED_NAME: Final = re.compile(r"[A-Za-z0-9_.-]{1,64}")


class Retry(StrEnum):
    """Whether the same request, with the same reference, is worth sending again."""

    NEVER = "never"
    LATER = "later"
    QUERY = "query"  #: only after a query has shown the outcome


class TaelError(Exception):
    """A refusal by the gateway. `english` is for the developer and defaults to the meaning of the code."""

    respcd: str
    retry: Retry

    def __init__(
        self,
        english: str = "",
        *,
        resperr: str | None = None,
        reference: str | None = None,
        orig_syssn: str | None = None,
    ) -> None:
        self.english = english or codes.TABLE[self.respcd].english
        self.resperr = resperr  #: for the payer or cashier, if the code's usual text does not fit
        self.reference = reference  #: the merchant's number, echoed in the response
        self.orig_syssn = orig_syssn
        super().__init__(f"{self.respcd} {self.english}")


# ---- the request -------------------------------------------------------------------------------------------


class UnreadableMessage(TaelError):
    """The body is not a form: send parameters as a form, in the query string, or as multipart, in UTF-8."""

    respcd, retry = codes.BAD_MESSAGE, Retry.NEVER


class BadField(TaelError):
    """A parameter is missing, malformed, or was sent twice with different values; respmsg names it."""

    respcd, retry = codes.BAD_FIELD, Retry.NEVER

    def __init__(self, english: str, *, field: str) -> None:
        super().__init__(english)
        self.field = field

    @classmethod
    def missing(cls, name: str) -> Self:
        """Clients match this exact text, so it is not in English."""
        return cls(f"必传参数: {name}", field=name)

    @classmethod
    def malformed(cls, name: str, why: str) -> Self:
        """`why` follows the parameter's name: "must be …"."""
        subject = name if ECHOED_NAME.fullmatch(name) else "a parameter"
        return cls(f"{subject} {why}", field=name)


class NoChannel(TaelError):
    """This merchant has not been granted this pay_type, or the pay_type does not exist."""

    respcd, retry = codes.BAD_FIELD, Retry.NEVER

    def __init__(self) -> None:
        super().__init__("filter_error", resperr="获取用户支付通道失败")


class NotAuthentic(TaelError):
    """The signature is wrong or was made for another request, or the appcode or its mchid is unknown."""

    respcd, retry = codes.BAD_SIGNATURE, Retry.NEVER

    def __init__(self, english: str = "", *, cause: str = "", is_app_known: bool = True) -> None:
        super().__init__(english)
        self.cause = cause or self.english  #: for the operator's log, never in a response
        self.is_app_known = is_app_known


class OutOfService(TaelError):
    """The gateway cannot serve this now. Send the same request again a little later."""

    respcd, retry = codes.OUT_OF_SERVICE, Retry.LATER


class UnderMaintenance(TaelError):
    """A maintenance window is open; nothing was created. Queries still work; send the same request again afterwards."""

    respcd, retry = codes.MAINTENANCE, Retry.LATER


# ---- the merchant ------------------------------------------------------------------------------------------


class MerchantDisabled(TaelError):
    """The operator has disabled this merchant."""

    respcd, retry = codes.USER_BLOCKED, Retry.NEVER


class MerchantNotAudited(TaelError):
    """The merchant has signed up and is not approved yet."""

    respcd, retry = codes.NOT_AUDITED, Retry.NEVER


class OperationDenied(TaelError):
    """The operator denies this operation to the merchant; respmsg names the operation."""

    respcd, retry = codes.DENIED, Retry.NEVER


class NotSetUp(TaelError):
    """The merchant has no account at any wallet yet; contact the operator."""

    respcd, retry = codes.SETUP, Retry.NEVER


class CurrencyRefused(TaelError):
    """txcurrcd is not the merchant's currency; leave it out or correct it."""

    respcd, retry = codes.CURRENCY, Retry.NEVER


class AmountRefused(TaelError):
    """The amount is above the merchant's limit."""

    respcd, retry = codes.AMOUNT, Retry.NEVER


# ---- the payment -------------------------------------------------------------------------------------------


class NotFound(TaelError):
    """This merchant has no payment with this number, or it cannot be closed, reversed or refunded."""

    respcd, retry = codes.NOT_FOUND, Retry.NEVER


class NotAllowed(TaelError):
    """The payment's state or its pay_type does not allow this."""

    respcd, retry = codes.NOT_ALLOWED, Retry.NEVER


class Mismatch(TaelError):
    """The given numbers or the amount do not belong to the same payment."""

    respcd, retry = codes.MISMATCH, Retry.NEVER


class ReferenceReused(TaelError):
    """This reference already belongs to a payment or refund with different content; use a new reference."""

    respcd, retry = codes.REPEATED, Retry.NEVER


class OrderClosed(TaelError):
    """The order is closed and cannot be paid; use a new reference."""

    respcd, retry = codes.CLOSED, Retry.NEVER


class OrderExpired(TaelError):
    """The order was not paid in time; use a new reference."""

    respcd, retry = codes.EXPIRED, Retry.NEVER


class AlreadyRefunded(TaelError):
    """Nothing is left to refund."""

    respcd, retry = codes.ALREADY_REFUNDED, Retry.NEVER


class OverRefund(TaelError):
    """The refund is above the refundable amount of the payment."""

    respcd, retry = codes.OVER_REFUND, Retry.NEVER


class FullOnly(TaelError):
    """The merchant's contract with the wallet allows no partial refunds; refund the full amount."""

    respcd, retry = codes.FULL_ONLY, Retry.NEVER


class WindowOver(TaelError):
    """The payment is too old to be refunded."""

    respcd, retry = codes.WINDOW_OVER, Retry.NEVER


# ---- the wallet --------------------------------------------------------------------------------------------


class WalletUnreachable(TaelError):
    """The wallet could not be reached and nothing was sent, so the same request may be sent again."""

    respcd, retry = codes.UNREACHABLE, Retry.LATER


RETRY_OF: Final = {
    codes.Client.DONE: Retry.NEVER,
    codes.Client.PENDING: Retry.QUERY,
    codes.Client.RETRY: Retry.LATER,
    codes.Client.UNKNOWN: Retry.QUERY,
    codes.Client.FINAL: Retry.NEVER,
}


class WalletRefused(TaelError):
    """The wallet refused; the code gives the reason."""

    def __init__(
        self,
        respcd: str,
        english: str = "",
        *,
        reference: str | None = None,
        orig_syssn: str | None = None,
    ) -> None:
        self.respcd = respcd
        self.retry = RETRY_OF[codes.TABLE[respcd].client]
        super().__init__(english, reference=reference, orig_syssn=orig_syssn)


# ---- internal ----------------------------------------------------------------------------------------------


class InvalidTransition(Exception):
    """A state transition that the state machine does not allow: a bug, never sent to a client."""
