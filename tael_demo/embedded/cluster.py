"""The private PostgreSQL's cluster: its location, its creation, and waiting until no other server uses it.

The caller holds the lock on the folder. A cluster is created in a temporary folder and renamed, so an existing one is
complete. Only the role `tael` can log in, with a password; the superuser has none and cannot.
"""

import contextlib
import os
import pwd
import secrets
import shutil
import subprocess
import tempfile
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from tael_demo.embedded.binaries import (
    SHARED_FOLDER,
    Binaries,
    EmbeddedPostgresError,
    binaries_for,
    can_enter,
    shared_folder,
    wheel_binaries,
)
from tael_demo.embedded.child import launch

UNPRIVILEGED_USER: Final = "nobody"
LAST_SERVER_LIMIT_S: Final = 30.0  #: how long a server whose parent died may take to exit
POLL_S: Final = 0.02
MAX_SOCKET_FOLDER: Final = 107 - len("/.s.PGSQL.65535")  #: the kernel's limit for a socket's path

#: PostgreSQL's default durability, set explicitly because payments depend on it.
SETTINGS: Final = """\
# Written by tael at every start; changes are lost.
listen_addresses = '127.0.0.1'
port = {port}
unix_socket_directories = '{socket_folder}'
unix_socket_permissions = 0700
max_connections = 100
shared_buffers = 128MB
fsync = on
synchronous_commit = on
full_page_writes = on
min_wal_size = 80MB
max_wal_size = 1GB
password_encryption = 'scram-sha-256'
timezone = 'UTC'
log_timezone = 'UTC'
cluster_name = 'tael'
"""

#: Any role with a password, since `tael` may create roles. The superuser has none.
HBA_RULES: Final = """\
local all all scram-sha-256
host  all all 127.0.0.1/32 scram-sha-256
"""

#: For PostgreSQL's single-user mode, one statement per line. The password is passed on stdin, never on a command line.
#: CREATEDB and CREATEROLE are for tests, which create databases and roles; the grants are for the operator.
INITIAL_STATEMENTS: Final = """\
CREATE ROLE tael LOGIN CREATEDB CREATEROLE PASSWORD '{password}'
GRANT pg_monitor, pg_checkpoint TO tael
CREATE DATABASE tael OWNER tael
"""


@dataclass(frozen=True, slots=True)
class Cluster:
    """A cluster on disk, the user that runs it, and the programs."""

    home: Path
    uid: int
    gid: int
    binaries: Binaries

    @property
    def folder(self) -> Path:
        return self.home / "cluster"


def cluster_of(keep: Path, uid_now: int) -> Cluster:
    """The cluster of `keep`, existing or not; in another folder if its user cannot enter `keep`."""
    place = keep / "place"
    if place.exists():
        home = Path(place.read_text().strip())
        if not home.is_dir():
            raise EmbeddedPostgresError(f"{place} refers to the data folder {home}, which does not exist.")
    elif uid_now != 0 or can_enter(_unprivileged().pw_uid, keep):
        home = keep
    else:
        home = shared_folder(shared_folder(SHARED_FOLDER) / "clusters") / secrets.token_hex(8)
        home.mkdir(mode=0o711)
        home.chmod(0o711)
        write_private(place, f"{home}\n")
    uid, gid = _runner(home / "cluster", uid_now)
    return Cluster(home, uid, gid, binaries_for(uid, wheel_binaries()))


