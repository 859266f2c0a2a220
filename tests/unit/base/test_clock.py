"""The machine's clock, and the demo clock that a sandbox moves for all processes."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from tael.base.clock import OFFSET, Clock, DemoClock, RealClock


def is_between(clock: Clock, offset: timedelta) -> bool:
    """Whether the clock is the machine's plus `offset`, within the time that the comparison takes."""
    before = datetime.now(UTC) + offset
    shown = clock.now()
    return before <= shown <= datetime.now(UTC) + offset


def test_the_real_clock_is_the_machines_in_utc() -> None:
    assert is_between(RealClock(), timedelta(0))
    assert RealClock().now().tzinfo is UTC


def test_a_demo_clock_starts_as_the_machines(tmp_path: Path) -> None:
    path = tmp_path / "clock"
    assert is_between(DemoClock(path), timedelta(0))
    assert path.read_bytes() == bytes(OFFSET.size)


@pytest.mark.parametrize("offset", [timedelta(days=3), timedelta(microseconds=1), timedelta(days=-1)])
def test_a_demo_clock_shows_the_offset_of_its_file(tmp_path: Path, offset: timedelta) -> None:
    path = tmp_path / "clock"
    path.write_bytes(OFFSET.pack(offset // timedelta(microseconds=1)))
    assert is_between(DemoClock(path), offset)


def test_all_clocks_on_one_file_move_at_once(tmp_path: Path) -> None:
    path = tmp_path / "clock"
    clocks = [DemoClock(path), DemoClock(path)]
    for seconds in (10, 3600, 86400 * 40):
        with path.open("r+b") as written:
            written.write(OFFSET.pack(seconds * 1_000_000))
        assert all(is_between(clock, timedelta(seconds=seconds)) for clock in clocks)


def test_a_truncated_file_is_rewritten(tmp_path: Path) -> None:
    path = tmp_path / "clock"
    path.write_bytes(b"abc")
    assert is_between(DemoClock(path), timedelta(0))
