"""What a merchant does before it is approved: it signs up, sends documents, and asks for its state.

Files are written before the rows that name them, and rows are written together: a failure leaves no merchant without
its application and no row without its file.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta

import structlog

from tael.audit_log.domain.entry import Origin
from tael.base import errors, ids
from tael.merchants.credential_cache import CredentialCache
from tael.merchants.domain.application import Application
from tael.merchants.domain.document import MAX_DOCUMENTS_OF_MERCHANT, Document, Scan
from tael.merchants.domain.merchant import App, Merchant, MerchantState
from tael.merchants.merchants import new_merchant
from tael.merchants.store.applications import Applications, TooManyDocuments
from tael.merchants.store.document_files import DocumentFiles
from tael.merchants.store.merchants import AlreadyThere, Merchants

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class SignUpContext:
    """What the use cases of this module depend on."""

    merchants: Merchants
    applications: Applications
    files: DocumentFiles
    credentials: CredentialCache


async def sign_up(
    application: Application, scans: Sequence[Scan], app: App, origin: Origin, context: SignUpContext
) -> str:
    """The mchid of the merchant that has this application: a new one, which waits for approval, or an earlier one.

    The same sign-up again is a repeat and returns the first one's mchid. Raises OperationDenied if the app may not sign
    up merchants, ApplicationRefused if the business has signed up with other data, DocumentsUnavailable.
    """
    if app.signup_currency is None:
        raise errors.OperationDenied("this app may not sign up merchants")
    earlier = await _earlier(application, app, context)
    if earlier is not None:
        return await _repeated(earlier, scans, origin, context)
    merchant = new_merchant(
        app.appcode,
        application.shop_name,
        app.signup_currency,
        state=MerchantState.WAITING,
        cell=await context.merchants.emptiest_cell(),
    )
    documents = _documents(scans, merchant.mchid, origin)
    await _write_files(documents, scans, context)
    try:
        await context.applications.add(merchant, application, documents, origin)
    except AlreadyThere:
        await _remove_files(documents, context)
        earlier = await _earlier(application, app, context)  # of a request at the same time
        if earlier is None:
            raise errors.ApplicationRefused("a merchant of this app has this license number") from None
        return await _repeated(earlier, scans, origin, context)
    # After any other error the commit may have happened: the files stay.
    context.credentials.forget(app.appcode, merchant.mchid)
    log.info("merchant.signed_up", appcode=app.appcode, mchid=merchant.mchid, documents=len(documents))
    return merchant.mchid


async def add_documents(mchid: str, scans: Sequence[Scan], origin: Origin, context: SignUpContext) -> None:
    """Add the documents that are new; earlier ones of the same kind are kept.

    Raises DocumentRepeated if all are stored already, ApplicationRefused if the merchant has too many,
    DocumentsUnavailable.
    """
    if not await _added(mchid, scans, origin, context):
        raise errors.DocumentRepeated


async def merchant_of_app(
    appcode: str, mchid: str, username: str, context: SignUpContext
) -> tuple[Merchant, Application | None]:
    """The app's merchant with this id and username, of which one may be "". Raises NotAuthentic if there is none.

    It is read from the database: another process may have signed it up a moment ago.
    """
    if not mchid:
        found = await context.applications.by_username(appcode, username)
        mchid = found[0] if found else ""
    merchant = await context.merchants.merchant(mchid)
    if merchant is None or merchant.appcode != appcode:
        raise errors.NotAuthentic(cause="the mchid or username is not the app's")
    application = await context.applications.of(merchant.mchid)
    if username and (application is None or application.username != username):
        raise errors.NotAuthentic(cause="mchid and username are of different merchants")
    return merchant, application


async def _earlier(application: Application, app: App, context: SignUpContext) -> str | None:
    """The mchid of the same sign-up. Raises ApplicationRefused if the username has another application."""
    found = await context.applications.by_username(app.appcode, application.username)
    if found is None:
        return None
    mchid, known = found
    if known != application:
        raise errors.ApplicationRefused("a merchant of this app has this username")
    return mchid


async def _repeated(mchid: str, scans: Sequence[Scan], origin: Origin, context: SignUpContext) -> str:
    await _added(mchid, scans, origin, context)
    return mchid


async def _added(
    mchid: str, scans: Sequence[Scan], origin: Origin, context: SignUpContext
) -> Sequence[Document]:
    """The documents that were new."""
    known = {(document.kind, document.sha256) for document in await context.applications.documents_of(mchid)}
    pairs = [
        (scan, document)
        for scan, document in zip(scans, _documents(scans, mchid, origin), strict=True)
        if (document.kind, document.sha256) not in known
    ]
    documents = [document for _, document in pairs]
    if not documents:
        return []
    await _write_files(documents, [scan for scan, _ in pairs], context)
    try:
        added = await context.applications.add_documents(mchid, documents, origin)
    except TooManyDocuments:
        await _remove_files(documents, context)
        raise errors.ApplicationRefused(
            f"a merchant can have at most {MAX_DOCUMENTS_OF_MERCHANT} documents"
        ) from None
    # Those of a request at the same time. After any other error the commit may have happened: the files stay.
    await _remove_files([document for document in documents if document not in added], context)
    log.info("merchant.documents_added", mchid=mchid, documents=len(added))
    return added


def _documents(scans: Sequence[Scan], mchid: str, origin: Origin) -> list[Document]:
    """A row for each, a microsecond apart: they are listed in the order in which they were sent."""
    return [
        Document(
            ids.document_id(),
            mchid,
            scan.kind,
            scan.media_type,
            len(scan.content),
            scan.sha256,
            origin.at + number * timedelta.resolution,
        )
        for number, scan in enumerate(scans)
    ]


async def _write_files(documents: Sequence[Document], scans: Sequence[Scan], context: SignUpContext) -> None:
    """All, or none. Raises DocumentsUnavailable."""
    try:
        for document, scan in zip(documents, scans, strict=True):
            await context.files.write(document, scan.content)
    except Exception:
        await _remove_files(documents, context)
        raise


async def _remove_files(documents: Sequence[Document], context: SignUpContext) -> None:
    for document in documents:
        await context.files.remove(document)
