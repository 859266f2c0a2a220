"""What jobs do after an ordering, until nothing is due: ask about everything undecided, at ever later times."""

from dataclasses import replace
from datetime import timedelta
from typing import Final

from tael.channels.outcomes import Refused, Unknown
from tael.payments.domain.refund import RefundState
from tael.payments.domain.reversal import ReversalState
from tests.property.model_activities import MAX_REQUEST_TRANSIT, Activities, Hand, Scene, later
from tests.property.model_books import hear_of_refund, without_suspicion
from tests.support.verdict import Told, wallet_side
from tests.support.wallet_rules import query_refund, refund

MAX_ROUNDS: Final = 4
AFTER_THE_EXPIRY: Final = (timedelta(0), timedelta(seconds=61), timedelta(hours=2))


def come_to_rest(scene: Scene, activities: Activities) -> Scene:
    """The scene when everything that is due was done, now, at the expiry, and long after it."""
    scene = _settled(scene, activities)
    for after in AFTER_THE_EXPIRY:
        at = scene.books.payment.expires_at + after
        scene = _settled(later(scene, at, activities.wallet), activities)
    return scene


def tell(scene: Scene) -> Told:
    """What is left, for the judge."""
    books, trade = scene.books, scene.trade
    return Told(
        payment=books.payment,
        refunds=books.refunds,
        reversals=books.reversals,
        entries=books.entries,
        webhooks=books.webhooks,
        incidents=books.incidents,
        was_over=books.was_over,
        wallet=wallet_side(trade),
    )


def _settled(scene: Scene, activities: Activities) -> Scene:
    for _ in range(MAX_ROUNDS):
        before = scene
        scene = _to_the_end(scene, Hand("settle"), activities)
        for reversal in scene.books.reversals:
            if reversal.state is ReversalState.PENDING:
                scene = _to_the_end(scene, Hand("ask", reversal.syssn), activities)
        for ours in scene.books.refunds:
            if ours.state is RefundState.PROCESSING:
                scene = _check_refund(scene, ours.syssn, activities)
        scene = replace(scene, books=without_suspicion(scene.books))
        if scene == before:
            return scene
    raise AssertionError("the jobs never come to rest")


def _to_the_end(scene: Scene, hand: Hand, activities: Activities) -> Scene:
    while hand.place:
        after = activities.steps[hand.place](scene, hand)
        if after is None:
            return scene
        scene, hand = after
    return scene


def _check_refund(scene: Scene, number: str, activities: Activities) -> Scene:
    """One that never reached the wallet is sent again; the refusal of a repeat counts once the first has arrived."""
    ours = scene.books.refund(number)
    trade, said = scene.trade, query_refund(scene.trade, number)
    if isinstance(said, Unknown) and said.no_such_order:
        trade, said = refund(activities.wallet, trade, number, ours.amount.amount_minor)
        if isinstance(said, Refused) and scene.at - ours.created_at < MAX_REQUEST_TRANSIT:
            said = Unknown("a repeat was refused")
    return replace(scene, trade=trade, books=hear_of_refund(scene.books, number, said, scene.at))
