"""The scenarios of a client. Each runs the command once; the checks of requests look at all runs before them."""

from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from typing import Final

from tael_conformance.checks import Check, Departure, Group, Level, Skipped
from tael_conformance.client.command import Command
from tael_conformance.client.scripted import JSON_TYPE, OK, Action, First, Row, ScriptedServer
from tael_conformance.listener import Reply
from tael_conformance.wire import SIGN_HEADER

PAY: Final[Group[Command]] = Group("client.pay", "Repeats")
REFUND: Final[Group[Command]] = Group("client.refund", "Refund")
REQUEST: Final[Group[Command]] = Group("client.request", "Signing a request")
SUCCESS: Final[Mapping[Action, str]] = {"pay": "paid", "refund": "refunded"}
FAILURE: Final[Mapping[Action, str]] = {"pay": "unpaid", "refund": "refused"}
UNKNOWN: Final = "unknown"
#: No document lists it.
UNLISTED: Final = "9876"


@dataclass(frozen=True, slots=True)
class Scenario:
    """`results` are the last lines that are correct. `must_query`: only a query can give the result."""

    action: Action
    first: First
    rows: tuple[Row, ...]
    results: tuple[str, ...]
    must_query: bool = True


def run(scenario: Scenario, command: Command) -> None:
    """Raises Departure where the command did something wrong."""
    server, result = command.run(scenario.action, scenario.first, deque(scenario.rows))
    sent = f"{scenario.action} {server.order.number}: {', '.join(server.calls) or 'no call'}"
    if server.faults:
        raise Departure("only calls under the given out_trade_no", "; ".join(server.faults), sent)
    if result == SUCCESS[scenario.action] and not server.has_shown_success:
        raise Departure(f"no claim of {result}: no verified response shows it", result, sent)
    allowed = (*scenario.results, FAILURE[scenario.action], UNKNOWN) if server.is_undone else scenario.results
    if result not in allowed:
        raise Departure(" or ".join(allowed), result, sent)
    if scenario.must_query and server.calls[1:2] != ["query"]:
        raise Departure(f"a query right after the {server.order.call}", sent, sent)


# ---- first responses -------------------------------------------------------------------------------------------


def code(respcd: str) -> First:
    """A correct response with this code."""
    return lambda server, params: server.answer(params, respcd)


def cut(server: ScriptedServer, params: Mapping[str, str]) -> Reply:
    return Reply(is_cut=True)


def http_500(server: ScriptedServer, params: Mapping[str, str]) -> Reply:
    return Reply(500, b"<html>Internal Server Error</html>", {"Content-Type": "text/html"})


def garbage(server: ScriptedServer, params: Mapping[str, str]) -> Reply:
    return Reply(200, b'{"respcd": "0000", "out_tra', JSON_TYPE)


def unsigned(server: ScriptedServer, params: Mapping[str, str]) -> Reply:
    return server.unsigned(server.members(params, OK))


def wrong_signature(server: ScriptedServer, params: Mapping[str, str]) -> Reply:
    reply = server.unsigned(server.members(params, OK))
    return Reply(200, reply.body, JSON_TYPE | {SIGN_HEADER: "0123456789ABCDEF" * 2})


def altered(server: ScriptedServer, params: Mapping[str, str]) -> Reply:
    """A pending response, made a success after it was signed."""
    signed = server.signed(server.members(params, "1145"))
    return Reply(200, signed.body.replace(b'"1145"', b'"0000"'), signed.headers)


def other_amount(server: ScriptedServer, params: Mapping[str, str]) -> Reply:
    return server.signed(server.members({**params, "txamt": "1"}, OK))


def other_order(server: ScriptedServer, params: Mapping[str, str]) -> Reply:
    return server.signed(server.members({**params, "out_trade_no": "kit-other-order"}, OK))


DONE: Final = Row(OK)
FAILED_PAYMENT: Final = Row("2005")
FAILED_REFUND: Final = Row("1269")
ABSENT: Final = Row("", is_absent=True)


def add(
    group: Group[Command], name: str, title: str, rule: str, scenario: Scenario, level: Level = Level.MUST
) -> None:
    (group.must if level is Level.MUST else group.should)(name, title, rule)(partial(run, scenario))


def pay(
    name: str,
    title: str,
    rule: str,
    first: First,
    *rows: Row,
    results: tuple[str, ...],
    must_query: bool = True,
) -> None:
    add(PAY, name, title, rule, Scenario("pay", first, rows, results, must_query))


def refund(
    name: str,
    title: str,
    rule: str,
    first: First,
    *rows: Row,
    results: tuple[str, ...],
    must_query: bool = True,
) -> None:
    add(REFUND, name, title, rule, Scenario("refund", first, rows, results, must_query))


NOT_PAID: Final = ("unpaid", UNKNOWN)
NOT_REFUNDED: Final = ("refused", UNKNOWN)
PENDING: Final = Row("1145")
REFUND_PENDING: Final = Row("2999")

