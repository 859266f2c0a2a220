"""The audit of remittances and conversions: correct rows agree, and each changed row is named."""

from datetime import timedelta

import pytest

from tael.audit.store import statement_rows
from tael.audit.verification import Audit, audit_books
from tael.operations.store import Store
from tests.integration.audit.test_ledger_verify import BYTES
from tests.support.statement_imports import BILL, OTHER_BILL, OTHER_SETTLEMENT, SETTLEMENT, Importer
from tests.support.store import put_back
from tests.support.values import MCHID, NOW

KINDS = ("remitted", "wallet_fee", "converted_out", "converted_in")


async def a_book(store: Store) -> None:
    """A settlement and a bill, each replaced once."""
    imports = Importer(store)
    for first, second in ((SETTLEMENT, OTHER_SETTLEMENT), (BILL, OTHER_BILL)):
        await imports.put(first)
        await imports.replace(second, NOW + timedelta(hours=1))


def named(audit: Audit) -> tuple[str, str, str]:
    assert audit.first is not None
    return audit.first.table, audit.first.syssn, audit.first.what


@pytest.mark.parametrize("page", [1, 3])
async def test_correct_books_agree_with_every_page(
    store: Store, page: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    await a_book(store)
    monkeypatch.setattr(statement_rows, "PAGE", page)
    audit = await audit_books(store.database)
    assert (audit.first, audit.entries) == (None, 2 * 4 + 1 + 2 * 2 + 2)


@pytest.mark.parametrize("kind", [*KINDS, *(f"{kind}_back" for kind in KINDS)])
async def test_a_change_of_any_column_of_any_entry_is_reported(store: Store, kind: str) -> None:
    await a_book(store)
    (row,) = await store.database.fetch(
        "SELECT cause FROM ledger_entry WHERE kind = $1 ORDER BY cause LIMIT 1", kind
    )
    changes = {column: f"{column} = {other}" for column, other in BYTES.items()}
    if not kind.endswith("_back"):
        del changes["at"]  # only the digest of a closed day has it
    for change in changes.values():
        async with put_back(store, "ledger_entry"):
            await store.database.execute(
                f"UPDATE ledger_entry SET {change} WHERE kind = $1 AND cause = $2", kind, row["cause"]
            )
            assert named(await audit_books(store.database))[:2] == ("ledger_entry", row["cause"]), change
    async with put_back(store, "ledger_entry"):
        await store.database.execute(
            "DELETE FROM ledger_entry WHERE kind = $1 AND cause = $2", kind, row["cause"]
        )
        expected = ("ledger_entry", row["cause"], "an entry is missing")
        assert named(await audit_books(store.database)) == expected
    assert (await audit_books(store.database)).first is None


CURRENT = "WHERE superseded_at IS NULL"


@pytest.mark.parametrize(
    ("statement", "table", "what"),
    [
        (
            f"UPDATE remittance SET paid_minor = paid_minor + 1, net_minor = net_minor + 1 {CURRENT}",
            "ledger_entry",
            "a wrong entry",
        ),
        (
            f"UPDATE remittance SET fee_minor = fee_minor + 1, net_minor = net_minor - 1 {CURRENT}",
            "ledger_entry",
            "a wrong entry",
        ),
        (f"UPDATE remittance SET account_id = 'x' {CURRENT}", "ledger_entry", "a wrong entry"),
        (f"UPDATE remittance SET superseded_at = now() {CURRENT}", "ledger_entry", "an entry is missing"),
        (f"DELETE FROM remittance {CURRENT}", "ledger_entry", "an entry too many"),
        (f"UPDATE remittance SET statement_id = 'x' {CURRENT}", "statement", "a row is missing"),
        (f"UPDATE conversion SET statement_id = 'x' {CURRENT}", "statement", "a row is missing"),
        (f"UPDATE conversion SET price_minor = price_minor + 1 {CURRENT}", "ledger_entry", "a wrong entry"),
        (f"DELETE FROM conversion {CURRENT}", "conversion", "sums of lines"),
        ("UPDATE statement_line SET amount_minor = 1 WHERE type = 'payment'", "conversion", "sums of lines"),
        ("UPDATE statement_line SET settlement_minor = 0", "conversion", "sums of lines"),
        ("UPDATE statement SET kind = 'transactions'", "remittance", "a row too many"),
        (
            "UPDATE statement SET superseded_at = now() WHERE kind = 'settlement'",
            "remittance",
            "superseded_at",
        ),
    ],
)
async def test_a_change_of_another_row_is_reported(
    store: Store, statement: str, table: str, what: str
) -> None:
    await a_book(store)
    await store.database.execute(statement)
    found = named(await audit_books(store.database))
    assert (found[0], found[2]) == (table, what)


async def test_a_remittance_with_consistent_entries_must_still_be_the_sum_of_its_lines(store: Store) -> None:
    """An Alipay file, whose remittance is made from its lines."""
    from tests.integration.statements.test_remittances import imported

    await imported(store, "a")
    assert (await audit_books(store.database)).first is None
    (row,) = await store.database.fetch("SELECT remittance_id FROM remittance WHERE currency = 'HKD'")
    for column in ("paid_minor", "fee_minor"):
        sign = 1 if column == "paid_minor" else -1
        async with put_back(store, "remittance", "ledger_entry"):
            await store.database.execute(
                f"UPDATE remittance SET {column} = {column} + 1, net_minor = net_minor + $2 WHERE remittance_id = $1",
                row["remittance_id"],
                sign,
            )
            await store.database.execute(
                "UPDATE ledger_entry SET amount_minor = amount_minor + CASE kind WHEN 'remitted' THEN $2::bigint"
                " ELSE $3::bigint END WHERE cause = $1",
                row["remittance_id"],
                sign,
                0 if column == "paid_minor" else 1,
            )
            table, number, what = named(await audit_books(store.database))
        expected = "sums of lines" if column == "paid_minor" else "fee of lines"
        assert (table, number, what) == ("remittance", row["remittance_id"], expected)


async def test_an_entry_without_its_remittance_is_reported(store: Store) -> None:
    await store.database.execute(
        "INSERT INTO ledger_entry VALUES ($1, 'unknown', 'remitted', 'bank:HKD:a', 'wallet:HKD:a', 1, 'HKD', $2)",
        MCHID,
        NOW,
    )
    assert named(await audit_books(store.database)) == ("ledger_entry", "unknown", "an entry too many")
