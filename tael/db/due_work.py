"""Which queues have due rows: one statement for all of them, so that an idle worker asks one question and not ten.

It takes nothing. A row that is leased to another worker is not due; one that waits behind another still counts.
"""

from collections.abc import Mapping
from datetime import datetime
from typing import Final

from tael.db.database import Database

#: Not leased, and its time has come: $1 by the gateway's clock, $2 in real time.
IS_DUE: Final = "{time} <= $1 AND (lease_until IS NULL OR lease_until < $2)"
#: Account by account as the index is, so that rows whose time has not come cost nothing.
OF_ACCOUNTS: Final = f"""EXISTS (SELECT FROM {{table}} WHERE check_at IS NOT NULL) AND EXISTS (
    SELECT FROM wallet_account AS a CROSS JOIN LATERAL (
        SELECT FROM {{table}} AS d WHERE d.account_id = a.account_id AND {IS_DUE.format(time="check_at")} LIMIT 1
    ) AS first)"""
QUEUES: Final[Mapping[str, str]] = {
    "payments": OF_ACCOUNTS.format(table="payment"),
    "refunds": OF_ACCOUNTS.format(table="refund"),
    "reversals": OF_ACCOUNTS.format(table="reversal"),
    "unmatched_payments": OF_ACCOUNTS.format(table="incident"),
    "webhooks": f"EXISTS (SELECT FROM webhook WHERE {IS_DUE.format(time='deliver_at')})",
    "daily_close": f"EXISTS (SELECT FROM daily_close WHERE {IS_DUE.format(time='close_at')})",
}
LOOK: Final = "SELECT " + ", ".join(f"{condition} AS {name}" for name, condition in QUEUES.items())


class DueWork:
    """All queues, by name."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def queues(self, now: datetime, real_now: datetime) -> set[str]:
        """The names of QUEUES that have a due row. Raises StoreUnavailable."""
        (row,) = await self._database.fetch(LOOK, now, real_now)
        return {name for name, is_due in row.items() if is_due}
