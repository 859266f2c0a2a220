"""What a command imports before it does anything: programs and operators wait for it with every call."""

import json
import subprocess
import sys
from typing import Any

import pytest
import typer

from tael.cli.app import COMMANDS, app

#: Slow to import; each belongs to commands that do something with it.
HEAVY = {
    "aiohttp",
    "asyncpg",
    "cryptography",
    "jinja2",
    "psycopg",
    "starlette",
    "structlog",
    "uvicorn",
    "yoyo",
    "importlib.metadata",  # to import, and to read the metadata of every installed package
    "msgspec",
}
#: Imports as `python -m tael.cli ARGUMENTS` does, and then says what is there.
LISTING = """
import contextlib, io, json, sys
from tael.cli.app import main
sys.argv = ["tael", *sys.argv[1:]]
with contextlib.redirect_stdout(io.StringIO()), contextlib.suppress(SystemExit):
    main()
print(json.dumps(sorted(sys.modules)))
"""


def imported_by(*arguments: str) -> set[str]:
    done = subprocess.run(
        [sys.executable, "-c", LISTING, *arguments], capture_output=True, text=True, check=True, timeout=60
    )
    return set(json.loads(done.stdout))


def test_the_list_of_commands_is_shown_without_importing_them() -> None:
    found = imported_by("--help")
    assert not found & HEAVY
    assert {name for name in found if name.startswith("tael")} <= {"tael", "tael.cli", "tael.cli.app"}


@pytest.mark.parametrize(
    ("module", "without"),
    [
        ("tael.cli.child", {"typer", "pydantic", "aiohttp", "starlette", "uvicorn"}),
        (
            "tael.cli.working",
            {"opentelemetry", "typer", "pydantic", "starlette", "uvicorn", "jinja2", "psycopg", "yoyo"},
        ),
        ("tael.cli.serving", {"opentelemetry", "typer", "pydantic", "tael.jobs.runner", "psycopg", "yoyo"}),
        ("tael.cli.apps", {"aiohttp", "starlette", "uvicorn", "jinja2", "psycopg", "yoyo"}),
    ],
)
def test_a_process_imports_its_own_part_only(module: str, without: set[str]) -> None:
    listing = f"import sys, {module}\nprint(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", listing], capture_output=True, text=True, check=True)
    assert not set(done.stdout.split()) & without


def test_each_line_of_the_list_is_the_commands_own() -> None:
    group: Any = typer.main.get_command(app)  # of Typer's own Click
    for name, entry in COMMANDS.items():
        own = " ".join(group.commands[name].help.partition("\n\n")[0].split())
        assert entry.help == own, name
