"""Where WeChat Pay's statements are downloaded: bills of transactions, and queries of settlements."""

from datetime import date, datetime
from typing import BinaryIO, Final, assert_never

from tael.base.clock import Clock
from tael.channels.statements import DownloadOutcome, StatementKind
from tael.channels.wechat_v2.account import WeChatAccount
from tael.channels.wechat_v2.bills import Bills, ready_at
from tael.channels.wechat_v2.exchange import Exchange
from tael.channels.wechat_v2.settlements import Settlements
from tael.merchants.domain.account import Account


class WeChatStatements:
    """Both kinds, from 10:00 of the next day (UTC+8)."""

    kinds: Final = frozenset(StatementKind)

    def __init__(self, exchange: Exchange, clock: Clock) -> None:
        self._bills = Bills(exchange, clock)
        self._settlements = Settlements(exchange, clock)

    def available_at(self, day: date, kind: StatementKind) -> datetime:
        return ready_at(day)

    async def download(
        self, account: Account, day: date, kind: StatementKind, target: BinaryIO
    ) -> DownloadOutcome:
        assert isinstance(account, WeChatAccount)
        match kind:
            case StatementKind.TRANSACTIONS:
                return await self._bills.download(account, day, target)
            case StatementKind.SETTLEMENT:
                return await self._settlements.download(account, day, target)
            case _:
                assert_never(kind)
