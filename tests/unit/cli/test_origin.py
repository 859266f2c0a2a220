"""Who runs a command, and from where, as the audit log has it."""

import os
import pwd
import socket

import pytest

from tael.cli.origin import origin_of_command
from tests.support.values import NOW


@pytest.fixture(autouse=True)
def _no_ssh_and_no_sudo(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("SUDO_USER", "SSH_CONNECTION", "LOGNAME", "USER"):
        monkeypatch.delenv(name, raising=False)


USER = pwd.getpwuid(os.getuid()).pw_name


def test_it_is_the_systems_user_whatever_the_environment_names(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("LOGNAME", "USER", "LNAME", "USERNAME"):
        monkeypatch.setenv(name, "another")
    origin = origin_of_command("app set", NOW)
    assert (origin.actor, origin.address) == (USER, socket.gethostname())
    assert (origin.action, origin.at) == ("tael app set", NOW)


def test_under_sudo_both_users_are_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SUDO_USER", "anna")
    assert origin_of_command("app set", NOW).actor == f"anna as {USER}"


def test_over_ssh_the_clients_address_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SSH_CONNECTION", "203.0.113.7 50022 192.0.2.1 22")
    assert origin_of_command("app set", NOW).address == f"{socket.gethostname()} from 203.0.113.7"
