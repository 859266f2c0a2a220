"""What the statements of the gateway do with each table, and so the privileges of the role that runs it.

This is the only place to change when a statement needs another privilege. `tests/integration/db/test_privileges.py`
compares it with the statements: one without its privilege fails, and so does a privilege that no statement needs.
A lock of rows (FOR UPDATE) needs UPDATE. What a foreign key deletes with another row needs nothing.
"""

from collections.abc import Mapping
from enum import StrEnum
from typing import Final


class Privilege(StrEnum):
    """PostgreSQL's, on a table."""

    SELECT = "SELECT"
    INSERT = "INSERT"
    UPDATE = "UPDATE"
    DELETE = "DELETE"


Privileges = frozenset[Privilege]

READ: Final[Privileges] = frozenset({Privilege.SELECT})
ADD: Final[Privileges] = READ | {Privilege.INSERT}
CHANGE: Final[Privileges] = ADD | {Privilege.UPDATE}
ADD_AND_DELETE: Final[Privileges] = ADD | {Privilege.DELETE}
CHANGE_AND_DELETE: Final[Privileges] = CHANGE | {Privilege.DELETE}

PRIVILEGES: Final[Mapping[str, Privileges]] = {
    # ---- the directory
    "app": CHANGE,
    "audit_entry": ADD,
    "cell_location": READ,
    "encryption_key": ADD,
    "link_key": CHANGE_AND_DELETE,
    "maintenance_window": CHANGE_AND_DELETE,
    "merchant": CHANGE,
    "merchant_application": CHANGE_AND_DELETE,
    "merchant_decision": ADD,
    "merchant_document": ADD_AND_DELETE,
    "merchant_user": CHANGE,
    "oauth_grant": CHANGE_AND_DELETE,
    "oauth_removal": CHANGE,
    "oauth_token": CHANGE,
    "sign_in_attempt": CHANGE_AND_DELETE,
    "user_session": ADD_AND_DELETE,
    "wallet_account": CHANGE,
    # ---- a cell
    "cell": READ,
    "cell_audit_entry": ADD,
    "checkout_link": CHANGE,
    "conversion": CHANGE,
    "daily_close": CHANGE,
    "difference": CHANGE,
    "incident": CHANGE,
    "ledger_digest": ADD,
    "ledger_entry": ADD,
    "payment": CHANGE,
    "payout": CHANGE,
    "payout_terms": CHANGE_AND_DELETE,
    "rate_limit": CHANGE,
    "rate_limit_total": CHANGE,
    "readiness": CHANGE,
    "reconciliation": CHANGE,
    "reference": CHANGE_AND_DELETE,
    "refund": CHANGE,
    "refund_turn": CHANGE,
    "remittance": CHANGE,
    "reversal": CHANGE,
    "serial": CHANGE,
    "statement": CHANGE,
    "statement_due": CHANGE_AND_DELETE,
    "statement_line": ADD,
    "unmatched_payment": CHANGE,
    "webhook": CHANGE,
    "webhook_attempt": ADD,
}
#: Columns that are updated of tables that are not: those that are blanked.
UPDATED_COLUMNS: Final[Mapping[str, tuple[str, ...]]] = {"webhook_attempt": ("answer",)}


def privileges_on(table: str) -> Privileges:
    """READ for a table that is not the gateway's: it reads which migrations yoyo has applied."""
    return PRIVILEGES.get(table, READ)
