"""The store as the services see it: one object per noun, over one pool."""

from dataclasses import dataclass

from tael.base.cipher import Cipher
from tael.db.database import Database
from tael.db.serials import Serials
from tael.incidents.store.incidents import Incidents
from tael.ledger.store.digests import LedgerDigests
from tael.merchants.store.accounts import Accounts
from tael.merchants.store.maintenance import MaintenanceWindows
from tael.merchants.store.merchants import Merchants
from tael.payments.store.checkouts import Checkouts
from tael.payments.store.payments import Payments
from tael.payments.store.refunds import Refunds
from tael.payments.store.reversals import Reversals
from tael.payments.store.transactions import Transactions
from tael.unmatched.store.unmatched import UnmatchedPayments
from tael.webhooks.store.webhooks import Webhooks


@dataclass(frozen=True, slots=True)
class Store:
    """Every table that a service reads or writes."""

    database: Database
    merchants: Merchants
    accounts: Accounts
    payments: Payments
    checkouts: Checkouts
    refunds: Refunds
    reversals: Reversals
    incidents: Incidents
    unmatched_payments: UnmatchedPayments
    transactions: Transactions
    webhooks: Webhooks
    serials: Serials
    ledger_digests: LedgerDigests
    maintenance_windows: MaintenanceWindows


def store_over(database: Database, cipher: Cipher, node: int) -> Store:
    """A store over an entered `database`."""
    return Store(
        database=database,
        merchants=Merchants(database, cipher),
        accounts=Accounts(database, cipher),
        payments=Payments(database),
        checkouts=Checkouts(database),
        refunds=Refunds(database),
        reversals=Reversals(database),
        incidents=Incidents(database),
        unmatched_payments=UnmatchedPayments(database),
        transactions=Transactions(database),
        webhooks=Webhooks(database),
        serials=Serials(database, node),
        ledger_digests=LedgerDigests(database),
        maintenance_windows=MaintenanceWindows(database),
    )
