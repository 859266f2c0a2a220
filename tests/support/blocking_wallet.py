"""A wallet by its documented rules, behind a gate on either side: a question waits before it, its answer behind it.

A test lets one activity on at a time, up to its next gate, so that tasks side by side run in the order that it wants.
"""

import asyncio
from collections import defaultdict
from collections.abc import Coroutine, Mapping
from contextvars import ContextVar
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Final

from tael.base.clock import Clock
from tael.channels.base import Acknowledgement, ChannelOrder, ChannelRefund, Notice, PaymentNotice
from tael.channels.outcomes import Outcome, Paid, RefundOutcome, Refusal, Refused, ReversalOutcome
from tael.merchants.domain.account import Account
from tests.support.wallet_rules import Trade, WalletRules, query_refund, refund

#: How long a step may take before the test is given up: far more than any does.
LIMIT_S: Final = 30.0
#: Alipay takes money of who has logged in, for the smallest timeout_rule that is not below 600 s.
ALIPAY_TIMEOUT: Final = timedelta(minutes=10)

_inside: ContextVar["Activity | None"] = ContextVar("_inside", default=None)


class Activity:
    """A task that goes on only when it is let on. Whoever asks outside of one, as jobs do, meets no gate."""

    def __init__(self, doing: Coroutine[object, object, object]) -> None:
        self._gate = asyncio.Event()
        self._waits = asyncio.Event()
        self._task = asyncio.create_task(self._run(doing))

    @property
    def is_over(self) -> bool:
        return self._task.done()

    async def go_on(self) -> None:
        """Up to its next gate, or to its end."""
        self._waits.clear()
        self._gate.set()
        waiting = asyncio.create_task(self._waits.wait())
        done, _ = await asyncio.wait(
            {self._task, waiting}, timeout=LIMIT_S, return_when=asyncio.FIRST_COMPLETED
        )
        waiting.cancel()
        assert done, "an activity neither waits nor ends"
        if self._task.done():
            self._task.result()

    async def die(self) -> None:
        """Its process ends where it waits; nothing of it is heard again."""
        self._task.cancel()
        await asyncio.wait({self._task}, timeout=LIMIT_S)

    async def wait(self) -> None:
        self._gate.clear()
        self._waits.set()
        await self._gate.wait()

    async def _run(self, doing: Coroutine[object, object, object]) -> None:
        _inside.set(self)
        await doing


async def gate() -> None:
    """Wait here until the activity is let on."""
    activity = _inside.get()
    if activity is not None:
        await activity.wait()


@dataclass
class BlockingWallet:
    """`channels.base.Channel` over the pure rules of one wallet; its trades are its book."""

    rules: WalletRules
    clock: Clock
    gives_back: bool = True  #: an honest wallet returns the money that it says it has returned
    refuses_refunds: bool = False  #: for want of balance
    trades: dict[str, Trade] = field(default_factory=lambda: defaultdict(Trade))
    opened: set[str] = field(default_factory=set)  #: orders whose first question has arrived
    sent: list[PaymentNotice] = field(default_factory=list)
    acknowledgement: Acknowledgement = field(default=Acknowledgement("text/plain", b"ok", b"no"))
    reversal_after: timedelta = timedelta(seconds=15)

    def has_news(self, syssn: str) -> bool:
        return isinstance(self.rules.query(self.trades[syssn]), Paid)

    def book_of(self, syssn: str) -> Trade:
        """What has really moved."""
        trade = self.trades[syssn]
        return trade if self.gives_back else replace(trade, refunds=(), reversal=None)

    def send_notice(self, syssn: str) -> bytes:
        """What the wallet writes to us, as it stands now."""
        self.sent.append(PaymentNotice(syssn, self.rules.query(self.trades[syssn])))
        return str(len(self.sent) - 1).encode()

    def expire(self, syssn: str) -> None:
        self.trades[syssn] = self.rules.expire(self.trades[syssn])

    # ---- Channel -------------------------------------------------------------------------------------------------

    def deadline(self, order: ChannelOrder) -> datetime:
        return order.expires_at + (ALIPAY_TIMEOUT if self.rules.has_log_in else timedelta(0))

    async def open(self, order: ChannelOrder) -> Outcome:
        await gate()
        self.opened.add(order.syssn)
        self.trades[order.syssn], said = self.rules.open(self.trades[order.syssn], self.clock.now())
        await gate()
        return said

    async def query(self, order: ChannelOrder) -> Outcome:
        await gate()
        said = self.rules.query(self.trades[order.syssn])
        await gate()
        return said

    async def close(self, order: ChannelOrder) -> Outcome:
        await gate()
        self.trades[order.syssn], said = self.rules.close(self.trades[order.syssn])
        await gate()
        return said

    async def reverse(self, order: ChannelOrder) -> ReversalOutcome:
        await gate()
        self.trades[order.syssn], said = self.rules.reverse(self.trades[order.syssn], order.wallet_ref)
        await gate()
        return said

    async def refund(self, order: ChannelRefund) -> RefundOutcome:
        await gate()
        trade = self.trades[order.order.syssn]
        if self.refuses_refunds:
            said: RefundOutcome = Refused(Refusal.MERCHANT_BALANCE, "NOTENOUGH")
        else:
            trade, said = refund(self.rules, trade, order.syssn, order.amount.amount_minor)
        self.trades[order.order.syssn] = trade
        await gate()
        return said

    async def query_refund(self, order: ChannelRefund) -> RefundOutcome:
        await gate()
        said = query_refund(self.trades[order.order.syssn], order.syssn)
        await gate()
        return said

    async def read_notice(self, account: Account, headers: Mapping[str, str], body: bytes) -> Notice:
        return self.sent[int(body)]

    def read_return(self, account: Account, query: Mapping[str, str]) -> str | None:
        return None
