"""The table `wallet_account`. The credentials of an account are one encrypted document, and the previous ones another.

Constraints in the database enforce the contracts: a number at a wallet belongs to one merchant, and a merchant has one
account per wallet and scene.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Final

import asyncpg
import msgspec

from tael.audit_log.domain.entry import Origin
from tael.audit_log.store.entries import write_change
from tael.base.cipher import Cipher
from tael.base.secret import Secret
from tael.db.constraints import violated_constraint
from tael.db.database import Database
from tael.db.due_queue import DueQueue
from tael.db.tables import Home, Table, assignments
from tael.merchants.domain.account import Account, AccountCertificate, AccountFormats, PreviousAccount
from tael.merchants.store.merchants import AlreadyThere

if TYPE_CHECKING:
    from collections.abc import Callable

    from tael.db.database import Connection


@dataclass(frozen=True, slots=True)
class AccountRow:
    """An account as it is stored."""

    account_id: str
    mchid: str
    protocol: str
    wallet: str
    scene: str
    identity: str
    currency: str
    refund_window_days: int
    supports_partial_refunds: bool
    fee_rate_ppm: int
    wallet_fee_rate_ppm: int | None
    credentials_encrypted: bytes
    previous_credentials_encrypted: bytes | None
    previous_credentials_until: datetime | None
    certificate_expires_at: datetime | None  #: of its certificates, the first that expires
    certificate_check_at: datetime | None  #: when its expiry is reported next
    created_at: datetime


#: The columns with credentials.
CURRENT, PREVIOUS = "credentials_encrypted", "previous_credentials_encrypted"
#: How long before its expiry a certificate is reported, every day from then on.
EXPIRES_SOON: Final = timedelta(days=30)
ACCOUNTS: Final = Table(
    "wallet_account",
    Home.DIRECTORY,
    AccountRow,
    ("account_id",),
    internal={"lease_until": "timestamptz"},
)
#: Columns of fields that every account has. Its wallet and its identity follow from its protocol and credentials.
SHARED: Final = (
    *("account_id", "mchid", "scene", "currency"),
    *("refund_window_days", "supports_partial_refunds", "fee_rate_ppm", "wallet_fee_rate_ppm"),
)
CHANGED: Final = (
    *("refund_window_days", "supports_partial_refunds", "fee_rate_ppm", "wallet_fee_rate_ppm"),
    *(CURRENT, PREVIOUS, "previous_credentials_until"),
    *("certificate_expires_at", "certificate_check_at"),
)
MCHID_OF: Final = "SELECT mchid FROM wallet_account WHERE account_id = $1"
SELECT: Final = f"SELECT {ACCOUNTS.select_from('a')} FROM wallet_account AS a"
OF_APP: Final = f"{SELECT} JOIN merchant AS m ON m.mchid = a.mchid WHERE m.appcode = $1"
ADD: Final = ACCOUNTS.insert_one()
SET: Final = f"""
UPDATE wallet_account AS a SET {assignments(CHANGED)}
FROM {ACCOUNTS.unnest(("account_id", *CHANGED))} WHERE a.account_id = w.account_id
"""
CLAIM: Final = f"""
UPDATE wallet_account AS a SET lease_until = $3
FROM (
    SELECT account_id FROM wallet_account
    WHERE certificate_check_at <= $1 AND (lease_until IS NULL OR lease_until < $2)
    ORDER BY certificate_check_at LIMIT $4 FOR UPDATE SKIP LOCKED
) AS due
WHERE a.account_id = due.account_id
RETURNING {ACCOUNTS.select_from("a")}
"""
#: Only one worker moves the time of a check on.
RESCHEDULE: Final = """
UPDATE wallet_account SET certificate_check_at = $3, lease_until = NULL
WHERE account_id = $1 AND certificate_check_at = $2 RETURNING 1
"""
CERTIFICATES: Final = """
SELECT protocol, min(certificate_expires_at) AS earliest,
    count(*) FILTER (WHERE certificate_expires_at <= $1) AS expiring
FROM wallet_account WHERE certificate_expires_at IS NOT NULL GROUP BY protocol
"""

_CREDENTIALS: Final = msgspec.json.Decoder(dict[str, str])


@dataclass(frozen=True, slots=True)
class CertificateFigure:
    """The certificates of one protocol's accounts."""

    protocol: str
    earliest: datetime  #: the first expiry
    expiring: int  #: accounts with one that ends soon, or has ended


class CertificateQueue(DueQueue[AccountRow]):
    """Accounts whose certificate ends soon, once a day each."""

    due_column = "certificate_check_at"

    def __init__(self, database: Database) -> None:
        super().__init__(database, ACCOUNTS)

    async def claim(
        self, now: datetime, real_now: datetime, lease_until: datetime, limit: int
    ) -> list[AccountRow]:
        """The longest overdue, leased until `lease_until` (real time). Raises StoreUnavailable."""
        return await self._claim(CLAIM, now, real_now, lease_until, limit)


