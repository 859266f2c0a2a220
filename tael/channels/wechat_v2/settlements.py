"""Downloads what WeChat Pay remitted on a day: the signed responses of `/pay/settlementquery`, page by page.

A record is a remittance, which WeChat Pay makes for the trades of the day before once their bill is ready. A day is
asked for when it is over, because a later remittance of the same day would be missed.
"""

from datetime import date, datetime, time, timedelta
from typing import BinaryIO, Final, assert_never

from tael.base.clock import Clock
from tael.base.moments import UTC8
from tael.channels.outcomes import NotSent, Refused, Unknown
from tael.channels.statements import (
    Downloaded,
    DownloadFailed,
    DownloadOutcome,
    DownloadRefused,
    EmptyDay,
    NotReady,
)
from tael.channels.wechat_v2.account import WeChatAccount
from tael.channels.wechat_v2.bills import EMPTY_AFTER, ready_at
from tael.channels.wechat_v2.exchange import (
    SETTLEMENTQUERY,
    Exchange,
    Failure,
    Rejected,
    Response,
    Succeeded,
)
from tael.channels.wechat_v2.messages import BadMessage
from tael.channels.wechat_v2.settlement_records import MAX_PAGES, pairs_of, records_of

REMITTED: Final = "1"
PAGE: Final = 10  #: the most that the call returns
SYSTEM_ERROR: Final = "SYSTEMERROR"


class Settlements:
    """The remittances of a day."""

    def __init__(self, exchange: Exchange, clock: Clock) -> None:
        self._exchange = exchange
        self._clock = clock

    async def download(self, account: WeChatAccount, day: date, target: BinaryIO) -> DownloadOutcome:
        """Write the responses of all pages to `target`, as they arrive. Never raises."""
        now = self._clock.now()
        if now < datetime.combine(day + timedelta(days=1), time(), UTC8):
            return NotReady()
        for page in range(MAX_PAGES):
            response, body = await self._exchange.call_with_body(
                SETTLEMENTQUERY, account, _request(day, page * PAGE)
            )
            failure = failure_of(response)
            if failure is not None:
                return failure
            try:
                count = len(records_of(pairs_of(body)))
            except BadMessage as error:
                return DownloadFailed(str(error))
            target.write(body if body.endswith(b"\n") else body + b"\n")
            if page == count == 0:
                return EmptyDay() if now >= ready_at(day) + EMPTY_AFTER else NotReady()
            if count < PAGE:
                return Downloaded()
        return DownloadRefused(f"more than {MAX_PAGES * PAGE} remittances")


def failure_of(response: Response) -> DownloadFailed | DownloadRefused | None:
    """Why a response is no page; None if it is one."""
    match response:
        case Succeeded():
            return None
        case Failure(code, _) if code != SYSTEM_ERROR:
            return DownloadRefused(code)
        case Rejected(message) if message != SYSTEM_ERROR:
            return DownloadRefused(message)
        case Failure(reason, _) | Rejected(reason) | NotSent(reason) | Unknown(reason):
            return DownloadFailed(reason)
        case Refused(reason=refusal):
            return DownloadRefused(refusal.value)
        case _:
            assert_never(response)


def _request(day: date, offset: int) -> dict[str, str]:
    at = f"{day:%Y%m%d}"
    return {"usetag": REMITTED, "offset": str(offset), "limit": str(PAGE), "date_start": at, "date_end": at}
