"""Checks of queries of settlements. A merchant without any passes those about rows."""

import re
from typing import Final

from tael_conformance.checks import Departure, Group
from tael_conformance.server.session import Server, rows_of
from tael_conformance.wire import Exchange, Members

GROUP: Final[Group[Server]] = Group("server.settlement", "Settlements")
PATH: Final = "/settlement/v1/query"
#: A year that may have settlements, and at most 366 days.
YEAR: Final = {"date_start": "20260101", "date_end": "20261231"}
TEXTS: Final = ("chnl_mch_id", "date_settlement", "paymethod", "date_start", "date_end", "currency")
AMOUNTS: Final = ("pay_amt", "refund_amt", "pay_net_amt", "chnl_poundage_amt", "settlement_amt")
DAY: Final = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}", re.ASCII)
#: `paymethod` in a row, for each value of the parameter.
WALLETS: Final = {"2": "支付宝", "3": "微信"}


def asked(server: Server, **given: str) -> Exchange:
    """GET /settlement/v1/query, signed. "" leaves a parameter out."""
    filled = {"mchid": server.credentials.mchid, **YEAR, **given}
    return server.send(PATH, {name: value for name, value in filled.items() if value}, method="GET")


def rows(server: Server) -> tuple[Exchange, list[Members]]:
    answer = server.once("settlements", lambda: asked(server))
    return answer, rows_of(answer)


@GROUP.must(
    "list", "A range of days", "The settlements of a range of days are 0000 with a list, maybe empty."
)
def listed(server: Server) -> None:
    rows(server)


@GROUP.must("members", "Members of a settlement", f"A settlement has {', '.join((*TEXTS, *AMOUNTS))}.")
def members(server: Server) -> None:
    answer, found = rows(server)
    for name in (*TEXTS, *AMOUNTS):
        answer.expect(all(name in row for row in found), f"the member {name} in each settlement")


@GROUP.must("types", "Types", "Amounts are integers of minor units, days are written YYYY-MM-DD.")
def types(server: Server) -> None:
    answer, found = rows(server)
    for row in found:
        for name in AMOUNTS:
            answer.expect(type(row.get(name)) is int, f"an integer in {name}")
        for name in ("date_settlement", "date_start", "date_end"):
            answer.expect(bool(DAY.fullmatch(str(row.get(name)))), f"a day written YYYY-MM-DD in {name}")


@GROUP.must("amounts", "Amounts", "settlement_amt is pay_net_amt less chnl_poundage_amt.")
def amounts(server: Server) -> None:
    answer, found = rows(server)
    for row in found:
        values = [row.get(name) for name in AMOUNTS]
        if not all(isinstance(value, int) for value in values):
            raise Departure("integers", answer.received, answer.sent)
        net, fee, settled = (int(str(value)) for value in values[2:])
        answer.expect(settled == net - fee, f"settlement_amt {net - fee}")


@GROUP.must("paymethod", "One wallet", "paymethod selects the settlements of Alipay (2) or WeChat Pay (3).")
def paymethod(server: Server) -> None:
    for number, text in WALLETS.items():
        answer = asked(server, paymethod=number)
        answer.expect(all(row.get("paymethod") == text for row in rows_of(answer)), f"only {text}")


@GROUP.must("required", "Both days", "date_start and date_end are required; without one the result is 1104.")
def required(server: Server) -> None:
    for name in YEAR:
        answer = asked(server, **{name: ""})
        answer.expect(answer.respcd == "1104", "respcd 1104")


@GROUP.should("order", "Days in their order", "A range whose end is before its start is 1104.")
def order(server: Server) -> None:
    answer = asked(server, date_start=YEAR["date_end"], date_end=YEAR["date_start"])
    answer.expect(answer.respcd == "1104", "respcd 1104")