class Accounts:
    """The table `wallet_account`."""

    def __init__(self, database: Database, cipher: Cipher, formats: AccountFormats) -> None:
        self._database = database
        self._cipher = cipher
        self._formats = formats
        self.due_certificates: Final = CertificateQueue(database)

    async def of_app(self, appcode: str) -> list[Account]:
        """The accounts of all merchants of an app."""
        return [self._account_of(row) for row in await self._database.fetch(OF_APP, appcode)]

    async def by_id(self, account_id: str) -> Account | None:
        rows = await self._database.fetch(f"{SELECT} WHERE a.account_id = $1", account_id)
        return self._account_of(rows[0]) if rows else None

    async def mchid_of(self, account_id: str) -> str | None:
        """The merchant of an account, whatever its credentials are encrypted with."""
        rows = await self._database.fetch(MCHID_OF, account_id)
        return rows[0]["mchid"] if rows else None

    async def all(self) -> list[Account]:
        rows = await self._database.fetch(f"{SELECT} ORDER BY a.created_at, a.account_id")
        return [self._account_of(row) for row in rows]

    async def add(self, account: Account, origin: Origin) -> None:
        """Raises AlreadyThere if a contract forbids it, LookupError if its merchant does not exist."""
        row = self._row_of(account, origin.at)
        try:
            async with self._database.transaction() as connection:
                await connection.execute(ADD, *ACCOUNTS.values(row, ACCOUNTS.columns))
                await write_change(connection, origin, ACCOUNTS, account.account_id, None, account)
        except asyncpg.UniqueViolationError as error:
            raise AlreadyThere(_contract_of(error)) from error
        except asyncpg.ForeignKeyViolationError as error:
            raise LookupError(f"no merchant {account.mchid}") from error

    async def change(
        self,
        is_meant: "Callable[[Account], bool]",
        changed: "Callable[[Account], Account]",
        origin: Origin,
    ) -> list[Account]:
        """Write what `changed` makes of the refund rules and credentials of the accounts that are meant: all, or none.

        Their rows are locked in between, so that a second operator's change is not lost.
        """
        async with self._database.transaction() as connection:
            rows = await self._locked(connection, is_meant)
            before = [self._account(row) for row in rows]
            accounts = [changed(account) for account in before]
            new = [self._changed(row, account) for account, row in zip(accounts, rows, strict=True)]
            await connection.execute(SET, *ACCOUNTS.arrays(new, ("account_id", *CHANGED)))
            for old, account in zip(before, accounts, strict=True):
                await write_change(connection, origin, ACCOUNTS, account.account_id, old, account)
        return accounts

    async def reschedule(self, row: AccountRow, check_at: datetime) -> bool:
        """Set the next check of its certificates. False if it was set since `row` was claimed."""
        values = row.account_id, row.certificate_check_at, check_at
        return bool(await self._database.fetch(RESCHEDULE, *values))

    async def certificate_figures(self, now: datetime) -> list[CertificateFigure]:
        """A row for each protocol with certificates. Raises StoreUnavailable."""
        rows = await self._database.fetch(CERTIFICATES, now + EXPIRES_SOON)
        return [CertificateFigure(row["protocol"], row["earliest"], row["expiring"]) for row in rows]

    async def _locked(
        self, connection: "Connection", is_meant: "Callable[[Account], bool]"
    ) -> Sequence[AccountRow]:
        records = await connection.fetch(f"{SELECT} ORDER BY a.created_at, a.account_id FOR UPDATE")
        return [row for row in map(ACCOUNTS.read, records) if is_meant(self._account(row))]

    def _row_of(self, account: Account, at: datetime) -> AccountRow:
        previous = account.previous
        certificates = self._formats.certificates_of(account)
        expires_at = certificates[0].expires_at if certificates else None
        return AccountRow(
            **{name: getattr(account, name) for name in SHARED},
            protocol=account.protocol,
            wallet=account.wallet,
            identity=account.identity,
            credentials_encrypted=self._encrypted(account, CURRENT),
            previous_credentials_encrypted=self._encrypted(previous.account, PREVIOUS) if previous else None,
            previous_credentials_until=previous.until if previous else None,
            certificate_expires_at=expires_at,
            certificate_check_at=expires_at - EXPIRES_SOON if expires_at else None,
            created_at=at,
        )

    def _changed(self, before: AccountRow, account: Account) -> AccountRow:
        """A certificate that stays keeps its schedule."""
        row = self._row_of(account, before.created_at)
        if row.certificate_expires_at != before.certificate_expires_at:
            return row
        return replace(row, certificate_check_at=before.certificate_check_at)

    def _encrypted(self, account: Account, column: str) -> bytes:
        document = msgspec.json.encode(dict(self._formats.credentials_of(account))).decode()
        return self._cipher.encrypt(Secret(document), ACCOUNTS.place(column, (account.account_id,)))

    def _account_of(self, record: "asyncpg.Record") -> Account:
        return self._account(ACCOUNTS.read(record))

    def account(self, row: AccountRow) -> Account:
        """The account of a row that was claimed. Raises UnknownProtocol."""
        return self._account(row)

    def certificates(self, row: AccountRow) -> Sequence[AccountCertificate]:
        """Those of a row that was claimed, the first that expires first. Raises UnknownProtocol."""
        return self._formats.certificates_of(self._account(row))

    def _account(self, row: AccountRow) -> Account:
        account = self._with_credentials(row, row.credentials_encrypted, CURRENT)
        if row.previous_credentials_encrypted is None or row.previous_credentials_until is None:
            return account
        previous = self._with_credentials(row, row.previous_credentials_encrypted, PREVIOUS)
        return replace(account, previous=PreviousAccount(previous, row.previous_credentials_until))

    def _with_credentials(self, row: AccountRow, encrypted: bytes, column: str) -> Account:
        document = self._cipher.decrypt(encrypted, ACCOUNTS.place(column, (row.account_id,)))
        credentials = _CREDENTIALS.decode(document.reveal())
        return self._formats.account_of(
            row.protocol, {name: getattr(row, name) for name in SHARED}, credentials
        )


def _contract_of(error: asyncpg.UniqueViolationError) -> str:
    """The violated rule, as a sentence for the operator."""
    return {
        "one_account_per_scene": "the merchant already has an account at this wallet for this scene",
        "one_merchant_per_identity": "this number at the wallet already belongs to a merchant",
    }.get(violated_constraint(error), "such an account already exists")
