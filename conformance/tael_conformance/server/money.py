"""Checks that move money: made only with --move-money."""

from functools import partial
from typing import Final

from tael_conformance.checks import Group, Skipped
from tael_conformance.pay_types import BARCODE, ONLINE, PayType
from tael_conformance.server.payments import USED
from tael_conformance.server.session import OK, PENDING, REFUND_PENDING, Server, new_reference
from tael_conformance.wire import Exchange

PAID: Final[Group[Server]] = Group("server.money", "Payment")
CLOSE: Final[Group[Server]] = Group("server.money.close", "Close")
REFUND: Final[Group[Server]] = Group("server.money.refund", "Refund")
REVERSAL: Final[Group[Server]] = Group("server.money.reversal", "Reversal")
GROUPS: Final = (PAID, CLOSE, REFUND, REVERSAL)
OVER_REFUND: Final = "1272"
NOTHING_LEFT: Final = "1125"
NOT_POSSIBLE: Final = "1124"
ACCEPTED: Final = (OK, *REFUND_PENDING)
#: Between two refunds, Alipay wants three seconds.
REFUND_GAP_S: Final = 4
PART: Final = 1


# ---- paid ----------------------------------------------------------------------------------------------------


def paid_barcode(pay_type: PayType, server: Server) -> None:
    if not server.is_wanted(pay_type):
        raise Skipped("not selected by --pay-type")
    paid = server.paid(pay_type)
    paid.expect(paid.respcd in (OK, *PENDING), "respcd 0000, or 1145 and then a paid row")
    if paid.respcd == OK:
        paid.expect(bool(paid.text("cardcd")), "cardcd, the payer's id at the wallet")
    row = server.wait_for(paid.text("syssn"), respcd=OK)
    paid.expect(row.get("pay_type") == pay_type.code, f"pay_type {pay_type.code} in the row")


def paid_online(pay_type: PayType, server: Server) -> None:
    if not server.is_wanted(pay_type):
        raise Skipped("not selected by --pay-type")
    if not server.payer.is_unattended and pay_type is not server.online_type():
        raise Skipped("a person pays one online order only; use --sandbox")
    server.wait_for(server.paid(pay_type).text("syssn"), respcd=OK, cancel="0")


for pay_type in BARCODE:
    PAID.must(
        f"barcode.{pay_type.code}",
        f"{pay_type.code} is paid: {pay_type.title}",
        "In a shop, 0000 means paid, with the payer's id in cardcd; the row becomes 0000.",
    )(partial(paid_barcode, pay_type))
for pay_type in ONLINE:
    PAID.must(
        f"online.{pay_type.code}",
        f"{pay_type.code} is paid: {pay_type.title}",
        "After the payer has paid, the row is 0000 with cancel 0.",
    )(partial(paid_online, pay_type))


def close_paid_order(server: Server) -> Exchange:
    return server.call("close", syssn=server.paid(server.online_type()).text("syssn"))


@CLOSE.must(
    "online", "A close of a paid order", "A paid order cannot be closed: refused, and nothing changes."
)
def close_paid(server: Server) -> None:
    answer = close_paid_order(server)
    answer.expect(answer.respcd not in (OK, *PENDING), "a refusal")


@CLOSE.should("code", "The code of that refusal", "A close of a paid order is 1124.")
def close_paid_code(server: Server) -> None:
    answer = close_paid_order(server)
    if answer.respcd in (OK, *PENDING):
        raise Skipped("it is accepted; see server.money.close.online")
    answer.expect(answer.respcd == NOT_POSSIBLE, f"respcd {NOT_POSSIBLE}")


@CLOSE.must("row", "Its row afterwards", "After a refused close, the row is still 0000 with cancel 0.")
def close_paid_row(server: Server) -> None:
    paid = server.paid(server.online_type())
    close_paid_order(server)
    server.wait_for(paid.text("syssn"), respcd=OK, cancel="0")


@CLOSE.should("barcode", "A close of a barcode payment", "Barcode payments are not closed: 1124.")
def close_barcode(server: Server) -> None:
    answer = server.call("close", syssn=server.paid_barcode().text("syssn"))
    answer.expect(answer.respcd == NOT_POSSIBLE, f"respcd {NOT_POSSIBLE}")


@PAID.should(
    "repeated", "A repeated barcode payment", "A payment of other content under a paid number is 1102."
)
def repeated(server: Server) -> None:
    paid = server.paid_barcode()
    answer = server.open(
        server.online_type(), out_trade_no=paid.text("out_trade_no"), txamt=str(server.options.amount + 1)
    )
    answer.expect(answer.respcd == USED, f"respcd {USED}")


