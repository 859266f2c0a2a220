"""Checks of every response: its form, its signature and its HTTP status."""

import json
from typing import Final

from tael_conformance.checks import Departure, Group
from tael_conformance.server.session import OK, Server, new_reference
from tael_conformance.signing import is_signature
from tael_conformance.wire import SIGN_HEADER, Exchange

GROUP: Final[Group[Server]] = Group("server.response", "Responses")
RESULT: Final = ("respcd", "respmsg", "resperr")
#: The only members that are not strings.
NOT_TEXT: Final = {"page": int, "page_size": int, "data": list, "pay_params": dict}


def empty_query(server: Server) -> Exchange:
    return server.call("query", out_trade_no=new_reference())


def refused_payment(server: Server) -> Exchange:
    """A refusal of a verified request: a payment without any parameter of its own."""
    return server.call("payment", out_trade_no=new_reference())


def unverified(server: Server) -> Exchange:
    params = server.params("query", {"out_trade_no": new_reference()})
    return server.send("query", params, sign="0" * 32, note="wrong signature")


def expect_signed(server: Server, answer: Exchange) -> None:
    algorithm = server.options.response_algorithm
    sign = answer.headers.get(SIGN_HEADER.lower())
    rule = f"X-QF-SIGN: the {algorithm} of the body's bytes and the key"
    if sign is None:
        raise Departure(rule, "no X-QF-SIGN", answer.sent)
    if not is_signature(sign, answer.body, server.credentials.key, algorithm):
        raise Departure(rule, f"another signature with {answer.received}", answer.sent)


def expect_texts(answer: Exchange) -> None:
    for name, value in answer.members.items():
        kind = NOT_TEXT.get(name, str)
        is_kind = isinstance(value, kind) and not isinstance(value, bool)
        answer.expect(is_kind, f"{name} as a {'string' if kind is str else kind.__name__}")


@GROUP.must(
    "signature", "A query's response is signed", "X-QF-SIGN is the MD5 of the body's bytes and the key."
)
def signature(server: Server) -> None:
    expect_signed(server, empty_query(server))


@GROUP.must(
    "signature-payment",
    "A payment's response is signed",
    "X-QF-SIGN is the MD5 of the body's bytes and the key.",
)
def signature_payment(server: Server) -> None:
    expect_signed(server, server.unpaid())


@GROUP.should(
    "signature-refusal", "A refusal is signed", "If the request was verified, a refusal is signed too."
)
def signature_refusal(server: Server) -> None:
    expect_signed(server, refused_payment(server))


@GROUP.should(
    "signature-upper-case",
    "Signatures in capitals",
    "Receivers compare case-sensitively, so X-QF-SIGN is in capitals.",
)
def signature_upper_case(server: Server) -> None:
    answer = empty_query(server)
    sign = answer.headers.get(SIGN_HEADER.lower(), "")
    if sign != sign.upper():
        raise Departure("X-QF-SIGN in capitals", "X-QF-SIGN with lower-case letters", answer.sent)


@GROUP.should(
    "signature-unverified", "No signature for an unverified request", "Responses with 1108 are not signed."
)
def signature_unverified(server: Server) -> None:
    answer = unverified(server)
    if SIGN_HEADER.lower() in answer.headers:
        raise Departure("no X-QF-SIGN", "a signed response", answer.sent)


@GROUP.must(
    "content-type", "JSON in UTF-8", "A response is JSON in UTF-8, and its Content-Type is application/json."
)
def content_type(server: Server) -> None:
    answer = empty_query(server)
    kind = answer.headers.get("content-type", "")
    if not kind.lower().startswith("application/json"):
        raise Departure("Content-Type: application/json", f"Content-Type: {kind}", answer.sent)


@GROUP.should(
    "ascii",
    "Text as \\uXXXX",
    "Text that is not ASCII is written as \\uXXXX, as in all examples of the documents.",
)
def ascii_only(server: Server) -> None:
    answer = refused_payment(server)
    answer.expect(answer.body.isascii(), "a body in ASCII")


@GROUP.must("members", "The members of a result", "Every response has respcd, respmsg and resperr.")
def members(server: Server) -> None:
    for answer in (empty_query(server), refused_payment(server), unverified(server)):
        for name in RESULT:
            answer.expect(name in answer.members, f"the member {name}")


@GROUP.must(
    "strings", "Values are strings", "All values are strings, except page, page_size, data and pay_params."
)
def strings(server: Server) -> None:
    for answer in (server.unpaid(), refused_payment(server)):
        expect_texts(answer)


@GROUP.must("respcd", "Four digits", "respcd has four digits.")
def respcd(server: Server) -> None:
    for answer in (empty_query(server), refused_payment(server)):
        code = answer.text("respcd")
        answer.expect(len(code) == 4 and code.isdigit(), "respcd with four digits")


@GROUP.must(
    "http-200", "A refusal is HTTP 200", "The HTTP status of every result of a call is 200, also of refusals."
)
def http_200(server: Server) -> None:
    answer = refused_payment(server)
    answer.expect(answer.status == 200, "HTTP 200")


@GROUP.must("echo", "A refusal names the order", "A refusal returns the out_trade_no of the request.")
def echo(server: Server) -> None:
    number = new_reference()
    answer = server.call("payment", out_trade_no=number)
    answer.expect(answer.text("out_trade_no") == number, f"out_trade_no {number}")


@GROUP.should("text-success", "resperr of a success", 'resperr is "" on success.')
def text_success(server: Server) -> None:
    opened = server.unpaid()
    opened.expect(opened.text("resperr") == "", 'resperr ""')


@GROUP.must("text-refusal", "resperr of a refusal", "resperr is a text for the cashier or the payer.")
def text_refusal(server: Server) -> None:
    answer = refused_payment(server)
    answer.expect(bool(answer.text("resperr")), "a text in resperr")


@GROUP.should("unknown-path", "An unknown path", "An unknown path is HTTP 404 with respcd 1103.")
def unknown_path(server: Server) -> None:
    answer = server.call("no-such-call")
    answer.expect(answer.status == 404 and answer.respcd == "1103", "HTTP 404 with respcd 1103")


@GROUP.should(
    "wrong-method", "GET of a payment", "Calls other than query accept POST only: HTTP 405 with respcd 1103."
)
def wrong_method(server: Server) -> None:
    answer = server.send("payment", server.params("payment", {}), method="GET")
    answer.expect(answer.status == 405 and answer.respcd == "1103", "HTTP 405 with respcd 1103")


@GROUP.should("json-body", "A JSON body", "Requests are forms; a body in JSON is 1103.")
def json_body(server: Server) -> None:
    params = server.params("query", {"out_trade_no": new_reference()})
    headers = {"Content-Type": "application/json"}
    answer = server.send("query", params, body=json.dumps(params), headers=headers, note="as JSON")
    answer.expect(answer.respcd == "1103", "respcd 1103")


@GROUP.must("query-outer", "A query without rows succeeds", "The outer respcd of a query that ran is 0000.")
def query_outer(server: Server) -> None:
    answer = empty_query(server)
    answer.expect(answer.respcd == OK, "respcd 0000")


@GROUP.should("query-respmsg", "respmsg of a query", 'respmsg of a query is "".')
def query_respmsg(server: Server) -> None:
    answer = empty_query(server)
    answer.expect(answer.text("respmsg") == "", 'respmsg ""')
