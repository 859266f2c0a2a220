"""The plugin `tael.testing` in separate sessions: the page's examples, workers, killed sessions, and failed starts."""

import contextlib
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Final

import pytest

from tael_demo.testing.folders import LOCK, PREFIX
from tael_demo.testing.instance import Instance
from tests.end_to_end.rig import ROOT, descendants, eventually, is_alive
from tests.support.commands import clean_environment

LIMIT_S: Final = 60
FIXTURES: Final = ("tael_gateway", "tael_wallets", "tael_clock")
BLOCK: Final = re.compile(r"^```python\n(.*?)^```", re.MULTILINE | re.DOTALL)
WRITES_FOLDER: Final = """
import os, pathlib, time
def test_where(tael_gateway, tmp_path_factory):
    here = pathlib.Path(os.environ["OUTPUT_FOLDER"])
    written = here / f"{os.getpid()}.part"
    written.write_text(str(tael_gateway.folder))
    written.rename(here / str(os.getpid()))  # whole: another process waits for it
"""
WAITS: Final = WRITES_FOLDER + "    time.sleep(100)\n"
TWO_MORE: Final = "\n".join(
    WRITES_FOLDER.replace("import os, pathlib, time", "").replace("test_where", f"test_where_{n}")
    for n in range(3)
)


def session(folder: Path, text: str, *options: str, **settings: str) -> "subprocess.Popen[str]":
    """Start pytest in a folder with one file of tests, as a user would."""
    (folder / "test_shop.py").write_text(text)
    (folder / "pytest.ini").write_text("[pytest]\nfilterwarnings = error\n")
    return subprocess.Popen(
        [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "-p", "no:asyncio", *options],
        cwd=folder,
        env=clean_environment() | {"OUTPUT_FOLDER": str(folder)} | settings,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def output_of(running: "subprocess.Popen[str]", code: int = 0) -> str:
    output, _ = running.communicate(timeout=LIMIT_S)
    assert running.returncode == code, output
    return output


def instance_folders(folder: Path) -> list[Path]:
    """The folders of the instances that the tests in `folder` used."""
    return [Path(file.read_text()) for file in folder.iterdir() if file.name.isdigit()]


def test_the_first_test_of_the_page_has_fifteen_lines_and_passes_where_a_conftest_names_the_plugin(
    tmp_path: Path,
) -> None:
    first = BLOCK.findall((ROOT / "docs" / "testing.md").read_text("utf-8"))[0]
    assert len(first.splitlines()) <= 15
    (tmp_path / "conftest.py").write_text('pytest_plugins = ["tael.testing"]\n')
    assert "1 passed" in output_of(session(tmp_path, first))


def test_every_example_of_the_page_passes(tmp_path: Path) -> None:
    first, *others = BLOCK.findall((ROOT / "docs" / "testing.md").read_text("utf-8"))
    assert f"{len(others) + 1} passed" in output_of(session(tmp_path, "\n".join([first, *others])))


def test_without_a_fixture_nothing_of_tael_is_imported(tmp_path: Path) -> None:
    text = """
import sys
PACKAGES = ("tael", "tael_demo", "tael_sandbox", "aiohttp", "asyncpg")
def test_nothing_is_there():
    ours = {name for name in sys.modules if name.split(".")[0] in PACKAGES}
    assert ours == {"tael_demo", "tael_demo.testing"}
"""
    assert "1 passed" in output_of(session(tmp_path, text))


def test_workers_have_an_instance_each_and_nothing_is_left(tmp_path: Path) -> None:
    output = output_of(session(tmp_path, WRITES_FOLDER + TWO_MORE, "-n", "2", "--dist", "each"))
    assert "8 passed" in output
    first, second = instance_folders(tmp_path)
    assert first != second
    assert not first.exists()
    assert not second.exists()


def test_a_killed_session_leaves_neither_programs_nor_files(tmp_path: Path) -> None:
    running = session(tmp_path, WAITS)
    (folder,) = eventually(lambda: instance_folders(tmp_path), bool, limit_s=LIMIT_S)
    below = descendants(running.pid)
    assert len(below) >= 3  # the gateway, PostgreSQL, the sandbox

    running.send_signal(signal.SIGKILL)
    running.communicate(timeout=LIMIT_S)

    left = eventually(lambda: {pid for pid in below if is_alive(pid)}, lambda alive: not alive)
    assert left == set(), [Path(f"/proc/{pid}/cmdline").read_text() for pid in left]
    assert eventually(folder.exists, lambda there: not there) is False


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_terminated_instance_leaves_neither_programs_nor_files(number: signal.Signals) -> None:
    instance = Instance.start()
    folder, below = Path(instance.info["folder"]), descendants(instance.child.pid)
    try:
        assert len(below) >= 2  # PostgreSQL, the sandbox
        assert (folder / "postgres").is_dir()

        instance.child.send_signal(number)
        assert instance.child.wait(LIMIT_S) == 0
    finally:
        instance.end()

    assert not folder.exists()
    assert [pid for pid in below if is_alive(pid)] == []


def test_an_instance_that_is_terminated_while_it_starts_leaves_no_files() -> None:
    with subprocess.Popen(
        [sys.executable, "-m", "tael_demo.testing.running"],
        env=clean_environment(),
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    ) as starting:
        (lock,) = eventually(lambda: locks_of(starting.pid), bool)
        starting.terminate()
        starting.wait(LIMIT_S)
    assert not lock.parent.exists()


def test_files_of_a_killed_instance_are_removed_by_the_next_one(tmp_path: Path) -> None:
    running = session(tmp_path, WAITS)
    try:
        (folder,) = eventually(lambda: instance_folders(tmp_path), bool, limit_s=LIMIT_S)
        (gateway,) = [pid for pid in descendants(running.pid) if b"tael_demo.testing.running" in command(pid)]
        os.kill(gateway, signal.SIGKILL)
    finally:
        running.kill()
        running.communicate(timeout=LIMIT_S)
    assert folder.exists()
    an_hour_ago = time.time() - 3600
    os.utime(folder, (an_hour_ago, an_hour_ago))
    (tmp_path / str(running.pid)).unlink()

    output_of(session(tmp_path, WRITES_FOLDER))
    assert not folder.exists()


def test_if_it_cannot_start_each_test_of_each_fixture_reports_so_in_one_line(tmp_path: Path) -> None:
    (tmp_path / "a_file").write_text("")
    text = "".join(
        f"def test_{name}_of_{fixture}({fixture}): pass\n"
        for fixture in FIXTURES
        for name in ("this", "that")
    )
    output = output_of(session(tmp_path, text, XDG_CACHE_HOME=str(tmp_path / "a_file")), code=1)
    assert f"{2 * len(FIXTURES)} errors" in output
    lines = [line for line in output.splitlines() if line.startswith("tael did not start: ")]
    assert len(lines) == 2 * len(FIXTURES)
    assert all(str(tmp_path / "a_file") in line for line in lines)
    assert "Traceback" not in output


def locks_of(pid: int) -> list[Path]:
    """The locks on instances' folders that a process holds."""
    opened = []
    for descriptor in Path(f"/proc/{pid}/fd").iterdir():
        with contextlib.suppress(OSError):  # closed meanwhile
            opened.append(Path(os.readlink(descriptor)))
    return [path for path in opened if path.name == LOCK and path.parent.name.startswith(PREFIX)]


def command(pid: int) -> bytes:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return b""
