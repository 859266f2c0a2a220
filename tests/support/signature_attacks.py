"""An attacker with one signed text, who presents it in every form to everything that verifies with the same key.

The gateway's and the client's own functions decide what is accepted: they read, verify and count a body's parameters
and build the request. Nothing is sent or stored.
"""

import hashlib
import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from datetime import datetime, timedelta, timezone
from functools import lru_cache
from itertools import islice
from typing import Any, Final, Literal, get_args
from urllib.parse import quote

from starlette.datastructures import Headers
from tael_client import (
    BadSignature,
    Credentials,
    Filters,
    Money,
    PaymentOrder,
    SignType,
    TaelClientError,
    calls,
    read_notification,
)
from tael_client.exchange import Call as ClientCall
from tael_client.exchange import Rules, read_reply
from tael_client.steps import Reply

from tael.api.authenticate import check_link, check_reading, verify
from tael.api.wire import read_parameters
from tael.base.errors import TaelError
from tael.base.secret import Secret
from tael.merchants.credential_cache import AppContext
from tael.qfpay.codes import Call
from tael.qfpay.links import link_of
from tael.qfpay.requests import (
    CALL_NAMES,
    AuthenticatedRequest,
    read_close,
    read_code,
    read_oauth_link,
    read_payment,
    read_query,
    read_refund,
    read_reversal,
)
from tael.qfpay.settlements import read_settlement_query
from tael.qfpay.trade_bills import read_trade_bill
from tests.support.values import MCHID, NOW, a_merchant, an_app

KEY: Final = "5f1ce3a09d5b4f0e8a7d1c2b3a495867"
APPCODE: Final = "app1"
SYSSN: Final = "202611280900990000000015"
REFERENCE: Final = "ORDER-7"
PRICE: Final = "100000"
TIME: Final = "2026-11-28 12:00:00"
#: A text with twenty parameters can be cut in a million ways; the first ones keep as many parameters as there are.
MAX_CUTS: Final = 200

Params = dict[str, str]
#: How a signed text can be presented.
Form = Literal["request", "link", "old webhook", "new webhook", "answer"]
FORMS: Final[tuple[Form, ...]] = get_args(Form)

READERS: Final[Mapping[Call, Callable[[AuthenticatedRequest], object]]] = {
    "payment": read_payment,
    "close": read_close,
    "refund": read_refund,
    "reversal": read_reversal,
    "query": read_query,
    "settlements": read_settlement_query,
    "trade_bill": lambda request: read_trade_bill(request.params, request.context, NOW),
    "oauth_code": read_oauth_link,
    "openid": read_code,
}
CALLS: Final = tuple(READERS)

_APP: Final = an_app(APPCODE, key=Secret(KEY))
_MERCHANT: Final = a_merchant(MCHID, APPCODE)
_KNOWN: Final = AppContext(_APP, {MCHID: _MERCHANT}, ())
_AT: Final = datetime(2026, 11, 28, 12, tzinfo=timezone(timedelta(hours=8)))


def joined(params: Mapping[str, str]) -> str:
    return "&".join(f"{name}={params[name]}" for name in sorted(params))


def link_joined(params: Mapping[str, str]) -> str:
    """The signed text of a link: parameters with a value, without the language."""
    return joined({name: value for name, value in params.items() if value and name != "lang"})


def signed(text: str, algorithm: str = "md5") -> str:
    return hashlib.new(algorithm, (text + KEY).encode()).hexdigest().upper()


def cuts(text: str) -> Iterator[Params]:
    """Sets of parameters whose sorted text is `text`, those with the most parameters first."""
    first, *rest = text.split("&")
    name, _, value = first.partition("=")
    yield from islice(_cuts(rest, ((name, value),)), MAX_CUTS)


def _cuts(rest: list[str], taken: tuple[tuple[str, str], ...]) -> Iterator[Params]:
    if not rest:
        yield dict(taken)
        return
    piece, *others = rest
    name, equals, value = piece.partition("=")
    last_name, last_value = taken[-1]
    if equals and name > last_name:
        yield from _cuts(others, (*taken, (name, value)))
    yield from _cuts(others, (*taken[:-1], (last_name, f"{last_value}&{piece}")))


