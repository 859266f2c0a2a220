"""Checkout links: created once, then one order at a time under the lock of the link's row.

The link's newest order is set in the transaction that opens the order, so two browsers cannot open two.
"""

from datetime import datetime
from typing import Final

from tael.db.database import Database
from tael.db.tables import MONEY, Home, Table
from tael.merchants.domain.merchant import VolumeLimits
from tael.payments.domain.checkout import CheckoutLink
from tael.payments.domain.payment import Payment
from tael.payments.domain.volume import NewPayment
from tael.payments.store.payments import NO_LIMITS, insert_under_reference

LINK: Final = Table(
    "checkout_link", Home.CELL, CheckoutLink, ("mchid", "reference"), codecs={"amount": MONEY}
)
ADD: Final = f"{LINK.insert()} ON CONFLICT DO NOTHING"
BY_REFERENCE: Final = f"SELECT {LINK.select} FROM checkout_link WHERE mchid = $1 AND reference = $2"
BY_ID: Final = f"SELECT {LINK.select} FROM checkout_link WHERE mchid = $1 AND link_id = $2"
LOCK: Final = """
SELECT 1 FROM checkout_link WHERE mchid = $1 AND reference = $2 AND ended_at IS NULL FOR UPDATE
"""
SET_ORDER: Final = """
UPDATE checkout_link SET payment_syssn = $3, orders = orders + 1 WHERE mchid = $1 AND reference = $2
"""
END: Final = """
UPDATE checkout_link SET ended_at = $3 WHERE mchid = $1 AND reference = $2 AND ended_at IS NULL
"""


class _Conflict(Exception):
    """The reference no longer belongs to the link's last order; the transaction is rolled back."""


class Checkouts:
    """The table `checkout_link`."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def add(self, link: CheckoutLink) -> None:
        """Commit a new link, unless its reference has one already. Raises StoreUnavailable."""
        await self._database.execute(ADD, *LINK.arrays([link], LINK.columns))

    async def by_reference(self, mchid: str, reference: str) -> CheckoutLink | None:
        rows = await self._database.fetch(BY_REFERENCE, mchid, reference)
        return LINK.read(rows[0]) if rows else None

    async def by_id(self, mchid: str, link_id: str) -> CheckoutLink | None:
        rows = await self._database.fetch(BY_ID, mchid, link_id)
        return LINK.read(rows[0]) if rows else None

    async def open_order(
        self, link: CheckoutLink, payment: Payment, limits: VolumeLimits = NO_LIMITS
    ) -> bool:
        """Commit `payment` as the link's newest order, replacing the one in `link`.

        False if the merchant ended the link, another browser was faster, or its reference belongs to another payment.
        The caller must make sure that the previous order has ended. Raises AmountRefused, StoreUnavailable.
        """
        try:
            async with self._database.transaction() as connection:
                if not await connection.fetch(LOCK, link.mchid, link.reference):
                    return False
                if not await insert_under_reference(
                    connection, NewPayment(payment, limits), link.payment_syssn
                ):
                    raise _Conflict
                await connection.execute(SET_ORDER, link.mchid, link.reference, payment.syssn)
                return True
        except _Conflict:
            return False

    async def end(self, mchid: str, reference: str, at: datetime) -> None:
        """End the link, if there is one: no order can be opened with it any more."""
        await self._database.execute(END, mchid, reference, at)
