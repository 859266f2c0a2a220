"""Sign-up on a database and a folder: files and rows are all there, or none."""

import asyncio
import errno
from dataclasses import replace
from pathlib import Path

import pytest

from tael.base.cipher import Cipher, DecryptionFailed
from tael.base.errors import ApplicationRefused, DocumentRepeated, DocumentsUnavailable
from tael.base.key_ring import key_ring
from tael.merchants.credential_cache import CredentialCache
from tael.merchants.domain.application import Decision
from tael.merchants.domain.changes import MerchantChanges
from tael.merchants.domain.document import DocumentKind, Scan
from tael.merchants.domain.merchant import MerchantState, Operation
from tael.merchants.merchants import change_merchant
from tael.merchants.review import DocumentChanged, content_of, decide
from tael.merchants.sign_up import SignUpContext, add_documents, sign_up
from tael.merchants.store.applications import CurrencyFixed
from tael.merchants.store.document_files import DocumentFiles
from tael.merchants.store.document_places import Folder
from tael.operations.store import Store
from tests.support.citus import needs_plain_postgres
from tests.support.store import CIPHER, count_of
from tests.support.values import MCHID, ORIGIN, an_app
from tests.unit.merchants.test_application import an_application

APP = an_app(signup_currency="HKD")
SCANS = [Scan(kind, "application/pdf", kind.value.encode()) for kind in DocumentKind]


@pytest.fixture
def context(store: Store, tmp_path: Path) -> SignUpContext:
    credentials = CredentialCache(store.merchants, store.accounts, store.maintenance_windows, ttl_s=0)
    files = DocumentFiles(Folder(tmp_path), CIPHER)
    return SignUpContext(store.merchants, store.applications, files, credentials)


async def rows_of(store: Store) -> dict[str, int]:
    tables = ("merchant", "merchant_application", "merchant_document", "daily_close")
    return {table: await count_of(store, table) for table in tables}


class FullDisk:
    """A place that has room for all but the last of `SCANS`."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def write(self, name: str, content: bytes) -> None:
        if len(names_in(self._folder)) == len(SCANS) - 1:
            raise OSError(errno.ENOSPC, "No space left on device")
        (self._folder / name).write_bytes(content)

    def read(self, name: str) -> bytes:
        return (self._folder / name).read_bytes()

    def read_head(self, name: str, size: int) -> bytes:
        return self.read(name)[:size]

    def remove(self, name: str) -> None:
        (self._folder / name).unlink(missing_ok=True)


def names_in(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


@needs_plain_postgres
async def test_a_sign_up_is_stored_as_it_was_sent(
    store: Store, context: SignUpContext, tmp_path: Path
) -> None:
    before = await rows_of(store)
    mchid = await sign_up(an_application(), SCANS, APP, ORIGIN, context)
    assert await store.applications.of(mchid) == an_application()
    assert await store.applications.by_username(APP.appcode, "x") == (mchid, an_application())
    documents = await store.applications.documents_of(mchid)
    assert {each.kind: await content_of(context.files, each) for each in documents} == {
        scan.kind: scan.content for scan in SCANS
    }
    assert names_in(tmp_path) == {each.document_id for each in documents}
    assert await rows_of(store) == {
        "merchant": before["merchant"] + 1,
        "merchant_application": 1,
        "merchant_document": len(SCANS),
        "daily_close": before["daily_close"] + 1,
    }


async def test_a_file_that_cannot_be_written_leaves_nothing(
    store: Store, context: SignUpContext, tmp_path: Path
) -> None:
    before = await rows_of(store)
    full = replace(context, files=DocumentFiles(FullDisk(tmp_path), CIPHER))
    with pytest.raises(DocumentsUnavailable):
        await sign_up(an_application(), SCANS, APP, ORIGIN, full)
    assert (await rows_of(store), names_in(tmp_path)) == (before, set())


async def test_without_a_folder_files_are_refused_and_a_sign_up_without_files_is_not(
    store: Store, context: SignUpContext
) -> None:
    nowhere = replace(context, files=DocumentFiles(None, CIPHER))
    with pytest.raises(DocumentsUnavailable):
        await sign_up(an_application(), SCANS, APP, ORIGIN, nowhere)
    mchid = await sign_up(an_application(), [], APP, ORIGIN, nowhere)
    assert await store.applications.documents_of(mchid) == []


@needs_plain_postgres
async def test_a_row_that_cannot_be_written_leaves_no_merchant(
    store: Store, context: SignUpContext, tmp_path: Path
) -> None:
    """Its files stay: the commit may have happened."""
    before = await rows_of(store)
    await store.directory.execute(
        "ALTER TABLE merchant_document ADD CONSTRAINT broken CHECK (size_bytes < 7)"
    )
    with pytest.raises(Exception, match="broken"):
        await sign_up(an_application(), SCANS, APP, ORIGIN, context)
    assert await rows_of(store) == before
    assert len(names_in(tmp_path)) == len(SCANS)


async def test_a_business_signs_up_once_per_app(store: Store, context: SignUpContext) -> None:
    await sign_up(an_application(), [], APP, ORIGIN, context)
    with pytest.raises(ApplicationRefused, match="license number"):
        await sign_up(replace(an_application(), username="y"), [], APP, ORIGIN, context)
    with pytest.raises(ApplicationRefused, match="username"):
        await sign_up(replace(an_application(), license_number="y"), [], APP, ORIGIN, context)
    await store.merchants.add_app(an_app(appcode="other", signup_currency="HKD"), ORIGIN)
    await sign_up(an_application(), [], an_app(appcode="other", signup_currency="HKD"), ORIGIN, context)


async def test_another_key_or_another_files_content_is_found(
    store: Store, context: SignUpContext, tmp_path: Path
) -> None:
    await add_documents(MCHID, SCANS[:2], ORIGIN, context)
    first, second = await store.applications.documents_of(MCHID)
    with pytest.raises(DecryptionFailed):
        await DocumentFiles(Folder(tmp_path), Cipher(key_ring(bytes(32)))).read(first)
    with pytest.raises(DocumentChanged, match=first.document_id):
        await content_of(context.files, replace(first, sha256=second.sha256))
    (tmp_path / first.document_id).write_bytes((tmp_path / second.document_id).read_bytes())
    with pytest.raises(DecryptionFailed):
        await content_of(context.files, first)
    with pytest.raises(DocumentRepeated):
        await add_documents(MCHID, SCANS[:2], ORIGIN, context)


async def test_a_currency_is_fixed_by_the_first_account(store: Store) -> None:
    await store.directory.execute("UPDATE merchant SET state = 'waiting'")
    with pytest.raises(CurrencyFixed):
        await decide(store.applications, MCHID, Decision.APPROVE, ORIGIN, currency="JPY")
    decided = await decide(store.applications, MCHID, Decision.APPROVE, ORIGIN, currency="HKD")
    assert (decided.number, decided.reason) == (1, "")


async def test_changes_at_once_and_a_decision_are_all_kept(store: Store) -> None:
    changes = [MerchantChanges(deny=frozenset({operation})) for operation in Operation]
    await asyncio.gather(
        decide(store.applications, MCHID, Decision.SUSPEND, ORIGIN, reason="complaints"),
        *(change_merchant(store.merchants, MCHID, change, ORIGIN) for change in changes),
    )
    merchant = await store.merchants.merchant(MCHID)
    assert merchant is not None
    assert (merchant.state, merchant.denied) == (MerchantState.DISABLED, frozenset(Operation))
