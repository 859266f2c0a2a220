"""Asks wallets about every undecided payment, refund and reversal; expires orders, and sends reversals that waited."""

from functools import partial
from typing import Any

from tael.jobs.runner import Job
from tael.service.gateway import Gateway
from tael.service.refunds import check_refund
from tael.service.reversals import continue_reversal
from tael.service.settling import settle_payment


def settle_jobs(gateway: Gateway) -> list[Job[Any]]:
    """One job per table of undecided things."""
    store = gateway.store
    return [
        Job("settle.payments", store.payments.claim_due, partial(settle_payment, gateway=gateway)),
        Job("settle.refunds", store.refunds.claim_due, partial(check_refund, gateway=gateway)),
        Job("settle.reversals", store.reversals.claim_due, partial(continue_reversal, gateway=gateway)),
    ]
