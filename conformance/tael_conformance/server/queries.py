"""Checks of queries, on unpaid orders."""

from datetime import timedelta
from typing import Final

from tael_conformance.checks import Departure, Group, Skipped
from tael_conformance.server.moments import read_moment
from tael_conformance.server.payments import TOLERANCE
from tael_conformance.server.session import MOMENT, OK, Server, new_reference, rows_of
from tael_conformance.wire import Exchange, Members

GROUP: Final[Group[Server]] = Group("server.query", "Query")
ROW: Final = (
    *("order_type", "pay_type", "out_trade_no", "syssn", "txamt", "txcurrcd", "txdtm", "sysdtm"),
    *("cancel", "respcd", "errmsg"),
)
#: Additions of QFPay's later documents.
LATER: Final = ("paydtm", "chnlsn", "cardcd")
PAST_THE_END: Final = "100000"


def query_of(server: Server, opened: Exchange) -> Exchange:
    return server.call("query", syssn=opened.text("syssn"))


def expect_order(answer: Exchange, opened: Exchange) -> Members:
    """The only row, which is this order's."""
    rows = rows_of(answer)
    number = opened.text("syssn")
    answer.expect([row.get("syssn") for row in rows] == [number], f"one row, with syssn {number}")
    return rows[0]


@GROUP.must("syssn", "By syssn", "syssn selects one transaction.")
def by_syssn(server: Server) -> None:
    opened = server.unpaid()
    expect_order(query_of(server, opened), opened)


@GROUP.must("out_trade_no", "By out_trade_no", "out_trade_no selects the transactions with this number.")
def by_out_trade_no(server: Server) -> None:
    opened = server.unpaid()
    expect_order(server.call("query", out_trade_no=opened.text("out_trade_no")), opened)


@GROUP.must("batch", "Several numbers", "syssn and out_trade_no take several values, separated by commas.")
def batch(server: Server) -> None:
    orders = (server.unpaid(), server.unpaid("second"))
    for name in ("syssn", "out_trade_no"):
        answer = server.call("query", **{name: ",".join(each.text(name) for each in orders)})
        found = {row.get(name) for row in rows_of(answer)}
        answer.expect(found == {each.text(name) for each in orders}, "the rows of both orders")


@GROUP.must("filters", "Filters are combined", "Filters are combined with AND.")
def filters(server: Server) -> None:
    opened = server.unpaid()
    number, code = opened.text("out_trade_no"), opened.text("pay_type")
    expect_order(server.call("query", out_trade_no=number, pay_type=f"{code},800108"), opened)
    answer = server.call("query", out_trade_no=number, respcd=OK)
    answer.expect(rows_of(answer) == [], "no row: the order is not paid")


@GROUP.must("get", "GET", "A query may be sent with GET.")
def get(server: Server) -> None:
    opened = server.unpaid()
    params = server.params("query", {"syssn": opened.text("syssn")})
    expect_order(server.send("query", params, method="GET"), opened)


@GROUP.must("empty", "An unknown number", "An unknown number is 0000 with an empty list.")
def empty(server: Server) -> None:
    answer = server.call("query", out_trade_no=new_reference())
    answer.expect(rows_of(answer) == [], "an empty list")


@GROUP.must(
    "page-type", "page and page_size", "page and page_size are returned as integers, by default 1 and 10."
)
def page_type(server: Server) -> None:
    answer = server.call("query", out_trade_no=new_reference())
    values = [answer.members.get("page"), answer.members.get("page_size")]
    answer.expect(
        values == [1, 10] and all(isinstance(value, int) for value in values), "page 1 and page_size 10"
    )


@GROUP.must("paging", "Pages", "Pages of page_size rows hold every row once.")
def paging(server: Server) -> None:
    orders = (server.unpaid(), server.unpaid("second"))
    numbers = ",".join(each.text("syssn") for each in orders)
    found: list[object] = []
    for page in ("1", "2"):
        answer = server.call("query", syssn=numbers, page=page, page_size="1")
        answer.expect(len(rows_of(answer)) == 1, "one row")
        found += [row.get("syssn") for row in rows_of(answer)]
    answer.expect(len(set(found)) == len(orders), "another row than on page 1")


@GROUP.must("past-the-end", "A page past the end", "A page past the end is 0000 with an empty list.")
def past_the_end(server: Server) -> None:
    answer = server.call("query", syssn=server.unpaid().text("syssn"), page=PAST_THE_END)
    answer.expect(rows_of(answer) == [], "an empty list")


@GROUP.should("newest-first", "Order of rows", "Rows are sorted newest first.")
def newest_first(server: Server) -> None:
    orders = (server.unpaid(), server.unpaid("second"))
    answer = server.call("query", syssn=",".join(each.text("syssn") for each in orders))
    times = [(str(row.get("sysdtm")), str(row.get("syssn"))) for row in rows_of(answer)]
    answer.expect(times == sorted(times, reverse=True), "the newest row first")


