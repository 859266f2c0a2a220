"""A PostgreSQL that has TLS, as packaged by Debian: the demo's is built without it.

It accepts plain text neither from loopback addresses nor with a password; `certified` logs in with a certificate. Its
superuser logs in as well, so that tests can change the server's settings.
"""

import os
import pwd
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final
from urllib.parse import quote, urlencode

import psycopg
import pytest
import trustme
from psycopg import sql

from tael_demo.embedded.child import launch
from tests.support.ports import HOST, bound
from tests.support.postgres import open_folder

PROGRAMS: Final = Path("/usr/lib/postgresql")
MIN_VERSION: Final = 15
UNPRIVILEGED_USER: Final = "nobody"
START_LIMIT_S: Final = 30
PASSWORD: Final = "p/w"
#: A name that resolves to 127.0.0.1 and is not in the server's certificate.
OTHER_NAME: Final = "localhost"
POLL_S: Final = 0.05
ROLES: Final = sql.SQL(
    "CREATE ROLE tael LOGIN CREATEDB CREATEROLE PASSWORD {}; CREATE ROLE certified LOGIN"
).format(sql.Literal(PASSWORD))
RULES: Final = """\
local   all all scram-sha-256
hostssl all certified 127.0.0.1/32 cert
hostssl all all 127.0.0.1/32 scram-sha-256
"""


@dataclass(frozen=True, slots=True)
class TlsServer:
    """A running server. `ca` and `other_ca` are files; only the first has signed the server's certificate."""

    port: int
    socket_folder: Path
    ca: Path
    other_ca: Path
    client_certificate: Path
    client_key: Path

    def url(self, database: str, user: str = "tael", host: str = HOST, **options: object) -> str:
        """With verification of the server's certificate, unless `options` say otherwise."""
        chosen: Mapping[str, object] = {"sslmode": "verify-full", "sslrootcert": self.ca} | options
        query = urlencode(chosen)
        return f"postgresql://{user}:{quote(PASSWORD, safe='')}@{host}:{self.port}/{database}?{query}"

    def by_socket(self, database: str) -> str:
        """Through the socket in the file system, which has no TLS."""
        place = urlencode({"host": self.socket_folder, "port": self.port})
        return f"postgresql://tael:{quote(PASSWORD, safe='')}@/{database}?{place}"

    def execute(self, statement: sql.SQL | sql.Composed, database: str = "postgres") -> None:
        """As the superuser `admin`."""
        with psycopg.connect(self.url(database, "admin"), autocommit=True) as connection:
            connection.execute(statement)


def programs() -> Path:
    """The folder of the newest programs. Skips the test if there are none."""
    found = {
        int(folder.name): folder / "bin"
        for folder in PROGRAMS.glob("[0-9]*")
        if folder.name.isdigit() and (folder / "bin" / "postgres").exists()
    }
    if max(found, default=0) < MIN_VERSION:
        pytest.skip(f"no PostgreSQL {MIN_VERSION} or newer in {PROGRAMS}: apt-get install postgresql")
    return found[max(found)]


@contextmanager
def tls_server() -> Iterator[TlsServer]:
    """A server with the roles `tael` (of databases), `certified`, and `admin` (a superuser)."""
    binaries = programs()
    with open_folder() as folder, bound() as place:
        server = _with_certificates(folder, place.getsockname()[1])
        _create(binaries, folder)
        process = _run(binaries / "postgres", "-D", folder / "cluster", *_settings(server, folder))
        try:
            _wait_until_ready(server)
            server.execute(ROLES)
            yield server
        finally:
            process.send_signal(signal.SIGINT)  # fast: SIGTERM waits until every client has left
            process.wait(START_LIMIT_S)


def _with_certificates(folder: Path, port: int) -> TlsServer:
    authority, other = trustme.CA(), trustme.CA()
    issued = authority.issue_cert(HOST)
    issued.private_key_pem.write_to_path(folder / "server.key")
    issued.cert_chain_pems[0].write_to_path(folder / "server.crt")
    authority.cert_pem.write_to_path(folder / "ca.crt")
    other.cert_pem.write_to_path(folder / "other.crt")
    client = authority.issue_cert(common_name="certified")
    client.private_key_pem.write_to_path(folder / "client.key")
    client.cert_chain_pems[0].write_to_path(folder / "client.crt")
    (folder / "client.key").chmod(0o600)
    (folder / "server.key").chmod(0o600)
    _give(folder / "server.key")
    names = ("ca.crt", "other.crt", "client.crt", "client.key")
    return TlsServer(port, folder / "sockets", *(folder / name for name in names))


def _create(binaries: Path, folder: Path) -> None:
    for name in ("cluster", "sockets"):
        (folder / name).mkdir(mode=0o700)
        _give(folder / name)
    (folder / "sockets").chmod(0o755)
    options = ("--username=admin", "--auth=scram-sha-256", "--encoding=UTF8", "--locale=C", "--no-sync")
    password = folder / "password"
    password.write_text(PASSWORD)
    password.chmod(0o644)
    made = _run(binaries / "initdb", "-D", folder / "cluster", *options, f"--pwfile={password}")
    assert made.wait(START_LIMIT_S) == 0
    (folder / "cluster" / "pg_hba.conf").write_text(RULES)


def _settings(server: TlsServer, folder: Path) -> list[str]:
    settings = {
        "listen_addresses": HOST,
        "port": server.port,
        "unix_socket_directories": server.socket_folder,
        "ssl": "on",
        "ssl_cert_file": folder / "server.crt",
        "ssl_key_file": folder / "server.key",
        "ssl_ca_file": server.ca,
    }
    return [part for name, value in settings.items() for part in ("-c", f"{name}={value}")]


def _wait_until_ready(server: TlsServer) -> None:
    until = time.monotonic() + START_LIMIT_S
    while True:
        try:
            psycopg.connect(server.url("postgres", "admin")).close()
            return
        except psycopg.OperationalError:
            if time.monotonic() > until:
                raise
            time.sleep(POLL_S)


def _run(*command: str | Path) -> "subprocess.Popen[str]":
    """As an ordinary user, since PostgreSQL refuses to run as root; until it is ended, or this process ends."""
    user = pwd.getpwnam(UNPRIVILEGED_USER if os.geteuid() == 0 else pwd.getpwuid(os.geteuid()).pw_name)
    return launch(command, uid=user.pw_uid, gid=user.pw_gid, output=subprocess.DEVNULL)


def _give(path: Path) -> None:
    if os.geteuid() == 0:
        shutil.chown(path, UNPRIVILEGED_USER)
