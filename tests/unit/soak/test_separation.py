"""Which payments must be served while only the second cell's server is down, and which may be refused."""

from collections.abc import Iterator
from contextlib import ExitStack

import pytest

from tests.soak.plan import SERVERS
from tests.soak.separation import PROMPT_S, SECOND, SETTLED_S, Downtime, Separation

FIRST = SERVERS[0]
PROCESS = "process"
IN_FIRST, IN_SECOND = "m0", "m1"
SERVED, REFUSED = "0000", "1112"


class Scene:
    """A soak whose clock stands still until `now_s` is changed."""

    def __init__(self) -> None:
        self.now_s = 100.0
        self.downtime = Downtime(lambda: self.now_s)
        self.separation = Separation(self.downtime)
        self.separation.mchids = {IN_FIRST}

    def pay(self, mchid: str, respcd: str) -> None:
        self.separation.end(self.separation.begin(mchid), "r1", respcd)

    @property
    def result(self) -> tuple[int, int]:
        """Payments that were served, and that were wrongly refused."""
        return self.separation.served, len(self.separation.wrong)


@pytest.fixture
def soak() -> Scene:
    return Scene()


@pytest.fixture
def second_is_down(soak: Scene) -> Iterator[ExitStack]:
    """Ends it when it is closed."""
    with ExitStack() as down:
        down.enter_context(soak.downtime.of(SECOND))
        yield down


@pytest.mark.usefixtures("second_is_down")
def test_a_payment_of_the_first_cell_is_served(soak: Scene) -> None:
    soak.pay(IN_FIRST, SERVED)
    assert soak.result == (1, 0)


@pytest.mark.usefixtures("second_is_down")
def test_a_payment_of_the_first_cell_may_not_be_refused(soak: Scene) -> None:
    soak.pay(IN_FIRST, REFUSED)
    assert soak.result == (0, 1)
    assert soak.separation.wrong == [
        "payment r1 of cell_00 was answered 1112 while only cell_01's server was down"
    ]


@pytest.mark.usefixtures("second_is_down")
@pytest.mark.parametrize("respcd", [SERVED, REFUSED])
def test_a_payment_of_the_second_cell_does_not_count(soak: Scene, respcd: str) -> None:
    soak.pay(IN_SECOND, respcd)
    assert soak.result == (0, 0)


@pytest.mark.parametrize("respcd", [SERVED, REFUSED])
def test_a_payment_does_not_count_while_nothing_is_down(soak: Scene, respcd: str) -> None:
    soak.pay(IN_FIRST, respcd)
    assert soak.result == (0, 0)


@pytest.mark.usefixtures("second_is_down")
@pytest.mark.parametrize("other", [FIRST, PROCESS])
def test_a_payment_does_not_count_while_anything_else_is_down(soak: Scene, other: str) -> None:
    with soak.downtime.of(other):
        soak.pay(IN_FIRST, REFUSED)
    assert soak.result == (0, 0)


@pytest.mark.usefixtures("second_is_down")
@pytest.mark.parametrize("other", [FIRST, PROCESS])
def test_a_payment_does_not_count_if_anything_else_went_down_before_it_was_answered(
    soak: Scene, other: str
) -> None:
    mark = soak.separation.begin(IN_FIRST)
    with soak.downtime.of(other):
        pass
    soak.separation.end(mark, "r1", REFUSED)
    assert soak.result == (0, 0)


@pytest.mark.usefixtures("second_is_down")
@pytest.mark.parametrize("other", [FIRST, PROCESS])
def test_a_payment_counts_again_when_the_processes_have_settled(soak: Scene, other: str) -> None:
    with soak.downtime.of(other):
        pass
    soak.now_s += SETTLED_S / 2
    soak.pay(IN_FIRST, REFUSED)
    assert soak.result == (0, 0)
    soak.now_s += SETTLED_S
    soak.pay(IN_FIRST, REFUSED)
    assert soak.result == (0, 1)


@pytest.mark.usefixtures("second_is_down")
@pytest.mark.parametrize(("took_s", "result"), [(PROMPT_S / 2, (0, 1)), (PROMPT_S * 2, (0, 0))])
def test_a_payment_that_was_out_of_time_is_only_counted(
    soak: Scene, took_s: float, result: tuple[int, int]
) -> None:
    mark = soak.separation.begin(IN_FIRST)
    soak.now_s += took_s
    soak.separation.end(mark, "r1", REFUSED)
    assert soak.result == result
    assert soak.separation.late == (result == (0, 0))


def test_a_payment_that_waited_until_the_server_was_back_does_not_count(
    soak: Scene, second_is_down: ExitStack
) -> None:
    mark = soak.separation.begin(IN_FIRST)
    second_is_down.close()
    soak.separation.end(mark, "r1", SERVED)
    assert soak.result == (0, 0)


def test_a_payment_that_was_refused_when_the_server_was_back_is_still_wrong(
    soak: Scene, second_is_down: ExitStack
) -> None:
    mark = soak.separation.begin(IN_FIRST)
    second_is_down.close()
    soak.separation.end(mark, "r1", REFUSED)
    assert soak.result == (0, 1)


def test_a_server_is_down_until_the_last_of_its_faults_has_ended(soak: Scene) -> None:
    with soak.downtime.of(SECOND):
        with soak.downtime.of(SECOND):
            pass
        assert soak.downtime.is_down(SECOND)
    assert not soak.downtime.is_down(SECOND)


@pytest.mark.parametrize(("name", "is_server"), [(FIRST, True), (SECOND, True), (PROCESS, False)])
def test_only_a_server_is_a_server(soak: Scene, name: str, is_server: bool) -> None:
    with soak.downtime.of(name):
        assert soak.downtime.has_server is is_server
    assert not soak.downtime.has_server
