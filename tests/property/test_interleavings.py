"""All orderings of {open, payer pays, close, reversal, expire, notice, poll, refund}, for every pay type.

Each activity is split where others may interleave, and its process may die there. Our side decides with the domain's
own functions; the wallets are models written from their documents. After every ordering jobs run until nothing is due;
then payment, refunds, ledger, webhooks, incidents and the wallet's book must agree.
"""

from datetime import datetime
from typing import Final

import pytest

from tael.base.pay_types import PAY_TYPES, PayType
from tael.channels.outcomes import Closed, Outcome, ReversalOutcome
from tael.payments.domain.payment import Payment, State, advance, apply_outcome
from tests.property.model_activities import Activities
from tests.property.model_books import Rules
from tests.property.orderings import Exploration, Found
from tests.support.values import KINDS

#: Every pay type has more; WeChat's barcodes have the fewest, without notices and closes.
MIN_ORDERINGS: Final = 100_000_000
ENDS_ONLINE: Final = {"PAID", "CLOSED", "EXPIRED"}
ENDS_OF_A_BARCODE: Final = {"PAID", "PAID and undone", "CLOSED and undone", "FAILED", "FAILED and undone"}

every_pay_type = pytest.mark.parametrize("pay_type", KINDS.values(), ids=KINDS)
barcodes = pytest.mark.parametrize("code", ["800108", "800208", "800228"])


@every_pay_type
def test_every_ordering_ends_consistently_even_after_crashes(pay_type: PayType) -> None:
    found = explored(Activities(pay_type), may_die=True)
    assert found.contradictory == {}
    assert found.orderings > MIN_ORDERINGS
    assert found.ends == (ENDS_ONLINE if pay_type.is_online else ENDS_OF_A_BARCODE)


@every_pay_type
def test_two_refunds_above_the_price_end_consistently(pay_type: PayType) -> None:
    found = explored(Activities(pay_type, refunds=(("refund", 70), ("refund again", 70))))
    assert found.contradictory == {}
    assert found.orderings > MIN_ORDERINGS


@every_pay_type
def test_a_whole_refund_ends_consistently(pay_type: PayType) -> None:
    found = explored(Activities(pay_type, refunds=(("refund", 100),)), may_die=True)
    assert found.contradictory == {}


@barcodes
def test_two_jobs_that_reverse_one_abandoned_barcode_end_consistently(code: str) -> None:
    found = explored(Activities(PAY_TYPES[code], polls=("poll", "poll again")), may_die=True)
    assert found.contradictory == {}
    assert found.ends == ENDS_OF_A_BARCODE


# ---- the counting ------------------------------------------------------------------------------------------------


@every_pay_type
def test_visiting_equal_moments_once_leaves_no_ordering_out(pay_type: PayType) -> None:
    some = ("open", "payer", "reversal", "refund", "close")
    graph = explored(Activities(pay_type), only=some)
    one_by_one = explored(Activities(pay_type), only=some, merges=False)
    assert (graph.orderings, graph.endings) == (one_by_one.orderings, one_by_one.endings)
    assert graph.ends == one_by_one.ends


def test_orderings_are_counted_correctly() -> None:
    """Opening has three steps; a payer may act after the first: before, between or after the other two."""
    found = explored(Activities(PAY_TYPES["800201"]), only=("open", "payer"))
    assert found.orderings == 3


# ---- the checks detect wrong rules -------------------------------------------------------------------------------


def closing_a_paid_payment(
    before: Payment, outcome: Outcome, *, at: datetime, is_first: bool = False
) -> Payment:
    if isinstance(outcome, Closed) and before.state is State.PAID:
        return before.replace(state=State.CLOSED)
    return apply_outcome(before, outcome, at=at, is_first=is_first)


def closing_during_a_reversal(
    before: Payment, outcome: Outcome, *, at: datetime, is_first: bool = False
) -> Payment:
    if isinstance(outcome, Closed) and before.state is State.PENDING and before.reversal_syssn:
        return advance(before, State.CLOSED, at)
    return apply_outcome(before, outcome, at=at, is_first=is_first)


def accepting_every_cancel(
    outcome: ReversalOutcome, payment: Payment, earlier: Outcome | None, *, requested_at: datetime
) -> ReversalOutcome:
    return outcome


@pytest.mark.parametrize(
    ("code", "rules", "sentence"),
    [
        (
            "800208",
            Rules(apply_outcome=closing_a_paid_payment),
            "the payment is CLOSED, and its ledger entry contradicts that",
        ),
        (
            "800208",
            Rules(apply_outcome=closing_during_a_reversal),
            "unexpected incident late_money",
        ),
        (
            "800108",
            Rules(final_outcome=accepting_every_cancel),
            "the wallet holds money of a payment that is CLOSED",
        ),
        *((code, Rules(reserves=False), "-30 is still reserved") for code in KINDS),
    ],
)
def test_a_wrong_rule_is_detected(code: str, rules: Rules, sentence: str) -> None:
    assert sentence in explored(Activities(PAY_TYPES[code], rules)).contradictory


def explored(
    activities: Activities, *, may_die: bool = False, only: tuple[str, ...] = (), merges: bool = True
) -> Found:
    """Explore all orderings; `pytest -rP` shows their number."""
    found = Exploration(activities, may_die=may_die, only=only, merges=merges).explore()
    print(
        f"{activities.pay_type.code}: {found.orderings:,} orderings through {found.moments:,} moments "
        f"to {found.endings} endings"
    )
    return found
