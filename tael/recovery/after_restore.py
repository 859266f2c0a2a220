"""What an operator does after a restore: a report of what needs care, and what can be done safely.

Nothing here decides about money. Wallets are queried about what is undecided; what exists at a wallet only is found by
its notices and by reconciliation.
"""

from tael.audit_log.domain.entry import Origin
from tael.db.database import Database
from tael.recovery.store.restored import Restored, RestoredDatabase


async def look_after_restore(directory: Database, database: Database, cell: int) -> Restored:
    """The report about a cell. Changes nothing. Raises StoreUnavailable."""
    return await RestoredDatabase(directory, database, cell).look()


async def apply_after_restore(directory: Database, database: Database, cell: int, origin: Origin) -> Restored:
    """Skip numbers and make queries due, unless that was done on this timeline; the report afterwards.

    Raises StoreUnavailable.
    """
    restored = RestoredDatabase(directory, database, cell)
    await restored.apply(origin)
    return await restored.look()
