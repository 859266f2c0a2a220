"""`tael purge`: personal data of old and finished rows is removed; everything else stays and still works."""

import asyncio
from datetime import timedelta
from pathlib import Path
from typing import Any, Final

import pytest

from tael.audit.verification import audit_books
from tael.audit_log.domain.entry import Origin
from tael.channels.outcomes import Paid
from tael.merchants.domain.application import Decision
from tael.merchants.domain.document import DocumentKind, Scan
from tael.merchants.review import decide
from tael.merchants.sign_up import SignUpContext, sign_up
from tael.merchants.store.document_files import DocumentFiles
from tael.merchants.store.document_places import Folder
from tael.operations.store import Store
from tael.payments.outcomes import record_notice
from tael.payments.store.payments import Change
from tael.retention.domain.personal_data import BLANKED, PERSONAL_DATA
from tael.retention.purge import MIN_AGE, Purged, TooRecent, purge_before
from tael.retention.store.blanking import MARKS, PAGE_ROWS
from tael.webhooks.resending import resend_exhausted, resend_webhooks
from tael.webhooks.store.webhooks import WebhookPurged
from tests.integration.audit.test_ledger_verify import close_ledger_days, order_book
from tests.integration.merchants.test_sign_up import APP, SCANS, context, names_in
from tests.integration.payments.test_recording import gateway_over
from tests.support import citus
from tests.support.crashing import Process
from tests.support.old_rows import AGE, OLD, contents, finish
from tests.support.store import CIPHER, current
from tests.support.values import AMOUNT, BARCODE, MCHID, NOW, ORIGIN, new_syssn, origin_at
from tests.support.world import pay, refund
from tests.unit.merchants.test_application import an_application

__all__ = ["context"]  # a fixture of the tests of sign-ups
COLUMNS: Final = f"""
SELECT table_name, column_name FROM information_schema.columns AS c JOIN pg_tables ON tablename = table_name
WHERE table_schema IN ('public', 'cell_00') AND schemaname IN ('public', 'cell_00') AND table_name NOT LIKE '%yoyo%'
  AND table_name !~ '{citus.SHARD}'
"""
NOTHING: Final = dict.fromkeys([*BLANKED, "merchant_application", "merchant_document"], 0)
#: Of each table with columns that are blanked, the row of `finish`.
ONE_OF_EACH: Final = NOTHING | dict.fromkeys(BLANKED, 1)


async def purge(store: Store, age: timedelta = AGE, origin: Origin = ORIGIN) -> Purged:
    return await purge_before(store.directory, store.database, store.document_files, age, origin).run()


async def test_every_column_of_the_schema_is_declared_once(store: Store) -> None:
    schema = sorted((row[0], row[1]) for row in await store.database.fetch(COLUMNS))
    assert schema == sorted(
        (name, column) for name, table in PERSONAL_DATA.items() for column in table.columns
    )


async def test_only_what_is_declared_is_blanked(store: Store) -> None:
    await finish(store)
    before = await contents(store)
    for table, blanks in BLANKED.items():
        (row,) = before[table]
        assert all(row[column] not in ("", b"", None) for column in blanks), table

    assert await purge(store) == ONE_OF_EACH
    after = await contents(store)
    for table, rows in before.items():
        if table not in BLANKED:
            assert (table == "cell_audit_entry") is (after[table] != rows), table
            continue
        marks = {"version": rows[0].get("version", 0) + 1, "is_purged": True}
        mark = MARKS.get(table, "").partition(" ")[0]
        marked = {mark: marks[mark]} if mark else {}
        assert after[table] == [{**rows[0], **BLANKED[table], **marked}]


async def test_a_subject_that_the_gateway_made_stays(store: Store) -> None:
    payment = await finish(store, subject="Shop ref-1", is_subject_ours=True)
    await purge(store)
    assert (await current(store, payment)).subject == "Shop ref-1"
    assert (await purge(store))["payment"] == 0


