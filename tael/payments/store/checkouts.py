"""Checkout links: created once, then one order at a time under the lock of the link's row.

The link's newest order is set in the transaction that opens the order, so two browsers cannot open two.
"""

from datetime import datetime
from typing import TYPE_CHECKING, Final

from tael.base.money import Money
from tael.db.database import Database
from tael.payments.domain.checkout import CheckoutLink
from tael.payments.domain.payment import Payment
from tael.payments.store.payments import insert_under_reference

if TYPE_CHECKING:
    import asyncpg

COLUMNS: Final = (
    "mchid, reference, link_id, appcode, amount_minor, currency, subject, openid, client_time, device, return_url, "
    "failed_url, cancel_url, order_s, created_at, expires_at, forbid_credit, has_fixed_end, payment_syssn, "
    "orders, ended_at"
)
ADD: Final = """
INSERT INTO checkout_link (mchid, reference, link_id, appcode, amount_minor, currency, subject, openid, client_time,
    device, return_url, failed_url, cancel_url, order_s, created_at, expires_at, forbid_credit, has_fixed_end)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18)
ON CONFLICT DO NOTHING
"""
BY_REFERENCE: Final = f"SELECT {COLUMNS} FROM checkout_link WHERE mchid = $1 AND reference = $2"
BY_ID: Final = f"SELECT {COLUMNS} FROM checkout_link WHERE mchid = $1 AND link_id = $2"
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
        await self._database.execute(
            ADD,
            link.mchid,
            link.reference,
            link.link_id,
            link.appcode,
            link.amount.amount_minor,
            link.amount.currency,
            link.subject,
            link.openid,
            link.client_time,
            link.device,
            link.return_url,
            link.failed_url,
            link.cancel_url,
            link.order_s,
            link.created_at,
            link.expires_at,
            link.forbid_credit,
            link.has_fixed_end,
        )

    async def by_reference(self, mchid: str, reference: str) -> CheckoutLink | None:
        rows = await self._database.fetch(BY_REFERENCE, mchid, reference)
        return _link_of(rows[0]) if rows else None

    async def by_id(self, mchid: str, link_id: str) -> CheckoutLink | None:
        rows = await self._database.fetch(BY_ID, mchid, link_id)
        return _link_of(rows[0]) if rows else None

    async def open_order(self, link: CheckoutLink, payment: Payment) -> bool:
        """Commit `payment` as the link's newest order, replacing the one in `link`.

        False if the merchant ended the link, another browser was faster, or its reference belongs to another payment.
        The caller must make sure that the previous order has ended.
        """
        try:
            async with self._database.transaction() as connection:
                if not await connection.fetch(LOCK, link.mchid, link.reference):
                    return False
                if not await insert_under_reference(connection, payment, link.payment_syssn):
                    raise _Conflict
                await connection.execute(SET_ORDER, link.mchid, link.reference, payment.syssn)
                return True
        except _Conflict:
            return False

    async def end(self, mchid: str, reference: str, at: datetime) -> None:
        """End the link, if there is one: no order can be opened with it any more."""
        await self._database.execute(END, mchid, reference, at)


def _link_of(row: "asyncpg.Record") -> CheckoutLink:
    """A row with COLUMNS."""
    return CheckoutLink(
        mchid=row["mchid"],
        reference=row["reference"],
        link_id=row["link_id"],
        appcode=row["appcode"],
        amount=Money(row["amount_minor"], row["currency"]),
        subject=row["subject"],
        openid=row["openid"],
        client_time=row["client_time"],
        device=row["device"],
        return_url=row["return_url"],
        failed_url=row["failed_url"],
        cancel_url=row["cancel_url"],
        order_s=row["order_s"],
        created_at=row["created_at"],
        expires_at=row["expires_at"],
        forbid_credit=row["forbid_credit"],
        has_fixed_end=row["has_fixed_end"],
        payment_syssn=row["payment_syssn"],
        orders=row["orders"],
        ended_at=row["ended_at"],
    )
