"""Asks wallets about every undecided payment, refund, reversal and unmatched payments; expires orders.

Each wallet has places of its own in a worker, and each of its accounts half of them, so that a wallet that hangs, or an
account with a long queue, holds up its own rows only.
"""

from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from datetime import datetime
from functools import partial
from typing import Any, Final, Generic, Protocol, TypeVar

from tael.db.due_queue import Share
from tael.jobs.runner import Job
from tael.payments.gateway import Gateway
from tael.payments.polling import poll_payment
from tael.payments.refunds import check_refund
from tael.payments.reversals import continue_reversal
from tael.unmatched.advance import UnmatchedContext, advance_unmatched

#: Rows of one table under way at one wallet.
WALLET_PLACES: Final = 100
#: Of them, those of one account: what a single account had when all shared fifty.
ACCOUNT_PLACES: Final = 50


class OfAccount(Protocol):
    """A row that a wallet is asked about in the name of an account."""

    @property
    def account_id(self) -> str: ...


Row = TypeVar("Row", bound=OfAccount)
Claim = Callable[[datetime, datetime, datetime, int, Share], Awaitable[Sequence[Row]]]
Renew = Callable[[Sequence[Row], Sequence[datetime], datetime], Awaitable[Sequence[bool]]]


def polling_jobs(gateway: Gateway, unmatched: UnmatchedContext) -> list[Job[Any]]:
    """One job per wallet and table of undecided things."""
    payments, refunds, reversals = gateway.store.payments, gateway.store.refunds, gateway.store.reversals
    poll, check, proceed, advance = (
        partial(poll_payment, gateway=gateway),
        partial(check_refund, gateway=gateway),
        partial(continue_reversal, gateway=gateway),
        partial(advance_unmatched, context=unmatched),
    )
    jobs: list[Job[Any]] = []
    for wallet in gateway.channels:
        jobs += [
            _job("payments", wallet, payments.claim_due, poll, payments.renew),
            _job("refunds", wallet, refunds.claim_due, check, refunds.renew),
            _job("reversals", wallet, reversals.claim_due, proceed, reversals.renew),
            _job("unmatched_payments", wallet, unmatched.table.claim_due, advance, unmatched.table.renew),
        ]
    return jobs


def _job(
    table: str, wallet: str, claim: Claim[Row], poll: Callable[[Row], Awaitable[object]], renew: Renew[Row]
) -> Job[Row]:
    places = AccountPlaces(wallet, claim, poll)
    return Job(f"poll.{table}.{wallet}", places.claim, places.poll, renew, WALLET_PLACES)


class AccountPlaces(Generic[Row]):
    """The rows of one table that are under way at one wallet, counted by account."""

    def __init__(self, wallet: str, claim: Claim[Row], poll: Callable[[Row], Awaitable[object]]) -> None:
        self._wallet = wallet
        self._claim = claim
        self._poll = poll
        self._under_way: Counter[str] = Counter()

    async def claim(
        self, now: datetime, real_now: datetime, lease_until: datetime, limit: int
    ) -> Sequence[Row]:
        """What is due, account by account, as far as each has places left."""
        left = {account: ACCOUNT_PLACES - rows for account, rows in self._under_way.items()}
        share = Share(self._wallet, ACCOUNT_PLACES, left)
        rows = await self._claim(now, real_now, lease_until, limit, share)
        self._under_way.update(row.account_id for row in rows)
        return rows

    async def poll(self, row: Row) -> None:
        """One row; its account has its place back whatever comes of it."""
        try:
            await self._poll(row)
        finally:
            self._under_way[row.account_id] -= 1
            if not self._under_way[row.account_id]:
                del self._under_way[row.account_id]
