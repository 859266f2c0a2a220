"""Every order in which the steps of open, pay, close, reversal, expiry, notice, settle and refund can happen.

Each activity is cut where it leaves the process: intent, question, record. What happens between the steps of one is
any step of another; a record may also be lost, as by a crash, and is then made good by a job. The orders are explored
as a graph, so that all are covered and each state is visited once; after the last step the jobs run to their rest, and
payment, refund, reversal, ledger, webhooks, incidents and the wallet's book must tell one story.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from functools import partial
from typing import Final

import pytest

from tael.domain.incident import IncidentKind
from tael.domain.ledger import EntryKind
from tael.domain.outcome import (
    AwaitingPayer,
    Closed,
    Outcome,
    Paid,
    RefundOutcome,
    Reversal,
    ReversalAction,
    Reversed,
    Unknown,
)
from tael.domain.payment import State
from tael.domain.paytype import PAY_TYPES, PayType, Wallet
from tael.domain.refund import RefundState
from tael.domain.reversal import ReversalState
from tests.property.pure_gateway import JOBS, MERCHANTS, REFUND, PureGateway
from tests.property.pure_wallet import PRICE, PureWallet
from tests.support.values import NOW, a_payment

#: Orders of the steps that are told for each pay type at least: a change that loses some shows here.
FEWEST_ORDERS: Final = 1_000_000
MOST_JOBS: Final = 10


@dataclass(frozen=True, slots=True)
class World:
    """Everything at one moment. `answers` are on their way: what was asked, and what the wallet said to it."""

    ours: PureGateway
    wallet: PureWallet
    now: datetime
    answers: tuple[tuple[str, Outcome | Reversal | RefundOutcome], ...] = ()
    reserves: bool = True  #: false where a planted bug does without reservations
    writes_old_news: bool = False  #: true where a planted bug writes an answer over whatever came since

    def answer(self, name: str) -> Outcome | Reversal | RefundOutcome | None:
        return dict(self.answers).get(name)

    def asked(self, name: str, answer: Outcome | Reversal | RefundOutcome) -> "World":
        return replace(self, answers=(*self.answers, (name, answer)))

    def heard(self, name: str) -> "World":
        return replace(self, answers=tuple(one for one in self.answers if one[0] != name))


Step = Callable[[World], World | None]  #: None where the step cannot be taken yet, or never


# ---- the steps -------------------------------------------------------------------------------------------------------


def create(world: World) -> World:
    wallet = world.wallet.created()
    return replace(world, wallet=wallet).asked("open", wallet.opened())


def pay(world: World) -> World:
    return replace(world, wallet=world.wallet.after_the_payer())


def expire(world: World) -> World:
    return replace(world, now=world.ours.payment.expires_at + timedelta(minutes=1))


def record(name: str, world: World) -> World:
    """What the wallet answered to `name` goes by the one door."""
    answer = world.answer(name)
    if not isinstance(answer, Outcome):
        return world
    ours = world.ours.told(answer, world.now, is_first=name == "open")
    if world.writes_old_news and isinstance(answer, AwaitingPayer):
        ours = replace(ours, payment=replace(ours.payment, state=State.PENDING))
    return replace(world, ours=ours).heard(name)


def lose(name: str, world: World) -> World:
    """The process that waited for the answer is gone."""
    return world.heard(name)


def notice(world: World) -> World | None:
    """A wallet tells of money once it has come, and tells it again."""
    if not world.wallet.is_paid:
        return None
    return replace(world, ours=world.ours.told(world.wallet.state(), world.now))


def wish_close(world: World) -> World:
    return replace(world, ours=world.ours.close_wished())


def close(name: str, world: World) -> World:
    if not world.ours.payment.close_syssn and name == "close":
        return world
    wallet, said = world.wallet.closed()
    return replace(world, wallet=wallet).asked(name, said)


def promise_refund(world: World) -> World:
    return replace(world, ours=world.ours.refund_promised(world.now, reserves=world.reserves))


def refund(world: World) -> World:
    if world.ours.refund is None or world.ours.refund.state is not RefundState.PROCESSING:
        return world
    wallet, said = world.wallet.refunded()
    return replace(world, wallet=wallet).asked("refund", said)


def record_refund(world: World) -> World:
    answer = world.answer("refund")
    if not isinstance(answer, RefundOutcome):
        return world
    return replace(world, ours=world.ours.refund_told(answer, world.now)).heard("refund")


def intend_reversal(syssn: str, world: World) -> World:
    return replace(world, ours=world.ours.reversal_intended(syssn, world.now))


def ask_before_reversal(world: World) -> World:
    if world.ours.reversal_of(MERCHANTS) is None or world.ours.payment.state is not State.PENDING:
        return world
    return world.asked("before reversal", world.wallet.state())


def record_before_reversal(world: World) -> World:
    """Only money is news then; whatever else it is, the reversal will say."""
    answer = world.answer("before reversal")
    return record("before reversal", world) if isinstance(answer, Paid) else world.heard("before reversal")


def reverse(syssn: str, world: World) -> World:
    if world.ours.reversal_of(syssn) is None:
        return world
    wallet, said = world.wallet.reversed()
    return replace(world, wallet=wallet).asked(syssn, said)


def record_reversal(syssn: str, world: World) -> World:
    answer = world.answer(syssn)
    if not isinstance(answer, Reversal):
        return world
    return replace(world, ours=world.ours.reversal_told(syssn, answer, world.now)).heard(syssn)


def settle_asks(world: World) -> World:
    payment = world.ours.payment
    is_left_to_reversal = payment.state is State.PENDING and bool(payment.reversal_syssn)
    is_due = payment.state is State.PENDING or (
        payment.pay_type.is_online and payment.state in (State.CLOSED, State.EXPIRED)
    )
    return world if is_left_to_reversal or not is_due else world.asked("settle", world.wallet.state())


def settle_goes_on(world: World) -> World:
    """What is undecided and over is ended at the wallet first."""
    answer, payment = world.answer("settle"), world.ours.payment
    if answer is None or isinstance(answer, Paid | Closed) or payment.state is not State.PENDING:
        return world
    is_over = world.now >= payment.expires_at
    if payment.pay_type.is_online:
        return close("settle", world.heard("settle")) if is_over or payment.close_syssn else world
    return reverse(JOBS, intend_reversal(JOBS, world.heard("settle"))) if is_over else world


def settle_records(world: World) -> World:
    return record_reversal(JOBS, record("settle", world))


def activities(pay_type: PayType) -> dict[str, list[tuple[Step, ...]]]:
    """The steps of each activity, in its own order; a step has one way or several."""
    steps: dict[str, list[tuple[Step, ...]]] = {
        "open": [(create,), (partial(record, "open"), partial(lose, "open"))],
        "pay": [(pay,)],
        "close": [
            (wish_close,),
            (partial(close, "close"),),
            (partial(record, "close"), partial(lose, "close")),
        ],
        "reversal": [
            (partial(intend_reversal, MERCHANTS),),
            (ask_before_reversal,),
            (record_before_reversal,),
            (partial(reverse, MERCHANTS),),
            (partial(record_reversal, MERCHANTS), partial(lose, MERCHANTS)),
        ],
        "expire": [(expire,)],
        "notice": [(notice,), (notice,)],
        "settle": [(settle_asks,), (settle_goes_on,), (settle_records, partial(lose, "settle"))],
        "refund": [(promise_refund,), (refund,), (record_refund, partial(lose, "refund"))],
    }
    if not pay_type.is_online:
        del steps["notice"]  # of a barcode no wallet sends one
    return steps


# ---- the jobs, and the judge -----------------------------------------------------------------------------------------


def at_rest(world: World) -> World:
    """All answers are lost, time is over, and the jobs do what is left; each asks the wallet as it is."""
    world = expire(replace(world, answers=()))
    for _ in range(MOST_JOBS):
        before = world
        world = _reversals_done(_refund_done(world))
        world = settle_records(settle_goes_on(settle_asks(world)))
        world = replace(world, answers=())
        if world == before:
            return world
    raise AssertionError("the jobs never come to rest")


def _refund_done(world: World) -> World:
    if world.ours.refund is None or world.ours.refund.state is not RefundState.PROCESSING:
        return world
    known = world.wallet.refund_state()
    if isinstance(known, Unknown):
        return record_refund(refund(world))
    return replace(world, ours=world.ours.refund_told(known, world.now))


def _reversals_done(world: World) -> World:
    for syssn in (MERCHANTS, JOBS):
        if world.ours.reversal_of(syssn) is None:
            continue
        if syssn == MERCHANTS:
            world = record_before_reversal(ask_before_reversal(world))
        world = reverse(syssn, world)
        answer = world.answer(syssn)
        if isinstance(answer, Unknown) and answer.no_such_order:  # so late it never comes to be
            world = world.heard(syssn).asked(syssn, Reversed(ReversalAction.CLOSED))
        world = record_reversal(syssn, world)
    return world


def contradictions(world: World) -> Iterator[str]:
    """Where the story has two endings."""
    ours, wallet, payment = world.ours, world.wallet, world.ours.payment
    held = payment.amount.amount_minor - payment.refunded_minor if payment.state is State.PAID else 0
    if payment.state is State.PENDING or payment.reserved_minor:
        yield "the payment is not decided"
    if held != wallet.holds_minor:
        yield f"the wallet holds {wallet.holds_minor}, we wrote {held}"
    if payment.state is not State.PAID and wallet.holds_minor:
        yield f"the wallet took money, and the payment is {payment.state}"
    if payment.is_reversed and not wallet.is_undone and wallet.is_there and not wallet.is_over:
        yield "it is reversed here, and open at the wallet"
    refund_state = ours.refund.state if ours.refund is not None else None
    if refund_state is RefundState.PROCESSING:
        yield "the refund is not decided"
    if (refund_state is RefundState.DONE) != wallet.has_part_back:
        yield "the refund is one thing here and another at the wallet"
    if any(reversal.state is ReversalState.PENDING for reversal in ours.reversals):
        yield "the reversal is not decided"
    yield from _of_ledger(ours, held)
    yield from _of_webhooks(ours, refund_state)
    if not ours.incidents <= {IncidentKind.LATE_MONEY}:
        yield f"incidents without a cause: {sorted(ours.incidents)}"
    if ours.incidents and payment.state is not State.PAID:
        yield "late money came, and the payment is not paid"


def _of_ledger(ours: PureGateway, held: int) -> Iterator[str]:
    keys = [(entry.cause, entry.kind) for entry in ours.entries]
    if len(set(keys)) < len(keys):
        yield "a movement was booked twice"
    moved = [entry for entry in ours.entries if entry.kind not in (EntryKind.FEE, EntryKind.FEE_BACK)]
    net = sum(
        e.amount.amount_minor * (e.debit.startswith("wallet:") - e.credit.startswith("wallet:"))
        for e in moved
    )
    if net != held:
        yield f"the ledger holds {net}, the payment {held}"


def _of_webhooks(ours: PureGateway, refund_state: RefundState | None) -> Iterator[str]:
    told = list(ours.webhooks)
    if len(set(told)) < len(told):
        yield "a merchant is told twice"
    payment = ours.payment
    of_payment = (payment.syssn, "payment") in told
    # What was paid and undone between two questions is no success, and nobody is told of it.
    if payment.state is State.PAID and not payment.is_reversed and not of_payment:
        yield "the merchant is not told of its money"
    if payment.state is not State.PAID and of_payment:
        yield "the merchant is told of money that never came"
    if (refund_state is RefundState.DONE) != ((REFUND, "refund") in told):
        yield "the merchant is told of a refund that is not so, or not told"


# ---- all orders ------------------------------------------------------------------------------------------------------


@dataclass(slots=True)
class Explored:
    """What was found: `orders` of steps, `states` of the world, and the first contradiction with the way to it."""

    orders: int = 0
    states: int = 0
    contradiction: str = ""


def explore(begin: World, steps: dict[str, list[tuple[Step, ...]]]) -> Explored:
    """Every order of the steps, each state once. The count of orders is exact, however many meet in a state."""
    names = list(steps)
    found = Explored()
    known: dict[tuple[World, tuple[int, ...]], int] = {}
    path: list[str] = []

    def orders_from(world: World, done: tuple[int, ...]) -> int:
        key = (world, done)
        if key in known or found.contradiction:
            return known.get(key, 0)
        orders = 0
        for place, name in enumerate(names):
            if done[place] == len(steps[name]):
                continue
            for way in steps[name][done[place]]:
                after = way(world)
                if after is not None:
                    path.append(f"{name} {done[place] + 1}{' lost' if _is_loss(way) else ''}")
                    orders += orders_from(after, (*done[:place], done[place] + 1, *done[place + 1 :]))
                    path.pop()
        if orders == 0:  # nothing is left, or only notices of money that never came
            orders = 1
            for sentence in contradictions(at_rest(world)):
                found.contradiction = found.contradiction or f"{sentence} after {', '.join(path)}"
        known[key] = orders
        return orders

    found.orders = orders_from(begin, (0,) * len(names))
    found.states = len(known)
    return found


def _is_loss(way: Step) -> bool:
    return isinstance(way, partial) and way.func is lose


def world_of(pay_type: PayType) -> World:
    payment = a_payment(pay_type, amount=PRICE)
    remembers_paid = pay_type.wallet is Wallet.ALIPAY and not pay_type.is_online
    wallet = PureWallet(pay_type.is_online, remembers_paid, NOW)
    return World(PureGateway(payment), wallet, NOW + timedelta(seconds=1))


@pytest.mark.parametrize("code", sorted(PAY_TYPES))
def test_every_order_of_events_ends_in_one_story(code: str) -> None:
    pay_type = PAY_TYPES[code]
    explored = explore(world_of(pay_type), activities(pay_type))
    print(f"{code}: {explored.orders:,} orders over {explored.states:,} states")
    assert explored.contradiction == ""
    assert explored.orders > FEWEST_ORDERS


@pytest.mark.parametrize("code", ["800201", "800108"])
def test_the_judge_finds_a_refund_that_was_not_reserved(code: str) -> None:
    """A part goes back in a story in which the sums were never held back."""
    world = replace(world_of(PAY_TYPES[code]), reserves=False)
    assert explore(world, activities(PAY_TYPES[code])).contradiction


def test_the_judge_finds_old_news_that_is_written_over_newer() -> None:
    world = replace(world_of(PAY_TYPES["800201"]), writes_old_news=True)
    assert "booked twice" in explore(world, activities(PAY_TYPES["800201"])).contradiction
