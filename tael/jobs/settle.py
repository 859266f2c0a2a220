"""Asks wallets about every undecided payment, refund, reversal and stray money; expires orders."""

from functools import partial
from typing import Any

from tael.jobs.runner import Job
from tael.service.gateway import Gateway
from tael.service.refunds import check_refund
from tael.service.reversals import continue_reversal
from tael.service.settling import settle_payment
from tael.service.strays import follow_stray


def settle_jobs(gateway: Gateway) -> list[Job[Any]]:
    """One job per table of undecided things."""
    payments, refunds, reversals = gateway.store.payments, gateway.store.refunds, gateway.store.reversals
    strays = gateway.store.strays
    return [
        Job("settle.payments", payments.claim_due, partial(settle_payment, gateway=gateway), payments.renew),
        Job("settle.refunds", refunds.claim_due, partial(check_refund, gateway=gateway), refunds.renew),
        Job(
            "settle.reversals",
            reversals.claim_due,
            partial(continue_reversal, gateway=gateway),
            reversals.renew,
        ),
        Job("settle.strays", strays.claim_due, partial(follow_stray, gateway=gateway), strays.renew),
    ]
