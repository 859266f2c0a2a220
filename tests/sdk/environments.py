"""The environments of the third-party SDKs: a folder for each under `.sdk/`, built from its lock file and reused.

Each SDK has its own, since some install the same names, and none may mix with tael's dependencies.
`python -m tests.sdk.environments` builds all of them. SDKs in PHP and Ruby, for which this installs nothing, are used
from a folder that the user names.
"""

import fcntl
import hashlib
import os
import shutil
import subprocess
import sys
import venv
from collections.abc import Callable, Iterator, Mapping, Sequence
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
#: `readonly` refuses a module that go.sum does not name; `local` downloads no other Go.
GO: Final = ("go", "build", "-mod=readonly", "-buildvcs=false", "-o", "driver", ".")
GO_VARIABLES: Final = {"GOTOOLCHAIN": "local", "GOWORK": "off", "GOFLAGS": ""}
MAVEN: Final = ("mvn", "--quiet", "--batch-mode", "dependency:copy-dependencies")
#: Without the optimizing compiler a driver's first call takes half of the time, and it makes too few to need it.
JAVA: Final = ("java", "-XX:TieredStopAtLevel=1")


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
    _require(name, "node", "npm")
    folder, lock = CACHE / name, HERE / name / "package-lock.json"
    with _locked(folder, lock) as is_missing:
        if is_missing:
            _copy(folder, lock, lock.with_name("package.json"))
            _run(NPM, folder)
    return Environment(
        ["node", str(HERE / "driver.js"), str(HERE / name / "sdk.js")],
        {"NODE_PATH": str(folder / "node_modules")},
    )


def redirected_node_environment(name: str) -> Environment:
    """For an SDK that has the wallet's host in its code. Requires SANDBOX_TLS. Raises NoEnvironment."""
    made = node_environment(name)
    node, *rest = made.command
    return Environment([node, "--require", str(HERE / "redirect.js"), *rest], made.variables)


def go_environment(name: str) -> Environment:
    """The driver, compiled with the Go module. Raises NoEnvironment."""
    _require(name, "go")
    folder, own = CACHE / name, HERE / name
    sources = [own / "go.sum", own / "go.mod", own / "sdk.go", HERE / "driver.go"]
    with _locked(folder, *sources) as is_missing:
        if is_missing:
            _copy(folder, *sources)
            _run(GO, folder, GO_VARIABLES)
    return Environment([str(folder / "driver")])


def java_environment(name: str) -> Environment:
    """The driver, compiled with the Maven artifact. Raises NoEnvironment."""
    _require(name, "java", "javac", "mvn")
    folder, own = CACHE / name, HERE / name
    drivers = [own / "Driver.java", HERE / "Trust.java"]
    sources = [own / "jars.sha256", own / "pom.xml", *drivers]
    jars = str(folder / "jars" / "*")
    with _locked(folder, *sources) as is_missing:
        if is_missing:
            _copy(folder, *sources)
            _run(MAVEN, folder)
            check_jars(folder)
            _run(["javac", "-d", "classes", "-cp", jars, *(file.name for file in drivers)], folder)
    return Environment([*JAVA, "-cp", f"{folder / 'classes'}{os.pathsep}{jars}", "Driver"])


def php_environment(name: str) -> Environment:
    """The folder of Composer with the package, from TAEL_SDK_PHP. Raises NoEnvironment."""
    tree = _named_tree(name, "TAEL_SDK_PHP", "php")
    return Environment(
        ["php", str(HERE / "driver.php"), str(HERE / name.replace("/", "-") / "sdk.php"), str(tree)]
    )


def ruby_environment(name: str) -> Environment:
    """The folder of gems with the SDK, from TAEL_SDK_RUBY. Raises NoEnvironment."""
    tree = _named_tree(name, "TAEL_SDK_RUBY", "ruby")
    command = ["ruby", str(HERE / "driver.rb"), str(HERE / name.replace("/", "-") / "sdk.rb")]
    return Environment(command, {"GEM_HOME": str(tree)})