#: What goes on, by the row that must not be touched; $1 is the payment's syssn, $2 an instant after `AGE`.
GOES_ON: Final = {
    "pending": (
        "payment",
        "UPDATE payment SET state = 'PENDING' WHERE syssn = $1 AND $2 > '1970-01-01'::timestamptz",
    ),
    "polled": ("payment", "UPDATE payment SET check_at = $2 WHERE syssn = $1"),
    "changed": ("payment", "UPDATE payment SET changed_at = $2 WHERE syssn = $1"),
    "opened": ("payment", "UPDATE payment SET created_at = $2 WHERE syssn = $1"),
    "reserved": (
        "payment",
        "UPDATE payment SET reserved_minor = 1 WHERE syssn = $1 AND $2 > '1970-01-01'::timestamptz",
    ),
    "refund in progress": (
        "payment",
        "UPDATE refund SET state = 'PROCESSING', changed_at = $2 WHERE payment_syssn = $1",
    ),
    "reversal in progress": (
        "payment",
        """INSERT INTO reversal (mchid, syssn, payment_syssn, account_id, protocol, amount_minor, client_time,
    created_at, changed_at, state, wallet_code, checks, version)
    VALUES ('mch1', 'v', $1, 'wechat1', 'wechat_v2', 0, '', $2, $2, 'PENDING', '', 0, 1)""",
    ),
    "webhook due": ("payment", "UPDATE webhook SET state = 'DUE', deliver_at = $2 WHERE cause = $1"),
    "webhook of the refund due": (
        "payment",
        """INSERT INTO webhook (mchid, cause, kind, appcode, payment_syssn, created_at, deliver_at)
    VALUES ('mch1', $1 || 'r', 'refund', 'app1', $1, $2, $2)""",
    ),
    "unmatched payment held": (
        "payment",
        """UPDATE unmatched_payment SET state = 'HELD', syssn = 'u', booked_at = at, remind_at = $2
    WHERE subject_id = $1""",
    ),
    "incident open": (
        "payment",
        """INSERT INTO incident (mchid, subject_id, kind, incident_id, account_id, detail, at, unmatched_id, resolution)
    VALUES ('mch1', $1 || 'r', 'refund_stuck', 'i', 'wechat1', '', $2, '', '')""",
    ),
    "difference open": (
        "payment",
        """INSERT INTO difference (mchid, difference_id, account_id, kind, type, number, wallet_ref, statement_id,
    statement_kind, day, reconciliation_id, detail, found_at, owner, state, resolved_by, resolution)
    VALUES ('mch1', 'd', 'wechat1', 'amount', 'payment', $1, '', 's', 'transactions', '2026-01-01', 'r', '', $2, '',
    'OPEN', '', '')""",
    ),
    "refund not finished": (
        "refund",
        "UPDATE refund SET state = 'PROCESSING' WHERE payment_syssn = $1 AND $2 > '1970-01-01'::timestamptz",
    ),
    "refund polled": ("refund", "UPDATE refund SET check_at = $2 WHERE payment_syssn = $1"),
    "refund changed": ("refund", "UPDATE refund SET changed_at = $2 WHERE payment_syssn = $1"),
    "refund made": ("refund", "UPDATE refund SET created_at = $2 WHERE payment_syssn = $1"),
    "link open": ("checkout_link", "UPDATE checkout_link SET expires_at = $2 WHERE payment_syssn = $1"),
    "order of the link polled": ("checkout_link", "UPDATE payment SET check_at = $2 WHERE syssn = $1"),
    "webhook to be sent": ("webhook", "UPDATE webhook SET state = 'DUE', deliver_at = $2 WHERE cause = $1"),
    "webhook delivered": ("webhook", "UPDATE webhook SET delivered_at = $2 WHERE cause = $1"),
    "attempt of a webhook to be sent": (
        "webhook_attempt",
        "UPDATE webhook SET state = 'DUE', deliver_at = $2 WHERE cause = $1",
    ),
    "attempt made": ("webhook_attempt", "UPDATE webhook_attempt SET started_at = $2 WHERE cause = $1"),
    "unmatched payment not decided": (
        "unmatched_payment",
        """UPDATE unmatched_payment SET state = 'HELD', syssn = 'u', booked_at = at, remind_at = $2
    WHERE subject_id = $1""",
    ),
    "unmatched payment returned": (
        "unmatched_payment",
        """UPDATE unmatched_payment SET state = 'RETURNED', syssn = 'u', booked_at = at, returned_at = $2
    WHERE subject_id = $1""",
    ),
    "incident of an unmatched payment": (
        "unmatched_payment",
        """INSERT INTO incident (mchid, subject_id, kind, incident_id, account_id, detail, at, unmatched_id, resolution)
    VALUES ('mch1', 'o', 'unknown_order', 'i', 'wechat1', '', $2, '4e1d-' || $1, '')""",
    ),
    "statement to be reconciled": (
        "statement",
        "UPDATE statement SET check_at = $2 WHERE statement_id = '4e1d-' || $1",
    ),
    "statement stored": (
        "statement",
        "UPDATE statement SET stored_at = $2 WHERE statement_id = '4e1d-' || $1",
    ),
    "difference in a statement": (
        "statement",
        """INSERT INTO difference (mchid, difference_id, account_id, kind, type, number, wallet_ref, statement_id,
    statement_kind, day, reconciliation_id, detail, found_at, owner, state, resolved_by, resolution)
    VALUES ('mch1', 'd', 'wechat1', 'amount', 'payment', 'n', '', '4e1d-' || $1, 'transactions', '2026-01-01', 'r', '',
    $2, '', 'OPEN', '', '')""",
    ),
}


