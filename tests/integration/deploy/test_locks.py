"""What is made from the locks of a deployment: its SBOMs, and the search for known vulnerabilities."""

import json
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import pytest
from werkzeug import Request, Response

from tests.architecture.test_distributions import ROOT, Pin, lock, project
from tests.support.commands import trusting_environment
from tests.support.local_server import local_server
from tests.support.ports import HOST, reserved_ports

AUDIT: Final = ROOT / ".ci" / "audit"
LIMIT_S: Final = 60
#: The names of SBOMs, as in the names of the locks.
SBOMS: Final = ("gateway", "traces")
#: An answer in the format of OSV, about a package that every deployment has.
VULNERABLE: Final = "starlette"
ADVISORY_ID: Final = "GHSA-test-test-test"
ADVISORY: Final = {
    "schema_version": "1.0.0",
    "id": ADVISORY_ID,
    "summary": "An advisory of a test",
    "affected": [
        {
            "package": {"ecosystem": "PyPI", "name": VULNERABLE},
            "ranges": [{"type": "ECOSYSTEM", "events": [{"introduced": "0"}, {"fixed": "999.1"}]}],
        }
    ],
}


def run(*command: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        command,
        cwd=ROOT,
        env=trusting_environment(),
        capture_output=True,
        text=True,
        timeout=LIMIT_S,
        check=False,
    )


# ---- make sbom -------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def sboms(tmp_path_factory: pytest.TempPathFactory) -> Mapping[str, Any]:
    """Without the tool's validation, which takes most of its time."""
    folder = tmp_path_factory.mktemp("sbom")
    done = run("make", "--old-file=install", "sbom", f"SBOM={folder}", "ARGS=--no-validate")
    assert done.returncode == 0, done.stderr
    assert sorted(path.name for path in folder.iterdir()) == [f"{name}.cdx.json" for name in SBOMS]
    return {name: json.loads((folder / f"{name}.cdx.json").read_text("utf-8")) for name in SBOMS}


def pin_of(component: Mapping[str, Any]) -> Pin:
    hashes = [each for reference in component["externalReferences"] for each in reference["hashes"]]
    assert {each["alg"] for each in hashes} == {"SHA-256"}
    return Pin(component["version"], frozenset(f"sha256:{each['content']}" for each in hashes))


@pytest.mark.parametrize("name", SBOMS)
def test_an_sbom_lists_the_packages_of_its_lock_with_versions_and_hashes(
    sboms: Mapping[str, Any], name: str
) -> None:
    components = sboms[name]["components"]
    assert {each["name"]: pin_of(each) for each in components} == lock(f"requirements-{name}.txt")
    assert len(components) == len(lock(f"requirements-{name}.txt"))
    assert all(each["purl"] == f"pkg:pypi/{each['name']}@{each['version']}" for each in components)


@pytest.mark.parametrize("name", SBOMS)
def test_an_sbom_is_about_this_version_of_tael(sboms: Mapping[str, Any], name: str) -> None:
    assert (sboms[name]["bomFormat"], sboms[name]["specVersion"]) == ("CycloneDX", "1.6")
    about = sboms[name]["metadata"]["component"]
    assert (about["name"], about["version"]) == ("tael", project("tael")["version"])


# ---- make audit ------------------------------------------------------------------------------------------------------


@dataclass
class Advisories:
    """A source with the interface of OSV: an answer for each package and version."""

    about: Mapping[str, Any] = field(default_factory=dict)
    asked: dict[str, str] = field(default_factory=dict)

    def answer(self, request: Request) -> Response:
        asked = json.loads(request.get_data())
        name = asked["package"]["name"]
        self.asked[name] = asked["version"]
        found = self.about.get(name)
        return Response(json.dumps({"vulns": [found]} if found else {}), content_type="application/json")


def audit(folder: Path, url: str, options: Sequence[str] = ()) -> "subprocess.CompletedProcess[str]":
    """An audit with the source at `url`. Its cache is in `folder`."""
    source = ("--vulnerability-service", "osv", "--osv-url", url, "--cache-dir", str(folder / "cache"))
    return run(str(AUDIT), *source, *options)


def test_an_audit_asks_about_every_package_of_a_deployment(tmp_path: Path) -> None:
    advisories = Advisories()
    with local_server(advisories.answer) as url:
        done = audit(tmp_path, url)
    assert (done.returncode, done.stdout) == (0, "No known vulnerabilities.\n")
    pins = {**lock("requirements-gateway.txt"), **lock("requirements-traces.txt")}
    assert advisories.asked == {name: pin.version for name, pin in pins.items()}


def test_an_audit_fails_and_names_a_known_vulnerability(tmp_path: Path) -> None:
    with local_server(Advisories({VULNERABLE: ADVISORY}).answer) as url:
        done = audit(tmp_path, url)
        ignoring = audit(tmp_path, url, ("--ignore-vuln", ADVISORY_ID))
    assert done.returncode == 1
    (line,) = [line for line in done.stdout.splitlines() if line.startswith(VULNERABLE)]
    assert line.split()[1:] == [lock("requirements-gateway.txt")[VULNERABLE].version, ADVISORY_ID, "999.1"]
    assert ignoring.returncode == 0


def test_an_audit_without_a_source_does_not_say_that_there_are_no_vulnerabilities(tmp_path: Path) -> None:
    with reserved_ports(1) as (nowhere,):
        done = audit(tmp_path, f"http://{HOST}:{nowhere}")
    assert (done.returncode, done.stdout) == (3, "")
    assert done.stderr.startswith("Not audited, no advisory source reachable: ")
    assert "Connection refused" in done.stderr
    assert len(done.stderr.splitlines()) == 1


def test_wrong_options_are_not_taken_for_a_source_that_is_unreachable() -> None:
    done = run(str(AUDIT), "--no-such-option")
    assert (done.returncode, done.stdout) == (2, "")
    assert "--no-such-option" in done.stderr


def test_an_audit_that_skips_a_package_is_none(tmp_path: Path) -> None:
    """A mirror of the index without advisories makes it skip all of them; here it skips the package of an address."""
    more = tmp_path / "requirements.txt"
    more.write_text(f"made-up @ https://{HOST}/made-up.tar.gz --hash=sha256:{'0' * 64}\n")
    with local_server(Advisories().answer) as url:
        done = audit(tmp_path, url, ("--requirement", str(more)))
    assert (done.returncode, done.stdout) == (3, "")
    assert "made-up" in done.stderr
