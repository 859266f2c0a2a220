"""A statement proves nothing: news of money is decided by the wallet's own answer, as after a notice."""

from dataclasses import replace
from datetime import timedelta
from typing import Final

import pytest

from tael.base.money import Money
from tael.base.pay_types import PayType
from tael.channels.statements import LineType, StatementLine
from tael.incidents.domain.incident import IncidentKind
from tael.merchants.domain.account import Account
from tael.payments.domain.payment import Payment, State
from tael.payments.domain.refund import RefundState
from tael.reconciliation.domain.difference import Difference, DifferenceKind, DifferenceState
from tael.reconciliation.domain.reconciliation import Reconciliation
from tael.reconciliation.runs import BOOKED_AFTER, QUERY_PAUSE
from tael.unmatched.domain.unmatched import UnmatchedState
from tests.support.fake_wallet import Payer
from tests.support.scene import Scene, ended
from tests.support.statements import WECHAT, a_line, all_differences, paid_line, reconciled, stored
from tests.support.store import current
from tests.support.unmatched import SECOND_TRADE, unmatched_order
from tests.support.values import ALIPAY_ONLINE, BARCODE, MCHID, ONLINE, an_alipay_account
from tests.support.world import pay, refund, run_jobs_of

OPEN, RESOLVED = DifferenceState.OPEN, DifferenceState.RESOLVED
UNKNOWN: Final = "unmatched-1"
ALIPAY: Final = an_alipay_account("alipay-online", scene="online", pid="2088000000000001")


async def run_with(
    scene: Scene, *lines: StatementLine, account: Account = WECHAT
) -> tuple[Reconciliation, Difference]:
    """Reconcile these lines: the run, and the only difference that there ever was."""
    run = await reconciled(await stored(scene.store, lines, account=account), scene.gateway)
    (difference,) = await all_differences(scene.store)
    return run, difference


async def test_a_pending_payment_with_a_line_becomes_paid(scene: Scene) -> None:
    payment = await pay(scene.gateway, ONLINE, "A")
    scene.wallet.confirm(payment.syssn)
    run, difference = await run_with(scene, paid_line(payment.syssn))
    assert (await current(scene.store, payment)).state is State.PAID
    assert (difference.kind, difference.state, difference.resolution) == (
        DifferenceKind.STATE,
        RESOLVED,
        "the records agree now",
    )
    assert (run.matched, run.differences, await scene.incidents()) == (1, {}, [])
    await scene.assert_books_agree()


async def test_a_line_alone_makes_nothing_paid(scene: Scene) -> None:
    payment = await pay(scene.gateway, ONLINE, "A")
    run, difference = await run_with(scene, paid_line(payment.syssn))
    assert (await current(scene.store, payment)).state is State.PENDING
    assert (difference.kind, difference.state) == (DifferenceKind.STATE, OPEN)
    assert difference.queried_at == scene.world.clock.at
    assert run.differences == {DifferenceKind.STATE: 1}
    await scene.assert_nothing_moved()


@pytest.mark.parametrize("state", [State.CLOSED, State.EXPIRED])
async def test_late_money_makes_the_payment_paid(scene: Scene, state: State) -> None:
    payment = await ended(scene, state)
    scene.wallet.take(await scene.gateway.wallets.order(payment))
    _, difference = await run_with(scene, paid_line(payment.syssn, at=scene.world.clock.at))
    assert (await current(scene.store, payment)).state is State.PAID
    assert difference.state is RESOLVED
    assert (await scene.incident()).kind is IncidentKind.LATE_MONEY


async def failed(scene: Scene) -> Payment:
    scene.wallet.payer = Payer.HAS_NO_MONEY
    payment = await pay(scene.gateway, BARCODE, "A")
    assert payment.state is State.FAILED
    scene.wallet.take(await scene.gateway.wallets.order(payment))
    return payment


async def booked_later(scene: Scene) -> Difference:
    """The unmatched payment is booked by its job, and the statement reconciled again."""
    scene.world.clock.at += BOOKED_AFTER
    await scene.run_unmatched()
    await run_jobs_of("reconciliation", scene.services, scene.world.clock)
    (difference,) = await all_differences(scene.store)
    return difference


async def test_money_after_a_failure_becomes_an_unmatched_payment(scene: Scene) -> None:
    payment = await failed(scene)
    _, difference = await run_with(scene, paid_line(payment.syssn))
    assert (difference.kind, difference.state) == (DifferenceKind.STATE, OPEN)
    unmatched = await scene.unmatched()
    assert (unmatched.kind, unmatched.state) == (
        IncidentKind.PAID_AFTER_FAILED,
        UnmatchedState.SUSPECTED,
    )
    assert (await booked_later(scene)).state is RESOLVED
    await scene.assert_books_agree()


