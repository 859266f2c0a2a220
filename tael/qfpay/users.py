"""/user/v1 in QFPay's terms: the user, and the payments of the user's merchant. Pure; raises BadField."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from tael.base.moments import UTC8, moment_text
from tael.oauth.access import UserAccess
from tael.oauth.domain.user import User
from tael.payments.domain.payment import Payment
from tael.payments.queries import PaidQuery
from tael.qfpay import codes, fields
from tael.qfpay.answers import Members
from tael.qfpay.errors import BadField

#: How far back the list goes.
MAX_MONTHS: Final = 3


@dataclass(frozen=True, slots=True)
class UserRequest:
    """A request with a valid access token."""

    access: UserAccess
    params: Mapping[str, str]

    @property
    def cell(self) -> int:
        return self.access.merchant.cell


def read_trade_list(request: UserRequest, now: datetime) -> PaidQuery:
    """Every parameter is required. The earliest start is the same day three months ago, at 00:00 of UTC+8."""
    params = request.params
    for name in ("start_time", "end_time", "page", "page_size"):
        if not params.get(name):
            raise BadField.missing(name)
    start, end = fields.moment(params, "start_time"), fields.moment(params, "end_time")
    assert start is not None
    assert end is not None
    if start < months_ago(now):
        raise BadField.malformed("start_time", f"must be at most {MAX_MONTHS} months ago")
    if end < start:
        raise BadField.malformed("end_time", "must not be before start_time")
    merchant = request.access.merchant
    return PaidQuery(merchant.mchid, start, end, fields.page(params), fields.page_size(params))


def months_ago(now: datetime) -> datetime:
    """The beginning of the day `MAX_MONTHS` before; of a shorter month, its last day."""
    today = now.astimezone(UTC8).replace(hour=0, minute=0, second=0, microsecond=0)
    first = today.replace(day=1)
    for _ in range(MAX_MONTHS):
        first = (first - timedelta(days=1)).replace(day=1)
    last = (first + timedelta(days=32)).replace(day=1) - timedelta(days=1)
    return first.replace(day=min(today.day, last.day))


def baseinfo_answer(user: User) -> Members:
    return _answer({"nickname": user.nickname, "userid": user.userid})


def tradelist_answer(payments: Sequence[Payment], page: int, page_size: int) -> Members:
    """`pagesize` is QFPay's spelling. The payer's id stays with the merchant: `customer_id` is always empty."""
    rows = [
        {
            "pay_type": payment.pay_type.code,
            "sysdtm": moment_text(payment.created_at),
            "txcurrcd": payment.amount.currency,
            "txdtm": payment.client_time,
            "txamt": str(payment.amount.amount_minor),
            "syssn": payment.syssn,
            "customer_id": "",
        }
        for payment in payments
    ]
    return _answer({"page": page, "pagesize": page_size, "tradelist": rows})


def _answer(data: Members) -> Members:
    return {"respcd": codes.OK, "data": data, "resperr": "", "respmsg": ""}
