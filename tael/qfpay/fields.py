"""Reads single fields of verified parameters. Raises BadField, which names the field.

QFPay's names end here: results have the gateway's own names and units. An empty value counts as missing. Nothing is
compared with the database: a well-formed number may still be unknown.
"""

import json
import re
import unicodedata
from collections.abc import Callable, Mapping, Sequence
from datetime import date, datetime
from ipaddress import ip_address
from typing import Final
from urllib.parse import urlsplit

from tael.base.errors import NoChannel
from tael.base.moments import UTC8
from tael.base.pay_types import PAY_TYPES, PayType, Region
from tael.base.text import is_writable
from tael.payments.domain.payment import PayersSite
from tael.qfpay.errors import BadField

Params = Mapping[str, str]

#: Printable ASCII without the comma of lists, spaces, quotes, and the special characters of forms.
REFERENCE: Final = re.compile(r"""(?:(?![,&=%+"'\\])[!-~]){1,128}""")
SYSSN: Final = re.compile(r"[0-9]{1,40}")
AMOUNT: Final = re.compile(r"[1-9][0-9]{0,10}")
MOMENT: Final = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2} [0-9]{2}:[0-9]{2}:[0-9]{2}")
DAY: Final = re.compile(r"[0-9]{8}")
DAY_WITH_DASHES: Final = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")
PAY_TYPE: Final = re.compile(r"[0-9]{6}")
RESPCD: Final = re.compile(r"[0-9]{4}")
#: No legitimate client sends a longer number.
WHOLE_NUMBER: Final = re.compile(r"[0-9]{1,15}")

MCHID: Final = ("mchid", "Mchid", "mchntid")
#: The Chinese edition of QFPay's documents has the first of each, the English one the second.
DATE_START: Final = ("date_start", "Date_start", "Date_Start", "DATE_START")
DATE_END: Final = ("date_end", "Date_end", "Date_End", "DATE_END")
PRODUCT_NAME_MAX_LEN: Final = 256
VALID_TIME_MIN_S: Final = 300
#: 30 days, the maximum of Alipay's `order_valid_time`. WeChat Pay's codes end after two hours in any case.
VALID_TIME_MAX_S: Final = 2_592_000
MOMENT_MIN_YEAR: Final = 1970
MOMENT_MAX_YEAR: Final = 2999
EXPIRED_TIME_MIN: Final = 5
EXPIRED_TIME_MAX: Final = 120
PAGE_MAX: Final = 1_000_000_000
PAGE_SIZE_DEFAULT: Final = 10
PAGE_SIZE_MAX: Final = 100
LIST_MAX: Final = 500
UDID_MAX_LEN: Final = 40
AUTH_CODE_MAX_LEN: Final = 128
OPENID_MAX_LEN: Final = 128
PAIR: Final = re.compile(r"&\w+=")
#: Safe in Location headers and links: a web address without whitespace, double quotes, backslashes and angle brackets.
WEB_URL: Final = re.compile(r"""https?://[^\s\\"<>\x00-\x20\x7f]{1,500}""", re.IGNORECASE)
EXTEND_INFO_MAX_LEN: Final = 1024
#: WeChat Pay's limit.
SCENE_INFO_MAX_LEN: Final = 256
PAY_TAG: Final = re.compile("ALIPAYHK|ALIPAYCN")
PAY_TAGS: Final = {"ALIPAYHK": Region.HONG_KONG, "ALIPAYCN": Region.MAINLAND}
NO_CREDIT: Final = re.compile("no_credit")


# ---- text --------------------------------------------------------------------------------------------------


def text(params: Params, name: str, *, required: bool = False, max_len: int) -> str:
    """The value of `name` as sent; "" if it is absent and not required."""
    value = params.get(name, "")
    if required and not value:
        raise BadField.missing(name)
    if len(value) > max_len:
        raise BadField.malformed(name, f"must have at most {max_len} characters")
    return value