@pytest.mark.parametrize("case", GOES_ON)
async def test_a_row_with_something_going_on_is_not_touched(store: Store, case: str) -> None:
    table, statement = GOES_ON[case]
    payment, other = await finish(store), await finish(store)
    await store.database.execute(statement, payment.syssn, NOW - timedelta(days=98))
    before = (await contents(store))[table]

    assert (await purge(store))[table] == 1  # the other's
    unchanged = [row for row in (await contents(store))[table] if row in before]
    assert len(unchanged) == 1
    assert other.syssn not in str(unchanged)


async def test_each_page_is_logged_in_its_commit(store: Store) -> None:
    payment = await finish(store)
    await purge(store)
    (entry,) = await store.audit_log.newest(subject_kind="payment", limit=10)
    assert (entry.actor, entry.action, entry.at) == (ORIGIN.actor, ORIGIN.action, ORIGIN.at)
    assert (entry.subject_id, entry.before) == (f"{MCHID}/{payment.syssn}", None)
    assert entry.after == {
        "older_than": (NOW - AGE).isoformat(),
        "rows": 1,
        "blanked": list(BLANKED["payment"]),
    }
    assert "payer-1" not in str(entry)


async def test_counting_changes_nothing(store: Store) -> None:
    await finish(store)
    before = await contents(store)
    counted = await purge_before(store.directory, store.database, store.document_files, AGE, ORIGIN).count()
    assert counted == ONE_OF_EACH
    assert await contents(store) == before


async def test_repeating_it_finds_nothing_more(store: Store) -> None:
    await finish(store)
    assert await purge(store) == ONE_OF_EACH
    before = await contents(store)
    assert await purge(store) == NOTHING
    assert await contents(store) == before


async def test_more_rows_than_a_page_are_all_purged(store: Store) -> None:
    await _add_attempts(store, 2 * PAGE_ROWS + 1)
    assert (await purge(store))["webhook_attempt"] == 2 * PAGE_ROWS + 1
    assert await store.database.fetch("SELECT 1 FROM webhook_attempt WHERE answer <> ''") == []
    assert len(await store.audit_log.newest(subject_kind="webhook_attempt", limit=10)) == 3


async def test_several_at_once_purge_each_row_once(store: Store, other_store: Store) -> None:
    for _ in range(5):
        await finish(store)
    await _add_attempts(store, PAGE_ROWS)
    runs = await asyncio.gather(*map(purge, (store, other_store, store)))
    last = await purge(store)  # what was locked by another run then
    total = {table: sum(run[table] for run in (*runs, last)) for table in ONE_OF_EACH}
    assert total == NOTHING | dict.fromkeys(BLANKED, 5) | {"webhook_attempt": 5 + PAGE_ROWS}
    assert (await current(store, (await _payments(store))[0])).version == 3  # opened, paid, purged


