"""A process serves bursts, refuses what a standing overload has too much, and takes turns between senders."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

import pytest
from structlog.testing import capture_logs

from tael.base.admission import (
    MAX_CALLS_PER_PLACE,
    MAX_OVERLOADED_WAIT_S,
    MAX_REFUSED,
    MAX_WAIT_S,
    MAX_WAITING,
    OVER_S,
    OVERLOADED_PART,
    REFUSAL_S,
    STANDING_S,
    Admission,
    Place,
    without_place,
)
from tael.base.errors import Overloaded
from tael.base.transport import Answer, Transport
from tests.support.virtual_time import run_in_virtual_time
from tests.unit.base.test_transport_places import ask, blocking_server

PLACES = 10
#: Of the calls in these tests; the process works on one after the other.
PER_SECOND = 1000
#: The limit of a wait, and what adding up fractions of seconds may add to it.
SHORT_S = MAX_OVERLOADED_WAIT_S + 1e-9


@dataclass
class Process:
    """Works for 1 / PER_SECOND seconds on each call."""

    admission: Admission = field(default_factory=lambda: Admission(PLACES))
    work: asyncio.Lock = field(default_factory=asyncio.Lock)
    served: list[str] = field(default_factory=list)
    refused: list[str] = field(default_factory=list)
    waits_s: list[float] = field(default_factory=list)  #: for a place, of the calls that were served

    async def call(self, sender: str = "a") -> None:
        loop = asyncio.get_running_loop()
        began = loop.time()
        if self.admission.refuses(sender):
            await self.admission.delay_refusal()
            self.refused.append(sender)
            return
        try:
            place = await self.admission.take(sender)
        except Overloaded:
            self.refused.append(sender)
            return
        with place:
            self.waits_s.append(loop.time() - began)
            async with self.work:
                await asyncio.sleep(1 / PER_SECOND)
            self.served.append(sender)

    async def load(self, per_second: float, seconds: float, sender: str = "a") -> None:
        """Calls in equal distances, whether or not earlier ones have ended. Returns with the last response."""
        calls = []
        for _ in range(round(per_second * seconds)):
            calls.append(asyncio.create_task(self.call(sender)))
            await asyncio.sleep(1 / per_second)
        await asyncio.gather(*calls)


def in_virtual_time(test: Callable[[], Awaitable[None]]) -> Callable[[], None]:
    async def run() -> None:
        await test()

    def test_in_virtual_time() -> None:
        run_in_virtual_time(run())

    test_in_virtual_time.__name__ = test.__name__
    return test_in_virtual_time


def overloaded(admission: Admission) -> bool:
    """Now: for mypy a property that was false stays so."""
    return admission.is_overloaded


def leave(place: Place) -> None:
    with place:
        pass


# ---- load ------------------------------------------------------------------------------------------------------


@in_virtual_time
async def test_a_burst_is_served() -> None:
    process = Process()
    burst = round(PER_SECOND * MAX_WAIT_S * 0.9)
    await asyncio.gather(*(process.call() for _ in range(burst)))
    assert (len(process.served), process.refused) == (burst, [])


@in_virtual_time
async def test_a_load_below_the_rate_is_served_without_waiting() -> None:
    process = Process()
    await process.load(PER_SECOND * 0.9, 1)
    assert (max(process.waits_s), process.refused) == (0, [])


@in_virtual_time
async def test_of_twice_the_rate_a_half_is_served_and_waits_a_moment() -> None:
    process = Process()
    load = asyncio.create_task(process.load(PER_SECOND * 2, 6))
    await asyncio.sleep(1)  # what came before the overload was standing is served
    process.waits_s.clear()
    process.served.clear()
    await load

    assert max(process.waits_s) <= SHORT_S
    assert len(process.served) == pytest.approx(PER_SECOND * 5, rel=0.02)


@in_virtual_time
async def test_after_an_overload_calls_find_places_at_once_and_bursts_are_served() -> None:
    process = Process()
    await process.load(PER_SECOND * 3, 1)
    assert process.refused
    process.refused.clear()
    process.waits_s.clear()

    await process.call()
    assert process.waits_s == [0]
    await asyncio.sleep(OVER_S)
    await asyncio.gather(*(process.call() for _ in range(200)))
    assert process.refused == []


@in_virtual_time
async def test_an_overload_is_over_without_further_calls() -> None:
    """As after many wallets have answered at once: no call is refused, and none waits for a place."""
    admission = Admission(PLACES)

    async def pay() -> None:
        with await admission.take("a"):
            with without_place():
                await asyncio.sleep(1)
            await asyncio.sleep(STANDING_S * 2)

    payments = [asyncio.create_task(pay()) for _ in range(PLACES * 2)]
    await asyncio.sleep(1.001)
    assert not overloaded(admission)
    await asyncio.sleep(STANDING_S)
    assert overloaded(admission)
    await asyncio.gather(*payments)
    await asyncio.sleep(OVER_S)
    assert not overloaded(admission)


@pytest.mark.parametrize("clients", [PLACES, round(PLACES * MAX_CALLS_PER_PLACE)])
def test_clients_that_are_served_before_an_overload_are_served_after_it(clients: int) -> None:
    """They send again at once when they are refused, which must not keep the overload going."""

    async def served() -> None:
        process = Process()

        async def client(until: float) -> None:
            while asyncio.get_running_loop().time() < until:
                await process.call()
                await asyncio.sleep(0.0001)

        now = asyncio.get_running_loop().time()
        before = [asyncio.create_task(client(now + 4)) for _ in range(clients)]
        await asyncio.sleep(1)
        assert process.refused == []
        await asyncio.gather(*(client(now + 2) for _ in range(PLACES * 5)))
        assert process.refused
        await asyncio.sleep(REFUSAL_S + OVER_S)
        process.refused.clear()
        await asyncio.gather(*before)
        assert process.refused == []

    run_in_virtual_time(served())


@in_virtual_time
async def test_clients_that_repeat_at_once_are_refused_a_few_times_a_second() -> None:
    process, loop = Process(), asyncio.get_running_loop()
    clients = PLACES * 5

    async def client() -> None:
        while loop.time() < 3:
            await process.call()
            await asyncio.sleep(0.0001)

    await asyncio.gather(*(client() for _ in range(clients)))
    assert len(process.refused) < 3 * clients / REFUSAL_S
    assert len(process.served) == pytest.approx(PER_SECOND * 3, rel=0.02)


@in_virtual_time
async def test_a_pause_in_which_everything_waiting_is_refused_does_not_end_an_overload() -> None:
    """As on a long checkpoint: afterwards all places are free at once, and the load is still too high."""
    process = Process()
    load = asyncio.create_task(process.load(PER_SECOND * 2, MAX_WAIT_S * 2))
    await asyncio.sleep(MAX_WAIT_S * 1.5)  # those that came before it was standing are gone
    async with process.work:
        await asyncio.sleep(MAX_OVERLOADED_WAIT_S * 2)
    process.waits_s.clear()
    await load
    assert max(process.waits_s) <= SHORT_S


@in_virtual_time
async def test_a_refused_call_waited_no_longer_than_its_limit() -> None:
    admission, loop = Admission(1), asyncio.get_running_loop()
    place = await admission.take("a")
    began = loop.time()
    with pytest.raises(Overloaded):
        await admission.take("a")
    assert loop.time() - began == pytest.approx(MAX_WAIT_S)

    others = [asyncio.create_task(admission.take("a")) for _ in range(2)]
    await asyncio.sleep(STANDING_S / 2)
    assert not overloaded(admission)
    await asyncio.sleep(STANDING_S)
    assert overloaded(admission)
    began = loop.time()
    refused = asyncio.create_task(admission.take("a"))
    await asyncio.sleep(MAX_OVERLOADED_WAIT_S * 1.1)
    assert (admission.waiting, refused.done()) == (2, False)
    with pytest.raises(Overloaded):
        await refused
    assert loop.time() - began == pytest.approx(REFUSAL_S)
    leave(place)
    for other in reversed(others):
        leave(await other)


@in_virtual_time
async def test_a_refusal_is_delayed_unless_very_many_are() -> None:
    admission, loop = Admission(1), asyncio.get_running_loop()
    began = loop.time()
    delayed = [asyncio.create_task(admission.delay_refusal()) for _ in range(MAX_REFUSED)]
    await asyncio.sleep(0)
    await admission.delay_refusal()
    await admission.delay_refusal(REFUSAL_S)
    assert loop.time() == began
    await asyncio.gather(*delayed)
    assert loop.time() - began == pytest.approx(REFUSAL_S)


@in_virtual_time
async def test_in_a_standing_overload_few_calls_wait_and_further_ones_are_refused() -> None:
    admission = Admission(2 * OVERLOADED_PART)
    places = [await admission.take("a") for _ in range(2 * OVERLOADED_PART)]
    waiting = [asyncio.create_task(admission.take("a")) for _ in range(OVERLOADED_PART + 1)]
    await asyncio.sleep(0)
    assert not admission.refuses("a"), "a burst may wait"

    await asyncio.sleep(STANDING_S * 1.5)
    assert admission.refuses("a")
    assert not admission.refuses("b"), "another sender has no call that waits"
    waiting.append(asyncio.create_task(admission.take("b")))
    await asyncio.sleep(0)
    assert not admission.refuses("b")
    assert admission.refuses("a")

    for place in places:
        leave(place)
    assert (admission.in_progress, admission.waiting) == (2, OVERLOADED_PART)
    for task in (waiting[-1], *reversed(waiting[:-1])):
        leave(await task)
    assert not admission.refuses("a"), "none waits"
    assert (admission.in_progress, admission.waiting) == (0, 0)


@in_virtual_time
async def test_in_a_standing_overload_the_newest_call_is_next_and_those_of_the_burst_keep_their_second() -> (
    None
):
    admission = Admission(OVERLOADED_PART)
    places = [await admission.take("a") for _ in range(OVERLOADED_PART)]
    begun: list[str] = []

    async def call(name: str) -> None:
        with await admission.take("a"):
            begun.append(name)

    before = [asyncio.create_task(call(name)) for name in ("first", "second", "third")]
    await asyncio.sleep(0)
    assert not overloaded(admission)
    await asyncio.sleep(STANDING_S * 1.5)
    assert overloaded(admission)
    since = asyncio.create_task(call("newest"))
    await asyncio.sleep(0)
    for place in places:
        leave(place)
    await since
    assert begun == ["newest"]
    await asyncio.gather(*before)
    assert begun == ["newest", "third", "second", "first"]


@in_virtual_time
async def test_before_it_is_standing_calls_begin_in_their_order() -> None:
    admission = Admission(1)
    place = await admission.take("a")
    begun: list[int] = []

    async def call(number: int) -> None:
        with await admission.take("a"):
            begun.append(number)

    calls = [asyncio.create_task(call(number)) for number in range(3)]
    await asyncio.sleep(0)
    leave(place)
    await asyncio.gather(*calls)
    assert begun == [0, 1, 2]


@in_virtual_time
async def test_in_a_standing_overload_a_part_of_the_places_is_used_until_it_is_over() -> None:
    process = Process()
    load = asyncio.create_task(process.load(PER_SECOND * 2, 1))
    await asyncio.sleep(STANDING_S)
    assert process.admission.in_progress == PLACES
    await asyncio.sleep(MAX_WAIT_S / 2)
    for _ in range(20):
        assert process.admission.in_progress == PLACES // OVERLOADED_PART
        await asyncio.sleep(2.2 / PER_SECOND)
    await load

    await asyncio.sleep(OVER_S)
    burst = [asyncio.create_task(process.call()) for _ in range(PLACES)]
    await asyncio.sleep(0)
    assert process.admission.in_progress == PLACES
    await asyncio.gather(*burst)


@in_virtual_time
async def test_a_pause_without_new_calls_is_no_overload() -> None:
    """As when all calls under way wait for one commit."""
    admission = Admission(PLACES)
    places = [await admission.take("a") for _ in range(PLACES - 1)]
    await asyncio.sleep(STANDING_S * 4)
    places.append(await asyncio.wait_for(admission.take("a"), STANDING_S))
    assert (admission.in_progress, admission.waiting) == (PLACES, 0)
    for place in places:
        leave(place)


# ---- senders ---------------------------------------------------------------------------------------------------


@in_virtual_time
async def test_a_flood_of_one_sender_takes_no_call_of_another() -> None:
    process = Process()
    flood = asyncio.create_task(process.load(PER_SECOND * 3, 3, "flood"))
    others = [asyncio.create_task(process.load(PER_SECOND / 10, 3, sender)) for sender in ("b", "c")]
    await asyncio.gather(flood, *others)
    assert set(process.refused) == {"flood"}
    assert process.served.count("b") == process.served.count("c") == PER_SECOND / 10 * 3


@in_virtual_time
async def test_senders_that_wait_take_turns() -> None:
    admission = Admission(1)
    place = await admission.take("a")
    begun: list[str] = []

    async def call(sender: str) -> None:
        with await admission.take(sender):
            begun.append(sender)

    calls = [asyncio.create_task(call(sender)) for sender in ("a", "a", "a", "b", "b", "c")]
    await asyncio.sleep(0)
    leave(place)
    await asyncio.gather(*calls)
    assert begun == ["a", "b", "c", "a", "b", "a"]


@in_virtual_time
async def test_a_freed_place_goes_to_the_sender_with_the_fewest_calls_in_progress() -> None:
    admission = Admission(3)
    places = [await admission.take(sender) for sender in ("a", "a", "b")]
    waiting = [asyncio.create_task(admission.take(sender)) for sender in ("a", "b", "c")]
    await asyncio.sleep(0)
    begun: list[asyncio.Task[Place]] = []
    for place in places:
        leave(place)
        done, _ = await asyncio.wait([task for task in waiting if task not in begun], timeout=0.001)
        begun += done
    assert [waiting.index(task) for task in begun] == [2, 0, 1]


@in_virtual_time
async def test_a_full_queue_loses_the_oldest_call_of_the_sender_with_the_most() -> None:
    admission = Admission(1)
    place = await admission.take("a")
    waiting = [asyncio.create_task(admission.take("b")) for _ in range(MAX_WAITING - 1)]
    waiting += [asyncio.create_task(admission.take(sender)) for sender in ("a", "a")]
    done, others = await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
    assert (done, admission.waiting) == ({waiting[0]}, MAX_WAITING)
    with pytest.raises(Overloaded):
        waiting[0].result()
    for task in others:
        task.cancel()
    await asyncio.wait(others)
    assert admission.waiting == 0
    leave(place)


@in_virtual_time
async def test_a_cancelled_call_leaves_its_place_to_others() -> None:
    admission = Admission(1)
    place = await admission.take("a")
    waits, granted, last = (asyncio.create_task(admission.take("a")) for _ in range(3))
    await asyncio.sleep(0)
    waits.cancel()
    await asyncio.sleep(0)
    leave(place)  # goes to the second, which is cancelled before it runs
    granted.cancel()
    with await last:
        assert admission.in_progress == 1
    assert (admission.in_progress, admission.waiting) == (0, 0)


# ---- waits for other servers -----------------------------------------------------------------------------------


async def test_calls_that_wait_for_a_wallet_have_no_place_and_go_on_without_waiting() -> None:
    admission = Admission(1)

    async def pay(transport: Transport, url: str) -> int:
        with await admission.take("a"):
            assert isinstance(await ask(transport, url, "account"), Answer)
            return admission.in_progress

    async with blocking_server() as wallet, Transport() as transport:
        slow = [asyncio.create_task(pay(transport, wallet.url)) for _ in range(50)]
        await wallet.until_received(50)
        assert admission.in_progress == 0
        place = await admission.take("b")
        wallet.open.set()
        in_progress = await asyncio.gather(*slow)
        assert max(in_progress) > 1
        leave(place)
    assert admission.in_progress == 0


@in_virtual_time
async def test_no_call_begins_while_more_are_in_progress_than_there_are_places() -> None:
    admission = Admission(1)
    with await admission.take("a"):
        with without_place():
            other = await admission.take("b")
        waits = asyncio.create_task(admission.take("c"))
        await asyncio.sleep(0)
        assert (admission.in_progress, admission.waiting) == (2, 1)
        leave(other)
        assert (admission.in_progress, admission.waiting) == (1, 1)
    with await waits:
        assert admission.in_progress == 1


@in_virtual_time
async def test_a_call_that_asks_two_servers_has_no_place_until_both_have_answered() -> None:
    admission = Admission(1)

    async def ask_server(seconds: float) -> None:
        with without_place():
            await asyncio.sleep(seconds)

    with await admission.take("a"):
        first, second = (asyncio.create_task(ask_server(seconds)) for seconds in (1, 2))
        await first
        assert admission.in_progress == 0
        await second
        assert admission.in_progress == 1
    assert admission.in_progress == 0


@in_virtual_time
async def test_a_wait_that_outlives_its_call_takes_no_place_afterwards() -> None:
    admission = Admission(1)

    async def ask_server() -> None:
        with without_place():
            await asyncio.sleep(1)

    with await admission.take("a"):
        asked = asyncio.create_task(ask_server())
        await asyncio.sleep(0)
    assert admission.in_progress == 0
    await asked
    assert admission.in_progress == 0


@in_virtual_time
async def test_a_wait_outside_of_a_call_needs_no_place() -> None:
    with without_place():
        await asyncio.sleep(1)


# ---- log -------------------------------------------------------------------------------------------------------


def test_refused_calls_are_one_line_a_second() -> None:
    async def overload() -> int:
        process = Process()
        await process.load(PER_SECOND * 2, 3)
        return len(process.refused)

    with capture_logs() as lines:
        refused = run_in_virtual_time(overload())
    events = [line for line in lines if line["event"] == "calls.shed"]
    assert 3 <= len(events) <= 4
    assert {line["log_level"] for line in events} == {"warning"}
    assert refused - PER_SECOND <= sum(line["calls"] for line in events) <= refused
