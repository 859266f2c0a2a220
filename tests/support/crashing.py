"""A process that crashes at its n-th side effect: a call to the database, a wallet or a merchant.

After the crash no further side effect leaves the process, whatever its code still does.
"""

from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import TYPE_CHECKING, Any, cast

from tael.base.pay_types import Wallet
from tael.base.transport import Answer, Result, Transport
from tael.channels.base import Acknowledgement, Capabilities, Channel, ChannelOrder, ChannelRefund, Notice
from tael.channels.outcomes import Outcome, RefundOutcome, ReversalOutcome
from tael.db.database import Database
from tael.db.pipeline import Statement, StatementResult
from tael.merchants.domain.account import Account

if TYPE_CHECKING:
    from tael.db.database import Connection


class Crash(Exception):
    """The process is gone."""


class Side(StrEnum):
    """Whether the last side effect happened."""

    BEFORE = "before"  #: the call was not made
    AFTER = "after"  #: the call was made, and the response was lost


@dataclass
class Process:
    """Counts its side effects and crashes at number `dies_at`; never if that is 0."""

    dies_at: int = 0
    side: Side = Side.BEFORE
    side_effects: int = 0
    in_progress: int = 0  #: side effects that have begun and not ended
    is_dead: bool = False

    @asynccontextmanager
    async def side_effect(self) -> AsyncIterator[None]:
        """Wraps every call that leaves the process."""
        if self.is_dead:
            raise Crash
        self.side_effects += 1
        is_last = self.side_effects == self.dies_at
        if is_last and self.side is Side.BEFORE:
            self.is_dead = True
            raise Crash
        self.in_progress += 1
        try:
            yield
        finally:
            self.in_progress -= 1
        if is_last:
            self.is_dead = True
            raise Crash


class CrashingDatabase(Database):
    """`real` as the process reaches it. Connections are borrowed from `real`, so that a new process starts quickly."""

    def __init__(self, real: Database, process: Process) -> None:
        super().__init__("", real.limits)
        self._real = real
        self._process = process

    @asynccontextmanager
    async def connection(self, *, is_long: bool = False) -> AsyncIterator["Connection"]:
        async with self._process.side_effect(), self._real.connection(is_long=is_long) as connection:
            yield connection

    async def transact(self, statements: Sequence[Statement]) -> Sequence[StatementResult] | None:
        async with self._process.side_effect():
            return await self._real.transact(statements)


class StatementCrashes(Database):
    """`real`, where each statement is a side effect of its own. A crash inside a transaction rolls it back."""

    def __init__(self, real: Database, process: Process) -> None:
        super().__init__("", real.limits)
        self._real = real
        self._process = process

    @asynccontextmanager
    async def connection(self, *, is_long: bool = False) -> AsyncIterator["Connection"]:
        async with self._real.connection(is_long=is_long) as connection:
            yield cast("Connection", _CrashingConnection(connection, self._process))

    async def transact(self, _: Sequence[Statement]) -> None:
        """They are sent one by one."""


class _CrashingConnection:
    def __init__(self, real: "Connection", process: Process) -> None:
        self._real = real
        self._process = process
        self.transaction = real.transaction

    async def fetch(self, *arguments: Any) -> Any:
        async with self._process.side_effect():
            return await self._real.fetch(*arguments)

    async def execute(self, *arguments: Any) -> Any:
        async with self._process.side_effect():
            return await self._real.execute(*arguments)

    async def executemany(self, *arguments: Any) -> None:
        async with self._process.side_effect():
            await self._real.executemany(*arguments)


class CrashingTransport(Transport):
    """Merchants that acknowledge every webhook; `received` are the bodies."""

    __slots__ = ("_process", "received")

    def __init__(self, process: Process, received: list[bytes]) -> None:
        super().__init__()
        self._process = process
        self.received = received

    async def call(self, method: str, url: str, *, body: bytes = b"", **_: Any) -> Result:
        async with self._process.side_effect():
            self.received.append(body)
            return Answer(200, {}, b"SUCCESS")


class CrashingChannel:
    """A wallet as the process reaches it."""

    def __init__(
        self, channel: Channel, process: Process, wallet: Wallet, *, refunds_single_trades: bool = True
    ) -> None:
        self.wallet = wallet
        self.refunds_single_trades = refunds_single_trades
        self._channel = channel
        self._process = process
        self.acknowledgement: Acknowledgement = channel.acknowledgement
        self.reversal_after: timedelta = channel.reversal_after

    @property
    def statements(self) -> None:
        return None

    @property
    def openids(self) -> None:
        return None

    def capabilities(self, account: Account) -> Capabilities:
        return self._channel.capabilities(account)

    def shows_code(self, auth_code: str) -> bool:
        return self._channel.shows_code(auth_code)

    def deadline(self, order: ChannelOrder) -> datetime:
        return self._channel.deadline(order)

    async def open(self, order: ChannelOrder) -> Outcome:
        async with self._process.side_effect():
            return await self._channel.open(order)

    async def query(self, order: ChannelOrder) -> Outcome:
        async with self._process.side_effect():
            return await self._channel.query(order)

    async def close(self, order: ChannelOrder) -> Outcome:
        async with self._process.side_effect():
            return await self._channel.close(order)

    async def reverse(self, order: ChannelOrder) -> ReversalOutcome:
        async with self._process.side_effect():
            return await self._channel.reverse(order)

    async def refund(self, order: ChannelRefund) -> RefundOutcome:
        async with self._process.side_effect():
            return await self._channel.refund(order)

    async def query_refund(self, order: ChannelRefund) -> RefundOutcome:
        async with self._process.side_effect():
            return await self._channel.query_refund(order)

    async def read_notice(self, account: Account, headers: Mapping[str, str], body: bytes) -> Notice:
        return await self._channel.read_notice(account, headers, body)

    def read_return(self, account: Account, query: Mapping[str, str]) -> str | None:
        return self._channel.read_return(account, query)
