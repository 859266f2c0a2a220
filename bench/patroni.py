"""Two PostgreSQL servers that Patroni keeps as primary and synchronous standby, with etcd, all on loopback.

A host here is a server with its Patroni: `kill`, `freeze` and `thaw` act on all processes of both.
"""

import json
import os
import pwd
import secrets
import shutil
import signal
import subprocess
import sys
import time
import venv
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from http.client import HTTPConnection, HTTPException
from pathlib import Path
from typing import Any, Final

import psycopg
from psycopg import sql

from bench.cluster import SET_SEARCH_PATH
from bench.processes import HOST
from tael.cli.processes import die_with
from tests.support.ports import reserved_ports

VERSION: Final = "4.1.5"
PACKAGES: Final = (f"patroni[etcd3,psycopg3]=={VERSION}", "psycopg[binary]==3.3.9")
DEBIAN: Final = ("etcd-server", "postgresql-15")
INSTALL_S: Final = 300
#: Patroni's smallest: a primary that is not heard of for so long is replaced.
TTL_S: Final = 20
START_S: Final = 90.0
POLL_S: Final = 0.1
USER: Final = "tael"
DATABASE: Final = "tael"


def check_tools(folder: Path) -> "Tools":
    """Installs what is missing: Patroni into `folder`, the rest from Debian, as root. Ends the program if it cannot."""
    if shutil.which("etcd") is None or not _postgres_programs():
        if os.geteuid() == 0 and shutil.which("apt-get"):
            for command in (("update", "-qq"), ("install", "-y", "-qq", "--no-install-recommends", *DEBIAN)):
                subprocess.run(("apt-get", *command), capture_output=True, timeout=INSTALL_S, check=False)
        if shutil.which("etcd") is None or not _postgres_programs():
            sys.exit(
                f"etcd or PostgreSQL's server is not installed; on Debian: apt-get install {' '.join(DEBIAN)}"
            )
    python = folder / "bin" / "python"
    installed = folder / "installed"
    if not installed.exists() or installed.read_text() != VERSION:
        venv.create(folder, clear=True, with_pip=True)
        install = (python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", *PACKAGES)
        subprocess.run(install, timeout=INSTALL_S, check=True)
        installed.write_text(VERSION)
    return Tools(folder / "bin" / "patroni", folder / "bin" / "patronictl", _postgres_programs()[-1])


def _postgres_programs() -> list[Path]:
    """Folders with all programs of a server that Patroni needs, by version."""
    needed = ("initdb", "pg_basebackup", "pg_rewind", "postgres")
    found = [
        folder
        for folder in Path("/usr/lib/postgresql").glob("*/bin")
        if all((folder / name).exists() for name in needed)
    ]
    return sorted(found, key=lambda folder: int(folder.parent.name))


@dataclass(frozen=True, slots=True)
class Tools:
    patroni: Path
    patronictl: Path
    postgres: Path  #: the folder of its programs


@dataclass(slots=True)
class Host:
    """One server with its Patroni, which is None while it is not running."""

    name: str
    folder: Path
    port: int
    api_port: int
    patroni: "subprocess.Popen[bytes] | None" = None

    @property
    def configuration(self) -> Path:
        return self.folder / "patroni.yml"

    @property
    def data(self) -> Path:
        return self.folder / "data"

    def pids(self) -> list[int]:
        """Of Patroni, and of the server with its children."""
        pids = [self.patroni.pid] if self.patroni is not None else []
        with suppress(OSError, ValueError):
            postmaster = int((self.data / "postmaster.pid").read_text().split("\n", 1)[0])
            if _is_postgres_of(postmaster, self.data):
                pids += [postmaster, *_children(postmaster)]
        return pids


@dataclass(slots=True)
class Cluster:
    tools: Tools
    folder: Path
    hosts: Sequence[Host]
    etcd_port: int
    password: str = field(default_factory=lambda: secrets.token_hex(16), repr=False)

    @property
    def url(self) -> str:
        """Of both servers."""
        return self._url(",".join(f"{HOST}:{host.port}" for host in self.hosts), DATABASE)

    def url_of(self, host: Host, database: str = DATABASE) -> str:
        return self._url(f"{HOST}:{host.port}", database)

    def _url(self, hosts: str, database: str) -> str:
        return f"postgresql://{USER}:{self.password}@{hosts}/{database}"

    def start(self, host: Host) -> None:
        with (host.folder / "log").open("ab") as log:
            host.patroni = subprocess.Popen(
                [self.tools.patroni, host.configuration],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                preexec_fn=die_with(os.getpid()),
                **_as_user(),
            )

    def kill(self, host: Host) -> None:
        """As when the machine loses power."""
        _signal(host, signal.SIGKILL)
        if host.patroni is not None:
            host.patroni.wait()
            host.patroni = None

    def freeze(self, host: Host) -> None:
        """Its connections stay open, and nothing responds."""
        _signal(host, signal.SIGSTOP)

    def thaw(self, host: Host) -> None:
        _signal(host, signal.SIGCONT)

    def switch_over(self) -> None:
        """As an operator does, to the standby."""
        command = [
            str(self.tools.patronictl),
            "-c",
            str(self.hosts[0].configuration),
            "switchover",
            "--force",
        ]
        done = subprocess.run(command, capture_output=True, text=True, timeout=START_S, check=False)
        if done.returncode:
            raise RuntimeError(done.stdout + done.stderr)

    def primary(self) -> Host | None:
        """The host whose Patroni says that it is the primary."""
        for host in self.hosts:
            if _get(host, "/primary")[0] == 200:
                return host
        return None

    def is_whole(self) -> bool:
        """One is the primary, and the other its synchronous standby."""
        return self.primary() is not None and any(_get(host, "/sync")[0] == 200 for host in self.hosts)

    def wait_until_whole(self) -> None:
        wait_until(self.is_whole, "one primary and one synchronous standby", self.folder)


@contextmanager
def running(tools: Tools, folder: Path) -> Iterator[Cluster]:
    """A new cluster with an empty database, ended with the block."""
    with ExitStack() as exits:
        etcd_port, peer_port, *ports = exits.enter_context(reserved_ports(6))
        hosts = [Host("a", folder / "a", ports[0], ports[1]), Host("b", folder / "b", ports[2], ports[3])]
        cluster = Cluster(tools, folder, hosts, etcd_port)
        folder.chmod(0o755)
        for host in hosts:
            host.folder.mkdir()
            host.configuration.write_text(json.dumps(_configuration(cluster, host)))  # JSON is YAML
            _give_away(host.folder, host.configuration)
        exits.callback(_end, cluster)
        exits.enter_context(_etcd(folder / "etcd", etcd_port, peer_port))
        for host in hosts:
            cluster.start(host)
        cluster.wait_until_whole()
        primary = cluster.primary()
        assert primary is not None
        with psycopg.connect(cluster.url_of(primary, "postgres"), autocommit=True) as connection:
            connection.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(DATABASE)))
            connection.execute(SET_SEARCH_PATH.format(sql.Identifier(DATABASE)))
        yield cluster


