"""The numbers that WeChat Pay assigns, and its formats of times.

Dates inside numbers are in Beijing time. The random part is long enough to rule out collisions.
"""

import base64
import hashlib
import hmac
import secrets
import string
from datetime import date, datetime
from typing import Final

from tael_sandbox.clock import BEIJING, bjt

#: Later date arithmetic cannot overflow within these years.
BELIEVABLE_YEARS: Final = range(2000, 2200)
QR_PREFIX: Final = "weixin://wxpay/bizpayurl?pr="
SHORT_PREFIX: Final = "weixin://wxpay/s/"
_ALPHANUMERIC: Final = string.ascii_letters + string.digits


def transaction_id(now: datetime) -> str:
    """28 digits with the date in the middle."""
    return "4200" + _digits(6) + f"{bjt(now):%Y%m%d}" + _digits(10)


def refund_id(now: datetime) -> str:
    """28 digits."""
    return "50" + _digits(6) + f"{bjt(now):%Y%m%d}" + _digits(12)


def prepay_id(now: datetime) -> str:
    return "wx" + wire_time(now) + secrets.token_hex(10)


def code_url() -> str:
    """The content of a NATIVE QR code."""
    return QR_PREFIX + "".join(secrets.choice(_ALPHANUMERIC) for _ in range(7))


def short_url() -> str:
    return SHORT_PREFIX + "".join(secrets.choice(_ALPHANUMERIC) for _ in range(10))


def mweb_package() -> str:
    """10 digits, which tell apart the links of one MWEB order."""
    return _digits(10)


def nonce() -> str:
    return "".join(secrets.choice(_ALPHANUMERIC) for _ in range(32))


def openid(secret: bytes, payer: str, appid: str) -> str:
    """A payer's id under one appid: 28 characters, unlinkable to the payer's ids under other appids."""
    digest = hmac.new(secret, f"{payer}\n{appid}".encode(), hashlib.sha256).digest()
    return "o" + base64.urlsafe_b64encode(digest).decode()[:27]


def wire_time(at: datetime) -> str:
    """`yyyyMMddHHmmss` in UTC+8."""
    return f"{bjt(at):%Y%m%d%H%M%S}"


def readable_time(at: datetime) -> str:
    """`yyyy-MM-dd HH:mm:ss` in UTC+8, the format of refunds."""
    return f"{bjt(at):%Y-%m-%d %H:%M:%S}"


def read_wire_time(text: str) -> datetime:
    """Raises ValueError for an invalid date."""
    return datetime.strptime(text, "%Y%m%d%H%M%S").replace(tzinfo=BEIJING)


def read_wire_day(text: str) -> date:
    """Raises ValueError for an invalid date, or a year outside `BELIEVABLE_YEARS`."""
    day = datetime.strptime(text, "%Y%m%d").replace(tzinfo=BEIJING).date()
    if day.year not in BELIEVABLE_YEARS:
        raise ValueError(f"not a day of business: {text}")
    return day


def _digits(count: int) -> str:
    return "".join(secrets.choice(string.digits) for _ in range(count))
