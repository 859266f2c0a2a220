"""Errors are distinguished by the names of constraints in the migrations, also with Citus."""

import re
from pathlib import Path

import asyncpg
import pytest

import tael
from tael.db.constraints import violated_constraint
from tael.db.database import MIGRATIONS

#: PostgreSQL's limit, without an underscore and the number of a shard, which is a bigint. Longer names are shortened.
MAX_NAME_BYTES = 63 - 20


def violation(**fields: str) -> asyncpg.UniqueViolationError:
    error = asyncpg.UniqueViolationError("duplicate key value")
    for name, value in fields.items():
        setattr(error, name, value)
    return error


@pytest.mark.parametrize("reported", ["one_account_per_scene", "one_account_per_scene_102010"])
def test_a_constraint_has_the_name_of_the_migrations(reported: str) -> None:
    assert violated_constraint(violation(constraint_name=reported)) == "one_account_per_scene"


@pytest.mark.parametrize(
    "message",
    [
        'duplicate key value violates unique constraint "one_account_per_scene_102010"',
        'new row for relation "wallet_account_102010" violates check constraint "one_account_per_scene"',
        "doppelter Schlüsselwert verletzt Unique-Constraint »one_account_per_scene_102010«",
        '重复键违反唯一约束"one_account_per_scene_102010"',
    ],
)
def test_without_the_field_the_message_has_the_name(message: str) -> None:
    assert violated_constraint(violation(message=message)) == "one_account_per_scene"


def test_an_error_may_have_no_constraint() -> None:
    assert violated_constraint(violation()) == ""


def test_no_other_module_reads_the_name_as_it_is_reported() -> None:
    modules = Path(tael.__file__).parent.rglob("*.py")
    readers = [path.name for path in modules if "constraint_name" in path.read_text("utf-8")]
    assert readers == ["constraints.py"]


@pytest.mark.parametrize("path", sorted(MIGRATIONS.rglob("*.sql")), ids=lambda path: path.name)
def test_no_name_is_shortened_or_ends_like_that_of_a_shard(path: Path) -> None:
    names = re.findall(r"\b(?:CONSTRAINT|INDEX) (\w+)", path.read_text("utf-8"))
    assert names
    for name in names:
        assert len(name) <= MAX_NAME_BYTES
        assert not re.search(r"_\d+$", name)