def wait_until(is_so: Callable[[], bool], what: str, folder: Path) -> None:
    until = time.monotonic() + START_S
    while not is_so():
        if time.monotonic() > until:
            sys.exit(f"waited in vain for {what}; see the logs in {folder}")
        time.sleep(POLL_S)


def _configuration(cluster: Cluster, host: Host) -> dict[str, Any]:
    login = {"username": USER, "password": cluster.password}
    return {
        "scope": "tael",
        "name": host.name,
        "restapi": {"listen": f"{HOST}:{host.api_port}", "connect_address": f"{HOST}:{host.api_port}"},
        "etcd3": {"hosts": f"{HOST}:{cluster.etcd_port}"},
        "bootstrap": {
            "dcs": {
                "ttl": TTL_S,
                "loop_wait": 2,
                "retry_timeout": 5,
                "synchronous_mode": True,
                "postgresql": {"use_pg_rewind": True},
            },
            "initdb": [{"encoding": "UTF8"}, {"locale": "C.UTF-8"}, "data-checksums"],
        },
        "postgresql": {
            "listen": f"{HOST}:{host.port}",
            "connect_address": f"{HOST}:{host.port}",
            "data_dir": str(host.data),
            "bin_dir": str(cluster.tools.postgres),
            "pgpass": str(host.folder / "pgpass"),
            "authentication": {"superuser": login, "replication": login, "rewind": login},
            "parameters": {"unix_socket_directories": "", "max_connections": 100},
            "pg_hba": [
                f"host all all {HOST}/32 scram-sha-256",
                f"host replication all {HOST}/32 scram-sha-256",
            ],
        },
    }


@contextmanager
def _etcd(folder: Path, port: int, peer_port: int) -> Iterator[None]:
    client, peer = f"http://{HOST}:{port}", f"http://{HOST}:{peer_port}"
    folder.mkdir(mode=0o700)
    _give_away(folder)
    command = [
        *("etcd", "--name", "tael", "--data-dir", str(folder)),
        *("--listen-client-urls", client, "--advertise-client-urls", client),
        *("--listen-peer-urls", peer, "--initial-advertise-peer-urls", peer),
        *("--initial-cluster", f"tael={peer}"),
    ]
    with (folder.parent / "etcd.log").open("ab") as log:
        etcd = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            preexec_fn=die_with(os.getpid()),
            **_as_user(),
        )
    try:
        yield
    finally:
        etcd.kill()
        etcd.wait()


def _end(cluster: Cluster) -> None:
    for host in cluster.hosts:
        cluster.kill(host)


def _get(host: Host, path: str) -> tuple[int, bytes]:
    """Status and body of Patroni's response; 0 if there is none."""
    connection = HTTPConnection(HOST, host.api_port, timeout=1)
    try:
        connection.request("GET", path)
        response = connection.getresponse()
        return response.status, response.read()
    except (OSError, HTTPException):
        return 0, b""
    finally:
        connection.close()


def _signal(host: Host, number: signal.Signals) -> None:
    for pid in host.pids():
        with suppress(ProcessLookupError):
            os.kill(pid, number)


def _children(parent: int) -> list[int]:
    return [int(pid) for pid in Path(f"/proc/{parent}/task/{parent}/children").read_text().split()]


def _is_postgres_of(pid: int, data: Path) -> bool:
    """The file of a server that was killed stays, and its number may belong to another process."""
    return str(data).encode() in Path(f"/proc/{pid}/cmdline").read_bytes()


def _as_user() -> dict[str, Any]:
    """PostgreSQL refuses to run as root."""
    if os.geteuid():
        return {}
    nobody = pwd.getpwnam("nobody")
    return {"user": nobody.pw_uid, "group": nobody.pw_gid, "extra_groups": []}


def _give_away(*paths: Path) -> None:
    for path in paths:
        path.chmod(0o700 if path.is_dir() else 0o600)
        if not os.geteuid():
            nobody = pwd.getpwnam("nobody")
            os.chown(path, nobody.pw_uid, nobody.pw_gid)
