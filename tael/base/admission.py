"""Places for the calls that this process works on, so that a load above its speed is refused early and costs little.

Without a free place a call waits for one. A burst is served: its calls may wait long. In a standing overload the wait
is short, few calls wait, and the newest goes first, so that calls are answered in time or refused ("controlled delay"
and "adaptive LIFO": Maurer, Fail at Scale, ACM Queue 13(8), 2015). A quarter of the places is used then: of fewer
calls at a time, each is answered sooner.

A refusal is answered a moment later. A client that repeats at once would otherwise be refused thousands of times a
second, and so many refusals cost more than serving its calls would. The calls that are here, with the refused ones,
are also about as many as there would be without refusals, which is how the end of an overload is seen.

A call that waits for another server, such as a wallet, gives its place back. Afterwards it is worked on at once,
whether or not there is a free place: finishing a call comes before beginning one.
"""

import asyncio
import math
from collections import Counter, deque
from contextlib import AbstractContextManager
from contextvars import ContextVar, Token
from typing import Final, Self

import structlog

from tael.base.errors import Overloaded

log = structlog.get_logger()

DEFAULT_PLACES: Final = 64
#: In a standing overload, this part of the places is used, and as many calls may wait.
OVERLOADED_PART: Final = 4
#: How long a call waits for a place.
MAX_WAIT_S: Final = 1.0
#: The same in a standing overload.
MAX_OVERLOADED_WAIT_S: Final = 0.01
#: More calls than this, in progress, waiting or refused and not answered, are too many.
MAX_CALLS_PER_PLACE: Final = 1.5
#: An overload is standing once there have been too many calls for this long.
STANDING_S: Final = 0.02
#: It is over once there have not been for this long.
OVER_S: Final = 0.1
#: From a call to its refusal, if it was not waiting longer.
REFUSAL_S: Final = 0.1
#: Calls that are refused and not answered. Further ones are answered at once.
MAX_REFUSED: Final = 1000
#: Calls that wait. A further one takes the place of the oldest call of the sender with the most of them.
MAX_WAITING: Final = 1000
LOG_INTERVAL_S: Final = 1.0
REFUSAL: Final = "too many calls at this moment"


