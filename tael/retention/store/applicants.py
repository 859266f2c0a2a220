"""Removes what refused merchants sent when they signed up. The merchant and the decisions about it stay."""

from collections.abc import Sequence
from datetime import datetime
from typing import Final

from tael.audit_log.domain.entry import Origin
from tael.audit_log.store.entries import write_change
from tael.db.database import Database
from tael.merchants.domain.document import Document
from tael.merchants.store.applications import APPLICATIONS, DOCUMENTS, SELECT_DOCUMENTS

#: Refused since before $1.
IS_REFUSED: Final = """
m.state = 'refused' AND m.created_at < $1
AND NOT EXISTS (SELECT FROM merchant_decision AS d WHERE d.mchid = m.mchid AND d.decided_at >= $1)
"""
REFUSED: Final = f"""
SELECT m.mchid FROM merchant AS m
WHERE {IS_REFUSED} AND m.mchid > $2 AND (
    EXISTS (SELECT FROM merchant_application AS a WHERE a.mchid = m.mchid)
    OR EXISTS (SELECT FROM merchant_document AS d WHERE d.mchid = m.mchid))
ORDER BY m.mchid LIMIT $3
"""
#: A decision locks the merchant too.
LOCK: Final = f"SELECT 1 FROM merchant AS m WHERE {IS_REFUSED} AND m.mchid = $2 FOR UPDATE"
REMOVE_APPLICATION: Final = "DELETE FROM merchant_application WHERE mchid = $1 RETURNING created_at"
REMOVE_DOCUMENT: Final = "DELETE FROM merchant_document WHERE document_id = $1 RETURNING 1"


class Applicants:
    """Merchants that were refused."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def refused(self, older_than: datetime, after: str, limit: int) -> list[str]:
        """The mchids, from the one behind `after`, of those with an application or documents."""
        rows = await self._database.fetch(REFUSED, older_than, after, limit)
        return [row["mchid"] for row in rows]

    async def documents_of(self, mchid: str) -> Sequence[Document]:
        return [DOCUMENTS.read(row) for row in await self._database.fetch(SELECT_DOCUMENTS, mchid)]

    async def remove_application(self, mchid: str, older_than: datetime, origin: Origin) -> bool:
        """False if the merchant is no longer refused."""
        async with self._database.transaction() as connection:
            if not await connection.fetch(LOCK, older_than, mchid):
                return False
            for row in await connection.fetch(REMOVE_APPLICATION, mchid):
                before = {"created_at": row["created_at"]}
                await write_change(connection, origin, APPLICATIONS, mchid, before, None)
        return True

    async def remove_document(self, document: Document, origin: Origin) -> None:
        """Its row. The content must have been removed."""
        async with self._database.transaction() as connection:
            if await connection.fetch(REMOVE_DOCUMENT, document.document_id):
                before = {"kind": document.kind}
                await write_change(connection, origin, DOCUMENTS, document.document_id, before, None)
