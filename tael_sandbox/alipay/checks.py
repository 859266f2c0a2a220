"""Checks of single parameters, shared by the services.

Online services refuse a bad parameter with ILLEGAL_ARGUMENT, the acquire family with INVALID_PARAMETER.
"""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any, Final
from urllib.parse import urlsplit

from tael_sandbox.alipay.messages import Refused
from tael_sandbox.clock import BEIJING
from tael_sandbox.rates import CNY_PER_UNIT, exponent

ORDER_NUMBER: Final = re.compile(r"[A-Za-z0-9_]{1,64}")
DECIMAL: Final = re.compile(r"-?(0|[1-9][0-9]{0,11})(\.[0-9]{1,2})?")
URL_LENGTH: Final = 200
TIMESTAMP_TOLERANCE: Final = timedelta(minutes=30)
BELIEVABLE_YEARS: Final = range(2000, 2200)
DASHED: Final = "%Y-%m-%d %H:%M:%S"
COMPACT: Final = "%Y%m%d%H%M%S"
_MILLISECONDS: Final = re.compile(r"[0-9]{13}")
_TIME_SHAPES: Final = {DASHED: re.compile(r"\d{4}(-\d\d){2} \d\d(:\d\d){2}"), COMPACT: re.compile(r"\d{14}")}


@dataclass(frozen=True, slots=True)
class Parameters:
    """The non-empty parameters of one request, and the error code for a bad one."""

    fields: Mapping[str, str]
    fault: str

    def refuse(self) -> Refused:
        return Refused(self.fault)

    def text(self, name: str, max_length: int) -> str:
        value = self.optional(name, max_length)
        if value is None:
            raise self.refuse()
        return value

    def optional(self, name: str, max_length: int) -> str | None:
        value = self.fields.get(name)
        if value is not None and len(value) > max_length:
            raise self.refuse()
        return value

    def one_of(self, name: str, allowed: tuple[str, ...]) -> str:
        value = self.fields.get(name)
        if value not in allowed:
            raise self.refuse()
        return value

    def number(self, name: str) -> str:
        """An order or refund number."""
        value = self.fields.get(name, "")
        if not ORDER_NUMBER.fullmatch(value):
            raise self.refuse()
        return value

    def url(self, name: str) -> str | None:
        value = self.optional(name, URL_LENGTH)
        if value is not None and not _is_web_address(value):
            raise self.refuse()
        return value

    def currency(self, name: str = "currency") -> str:
        value = self.fields.get(name)
        if value is None:
            raise self.refuse()
        if value not in CNY_PER_UNIT:
            raise Refused("ILLEGAL_CURRENCY")
        return value

    def amount(self, name: str, currency: str, limit: str) -> int:
        """Minor units of `currency`, above zero and at most `limit` units."""
        minor = self.signed_amount(name, currency)
        if minor <= 0 or minor > Decimal(limit).scaleb(exponent(currency)):
            raise self.refuse()
        return minor

    def signed_amount(self, name: str, currency: str) -> int:
        """Like `amount` without the range, for which the cashier has its own error codes."""
        value = self.fields.get(name, "")
        if not DECIMAL.fullmatch(value) or ("." in value and exponent(currency) == 0):
            raise self.refuse()
        return int(Decimal(value).scaleb(exponent(currency)))

    def time(self, name: str, *shapes: str) -> datetime | None:
        """Beijing time in one of the shapes."""
        value = self.fields.get(name)
        if value is None:
            return None
        for shape in shapes:
            if _TIME_SHAPES[shape].fullmatch(value):
                try:
                    at = datetime.strptime(value, shape).replace(tzinfo=BEIJING)
                except ValueError:
                    break
                if at.year in BELIEVABLE_YEARS:  # later date arithmetic cannot overflow
                    return at.astimezone(UTC)
        raise self.refuse()

    def timestamp(self, name: str, now: datetime) -> None:
        """Milliseconds since 1970 or a time, at most half an hour from now. Raises Refused."""
        value = self.text(name, 20)
        if _MILLISECONDS.fullmatch(value):
            at = datetime.fromtimestamp(int(value) / 1000, UTC)
        else:
            at = self.time(name, DASHED) or now
        if abs(at - now) > TIMESTAMP_TOLERANCE:
            raise self.refuse()

    def json(self, name: str, kind: type, *, max_length: int = 4000) -> Any:
        """A JSON value of this type. Pages may write it with single quotes, since it is inside an attribute."""
        value = self.optional(name, max_length)
        if value is None:
            return None
        for spelling in (value, value.replace("'", '"')):
            try:
                read = json.loads(spelling)
            except (ValueError, RecursionError):
                continue
            if isinstance(read, kind):
                return read
        raise self.refuse()


def _is_web_address(value: str) -> bool:
    try:
        parts = urlsplit(value)
        return parts.scheme in ("http", "https") and bool(parts.hostname) and (parts.port or 1) > 0
    except ValueError:
        return False
