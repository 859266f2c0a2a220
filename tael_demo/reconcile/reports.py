"""What the gateway reports after a reconciliation, as rows of JSON for a program that knows the wallets' accounts only.

An account is shown with its number at the wallet. `accounts` are by their ids.
"""

from collections.abc import Mapping
from datetime import date
from typing import Any, Final

from tael.merchants.domain.account import Account
from tael.operations.store import Store
from tael.statements.domain.remittance import Remittance
from tael_demo.reconcile.gateway_books import WALLET

MAX_DIFFERENCES: Final = 10_000
#: What each account's bank received, by the ledger.
BANKS: Final = """
SELECT account, sum(amount_minor)::bigint AS amount_minor FROM (
    SELECT debit AS account, amount_minor FROM ledger_entry WHERE debit LIKE 'bank:%'
    UNION ALL SELECT credit, -amount_minor FROM ledger_entry WHERE credit LIKE 'bank:%'
) AS moved GROUP BY account
"""


async def difference_rows(store: Store, accounts: Mapping[str, Account]) -> list[dict[str, Any]]:
    found = await store.differences.newest(with_resolved=False, limit=MAX_DIFFERENCES)
    return [
        {
            "kind": difference.kind.value,
            "wallet": WALLET[accounts[difference.account_id].protocol],
            "account": number_of(accounts[difference.account_id]),
            "number": difference.number,
            "type": difference.type.value,
            "day": difference.day.isoformat(),
            "detail": difference.detail,
        }
        for difference in found
    ]


def number_of(account: Account) -> str:
    """Its number in the sandbox's control API: the PID, or the number of the merchant that receives the money."""
    return account.identity.rpartition("/")[2] or account.identity.rstrip("/")


async def remittance_rows(
    store: Store, accounts: Mapping[str, Account], first: date, last: date
) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = []
    for mchid in sorted({account.mchid for account in accounts.values()}):
        for remittance in await store.remittances.settled_between(mchid, first, last):
            rows.append(_remittance_row(remittance, accounts[remittance.account_id]))
    return rows


def _remittance_row(remittance: Remittance, account: Account) -> dict[str, Any]:
    return {
        "wallet": WALLET[remittance.protocol],
        "account": number_of(account),
        "settled_on": remittance.settled_on.isoformat(),
        "currency": remittance.currency,
        "paid_minor": remittance.paid_minor,
        "refunded_minor": remittance.refunded_minor,
        "fee_minor": remittance.fee_minor,
    }


async def bank_rows(store: Store, accounts: Mapping[str, Account]) -> list[dict[str, Any]]:
    rows = []
    for row in await store.database.fetch(BANKS):
        _, currency, account_id = row["account"].split(":")
        account = accounts[account_id]
        shown = {"wallet": WALLET[account.protocol], "account": number_of(account), "currency": currency}
        rows.append({**shown, "amount_minor": row["amount_minor"]})
    return rows
