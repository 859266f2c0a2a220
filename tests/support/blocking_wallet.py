"""A wallet by its documented rules that blocks each call twice: before the request arrives and before the response.

A test resumes one activity at a time, up to its next gate, and so controls the order in which concurrent tasks run.
"""

import asyncio
from collections import defaultdict
from collections.abc import Coroutine, Mapping
from contextvars import ContextVar
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Final

from tael.base.clock import Clock
from tael.base.pay_types import Wallet
from tael.channels.base import (
    Acknowledgement,
    Capabilities,
    ChannelOrder,
    ChannelRefund,
    Notice,
    PaymentNotice,
)
from tael.channels.outcomes import Outcome, Paid, RefundOutcome, Refusal, Refused, ReversalOutcome
from tael.merchants.domain.account import Account
from tests.support.capabilities import capabilities_of
from tests.support.wallet_rules import Trade, WalletRules, query_refund, refund

#: The time limit of one step, far above what any step takes.
LIMIT_S: Final = 30.0
#: Alipay takes money from a logged-in payer for the smallest timeout_rule of at least 600 s.
ALIPAY_TIMEOUT: Final = timedelta(minutes=10)

_inside: ContextVar["Activity | None"] = ContextVar("_inside", default=None)


class Activity:
    """A task that runs only when it is resumed. Calls outside of an activity, as from jobs, do not block."""

    def __init__(self, doing: Coroutine[object, object, object]) -> None:
        self._gate = asyncio.Event()
        self._waits = asyncio.Event()
        self._task = asyncio.create_task(self._run(doing))

    @property
    def is_over(self) -> bool:
        return self._task.done()

    async def resume(self) -> None:
        """Run up to its next gate or its end."""
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
        """End its process where it waits."""
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
    """Block until the activity is resumed."""
    activity = _inside.get()
    if activity is not None:
        await activity.wait()


@dataclass
class BlockingWallet:
    """`channels.base.Channel` over the pure rules of one wallet. `trades` is its book."""

    rules: WalletRules
    clock: Clock
    gives_back: bool = True  #: False: it reports refunds and reversals but returns no money
    refuses_refunds: bool = False  #: for insufficient balance
    trades: dict[str, Trade] = field(default_factory=lambda: defaultdict(Trade))
    opened: set[str] = field(default_factory=set)  #: orders whose initial request has arrived
    sent: list[PaymentNotice] = field(default_factory=list)
    acknowledgement: Acknowledgement = field(default=Acknowledgement("text/plain", b"ok", b"no"))
    wallet: Wallet = Wallet.WECHAT
    reversal_after: timedelta = timedelta(seconds=15)
    refunds_single_trades: bool = True

    def has_notice(self, syssn: str) -> bool:
        return isinstance(self.rules.query(self.trades[syssn]), Paid)

    def book_of(self, syssn: str) -> Trade:
        """The money that really moved."""
        trade = self.trades[syssn]
        return trade if self.gives_back else replace(trade, refunds=(), reversal=None)

    def send_notice(self, syssn: str) -> bytes:
        """Write a notice of the trade's present state; returns its body."""
        self.sent.append(PaymentNotice(syssn, self.rules.query(self.trades[syssn])))
        return str(len(self.sent) - 1).encode()

    def expire(self, syssn: str) -> None:
        self.trades[syssn] = self.rules.expire(self.trades[syssn])

    # ---- Channel -------------------------------------------------------------------------------------------------

    @property
    def statements(self) -> None:
        return None

    @property
    def openids(self) -> None:
        return None

    def capabilities(self, account: Account) -> Capabilities:
        return capabilities_of(account)

    def shows_code(self, auth_code: str) -> bool:
        return True

    def deadline(self, order: ChannelOrder) -> datetime:
        return order.expires_at + (ALIPAY_TIMEOUT if self.rules.has_log_in else timedelta(0))

    async def open(self, order: ChannelOrder) -> Outcome:
        await gate()
        self.opened.add(order.syssn)
        self.trades[order.syssn], outcome = self.rules.open(self.trades[order.syssn], self.clock.now())
        await gate()
        return outcome

    async def query(self, order: ChannelOrder) -> Outcome:
        await gate()
        outcome = self.rules.query(self.trades[order.syssn])
        await gate()
        return outcome

    async def close(self, order: ChannelOrder) -> Outcome:
        await gate()
        self.trades[order.syssn], outcome = self.rules.close(self.trades[order.syssn])
        await gate()
        return outcome

    async def reverse(self, order: ChannelOrder) -> ReversalOutcome:
        await gate()
        self.trades[order.syssn], outcome = self.rules.reverse(self.trades[order.syssn], order.wallet_ref)
        await gate()
        return outcome

    async def refund(self, order: ChannelRefund) -> RefundOutcome:
        await gate()
        trade = self.trades[order.order.syssn]
        if self.refuses_refunds:
            outcome: RefundOutcome = Refused(Refusal.MERCHANT_BALANCE, "NOTENOUGH")
        else:
            trade, outcome = refund(self.rules, trade, order.syssn, order.amount.amount_minor)
        self.trades[order.order.syssn] = trade
        await gate()
        return outcome

    async def query_refund(self, order: ChannelRefund) -> RefundOutcome:
        await gate()
        outcome = query_refund(self.trades[order.order.syssn], order.syssn)
        await gate()
        return outcome

    async def read_notice(self, account: Account, headers: Mapping[str, str], body: bytes) -> Notice:
        return self.sent[int(body)]

    def read_return(self, account: Account, query: Mapping[str, str]) -> str | None:
        return None