def create(cluster: Cluster, password: str, log: int) -> None:
    """Run initdb, then create the role and the database `tael`. Remains of an interrupted attempt are deleted."""
    for leftover in cluster.home.glob("cluster.new-*"):
        # Its initdb may still be exiting, hence a new name each time.
        shutil.rmtree(leftover, ignore_errors=True)
    new = Path(tempfile.mkdtemp(prefix="cluster.new-", dir=cluster.home))
    os.chown(new, cluster.uid, cluster.gid)
    # No logins until our pg_hba.conf is written; data checksums are initdb's default.
    options = ["--username=postgres", "--auth=reject", "--encoding=UTF8", "--locale=C", "--no-instructions"]
    initdb = launch(
        [cluster.binaries.program("initdb"), "-D", new, *options],
        uid=cluster.uid,
        gid=cluster.gid,
        output=log,
    )
    if _finish(initdb) != 0:
        raise EmbeddedPostgresError(f"PostgreSQL could not create its files in {new}")
    (new / "pg_hba.conf").write_text(HBA_RULES)
    with (new / "postgresql.conf").open("a") as conf:
        conf.write("include 'tael.conf'\n")
    _write_for(cluster, new / "tael.conf", "")
    _run_single_user(cluster, new, INITIAL_STATEMENTS.format(password=password))
    new.rename(cluster.folder)


def configure(cluster: Cluster, port: int, socket_folder: Path, extra: Mapping[str, str]) -> None:
    """Write the settings. `extra` are set after ours, and replace them."""
    quoted = str(socket_folder).replace("'", "''")
    settings = SETTINGS.format(port=port, socket_folder=quoted)
    settings += "".join(f"{name} = '{value}'\n" for name, value in extra.items())
    _write_for(cluster, cluster.folder / "tael.conf", settings)


def empty_socket_folder(cluster: Cluster) -> Path:
    """An empty folder for the socket, without a dead server's lock files; its path is short enough for the kernel."""
    folder = cluster.home / "socket"
    if len(os.fsencode(folder)) > MAX_SOCKET_FOLDER:
        folder = Path(tempfile.mkdtemp(prefix="tael-", dir="/tmp"))  # private by its mode
    else:
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(mode=0o700)
    os.chown(folder, cluster.uid, cluster.gid)
    return folder


def wait_until_free(cluster: Cluster, limit_s: float = LAST_SERVER_LIMIT_S) -> None:
    """Wait for a server whose parent was killed; then remove its pid file, which would block the next server.

    PostgreSQL takes any live pid in `postmaster.pid` for its own, even a zombie (if pid 1 does not reap) or an
    unrelated process with the same pid. This check is stricter: it waits only for a server of this cluster, or for a
    process that still has its shared memory attached.
    """
    pid_file = cluster.folder / "postmaster.pid"
    until = time.monotonic() + limit_s
    while (lines := _lines(pid_file)) is not None:
        if not (_serves(lines, cluster.folder) or _shared_memory_is_attached(lines)):
            pid_file.unlink(missing_ok=True)
            return
        if time.monotonic() > until:
            raise EmbeddedPostgresError(
                f"Another PostgreSQL (pid {lines[0]}) still uses {cluster.folder}; end it, then start again."
            )
        time.sleep(POLL_S)


def remove(keep: Path, uid_now: int) -> None:
    """Remove the cluster of `keep`, if it exists, once its last server has exited."""
    place = keep / "place"
    if place.exists() and not Path(place.read_text().strip()).is_dir():
        return
    if (keep / "cluster").exists() or place.exists():
        cluster = cluster_of(keep, uid_now)
        wait_until_free(cluster)
        for folder in (cluster.folder, *cluster.home.glob("cluster.new-*"), cluster.home / "socket"):
            shutil.rmtree(folder, ignore_errors=folder != cluster.folder)
        if cluster.home != keep:
            cluster.home.rmdir()


def is_ready(cluster: Cluster, pid: int) -> bool:
    """As `pg_ctl --wait` does: checks the state that the server writes to its pid file."""
    lines = _lines(cluster.folder / "postmaster.pid")
    return lines is not None and len(lines) >= 8 and lines[0] == str(pid) and lines[7].strip() == "ready"


def write_private(path: Path, text: str) -> None:
    """Write atomically, mode 0600, owned by the folder's owner (root may be serving a user's folder)."""
    descriptor, name = tempfile.mkstemp(prefix=f".{path.name}-", dir=path.parent)
    try:
        with os.fdopen(descriptor, "w") as file:
            file.write(text)
            give_to_owner_of(path.parent, file.fileno())
            file.flush()
            os.fsync(file.fileno())
        Path(name).rename(path)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise


