"""The private PostgreSQL of a demo or a small shop: starts and stops with its process, keeps its data in DIR.

Commands with `--data DIR` find a running server with `tael/cli/demo_folder.py`. The server is a direct child that the
kernel signals to stop when the thread that started it ends, however that happens, so none is left behind. DIR/postgres
contains: lock (held while it runs), password, port, url (while it runs), log, and the cluster, or in `place` the path
of the folder where root's server keeps the cluster.
"""

import contextlib
import fcntl
import os
import secrets
import shutil
import signal
import socket
import subprocess
import threading
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import TracebackType
from typing import IO, Final, Self

from tael.cli.demo_folder import LOCK_FILE, POSTGRES, URL_FILE
from tael_demo.embedded import cluster as postgres_cluster
from tael_demo.embedded.binaries import EmbeddedPostgresError
from tael_demo.embedded.child import launch
from tael_demo.embedded.cluster import POLL_S, Cluster, write_private

__all__ = ["EmbeddedPostgres", "EmbeddedPostgresError", "emptied"]

FAST_STOP_LIMIT_S: Final = 20.0  #: fast shutdown: roll back, write a checkpoint, exit
QUICK_STOP_LIMIT_S: Final = 5.0  #: immediate shutdown; the next start recovers
PORT_ATTEMPTS: Final = 3  #: another process may take the port between our check and the server's start
LOCK_ATTEMPTS: Final = 5  #: a reader of the folder holds a free lock for an instant
LOG_LIMIT_BYTES: Final = 5_000_000
NO_PORT: Final = "could not create any TCP/IP sockets"


class EmbeddedPostgres:
    """A PostgreSQL server of our own on the data in `folder`.

    >>> with EmbeddedPostgres(Path("data")) as postgres:
    ...     url = postgres.url

    `start` blocks (0.1 s, 1 to 2 s the first time, longer during recovery), so call it before an event loop runs, and
    in the main thread of a long-running process, since the server stops with the thread.
    """

    def __init__(self, folder: Path, settings: Mapping[str, str] | None = None) -> None:
        """`settings` are PostgreSQL's, in addition to those of a demo."""
        self._settings = dict(settings or {})
        self._keep = folder.absolute() / POSTGRES
        self._child: subprocess.Popen[str] | None = None
        self._lock: int | None = None
        self._socket_folder: Path | None = None
        self._url: str | None = None

    def __repr__(self) -> str:
        return f"EmbeddedPostgres({str(self._keep.parent)!r}, pid={self.pid})"

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    @property
    def pid(self) -> int | None:
        """The server's process id, or None if it is not running."""
        return self._child.pid if self._child is not None and self._child.poll() is None else None

    @property
    def url(self) -> str:
        """The URL of the running server, with the password."""
        if self._url is None:
            raise EmbeddedPostgresError(f"The PostgreSQL of {self._keep.parent} is not running.")
        return self._url

    def start(self) -> str:
        """Start the server, creating the database the first time; returns its URL."""
        if threading.current_thread() is not threading.main_thread():
            raise RuntimeError("EmbeddedPostgres.start: the server would stop when this thread ends")
        if self._lock is not None:
            raise EmbeddedPostgresError(f"The PostgreSQL of {self._keep.parent} is already started.")
        try:
            self._lock = _lock(_make_folder(self._keep))
            (self._keep / URL_FILE).unlink(missing_ok=True)
            self._url = self._start_locked()
        except PermissionError as error:
            self.stop()
            raise EmbeddedPostgresError(
                f"{self._keep.parent} belongs to another user: {error.filename} cannot be used."
            ) from error
        except BaseException:
            self.stop()
            raise
        return self._url

    def stop(self) -> None:
        """Stop the server, by force if necessary, and wait until it has exited. Idempotent."""
        if self._child is not None:
            _end(self._child)
            self._child = None
        self._url = None
        if self._socket_folder is not None:
            shutil.rmtree(self._socket_folder, ignore_errors=True)
            self._socket_folder = None
        if self._lock is not None:
            (self._keep / URL_FILE).unlink(missing_ok=True)
            os.close(self._lock)
            self._lock = None

    def _start_locked(self) -> str:
        cluster = postgres_cluster.cluster_of(self._keep, os.geteuid())
        with _open_log(self._keep) as log:
            log_size = os.fstat(log.fileno()).st_size
            try:
                password = _password(cluster, self._keep, log.fileno())
                postgres_cluster.wait_until_free(cluster)
                port = self._serve(cluster, log.fileno())
            except EmbeddedPostgresError as error:
                last_lines = _last_lines(self._keep / "log", log_size)
                raise EmbeddedPostgresError("\n".join([str(error), *last_lines])) from error
        url = f"postgresql://tael:{password}@127.0.0.1:{port}/tael"
        write_private(self._keep / URL_FILE, f"{url}\n")
        return url

    def _serve(self, cluster: Cluster, log: int) -> int:
        """Start the server on a free port and wait until it accepts connections; returns the port."""
        self._socket_folder = postgres_cluster.empty_socket_folder(cluster)
        for _ in range(PORT_ATTEMPTS):
            port = _free_port(self._keep)
            postgres_cluster.configure(cluster, port, self._socket_folder, self._settings)
            log_size = os.fstat(log).st_size
            command = (cluster.binaries.program("postgres"), "-D", cluster.folder)
            self._child = launch(command, uid=cluster.uid, gid=cluster.gid, output=log)
            if _wait_until_ready(cluster, self._child):
                write_private(self._keep / "port", f"{port}\n")
                return port
            if not any(NO_PORT in line for line in _last_lines(self._keep / "log", log_size)):
                raise EmbeddedPostgresError(
                    f"PostgreSQL did not start (exit code {self._child.returncode}); its last log lines:"
                )
        raise EmbeddedPostgresError("PostgreSQL found no free port; its last log lines:")


