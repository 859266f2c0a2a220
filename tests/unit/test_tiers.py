"""The table at the end of a run: every test is counted once, in its folder's tier, with all its phases."""

from typing import Literal

import pytest

from tests.support.tiers import ORDER, TierTable


def a_report(
    nodeid: str, phase: Literal["setup", "call", "teardown"], seconds: float, *, is_skipped: bool = False
) -> pytest.TestReport:
    outcome: Literal["passed", "skipped"] = "skipped" if is_skipped else "passed"
    return pytest.TestReport(nodeid, ("", 0, ""), {}, outcome, None, phase, duration=seconds)


def lines_after(*reports: pytest.TestReport) -> list[list[str]]:
    table = TierTable()
    for report in reports:
        table.pytest_runtest_logreport(report)
    return [line.split() for line in table.lines()]


def test_a_test_is_counted_once_with_the_seconds_of_all_its_phases() -> None:
    test = "tests/unit/api/test_wire.py::test_it[a/b::c]"
    lines = lines_after(
        a_report(test, "setup", 1.0), a_report(test, "call", 0.5), a_report(test, "teardown", 0.25)
    )
    assert lines[1:] == [["unit", "1", "0", "1.8"], ["all", "1", "0", "1.8"]]


def test_a_skipped_test_is_counted_as_skipped_too() -> None:
    lines = lines_after(
        a_report("tests/browser/test_shop.py::test_it", "setup", 0.0, is_skipped=True),
        a_report("tests/browser/test_shop.py::test_it", "teardown", 0.0),
        a_report("tests/browser/test_shop.py::test_that", "call", 0.0),
    )
    assert lines[1] == ["browser", "2", "1", "0.0"]


def test_tiers_are_in_one_order_whatever_ran_first_and_the_sum_is_last() -> None:
    tests = [f"tests/{tier}/test_some.py::test_it" for tier in ("of_tomorrow", *reversed(ORDER))]
    lines = lines_after(*(a_report(test, "call", 1.0) for test in tests))
    assert [line[0] for line in lines] == ["tier", *ORDER, "of_tomorrow", "all"]
    assert lines[-1] == ["all", str(len(ORDER) + 1), "0", f"{len(ORDER) + 1:.1f}"]


def test_nothing_outside_the_tiers_is_counted() -> None:
    assert lines_after(a_report("other/unit/test_some.py::test_it", "call", 1.0))[1:] == [
        ["all", "0", "0", "0.0"]
    ]
