"""Every table of the gateway, over one pool of connections, and the place of documents.

For `main`, operators' commands and tests.
"""

from dataclasses import dataclass
from typing import Any

from tael.audit_log.store.entries import AuditLog
from tael.base.cipher import Cipher
from tael.base.key_file import KeySource
from tael.channels.registry import installed_protocols
from tael.db.ciphertexts import CiphertextColumn
from tael.db.database import Database
from tael.db.due_queue import DueQueue
from tael.db.due_work import DueWork
from tael.db.serials import Serials
from tael.db.tables import Table
from tael.incidents.store.incidents import Incidents
from tael.ledger.store.digests import LedgerDigests
from tael.merchants.store.accounts import ACCOUNTS, Accounts
from tael.merchants.store.applications import APPLICATIONS, Applications
from tael.merchants.store.document_files import DocumentFiles
from tael.merchants.store.document_places import Place
from tael.merchants.store.encryption_keys import EncryptionKeys
from tael.merchants.store.maintenance import MaintenanceWindows
from tael.merchants.store.merchants import Merchants, app_table
from tael.oauth.store.attempts import Attempts
from tael.oauth.store.grants import Grants
from tael.oauth.store.removal import Removals
from tael.oauth.store.users import Users
from tael.payments.store.checkouts import Checkouts
from tael.payments.store.link_keys import LinkKeys, link_key_table
from tael.payments.store.payments import Payments
from tael.payments.store.refunds import Refunds
from tael.payments.store.reversals import Reversals
from tael.payments.store.tables import PaymentTables
from tael.payments.store.transactions import Transactions
from tael.reconciliation.store.differences import Differences
from tael.reconciliation.store.reconciliations import Reconciliations
from tael.settlement.store.payouts import Payouts
from tael.settlement.store.terms import PayoutTermsTable
from tael.statements.store.conversions import Conversions
from tael.statements.store.due import StatementsDue
from tael.statements.store.remittances import Remittances
from tael.statements.store.settlements import Settlements
from tael.statements.store.statements import Statements
from tael.unmatched.store.unmatched import UnmatchedPayments
from tael.webhooks.store.webhooks import Webhooks


@dataclass(frozen=True, slots=True)
class Store(PaymentTables):
    """The tables of payments, and those of every other area."""

    merchants: Merchants
    accounts: Accounts
    applications: Applications
    document_files: DocumentFiles
    maintenance_windows: MaintenanceWindows
    audit_log: AuditLog
    unmatched_payments: UnmatchedPayments
    webhooks: Webhooks
    link_keys: LinkKeys
    encryption_keys: EncryptionKeys
    ciphertexts: tuple[CiphertextColumn, ...]
    keys: KeySource
    ledger_digests: LedgerDigests
    statements: Statements
    statements_due: StatementsDue
    remittances: Remittances
    conversions: Conversions
    reconciliations: Reconciliations
    differences: Differences
    payout_terms: PayoutTermsTable
    payouts: Payouts
    settlements: Settlements
    users: Users
    grants: Grants
    sign_in_attempts: Attempts
    oauth_removals: Removals
    due_work: DueWork


def store_over(database: Database, cipher: Cipher, node: int, documents: Place | None = None) -> Store:
    """A store over `database`, which must be entered, and the place of documents if there is one."""
    payments, refunds, reversals = Payments(database), Refunds(database), Reversals(database)
    unmatched_payments, webhooks = UnmatchedPayments(database), Webhooks(database)
    ledger_digests, oauth_removals = LedgerDigests(database), Removals(database)
    accounts = Accounts(database, cipher, installed_protocols())
    statements, statements_due = Statements(database), StatementsDue(database)
    queues: dict[str, DueQueue[Any]] = {
        "payments": payments.due,
        "refunds": refunds.due,
        "reversals": reversals.due,
        "unmatched_payments": unmatched_payments.due,
        "webhooks": webhooks.due,
        "daily_close": ledger_digests.due,
        "oauth_removal": oauth_removals.due,
        "certificates": accounts.due_certificates,
        "statement_due": statements_due.due,
        "reconciliation": statements.due,
    }
    return Store(
        database=database,
        payments=payments,
        checkouts=Checkouts(database),
        refunds=refunds,
        reversals=reversals,
        transactions=Transactions(database),
        incidents=Incidents(database),
        serials=Serials(database, node),
        merchants=Merchants(database, cipher),
        accounts=accounts,
        applications=Applications(database, cipher),
        document_files=DocumentFiles(documents, cipher),
        maintenance_windows=MaintenanceWindows(database),
        audit_log=AuditLog(database),
        unmatched_payments=unmatched_payments,
        webhooks=webhooks,
        link_keys=LinkKeys(database, cipher),
        encryption_keys=EncryptionKeys(database),
        ciphertexts=_ciphertexts(database, cipher),
        keys=cipher.keys,
        ledger_digests=ledger_digests,
        statements=statements,
        statements_due=statements_due,
        remittances=Remittances(database),
        conversions=Conversions(database),
        reconciliations=Reconciliations(database),
        differences=Differences(database),
        payout_terms=PayoutTermsTable(database),
        payouts=Payouts(database),
        settlements=Settlements(database),
        users=Users(database),
        grants=Grants(database),
        sign_in_attempts=Attempts(database),
        oauth_removals=oauth_removals,
        due_work=DueWork(database, queues),
    )


def _ciphertexts(database: Database, cipher: Cipher) -> tuple[CiphertextColumn, ...]:
    """Every column with ciphertexts. A test compares them with the schema."""
    tables: tuple[Table[Any], ...] = (app_table(cipher), ACCOUNTS, APPLICATIONS, link_key_table(cipher))
    return tuple(
        CiphertextColumn(database, cipher, table, column) for table in tables for column in table.encrypted
    )
