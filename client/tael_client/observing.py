"""Observation of the wire for logs and support: each sending of a request, the signed text, and the response.

`Client` and `AsyncClient` call their `on_exchange` with it. It never contains the key. It may contain a payer's
barcode, so the repr leaves out what was sent. An error in the observer does not affect the call.
"""

import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TypeAlias

from tael_client.steps import NoAnswer, NotSent, Reply, Send

log = logging.getLogger("tael_client")


@dataclass(frozen=True, slots=True, kw_only=True)
class Exchange:
    """One sending; a repeated call has several. Without a response, `status` is 0 and `failure` has the reason."""

    url: str
    headers: Mapping[str, str]  #: the API's own headers
    signed_text: str = field(repr=False)  #: the signed text without the key, which follows it directly
    body: bytes = field(repr=False)  #: as posted; empty for a GET, whose parameters are in `url`
    status: int = 0
    answer_sign: str = ""  #: the `X-QF-SIGN` of the response, not verified here
    answer: bytes = field(default=b"", repr=False)
    failure: str = ""  #: "" if there was a response


OnExchange: TypeAlias = Callable[[Exchange], object]


def show(observer: OnExchange | None, base_url: str, sent: Send, result: Reply | NotSent | NoAnswer) -> None:
    """Call `observer`. An exception is logged: money may have moved, and the result must reach the caller."""
    if observer is None:
        return
    try:
        observer(exchange_of(base_url, sent, result))
    except Exception:
        log.exception("on_exchange failed; the call to %s continues", sent.path)


def exchange_of(base_url: str, sent: Send, result: Reply | NotSent | NoAnswer) -> Exchange:
    match result:
        case Reply():
            status, sign, answer, failure = result.status, result.sign, result.body, ""
        case NotSent() | NoAnswer():
            status, sign, answer, failure = 0, "", b"", result.reason
    return Exchange(
        url=base_url + sent.path,
        headers=sent.headers,
        signed_text=sent.signed_text,
        body=sent.body,
        status=status,
        answer_sign=sign,
        answer=answer,
        failure=failure,
    )
