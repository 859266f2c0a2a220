"""Checks of closing unpaid orders."""

from typing import Final

from tael_conformance.checks import Group, Skipped
from tael_conformance.server.session import OK, PENDING, Server
from tael_conformance.wire import Exchange

GROUP: Final[Group[Server]] = Group("server.close", "Close")
CLOSED: Final = "1142"
MISMATCH: Final = "1126"


def closed(server: Server) -> Exchange:
    """The response to the close of an order of its own."""
    return server.once("closed", lambda: close_again(server))


def close_again(server: Server) -> Exchange:
    return server.call("close", syssn=server.unpaid("closed").text("syssn"))


@GROUP.must(
    "unpaid",
    "An unpaid order is closed",
    "Closing an unpaid order is 0000, or 1145 while the wallet is undecided.",
)
def unpaid(server: Server) -> None:
    answer = closed(server)
    answer.expect(answer.respcd in (OK, *PENDING), "respcd 0000 or 1145")


@GROUP.must(
    "numbers", "Numbers of a close", "A close has a syssn of its own, and the payment's as orig_syssn."
)
def numbers(server: Server) -> None:
    number = server.unpaid("closed").text("syssn")
    answer = closed(server)
    answer.expect(answer.text("orig_syssn") == number, f"orig_syssn {number}")
    answer.expect(answer.text("syssn") not in ("", number), "another syssn than the payment's")


@GROUP.should("row", "The row of a closed order", "The row of a closed order is 1142; cancel is 2.")
def row(server: Server) -> None:
    answer = closed(server)
    if answer.respcd not in (OK, *PENDING):
        raise Skipped("the order is not closed")
    server.wait_for(server.unpaid("closed").text("syssn"), respcd=CLOSED, cancel="2")


@GROUP.must("out_trade_no", "Close by out_trade_no", "A close names the order by syssn or by out_trade_no.")
def out_trade_no(server: Server) -> None:
    opened = server.unpaid("closed by number")
    answer = server.call("close", out_trade_no=opened.text("out_trade_no"))
    answer.expect(answer.respcd in (OK, *PENDING), "respcd 0000 or 1145")


@GROUP.should(
    "repeated", "A repeated close", "Closing again returns the first response again, with the same syssn."
)
def repeated(server: Server) -> None:
    first, second = closed(server), close_again(server)
    if first.respcd not in (OK, *PENDING):
        raise Skipped("the order is not closed")
    second.expect(second.text("syssn") == first.text("syssn"), f"syssn {first.text('syssn')} again")


@GROUP.should("mismatch", "Numbers of two orders", "syssn and out_trade_no of different orders are 1126.")
def mismatch(server: Server) -> None:
    first, second = server.unpaid(), server.unpaid("second")
    answer = server.call("close", syssn=first.text("syssn"), out_trade_no=second.text("out_trade_no"))
    answer.expect(answer.respcd == MISMATCH, f"respcd {MISMATCH}")


@GROUP.should(
    "paid-again", "A payment under a closed order's number", "The number of a closed order is 1142."
)
def paid_again(server: Server) -> None:
    if closed(server).respcd != OK:
        raise Skipped("the order is not closed")
    number = server.unpaid("closed").text("out_trade_no")
    answer = server.open(server.online_type(), out_trade_no=number)
    answer.expect(answer.respcd == CLOSED, f"respcd {CLOSED}")


@GROUP.should("reversal", "A reversal of an online order", "Online orders are not reversed: 1124.")
def reversal(server: Server) -> None:
    opened = server.unpaid()
    answer = server.call("reversal", syssn=opened.text("syssn"), txamt=opened.text("txamt"))
    answer.expect(answer.respcd == "1124", "respcd 1124")


@GROUP.should("refund", "A refund of an unpaid order", "A payment that is not paid cannot be refunded: 1124.")
def refund(server: Server) -> None:
    opened = server.unpaid()
    number = f"{opened.text('out_trade_no')}-r"
    answer = server.call(
        "refund", syssn=opened.text("syssn"), out_trade_no=number, txamt=opened.text("txamt")
    )
    answer.expect(answer.respcd == "1124", "respcd 1124")
