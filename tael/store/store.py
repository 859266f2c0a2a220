"""The store as the services see it: one object per noun, over one pool."""

from dataclasses import dataclass

from tael.store.accounts import Accounts
from tael.store.checkouts import Checkouts
from tael.store.database import Database
from tael.store.encryption import Cipher
from tael.store.incidents import Incidents
from tael.store.ledger_digests import LedgerDigests
from tael.store.maintenance import MaintenanceWindows
from tael.store.merchants import Merchants
from tael.store.payments import Payments
from tael.store.refunds import Refunds
from tael.store.reversals import Reversals
from tael.store.serials import Serials
from tael.store.transactions import Transactions
from tael.store.unmatched import UnmatchedPayments
from tael.store.webhooks import Webhooks


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
