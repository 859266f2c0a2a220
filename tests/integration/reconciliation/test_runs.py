"""Runs on a database: each difference is one row, found once and resolved when its cause is gone."""

import asyncio
from dataclasses import replace
from datetime import timedelta
from typing import Final

import pytest

from tael.base.money import Money
from tael.channels.outcomes import ReversalAction
from tael.channels.statements import LineType, StatementKind
from tael.incidents.domain.incident import IncidentKind
from tael.ledger.domain.entries import Entry, EntryKind
from tael.ledger.store.entries import write_entries
from tael.operations.store import Store
from tael.payments.domain.payment import Payment
from tael.payments.domain.reversal import ReversalState
from tael.reconciliation.domain.difference import DifferenceKind, DifferenceState
from tael.reconciliation.domain.reconciliation import SideTotal
from tael.reconciliation.review import resolve_difference
from tael.reconciliation.runs import reconcile_statement
from tael.reconciliation.store import reconciliations
from tael.services import reconciliation_over
from tests.support.scene import Scene
from tests.support.statements import (
    DAY,
    ONE_DAY,
    WECHAT,
    a_line,
    all_differences,
    day_start,
    due_statements,
    paid_line,
    reconciled,
    stored,
)
from tests.support.store import paid
from tests.support.values import (
    ALIPAY_ONLINE,
    BARCODE,
    NOW,
    ORIGIN,
    a_payment,
    a_reversal,
    an_alipay_account,
)

ALIPAY: Final = an_alipay_account("alipay-online", scene="online", pid="2088000000000001")
OPEN, RESOLVED = DifferenceState.OPEN, DifferenceState.RESOLVED
TWELVE: Final = Money(12, "HKD")


async def states(store: Store) -> list[tuple[DifferenceKind, str, DifferenceState, str]]:
    found = await all_differences(store)
    rows = [(each.kind, each.number, each.state, each.resolution) for each in found]
    return sorted(rows)


async def run_due(scene: Scene) -> None:
    """Reconcile what is due until nothing is."""
    for _ in range(10):
        due = await due_statements(scene.store)
        if not due:
            return
        for statement_id in sorted(due):
            statement = await scene.store.statements.by_id(statement_id)
            assert statement is not None
            await reconcile_statement(statement, reconciliation_over(scene.store, scene.gateway), ORIGIN)
    raise AssertionError("the runs never come to rest")


async def test_a_day_that_agrees_has_no_difference_and_both_sums(scene: Scene) -> None:
    payments = [await paid(scene.store, a_payment()) for _ in range(3)]
    statement = await stored(scene.store, [paid_line(each.syssn) for each in payments])
    run = await reconciled(statement, scene.gateway)
    assert (run.lines, run.matched, run.differences) == (3, 3, {})
    assert run.theirs == run.ours == (SideTotal("HKD", 3, 300, 0, 0),)
    assert await all_differences(scene.store) == []
    assert await scene.store.reconciliations.of_statement(statement) == run
    assert await due_statements(scene.store) == set()
    assert await scene.incidents() == []


async def test_the_same_statement_again_changes_nothing(scene: Scene) -> None:
    payment = await paid(scene.store, a_payment())
    statement = await stored(
        scene.store, [paid_line(payment.syssn, TWELVE), a_line(LineType.REFUND, "unknown")]
    )
    await reconciled(statement, scene.gateway)
    before = await all_differences(scene.store)
    assert await states(scene.store) == [
        (DifferenceKind.AMOUNT, payment.syssn, OPEN, ""),
        (DifferenceKind.MISSING_HERE, "unknown", OPEN, ""),
    ]
    run = await reconciled(statement, scene.gateway)
    after = await all_differences(scene.store)
    assert after == [replace(each, reconciliation_id=run.reconciliation_id) for each in before]
    assert (run.lines, run.matched) == (2, 0)
    assert run.ours == (SideTotal("HKD", 1, 100, 0, 0),)
    assert await scene.store.differences.counts() == {
        DifferenceKind.AMOUNT: 1,
        DifferenceKind.MISSING_HERE: 1,
    }
    incident = await scene.incident()
    assert (incident.kind, incident.subject_id) == (
        IncidentKind.RECONCILIATION_DIFFERENCE,
        statement.statement_id,
    )
    assert incident.detail == "transactions of 2026-01-02: 1 amount, 1 missing_here"


