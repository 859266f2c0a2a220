"""The environments of the third-party SDKs: a folder for each under `.sdk/`, built from its lock file and reused.

Each SDK has its own, since some install the same names, and none may mix with tael's dependencies.
`python -m tests.sdk.environments` builds all of them.
"""

import fcntl
import hashlib
import shutil
import subprocess
import sys
import venv
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from tests.support.commands import trusting_environment

HERE: Final = Path(__file__).parent
CACHE: Final = HERE.parents[1] / ".sdk"
INSTALL_LIMIT_S: Final = 240
PIP: Final = ("-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--retries", "1")
NPM: Final = ("npm", "ci", "--ignore-scripts", "--legacy-peer-deps", "--no-audit", "--no-fund", "--silent")


class NoEnvironment(Exception):
    """An SDK cannot be installed here; the message has the reason."""


@dataclass(frozen=True, slots=True)
class Environment:
    """The command that starts a driver, and its environment variables."""

    command: Sequence[str]
    variables: Mapping[str, str] = field(default_factory=dict)


def python_environment(name: str) -> Environment:
    """A virtual environment with the PyPI package. Raises NoEnvironment."""
    folder, lock = CACHE / name, HERE / name / "requirements.txt"
    python = str(folder / "bin" / "python")
    with _locked(folder, lock) as is_missing:
        if is_missing:
            venv.create(folder, with_pip=True)
            _run([python, *PIP, "--require-hashes", "-r", str(lock)], folder)
    return Environment([python, "-I", str(HERE / "driver.py")])


def node_environment(name: str) -> Environment:
    """A folder of modules with the npm package. Raises NoEnvironment."""
    if shutil.which("node") is None or shutil.which("npm") is None:
        raise NoEnvironment(f"{name} needs node and npm")
    folder, lock = CACHE / name, HERE / name / "package-lock.json"
    with _locked(folder, lock) as is_missing:
        if is_missing:
            folder.mkdir()
            for file in (lock, lock.with_name("package.json")):
                shutil.copy(file, folder)
            _run(NPM, folder)
    return Environment(["node", str(HERE / "driver.js")], {"NODE_PATH": str(folder / "node_modules")})


@contextmanager
def _locked(folder: Path, lock: Path) -> Iterator[bool]:
    """Yields whether the folder has to be built. Of several test workers one builds it, and the others wait.

    The stamp is written last, so an interrupted build, or one from another lock file, is built again.
    """
    CACHE.mkdir(exist_ok=True)
    stamp = folder / "made-from"
    spec = f"{hashlib.sha256(lock.read_bytes()).hexdigest()} {sys.version_info[:2]}"
    with open(CACHE / f"{folder.name}.lock", "w") as lock_file:
        fcntl.flock(lock_file, fcntl.LOCK_EX)
        is_missing = not stamp.exists() or stamp.read_text() != spec
        if is_missing:
            shutil.rmtree(folder, ignore_errors=True)
        yield is_missing
        if is_missing:
            stamp.write_text(spec)


def _run(command: Sequence[str], folder: Path) -> None:
    try:
        subprocess.run(
            command,
            cwd=folder,
            env=trusting_environment(),
            check=True,
            capture_output=True,
            text=True,
            timeout=INSTALL_LIMIT_S,
        )
    except subprocess.TimeoutExpired:
        raise NoEnvironment(f"{folder.name} was not installed within {INSTALL_LIMIT_S} s") from None
    except subprocess.CalledProcessError as failed:
        last = (failed.stderr.strip() or "no error message").splitlines()[-1]
        raise NoEnvironment(f"{folder.name} could not be installed: {last}") from None


def main() -> None:
    for name in ("wechatpy", "alipay"):
        python_environment(name)
    node_environment("wechatpay-axios-plugin")


if __name__ == "__main__":
    main()
