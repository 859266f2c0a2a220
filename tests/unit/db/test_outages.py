"""Log lines about a database that cannot serve: one for each kind in an interval, however many kinds there are."""

import pytest
from structlog.testing import capture_logs

from tael.db import outages
from tael.db.database import StoreUnavailable
from tael.db.outages import MAX_KINDS, log_unavailable


@pytest.fixture(autouse=True)
def _one_long_interval(monkeypatch: pytest.MonkeyPatch) -> None:
    """As if everything in a test happened at once."""
    outages._logged.clear()
    monkeypatch.setattr(outages, "LOG_INTERVAL_S", 3600.0)


def log_lines(*calls: str) -> list[str]:
    with capture_logs() as lines:
        for call in calls:
            log_unavailable(StoreUnavailable("the database does not answer"), call=call)
    return [line["call"] for line in lines]


def test_the_same_reason_and_place_is_logged_once_in_an_interval() -> None:
    assert log_lines("payment", "query", "payment", "payment", "query") == ["payment", "query"]


def test_many_kinds_do_not_bring_back_one_that_goes_on() -> None:
    others = [f"other {number}" for number in range(3 * MAX_KINDS)]
    mixed = [call for other in others for call in ("payment", other)]
    assert log_lines(*mixed) == ["payment", *others]


def test_the_next_line_says_how_many_were_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    log_lines("payment", "payment", "payment")
    monkeypatch.setattr(outages, "LOG_INTERVAL_S", 0.0)
    with capture_logs() as lines:
        log_unavailable(StoreUnavailable("the database does not answer"), call="payment")
    assert [line["omitted"] for line in lines] == [2]
