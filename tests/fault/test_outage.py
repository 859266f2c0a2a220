"""The database is stopped under load, started again, and frozen; `make outage` does the same for minutes."""

from pathlib import Path

import pytest

from tests.end_to_end.rig import free_port_block
from tests.soak.outage import run

DOWN_S = 3.0
FROZEN_S = 2.5
CROWD = 60


def test_while_the_database_is_down_all_calls_are_refused_and_nothing_is_lost(
    readable_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("TAEL_DATABASE_URL", raising=False)

    figures = run(DOWN_S, 1, free_port_block(), readable_folder, FROZEN_S, CROWD)

    assert figures.mismatches == []
    assert figures.http_500 == 0
    assert set(figures.while_down) == {"1112"}
    assert figures.answers["1112"] > sum(figures.while_down.values())  # merchants of the load too
    assert figures.answers["0000"] > 0
    assert figures.frozen["calls"] >= CROWD
