"""A syssn is 24 digits that begin with the day in UTC+8."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tael.base.moments import UTC8
from tael.base.serial import SEQUENCES, SYSSN_DIGITS, cell_of, syssn

INSTANTS = st.datetimes(datetime(2017, 1, 1), datetime(2099, 1, 1), timezones=st.just(UTC))
NODES = st.integers(0, 99)
CELLS = st.integers(0, 99)
SEQUENCE = st.integers(0, SEQUENCES - 1)


@given(INSTANTS, NODES, CELLS, SEQUENCE)
def test_it_is_day_node_cell_class_and_sequence(at: datetime, node: int, cell: int, sequence: int) -> None:
    number = syssn(at, node, sequence, cell)
    assert len(number) == SYSSN_DIGITS
    assert number.isascii()
    assert number.isdigit()
    assert number[:8] == at.astimezone(UTC8).strftime("%Y%m%d")
    assert (number[8:10], number[10:12], number[12:14]) == (f"{node:02d}", f"{cell:02d}", "99")
    assert int(number[14:]) == sequence
    assert cell_of(number) == cell


@pytest.mark.parametrize(
    "text", ["", "7", "2026010109109900000000x1", "2" * 23, "2" * 25, "٣" * 24, "-" + "2" * 23]
)
def test_another_text_names_no_cell(text: str) -> None:
    assert cell_of(text) is None


@given(INSTANTS, st.tuples(NODES, SEQUENCE, CELLS), st.tuples(NODES, SEQUENCE, CELLS))
def test_two_numbers_of_a_day_are_the_same_only_if_node_sequence_and_cell_are(
    at: datetime, one: tuple[int, int, int], other: tuple[int, int, int]
) -> None:
    assert (syssn(at, *one) == syssn(at, *other)) == (one == other)


def test_the_day_turns_at_midnight_in_beijing() -> None:
    midnight = datetime(2026, 1, 1, 16, 0, 0, tzinfo=UTC)
    assert syssn(midnight - timedelta(microseconds=1), 9, 1).startswith("2026010109")
    assert syssn(midnight, 9, 1).startswith("2026010209")


def test_the_sequence_wraps() -> None:
    at = datetime(2026, 1, 1, tzinfo=UTC)
    assert syssn(at, 1, SEQUENCES + 7) == syssn(at, 1, 7)
