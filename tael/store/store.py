"""The store as the services see it: one object per noun, over one pool."""

from dataclasses import dataclass

from tael.store.accounts import Accounts
from tael.store.checkouts import Checkouts
from tael.store.database import Database
from tael.store.day_seals import DaySeals
from tael.store.incidents import Incidents
from tael.store.merchants import Merchants
from tael.store.payments import Payments
from tael.store.planned_stops import PlannedStops
from tael.store.refunds import Refunds
from tael.store.reversals import Reversals
from tael.store.seal import Seal
from tael.store.serials import Serials
from tael.store.strays import Strays
from tael.store.trades import Trades
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
    strays: Strays
    trades: Trades
    webhooks: Webhooks
    serials: Serials
    day_seals: DaySeals
    planned_stops: PlannedStops


def store_over(database: Database, seal: Seal, node: int) -> Store:
    """A store over an entered `database`."""
    return Store(
        database=database,
        merchants=Merchants(database, seal),
        accounts=Accounts(database, seal),
        payments=Payments(database),
        checkouts=Checkouts(database),
        refunds=Refunds(database),
        reversals=Reversals(database),
        incidents=Incidents(database),
        strays=Strays(database),
        trades=Trades(database),
        webhooks=Webhooks(database),
        serials=Serials(database, node),
        day_seals=DaySeals(database),
        planned_stops=PlannedStops(database),
    )