def shaped(params: Params, name: str, shape: re.Pattern[str], what: str, *, required: bool) -> str:
    """The value of `name`, which must match `shape` in full; "" if it is absent and not required."""
    value = params.get(name, "")
    if not value:
        if required:
            raise BadField.missing(name)
        return ""
    if not shape.fullmatch(value):
        raise BadField.malformed(name, f"must be {what}")
    return value


def mchid(params: Params) -> str:
    """The merchant's id, or "". Older documents write `Mchid`; checkout links have `mchntid`."""
    return spelled(params, "mchid", MCHID)


def spelled(params: Params, name: str, spellings: Sequence[str]) -> str:
    """The value of a parameter that has several `spellings`, or ""."""
    values = {params[each] for each in spellings if params.get(each)}
    if len(values) > 1:
        raise BadField.malformed(name, "and its other spellings have different values")
    return next(iter(values), "")


def product_name(params: Params) -> str:
    """The name shown to the payer, or "". `goods_name` is the field's later name."""
    return text(params, "product_name", max_len=PRODUCT_NAME_MAX_LEN) or text(
        params, "goods_name", max_len=PRODUCT_NAME_MAX_LEN
    )


def device(params: Params) -> str:
    """The merchant's device, or "". An old-style webhook signs it unescaped, so it must not contain a parameter."""
    value = text(params, "udid", max_len=UDID_MAX_LEN)
    if PAIR.search(value):
        raise BadField.malformed("udid", "must not contain &name=")
    return value


def forbid_credit(params: Params) -> bool:
    """Whether credit cards are forbidden. An unknown limit is refused, not ignored."""
    return bool(shaped(params, "limit_pay", NO_CREDIT, "no_credit", required=False))


# ---- the payer ---------------------------------------------------------------------------------------------


def auth_code(params: Params) -> str:
    """The payer's barcode, without characters that a scanner added around it. They are part of the signed text."""
    value = text(_trimmed(params, "auth_code"), "auth_code", required=True, max_len=AUTH_CODE_MAX_LEN)
    if "\0" in value:
        raise BadField.malformed("auth_code", "must not contain NUL")
    return value


def openid(params: Params, *, required: bool) -> str:
    """The payer's openid under the merchant's official account. It is passed to WeChat unchanged."""
    value = text(_trimmed(params, "sub_openid"), "sub_openid", required=required, max_len=OPENID_MAX_LEN)
    if not is_writable(value):
        raise BadField.malformed("sub_openid", "must not contain control characters")
    return value


def _trimmed(params: Params, name: str) -> Params:
    """Only this parameter, without whitespace, control and format characters at its ends."""
    value = params.get(name, "")
    if value.isascii() and value.isalnum():
        return {name: value}
    edges = "".join(c for c in set(value) if c.isspace() or unicodedata.category(c) in ("Cc", "Cf"))
    return {name: value.strip(edges) if edges else value}


def web_url(params: Mapping[str, str], name: str) -> str:
    """An address to which a browser may be redirected, or ""; never `javascript:` or similar."""
    what = "a web address of at most 500 characters"
    url = shaped(params, name, WEB_URL, what, required=False)
    try:
        is_good = not url or bool(urlsplit(url).hostname)
    except ValueError:
        is_good = False
    if not is_good:
        raise BadField.malformed(name, f"must be {what}")
    return url


def extend_info(params: Params) -> PayersSite:
    """`{"scene_info": {…}, "spbill_create_ip": "…"}`. The payer's address cannot be guessed, so both are required."""
    value = text(params, "extend_info", required=True, max_len=EXTEND_INFO_MAX_LEN)
    what = 'must be a JSON object with "scene_info", an object, and "spbill_create_ip", an IP address'
    try:
        given = json.loads(value)
        scene, ip = given["scene_info"], given["spbill_create_ip"]
    except (ValueError, KeyError, TypeError, RecursionError):
        raise BadField.malformed("extend_info", what) from None
    if not isinstance(scene, dict) or not _is_ip_address(ip):
        raise BadField.malformed("extend_info", what)
    scene_info = json.dumps(scene, ensure_ascii=False, separators=(",", ":"))
    if len(scene_info) > SCENE_INFO_MAX_LEN or not is_writable(scene_info):
        raise BadField.malformed(
            "extend_info", f"must have a scene_info of at most {SCENE_INFO_MAX_LEN} characters"
        )
    return PayersSite(ip, scene_info)