class Admission:
    """The places of one process.

    A freed one goes to the waiting sender with the fewest calls in progress; equal ones take turns.
    """

    def __init__(self, places: int = DEFAULT_PLACES) -> None:
        self._places = places
        self._overloaded_places = max(1, places // OVERLOADED_PART)
        self._calls: Counter[str] = Counter()
        self._in_progress = 0
        self._turns: dict[str, deque[asyncio.Future[bool]]] = {}
        self._waiting = 0
        self._refused = 0  #: and not answered
        self._is_standing = False
        self._changed_at_s = (
            math.inf
        )  #: since when the calls are too many, or in a standing overload few enough
        self._logged_at_s = -math.inf
        self._not_logged = 0

    @property
    def in_progress(self) -> int:
        """More than there are places if many wallets have answered at once."""
        return self._in_progress

    @property
    def waiting(self) -> int:
        return self._waiting

    @property
    def is_overloaded(self) -> bool:
        """Whether an overload is standing."""
        return self._update_is_standing(asyncio.get_running_loop().time())

    def refuses(self, sender: str) -> bool:
        """Whether a call of `sender` is refused without a wait for a place, and answered after `delay_refusal`.

        In a standing overload few calls may wait. Above, no sender adds to its fair part.
        """
        if self._waiting < self._overloaded_places:
            return False
        waiting = len(self._turns.get(sender, ()))
        if waiting * len(self._turns) < self._waiting or not self.is_overloaded:
            return False
        self._note_refused()
        return True

    async def delay_refusal(self, waited_s: float = 0.0) -> None:
        """Returns when a refused call that has waited so long for a place is to be answered."""
        if self._refused >= MAX_REFUSED or waited_s >= REFUSAL_S:
            return
        self._refused += 1
        try:
            await asyncio.sleep(REFUSAL_S - waited_s)
        finally:
            self._refused -= 1
            self._update_is_standing(asyncio.get_running_loop().time())

    async def take(self, sender: str) -> "Place":
        """A place for a call of `sender`, which the caller must enter. Raises Overloaded."""
        now_s = asyncio.get_running_loop().time()
        if self._in_progress < self._places_at(now_s):
            self.begin(sender)
        elif not await self._turn_of(sender, now_s):
            self._note_refused()
            await self.delay_refusal(asyncio.get_running_loop().time() - now_s)
            raise Overloaded(REFUSAL)
        return Place(self, sender)

    def begin(self, sender: str) -> None:
        """Count a call that is worked on, whether or not there is a free place."""
        self._calls[sender] += 1
        self._in_progress += 1

    def end(self, sender: str) -> None:
        """A call needs its place no longer: the next ones get it."""
        self._calls[sender] -= 1
        if not self._calls[sender]:
            del self._calls[sender]
        self._in_progress -= 1
        if self._turns or self._is_standing:
            is_standing = self.is_overloaded
            places = self._overloaded_places if is_standing else self._places
            while self._turns and self._in_progress < places:
                self._admit_next(newest=is_standing)

    async def _turn_of(self, sender: str, now_s: float) -> bool:
        """Whether the call got a place before the limit of its wait."""
        if self._waiting >= MAX_WAITING:
            self._refuse_one()
        turn: asyncio.Future[bool] = asyncio.get_running_loop().create_future()
        self._turns.setdefault(sender, deque()).append(turn)
        self._waiting += 1
        try:
            limit_s = MAX_OVERLOADED_WAIT_S if self._update_is_standing(now_s) else MAX_WAIT_S
            await asyncio.wait((turn,), timeout=limit_s)
        except asyncio.CancelledError:
            if turn.done() and turn.result():
                self.end(sender)
            raise
        finally:
            if not turn.done():
                self._leave(sender, turn)
        return turn.done() and turn.result()

    def _places_at(self, now_s: float) -> int:
        return self._overloaded_places if self._update_is_standing(now_s) else self._places

    def _update_is_standing(self, now_s: float) -> bool:
        """Whether an overload is standing, by the number of calls now. Called whenever it has changed."""
        calls = self._in_progress + self._waiting + self._refused
        are_too_many = calls > self._places * MAX_CALLS_PER_PLACE
        if are_too_many == self._is_standing:
            self._changed_at_s = math.inf
        else:
            self._changed_at_s = min(self._changed_at_s, now_s)
            if now_s - self._changed_at_s >= (OVER_S if self._is_standing else STANDING_S):
                self._is_standing, self._changed_at_s = are_too_many, math.inf
        return self._is_standing

    def _admit_next(self, *, newest: bool) -> None:
        sender = min(self._turns, key=self._calls.__getitem__)
        turns = self._turns.pop(sender)
        turn = turns.pop() if newest else turns.popleft()
        if turns:
            self._turns[sender] = turns  # re-inserted last
        self._waiting -= 1
        self.begin(sender)
        turn.set_result(True)

    def _refuse_one(self) -> None:
        sender = max(self._turns, key=lambda each: len(self._turns[each]))
        turn = self._turns[sender][0]
        self._leave(sender, turn)
        turn.set_result(False)

    def _leave(self, sender: str, turn: "asyncio.Future[bool]") -> None:
        turns = self._turns[sender]
        turns.remove(turn)
        if not turns:
            del self._turns[sender]
        self._waiting -= 1

    def _note_refused(self) -> None:
        """One line a second, however many calls are refused."""
        now_s = asyncio.get_running_loop().time()
        self._not_logged += 1
        if now_s - self._logged_at_s >= LOG_INTERVAL_S:
            log.warning(
                "calls.shed", calls=self._not_logged, in_progress=self._in_progress, waiting=self._waiting
            )
            self._logged_at_s, self._not_logged = now_s, 0


class Place:
    """The place of one call, from entering it to its end."""

    __slots__ = ("_admission", "_is_over", "_sender", "_token", "_waits")

    def __init__(self, admission: Admission, sender: str) -> None:
        self._admission = admission
        self._sender = sender
        self._waits = 0  #: concurrent ones: a call may ask several servers
        self._is_over = False
        self._token: Token[Place | None] | None = None

    def __enter__(self) -> Self:
        self._token = _place.set(self)
        return self

    def __exit__(self, *_: object) -> None:
        if self._token is not None:
            _place.reset(self._token)
        self._is_over = True
        if not self._waits:
            self._admission.end(self._sender)

    def begin_wait(self) -> None:
        self._waits += 1
        if self._waits == 1 and not self._is_over:
            self._admission.end(self._sender)

    def end_wait(self) -> None:
        self._waits -= 1
        if not self._waits and not self._is_over:
            self._admission.begin(self._sender)


#: That of the call which the current task belongs to.
_place: ContextVar[Place | None] = ContextVar("place", default=None)


class _WithoutPlace:
    __slots__ = ("_left",)

    def __enter__(self) -> None:
        self._left = _place.get()
        if self._left is not None:
            self._left.begin_wait()

    def __exit__(self, *_: object) -> None:
        if self._left is not None:
            self._left.end_wait()


def without_place() -> AbstractContextManager[None]:
    """For a wait that costs this process nothing: the call has no place in this block, and at its end has one again."""
    return _WithoutPlace()
