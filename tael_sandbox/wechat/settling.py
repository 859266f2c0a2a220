"""`/pay/settlementquery`: what was remitted to a merchant, and what is still to come.

Each day's money is one remittance, made on the next day when its bill is ready. One record is written flat;
of several, each name has the record's number behind it, as refunds are written, so that all of it is signed.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from itertools import groupby
from typing import Final

from tael_sandbox import statements
from tael_sandbox.statements import ONE_DAY
from tael_sandbox.wechat import numbering
from tael_sandbox.wechat.bills import BOOK, READY
from tael_sandbox.wechat.calls import BAD_FORM, Ask, Rejection
from tael_sandbox.wechat.entries import Entry, entries_between
from tael_sandbox.wechat.messages import Value
from tael_sandbox.wechat.registry import wire_number

SETTLED, OUTSTANDING = "1", "2"
MAX_RECORDS: Final = 10


@dataclass(frozen=True, slots=True)
class Sum:
    """What the movements of some time come to, in minor units of the settlement currency."""

    pay_fee: int
    refund_fee: int
    poundage_fee: int

    @property
    def pay_net_fee(self) -> int:
        return self.pay_fee - self.refund_fee

    @property
    def due(self) -> int:
        return self.pay_net_fee - self.poundage_fee


def settlementquery(ask: Ask) -> dict[str, Value]:
    limit = int(ask.text("limit"))
    if not 1 <= limit <= MAX_RECORDS:
        raise Rejection("limit" + BAD_FORM)
    records = _settled(ask) if ask.text("usetag") == SETTLED else _outstanding(ask)
    start = int(ask.text("offset"))
    page = records[start : start + limit]
    said: dict[str, Value] = {"record_num": len(page)}
    if len(page) == 1:
        return said | page[0]
    for place, record in enumerate(page):
        said |= {f"{name}_{place}": value for name, value in record.items()}
    return said


def _settled(ask: Ask) -> list[dict[str, Value]]:
    """The remittances made between the two dates, the oldest first."""
    since, until = _asked_day(ask, "date_start"), _asked_day(ask, "date_end")
    return [
        _record(ask, entries, day, day, settled_on=day + ONE_DAY)
        for day, entries in _by_day(ask)
        if since <= day + ONE_DAY <= until and _is_settled(ask, day)
    ]


def _outstanding(ask: Ask) -> list[dict[str, Value]]:
    """All that is to come, as one record."""
    waiting = [(day, entries) for day, entries in _by_day(ask) if not _is_settled(ask, day)]
    if not waiting:
        return []
    entries = [entry for _day, of_day in waiting for entry in of_day]
    return [_record(ask, entries, waiting[0][0], waiting[-1][0], settled_on=None)]


def _by_day(ask: Ask) -> list[tuple[date, list[Entry]]]:
    entries = entries_between(ask.connection, ask.merchants, 0, ask.now.timestamp())
    days = groupby(entries, lambda entry: statements.statement_day(ask.connection, BOOK, entry.at))
    return [(day, list(of_day)) for day, of_day in days]


def _is_settled(ask: Ask, day: date) -> bool:
    return ask.now >= statements.start_of(day + ONE_DAY) + READY


def _record(
    ask: Ask, entries: Sequence[Entry], first: date, last: date, *, settled_on: date | None
) -> dict[str, Value]:
    total = _sum(entries)
    is_paid = settled_on is not None
    return {
        "fbatchno": f"{settled_on:%Y%m%d}{wire_number(ask.sub_mch_id)}" if settled_on else "",
        "date_settlement": f"{settled_on:%Y%m%d}" if settled_on else "",
        "date_start": f"{first:%Y%m%d}",
        "date_end": f"{last:%Y%m%d}",
        "settlement_fee": total.due if is_paid else 0,
        "unsettlement_fee": 0 if is_paid else total.due,
        "settlementfee_type": ask.merchant.shop.currency,
        "pay_fee": total.pay_fee,
        "refund_fee": total.refund_fee,
        "pay_net_fee": total.pay_net_fee,
        "poundage_fee": total.poundage_fee,
    }


def _sum(entries: Sequence[Entry]) -> Sum:
    pay_fee = sum(entry.settled for entry in entries if entry.is_payment)
    refund_fee = sum(entry.settled for entry in entries if not entry.is_payment)
    return Sum(pay_fee, refund_fee, sum(entry.poundage for entry in entries))


def _asked_day(ask: Ask, name: str) -> date:
    try:
        return numbering.read_wire_day(ask.text(name))
    except ValueError:
        raise Rejection(name + BAD_FORM) from None
