"""Every table of the directory and of one cell, and the place of documents.

For `main`, operators' commands and tests.
"""

from dataclasses import dataclass
from typing import Any

from tael.audit_log.store.entries import AuditLog
from tael.base.cipher import Cipher
from tael.base.key_file import KeySource
from tael.channels.registry import installed_protocols
from tael.db.cells import FIRST, DatabaseOf, only
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
    """The tables of payments, and those of every other area. `database` is the cell's."""

    cell: int
    directory: Database
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
    due_work: DueWork  #: of the cell
    due_in_directory: DueWork


def store_over(
    directory: Database,
    database: Database,
    cipher: Cipher,
    node: int,
    documents: Place | None = None,
    *,
    cell: int = FIRST,
    database_of: DatabaseOf | None = None,
) -> Store:
    """A store over two databases, which must be entered, and the place of documents if there is one.

    `database` is that of the cell with the number `cell`; `database_of` opens those of others.
    """
    payments, refunds, reversals = Payments(database), Refunds(database), Reversals(database)
    unmatched_payments, webhooks = UnmatchedPayments(database), Webhooks(database)
    ledger_digests, oauth_removals = LedgerDigests(database), Removals(directory)
    accounts = Accounts(directory, cipher, installed_protocols())
    database_of = database_of or only(database, cell).of
    statements, statements_due = Statements(database), StatementsDue(database)
    queues: dict[str, DueQueue[Any]] = {
        "payments": payments.due,
        "refunds": refunds.due,
        "reversals": reversals.due,
        "unmatched_payments": unmatched_payments.due,
        "webhooks": webhooks.due,
        "daily_close": ledger_digests.due,
        "statement_due": statements_due.due,
        "reconciliation": statements.due,
    }
    queues_of_directory: dict[str, DueQueue[Any]] = {
        "oauth_removal": oauth_removals.due,
        "certificates": accounts.due_certificates,
    }
    return Store(
        cell=cell,
        directory=directory,
        database=database,
        payments=payments,
        checkouts=Checkouts(database),
        refunds=refunds,
        reversals=reversals,
        transactions=Transactions(database),
        incidents=Incidents(database),
        serials=Serials(database, node, cell=cell),
        merchants=Merchants(directory, cipher, database_of),
        accounts=accounts,
        applications=Applications(directory, cipher, database_of),
        document_files=DocumentFiles(documents, cipher),
        maintenance_windows=MaintenanceWindows(directory),
        audit_log=AuditLog(directory, database),
        unmatched_payments=unmatched_payments,
        webhooks=webhooks,
        link_keys=LinkKeys(directory, cipher),
        encryption_keys=EncryptionKeys(directory),
        ciphertexts=_ciphertexts(directory, cipher),
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
        users=Users(directory),
        grants=Grants(directory),
        sign_in_attempts=Attempts(directory),
        oauth_removals=oauth_removals,
        due_work=DueWork(database, queues),
        due_in_directory=DueWork(directory, queues_of_directory),
    )


def _ciphertexts(directory: Database, cipher: Cipher) -> tuple[CiphertextColumn, ...]:
    """Every column with ciphertexts: cells have none. A test compares them with the schema."""
    tables: tuple[Table[Any], ...] = (app_table(cipher), ACCOUNTS, APPLICATIONS, link_key_table(cipher))
    return tuple(
        CiphertextColumn(directory, cipher, table, column) for table in tables for column in table.encrypted
    )
