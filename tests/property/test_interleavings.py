"""All orderings of {open, payer pays, close, reversal, expire, notice, settle, refund}, for every pay type.

Each activity is cut where others may come in between, and each of its processes may die there. Our side decides by the
domain's own functions, the wallets are models written from their documents. After every ordering jobs run until nothing
is due; then payment, refunds, ledger, webhooks, incidents and the wallet's book must tell one story.
"""

from dataclasses import replace
from datetime import datetime
from typing import Final

import pytest

from tael.base.pay_types import PAY_TYPES, PayType
from tael.channels.outcomes import Closed, Outcome, ReversalOutcome
from tael.payments.domain.payment import Payment, State, advance, apply_outcome
from tests.property.model_activities import Activities
from tests.property.model_books import Rules
from tests.property.orderings import Exploration, Found

#: Every pay type has more; WeChat's barcodes the fewest, which have no notice and cannot be closed.
MIN_ORDERINGS: Final = 100_000_000
ENDS_ONLINE: Final = {"PAID", "CLOSED", "EXPIRED"}
ENDS_OF_A_BARCODE: Final = {"PAID", "PAID and undone", "CLOSED and undone", "FAILED", "FAILED and undone"}

every_pay_type = pytest.mark.parametrize("pay_type", PAY_TYPES.values(), ids=PAY_TYPES)
barcodes = pytest.mark.parametrize("code", ["800108", "800208", "800228"])


@every_pay_type
def test_every_ordering_ends_in_one_story_whoever_dies(pay_type: PayType) -> None:
    found = explored(Activities(pay_type), may_die=True)
    assert found.contradictory == {}
    assert found.orderings > MIN_ORDERINGS
    assert found.ends == (ENDS_ONLINE if pay_type.is_online else ENDS_OF_A_BARCODE)


@every_pay_type
def test_two_refunds_that_are_more_than_the_price_end_in_one_story(pay_type: PayType) -> None:
    found = explored(Activities(pay_type, refunds=(("refund", 70), ("refund again", 70))))
    assert found.contradictory == {}
    assert found.orderings > MIN_ORDERINGS


@every_pay_type
def test_a_whole_refund_ends_in_one_story(pay_type: PayType) -> None:
    found = explored(Activities(pay_type, refunds=(("refund", 100),)), may_die=True)
    assert found.contradictory == {}


@barcodes
def test_two_jobs_that_undo_one_abandoned_barcode_end_in_one_story(code: str) -> None:
    found = explored(Activities(PAY_TYPES[code], settles=("settle", "settle again")), may_die=True)
    assert found.contradictory == {}
    assert found.ends == ENDS_OF_A_BARCODE


# ---- the counting ------------------------------------------------------------------------------------------------


@every_pay_type
def test_looking_at_equal_moments_once_leaves_no_ordering_out(pay_type: PayType) -> None:
    some = ("open", "payer", "reversal", "refund", "close")
    graph = explored(Activities(pay_type), only=some)
    one_by_one = explored(Activities(pay_type), only=some, merges=False)
    assert (graph.orderings, graph.endings) == (one_by_one.orderings, one_by_one.endings)
    assert graph.ends == one_by_one.ends


def test_orderings_are_counted_as_by_hand() -> None:
    """Opening has three steps; a payer may act after the first: before, between or after the other two."""
    found = explored(Activities(PAY_TYPES["800201"]), only=("open", "payer"))
    assert found.orderings == 3


# ---- the judge can say no ----------------------------------------------------------------------------------------


def closing_what_is_paid(
    before: Payment, outcome: Outcome, *, at: datetime, is_first: bool = False
) -> Payment:
    if isinstance(outcome, Closed) and before.state is State.PAID:
        return replace(before, state=State.CLOSED)
    return apply_outcome(before, outcome, at=at, is_first=is_first)


def closing_what_is_being_undone(
    before: Payment, outcome: Outcome, *, at: datetime, is_first: bool = False
) -> Payment:
    if isinstance(outcome, Closed) and before.state is State.PENDING and before.reversal_syssn:
        return advance(before, State.CLOSED, at)
    return apply_outcome(before, outcome, at=at, is_first=is_first)


def believing_every_cancel(
    said: ReversalOutcome, payment: Payment, news: Outcome | None, *, asked_at: datetime
) -> ReversalOutcome:
    return said


@pytest.mark.parametrize(
    ("code", "rules", "sentence"),
    [
        (
            "800208",
            Rules(apply_outcome=closing_what_is_paid),
            "the payment is CLOSED, and its entry says otherwise",
        ),
        (
            "800208",
            Rules(apply_outcome=closing_what_is_being_undone),
            "nobody should be called for late_money",
        ),
        (
            "800108",
            Rules(final_outcome=believing_every_cancel),
            "the wallet holds money of a payment that is CLOSED",
        ),
        *((code, Rules(reserves=False), "-30 is still reserved") for code in PAY_TYPES),
    ],
)
def test_a_wrong_rule_is_named(code: str, rules: Rules, sentence: str) -> None:
    assert sentence in explored(Activities(PAY_TYPES[code], rules)).contradictory


def explored(
    activities: Activities, *, may_die: bool = False, only: tuple[str, ...] = (), merges: bool = True
) -> Found:
    """What all orderings come to; `pytest -rP` shows how many there were."""
    found = Exploration(activities, may_die=may_die, only=only, merges=merges).explore()
    print(
        f"{activities.pay_type.code}: {found.orderings:,} orderings through {found.moments:,} moments "
        f"to {found.endings} endings"
    )
    return found