async def test_a_corrected_statement_resolves_what_it_corrects(scene: Scene) -> None:
    payment = await paid(scene.store, a_payment())
    wrong = [paid_line(payment.syssn, TWELVE), a_line(LineType.REFUND, "unknown")]
    await stored(scene.store, wrong)
    await run_due(scene)
    corrected = await stored(scene.store, [paid_line(payment.syssn)])
    await run_due(scene)
    assert await states(scene.store) == [
        (DifferenceKind.AMOUNT, payment.syssn, RESOLVED, "the records agree now"),
        (DifferenceKind.MISSING_HERE, "unknown", RESOLVED, "no current statement has the line now"),
    ]
    assert {each.resolved_by for each in await all_differences(scene.store)} == {"reconciliation"}
    run = await scene.store.reconciliations.of_statement(corrected)
    assert run is not None
    assert (run.matched, run.differences) == (1, {})
    await stored(scene.store, wrong)  # the error is back
    await run_due(scene)
    assert {state for _, _, state, _ in await states(scene.store)} == {OPEN}


async def test_an_operators_resolution_stands(scene: Scene) -> None:
    statement = await stored(scene.store, [a_line(LineType.REFUND, "unknown")])
    await reconciled(statement, scene.gateway)
    (found,) = await all_differences(scene.store)
    decided = await resolve_difference(scene.store.differences, found.difference_id, "made by hand", ORIGIN)
    assert decided is not None
    assert decided.was_open
    incident = await scene.incident()
    assert (incident.resolved_at, incident.resolution) == (NOW, "every difference is resolved")
    run = await reconciled(statement, scene.gateway)
    assert await all_differences(scene.store) == [decided.difference]
    assert (run.matched, run.differences) == (0, {})
    again = await resolve_difference(scene.store.differences, found.difference_id, "again", ORIGIN)
    assert again is not None
    assert not again.was_open
    assert again.difference == decided.difference


async def test_a_movement_without_a_line_waits_for_the_day_after(scene: Scene) -> None:
    payment = await paid(scene.store, a_payment())
    first = await stored(scene.store, [])
    await run_due(scene)
    assert await all_differences(scene.store) == []
    await stored(scene.store, [], day=DAY + ONE_DAY)
    await run_due(scene)
    (missing,) = await all_differences(scene.store)
    assert (missing.kind, missing.number, missing.state) == (
        DifferenceKind.MISSING_THERE,
        payment.syssn,
        OPEN,
    )
    assert (missing.statement_id, missing.day, missing.theirs) == (first.statement_id, DAY, None)
    assert missing.ours is not None
    assert (missing.ours.table, missing.ours.amount_minor) == ("payment", 100)
    run = await scene.store.reconciliations.of_statement(first)
    assert run is not None
    assert run.differences == {DifferenceKind.MISSING_THERE: 1}
    assert run.ours == (SideTotal("HKD", 1, 100, 0, 0),)

    await stored(scene.store, [paid_line(payment.syssn)])
    await run_due(scene)
    (arrived,) = await all_differences(scene.store)
    assert (arrived.state, arrived.resolution) == (RESOLVED, "a statement has the line now")
    assert (await scene.incident()).resolved_at is not None


@pytest.mark.parametrize("order", [(0, 1), (1, 0)], ids=["in order", "the day after first"])
async def test_the_order_in_which_statements_come_does_not_matter(
    scene: Scene, order: tuple[int, int]
) -> None:
    payment = await paid(scene.store, a_payment())
    for days in order:
        await stored(scene.store, [], day=DAY + days * ONE_DAY)
        await run_due(scene)
    assert [row[:2] for row in await states(scene.store)] == [(DifferenceKind.MISSING_THERE, payment.syssn)]


async def on_days(scene: Scene, *days: int) -> None:
    """Empty statements of these days after `DAY`, each reconciled before the next one comes."""
    for each in days:
        await stored(scene.store, [], day=DAY + each * ONE_DAY)
        await run_due(scene)