# ---- refunds -------------------------------------------------------------------------------------------------
# In this order on one payment: part of it, the same again, too much, the rest, and one more.


def refund(server: Server, amount: int, number: str | None = None) -> Exchange:
    """A refund of the payment of this group."""
    server.advance(REFUND_GAP_S)
    paid = server.paid_barcode()
    params = {"syssn": paid.text("syssn"), "out_trade_no": number or new_reference(), "txamt": str(amount)}
    return server.call("refund", **params)


def part_number(server: Server) -> str:
    """The number of the partial refund."""
    return f"{server.paid_barcode().text('out_trade_no')}-part"


def part(server: Server) -> Exchange:
    """The partial refund."""
    answer = server.once("part", lambda: refund(server, PART, part_number(server)))
    if answer.respcd not in ACCEPTED:
        raise Skipped("needs a partial refund; see server.money.refund.part")
    return answer


def done(server: Server, answer: Exchange) -> None:
    server.advance(REFUND_GAP_S)
    server.wait_for(answer.text("syssn"), respcd=OK)


@REFUND.must("part", "A partial refund", "A refund is 0000, or 2999 while it is pending.")
def refund_part(server: Server) -> None:
    answer = server.once("part", lambda: refund(server, PART, part_number(server)))
    answer.expect(answer.respcd in ACCEPTED, "respcd 0000 or 2999")


@REFUND.must(
    "numbers",
    "Numbers of a refund",
    "A refund has a syssn of its own, and the payment's as orig_syssn.",
)
def refund_numbers(server: Server) -> None:
    number = server.paid_barcode().text("syssn")
    answer = part(server)
    answer.expect(answer.text("orig_syssn") == number, f"orig_syssn {number}")
    answer.expect(answer.text("syssn") not in ("", number), "another syssn than the payment's")


@REFUND.must("row", "The row of a refund", "A refund has a row with order_type refund that becomes 0000.")
def refund_row(server: Server) -> None:
    answer = part(server)
    done(server, answer)
    row = server.row(answer.text("syssn"))
    answer.expect(
        row.get("order_type") == "refund" and row.get("txamt") == str(PART), "order_type refund, txamt 1"
    )


@REFUND.should(
    "origssn", "The payment's number in a refund's row", "A refund's row has the payment as origssn."
)
def refund_origssn(server: Server) -> None:
    answer = part(server)
    number = server.paid_barcode().text("syssn")
    answer.expect(server.row(answer.text("syssn")).get("origssn") == number, f"origssn {number} in the row")


@REFUND.must(
    "cancel",
    "The row of a refunded payment",
    "The payment's row has cancel 2, or 5 in later documents.",
)
def refund_cancel(server: Server) -> None:
    done(server, part(server))
    server.wait_for(server.paid_barcode().text("syssn"), respcd=OK, cancel="2,3,5")


@REFUND.must("repeated", "A repeated refund", "A refund repeated under the same number is not made twice.")
def refund_repeated(server: Server) -> None:
    first, second = part(server), refund(server, PART, part_number(server))
    is_made_once = second.respcd not in ACCEPTED or second.text("syssn") == first.text("syssn")
    second.expect(is_made_once, f"syssn {first.text('syssn')} again, or a refusal")


@REFUND.should("repeated-answer", "Its response", "A repeated refund returns the first response again.")
def refund_repeated_answer(server: Server) -> None:
    first, second = part(server), refund(server, PART, part_number(server))
    if second.respcd in ACCEPTED and second.text("syssn") != first.text("syssn"):
        raise Skipped("it is made twice; see server.money.refund.repeated")
    second.expect(second.text("syssn") == first.text("syssn"), f"syssn {first.text('syssn')} again")


@REFUND.should(
    "duplicate", "A refund's number with another amount", "A number in use with other content is 1102."
)
def refund_duplicate(server: Server) -> None:
    part(server)
    answer = refund(server, PART + 1, part_number(server))
    answer.expect(answer.respcd == USED, f"respcd {USED}")


@REFUND.must("over", "A refund above what is left", "More than the refundable amount is 1272.")
def refund_over(server: Server) -> None:
    part(server)
    answer = refund(server, server.options.amount)
    answer.expect(answer.respcd == OVER_REFUND, f"respcd {OVER_REFUND}")


def rest(server: Server) -> Exchange:
    """The refund of all that the partial one has left."""
    part(server)
    amount, number = server.options.amount - PART, f"{part_number(server)}-rest"
    return server.once("rest", lambda: refund(server, amount, number))


