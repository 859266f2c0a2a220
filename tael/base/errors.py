"""What the gateway says no to, each with its code and with whether asking again can help.

Raised by `service` and `api`, turned into an answer in one place, `api/app.py`. Expected answers of a
wallet are outcomes, not errors. The docstring of each class is written for the developer who receives its
code.
"""

import re
from enum import StrEnum
from typing import Final, Self

from tael.base import respcd as codes

#: What a parameter may be called for its name to be repeated in an answer.
SPEAKABLE: Final = re.compile(r"[A-Za-z0-9_.-]{1,64}")


class Retry(StrEnum):
    """Whether the same request, with the same reference, is worth sending again."""

    NEVER = "never"
    LATER = "later"
    QUERY = "query"  #: not before a query has said what became of it


class TaelError(Exception):
    """A refusal of ours. `english` is for the developer and defaults to the meaning of the code."""

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
        self.resperr = resperr  #: for the payer or cashier, where the code's usual text does not fit
        self.reference = reference  #: the merchant's number, to be repeated in the answer
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
        """Clients look for this very text, so it is not in English."""
        return cls(f"必传参数: {name}", field=name)

    @classmethod
    def malformed(cls, name: str, why: str) -> Self:
        """`why` continues the sentence that begins with the name: "must be …"."""
        subject = name if SPEAKABLE.fullmatch(name) else "a parameter"
        return cls(f"{subject} {why}", field=name)


class NoChannel(TaelError):
    """This merchant has not been granted this pay_type, or the pay_type does not exist."""

    respcd, retry = codes.BAD_FIELD, Retry.NEVER

    def __init__(self) -> None:
        super().__init__("filter_error", resperr="获取用户支付通道失败")


class NotAuthentic(TaelError):
    """The signature is wrong or was made for something else, or the appcode or its mchid is not known."""

    respcd, retry = codes.BAD_SIGNATURE, Retry.NEVER

    def __init__(self, english: str = "", *, cause: str = "", is_app_known: bool = True) -> None:
        super().__init__(english)
        self.cause = cause or self.english  #: for the operator's log, never in an answer
        self.is_app_known = is_app_known


class OutOfService(TaelError):
    """The gateway cannot serve this now. Send the same request again a little later."""

    respcd, retry = codes.OUT_OF_SERVICE, Retry.LATER


class UnderMaintenance(TaelError):
    """A stop was planned; nothing was created. Queries go on; send the same request again when it is over."""

    respcd, retry = codes.MAINTENANCE, Retry.LATER


# ---- the merchant ------------------------------------------------------------------------------------------


class MerchantDisabled(TaelError):
    """The operator has disabled this merchant."""

    respcd, retry = codes.USER_BLOCKED, Retry.NEVER


class MerchantNotAudited(TaelError):
    """The merchant has signed up and is not approved yet."""

    respcd, retry = codes.NOT_AUDITED, Retry.NEVER


class OperationDenied(TaelError):
    """The operator lets this merchant not do this; respmsg names the operation."""

    respcd, retry = codes.DENIED, Retry.NEVER


class NotSetUp(TaelError):
    """The merchant has no account at any wallet yet; call the operator."""

    respcd, retry = codes.SETUP, Retry.NEVER


class CurrencyRefused(TaelError):
    """txcurrcd is not the merchant's currency; leave it out or correct it."""

    respcd, retry = codes.CURRENCY, Retry.NEVER


class AmountRefused(TaelError):
    """The amount is above a limit of the merchant's."""

    respcd, retry = codes.AMOUNT, Retry.NEVER


# ---- the payment that is meant -----------------------------------------------------------------------------


class NotFound(TaelError):
    """No payment of this merchant has this number, or what has it cannot be closed, reversed or refunded."""

    respcd, retry = codes.NOT_FOUND, Retry.NEVER


class NotAllowed(TaelError):
    """The payment's state or its pay_type does not allow this."""

    respcd, retry = codes.NOT_ALLOWED, Retry.NEVER


class Mismatch(TaelError):
    """The numbers or the amount given do not belong to one and the same payment."""

    respcd, retry = codes.MISMATCH, Retry.NEVER


class ReferenceReused(TaelError):
    """This reference already names a payment or refund with other content; use a new reference."""

    respcd, retry = codes.REPEATED, Retry.NEVER


class OrderClosed(TaelError):
    """The order was closed and takes no money; use a new reference."""

    respcd, retry = codes.CLOSED, Retry.NEVER


class OrderExpired(TaelError):
    """The order was not paid in time; use a new reference."""

    respcd, retry = codes.EXPIRED, Retry.NEVER


class AlreadyRefunded(TaelError):
    """Nothing is left to refund."""

    respcd, retry = codes.ALREADY_REFUNDED, Retry.NEVER


class OverRefund(TaelError):
    """The refund is above what is left of the payment."""

    respcd, retry = codes.OVER_REFUND, Retry.NEVER


class FullOnly(TaelError):
    """The merchant's contract with the wallet allows no partial refunds; refund the whole."""

    respcd, retry = codes.FULL_ONLY, Retry.NEVER


class WindowOver(TaelError):
    """The payment is too old to be refunded."""

    respcd, retry = codes.WINDOW_OVER, Retry.NEVER


# ---- the wallet --------------------------------------------------------------------------------------------


class WalletUnreachable(TaelError):
    """The wallet could not be reached; nothing was sent, so the same request may be sent again."""

    respcd, retry = codes.UNREACHABLE, Retry.LATER


RETRY_OF: Final = {
    codes.Client.DONE: Retry.NEVER,
    codes.Client.PENDING: Retry.QUERY,
    codes.Client.RETRY: Retry.LATER,
    codes.Client.UNKNOWN: Retry.QUERY,
    codes.Client.FINAL: Retry.NEVER,
}


class WalletRefused(TaelError):
    """The wallet said no; the code says why."""

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


# ---- ours --------------------------------------------------------------------------------------------------


class InvalidTransition(Exception):
    """A state was asked to become one that it cannot become: a mistake of ours, never an answer."""
