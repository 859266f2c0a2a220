"""`/pay/settlementquery`: the remittances to a merchant, and the amount that is still outstanding.

Each day is one remittance, made on the next day when its bill is ready. One record is written flat. With several,
each name has the record's number as a suffix, as in refundquery, so that everything is signed.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from itertools import groupby
from typing import Final

from tael_sandbox import statements
from tael_sandbox.statements import ONE_DAY
from tael_sandbox.wechat import numbering
from tael_sandbox.wechat.bills import BOOK, READY_AT
from tael_sandbox.wechat.calls import BAD_FORM, AdmittedRequest, Rejection
from tael_sandbox.wechat.entries import Entry, entries_between
from tael_sandbox.wechat.messages import Value
from tael_sandbox.wechat.registry import wire_number

REMITTED, OUTSTANDING = "1", "2"
MAX_RECORDS: Final = 10


@dataclass(frozen=True, slots=True)
class Sum:
    """Totals of movements, in minor units of the settlement currency."""

    pay_fee: int
    refund_fee: int
    poundage_fee: int

    @property
    def pay_net_fee(self) -> int:
        return self.pay_fee - self.refund_fee

    @property
    def due(self) -> int:
        return self.pay_net_fee - self.poundage_fee


def settlementquery(request: AdmittedRequest) -> dict[str, Value]:
    limit = int(request.text("limit"))
    if not 1 <= limit <= MAX_RECORDS:
        raise Rejection("limit" + BAD_FORM)
    records = _remitted(request) if request.text("usetag") == REMITTED else _outstanding(request)
    start = int(request.text("offset"))
    page = records[start : start + limit]
    reply: dict[str, Value] = {"record_num": len(page)}
    if len(page) == 1:
        return reply | page[0]
    for place, record in enumerate(page):
        reply |= {f"{name}_{place}": value for name, value in record.items()}
    return reply


def _remitted(request: AdmittedRequest) -> list[dict[str, Value]]:
    """The remittances made between the two dates, oldest first."""
    since, until = _requested_day(request, "date_start"), _requested_day(request, "date_end")
    begin, end = (
        statements.span_of(request.connection, BOOK, day - ONE_DAY, request.now) for day in (since, until)
    )
    return [
        _record(request, entries, day, day, settled_on=day + ONE_DAY)
        for day, entries in _by_day(request, begin.since, end.until)
        if since <= day + ONE_DAY <= until and _is_remitted(request, day)
    ]


def _outstanding(request: AdmittedRequest) -> list[dict[str, Value]]:
    """Everything that is outstanding, as one record."""
    outstanding = [
        (day, entries)
        for day, entries in _by_day(request, 0, request.now.timestamp())
        if not _is_remitted(request, day)
    ]
    if not outstanding:
        return []
    entries = [entry for _day, of_day in outstanding for entry in of_day]
    return [_record(request, entries, outstanding[0][0], outstanding[-1][0], settled_on=None)]


def _by_day(request: AdmittedRequest, since: float, until: float) -> list[tuple[date, list[Entry]]]:
    entries = entries_between(request.connection, request.merchants, since, until)
    days = groupby(entries, lambda entry: statements.statement_day(request.connection, BOOK, entry.at))
    return [(day, list(of_day)) for day, of_day in days]


def _is_remitted(request: AdmittedRequest, day: date) -> bool:
    return request.now >= statements.start_of(day + ONE_DAY) + READY_AT


def _record(
    request: AdmittedRequest, entries: Sequence[Entry], first: date, last: date, *, settled_on: date | None
) -> dict[str, Value]:
    total = _sum(entries)
    is_paid = settled_on is not None
    return {
        "fbatchno": f"{settled_on:%Y%m%d}{wire_number(request.merchant.number)}" if settled_on else "",
        "date_settlement": f"{settled_on:%Y%m%d}" if settled_on else "",
        "date_start": f"{first:%Y%m%d}",
        "date_end": f"{last:%Y%m%d}",
        "settlement_fee": total.due if is_paid else 0,
        "unsettlement_fee": 0 if is_paid else total.due,
        "settlementfee_type": request.merchant.shop.currency,
        "pay_fee": total.pay_fee,
        "refund_fee": total.refund_fee,
        "pay_net_fee": total.pay_net_fee,
        "poundage_fee": total.poundage_fee,
    }


def _sum(entries: Sequence[Entry]) -> Sum:
    pay_fee = sum(entry.settled for entry in entries if entry.is_payment)
    refund_fee = sum(entry.settled for entry in entries if not entry.is_payment)
    return Sum(pay_fee, refund_fee, sum(entry.poundage for entry in entries))


def _requested_day(request: AdmittedRequest, name: str) -> date:
    try:
        return numbering.read_wire_day(request.text(name))
    except ValueError:
        raise Rejection(name + BAD_FORM) from None
