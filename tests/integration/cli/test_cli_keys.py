"""`tael keys`: what an operator sees of the keys, which is never a key."""

import os
import time
from datetime import datetime, timedelta
from pathlib import Path

import psycopg
import pytest

from tael.base.key_file import read_key_file
from tael.base.key_ring import key_ring
from tael.operations.link_keys import accepted_for
from tests.support.operator import Operator, fill
from tests.support.store import ENCRYPTION_KEY, with_a_merchant

FIRST_ID = key_ring(ENCRYPTION_KEY).encrypting_id
HOUR_S = 3600


@pytest.fixture
def operator(database_url: str, tmp_path: Path) -> Operator:
    """With one key in a file, that nothing has changed for an hour."""
    fill(database_url, with_a_merchant)
    path = tmp_path / "keys"
    path.write_text(key_ring(ENCRYPTION_KEY).keys[0].secret.reveal())
    aged(path)
    return Operator(
        {"TAEL_DATABASE_URL": database_url, "TAEL_ENCRYPTION_KEY": "", "TAEL_ENCRYPTION_KEY_FILE": str(path)},
        tmp_path,
    )


def aged(path: Path) -> None:
    os.utime(path, (time.time() - HOUR_S,) * 2)


def states(operator: Operator) -> dict[str, tuple[str, int]]:
    rows = operator.run_json("keys", "list")["encryption_keys"]
    return {row["key_id"]: (row["state"], row["ciphertexts"]) for row in rows}


def test_a_rotation_from_the_first_key_to_its_removal(operator: Operator) -> None:
    path = operator.folder / "keys"
    assert states(operator) == {FIRST_ID: ("encrypts", 4)}
    new = operator.run_json("keys", "add")["key_id"]
    assert states(operator) == {FIRST_ID: ("encrypts", 4), new: ("unused", 0)}
    assert "unused" in operator.run("keys", "list")
    aged(path)
    done = operator.run_json("keys", "rotate")
    assert done == {
        "key_id": new,
        "previous_ids": [FIRST_ID],
        "is_new": True,
        "encrypted": 4,
        "missing_documents": 0,
        "unreadable": 0,
    }
    assert states(operator) == {new: ("encrypts", 4), FIRST_ID: ("decrypts", 0)}
    assert f"the key {new} encrypts" in operator.is_refused("keys", "remove", new, code=1)
    aged(path)
    assert operator.run_json("keys", "remove", FIRST_ID) == {"key_id": FIRST_ID, "removed": True}
    assert read_key_file(path).key_ids == (new,)
    logged = operator.run_json("audit", "list", "--kind", "encryption_key")
    assert {(entry["action"], entry["subject_id"]) for entry in logged} == {
        ("tael keys rotate", FIRST_ID),
        ("tael keys rotate", new),
        ("tael keys remove", FIRST_ID),
    }
    assert operator.app("app1").key.reveal() == "key-of-app1"


def test_no_command_prints_a_key(operator: Operator) -> None:
    shown = operator.run("keys", "add") + operator.run("keys", "list") + operator.run("keys", "rotate-links")
    keys = read_key_file(operator.folder / "keys").keys
    assert len(keys) == 2
    assert not [key for key in keys if key.secret.reveal() in shown or key.content.hex() in shown]


def test_link_keys_are_listed_with_the_time_until_which_they_are_accepted(operator: Operator) -> None:
    assert operator.run_json("keys", "list")["link_keys"] == []
    operator.run("keys", "rotate-links")
    done = operator.run_json("keys", "rotate-links")
    current, previous = operator.run_json("keys", "list")["link_keys"]
    assert (current["key_id"], current["accepted_until"]) == (done["key_id"], None)
    assert previous["accepted_until"] == done["previous_accepted_until"]
    until = datetime.fromisoformat(previous["accepted_until"])
    assert until - datetime.fromisoformat(current["created_at"]) == accepted_for() > timedelta(days=61)
    assert done["accepted_for_days"] == 61.04


def test_a_key_that_is_in_no_setting_is_listed_as_missing_and_cannot_be_rotated_away(
    operator: Operator,
) -> None:
    (operator.folder / "keys").write_text(key_ring(bytes(32)).keys[0].secret.reveal())
    assert states(operator)[FIRST_ID] == ("missing", 4)
    assert f"it lacks the key {FIRST_ID}" in operator.is_refused("app", "list", code=2)


def test_keys_in_the_variable_are_not_changed(operator: Operator) -> None:
    variable = Operator(
        operator.environment | {"TAEL_ENCRYPTION_KEY": (operator.folder / "keys").read_text()},
        operator.folder,
    )
    for command in (("add",), ("rotate",), ("remove", FIRST_ID)):
        assert "which only a restart changes" in variable.is_refused("keys", *command, code=1)


@pytest.mark.parametrize("content", [None, "short"])
def test_a_file_that_is_missing_or_broken_is_named(operator: Operator, content: str | None) -> None:
    (operator.folder / "keys").unlink()
    if content is not None:
        (operator.folder / "keys").write_text(content)
    for command in ("list", "add", "rotate"):
        assert "TAEL_ENCRYPTION_KEY" in operator.is_refused("keys", command, code=2)


def test_a_database_of_an_earlier_version_is_refused_in_one_line(operator: Operator) -> None:
    """Its ciphertexts had neither version nor key id."""
    with psycopg.connect(operator.environment["TAEL_DATABASE_URL"]) as connection:
        connection.execute("UPDATE app SET key_encrypted = substring(key_encrypted FROM 14)")
    assert "not in the format of this version; start a demo over with --fresh" in operator.is_refused(
        "app", "list", code=2
    )