@REFUND.must("full", "A refund of the rest", "Refunds repeat until the whole amount is returned.")
def refund_full(server: Server) -> None:
    answer = rest(server)
    answer.expect(answer.respcd in ACCEPTED, "respcd 0000 or 2999")
    done(server, answer)


def refund_of_nothing(server: Server) -> Exchange:
    """A refund of a payment that is wholly refunded."""
    if rest(server).respcd not in ACCEPTED:
        raise Skipped("needs a refunded payment; see server.money.refund.full")
    return refund(server, PART)


@REFUND.must("nothing-left", "A refund of a refunded payment", "If nothing is left, a refund is refused.")
def refund_nothing_left(server: Server) -> None:
    answer = refund_of_nothing(server)
    answer.expect(answer.respcd not in ACCEPTED, "a refusal")


@REFUND.should("nothing-left-code", "The code of that refusal", "If nothing is left, a refund is 1125.")
def refund_nothing_left_code(server: Server) -> None:
    answer = refund_of_nothing(server)
    if answer.respcd in ACCEPTED:
        raise Skipped("it is accepted; see server.money.refund.nothing-left")
    answer.expect(answer.respcd == NOTHING_LEFT, f"respcd {NOTHING_LEFT}")


@REFUND.must(
    "foreign", "A refund of another merchant's payment", "Another merchant's payment is unknown: 1136."
)
def refund_foreign(server: Server) -> None:
    if not server.options.move_money:
        raise Skipped("may move money; allow it with --move-money")
    if not server.options.foreign_syssn:
        raise Skipped("needs --foreign-syssn")
    params = {"syssn": server.options.foreign_syssn, "out_trade_no": new_reference(), "txamt": str(PART)}
    answer = server.call("refund", **params)
    answer.expect(answer.respcd == "1136", "respcd 1136")


# ---- reversals -----------------------------------------------------------------------------------------------


def reverse(server: Server, amount: int = 0) -> Exchange:
    """A reversal of the second barcode payment."""
    paid = server.paid_barcode("reversal")
    return server.call("reversal", syssn=paid.text("syssn"), txamt=str(amount or server.options.amount))


def reversed_(server: Server) -> Exchange:
    """The reversal of the whole amount. Raises Skipped if it is refused."""
    answer = server.once("reversal", lambda: reverse(server))
    if answer.respcd not in (OK, *PENDING):
        raise Skipped("needs a reversal; see server.money.reversal.paid")
    return answer


@REVERSAL.should("amount", "A reversal of another amount", "txamt must be the payment's; else 1126.")
def reversal_amount(server: Server) -> None:
    answer = reverse(server, server.options.amount + 1)
    answer.expect(answer.respcd == "1126", "respcd 1126")


@REVERSAL.should(
    "paid",
    "A reversal of a paid payment",
    "A paid barcode payment is refunded and closed: 0000 or 1145. QFPay's later documents refuse it.",
)
def reversal_paid(server: Server) -> None:
    answer = server.once("reversal", lambda: reverse(server))
    answer.expect(answer.respcd in (OK, *PENDING), "respcd 0000 or 1145")


@REVERSAL.must(
    "numbers",
    "Numbers of a reversal",
    "A reversal has a syssn of its own, and the payment's as orig_syssn.",
)
def reversal_numbers(server: Server) -> None:
    answer = reversed_(server)
    number = server.paid_barcode("reversal").text("syssn")
    answer.expect(answer.text("orig_syssn") == number, f"orig_syssn {number}")
    answer.expect(answer.text("syssn") not in ("", number), "another syssn than the payment's")


@REVERSAL.must("row", "The row of a reversed payment", "The row of a reversed payment has cancel 1.")
def reversal_row(server: Server) -> None:
    reversed_(server)
    server.wait_for(server.paid_barcode("reversal").text("syssn"), cancel="1")


@REVERSAL.must(
    "no-row",
    "A reversal has no row",
    "Reversals are not listed: a query for one returns an empty list.",
)
def reversal_no_row(server: Server) -> None:
    found = server.call("query", syssn=reversed_(server).text("syssn"))
    found.expect(found.members.get("data") == [], "an empty list")


@REVERSAL.should("repeated", "A repeated reversal", "A repeated reversal returns the same syssn.")
def reversal_repeated(server: Server) -> None:
    first, second = reversed_(server), reverse(server)
    second.expect(second.text("syssn") == first.text("syssn"), f"syssn {first.text('syssn')} again")
