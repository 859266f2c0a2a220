"""Refusals of a request that is not in QFPay's form. They name its fields, so that a developer can correct it."""

import re
from typing import Final, Self

from tael.base.errors import TaelError
from tael.base.reasons import Reason

#: Names of parameters that a response may echo.
ECHOED_NAME: Final = re.compile(r"[A-Za-z0-9_.-]{1,64}")


class UnreadableMessage(TaelError):
    """The body is not a form: send parameters as a form, in the query string, or as multipart, in UTF-8."""

    reason = Reason.UNREADABLE


class BadField(TaelError):
    """A parameter is missing, malformed, or was sent twice with different values; respmsg names it."""

    reason = Reason.BAD_PARAMETER

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
