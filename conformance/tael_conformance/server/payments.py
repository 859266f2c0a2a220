"""Checks of opening online orders: one for each pay type, left unpaid."""

import json
from datetime import timedelta
from functools import partial
from typing import Final

from tael_conformance.checks import Departure, Group, Skipped
from tael_conformance.pay_types import ONLINE, PAY_PARAMS, PayType
from tael_conformance.server.moments import read_moment
from tael_conformance.server.session import OK, PENDING, Server
from tael_conformance.wire import Exchange

GROUP: Final[Group[Server]] = Group("server.payment", "Payment")
MEMBERS: Final = ("pay_type", "out_trade_no", "syssn", "txamt", "txcurrcd", "txdtm", "sysdtm")
SCHEMES: Final = ("http://", "https://", "weixin://")
#: Further from the server's time than this, a time is in another zone or wrong.
TOLERANCE: Final = timedelta(minutes=20)
USED: Final = "1102"


def opens(pay_type: PayType, server: Server) -> None:
    if not server.is_wanted(pay_type):
        raise Skipped("not selected by --pay-type")
    opened = server.open(pay_type)
    opened.expect(opened.respcd == OK, "respcd 0000")
    opened.expect(opened.text("pay_type") == pay_type.code, f"pay_type {pay_type.code}")
    for name in pay_type.answer:
        opened.expect(bool(opened.members.get(name)), f"the member {name}")
    for name in ("pay_url", "qrcode"):
        if name in pay_type.answer:
            opened.expect(opened.text(name).startswith(SCHEMES), f"an address in {name}")
    if "pay_params" in pay_type.answer:
        params = opened.members["pay_params"]
        opened.expect(isinstance(params, dict), "an object in pay_params")
        absent = [name for name in PAY_PARAMS[pay_type.code] if name not in params]
        opened.expect(not absent, f"{', '.join(absent)} in pay_params")


for pay_type in ONLINE:
    needed = " and ".join(pay_type.answer)
    GROUP.must(
        f"{pay_type.code}",
        f"{pay_type.code}: {pay_type.title}",
        f"An order of {pay_type.code} is opened with 0000, and the response has {needed}.",
    )(partial(opens, pay_type))


@GROUP.must("members", "Members of an opened order", f"The response has {', '.join(MEMBERS)}.")
def members(server: Server) -> None:
    opened = server.unpaid()
    for name in MEMBERS:
        opened.expect(bool(opened.text(name)), f"the member {name}")


@GROUP.must("echo", "Amount and time are returned", "txamt and txdtm are returned as sent.")
def echo(server: Server) -> None:
    amount = str(server.options.amount)
    opened = server.open(server.online_type(), txdtm="2016-08-01 11:07:22")
    opened.expect(opened.text("txamt") == amount, f"txamt {amount}")
    opened.expect(opened.text("txdtm") == "2016-08-01 11:07:22", "txdtm 2016-08-01 11:07:22")


@GROUP.must(
    "syssn", "syssn begins with the day", "syssn is a string of digits that begins with the day of sysdtm."
)
def syssn(server: Server) -> None:
    opened = server.unpaid()
    number, day = opened.text("syssn"), opened.text("sysdtm")[:10].replace("-", "")
    opened.expect(number.isdigit() and number.startswith(day), f"digits that begin with {day}")


@GROUP.must("time", "sysdtm is in UTC+8", "sysdtm is YYYY-MM-DD HH:MM:SS in UTC+8.")
def time(server: Server) -> None:
    before = server.payer.now()
    opened = server.open(server.online_type())
    moment = read_moment(opened, opened.text("sysdtm"))
    opened.expect(abs(moment - before) < TOLERANCE, f"a sysdtm near {before:%Y-%m-%d %H:%M:%S}")


@GROUP.should(
    "repeated", "A repeated payment", "The same request again returns the same syssn and the same pay data."
)
def repeated(server: Server) -> None:
    params = server.payment_params(server.online_type())
    first, second = server.send("payment", params), server.send("payment", params)
    if first.respcd != OK:
        raise Skipped("needs an unpaid order")
    second.expect(second.respcd == OK, "respcd 0000")
    for name in ("syssn", *server.online_type().answer):
        expected = json.dumps(first.members.get(name))
        second.expect(second.members.get(name) == first.members.get(name), f"{name} {expected} again")


@GROUP.must(
    "duplicate",
    "An out_trade_no with another amount",
    "Two payments cannot have the same out_trade_no: refused.",
)
def duplicate(server: Server) -> None:
    opened = server.unpaid()
    answer = _again_with_another_amount(server, opened.text("out_trade_no"))
    answer.expect(answer.respcd != OK, "a refusal")


@GROUP.should(
    "duplicate-code", "The code of that refusal", "An out_trade_no in use with other content is 1102."
)
def duplicate_code(server: Server) -> None:
    opened = server.unpaid()
    answer = _again_with_another_amount(server, opened.text("out_trade_no"))
    if answer.respcd == OK:
        raise Skipped("it is accepted; see server.payment.duplicate")
    answer.expect(answer.respcd == USED, f"respcd {USED}")


def _again_with_another_amount(server: Server, number: str) -> Exchange:
    return server.open(server.online_type(), out_trade_no=number, txamt=str(server.options.amount + 1))


@GROUP.must(
    "row", "An unpaid order is pending", "0000 means created: the order's row is 1145 until it is paid."
)
def row(server: Server) -> None:
    opened = server.unpaid()
    found = server.row(opened.text("syssn"))
    if found.get("respcd") not in PENDING:
        raise Departure("a row with respcd 1145", str(found), f"query {opened.text('syssn')}")
