"""Sight of the wire for logs, support and learning: each sending of a request, the text signed, and the answer.

`Client` and `AsyncClient` show it to their `on_exchange`. The key is in none of it; a payer's bar code may be, so a
repr leaves out what was sent. What an observer does or fails to do changes nothing for the call it looks at.
"""

import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TypeAlias

from tael_client.steps import NoAnswer, NotSent, Reply, Send

log = logging.getLogger("tael_client")


@dataclass(frozen=True, slots=True, kw_only=True)
class Exchange:
    """One sending. A call that is repeated has several; without an answer `status` is 0 and `failure` says why."""

    url: str
    headers: Mapping[str, str]  #: those that are the API's own
    signed_text: str = field(repr=False)  #: what was signed, but for the key, which stands straight behind it
    body: bytes = field(repr=False)  #: as it was posted
    status: int = 0
    answer_sign: str = ""  #: the `X-QF-SIGN` that came; whether it is right, the call tells
    answer: bytes = field(default=b"", repr=False)
    failure: str = ""  #: "" if an answer came


OnExchange: TypeAlias = Callable[[Exchange], object]


def show(observer: OnExchange | None, base_url: str, sent: Send, heard: Reply | NotSent | NoAnswer) -> None:
    """Tell `observer`. What it raises is logged: money may have moved, and the answer must reach the caller."""
    if observer is None:
        return
    try:
        observer(exchange_of(base_url, sent, heard))
    except Exception:
        log.exception("on_exchange failed; the call to %s goes on", sent.path)


def exchange_of(base_url: str, sent: Send, heard: Reply | NotSent | NoAnswer) -> Exchange:
    match heard:
        case Reply():
            status, sign, answer, failure = heard.status, heard.sign, heard.body, ""
        case NotSent() | NoAnswer():
            status, sign, answer, failure = 0, "", b"", heard.reason
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
