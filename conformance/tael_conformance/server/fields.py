"""Checks of required and malformed parameters. None of these requests opens an order at a correct server."""

from functools import partial
from typing import Final

from tael_conformance.checks import Group, Skipped
from tael_conformance.pay_types import BARCODE, NO_PAY_TYPE, ONLINE, PayType
from tael_conformance.server.session import NOT_GRANTED, OK, Server, new_reference
from tael_conformance.wire import Exchange

GROUP: Final[Group[Server]] = Group("server.field", "Time and amounts")
#: The checks of the other calls, each with its section.
OF_CALL: Final[dict[str, Group[Server]]] = {
    call: Group("server.field", call.capitalize()) for call in ("close", "refund", "reversal")
}
GROUPS: Final = (GROUP, *OF_CALL.values())
INVALID: Final = "1104"
UNKNOWN: Final = "1136"
MISSING: Final = "必传参数: "
NO_CHANNEL: Final = "获取用户支付通道失败"
WRONG_AMOUNTS: Final = ("10.5", "abc", "-1", "1e3")
NO_SYSSN: Final = "200001010900990000000000"


def expect_missing(answer: Exchange, name: str) -> None:
    answer.expect(
        answer.respcd == INVALID and answer.text("respmsg") == f"{MISSING}{name}",
        f"respcd {INVALID} with respmsg {MISSING}{name}",
    )


def expect_invalid(answer: Exchange) -> None:
    answer.expect(answer.respcd == INVALID, f"respcd {INVALID}")


def payment(server: Server, **given: str | None) -> Exchange:
    """A payment with one mistake. If it is accepted, the order is closed at the end."""
    return server.open(server.online_type(), **given)


def missing(name: str, server: Server) -> None:
    expect_missing(payment(server, **{name: None}), name)


def missing_auth_code(pay_type: PayType, server: Server) -> None:
    expect_missing(server.open(pay_type, auth_code=None), "auth_code")


def missing_openid(pay_type: PayType, server: Server) -> None:
    params = server.params(
        "payment",
        {"pay_type": pay_type.code, "out_trade_no": new_reference(), "txamt": str(server.options.amount)},
    )
    answer = server.send("payment", params)
    if not answer.text("respmsg").startswith(NOT_GRANTED):
        expect_missing(answer, "sub_openid")


for name in ("pay_type", "out_trade_no", "txamt", "txdtm"):
    GROUP.must(f"missing.{name}", f"No {name}", f"A payment without {name} is 1104 with 必传参数: {name}.")(
        partial(missing, name)
    )
for pay_type in BARCODE:
    GROUP.must(
        f"missing.auth_code.{pay_type.code}",
        f"{pay_type.code} without auth_code",
        "A barcode payment without auth_code is 1104 with 必传参数: auth_code.",
    )(partial(missing_auth_code, pay_type))
for pay_type in (each for each in ONLINE if each.required == "sub_openid"):
    GROUP.must(
        f"missing.sub_openid.{pay_type.code}",
        f"{pay_type.code} without sub_openid",
        "A payment inside WeChat without sub_openid is 1104 with 必传参数: sub_openid.",
    )(partial(missing_openid, pay_type))


@GROUP.must("txamt", "A malformed txamt", "txamt is an integer in the minor unit; anything else is 1104.")
def txamt(server: Server) -> None:
    for amount in WRONG_AMOUNTS:
        expect_invalid(payment(server, txamt=amount))


@GROUP.should("txamt-zero", "txamt 0", "txamt is at least 1; 0 is 1104.")
def txamt_zero(server: Server) -> None:
    expect_invalid(payment(server, txamt="0"))


@GROUP.should("txamt-length", "txamt with 12 digits", "txamt has at most 11 digits; more is 1104.")
def txamt_length(server: Server) -> None:
    expect_invalid(payment(server, txamt="1" * 12))


@GROUP.should("txdtm", "A malformed txdtm", "txdtm is a valid YYYY-MM-DD HH:MM:SS; anything else is 1104.")
def txdtm(server: Server) -> None:
    for text in ("2026-13-01 00:00:00", "20260101000000", "today"):
        expect_invalid(payment(server, txdtm=text))


