"""Every ordering of the steps of several activities, explored as a graph: equal moments are looked at once.

Two orderings that lead to the same rows, the same trade at the wallet and the same answers in hand go on alike, so
each such moment is met once, and the number of orderings through it is a sum. Nothing is left out by that.
"""

from collections.abc import Hashable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Final, Generic, TypeVar

from tests.property.model_activities import OVER, Activities, Hand, Scene
from tests.property.model_rest import come_to_rest, tell
from tests.support.verdict import contradictions

#: Steps before which an activity's process may die: something of it is committed, or out at the wallet.
DEADLY: Final = frozenset(
    {
        "open there",
        "opened",
        "close there",
        "ask",
        "hear",
        "undo there",
        "undone",
        "refund there",
        "refunded",
        "answered",
    }
)
#: The places of an opening whose question has not arrived yet.
ON_ITS_WAY: Final = frozenset({"open", "open there"})

Thing = TypeVar("Thing", bound=Hashable)
Moment = tuple[int, tuple[int, ...]]  #: a scene and what each activity has in hand, by number
Ordering = tuple[str, ...]


class Numbered(Generic[Thing]):
    """Values by number, so that moments are small and quickly compared."""

    def __init__(self) -> None:
        self._numbers: dict[Thing, int] = {}
        self.values: list[Thing] = []

    def __call__(self, thing: Thing) -> int:
        number = self._numbers.setdefault(thing, len(self.values))
        if number == len(self.values):
            self.values.append(thing)
        return number


@dataclass
class Found:
    """What an exploration met."""

    orderings: int = 0
    moments: int = 0
    endings: int = 0
    ends: set[str] = field(default_factory=set)  #: what became of the payment
    #: Each sentence of the judge, with the first ordering that led to it.
    contradictory: dict[str, Ordering] = field(default_factory=dict)


class Exploration:
    """All orderings of `activities`, or of those that are named in `only`.

    `may_die` lets each of them end before any of its later steps, and `merges` is switched off to check the counting.
    """

    def __init__(
        self,
        activities: Activities,
        *,
        may_die: bool = False,
        only: Sequence[str] = (),
        merges: bool = True,
    ) -> None:
        hands = activities.first_hands()
        self._activities = activities
        self._may_die = may_die
        self._merges = merges
        self._first = {name: hand for name, hand in hands.items() if not only or name in only}
        self._names = list(self._first)
        self._scenes: Numbered[Scene] = Numbered()
        self._hands: Numbered[Hand] = Numbered()
        self._over = self._hands(OVER)
        self._after: dict[tuple[int, int], tuple[int, int] | None] = {}
        self._orderings: dict[Moment, int] = {}
        self._judged: set[int] = set()
        self._way: list[str] = []
        self.found = Found()

    def explore(self) -> Found:
        scene = self._scenes(self._activities.first_scene())
        hands = tuple(self._hands(hand) for hand in self._first.values())
        self.found.orderings = self._count((scene, hands))
        self.found.moments = len(self._orderings)
        self.found.endings = len(self._judged)
        return self.found

    def _count(self, moment: Moment) -> int:
        """How many orderings go on from here."""
        known = self._orderings.get(moment)
        if known is not None and self._merges:
            return known
        orderings = 0
        for said, following in self._following(moment):
            self._way.append(said)
            orderings += self._count(following)
            self._way.pop()
        if not orderings:
            self._judge(moment[0])
            orderings = 1
        self._orderings[moment] = orderings
        return orderings

    def _following(self, moment: Moment) -> Iterator[tuple[str, Moment]]:
        scene, hands = moment
        for which, hand in enumerate(hands):
            if hand == self._over or not self._is_allowed(which, hands):
                continue
            place = self._hands.values[hand].place
            after = self._step(scene, hand)
            if after is not None:
                yield place, (after[0], (*hands[:which], after[1], *hands[which + 1 :]))
            if self._may_die and place in DEADLY:
                yield f"dies before: {place}", (scene, (*hands[:which], self._over, *hands[which + 1 :]))

    def _is_allowed(self, which: int, hands: tuple[int, ...]) -> bool:
        """Nothing is on its way for as long as an order lives."""
        opening = self._hands.values[hands[self._names.index("open")]].place
        return self._names[which] != "expire" or opening not in ON_ITS_WAY

    def _step(self, scene: int, hand: int) -> tuple[int, int] | None:
        key = scene, hand
        if key not in self._after:
            held = self._hands.values[hand]
            after = self._activities.steps[held.place](self._scenes.values[scene], held)
            self._after[key] = after and (self._scenes(after[0]), self._hands(after[1]))
        return self._after[key]

    def _judge(self, scene: int) -> None:
        if scene in self._judged:
            return
        self._judged.add(scene)
        told = tell(come_to_rest(self._scenes.values[scene], self._activities))
        self.found.ends.add(f"{told.payment.state}{' and undone' if told.payment.is_reversed else ''}")
        for sentence in contradictions(told):
            self.found.contradictory.setdefault(sentence, tuple(self._way))