pay("paid", "0000", "In a shop, 0000 means paid.", code(OK), DONE, results=("paid",), must_query=False)
pay(
    "refused",
    "1201",
    "A final code means that the order is not paid.",
    code("1201"),
    Row("1201"),
    results=("unpaid",),
    must_query=False,
)
pay(
    "1145",
    "1145, then paid",
    "1145 is pending: query under the same number until it is decided.",
    code("1145"),
    PENDING,
    DONE,
    results=("paid",),
)
pay("1143", "1143, then paid", "1143 is pending like 1145.", code("1143"), DONE, results=("paid",))
pay(
    "1145-failed",
    "1145, then failed",
    "A pending payment can fail: only its row decides.",
    code("1145"),
    FAILED_PAYMENT,
    results=("unpaid",),
)
pay(
    "outer-0000",
    "A query without rows",
    "The outer respcd 0000 of a query does not mean that an order is paid.",
    code("1145"),
    ABSENT,
    FAILED_PAYMENT,
    results=NOT_PAID,
)
pay(
    "cut",
    "No response, and paid",
    "Without a response the result is unknown: query, never pay under another number.",
    cut,
    DONE,
    results=("paid",),
)
pay(
    "cut-lost",
    "No response, and no order",
    "If a query finds nothing, send the same request again, under the same number.",
    cut,
    ABSENT,
    results=("paid", *NOT_PAID),
)
pay(
    "http-500",
    "HTTP 500, and paid",
    "HTTP 500 says nothing about the payment: query.",
    http_500,
    DONE,
    results=("paid",),
)
pay(
    "garbage",
    "An unreadable response, and paid",
    "An unreadable response says nothing about the payment: query.",
    garbage,
    DONE,
    results=("paid",),
)
pay(
    "unsigned",
    "0000 without a signature",
    "A response without X-QF-SIGN is no proof: query.",
    unsigned,
    FAILED_PAYMENT,
    results=NOT_PAID,
)
pay(
    "wrong-signature",
    "0000 with a wrong signature",
    "A response with a wrong signature is no proof: query.",
    wrong_signature,
    FAILED_PAYMENT,
    results=NOT_PAID,
)
pay(
    "altered",
    "1145 altered to 0000",
    "The signature covers the bytes of the body.",
    altered,
    FAILED_PAYMENT,
    results=NOT_PAID,
)
pay(
    "other-amount",
    "0000 for another amount",
    "A response for another amount is not about this payment.",
    other_amount,
    FAILED_PAYMENT,
    results=NOT_PAID,
)
pay(
    "other-order",
    "0000 for another order",
    "A response for another order is not about this payment.",
    other_order,
    FAILED_PAYMENT,
    results=NOT_PAID,
)
pay(
    "row-unsigned",
    "A paid row without a signature",
    "A query's response without X-QF-SIGN is no proof.",
    code("1145"),
    Row(OK, is_signed=False),
    FAILED_PAYMENT,
    results=NOT_PAID,
)
pay(
    "row-other-amount",
    "A paid row of another amount",
    "A row of another amount is not this payment.",
    code("1145"),
    Row(OK, amount="1"),
    FAILED_PAYMENT,
    results=NOT_PAID,
)
pay(
    "row-other-order",
    "A paid row of another order",
    "A row of another order is not this payment.",
    code("1145"),
    Row(OK, number="kit-other-order"),
    FAILED_PAYMENT,
    results=NOT_PAID,
)
add(
    PAY,
    "unlisted-code",
    "An unlisted code, and paid",
    "A code that no document lists is unknown, never final: query.",
    Scenario("pay", code(UNLISTED), (DONE,), ("paid", UNKNOWN)),
    Level.SHOULD,
)

refund("refunded", "0000", "0000 means refunded.", code(OK), DONE, results=("refunded",), must_query=False)
refund(
    "over-refund",
    "1272",
    "1272 is final: more than the refundable amount. It is not sent again under another number.",
    code("1272"),
    ABSENT,
    results=("refused",),
    must_query=False,
)
refund(
    "nothing-left",
    "1125",
    "1125 is final: nothing is left to refund.",
    code("1125"),
    ABSENT,
    results=("refused",),
    must_query=False,
)
refund(
    "2999",
    "2999, then refunded",
    "2999 is pending: query the refund until it is decided.",
    code("2999"),
    REFUND_PENDING,
    DONE,
    results=("refunded",),
)
refund(
    "1145",
    "1145, then refunded",
    "1145 and 1143 are pending for refunds too.",
    code("1145"),
    DONE,
    results=("refunded",),
)
refund(
    "1143",
    "1143, then refunded",
    "1145 and 1143 are pending for refunds too.",
    code("1143"),
    DONE,
    results=("refunded",),
)
refund(
    "2999-failed",
    "2999, then failed",
    "A pending refund can fail: only its row decides.",
    code("2999"),
    FAILED_REFUND,
    results=("refused",),
)
refund(
    "cut",
    "No response, and refunded",
    "Without a response the result is unknown: query, never refund under another number.",
    cut,
    DONE,
    results=("refunded",),
)
refund(
    "http-500",
    "HTTP 500, and refunded",
    "HTTP 500 says nothing about the refund: query.",
    http_500,
    DONE,
    results=("refunded",),
)
refund(
    "unsigned",
    "0000 without a signature",
    "A response without X-QF-SIGN is no proof: query.",
    unsigned,
    FAILED_REFUND,
    results=NOT_REFUNDED,
)
refund(
    "row-other-amount",
    "A row of another amount",
    "A row of another amount is not this refund.",
    code("2999"),
    Row(OK, amount="1"),
    FAILED_REFUND,
    results=NOT_REFUNDED,
)


@REQUEST.must("signature", "Signatures of requests", "Every request is signed over all its parameters.")
def signature(command: Command) -> None:
    _expect_none(command, command.signature_faults, "a correct X-QF-SIGN and X-QF-APPCODE in every request")


@REQUEST.must(
    "form",
    "Form of requests",
    "Calls are POSTs (a query may be GET) with the required parameters, as the command was asked.",
)
def form(command: Command) -> None:
    _expect_none(command, command.form_faults, "requests with the required parameters and the given values")


def _expect_none(command: Command, faults: list[str], expected: str) -> None:
    if not command.has_run:
        raise Skipped("no scenario was run")
    if faults:
        raise Departure(expected, "; ".join(dict.fromkeys(faults)))


CHECKS: Final[list[Check[Command]]] = [check for group in (PAY, REFUND, REQUEST) for check in group.checks]