def _is_ip_address(value: object) -> bool:
    """As text, and without the zone of an IPv6 address. `ip_address` would also read numbers."""
    try:
        return isinstance(value, str) and "%" not in value and bool(ip_address(value))
    except ValueError:
        return False


def region(params: Params, default: Region | None) -> Region | None:
    """Whose edition of the wallet may pay; `pay_tag` chooses, for a pay type that has a default."""
    if default is None:
        return None
    return PAY_TAGS.get(shaped(params, "pay_tag", PAY_TAG, "ALIPAYHK or ALIPAYCN", required=False), default)


# ---- numbers that name something ---------------------------------------------------------------------------

REFERENCE_SHAPE: Final = "1 to 128 printable ASCII characters without blanks, quotes, commas, \\ & = % or +"
SYSSN_SHAPE: Final = "digits"


def reference(params: Params, *, required: bool = True) -> str:
    """The merchant's own number of a payment or refund."""
    return shaped(params, "out_trade_no", REFERENCE, REFERENCE_SHAPE, required=required)


def echoed_reference(params: Params) -> str | None:
    """The reference, if a response may repeat it. No other text of a request is ever repeated."""
    value = params.get("out_trade_no", "")
    return value if REFERENCE.fullmatch(value) else None


def syssn(params: Params, *, required: bool = True) -> str:
    return shaped(params, "syssn", SYSSN, SYSSN_SHAPE, required=required)


def reference_list(params: Params) -> tuple[str, ...]:
    """The references that a query asks for, comma-separated; empty if none."""
    return listed(params, "out_trade_no", REFERENCE, REFERENCE_SHAPE)


def syssn_list(params: Params) -> tuple[str, ...]:
    return listed(params, "syssn", SYSSN, SYSSN_SHAPE)


def pay_type_list(params: Params) -> tuple[str, ...]:
    """The pay types that a query filters by. Unknown codes of six digits match nothing."""
    return listed(params, "pay_type", PAY_TYPE, "six digits")


def listed(params: Params, name: str, shape: re.Pattern[str], what: str) -> tuple[str, ...]:
    """The comma-separated values of `name`, each once. Surrounding whitespace and empty values are ignored."""
    values = tuple(dict.fromkeys(filter(None, map(str.strip, params.get(name, "").split(",")))))
    if len(values) > LIST_MAX:
        raise BadField.malformed(name, f"must list at most {LIST_MAX} values")
    if not all(map(shape.fullmatch, values)):
        raise BadField.malformed(name, f"must list values that are {what}, separated by commas")
    return values


# ---- kinds, amounts, times ---------------------------------------------------------------------------------


def pay_type(params: Params) -> str:
    """The code of a pay type. `known_pay_type` checks whether it exists, after the other fields are read."""
    return shaped(params, "pay_type", PAY_TYPE, "six digits", required=True)


def known_pay_type(code: str) -> PayType:
    """Raises NoChannel for an unknown code, as for a pay type that the merchant does not have."""
    try:
        return PAY_TYPES[code]
    except KeyError:
        raise NoChannel from None


def respcd_filter(params: Params) -> str:
    return shaped(params, "respcd", RESPCD, "four digits", required=False)


def amount_minor(params: Params) -> int:
    """The amount in minor units."""
    what = "a whole number of minor units, at least 1, of at most 11 digits, without leading zeros"
    return int(shaped(params, "txamt", AMOUNT, what, required=True))