def give_to_owner_of(folder: Path, descriptor: int) -> None:
    if os.geteuid() == 0:
        owner = folder.stat()
        os.fchown(descriptor, owner.st_uid, owner.st_gid)


def _runner(folder: Path, uid_now: int) -> tuple[int, int]:
    """The user that runs the server: the owner of its files, as PostgreSQL requires."""
    if not folder.exists():
        if uid_now == 0:
            user = _unprivileged()
            return user.pw_uid, user.pw_gid
        return uid_now, os.getegid()
    owner = folder.stat()
    if uid_now == 0 and owner.st_uid != 0:
        return owner.st_uid, owner.st_gid
    if uid_now == 0 or owner.st_uid != uid_now:
        raise EmbeddedPostgresError(
            f"{folder} belongs to the user with the id {owner.st_uid}, and PostgreSQL only runs "
            "as the owner of its data."
        )
    return uid_now, os.getegid()


def _unprivileged() -> pwd.struct_passwd:
    try:
        return pwd.getpwnam(UNPRIVILEGED_USER)
    except KeyError:
        raise EmbeddedPostgresError(
            f"PostgreSQL does not run as root, and there is no user {UNPRIVILEGED_USER!r} to run it as: "
            "start tael as an ordinary user, or use a server with --database-url."
        ) from None


def _run_single_user(cluster: Cluster, folder: Path, statements: str) -> None:
    """Run statements. Single-user mode exits with 0 even after errors, so its output is checked, not logged."""
    with tempfile.TemporaryFile("w+") as output:
        single = launch(
            [cluster.binaries.program("postgres"), "--single", "-D", folder, "postgres"],
            uid=cluster.uid,
            gid=cluster.gid,
            output=output.fileno(),
            stdin=subprocess.PIPE,
        )
        _finish(single, statements)
        output.seek(0)
        errors = [line for line in output if any(word in line for word in ("ERROR:", "FATAL:", "PANIC:"))]
    if single.returncode != 0 or errors:
        raise EmbeddedPostgresError(f"PostgreSQL could not create the database: {' '.join(errors).strip()}")


def _finish(child: subprocess.Popen[str], text: str | None = None) -> int:
    """Wait for the child; returns its exit code. If interrupted, kill it: it must not outlive the folder's lock."""
    try:
        child.communicate(text)
    except BaseException:
        child.kill()
        child.wait()
        raise
    return child.returncode


def _write_for(cluster: Cluster, path: Path, text: str) -> None:
    """Write a file in the server's own folder; created anew, so that root never writes through a symlink there."""
    path.unlink(missing_ok=True)
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w") as file:
        file.write(text)
        os.fchown(descriptor, cluster.uid, cluster.gid)


def _lines(pid_file: Path) -> list[str] | None:
    try:
        lines = pid_file.read_text().splitlines()
    except FileNotFoundError:
        return None
    return lines or ["0"]  # read between its creation and its first line


def _serves(lines: list[str], folder: Path) -> bool:
    """Whether the pid in the file is a running PostgreSQL of `folder`. A zombie has no command line."""
    with contextlib.suppress(OSError, ValueError):
        arguments = Path(f"/proc/{int(lines[0])}/cmdline").read_bytes().split(b"\0")
        return os.fsencode(folder) in arguments
    return False


def _shared_memory_is_attached(lines: list[str]) -> bool:
    """Whether processes without a postmaster still have the cluster's memory attached: they may write to its files."""
    if len(lines) < 7 or len(lines[6].split()) != 2:
        return False
    key, shmid = lines[6].split()
    with contextlib.suppress(OSError):
        for row in Path("/proc/sysvipc/shm").read_text().splitlines()[1:]:
            columns = row.split()
            if columns[1] == shmid and int(columns[0]) & 0xFFFFFFFF == int(key) & 0xFFFFFFFF:
                return int(columns[6]) > 0
    return False
