"""Stores on real databases, and rows for them."""

import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final

from tael.base.cipher import Cipher
from tael.base.key_ring import key_ring
from tael.db.cells import CellLocation, Cells
from tael.db.database import MIGRATIONS, Database
from tael.db.tables import Home
from tael.incidents.store.incidents import Incidents, IncidentsOf
from tael.ledger.domain.entries import Entry
from tael.merchants.domain.merchant import UnmatchedPolicy
from tael.operations.store import Store
from tael.payments.domain.entries import payment_entry
from tael.payments.domain.payment import Payment
from tael.payments.store.payments import Change
from tael.payments.store.tables import PaymentTables
from tael.stores import stores_over
from tael.webhooks.domain.webhook import WebhookKind
from tael.webhooks.store.webhooks import NewWebhook
from tests.support.cells import current as current_cell
from tests.support.values import (
    NOW,
    ORIGIN,
    a_merchant,
    a_paid_payment,
    a_wechat_account,
    an_alipay_account,
    an_app,
)

ENCRYPTION_KEY: Final = bytes(range(32))
CIPHER: Final = Cipher(key_ring(ENCRYPTION_KEY))
NODE: Final = 9
DIRECTORY_TABLES: Final = frozenset(
    table
    for path in (MIGRATIONS / Home.DIRECTORY).glob("*.sql")
    for table in re.findall(r"^CREATE TABLE (\w+) \(", path.read_text("utf-8"), re.MULTILINE)
)


class CellsOfUrl(Cells):
    """Those of a test, which connects where it wants to, also with Citus."""

    def node_of(self, location: CellLocation) -> str:
        return ""


@asynccontextmanager
async def entered_store(database_url: str, node: int = NODE) -> AsyncIterator[Store]:
    """A process's store on the database at `database_url`."""
    async with CellsOfUrl(database_url) as cells:
        stores = stores_over(cells, CIPHER, node)
        yield await stores.of_cell.of(current_cell())


def incidents_of(incidents: Incidents) -> IncidentsOf:
    """Of every merchant, since there is one cell."""

    async def of(_: str) -> Incidents:
        return incidents

    return of


async def with_a_merchant(store: Store) -> None:
    """The app and merchant of `tests.support.values`, with all three accounts. It returns unmatched payments."""
    await store.merchants.add_app(an_app(), ORIGIN)
    await store.merchants.add_merchant(a_merchant(unmatched_payments=UnmatchedPolicy.RETURN), ORIGIN)
    await store.accounts.add(a_wechat_account(), ORIGIN)
    await store.accounts.add(
        an_alipay_account("alipay-online", scene="online", pid="2088000000000001"), ORIGIN
    )
    await store.accounts.add(
        an_alipay_account("alipay-offline", scene="offline", pid="2088000000000002"), ORIGIN
    )


async def set_policy(store: Store, policy: UnmatchedPolicy) -> None:
    """Set every merchant's policy for unmatched payments. A process may have the old one cached for a second."""
    await store.directory.execute("UPDATE merchant SET unmatched_payments = $1", policy.value)


def being_paid(payment: Payment) -> Change:
    """The change that marks `payment` as paid, with its entry and webhook."""
    after = a_paid_payment(payment.pay_type).replace(**{name: getattr(payment, name) for name in _KEPT})
    return Change(after, (payment_entry(after, NOW),), (payment_webhook(after),))


def payment_webhook(payment: Payment) -> NewWebhook:
    return NewWebhook(
        payment.mchid, payment.syssn, WebhookKind.PAYMENT, payment.appcode, payment.syssn, payment.changed_at
    )


async def opened(store: Store, payment: Payment) -> Payment:
    """Insert `payment`."""
    assert await store.payments.open(payment)
    return payment


async def paid(store: Store, payment: Payment) -> Payment:
    """Insert `payment` and record it as paid."""
    await opened(store, payment)
    assert await store.payments.record(being_paid(payment))
    return await current(store, payment)


async def current(store: PaymentTables, payment: Payment) -> Payment:
    """The present row of `payment`."""
    row = await store.payments.by_syssn(payment.mchid, payment.syssn)
    assert row is not None
    return row


def database_of(store: Store, table: str) -> Database:
    """The directory or the cell."""
    return store.directory if table in DIRECTORY_TABLES else store.database


async def count_of(store: Store, table: str) -> int:
    rows = await database_of(store, table).fetch(f"SELECT count(*) AS rows FROM {table}")
    return int(rows[0]["rows"])


@asynccontextmanager
async def put_back(store: Store, *tables: str) -> AsyncIterator[None]:
    """Whatever is done to the rows of these tables in the block is undone at its end."""
    await store.database.execute(
        "; ".join(
            f"DROP TABLE IF EXISTS public.kept_{name}; CREATE TABLE public.kept_{name} AS TABLE {name}"
            for name in tables
        )
    )
    yield
    await store.database.execute(
        "; ".join(
            f"DELETE FROM {name}; INSERT INTO {name} SELECT * FROM public.kept_{name}; DROP TABLE public.kept_{name}"
            for name in tables
        )
    )


async def all_entries(store: Store) -> list[Entry]:
    from tael.ledger.store.entries import entries_of

    rows = await store.database.fetch("SELECT DISTINCT mchid, cause FROM ledger_entry")
    mchids = {row["mchid"] for row in rows}
    entries: list[Entry] = []
    for mchid in mchids:
        causes = [row["cause"] for row in rows if row["mchid"] == mchid]
        entries += await entries_of(store.database, mchid, causes)
    return entries


_KEPT: Final = tuple(
    name
    for name in Payment.__struct_fields__
    if name not in ("state", "wallet_ref", "payer_ref", "paid_at", "check_at", "has_initial_response")
)