async def test_a_locked_row_delays_nothing_and_is_left_to_the_next_run(store: Store) -> None:
    payment, _ = await finish(store), await finish(store)
    async with store.payments.locked(payment.mchid, payment.syssn):
        assert (await purge(store))["payment"] == 1
    assert (await purge(store))["payment"] == 1


async def test_an_outcome_decided_before_the_purge_does_not_write_its_values_back(store: Store) -> None:
    before = await finish(store)
    before = await current(store, before)
    await purge(store)
    assert not await store.payments.record(Change(before.replace(checks=9)))
    assert (await current(store, before)).payer_ref == ""


async def test_the_books_agree_and_an_old_payment_can_be_refunded(store: Store) -> None:
    await store.directory.execute(
        "UPDATE app SET notify_url = 'http://shop', webhook_style = 'new', notify_offline = true"
    )
    book = await order_book(store)
    fourth = await pay(book.world.gateway(Process()), BARCODE, "D")
    book.world.wallet.trades[fourth.syssn].is_paid = True
    await book.world.run_jobs_until_idle(book.world.services(Process()), Process())
    await close_ledger_days(book.world, 3)
    before = await audit_books(store.database)

    purged = await purge(store, AGE, origin_at(NOW + timedelta(days=300)))
    assert purged["payment"] == 4
    assert purged["webhook"] > 0
    after = await audit_books(store.database)
    assert after.first is None, after.first
    assert (after.orders, after.entries, after.digests) == (before.orders, before.entries, before.digests)
    assert after.digests == 3

    await refund(book.world.gateway(Process()), fourth, "R9", 10)
    await book.world.run_jobs_until_idle(book.world.services(Process()), Process())
    stands = await current(store, fourth)
    assert (stands.refunded_minor, stands.payer_ref, stands.subject) == (10, "", "")
    assert b'"cardcd": ""' in book.world.received[-1]


async def test_a_late_notice_of_a_purged_payment_changes_nothing(store: Store) -> None:
    payment = await finish(store)
    await purge(store)
    before = await contents(store)
    for payer in ("payer-1", "payer-9"):
        notice = Paid(AMOUNT, "wallet-1", payer, NOW)
        await record_notice(await current(store, payment), notice, gateway_over(store))
    assert await contents(store) == before


async def test_a_second_trade_of_a_purged_payment_is_still_an_incident(store: Store) -> None:
    payment = await finish(store)
    await purge(store)
    notice = Paid(AMOUNT, "wallet-2", "payer-1", NOW)
    await record_notice(await current(store, payment), notice, gateway_over(store))
    (incident,) = await store.incidents.newest(None, with_resolved=True, limit=10)
    assert (incident.kind, incident.subject_id) == ("paid_twice", payment.syssn)


async def test_a_purged_webhook_is_not_sent_again(store: Store) -> None:
    payment, kept = await finish(store), await finish(store)
    await store.database.execute("UPDATE webhook SET state = 'EXHAUSTED', delivered_at = NULL")
    await store.database.execute("UPDATE webhook SET created_at = $1 WHERE cause = $2", NOW, kept.syssn)
    await purge(store)
    before = await contents(store)
    with pytest.raises(WebhookPurged, match=f"the webhook for {payment.syssn} was purged"):
        await resend_webhooks(store.webhooks, payment.syssn, None, ORIGIN)
    assert await contents(store) == before
    assert [each.cause for each in await resend_exhausted(store.webhooks, None, ORIGIN)] == [kept.syssn]
    assert [each.cause for each in await store.webhooks.to_send(None, 10)] == [kept.syssn]


def test_a_short_age_is_refused(store: Store) -> None:
    with pytest.raises(TooRecent, match="at least 90d"):
        purge_before(
            store.directory, store.database, store.document_files, MIN_AGE - timedelta(days=1), ORIGIN
        )
    purge_before(store.directory, store.database, store.document_files, MIN_AGE, ORIGIN)


