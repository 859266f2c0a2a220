"""What an operator does with applications: looks at them, and approves, refuses, suspends or resumes a merchant.

A gateway in another process follows within `ttl_s` of its cache.
"""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass

from tael.audit_log.domain.entry import Origin
from tael.merchants.domain.application import Application, Decision, DecisionRow
from tael.merchants.domain.document import Document
from tael.merchants.domain.forms import CURRENCY, check, check_note
from tael.merchants.domain.merchant import Merchant
from tael.merchants.merchants import NoSuchMerchant
from tael.merchants.store.applications import Applications
from tael.merchants.store.document_files import DocumentFiles
from tael.merchants.store.merchants import Merchants


class DocumentChanged(Exception):
    """The content of a document is not the one that was sent. The message names the document."""


@dataclass(frozen=True, slots=True)
class MerchantFile:
    """All that is known of one merchant. `application` is None if an operator added it."""

    merchant: Merchant
    application: Application | None
    documents: Sequence[Document]
    decisions: Sequence[DecisionRow]


async def merchant_file(merchants: Merchants, applications: Applications, mchid: str) -> MerchantFile:
    """Raises NoSuchMerchant."""
    merchant = await merchants.merchant(mchid)
    if merchant is None:
        raise NoSuchMerchant(mchid)
    return MerchantFile(
        merchant,
        await applications.of(mchid),
        await applications.documents_of(mchid),
        await applications.decisions_of(mchid),
    )


async def decide(
    applications: Applications,
    mchid: str,
    decision: Decision,
    origin: Origin,
    *,
    reason: str | None = None,
    currency: str | None = None,
) -> DecisionRow:
    """Raises NoSuchMerchant, DecisionImpossible, CurrencyFixed, InvalidValue."""
    note = "" if reason is None else check_note(reason, "reason")
    if currency is not None:
        check(currency, CURRENCY, "currency")
    decided = await applications.decide(mchid, decision, note, currency, origin)
    if decided is None:
        raise NoSuchMerchant(mchid)
    return decided


async def content_of(files: DocumentFiles, document: Document) -> bytes:
    """The content, compared with its digest. Raises OSError, DecryptionFailed, DocumentChanged."""
    content = await files.read(document)
    if hashlib.sha256(content).hexdigest() != document.sha256:
        raise DocumentChanged(f"document {document.document_id} is not the one that was sent")
    return content