@GROUP.should("page-zero", "page 0", "Pages are counted from 1; 0 is 1104.")
def page_zero(server: Server) -> None:
    answer = server.call("query", out_trade_no=new_reference(), page="0")
    answer.expect(answer.respcd == "1104", "respcd 1104")


@GROUP.must("row-members", "Members of a row", f"A row has {', '.join(ROW)}.")
def row_members(server: Server) -> None:
    answer = query_of(server, server.unpaid())
    for name in ROW:
        answer.expect(all(name in row for row in rows_of(answer)), f"the member {name} in the row")


@GROUP.should(
    "row-later-members", "Later members of a row", f"A row has {', '.join(LATER)}; empty if unknown."
)
def row_later_members(server: Server) -> None:
    answer = query_of(server, server.unpaid())
    for name in LATER:
        answer.expect(all(name in row for row in rows_of(answer)), f"the member {name} in the row")


@GROUP.must("row-strings", "Values of a row", "All values of a row are strings.")
def row_strings(server: Server) -> None:
    answer = query_of(server, server.unpaid())
    for row in rows_of(answer):
        for name, value in row.items():
            answer.expect(isinstance(value, str), f"{name} as a string")


@GROUP.must(
    "row-values",
    "A row has the order's values",
    "Amount, numbers and times of a row are those of the response.",
)
def row_values(server: Server) -> None:
    opened = server.unpaid()
    answer = query_of(server, opened)
    for row in rows_of(answer):
        for name in ("pay_type", "out_trade_no", "txamt", "txdtm"):
            answer.expect(_text(row, name) == opened.text(name), f"{name} {opened.text(name)} in the row")
        answer.expect(row.get("order_type", "payment") == "payment", "order_type payment")
        answer.expect(row.get("cancel", "0") in ("0", 0), "cancel 0")


def _text(row: Members, name: str) -> str:
    return str(row.get(name))


@GROUP.must("time", "Times of a row are in UTC+8", "sysdtm of a row is in UTC+8.")
def time(server: Server) -> None:
    now = server.payer.now()
    answer = query_of(server, server.unpaid())
    for row in rows_of(answer):
        moment = read_moment(answer, str(row.get("sysdtm")))
        # The order is at most as old as this run; the clock may have been moved meanwhile.
        answer.expect(
            now - server.age - TOLERANCE < moment < now + TOLERANCE, f"a sysdtm near {now.strftime(MOMENT)}"
        )


@GROUP.should(
    "time-filter",
    "Times of the filters are in UTC+8",
    "start_time and end_time are in UTC+8, both inclusive.",
)
def time_filter(server: Server) -> None:
    opened = server.unpaid()
    at = opened.text("sysdtm")
    number = opened.text("out_trade_no")
    expect_order(server.call("query", out_trade_no=number, start_time=at, end_time=at), opened)
    later = (read_moment(opened, at) + timedelta(seconds=1)).strftime(MOMENT)
    answer = server.call("query", out_trade_no=number, start_time=later, end_time=later)
    answer.expect(rows_of(answer) == [], f"no row after {at}")


@GROUP.must("month", "This month by default", "Without numbers and times, a query covers the current month.")
def month(server: Server) -> None:
    opened = server.unpaid()
    answer = server.call("query", page_size="100")
    now = server.payer.now()
    if opened.text("sysdtm")[:7] != f"{now:%Y-%m}":
        raise Skipped("the month has just ended")
    rows = rows_of(answer)
    answer.expect(bool(rows), "the order of this month")
    outside = [row for row in rows if _text(row, "sysdtm")[:7] != f"{now:%Y-%m}"]
    answer.expect(not outside, f"only rows of {now:%Y-%m}")


@GROUP.must("range", "A range of times", "start_time and end_time select a part of one month.")
def time_range(server: Server) -> None:
    now = server.payer.now()
    start, end = f"{now:%Y-%m}-01 00:00:00", now.strftime(MOMENT)
    rows_of(server.call("query", start_time=start, end_time=end))


@GROUP.should(
    "two-months", "A range over two months", "A range must lie within one calendar month; else 1104."
)
def two_months(server: Server) -> None:
    now = server.payer.now()
    start = (now.replace(day=1) - timedelta(days=1)).strftime(MOMENT)
    answer = server.call("query", start_time=start, end_time=now.strftime(MOMENT))
    answer.expect(answer.respcd == "1104", "respcd 1104")


@GROUP.must(
    "foreign", "Another merchant's transaction", "A query never returns transactions of other merchants."
)
def foreign(server: Server) -> None:
    number = server.options.foreign_syssn
    if not number:
        raise Skipped("needs --foreign-syssn")
    answer = server.call("query", syssn=number)
    rows = rows_of(answer)
    if rows:
        raise Departure("an empty list", f"{len(rows)} rows", answer.sent)
