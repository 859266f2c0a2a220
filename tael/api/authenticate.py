"""Authentication of requests and links: the signature, what it was made for, the sender's address, the age.

No other code may read a parameter before this. Every text that a client may have signed is tried on every request, and
an unknown appcode costs the same work as a wrong signature: the time of a refusal reveals nothing.
"""

import re
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from ipaddress import IPv6Address, ip_address, ip_network
from typing import Final
from urllib.parse import unquote_to_bytes

from msgspec import Struct
from starlette.datastructures import Headers

from tael.api.wire import CHARSETS, Parameters, each_once, raw_pairs
from tael.base.errors import NotAuthentic
from tael.base.moments import UTC8
from tael.base.secret import Secret
from tael.merchants.domain.merchant import Algorithm, App
from tael.qfpay import fields
from tael.qfpay.errors import BadField
from tael.qfpay.links import LINK_NAMES, LINK_NAMES_WITH_LANG
from tael.qfpay.signature import LANG, SIGN, SIGN_TYPE, link_texts, raw_text, request_texts, which_signed
from tael.qfpay.signed_names import Names, misread

#: Used where an app has no such key. A signature with it is never accepted.
NO_KEY: Final = Secret("0" * 32)
#: Of an app in the overlap of a rotation. As many are tried for every other app, and for an unknown one.
MAX_KEYS: Final = 2

ALGORITHM_OF_LENGTH: Final[Mapping[int, Algorithm]] = {32: "MD5", 64: "SHA256"}

#: The output of PHP's urlencode, with at least one character encoded.
URLENCODED: Final = re.compile(r"[A-Za-z0-9_.+-]*(?:%[0-9A-Fa-f]{2}[A-Za-z0-9_.+-]*)+")


CREDENTIALS: Final = (b"x-qf-appcode", b"x-qf-sign", b"x-qf-signtype")


class Credentials(Struct, frozen=True):
    """The three authentication headers of a request; "" for a missing one."""

    appcode: str
    sign: str
    sign_type: str


def read_credentials(headers: Headers) -> Credentials:
    first = dict(reversed(headers.raw))  # of repeated headers
    appcode, sign, sign_type = (first.get(name, b"").decode("latin-1") for name in CREDENTIALS)
    return Credentials(appcode, sign, sign_type)


class Verified(Struct, frozen=True):
    """The signed values without `sign`, and the key with which they were signed."""

    values: Mapping[str, str]
    key: Secret


def verify(
    parameters: Parameters,
    sign_header: str,
    signtype_header: str,
    keys: Sequence[Secret],
    sha256_only: bool = False,
) -> Verified | None:
    """What was signed, or None if the signature was made with none of these keys.

    `keys` is empty for an unknown appcode: the same work is done and None is returned. `check_reading` checks what the
    signature was made for.
    """
    algorithm = algorithm_of(signtype_header, sign_header)
    decoded_texts = request_texts(parameters.values)
    texts = (*decoded_texts, *(raw_text(raw) for raw in parameters.raw_texts))
    matches = _matches(texts, keys, algorithm or "MD5", sign_header)
    if algorithm is None or (sha256_only and algorithm == "MD5"):
        return None
    for key, matching in zip(keys, matches, strict=False):  # not with the keys that were only tried
        if any(matching[: len(decoded_texts)]):
            values = {name: value for name, value in parameters.values.items() if name != SIGN}
            return Verified(values, key)
        for raw, is_signed in zip(parameters.raw_texts, matching[len(decoded_texts) :], strict=True):
            if is_signed:
                literal = literal_values(raw, parameters.charset)
                return None if literal is None else Verified(literal, key)
    return None


def _matches(
    texts: Sequence[bytes], keys: Sequence[Secret], algorithm: Algorithm, sign: str
) -> list[list[bool]]:
    """For each key whether it signed each text, and the same work for as many keys as an app may have."""
    tried = (*keys, *(NO_KEY,) * (MAX_KEYS - len(keys)))
    return [which_signed(texts, key, algorithm, sign) for key in tried]


