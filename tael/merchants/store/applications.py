"""The tables `merchant_application`, `merchant_document` and `merchant_decision`.

An application is one encrypted document. Its username and license number are columns as well: constraints decide
which of two sign-ups of one business is the first.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import TYPE_CHECKING, Final

import asyncpg
import msgspec

from tael.audit_log.domain.entry import Origin
from tael.audit_log.store.entries import write_change
from tael.base.cipher import Cipher
from tael.base.secret import Secret
from tael.db.cells import DatabaseOf
from tael.db.database import Database
from tael.db.tables import Home, Table
from tael.merchants.domain.application import Application, Decision, DecisionRow, state_after
from tael.merchants.domain.document import MAX_DOCUMENTS_OF_MERCHANT, Document
from tael.merchants.domain.merchant import Merchant
from tael.merchants.store.merchants import (
    MERCHANTS,
    SELECT_MERCHANT,
    AlreadyThere,
    begin_daily_close,
    insert_merchant,
)

if TYPE_CHECKING:
    from tael.db.database import Connection


@dataclass(frozen=True, slots=True)
class ApplicationRow:
    """An application as it is stored."""

    mchid: str
    appcode: str
    username: str
    license_number: str
    application_encrypted: bytes
    created_at: datetime


APPLICATIONS: Final = Table("merchant_application", Home.DIRECTORY, ApplicationRow, ("mchid",))
DOCUMENTS: Final = Table("merchant_document", Home.DIRECTORY, Document, ("document_id",))
DECISIONS: Final = Table("merchant_decision", Home.DIRECTORY, DecisionRow, ("mchid", "number"))

SELECT_APPLICATION: Final = f"SELECT {APPLICATIONS.select} FROM merchant_application"
SELECT_DOCUMENTS: Final = (
    f"SELECT {DOCUMENTS.select} FROM merchant_document WHERE mchid = $1 ORDER BY created_at, document_id"
)
#: In a fixed order, a batch at a time.
SELECT_ALL_DOCUMENTS: Final = (
    f"SELECT {DOCUMENTS.select} FROM merchant_document WHERE document_id > $1 ORDER BY document_id LIMIT $2"
)
SELECT_DECISIONS: Final = f"SELECT {DECISIONS.select} FROM merchant_decision WHERE mchid = $1 ORDER BY number"
ADD_APPLICATION: Final = APPLICATIONS.insert_one()
ADD_DOCUMENT: Final = DOCUMENTS.insert_one()
ADD_DECISION: Final = DECISIONS.insert_one()
LOCK_MERCHANT: Final = f"{SELECT_MERCHANT} WHERE mchid = $1 FOR UPDATE"
#: What a decision changes of a merchant.
DECIDED: Final = ("state", "currency")
SET_STATE: Final = MERCHANTS.update_one(DECIDED)
HAS_ACCOUNTS: Final = "SELECT EXISTS (SELECT FROM wallet_account WHERE mchid = $1) AS it_has"
LAST_NUMBER: Final = "SELECT coalesce(max(number), 0) AS number FROM merchant_decision WHERE mchid = $1"

_APPLICATION: Final = msgspec.json.Decoder(Application)


class TooManyDocuments(Exception):
    """The merchant would have more than MAX_DOCUMENTS_OF_MERCHANT."""


class CurrencyFixed(Exception):
    """A merchant with wallet accounts keeps its currency."""


class Applications:
    """What merchants have sent, and what was decided about them."""

    def __init__(self, directory: Database, cipher: Cipher, database_of: DatabaseOf) -> None:
        self._database = directory
        self._database_of = database_of
        self._cipher = cipher

    # ---- what was sent -------------------------------------------------------------------------------------

    async def add(
        self, merchant: Merchant, application: Application, documents: Sequence[Document], origin: Origin
    ) -> None:
        """The merchant with its application and documents: all, or nothing.

        Raises AlreadyThere if its app has a merchant with this username or license number.
        """
        row = ApplicationRow(
            merchant.mchid,
            merchant.appcode,
            application.username,
            application.license_number,
            self._cipher.encrypt(Secret(msgspec.json.encode(application).decode()), _place(merchant.mchid)),
            origin.at,
        )
        try:
            async with self._database.transaction() as connection:
                await insert_merchant(connection, merchant, origin)
                await connection.execute(ADD_APPLICATION, *APPLICATIONS.values(row, APPLICATIONS.columns))
                await _insert_documents(connection, documents, origin)
                await begin_daily_close(self._database_of, merchant, origin)
        except asyncpg.UniqueViolationError:
            # The error's details would show the username.
            raise AlreadyThere("the app has a merchant with this username or license number") from None

    async def of(self, mchid: str) -> Application | None:
        rows = await self._database.fetch(f"{SELECT_APPLICATION} WHERE mchid = $1", mchid)
        return self._application_of(rows[0])[1] if rows else None

    async def by_username(self, appcode: str, username: str) -> tuple[str, Application] | None:
        """The mchid and the application of the app's merchant that signed up with this username."""
        rows = await self._database.fetch(
            f"{SELECT_APPLICATION} WHERE appcode = $1 AND username = $2", appcode, username
        )
        return self._application_of(rows[0]) if rows else None

    def _application_of(self, record: asyncpg.Record) -> tuple[str, Application]:
        row = APPLICATIONS.read(record)
        document = self._cipher.decrypt(row.application_encrypted, _place(row.mchid))
        return row.mchid, _APPLICATION.decode(document.reveal())

    # ---- documents -----------------------------------------------------------------------------------------

    async def documents_of(self, mchid: str) -> list[Document]:
        """Oldest first."""
        return [DOCUMENTS.read(row) for row in await self._database.fetch(SELECT_DOCUMENTS, mchid)]

    async def all_documents(self, after: str, limit: int) -> list[Document]:
        """Those of all merchants, by `document_id`, from the one behind `after`; "" is before the first."""
        rows = await self._database.fetch(SELECT_ALL_DOCUMENTS, after, limit)
        return [DOCUMENTS.read(row) for row in rows]

    async def add_documents(
        self, mchid: str, documents: Sequence[Document], origin: Origin
    ) -> list[Document]:
        """Add those whose content is new for their kind, and return them. Raises TooManyDocuments."""
        async with self._database.transaction() as connection:
            await connection.fetch(LOCK_MERCHANT, mchid)
            known = [DOCUMENTS.read(row) for row in await connection.fetch(SELECT_DOCUMENTS, mchid)]
            contents = {(document.kind, document.sha256) for document in known}
            new = [document for document in documents if (document.kind, document.sha256) not in contents]
            if len(known) + len(new) > MAX_DOCUMENTS_OF_MERCHANT:
                raise TooManyDocuments
            await _insert_documents(connection, new, origin)
        return new

    # ---- decisions -----------------------------------------------------------------------------------------

    async def decisions_of(self, mchid: str) -> list[DecisionRow]:
        """In order."""
        return [DECISIONS.read(row) for row in await self._database.fetch(SELECT_DECISIONS, mchid)]

    async def decide(
        self, mchid: str, decision: Decision, reason: str, currency: str | None, origin: Origin
    ) -> DecisionRow | None:
        """Set the merchant's state, and its currency if one is given. None if there is no such merchant.

        Raises DecisionImpossible, and CurrencyFixed for another currency than that of its accounts.
        """
        async with self._database.transaction() as connection:
            rows = await connection.fetch(LOCK_MERCHANT, mchid)
            if not rows:
                return None
            before = MERCHANTS.read(rows[0])
            after = replace(
                before, state=state_after(decision, before.state), currency=currency or before.currency
            )
            if after.currency != before.currency and await _has_accounts(connection, mchid):
                raise CurrencyFixed
            last = await connection.fetch(LAST_NUMBER, mchid)
            row = DecisionRow(mchid, last[0]["number"] + 1, after.state, reason, origin.at)
            await connection.execute(SET_STATE, *MERCHANTS.values(after, ("mchid", *DECIDED)))
            await connection.execute(ADD_DECISION, *DECISIONS.values(row, DECISIONS.columns))
            await write_change(connection, origin, MERCHANTS, mchid, before, after)
            await write_change(connection, origin, DECISIONS, f"{mchid}/{row.number}", None, row)
        return row


def _place(mchid: str) -> bytes:
    return APPLICATIONS.place("application_encrypted", (mchid,))


async def _insert_documents(connection: "Connection", documents: Sequence[Document], origin: Origin) -> None:
    for document in documents:
        await connection.execute(ADD_DOCUMENT, *DOCUMENTS.values(document, DOCUMENTS.columns))
        await write_change(connection, origin, DOCUMENTS, document.document_id, None, document)


async def _has_accounts(connection: "Connection", mchid: str) -> bool:
    return bool((await connection.fetch(HAS_ACCOUNTS, mchid))[0]["it_has"])