@contextlib.contextmanager
def emptied(folder: Path) -> Iterator[None]:
    """Lock `folder` during the block; remove its database afterwards, unless the block fails.

    Raises EmbeddedPostgresError if a server is running.
    """
    keep = folder.absolute() / POSTGRES
    lock = _lock(_make_folder(keep))
    try:
        yield
        postgres_cluster.remove(keep, os.geteuid())
        for path in keep.iterdir():
            if path.name != LOCK_FILE:
                shutil.rmtree(path) if path.is_dir() else path.unlink()
    finally:
        os.close(lock)


def _make_folder(keep: Path) -> Path:
    if not keep.is_dir():
        keep.mkdir(parents=True, exist_ok=True)
        keep.chmod(
            0o711
        )  # root's unprivileged server must pass through; the files inside have modes of their own
    return keep


def _lock(keep: Path) -> int:
    """Lock the folder. The kernel releases the lock when this process ends; children do not inherit it."""
    descriptor = os.open(keep / LOCK_FILE, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    postgres_cluster.give_to_owner_of(keep, descriptor)
    for _ in range(LOCK_ATTEMPTS):
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return descriptor
        except BlockingIOError:
            time.sleep(POLL_S)
    os.close(descriptor)
    raise EmbeddedPostgresError(
        f"{keep.parent} is in use: another tael runs on it. Stop that one, or use another folder."
    )


def _open_log(keep: Path) -> IO[bytes]:
    """Open the log for appending; an oversized one is renamed to `log.1`."""
    path = keep / "log"
    with contextlib.suppress(FileNotFoundError):
        if path.lstat().st_size > LOG_LIMIT_BYTES:
            path.rename(keep / "log.1")
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    postgres_cluster.give_to_owner_of(keep, descriptor)
    return os.fdopen(descriptor, "rb+", buffering=0)


def _last_lines(log: Path, since: int, count: int = 10) -> list[str]:
    with log.open("rb") as file:
        file.seek(since)
        return file.read().decode(errors="replace").splitlines()[-count:]


def _password(cluster: Cluster, keep: Path, log: int) -> str:
    """The password of the role `tael`; the first time, it is created together with the cluster."""
    path = keep / "password"
    if cluster.folder.exists():
        if not path.exists():
            raise EmbeddedPostgresError(f"{path} is missing; without it {cluster.folder} cannot be used.")
        return path.read_text().strip()
    password = secrets.token_urlsafe(24)  # letters, digits, - and _: safe in a URL and in quotes
    write_private(path, f"{password}\n")
    postgres_cluster.create(cluster, password, log)
    return password


def _free_port(keep: Path) -> int:
    """The previous port, so that clients reconnect; another one if it is taken."""
    with contextlib.suppress(FileNotFoundError, ValueError):
        previous = int((keep / "port").read_text())
        with contextlib.suppress(OSError), _bound(previous):
            return previous
    with _bound(0) as free:
        port: int = free.getsockname()[1]
        return port


def _bound(port: int) -> socket.socket:
    return socket.create_server(("127.0.0.1", port))  # with SO_REUSEADDR, as the server uses


def _wait_until_ready(cluster: Cluster, child: subprocess.Popen[str]) -> bool:
    """Wait without a time limit, since recovery may take long. False if the server exited."""
    while child.poll() is None:
        if postgres_cluster.is_ready(cluster, child.pid):
            return True
        time.sleep(POLL_S)
    return False


def _end(child: subprocess.Popen[str]) -> None:
    for sign, limit_s in ((signal.SIGINT, FAST_STOP_LIMIT_S), (signal.SIGQUIT, QUICK_STOP_LIMIT_S)):
        child.send_signal(sign)
        with contextlib.suppress(subprocess.TimeoutExpired):
            child.wait(limit_s)
            return
    child.kill()
    child.wait()
