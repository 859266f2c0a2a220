"""Makes the payouts of all periods that have ended, each in a commit of its own. A repeat makes what is missing."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Final

from tael.audit_log.domain.entry import Origin
from tael.base import ids
from tael.ledger.domain.digest import day_of
from tael.settlement.domain.payout import Payout
from tael.settlement.domain.terms import PayoutTerms
from tael.settlement.store.payouts import Payouts, Waiting
from tael.settlement.store.terms import PayoutTermsTable

#: Of one merchant and currency in one run: more than ten years of days.
MAX_BATCHES: Final = 4_000


@dataclass(frozen=True, slots=True)
class Run:
    """What a run has made, and the next batch of each merchant and currency that waits for the daily close."""

    payouts: Sequence[Payout]
    waiting: Sequence[Waiting]


async def run_payouts(
    payouts: Payouts, terms: PayoutTermsTable, mchid: str | None, until: date | None, origin: Origin
) -> Run:
    """Make the payouts of periods that end by `until`, by default yesterday, of one merchant or of all."""
    yesterday = day_of(origin.at) - timedelta(days=1)
    last = yesterday if until is None else min(until, yesterday)
    made: list[Payout] = []
    waiting: list[Waiting] = []
    async for each in terms.all(mchid):
        done = await _run_one(payouts, each, last, origin)
        made += done.payouts
        waiting += done.waiting
    return Run(made, waiting)


async def _run_one(payouts: Payouts, terms: PayoutTerms, last: date, origin: Origin) -> Run:
    made: list[Payout] = []
    for _ in range(MAX_BATCHES):
        match await payouts.add_next(terms.mchid, terms.currency, last, ids.payout_id(), origin):
            case Payout() as payout:
                made.append(payout)
            case Waiting() as wait:
                return Run(made, [wait])
            case None:
                break
    return Run(made, [])