@pytest.mark.parametrize("order", [(0, 1, 2, 3), (1, 2, 3, 0)], ids=["in order", "its own day last"])
async def test_a_movement_that_was_booked_late_is_found_once(scene: Scene, order: tuple[int, ...]) -> None:
    """The wallet has it on the first day; we heard of it two days later. Another one is missing on the second day."""
    late, other = [await paid(scene.store, a_payment()) for _ in range(2)]
    sql = "UPDATE ledger_entry SET at = $2 WHERE cause = $1"
    await scene.store.database.execute(sql, late.syssn, NOW + 2 * ONE_DAY)
    await scene.store.database.execute(sql, other.syssn, NOW + ONE_DAY)
    await scene.store.database.execute(
        "UPDATE payment SET paid_at = $2 WHERE syssn = $1", other.syssn, NOW + ONE_DAY
    )
    await on_days(scene, *order)
    found = {each.number: each.day for each in await all_differences(scene.store)}
    assert found == {late.syssn: DAY, other.syssn: DAY + ONE_DAY}

    replaced = await stored(scene.store, [])
    await reconciled(replaced, scene.gateway)
    (kept,) = [each for each in await all_differences(scene.store) if each.number == late.syssn]
    assert (kept.state, kept.statement_id) == (OPEN, replaced.statement_id)


async def test_a_movement_just_before_midnight_waits_for_one_more_day(scene: Scene) -> None:
    await paid(scene.store, a_payment())
    late = day_start(DAY + ONE_DAY) - timedelta(seconds=2)
    await scene.store.database.execute("UPDATE payment SET paid_at = $1", late)
    await on_days(scene, 0, 1)
    assert await all_differences(scene.store) == []
    await on_days(scene, 2)
    assert [row[0] for row in await states(scene.store)] == [DifferenceKind.MISSING_THERE]


async def test_a_movement_across_midnight_may_be_in_the_statement_of_either_day(scene: Scene) -> None:
    """Paid by our clock two seconds before midnight; the wallet has it on the next day."""
    midnight = day_start(DAY + ONE_DAY)
    payment = await paid(scene.store, a_payment())
    await scene.store.database.execute("UPDATE payment SET paid_at = $1", midnight - timedelta(seconds=2))
    lines = [paid_line(payment.syssn, at=midnight + timedelta(seconds=1))]
    for day, content in ((DAY, []), (DAY + ONE_DAY, lines), (DAY + 2 * ONE_DAY, [])):
        await stored(scene.store, content, day=day)
    await run_due(scene)
    assert await all_differences(scene.store) == []


async def test_a_line_of_another_day_is_one_difference(scene: Scene) -> None:
    payment = await paid(scene.store, a_payment())
    for days in range(-1, 4):
        content = [paid_line(payment.syssn)] if days == 2 else []
        await stored(scene.store, content, day=DAY + days * ONE_DAY)
    await run_due(scene)
    assert [row[:2] for row in await states(scene.store)] == [(DifferenceKind.WRONG_DAY, payment.syssn)]


async def test_the_later_of_two_lines_is_the_duplicate_whichever_came_first(scene: Scene) -> None:
    payment = await paid(scene.store, a_payment())
    line = paid_line(payment.syssn)
    later = await stored(scene.store, [line], day=DAY + 5 * ONE_DAY)
    await run_due(scene)
    assert [row[0] for row in await states(scene.store)] == [DifferenceKind.WRONG_DAY]
    await stored(scene.store, [line])
    await run_due(scene)
    assert [(row[0], row[2]) for row in await states(scene.store)] == [
        (DifferenceKind.DUPLICATE, OPEN),
        (DifferenceKind.WRONG_DAY, RESOLVED),
    ]
    duplicate = next(each for each in await all_differences(scene.store) if each.state is OPEN)
    assert duplicate.statement_id == later.statement_id


async def test_a_difference_in_two_files_is_one_row_until_both_agree(scene: Scene) -> None:
    payment = await paid(scene.store, a_payment(ALIPAY_ONLINE, account_id=ALIPAY.account_id))
    wrong, right = [paid_line(payment.syssn, TWELVE)], [paid_line(payment.syssn)]
    settled = StatementKind.SETTLEMENT
    for kind in (StatementKind.TRANSACTIONS, settled):
        await stored(scene.store, wrong, account=ALIPAY, kind=kind)
        await run_due(scene)
    (found,) = await all_differences(scene.store)
    assert (found.state, found.statement_kind) == (OPEN, StatementKind.TRANSACTIONS)
    await stored(scene.store, right, account=ALIPAY)
    await run_due(scene)
    assert [row[2] for row in await states(scene.store)] == [OPEN]
    await stored(scene.store, right, account=ALIPAY, kind=settled)
    await run_due(scene)
    assert [row[2] for row in await states(scene.store)] == [RESOLVED]


