"""The orders of a plan that are paid over HTTP: a signed barcode payment at the gateway for each, day by day.

The shared clock is moved to noon of each day first. A wallet's payer shows the barcode by a control call.
"""

import asyncio
from collections.abc import Callable, Sequence
from datetime import UTC, date, datetime, time, timedelta
from itertools import groupby
from typing import Final

from tael_demo.payer import Payer
from tael_demo.reconcile.gateway_books import PAY_TYPE
from tael_demo.reconcile.plan import BEIJING, LiveOrder

CONCURRENCY: Final = 6
NOON: Final = time(12)
SUCCESS: Final = "0000"


class NotPaid(Exception):
    """A live order that the gateway did not report as paid."""


async def pay_all(
    payer: Payer, mchids: Sequence[str], orders: Sequence[LiveOrder], on_paid: Callable[[], None]
) -> None:
    """Raises NotPaid."""
    slots = asyncio.Semaphore(CONCURRENCY)

    async def pay(order: LiveOrder) -> None:
        async with slots:
            answer = await payer.trade(
                "payment",
                mchids[order.merchant],
                pay_type=PAY_TYPE[order.wallet],
                out_trade_no=payer.reference(),
                txamt=str(order.amount_minor),
                txcurrcd=order.currency,
                auth_code=await payer.code(order.wallet),
            )
        if answer.get("respcd") != SUCCESS:
            raise NotPaid(f"{order}: {answer.get('respcd')} {answer.get('respmsg')}")
        on_paid()

    for day, of_day in groupby(sorted(orders, key=lambda order: order.day), key=lambda order: order.day):
        await move_clock(payer, datetime.combine(date.fromisoformat(day), NOON, BEIJING))
        async with asyncio.TaskGroup() as group:
            for order in of_day:
                group.create_task(pay(order))


async def move_clock(payer: Payer, at: datetime) -> None:
    """Moves the clock of wallets and gateway forward to `at`, or leaves it if that has passed."""
    now = datetime.fromisoformat((await payer.control("clock", advance_s=0))["now"]).astimezone(UTC)
    await payer.control("clock", advance_s=max(timedelta(0), at - now).total_seconds())
