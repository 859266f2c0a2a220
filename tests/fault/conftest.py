"""The states after a crash that one test has checked already."""

import pytest

from tests.support.crash_states import CrashStates


@pytest.fixture
def crash_states(pytestconfig: pytest.Config) -> CrashStates:
    return CrashStates(checks_all=pytestconfig.getoption("--crash-full"))