async def reversed_payment(store: Store, action: ReversalAction) -> tuple[Payment, str]:
    """A barcode payment that was paid and reversed a moment later, and the reversal's number."""
    payment = await paid(store, a_payment(BARCODE))
    reversal = a_reversal(payment, state=ReversalState.DONE, action=action, check_at=None)
    async with store.payments.locked(payment.mchid, payment.syssn) as (connection, _):
        await connection.execute(
            "INSERT INTO reversal (mchid, syssn, payment_syssn, account_id, protocol, amount_minor, client_time, "
            "created_at, changed_at, state, wallet_code, action, checks, version) "
            "VALUES ($1, $2, $3, $4, $5, 100, '', $6, $6, 'DONE', '', $7, 0, 1)",
            *(payment.mchid, reversal.syssn, payment.syssn, payment.account_id, payment.protocol, NOW),
            action.value,
        )
        entry = Entry(
            payment.mchid,
            reversal.syssn,
            EntryKind.REVERSAL,
            f"merchant:HKD:{payment.mchid}",
            f"wallet:HKD:{payment.account_id}",
            payment.amount,
            NOW,
        )
        await write_entries(connection, [entry])
    return payment, reversal.syssn


@pytest.mark.parametrize(
    ("action", "type_"),
    [
        (ReversalAction.REFUNDED, LineType.REVERSAL),
        (ReversalAction.REFUNDED, LineType.REFUND),
        (ReversalAction.BY_REFUND, LineType.REFUND),
    ],
    ids=["WeChat", "Alipay", "by refund"],
)
async def test_a_reversed_payment_owes_two_lines(
    scene: Scene, action: ReversalAction, type_: LineType
) -> None:
    payment, number = await reversed_payment(scene.store, action)
    returned = a_line(type_, number if action is ReversalAction.BY_REFUND else payment.syssn)
    await stored(scene.store, [paid_line(payment.syssn)])
    await stored(scene.store, [], day=DAY + ONE_DAY)
    await run_due(scene)
    assert [row[:2] for row in await states(scene.store)] == [(DifferenceKind.MISSING_THERE, returned.syssn)]
    await stored(scene.store, [paid_line(payment.syssn), returned])
    await run_due(scene)
    assert [row[2] for row in await states(scene.store)] == [RESOLVED]


async def test_lines_in_several_batches_are_compared_all(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tael.reconciliation.comparison.BATCH", 2)
    monkeypatch.setattr("tael.reconciliation.store.records.PAGE", 2)
    for _ in range(5):
        await paid(scene.store, a_payment())
    unknown = [a_line(LineType.REFUND, f"unknown-{number}") for number in range(5)]
    await stored(scene.store, unknown)
    await stored(scene.store, [], day=DAY + ONE_DAY)
    await run_due(scene)
    kinds = [row[0] for row in await states(scene.store)]
    assert [kinds.count(kind) for kind in (DifferenceKind.MISSING_HERE, DifferenceKind.MISSING_THERE)] == [
        5,
        5,
    ]


async def test_two_runs_at_once_write_the_same(scene: Scene) -> None:
    lines = [a_line(LineType.REFUND, f"unknown-{number}") for number in range(20)]
    statement = await stored(scene.store, lines)
    await asyncio.gather(*(reconciled(statement, scene.gateway) for _ in range(4)))
    assert len(await all_differences(scene.store)) == 20
    assert len(await scene.incidents()) == 1


async def test_a_statement_that_was_replaced_is_not_reconciled(scene: Scene) -> None:
    first = await stored(scene.store, [a_line(LineType.REFUND, "unknown")])
    await stored(scene.store, [])
    context = reconciliation_over(scene.store, scene.gateway)
    assert await reconcile_statement(first, context, ORIGIN) is None
    assert await all_differences(scene.store) == []


async def test_all_current_statements_are_found_page_by_page(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reconciliations, "CURRENT", reconciliations.CURRENT.replace("LIMIT 1000", "LIMIT 2"))
    days = [DAY + ONE_DAY * number for number in range(5)]
    for day in days:
        await stored(store, [], day=day)
    found = [each.day async for each in store.reconciliations.current_statements(None, days[0], days[-1])]
    assert found == days
    found = [
        each.day async for each in store.reconciliations.current_statements(WECHAT.account_id, days[3], None)
    ]
    assert found == days[3:]