def _named_tree(name: str, variable: str, program: str) -> Path:
    tree = os.environ.get(variable, "")
    if not tree:
        raise NoEnvironment(f"{name} runs from a folder that {variable} names, which is not set")
    if not Path(tree).is_dir():
        raise NoEnvironment(f"{name} runs from the folder {tree} of {variable}, which does not exist")
    _require(name, program)
    return Path(tree).resolve()


def _require(name: str, *programs: str) -> None:
    missing = [program for program in programs if shutil.which(program) is None]
    if missing:
        raise NoEnvironment(f"{name} needs {' and '.join(missing)}")


def _copy(folder: Path, *files: Path) -> None:
    folder.mkdir()
    for file in files:
        shutil.copy(file, folder)


def check_jars(folder: Path) -> None:
    """Maven verifies a download with a checksum from the same server, so the jars are compared with ours."""
    pinned = dict(line.split()[::-1] for line in (folder / "jars.sha256").read_text().splitlines())
    received = {jar.name: hashlib.sha256(jar.read_bytes()).hexdigest() for jar in folder.glob("jars/*")}
    if received != pinned:
        changed = sorted({name for name, _ in received.items() ^ pinned.items()})
        raise NoEnvironment(f"{folder.name} has other jars than its lock file: {', '.join(changed)}")


@contextmanager
def _locked(folder: Path, *sources: Path) -> Iterator[bool]:
    """Yields whether the folder has to be built. Of several test workers one builds it, and the others wait.

    The stamp is written last, so an interrupted build, or one from other sources, is built again.
    """
    CACHE.mkdir(exist_ok=True)
    stamp = folder / "made-from"
    read = b"\0".join(source.read_bytes() for source in sources)
    spec = f"{hashlib.sha256(read).hexdigest()} {sys.version_info[:2]}"
    with open(CACHE / f"{folder.name}.lock", "w") as lock_file:
        fcntl.flock(lock_file, fcntl.LOCK_EX)
        is_missing = not stamp.exists() or stamp.read_text() != spec
        if is_missing:
            shutil.rmtree(folder, ignore_errors=True)
        yield is_missing
        if is_missing:
            stamp.write_text(spec)


def _run(command: Sequence[str], folder: Path, variables: Mapping[str, str] | None = None) -> None:
    try:
        subprocess.run(
            command,
            cwd=folder,
            env=trusting_environment() | dict(variables or {}),
            check=True,
            capture_output=True,
            text=True,
            timeout=INSTALL_LIMIT_S,
        )
    except subprocess.TimeoutExpired:
        raise NoEnvironment(f"{folder.name} was not installed within {INSTALL_LIMIT_S} s") from None
    except subprocess.CalledProcessError as failed:
        reason = _reason(failed.stdout, failed.stderr)
        raise NoEnvironment(f"{folder.name} could not be installed: {reason}") from None


def _reason(output: str, errors: str) -> str:
    """The last line of the errors; of Maven, which prints them to its output, the first."""
    printed = [line for line in output.splitlines() if line.startswith("[ERROR]")]
    return (errors.strip().splitlines()[-1:] or printed[:1] or ["no error message"])[0]


#: How each SDK is installed.
MAKERS: Final[Mapping[str, Callable[[str], Environment]]] = {
    "wechatpy": python_environment,
    "alipay": python_environment,
    "wechatpay-axios-plugin": node_environment,
    "tenpay": redirected_node_environment,
    "gopay": go_environment,
    "silenceper-wechat": go_environment,
    "weixin-java-pay": java_environment,
    "wxpay-sdk": java_environment,
}


def main() -> None:
    for name, make in MAKERS.items():
        try:
            make(name)
        except NoEnvironment as reason:
            print(f"{name}: not installed, its tests are skipped: {reason}", file=sys.stderr)


if __name__ == "__main__":
    main()