@GROUP.should("out_trade_no", "A malformed out_trade_no", "Blanks and commas in out_trade_no are 1104.")
def out_trade_no(server: Server) -> None:
    for number in (f"{new_reference()} b", f"{new_reference()},b"):
        expect_invalid(payment(server, out_trade_no=number))


@GROUP.must("valid_time", "valid_time below 300", "valid_time is at least 300 seconds; less is 1104.")
def valid_time(server: Server) -> None:
    expect_invalid(payment(server, valid_time="299"))


@GROUP.must("txcurrcd", "Another currency", "A txcurrcd that is not the merchant's currency is 1122.")
def txcurrcd(server: Server) -> None:
    answer = payment(server, txcurrcd="XTS")
    answer.expect(answer.respcd == "1122", "respcd 1122")


@GROUP.must(
    "pay_type", "An unserved pay type", "A pay type that is not granted is 1104 with respmsg filter_error."
)
def unserved(server: Server) -> None:
    answer = payment(server, pay_type=NO_PAY_TYPE)
    is_refused = answer.respcd == INVALID and answer.text("respmsg").startswith(NOT_GRANTED)
    answer.expect(is_refused, "respcd 1104 with respmsg filter_error")


@GROUP.should("pay_type-text", "Its text", f"Its resperr is {NO_CHANNEL}.")
def unserved_text(server: Server) -> None:
    answer = payment(server, pay_type=NO_PAY_TYPE)
    answer.expect(answer.text("resperr") == NO_CHANNEL, f"resperr {NO_CHANNEL}")


@GROUP.should(
    "unknown-parameter",
    "An unknown parameter",
    "An unknown parameter is part of the signature and otherwise ignored.",
)
def unknown(server: Server) -> None:
    answer = payment(server, kit_note="unknown")
    answer.expect(answer.respcd == OK, "respcd 0000")


@GROUP.must("product_name", "Chinese text", "product_name is any text in UTF-8.")
def product_name(server: Server) -> None:
    answer = payment(server, product_name="香港測試：奶茶 & tea")
    answer.expect(answer.respcd == OK, "respcd 0000")


@GROUP.should(
    "mchid", "The spelling Mchid", "The documents spell the merchant mchid and Mchid; both are accepted."
)
def mchid(server: Server) -> None:
    if not server.credentials.mchid:
        raise Skipped("needs --mchid")
    params = {"Mchid": server.credentials.mchid, "out_trade_no": new_reference()}
    answer = server.send("query", params)
    answer.expect(answer.respcd == OK, "respcd 0000")


def without_number(call: str, server: Server) -> None:
    expect_invalid(server.call(call, txamt=str(server.options.amount)))


def unknown_number(call: str, server: Server) -> None:
    number = None if call == "close" else NO_SYSSN
    given = {"syssn": number, "out_trade_no": new_reference(), "txamt": str(server.options.amount)}
    if call == "reversal":
        given["out_trade_no"] = None
    answer = server.call(call, **given)
    answer.expect(answer.respcd == UNKNOWN, f"respcd {UNKNOWN}")


for call in OF_CALL:
    group = OF_CALL[call]
    add = group.must if call == "refund" else group.should
    add(f"number.{call}", f"A {call} without a number", f"A {call} that names no payment is 1104.")(
        partial(without_number, call)
    )
    group.must(
        f"unknown.{call}", f"A {call} of an unknown payment", f"A {call} of an unknown payment is 1136."
    )(partial(unknown_number, call))


def refund_without(name: str, server: Server) -> None:
    given: dict[str, str | None] = {
        "syssn": NO_SYSSN,
        "out_trade_no": new_reference(),
        "txamt": str(server.options.amount),
    }
    expect_missing(server.call("refund", **(given | {name: None})), name)


for name in ("syssn", "out_trade_no", "txamt"):
    OF_CALL["refund"].must(
        f"missing.refund.{name}",
        f"A refund without {name}",
        f"A refund without {name} is 1104 with 必传参数: {name}.",
    )(partial(refund_without, name))
