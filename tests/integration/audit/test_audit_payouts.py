"""The audit of payouts: correct ones agree, and each damaged row or entry is named."""

from typing import Final

from tael.ledger.domain.digest import day_of
from tael.operations.store import Store
from tael.settlement.domain.payout import Payout
from tael.settlement.domain.terms import Cycle
from tael.settlement.run import run_payouts
from tael.settlement.terms import TermsChange, set_terms
from tests.integration.audit.test_audit import LATER, a_book, audit_of, ledger_digest
from tests.support.store import put_back
from tests.support.values import MCHID, NOW, origin_at

#: What is damaged, and which payout and column or row is named first. $1 is the first payout, $2 the second.
DAMAGES: Final = (
    ("UPDATE payout SET paid_minor = 201, adjusted_out_minor = 1 WHERE payout_id = $1", 1, "paid_minor"),
    ("UPDATE payout SET payments = 3 WHERE payout_id = $1", 1, "payments"),
    (
        "UPDATE payout SET opening_minor = 5, amount_minor = amount_minor + 5 WHERE payout_id = $2",
        2,
        "opening_minor",
    ),
    ("UPDATE payout SET reserve_ppm = 0 WHERE payout_id = $1", 1, "reserve_held_minor"),
    ("UPDATE payout SET reserve_days = 9 WHERE payout_id = $1", 2, "reserve_released_minor"),
    ("UPDATE payout SET minimum_minor = 900 WHERE payout_id = $2", 2, "amount_minor"),
    ("UPDATE payout SET number = 9 WHERE payout_id = $1", 2, "number"),
    ("UPDATE payout SET first_day = DATE '2025-12-30' WHERE payout_id = $2", 2, "first_day"),
    ("UPDATE payout SET cycle = 'monthly' WHERE payout_id = $1", 1, "last_day"),
    (
        "UPDATE payout SET state = 'CREATED', paid_at = NULL, bank_reference = '' WHERE payout_id = $1",
        1,
        "an entry too many",
    ),
    (
        "UPDATE payout SET state = 'PAID', paid_at = created_at, bank_reference = 'x' WHERE payout_id = $2",
        2,
        "an entry is missing",
    ),
    ("DELETE FROM payout WHERE payout_id = $1", 2, "number"),
    (
        "UPDATE ledger_entry SET amount_minor = 1 WHERE cause = $1 AND kind = 'reserve_held'",
        1,
        "a wrong entry",
    ),
    (
        "UPDATE ledger_entry SET credit = 'payout:HKD:other' WHERE cause = $1 AND kind = 'payout'",
        1,
        "a wrong entry",
    ),
    ("DELETE FROM ledger_entry WHERE cause = $2 AND kind = 'reserve_released'", 2, "an entry is missing"),
    (
        "INSERT INTO ledger_entry SELECT mchid, cause, 'refund', debit, credit, 1, currency, at "
        "FROM ledger_entry WHERE cause = $1 AND kind = 'payout'",
        1,
        "an entry too many",
    ),
)


async def settled(store: Store) -> list[Payout]:
    """Three days of a book are closed and paid out, and the first payout is paid."""
    world, _, _ = await a_book(store)
    await ledger_digest(world)
    terms = TermsChange(Cycle.DAILY, reserve_ppm=100_000, reserve_days=1, since=day_of(NOW))
    await set_terms(store.payout_terms, MCHID, "HKD", terms, origin_at(NOW))
    run = await run_payouts(store.payouts, store.payout_terms, None, None, origin_at(LATER))
    await store.payouts.mark_paid(run.payouts[0].payout_id, "FT-1", origin_at(LATER))
    return list(run.payouts)


async def test_correct_payouts_agree_and_each_damage_is_named(store: Store) -> None:
    payouts = await settled(store)
    # 200 were paid, 30 refunded, the fee was 9 in all; 17 are held for a day.
    assert [each.amount_minor for each in payouts] == [144, 17, 0]
    audit = await audit_of(store)
    assert (audit.first, audit.payouts, audit.entries) == (None, 3, 11)
    assert {kind: minor for (kind, _), minor in audit.balances.minor.items() if minor} == {
        "wallet": 170,
        "fee": -9,
        "payout": -17,
        "bank": -144,
    }
    for statement, number, what in DAMAGES:
        ids = [each.payout_id for each in payouts[:2]]
        async with put_back(store, "payout", "ledger_entry"):
            await store.database.execute(f"{statement} AND $1::text <> $2::text", *ids)  # both are used
            audit = await audit_of(store)
        assert audit.first is not None, statement
        assert (audit.first.syssn, audit.first.what) == (ids[number - 1], what), statement
        assert audit.first.mchid == MCHID
    assert (await audit_of(store)).first is None
    await store.database.execute("UPDATE ledger_entry SET cause = 'unknown' WHERE kind = 'reserve_held'")
    audit = await audit_of(store)
    assert audit.first is not None
    assert (audit.first.syssn, audit.first.what) == (payouts[0].payout_id, "an entry is missing")
    assert audit.disagreements == 2  # the entry that is missing, and the one without a payout
