"""Checks of the webhooks that a server sends: made with --move-money and --listen."""

import json
from collections.abc import Iterator
from typing import Final

from tael_conformance.checks import Departure, Group, Skipped
from tael_conformance.listener import Received, Reply
from tael_conformance.server.session import OK, Server, new_reference
from tael_conformance.signing import digest, signed_text
from tael_conformance.wire import SIGN_HEADER, Exchange, Members, until

GROUP: Final[Group[Server]] = Group("server.webhook", "Webhooks")
ACKNOWLEDGED: Final = Reply(200, b"SUCCESS", {"Content-Type": "text/plain"})
REFUSED: Final = Reply(500, b"SUCCESS", {"Content-Type": "text/plain"})
OLD: Final = ("mchid", "syssn", "pay_type", "out_trade_no", "txdtm", "txamt", "respcd")
NEW: Final = (*OLD, "status", "notify_type", "sysdtm", "paydtm", "txcurrcd", "cancel")
#: The longest of the first gaps between two attempts, and how often the clock is moved over it.
GAP_S: Final = 130
MAX_MOVES: Final = 5
LOOK_S: Final = 1.0


class Answers:
    """Refuses the first webhook about the order under test, and acknowledges all others."""

    def __init__(self) -> None:
        self.refused_number = ""
        self._has_refused = False

    def __call__(self, request: Received) -> Reply:
        if _number_in(request) == self.refused_number and not self._has_refused:
            self._has_refused = True
            return REFUSED
        return ACKNOWLEDGED


def _number_in(request: Received) -> str:
    return str(members_of(request).get("out_trade_no", ""))


def members_of(request: Received) -> Members:
    try:
        members = json.loads(request.body, parse_int=str)
    except (ValueError, RecursionError):
        return {}
    return members if isinstance(members, dict) else {}


def about(server: Server, opened: Exchange) -> list[Received]:
    number = opened.text("out_trade_no")
    return [each for each in _received(server) if _number_in(each) == number]


def _received(server: Server) -> list[Received]:
    return server.listener.received if server.listener else []


def notified(server: Server) -> tuple[Exchange, Received]:
    """A paid online order whose first webhook was refused, with that webhook. Raises Skipped or Departure."""
    if server.listener is None:
        raise Skipped("needs --listen, and the app's notify URL set to it")
    if not server.options.move_money:
        raise Skipped("moves money; allow it with --move-money")
    opened = server.once("notified", lambda: pay_unacknowledged(server))
    if not until(lambda: bool(about(server, opened)), server.limit_s, server.rest_s):
        raise Departure("a webhook about the paid order", "none", opened.sent)
    return opened, about(server, opened)[0]


def pay_unacknowledged(server: Server) -> Exchange:
    """Pay an online order whose first webhook is refused."""
    number = new_reference()
    if server.listener is not None and isinstance(server.listener.answer, Answers):
        server.listener.answer.refused_number = number
    opened = server.open(server.online_type(), out_trade_no=number)
    opened.expect(opened.respcd == OK, "respcd 0000")
    server.payer.pay(opened)
    server.wait_for(opened.text("syssn"), respcd=OK)
    return opened


def style_of(request: Received) -> str:
    return "new" if "notify_type" in members_of(request) else "old"


def shown(request: Received) -> str:
    return f"{request.method} {request.target} {request.body.decode('utf-8', 'backslashreplace')}"


def signatures(server: Server, request: Received, style: str) -> Iterator[str]:
    """The documented signatures of a webhook of this style."""
    if style == "old":
        text = signed_text({name: str(value) for name, value in members_of(request).items()})
        yield digest(text.encode(), server.credentials.key)
    else:
        yield digest(request.body, server.credentials.key, server.options.response_algorithm)


@GROUP.must(
    "sent",
    "A paid order is notified",
    "When an online order is paid, the server posts JSON to the notify URL.",
)
def sent(server: Server) -> None:
    _, webhook = notified(server)
    if webhook.method != "POST" or not members_of(webhook):
        raise Departure("a POST with a JSON object", shown(webhook))


@GROUP.must(
    "signature",
    "Signature",
    "New style: the body's bytes and the key. Old style: members sorted by name, and the key.",
)
def signature(server: Server) -> None:
    _, webhook = notified(server)
    style = server.options.webhook_style or style_of(webhook)
    sign = webhook.headers.get(SIGN_HEADER.lower(), "")
    if sign not in signatures(server, webhook, style):
        raise Departure(
            f"X-QF-SIGN of the {style} style, in capitals", f"{sign or 'no X-QF-SIGN'} with {shown(webhook)}"
        )


