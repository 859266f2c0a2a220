"""The tables that payments read and write, over one pool of connections."""

from dataclasses import dataclass

from tael.db.database import Database
from tael.db.serials import Serials
from tael.incidents.store.incidents import Incidents
from tael.payments.store.checkouts import Checkouts
from tael.payments.store.payments import Payments
from tael.payments.store.refunds import Refunds
from tael.payments.store.reversals import Reversals
from tael.payments.store.transactions import Transactions


@dataclass(frozen=True, slots=True)
class PaymentTables:
    """What the use cases of payments, refunds, reversals, closes and checkout links need of the database."""

    database: Database
    payments: Payments
    checkouts: Checkouts
    refunds: Refunds
    reversals: Reversals
    transactions: Transactions
    incidents: Incidents
    serials: Serials