def acceptances(text: str, sign: str, *presented_as: Form) -> Iterator[tuple[str, object]]:
    """Every kind of message that `text` is accepted as, in these forms or in any, with its parsed value."""
    raw = text.encode()
    forms = presented_as or FORMS
    if "request" in forms:
        yield from _as_requests(raw, b"", sign)
        yield from _as_requests(b"", raw, sign)
    if "new webhook" in forms:
        yield from _as_new_webhook(raw, sign)
    if "answer" in forms:
        yield from _as_answer(raw, sign)
    for params in cuts(text):
        if "request" in forms:
            yield from _as_requests(b"", encoded(params), sign)
        if "link" in forms:
            yield from _as_link(params, sign)
        if "old webhook" in forms:
            yield from _as_old_webhook(params, sign)


def encoded(params: Mapping[str, str]) -> bytes:
    return "&".join(f"{_quoted(name)}={_quoted(value)}" for name, value in params.items()).encode()


@lru_cache(10_000)
def _quoted(text: str) -> str:
    return quote(text, "")


def _as_requests(query: bytes, form: bytes, sign: str) -> Iterator[tuple[str, object]]:
    try:
        parameters = read_parameters(query, Headers(), form)
    except TaelError:
        return
    verified = verify(parameters, sign, "", (Secret(KEY),))
    if verified is None:
        return
    for call, read in READERS.items():
        try:
            check_reading(parameters.values, CALL_NAMES[call])
            yield call, read(AuthenticatedRequest(_KNOWN, _MERCHANT, verified.values))
        except TaelError:
            continue


def accepted(call: Call, params: Mapping[str, str], sign: str) -> object | None:
    """The request that the gateway reads from these parameters for this call, before any look-up in the database."""
    return dict(_as_requests(b"", encoded(params), sign)).get(call)


def _as_link(params: Params, sign: str) -> Iterator[tuple[str, object]]:
    values = params | {"sign": sign}
    try:
        check_link(values, _APP, NOW)
        yield "link", replace(link_of(values, _APP, _MERCHANT, NOW), link_id="")
    except TaelError:
        return


def _as_old_webhook(params: Params, sign: str) -> Iterator[tuple[str, object]]:
    try:
        read = read_notification(_CREDENTIALS["MD5"], json.dumps(params).encode(), sign, ("old",))
    except BadSignature:
        return
    yield "old webhook", read


def _as_new_webhook(body: bytes, sign: str) -> Iterator[tuple[str, object]]:
    for credentials in _CREDENTIALS.values():
        try:
            read = read_notification(credentials, body, sign, ("new",))
        except BadSignature:
            continue
        yield "new webhook", read


def _as_answer(body: bytes, sign: str) -> Iterator[tuple[str, object]]:
    """As the response to a client's call, made with references that the attacker chose."""
    for credentials in _CREDENTIALS.values():
        for call, asked in _ASKED.items():
            try:
                yield f"{call} answer", read_reply(Reply(200, sign, body), asked, Rules(credentials, 1, True))
            except TaelClientError:
                continue


def _asked() -> dict[str, ClientCall[Any]]:
    order = PaymentOrder.wechat_qr(REFERENCE, Money(int(PRICE)))
    price = Money(int(PRICE), "HKD")
    return {
        "payment": calls.payment(order, MCHID, _AT),
        "close": calls.close(SYSSN, REFERENCE, MCHID, _AT),
        "refund": calls.refund(SYSSN, REFERENCE, price, MCHID, _AT),
        "reversal": calls.reversal(SYSSN, REFERENCE, price, MCHID, _AT),
        "query": calls.query(Filters(), 1, 10, MCHID),
        "settlements": calls.settlements(NOW.date(), NOW.date(), None, MCHID),
    }


_CREDENTIALS: Final = {
    sign_type.value: Credentials(APPCODE, KEY, MCHID, response_sign_type=sign_type) for sign_type in SignType
}
_ASKED: Final = _asked()
