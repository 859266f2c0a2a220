"""Downloads WeChat Pay's bills. Neither bills nor their errors are signed: TLS alone says whose they are.

A bill can be downloaded from 10:00 of the next day (UTC+8). `No Bill Exist` means that it is not made yet, or that the
day has no transactions; which of them is known from the time only.
"""

import re
from datetime import date, datetime, time, timedelta
from typing import BinaryIO, Final, assert_never

from tael.base.clock import Clock
from tael.base.moments import UTC8
from tael.base.transport import Answer, NoAnswer, NothingSent
from tael.channels.statements import (
    Downloaded,
    DownloadFailed,
    DownloadOutcome,
    DownloadRefused,
    EmptyDay,
    NotReady,
)
from tael.channels.wechat_v2.account import WeChatAccount
from tael.channels.wechat_v2.exchange import Exchange

READY_AT: Final = time(10)
#: A bill may be late: only so long after its time, none means a day without transactions.
EMPTY_AFTER: Final = timedelta(hours=12)
NO_BILL: Final = "No Bill Exist"
BILL_CREATING: Final = "Bill Creating"
#: WeChat Pay's own failures; a repeat can succeed.
FAILURES: Final = ("SYSTEMERROR", "CompressGZip Error", "UnCompressGZip Error")
RETURN_MSG: Final = re.compile(
    r"<return_msg>\s*(?:<!\[CDATA\[)?(.{0,128}?)(?:\]\]>)?\s*</return_msg>", re.DOTALL
)


class Bills:
    """Bills of all types of transactions, as gzip."""

    def __init__(self, exchange: Exchange, clock: Clock) -> None:
        self._exchange = exchange
        self._clock = clock

    async def download(self, account: WeChatAccount, day: date, target: BinaryIO) -> DownloadOutcome:
        fields = {"bill_date": f"{day:%Y%m%d}", "bill_type": "ALL", "tar_type": "GZIP"}
        match await self._exchange.download(account, fields, target):
            case NothingSent(reason) | NoAnswer(reason):
                return DownloadFailed(reason)
            case Answer() as answer if answer.status != 200:
                return DownloadFailed(f"HTTP {answer.status}")
            case Answer() as answer:
                is_late = self._clock.now() >= ready_at(day) + EMPTY_AFTER
                return outcome_of(answer.body, is_late=is_late)
            case other:
                assert_never(other)


def ready_at(day: date) -> datetime:
    """When the bill of `day` can be downloaded."""
    return datetime.combine(day + timedelta(days=1), READY_AT, UTC8)


def outcome_of(head: bytes, *, is_late: bool) -> DownloadOutcome:
    """What a response that begins with `head` means. A bill is anything but XML."""
    text = head.removeprefix(b"\xef\xbb\xbf")
    if not text.startswith(b"<"):
        return Downloaded() if text else DownloadFailed("an empty response")
    found = RETURN_MSG.search(text.decode("utf-8", "replace"))
    message = found.group(1).strip() if found else ""
    if message == NO_BILL:
        return EmptyDay() if is_late else NotReady()
    if message == BILL_CREATING:
        return NotReady()
    if not message or message in FAILURES:
        return DownloadFailed(message or "not documented")
    return DownloadRefused(message)
