"""One order on the real services: runs its activities concurrently in a given order and reads the final state.

Two gateways over one database share it as two processes would: one opens it, the other does everything else.
"""

from collections.abc import Callable, Coroutine, Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import timedelta
from random import Random
from typing import Final

from structlog.typing import EventDict

from tael.base.errors import TaelError
from tael.base.pay_types import PayType
from tael.ledger.store.entries import entries_of
from tael.operations.store import Store
from tael.payments.context import PaymentContext
from tael.payments.domain.payment import Payment, State, takes_payers
from tael.payments.notices import notified_account, receive_notice
from tael.payments.polling import poll_payment
from tael.unmatched.domain.unmatched import UnmatchedState
from tael.webhooks.domain.webhook import WebhookKind
from tests.support.alipay import TestClock
from tests.support.blocking_wallet import Activity, BlockingWallet, gate
from tests.support.store import current
from tests.support.values import MCHID
from tests.support.verdict import FinalState, wallet_side
from tests.support.world import close, pay, refund, reverse

#: A process waits at most 40 s for the initial response of another one; a request may be in flight for 60 s.
AGE: Final = timedelta(seconds=45)
DIES_ONE_IN: Final = 12  #: one in so many steps is a crash of the waiting process
MISSING_ONE_IN: Final = 3  #: one in so many activities is left out
REFUND_MINOR: Final = 70
MAX_INCIDENTS: Final = 1_000


@dataclass
class Play:
    """One order of `pay_type`, under the merchant's number `reference`."""

    opener: PaymentContext
    other: PaymentContext
    wallet: BlockingWallet
    clock: TestClock
    pay_type: PayType
    reference: str
    running: dict[str, Activity] = field(default_factory=dict)
    order: list[str] = field(default_factory=list)  #: the activities that were resumed, in turn
    opened: Payment | None = None

    def __post_init__(self) -> None:
        self._doing: dict[str, Callable[[], Coroutine[object, object, None]]] = {
            "open": self._open,
            "payer": self._payer,
            "close": self._close,
            "reversal": self._reverse,
            "refund": self._refund,
            "refund again": self._refund_again,
            "expire": self._expire,
            "poll": self._poll,
            "notice": self._notice,
        }

    @property
    def payment(self) -> Payment:
        assert self.opened is not None
        return self.opened

    async def at_random(self, random: Random) -> None:
        """Run most of the activities, each to its end or its crash."""
        await self.resume("open")
        cast = [name for name in self._doing if name == "open" or random.randrange(MISSING_ONE_IN)]
        while names := [name for name in cast if self._is_ready(name)]:
            name = random.choice(names)
            if name in self.running and random.randrange(DIES_ONE_IN) == 0:
                self.order.append(f"{name} dies")
                await self.running[name].die()
            else:
                await self.resume(name)

    async def in_order(self, names: Iterable[str]) -> None:
        """Resume each of `names` up to its next gate, in turn."""
        for name in names:
            assert self._is_ready(name), name
            await self.resume(name)

    async def resume(self, name: str) -> None:
        self.order.append(name)
        if name not in self.running:
            self.running[name] = Activity(self._doing[name]())
        await self.running[name].resume()
        if self.opened is None:
            self.opened = await self.opener.store.payments.by_reference(MCHID, self.reference)
            self.clock.at += AGE

    def _is_ready(self, name: str) -> bool:
        if name in self.running:
            return not self.running[name].is_over
        if name == "open":
            return True
        if self.opened is None:
            return False
        if name == "expire":  # no request is in flight for the lifetime of an order
            return self.payment.syssn in self.wallet.opened or self.running["open"].is_over
        if name == "notice":
            return self.wallet.rules.has_notices and self.wallet.has_notice(self.payment.syssn)
        return True

    # ---- the activities; each waits at the wallet's gates and where it calls `gate` -------------------------------

    async def _open(self) -> None:
        await pay(self.opener, self.pay_type, self.reference)

    async def _payer(self) -> None:
        wallet, syssn = self.wallet, self.payment.syssn
        if wallet.rules.has_log_in:
            if not await self._is_sent_to_the_wallet():
                return
            wallet.trades[syssn] = wallet.rules.log_in(wallet.trades[syssn], self._is_late)
            await gate()
        wallet.trades[syssn] = wallet.rules.pay(wallet.trades[syssn], self.clock.now(), self._is_late)

    async def _is_sent_to_the_wallet(self) -> bool:
        """The redirect of the cashier's page."""
        payments, now = self.opener.store.payments, self.clock.now()
        await payments.note_redirect(self.payment, now)
        seen = await payments.by_syssn(MCHID, self.payment.syssn)
        return seen is not None and not seen.is_unopened and takes_payers(seen, now)

    async def _close(self) -> None:
        await close(self.other, self.payment)

    async def _reverse(self) -> None:
        with suppress(TaelError):
            await reverse(self.other, self.payment)

    async def _refund(self, reference: str = "refund") -> None:
        with suppress(TaelError):
            await refund(self.other, self.payment, f"{self.reference}-{reference}", REFUND_MINOR)

    async def _refund_again(self) -> None:
        await self._refund("refund-again")

    async def _expire(self) -> None:
        expired_at = self.payment.expires_at + timedelta(seconds=1)
        self.clock.at = max(self.clock.at, expired_at)
        self.wallet.expire(self.payment.syssn)

    async def _poll(self) -> None:
        """What the polling job does with a due row; a decided payment is not due."""
        payment = await current(self.other.store, self.payment)
        is_watched = payment.state in (State.CLOSED, State.EXPIRED) and payment.pay_type.is_online
        if payment.state is State.PENDING or is_watched:
            await poll_payment(payment, self.other)

    async def _notice(self) -> None:
        """Written now, delivered later and twice, as wallets do."""
        body = self.wallet.send_notice(self.payment.syssn)
        for gateway in (self.other, self.opener):
            await gate()
            account = await notified_account(
                self.payment.pay_type.wallet or "", self.payment.account_id, gateway
            )
            await receive_notice(account, {}, body, gateway)

    @property
    def _is_late(self) -> bool:
        return self.clock.now() >= self.payment.expires_at


async def final_state_of(play: Play, store: Store, events: Sequence[EventDict]) -> FinalState:
    """The rows of its order, ours and the wallet's. `events` are the log events since it was opened."""
    payment = await current(store, play.payment)
    refunds = await store.refunds.of_payment(MCHID, payment.syssn)
    reversals = await store.reversals.of_payment(MCHID, payment.syssn)
    causes = [payment.syssn, *(row.syssn for row in refunds), *(row.syssn for row in reversals)]
    webhooks = await store.database.fetch(
        "SELECT kind, cause FROM webhook WHERE payment_syssn = $1", payment.syssn
    )
    incidents = await store.incidents.newest(MCHID, with_resolved=True, limit=MAX_INCIDENTS)
    unmatched_payments = await store.unmatched_payments.newest(MCHID, tuple(UnmatchedState), MAX_INCIDENTS)
    states = [event["state"] for event in events if event["event"] == "payment.state_changed"]
    return FinalState(
        payment=payment,
        refunds=refunds,
        reversals=reversals,
        entries=await entries_of(store.database, MCHID, causes),
        webhooks=[(WebhookKind(row["kind"]), row["cause"]) for row in webhooks],
        incidents=[incident for incident in incidents if incident.subject_id in causes],
        unmatched_payments=[each for each in unmatched_payments if each.subject_id in causes],
        was_over=bool({State.CLOSED, State.EXPIRED} & set(states)),
        wallet=wallet_side(play.wallet.book_of(payment.syssn)),
    )
