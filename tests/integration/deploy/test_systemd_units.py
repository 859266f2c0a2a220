"""The units in deploy: valid for systemd, confined, and in agreement with the program that they start."""

import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import pytest
import typer.main

from tael.cli.app import app
from tael.cli.deployment import refuse_demo_settings
from tael.cli.serving import SPARE_FILES, STOP_LIMIT_S
from tael.config import HttpLimits, read_settings
from tests.integration.cli.test_listeners import ROOT, started
from tests.integration.cli.test_ops_port import ask, settings_with
from tests.support.ports import HOST, reserved_ports

FOLDER: Final = ROOT / "deploy"
UNITS: Final = sorted(FOLDER.glob("*.service"))
INSTALLED: Final = "/opt/tael"
#: "OK" in systemd's own words is below 5.0.
MAX_EXPOSURE: Final = 30  #: in tenths
CONFINED: Final = "tests.support.confined"


@pytest.fixture(params=UNITS, ids=lambda path: path.name)
def unit(request: pytest.FixtureRequest) -> Path:
    path: Path = request.param
    return path


@pytest.fixture(scope="module")
def analyze() -> str:
    found = shutil.which("systemd-analyze")
    if found is None:
        pytest.skip("systemd-analyze is not installed")
    return found


def settings_of(unit: Path) -> dict[str, list[str]]:
    """The settings of its section [Service], each with its values."""
    section = unit.read_text("utf-8").partition("[Service]\n")[2].partition("\n[")[0]
    found: dict[str, list[str]] = {}
    for name, value in re.findall(r"^(\w+)=(.*)$", section, re.MULTILINE):
        found.setdefault(name, []).append(value)
    return found


def command_of(unit: Path) -> list[str]:
    (line,) = settings_of(unit)["ExecStart"]
    return shlex.split(line)


def run(*arguments: str | Path) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(arguments, cwd=ROOT, capture_output=True, text=True, timeout=60)


# ---- by systemd's own tools ------------------------------------------------------------------------------------------


def test_systemd_finds_nothing_wrong_in_the_units(analyze: str, tmp_path: Path) -> None:
    """With the programs of this checkout in place of those of an installation, which must exist."""
    for each in UNITS:
        text = each.read_text("utf-8").replace(f"{INSTALLED}/.venv/bin", str(Path(sys.executable).parent))
        (tmp_path / each.name).write_text(text)
    done = run(analyze, "verify", *(tmp_path / each.name for each in UNITS))
    assert (done.returncode, done.stdout + done.stderr) == (0, "")


def test_a_unit_is_confined(analyze: str, unit: Path) -> None:
    done = run(analyze, "security", "--offline=true", f"--threshold={MAX_EXPOSURE}", unit)
    assert done.returncode == 0, done.stdout.splitlines()[-1]


def test_systemd_can_create_the_user() -> None:
    sysusers = shutil.which("systemd-sysusers")
    if sysusers is None:
        pytest.skip("systemd-sysusers is not installed")
    done = run(sysusers, "--dry-run", FOLDER / "tael.sysusers.conf")
    assert done.returncode == 0, done.stderr
    named = re.findall(r"^u (\w+) ", (FOLDER / "tael.sysusers.conf").read_text("utf-8"), re.MULTILINE)
    assert {user for each in UNITS for user in settings_of(each)["User"]} == set(named)


# ---- with the program ------------------------------------------------------------------------------------------------


def test_the_command_of_a_unit_has_options_that_exist(unit: Path) -> None:
    program, name, *arguments = command_of(unit)
    assert program == f"{INSTALLED}/.venv/bin/tael"
    assert unit.stem == f"tael-{name}"
    group: Any = typer.main.get_command(app)  # of Typer's own Click
    group.commands[name].make_context(name, arguments)


def test_a_process_is_killed_only_after_its_time_to_finish_its_work() -> None:
    serve, work = (settings_of(FOLDER / f"tael-{name}.service") for name in ("serve", "work"))
    assert int(serve["TimeoutStopSec"][0]) > STOP_LIMIT_S
    assert serve["KillMode"] == ["mixed"]
    assert int(work["TimeoutStopSec"][0]) > STOP_LIMIT_S


def test_a_process_may_open_as_many_files_as_it_has_connections() -> None:
    (limit,) = settings_of(FOLDER / "tael-serve.service")["LimitNOFILE"]
    assert int(limit) >= HttpLimits().max_connections + SPARE_FILES


def test_the_sample_of_settings_is_complete_with_the_secrets_and_contains_none(tmp_path: Path) -> None:
    environment = dict(assignments())
    assert not {"TAEL_DATABASE_URL", "TAEL_ENCRYPTION_KEY"} & environment.keys()
    for name, value in settings_with("postgresql://tael_gateway:secret@db.example/tael").items():
        path = tmp_path / Path(environment[f"{name}_FILE"]).name
        path.write_text(value)
        environment[f"{name}_FILE"] = str(path)
    assert environment["TAEL_DOCUMENTS"] == "/var/lib/tael/documents"

    settings = read_settings(environment | {"TAEL_DOCUMENTS": str(tmp_path)})

    refuse_demo_settings(settings, allow_http=False)


@pytest.mark.parametrize("name", ["serve", "work"])
def test_systemd_creates_the_folder_of_documents(name: str) -> None:
    folders = settings_of(FOLDER / f"tael-{name}.service")["StateDirectory"][0].split()
    assert f"/var/lib/{folders[-1]}" == dict(assignments())["TAEL_DOCUMENTS"]


def assignments() -> Iterator[tuple[str, str]]:
    for line in (FOLDER / "tael.env").read_text("utf-8").splitlines():
        if line and not line.startswith("#"):
            name, _, value = line.partition("=")
            yield name, value


def test_the_encryption_keys_are_read_from_their_own_file_not_from_a_copy(unit: Path) -> None:
    """A rotation replaces the file, and a credential is a copy that was made at the start."""
    settings = settings_of(unit)
    assert not [each for each in settings.get("LoadCredential", ()) if "keys" in each]
    assert not [each for each in settings.get("Environment", ()) if "ENCRYPTION" in each]
    assert dict(assignments())["TAEL_ENCRYPTION_KEY_FILE"].startswith("/etc/tael/")


def test_only_the_migration_has_the_password_of_the_owner(unit: Path) -> None:
    assert ("owner.url" in unit.read_text("utf-8")) == (unit.stem == "tael-migrate")


@pytest.mark.parametrize("name", ["serve", "work"])
def test_the_program_runs_without_memory_that_is_writable_and_executable(name: str) -> None:
    if run(sys.executable, "-m", CONFINED).returncode:
        pytest.skip("this kernel has no PR_SET_MDWE")
    assert settings_of(FOLDER / f"tael-{name}.service")["MemoryDenyWriteExecute"] == ["yes"]
    with reserved_ports(3) as (port, ops, nowhere):
        public = ["--port", str(port)] if name == "serve" else []
        command = [CONFINED, "tael.cli", name, *public, "--ops-port", str(ops), "--allow-http"]
        with started(ops, command, settings_with(f"postgresql://nobody@{HOST}:{nowhere}/nothing")):
            assert ask(ops, "/readyz")[0] == 503
            assert ask(ops, "/metrics")[0] == 200