@pytest.mark.parametrize(("account", "pay_type"), [(WECHAT, ONLINE), (ALIPAY, ALIPAY_ONLINE)])
async def test_an_unknown_order_becomes_an_unmatched_payment(
    scene: Scene, account: Account, pay_type: PayType
) -> None:
    """Also if the line does not have the wallet's number of the trade, as in Alipay's files."""
    scene.wallet.take(await unmatched_order(scene.gateway, account.account_id, pay_type))
    line = paid_line(UNKNOWN, Money(700, "HKD"))
    _, difference = await run_with(scene, line, account=account)
    assert (difference.kind, difference.state) == (DifferenceKind.MISSING_HERE, OPEN)
    reported = await scene.unmatched()
    assert (reported.kind, reported.subject_id, reported.wallet_ref) == (
        IncidentKind.UNKNOWN_ORDER,
        UNKNOWN,
        f"trade-{UNKNOWN}",
    )
    await scene.notify(UNKNOWN)  # a later notice of it is the same event
    assert len(await scene.all_unmatched()) == 1
    assert (await booked_later(scene)).state is RESOLVED
    await scene.assert_books_agree()


async def test_an_unknown_order_that_the_wallet_does_not_confirm_is_only_a_difference(scene: Scene) -> None:
    """The file may be wrong, or not the wallet's at all."""
    run, difference = await run_with(scene, paid_line(UNKNOWN, Money(700, "HKD")))
    assert (difference.state, run.differences) == (OPEN, {DifferenceKind.MISSING_HERE: 1})
    assert [each.kind for each in await scene.incidents()] == [IncidentKind.RECONCILIATION_DIFFERENCE]
    assert await scene.all_unmatched() == []


async def test_a_second_trade_becomes_an_unmatched_payment(scene: Scene) -> None:
    scene.wallet.payer = Payer.PAYS
    payment = await pay(scene.gateway, BARCODE, "A")
    scene.wallet.take(await scene.gateway.wallets.order(payment), SECOND_TRADE)
    first = paid_line(payment.syssn, wallet_ref=payment.wallet_ref)
    _, difference = await run_with(scene, first, replace(first, wallet_ref=SECOND_TRADE))
    assert (difference.kind, difference.wallet_ref) == (DifferenceKind.DUPLICATE, SECOND_TRADE)
    unmatched = await scene.unmatched()
    assert (unmatched.kind, unmatched.wallet_ref) == (IncidentKind.PAID_TWICE, SECOND_TRADE)
    assert (await booked_later(scene)).state is RESOLVED
    await scene.assert_books_agree()


async def test_a_refund_in_progress_with_a_line_is_done(scene: Scene) -> None:
    scene.wallet.payer, scene.wallet.is_refund_delayed = Payer.PAYS, True
    payment = await pay(scene.gateway, BARCODE, "A")
    await refund(scene.gateway, payment, "R", 40)
    (row,) = await scene.store.database.fetch("SELECT syssn FROM refund")
    line = a_line(LineType.REFUND, row["syssn"], Money(40, "HKD"), payment_syssn=payment.syssn)
    run, difference = await run_with(scene, paid_line(payment.syssn), line)
    found = await scene.store.refunds.by_syssn(MCHID, row["syssn"])
    assert found is not None
    assert (found.state, difference.state, run.matched) == (RefundState.DONE, RESOLVED, 2)
    assert scene.wallet.refunds_asked == [found.syssn]


async def test_a_failed_refund_is_never_requested_again(scene: Scene) -> None:
    scene.wallet.payer = Payer.PAYS
    payment = await pay(scene.gateway, BARCODE, "A")
    await refund(scene.gateway, payment, "R", 40)
    (row,) = await scene.store.database.fetch(
        "UPDATE refund SET state = 'FAILED', reason = 'other', check_at = NULL, done_at = NULL RETURNING syssn"
    )
    scene.wallet.trades[payment.syssn].refunds.clear()
    scene.wallet.refunds_asked.clear()
    line = a_line(LineType.REFUND, row["syssn"], Money(40, "HKD"), payment_syssn=payment.syssn)
    _, difference = await run_with(scene, paid_line(payment.syssn), line)
    assert (difference.kind, difference.state) == (DifferenceKind.STATE, OPEN)
    assert difference.queried_at is not None
    assert scene.wallet.refunds_asked == []


async def test_queries_are_limited_and_go_on_in_the_next_run(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tael.reconciliation.runs.MAX_QUERIES", 2)
    payments = [await pay(scene.gateway, ONLINE, f"A{number}") for number in range(5)]
    await stored(scene.store, [paid_line(each.syssn) for each in payments])
    for queried in (2, 4, 5):
        await run_jobs_of("reconciliation", scene.services, scene.world.clock)
        found = await all_differences(scene.store)
        assert sum(each.queried_at is not None for each in found) == queried
        await run_jobs_of("reconciliation", scene.services, scene.world.clock)  # nothing is due yet
        scene.world.clock.at += QUERY_PAUSE


async def test_a_wallet_that_takes_long_ends_the_queries_of_a_run(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tael.reconciliation.runs.MAX_QUERYING", timedelta(seconds=-1))
    payment = await pay(scene.gateway, ONLINE, "A")
    await stored(scene.store, [paid_line(payment.syssn)])
    await run_jobs_of("reconciliation", scene.services, scene.world.clock)
    (difference,) = await all_differences(scene.store)
    assert difference.queried_at is None
    monkeypatch.undo()
    scene.world.clock.at += QUERY_PAUSE
    await run_jobs_of("reconciliation", scene.services, scene.world.clock)
    (difference,) = await all_differences(scene.store)
    assert difference.queried_at is not None
