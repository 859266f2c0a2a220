"""Every ordering of the steps of several activities, explored as a graph that visits equal moments once.

Two orderings that lead to the same rows, the same trade at the wallet and the same local states continue alike. So each
such moment is visited once, and the number of orderings through it is a sum. No ordering is left out.
"""

from collections.abc import Hashable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Final, Generic, TypeVar

from tests.property.model_activities import OVER, Activities, LocalState, Scene
from tests.property.model_rest import come_to_rest, final_state
from tests.support.verdict import contradictions

#: Steps before which an activity's process may die: it has committed something or called the wallet.
DEADLY: Final = frozenset(
    {
        "open there",
        "opened",
        "close there",
        "ask",
        "record",
        "undo there",
        "undone",
        "refund there",
        "refunded",
        "answered",
    }
)
#: The places of an opening whose request has not arrived.
IN_FLIGHT: Final = frozenset({"open", "open there"})

Thing = TypeVar("Thing", bound=Hashable)
Moment = tuple[int, tuple[int, ...]]  #: a scene and each activity's local state, by number
Ordering = tuple[str, ...]


class Numbered(Generic[Thing]):
    """Values by number, so that moments are small and quick to compare."""

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
    """The result of an exploration."""

    orderings: int = 0
    moments: int = 0
    endings: int = 0
    ends: set[str] = field(default_factory=set)  #: final states of the payment
    #: Each contradiction, with the first ordering that led to it.
    contradictory: dict[str, Ordering] = field(default_factory=dict)


class Exploration:
    """All orderings of `activities`, or of those that are named in `only`.

    `may_die` lets each of them end before any of its later steps; `merges=False` checks the counting.
    """

    def __init__(
        self,
        activities: Activities,
        *,
        may_die: bool = False,
        only: Sequence[str] = (),
        merges: bool = True,
    ) -> None:
        local_states = activities.initial_states()
        self._activities = activities
        self._may_die = may_die
        self._merges = merges
        self._first = {name: local for name, local in local_states.items() if not only or name in only}
        self._names = list(self._first)
        self._scenes: Numbered[Scene] = Numbered()
        self._local_states: Numbered[LocalState] = Numbered()
        self._over = self._local_states(OVER)
        self._after: dict[tuple[int, int], tuple[int, int] | None] = {}
        self._orderings: dict[Moment, int] = {}
        self._checked: set[int] = set()
        self._path: list[str] = []
        self.found = Found()

    def explore(self) -> Found:
        scene = self._scenes(self._activities.first_scene())
        local_states = tuple(self._local_states(local) for local in self._first.values())
        self.found.orderings = self._count((scene, local_states))
        self.found.moments = len(self._orderings)
        self.found.endings = len(self._checked)
        return self.found

    def _count(self, moment: Moment) -> int:
        """The number of orderings from here."""
        count = self._orderings.get(moment)
        if count is not None and self._merges:
            return count
        orderings = 0
        for step, following in self._following(moment):
            self._path.append(step)
            orderings += self._count(following)
            self._path.pop()
        if not orderings:
            self._check(moment[0])
            orderings = 1
        self._orderings[moment] = orderings
        return orderings

    def _following(self, moment: Moment) -> Iterator[tuple[str, Moment]]:
        scene, local_states = moment
        for which, local in enumerate(local_states):
            if local == self._over or not self._is_allowed(which, local_states):
                continue
            place = self._local_states.values[local].place
            after = self._step(scene, local)
            if after is not None:
                yield place, (after[0], (*local_states[:which], after[1], *local_states[which + 1 :]))
            if self._may_die and place in DEADLY:
                yield (
                    f"dies before: {place}",
                    (scene, (*local_states[:which], self._over, *local_states[which + 1 :])),
                )

    def _is_allowed(self, which: int, local_states: tuple[int, ...]) -> bool:
        """No request is in flight for the lifetime of an order."""
        opening = self._local_states.values[local_states[self._names.index("open")]].place
        return self._names[which] != "expire" or opening not in IN_FLIGHT

    def _step(self, scene: int, local: int) -> tuple[int, int] | None:
        key = scene, local
        if key not in self._after:
            held = self._local_states.values[local]
            after = self._activities.steps[held.place](self._scenes.values[scene], held)
            self._after[key] = after and (self._scenes(after[0]), self._local_states(after[1]))
        return self._after[key]

    def _check(self, scene: int) -> None:
        if scene in self._checked:
            return
        self._checked.add(scene)
        final = final_state(come_to_rest(self._scenes.values[scene], self._activities))
        self.found.ends.add(f"{final.payment.state}{' and undone' if final.payment.is_reversed else ''}")
        for sentence in contradictions(final):
            self.found.contradictory.setdefault(sentence, tuple(self._path))