@GROUP.must(
    "style", "Style", "An app has one style: the new one has notify_type, the old one respmsg or respmesg."
)
def style(server: Server) -> None:
    _, webhook = notified(server)
    found, wanted = style_of(webhook), server.options.webhook_style
    if wanted and found != wanted:
        raise Departure(f"a webhook of the {wanted} style", shown(webhook))
    if found == "old" and not members_of(webhook).keys() & {"respmsg", "respmesg"}:
        raise Departure("respmsg or respmesg", shown(webhook))


@GROUP.must("members", "Members", f"A webhook has {', '.join(OLD)}, in the new style more.")
def members(server: Server) -> None:
    _, webhook = notified(server)
    expected = NEW if style_of(webhook) == "new" else OLD
    absent = [name for name in expected if name not in members_of(webhook)]
    if absent:
        raise Departure(f"the members {', '.join(absent)}", shown(webhook))


@GROUP.must("values", "Values", "Numbers, amount and pay type are the order's, and respcd is 0000.")
def values(server: Server) -> None:
    opened, webhook = notified(server)
    expected = {name: opened.text(name) for name in ("syssn", "pay_type", "out_trade_no", "txamt")} | {
        "respcd": OK
    }
    found = {name: str(members_of(webhook).get(name)) for name in expected}
    if found != expected:
        raise Departure(json.dumps(expected), shown(webhook))


@GROUP.should(
    "strings", "Values are strings", "All values of a webhook are strings, and its Content-Type is JSON."
)
def strings(server: Server) -> None:
    _, webhook = notified(server)
    values = json.loads(webhook.body).values()
    if not all(isinstance(value, str) for value in values):
        raise Departure("strings only", shown(webhook))
    if not webhook.headers.get("content-type", "").startswith("application/json"):
        raise Departure("Content-Type: application/json", webhook.headers.get("content-type", "none"))


def repeated_calls(server: Server) -> list[Received]:
    """The calls about the order, once there are two or the time is over."""
    opened, _ = notified(server)

    def are_two() -> bool:
        return len(about(server, opened)) > 1

    if not server.payer.is_unattended:
        until(are_two, server.limit_s, server.rest_s)
    for _ in range(MAX_MOVES):
        if are_two() or not server.payer.is_unattended:
            break
        server.advance(GAP_S)  # the gap begins only when the server has recorded the attempt
        until(are_two, LOOK_S, server.rest_s)
    return about(server, opened)


@GROUP.must(
    "repeated",
    "Repeated until SUCCESS",
    "A webhook that is not answered with HTTP 200 and SUCCESS is sent again.",
)
def repeated(server: Server) -> None:
    calls = repeated_calls(server)
    if len(calls) < 2:
        raise Departure("a second attempt after HTTP 500", "none", "HTTP 500 to the first attempt")


@GROUP.should(
    "same-bytes", "Attempts are equal", "Every attempt sends the same bytes and the same signature."
)
def same_bytes(server: Server) -> None:
    first, *others = repeated_calls(server)
    if not others:
        raise Skipped("there is no second attempt; see server.webhook.repeated")
    sign = SIGN_HEADER.lower()
    for other in others:
        if (other.body, other.headers.get(sign)) != (first.body, first.headers.get(sign)):
            raise Departure(shown(first), shown(other))


@GROUP.must("acknowledged", "Not repeated after SUCCESS", "An acknowledged webhook is not sent again.")
def acknowledged(server: Server) -> None:
    if len(repeated_calls(server)) < 2:
        raise Skipped("there is no second attempt; see server.webhook.repeated")
    if not server.payer.is_unattended:
        raise Skipped("needs --sandbox, which can move the clock")
    server.advance(GAP_S)
    marker = server.open(server.online_type())
    server.payer.pay(marker)
    server.wait_for(marker.text("syssn"), respcd=OK)
    until(lambda: bool(about(server, marker)), server.limit_s, server.rest_s)
    count = len(repeated_calls(server))
    if count > 2:
        raise Departure("two attempts: refused, then acknowledged", f"{count} attempts")


@GROUP.must(
    "refund",
    "A refund is notified",
    "In the new style, a completed refund is notified with notify_type refund.",
)
def refund(server: Server) -> None:
    opened, webhook = notified(server)
    if style_of(webhook) != "new":
        raise Skipped("the old style notifies payments only")
    number = new_reference()
    server.advance(GAP_S)
    answer = server.call(
        "refund", syssn=opened.text("syssn"), out_trade_no=number, txamt=opened.text("txamt")
    )
    server.advance(GAP_S)

    def refunds() -> list[Received]:
        return [each for each in _received(server) if members_of(each).get("syssn") == answer.text("syssn")]

    if not until(lambda: bool(refunds()), server.limit_s, server.rest_s):
        raise Departure("a webhook about the refund", "none", answer.sent)
    found = members_of(refunds()[0])
    if found.get("notify_type") != "refund" or found.get("orig_syssn") != opened.text("syssn"):
        raise Departure("notify_type refund, with the payment as orig_syssn", shown(refunds()[0]))