# ---- applications ---------------------------------------------------------------------------------------------------


@pytest.fixture
def files(tmp_path: Path) -> DocumentFiles:
    return DocumentFiles(Folder(tmp_path), CIPHER)


async def test_a_refused_application_is_removed_with_its_files(
    store: Store, context: SignUpContext, files: DocumentFiles, tmp_path: Path
) -> None:
    old = origin_at(OLD)
    mchid = await sign_up(an_application(), SCANS, APP, old, context)
    await decide(store.applications, mchid, Decision.REFUSE, old, reason="no license")
    run = purge_before(store.directory, store.database, files, AGE, ORIGIN)

    expected = NOTHING | {"merchant_application": 1, "merchant_document": len(SCANS)}
    assert await run.count() == await run.run() == expected
    assert await store.applications.of(mchid) is None
    assert await store.applications.documents_of(mchid) == []
    assert names_in(tmp_path) == set()
    assert await store.merchants.merchant(mchid) is not None
    assert len(await store.applications.decisions_of(mchid)) == 1
    assert await run.run() == NOTHING
    (entry,) = await store.audit_log.newest(subject_kind="merchant_application", limit=10)
    assert (entry.subject_id, entry.after) == (mchid, None)
    await sign_up(an_application(), SCANS, APP, ORIGIN, context)  # the names are free again


@pytest.mark.parametrize("case", ["waiting", "refused lately", "approved since"])
async def test_an_application_that_may_be_needed_stays(
    store: Store, context: SignUpContext, files: DocumentFiles, tmp_path: Path, case: str
) -> None:
    old = origin_at(OLD)
    mchid = await sign_up(an_application(), SCANS, APP, old, context)
    decisions = {
        "waiting": [],
        "refused lately": [(Decision.REFUSE, ORIGIN)],
        "approved since": [(Decision.REFUSE, old), (Decision.APPROVE, old)],
    }
    for decision, origin in decisions[case]:
        await decide(store.applications, mchid, decision, origin, reason="a reason")
    assert await purge_before(store.directory, store.database, files, AGE, ORIGIN).run() == NOTHING
    assert await store.applications.of(mchid) == an_application()
    assert len(names_in(tmp_path)) == len(SCANS)


class Stuck(Folder):
    """A place that removes nothing."""

    def remove(self, name: str) -> None:
        raise OSError("read-only")


async def test_a_document_whose_file_cannot_be_removed_keeps_its_row(
    store: Store, context: SignUpContext, files: DocumentFiles, tmp_path: Path
) -> None:
    old = origin_at(OLD)
    scan = Scan(DocumentKind.LICENSE, "application/pdf", b"license")
    mchid = await sign_up(an_application(), [scan], APP, old, context)
    await decide(store.applications, mchid, Decision.REFUSE, old, reason="no license")
    with pytest.raises(OSError, match="read-only"):
        await purge_before(
            store.directory, store.database, DocumentFiles(Stuck(tmp_path), CIPHER), AGE, ORIGIN
        ).run()
    assert len(await store.applications.documents_of(mchid)) == 1
    assert (await purge_before(store.directory, store.database, files, AGE, ORIGIN).run())[
        "merchant_document"
    ] == 1
    assert names_in(tmp_path) == set()


# ---- rows -----------------------------------------------------------------------------------------------------------


async def _add_attempts(store: Store, count: int) -> None:
    await store.database.execute(
        """INSERT INTO webhook_attempt (mchid, cause, kind, attempt, started_at, took_ms, result, answer)
    SELECT $1, $2, 'payment', n, $3, 1, '', 'thanks' FROM generate_series(1, $4::integer) AS n""",
        MCHID,
        new_syssn(),
        OLD,
        count,
    )


async def _payments(store: Store) -> list[Any]:
    rows = await store.database.fetch("SELECT syssn FROM payment ORDER BY syssn")
    found = [await store.payments.by_syssn(MCHID, row["syssn"]) for row in rows]
    return [each for each in found if each is not None]