def check_link(values: Mapping[str, str], app: App | None, now: datetime) -> None:
    """Raises NotAuthentic unless `app` signed these as a link. For an unknown appcode (None), after the same work."""
    sign = values.get(SIGN, "")
    algorithm = algorithm_of(values.get(SIGN_TYPE, ""), sign)
    keys = app.keys(now) if app else ()
    all_matches = _matches(link_texts(values), keys, algorithm or "SHA256", sign)
    matches = next((each for each in all_matches[: len(keys)] if any(each)), None)
    if app is None or algorithm is None or matches is None:
        raise not_signed_by(app)
    if app.sha256_only and algorithm == "MD5":
        raise not_signed_by(app)
    if not values.get("paysource"):
        raise NotAuthentic(cause="signed as a request, not as a link")
    is_lang_signed = not matches[0]
    if is_lang_signed and "&" in values[LANG]:
        raise NotAuthentic("lang contains &, which may be the end of another value")
    check_reading(values, LINK_NAMES_WITH_LANG if is_lang_signed else LINK_NAMES)


def not_signed_by(app: object | None) -> NotAuthentic:
    """The refusal of a signature. Only its `cause`, for the operator's log, shows whether the app exists."""
    if app is None:
        return NotAuthentic(cause="no such app", is_app_known=False)
    return NotAuthentic(cause="the signature is not the app's")


def algorithm_of(sign_type: str, sign: str) -> Algorithm | None:
    """The algorithm that the client names, or the one that matches the signature's length. None if unknown."""
    match sign_type.strip().upper():
        case "MD5":
            return "MD5"
        case "SHA256":
            return "SHA256"
        case "":
            return ALGORITHM_OF_LENGTH.get(len(sign))
        case _:
            return None


def check_reading(values: Mapping[str, str], names: Names) -> None:
    """Raises NotAuthentic if the signed text can be split in another way, or was signed for another purpose.

    `values` are all received parameters, percent-decoded, whichever text was signed.
    """
    name = misread(values, names)
    if name in names.refused | names.foreign:
        raise NotAuthentic(f"{name} belongs to another call: this one takes it neither alone nor in a value")
    if name:
        raise NotAuthentic(f"the signed text has two readings: a value holds &{name}=")


def check_age(values: Mapping[str, str], app: App, now: datetime) -> None:
    """If the app limits the age of requests: raises NotAuthentic for a `txdtm` out of range, BadField without one."""
    if app.max_request_age_s is None:
        return
    signed_at = datetime.fromisoformat(fields.moment_text(values)).replace(tzinfo=UTC8)
    if abs(now - signed_at) > timedelta(seconds=app.max_request_age_s):
        raise NotAuthentic(f"txdtm is more than {app.max_request_age_s} s from the time in UTC+8")


def check_address(peer: str, app: App) -> None:
    """Raises NotAuthentic if the app has allowed networks and `peer` is outside all of them."""
    if app.allowed_addresses and not is_within(peer, app.allowed_addresses):
        raise NotAuthentic("this app accepts no requests from this address")


def is_within(peer: str, networks: tuple[str, ...]) -> bool:
    try:
        address = ip_address(peer)
    except ValueError:
        return False
    if isinstance(address, IPv6Address) and address.ipv4_mapped:
        address = address.ipv4_mapped
    return any(address in ip_network(network) for network in networks)


def literal_values(raw: bytes, charset: str) -> Mapping[str, str] | None:
    """The pairs of a text that was signed undecoded: a `+` in it is a plus sign."""
    pairs = [(name.decode(charset), value.decode(charset)) for name, value in raw_pairs(raw)]
    try:
        values = each_once([(name, decoded_if_encoded(value)) for name, value in pairs])
    except BadField:
        return None  # equal when decoded, different when not
    return {name: value for name, value in values.items() if name != SIGN}


def decoded_if_encoded(value: str) -> str:
    """`value`, decoded if it can only be the output of urlencode: QFPay's PHP sample encodes a field before signing."""
    if not URLENCODED.fullmatch(value):
        return value
    encoded = unquote_to_bytes(value.replace("+", " "))
    for charset in CHARSETS:
        try:
            return encoded.decode(charset)
        except UnicodeDecodeError:
            continue
    return value
