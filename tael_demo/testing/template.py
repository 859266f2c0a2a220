"""The files of a new instance, created once per version and then copied.

A first start runs initdb, every migration and the generation of many keys, which takes seconds; a copy does not. The
cache is $XDG_CACHE_HOME/tael-testing. One process at a time creates a template, any number may copy it.
"""

import fcntl
import hashlib
import json
import os
import shutil
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any, Final

import tael
from tael.cli.demo_folder import CLOCK, ENCRYPTION_KEY, POSTGRES
from tael.cli.processes import end, start
from tael_demo.embedded.server import EmbeddedPostgres
from tael_demo.testing.folders import new_folder

#: Files in an instance's folder, besides those that commands with `--data` read.
SANDBOX: Final = "sandbox"
CA_FILE: Final = "wechat_ca.pem"
APPS: Final = "apps.json"

SANDBOX_LIMIT_S: Final = 60.0
POLL_S: Final = 0.02
#: The most recently used templates are kept: environments with different versions may alternate on one machine.
MAX_KEPT: Final = 3


class SandboxNotReady(Exception):
    """The sandbox ended, or was not ready in time. The message contains the last line of its log."""


def copy_template(folder: Path, cells: int = 1) -> None:
    """Fill `folder` with the files of a new instance, whose database has so many cells.

    Raises EmbeddedPostgresError, SandboxNotReady, OSError."""
    cache = _cache()
    template = cache / f"{_version()}-{cells}"
    with _locked(cache / "lock", fcntl.LOCK_SH):
        if template.exists():
            _copy(template, folder)
            return
    with _locked(cache / "lock", fcntl.LOCK_EX):
        if not template.exists():
            _remove_unused(cache)
            _make(template, cells)
        _copy(template, folder)


def start_sandbox(folder: Path) -> "subprocess.Popen[bytes]":
    """Start the sandbox in `folder` on free ports; `sandbox_urls` waits until they are known."""
    environment = {**os.environ, "TAEL_CLOCK_FILE": str(folder / CLOCK)}
    arguments = ["-m", "tael_sandbox", "--port", "0", "--tls-port", "0", "--data", str(folder / SANDBOX)]
    _log(folder).unlink(missing_ok=True)
    return start(arguments, environment, log=_log(folder))


def sandbox_urls(folder: Path, sandbox: "subprocess.Popen[bytes]") -> tuple[str, str]:
    """The sandbox's URLs without and with TLS. Raises SandboxNotReady."""
    until = time.monotonic() + SANDBOX_LIMIT_S
    while True:
        log = _log(folder).read_text()
        for line in log.splitlines(keepends=True):
            if line.startswith('{"ready"') and line.endswith("\n"):
                greeting = json.loads(line)
                return greeting["http"], greeting["tls"]
        if sandbox.poll() is not None or time.monotonic() > until:
            raise SandboxNotReady(
                f"the sandbox did not start: {(log.splitlines() or ['its log is empty'])[-1]}"
            )
        time.sleep(POLL_S)


def _make(template: Path, cells: int) -> None:
    """Start everything once, stop it, and keep the files."""
    with new_folder() as folder:
        sandbox = start_sandbox(folder)
        try:
            with EmbeddedPostgres(folder) as postgres:
                from tael_demo.testing.seeding import seed_database

                seed_database(
                    folder, postgres.url, lambda: _accounts(sandbox_urls(folder, sandbox)[0]), cells
                )
        finally:
            end(sandbox)
        (folder / POSTGRES / "port").unlink()  # copies that run in parallel need ports of their own
        temporary = template.with_name(f"{template.name}.new")
        shutil.rmtree(temporary, ignore_errors=True)
        temporary.mkdir(mode=0o700)
        _copy_to(
            temporary, [folder / name for name in (POSTGRES, ENCRYPTION_KEY, CLOCK, SANDBOX, CA_FILE, APPS)]
        )
        temporary.rename(template)


def _accounts(sandbox_url: str) -> list[dict[str, Any]]:
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    with opener.open(f"{sandbox_url}/control/accounts", timeout=5) as answer:
        rows: list[dict[str, Any]] = json.load(answer)
    return rows


def _copy(template: Path, folder: Path) -> None:
    os.utime(template)
    _copy_to(folder, sorted(template.iterdir()))


def _copy_to(folder: Path, sources: Sequence[Path]) -> None:
    """Copy with `cp`, which keeps owners: PostgreSQL started by root runs as another user."""
    subprocess.run(["cp", "-a", *sources, folder], check=True)


def _cache() -> Path:
    home = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    cache = Path(home) / "tael-testing"
    cache.mkdir(mode=0o700, parents=True, exist_ok=True)
    return cache


def _version() -> str:
    """The key of a template: a hash of the sources, the Python environment and the user."""
    demo = Path(__file__).parents[1]
    packages = (Path(tael.__file__).parent, demo, demo.with_name("tael_sandbox"))
    digest = hashlib.sha256(f"{sys.version} {sys.prefix} {os.geteuid()}".encode())
    for folder in packages:
        for path in sorted([*folder.rglob("*.py"), *folder.rglob("*.sql")]):
            digest.update(f"{path.relative_to(folder)}\0".encode() + path.read_bytes())
    return digest.hexdigest()[:24]


@contextmanager
def _locked(path: Path, how: int) -> Iterator[None]:
    with closing(path.open("a")) as file:
        fcntl.flock(file, how)
        yield


def _remove_unused(cache: Path) -> None:
    """Remove the templates used longest ago, to make room for one more."""
    templates = sorted(
        (path for path in cache.iterdir() if path.is_dir()), key=lambda path: path.stat().st_mtime
    )
    for path in templates[: 1 - MAX_KEPT]:
        shutil.rmtree(path, ignore_errors=True)


def _log(folder: Path) -> Path:
    return folder / "sandbox.log"