def moment_text(params: Params, name: str = "txdtm", *, required: bool = True) -> str:
    """A date and time as sent. Clients' clocks are wrong by hours, so only the calendar is checked."""
    what = "a date and time written YYYY-MM-DD HH:MM:SS"
    value = shaped(params, name, MOMENT, what, required=required)
    try:
        if value:
            datetime.fromisoformat(value)
    except ValueError:
        raise BadField.malformed(name, f"must be {what} that exists in the calendar") from None
    return value


def moment(params: Params, name: str) -> datetime | None:
    """An instant for comparison with rows, sent in UTC+8.

    No row is outside the permitted years; Python's first and last years would overflow in UTC.
    """
    value = moment_text(params, name, required=False)
    if not value:
        return None
    at = datetime.fromisoformat(value).replace(tzinfo=UTC8)
    if not MOMENT_MIN_YEAR <= at.year <= MOMENT_MAX_YEAR:
        raise BadField.malformed(name, f"must lie in the years {MOMENT_MIN_YEAR} to {MOMENT_MAX_YEAR}")
    return at


def day(params: Params, name: str, spellings: Sequence[str], shape: re.Pattern[str] = DAY) -> date:
    """A day of the calendar in UTC+8, required. `shape` is `DAY` or `DAY_WITH_DASHES`."""
    what = f"a day written {'YYYYMMDD' if shape is DAY else 'YYYY-MM-DD'}"
    value = shaped({name: spelled(params, name, spellings)}, name, shape, what, required=True)
    try:
        read = date.fromisoformat(value)
    except ValueError:
        raise BadField.malformed(name, f"must be {what} that exists in the calendar") from None
    if not MOMENT_MIN_YEAR <= read.year <= MOMENT_MAX_YEAR:
        raise BadField.malformed(name, f"must lie in the years {MOMENT_MIN_YEAR} to {MOMENT_MAX_YEAR}")
    return read


def expires_after_s(params: Params) -> int | None:
    """How long an online order can be paid, in seconds; None for our default.

    `valid_time` is in seconds and takes precedence; `expired_time`, the later field, is in minutes.
    """
    if params.get("valid_time"):
        return valid_time(params)
    minutes = expired_time(params)
    return None if minutes is None else minutes * 60


def valid_time(params: Params) -> int | None:
    """In seconds."""
    return whole_number(
        params,
        "valid_time",
        f"a whole number of seconds from {VALID_TIME_MIN_S} to {VALID_TIME_MAX_S}",
        lambda seconds: VALID_TIME_MIN_S <= seconds <= VALID_TIME_MAX_S,
    )


def expired_time(params: Params) -> int | None:
    """In minutes."""
    return whole_number(
        params,
        "expired_time",
        f"a whole number of minutes from {EXPIRED_TIME_MIN} to {EXPIRED_TIME_MAX}",
        lambda minutes: EXPIRED_TIME_MIN <= minutes <= EXPIRED_TIME_MAX,
    )


# ---- pages -------------------------------------------------------------------------------------------------


def page(params: Params) -> int:
    what = f"a whole number from 1 to {PAGE_MAX}"
    number = whole_number(params, "page", what, lambda number: 1 <= number <= PAGE_MAX)
    return 1 if number is None else number


def page_size(params: Params) -> int:
    """Rows in a page. A larger size is reduced to `PAGE_SIZE_MAX`."""
    size = whole_number(params, "page_size", "a whole number, at least 1", lambda size: size >= 1)
    return PAGE_SIZE_DEFAULT if size is None else min(size, PAGE_SIZE_MAX)


def whole_number(params: Params, name: str, what: str, is_good: Callable[[int], bool]) -> int | None:
    """The value of `name` as a number, or None if it is absent."""
    value = shaped(params, name, WHOLE_NUMBER, what, required=False)
    if not value:
        return None
    if not is_good(int(value)):
        raise BadField.malformed(name, f"must be {what}")
    return int(value)
