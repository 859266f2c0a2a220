"""The jobs after an ordering, until nothing is due: they poll everything undecided, at ever later times."""

from dataclasses import replace
from datetime import timedelta
from typing import Final

from tael.channels.outcomes import Refused, Unknown
from tael.payments.domain.refund import RefundState
from tael.payments.domain.reversal import ReversalState
from tests.property.model_activities import (
    MAX_REQUEST_TRANSIT,
    Activities,
    LocalState,
    Scene,
    later,
)
from tests.property.model_books import (
    record_refund_outcome,
    with_refuted_payments,
)
from tests.support.verdict import FinalState, wallet_side
from tests.support.wallet_rules import query_refund, refund

MAX_ROUNDS: Final = 4
AFTER_THE_EXPIRY: Final = (timedelta(0), timedelta(seconds=61), timedelta(hours=2))


def come_to_rest(scene: Scene, activities: Activities) -> Scene:
    """The scene after all jobs have run now, at the expiry, and long after it."""
    scene = _polled(scene, activities)
    for after in AFTER_THE_EXPIRY:
        at = scene.books.payment.expires_at + after
        scene = _polled(later(scene, at, activities.wallet), activities)
    return scene


def final_state(scene: Scene) -> FinalState:
    """All rows of the order, for `contradictions`."""
    books, trade = scene.books, scene.trade
    return FinalState(
        payment=books.payment,
        refunds=books.refunds,
        reversals=books.reversals,
        entries=books.entries,
        webhooks=books.webhooks,
        incidents=books.incidents,
        unmatched_payments=books.unmatched_payments,
        was_over=books.was_over,
        wallet=wallet_side(trade),
    )


def _polled(scene: Scene, activities: Activities) -> Scene:
    for _ in range(MAX_ROUNDS):
        before = scene
        scene = _to_the_end(scene, LocalState("poll"), activities)
        for reversal in scene.books.reversals:
            if reversal.state is ReversalState.PENDING:
                scene = _to_the_end(scene, LocalState("ask", reversal.syssn), activities)
        for ours in scene.books.refunds:
            if ours.state is RefundState.PROCESSING:
                scene = _check_refund(scene, ours.syssn, activities)
        scene = replace(scene, books=with_refuted_payments(scene.books))
        if scene == before:
            return scene
    raise AssertionError("the jobs never come to rest")


def _to_the_end(scene: Scene, local: LocalState, activities: Activities) -> Scene:
    while local.place:
        after = activities.steps[local.place](scene, local)
        if after is None:
            return scene
        scene, local = after
    return scene


def _check_refund(scene: Scene, number: str, activities: Activities) -> Scene:
    """A refund unknown to the wallet is sent again; the refusal of a repeat counts once the first must have arrived."""
    ours = scene.books.refund(number)
    trade, outcome = scene.trade, query_refund(scene.trade, number)
    if isinstance(outcome, Unknown) and outcome.no_such_order:
        trade, outcome = refund(activities.wallet, trade, number, ours.amount.amount_minor)
        if isinstance(outcome, Refused) and scene.at - ours.created_at < MAX_REQUEST_TRANSIT:
            outcome = Unknown("a repeat was refused")
    return replace(scene, trade=trade, books=record_refund_outcome(scene.books, number, outcome, scene.at))
