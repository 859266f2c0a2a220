"""Log lines that unauthenticated callers can cause are limited, and suppressed ones are counted."""

import pytest

from tael.base.security_log import (
    MAX_LINES,
    MAX_LINES_OF_ONE,
    WINDOW_S,
    Sample,
    network_of,
    shown_unknown,
)


class Watch:
    """A clock in seconds that a test moves."""

    def __init__(self) -> None:
        self.now_s = 0.0

    def __call__(self) -> float:
        return self.now_s


@pytest.fixture
def watch() -> Watch:
    return Watch()


def test_one_caller_gets_a_few_lines_in_a_window_and_others_are_not_hidden(watch: Watch) -> None:
    sample = Sample(watch)
    admitted = [sample.admit("app", "192.0.2.1") for _ in range(100)]
    assert admitted == [0] * MAX_LINES_OF_ONE + [None] * (100 - MAX_LINES_OF_ONE)
    assert sample.admit("app", "192.0.2.2") == 100 - MAX_LINES_OF_ONE
    watch.now_s = WINDOW_S
    assert sample.admit("app", "192.0.2.1") == 0


def test_many_callers_get_no_more_than_a_limit_in_a_window(watch: Watch) -> None:
    sample = Sample(watch)
    admitted = [sample.admit(f"192.0.2.{number}") for number in range(250)]
    assert admitted == [0] * MAX_LINES + [None] * (250 - MAX_LINES)
    watch.now_s = WINDOW_S + 1
    assert sample.admit("192.0.2.1") == 250 - MAX_LINES


@pytest.mark.parametrize(
    ("peer", "network"),
    [
        ("192.0.2.7", "192.0.2.7"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
        ("2001:db8:1:2::", "2001:db8:1:2::/64"),
        ("::ffff:192.0.2.7", "::ffff:192.0.2.7"),
        ("unix:", "unix:"),
        ("", ""),
    ],
)
def test_a_host_with_many_addresses_is_one_caller(peer: str, network: str) -> None:
    assert network_of(peer) == network


def test_an_unknown_appcode_that_may_be_a_key_is_not_shown_whole() -> None:
    assert shown_unknown("123456") == "123456"
    assert shown_unknown("0123456789abcde") == "0123456789abcde"
    assert shown_unknown("0123456789abcdef") == "01234567…"  # the shortest key that an app may have
