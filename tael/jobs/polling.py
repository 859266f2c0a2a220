"""Polls wallets about every undecided payment, refund, reversal and unmatched payment; expires orders.

Each channel has its own slots in a worker, and each account at most half of them, so that a hanging wallet, or an
account with a long queue, delays its own rows only.
"""

from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from datetime import datetime
from functools import partial
from typing import Any, Final, Generic, Protocol, TypeVar

from tael.db.due_queue import AccountLimits
from tael.jobs.runner import Job
from tael.payments.polling import poll_payment
from tael.payments.refunds import check_refund
from tael.payments.reversals import continue_reversal
from tael.unmatched.advance import UnmatchedContext, advance_unmatched

#: Rows of one table in progress at one channel.
CHANNEL_SLOTS: Final = 100
#: Of these, at most so many of one account.
ACCOUNT_SLOTS: Final = 50


class OfAccount(Protocol):
    """A row that is polled with a wallet account."""

    @property
    def account_id(self) -> str: ...


Row = TypeVar("Row", bound=OfAccount)
Claim = Callable[[datetime, datetime, datetime, int, AccountLimits], Awaitable[Sequence[Row]]]
Renew = Callable[[Sequence[Row], Sequence[datetime], datetime], Awaitable[Sequence[bool]]]


def polling_jobs(unmatched: UnmatchedContext) -> list[Job[Any]]:
    """One job per channel and table."""
    context = unmatched.payments
    payments, refunds, reversals = context.store.payments, context.store.refunds, context.store.reversals
    poll, check, proceed, advance = (
        partial(poll_payment, context=context),
        partial(check_refund, context=context),
        partial(continue_reversal, context=context),
        partial(advance_unmatched, context=unmatched),
    )
    jobs: list[Job[Any]] = []
    for protocol in context.wallets.channels:
        jobs += [
            _job("payments", protocol, payments.due.claim, poll, payments.due.renew),
            _job("refunds", protocol, refunds.due.claim, check, refunds.due.renew),
            _job("reversals", protocol, reversals.due.claim, proceed, reversals.due.renew),
            _job(
                "unmatched_payments", protocol, unmatched.table.due.claim, advance, unmatched.table.due.renew
            ),
        ]
    return jobs


def _job(
    table: str, protocol: str, claim: Claim[Row], poll: Callable[[Row], Awaitable[object]], renew: Renew[Row]
) -> Job[Row]:
    slots = AccountSlots(protocol, claim, poll)
    return Job(f"poll.{table}.{protocol}", slots.claim, slots.poll, renew, CHANNEL_SLOTS, table)


class AccountSlots(Generic[Row]):
    """The rows of one table in progress at one channel, counted by account."""

    def __init__(self, protocol: str, claim: Claim[Row], poll: Callable[[Row], Awaitable[object]]) -> None:
        self._protocol = protocol
        self._claim = claim
        self._poll = poll
        self._in_progress: Counter[str] = Counter()

    async def claim(
        self, now: datetime, real_now: datetime, lease_until: datetime, limit: int
    ) -> Sequence[Row]:
        """Claim due rows, account by account, up to the free slots of each."""
        remaining = {account: ACCOUNT_SLOTS - rows for account, rows in self._in_progress.items()}
        limits = AccountLimits((self._protocol,), ACCOUNT_SLOTS, remaining)
        rows = await self._claim(now, real_now, lease_until, limit, limits)
        self._in_progress.update(row.account_id for row in rows)
        return rows

    async def poll(self, row: Row) -> None:
        """Poll one row; its slot is released in any case."""
        try:
            await self._poll(row)
        finally:
            self._in_progress[row.account_id] -= 1
            if not self._in_progress[row.account_id]:
                del self._in_progress[row.account_id]
