"""The operator manual's configuration and commands of pgBackRest, on a cluster of our own: a real backup and recovery.

Needs Debian's packages `pgbackrest` and `postgresql`: the version of the one supports that of the other.
"""

import os
import re
import shlex
import shutil
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import psycopg
import pytest

from tests.support.ports import reserved_ports
from tests.support.postgres import open_folder

MANUAL: Final = Path(__file__).parents[3] / "docs" / "operator-manual.md"
SERVERS: Final = sorted(Path("/usr/lib/postgresql").glob("*/bin/postgres"))
INITDB: Final = ("-N", "-U", "postgres", "--auth=trust", "-E", "UTF8", "--locale=C", "-D")
COMMAND_LIMIT_S: Final = 60
#: A server is ready for readers before its recovery is over.
MAX_LOOKS: Final = 2_000

pytestmark = pytest.mark.skipif(
    not SERVERS or shutil.which("pgbackrest") is None,
    reason="needs pgBackRest and a server that it supports: apt-get install pgbackrest postgresql",
)


def manuals(language: str) -> list[str]:
    """The code blocks of the manual's section, in this language."""
    (section,) = re.findall(
        r"^### pgBackRest\n(.*?)^### ", MANUAL.read_text("utf-8"), re.MULTILINE | re.DOTALL
    )
    return re.findall(rf"^```{language}\n(.*?)^```", section, re.MULTILINE | re.DOTALL)


@dataclass(frozen=True, slots=True)
class Installation:
    """A server with its repository, in one folder."""

    folder: Path
    port: int

    @property
    def cluster(self) -> Path:
        return self.folder / "main"

    @property
    def url(self) -> str:
        return f"postgresql://postgres@127.0.0.1:{self.port}/postgres"

    @property
    def environment(self) -> Mapping[str, str]:
        """Where pgBackRest has files that have places of their own on a real machine."""
        places = {
            f"PGBACKREST_{name}_PATH": str(self.folder) for name in ("LOG", "LOCK", "SPOOL", "PG1_SOCKET")
        }
        config = {"PGBACKREST_CONFIG": str(self.folder / "pgbackrest.conf")}
        return {"PATH": os.environ["PATH"], "HOME": str(self.folder), **places, **config}

    def run(self, *command: str | Path) -> None:
        """As the cluster's owner, which is not root."""
        user = "postgres" if os.geteuid() == 0 else None
        done = subprocess.run(
            command,
            user=user,
            group=user,
            cwd=self.folder,
            env=self.environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=COMMAND_LIMIT_S,
            check=False,
        )
        assert done.returncode == 0, done.stdout

    def server(self, action: str) -> None:
        log = self.folder / "server.log"
        self.run(SERVERS[-1].parent / "pg_ctl", "-w", "-D", self.cluster, "-l", log, "-o", "-F", action)

    def backrest(self, arguments: Sequence[str]) -> None:
        self.run("pgbackrest", *arguments)

    def configure(self) -> None:
        """The manual's files, with other places."""
        config, settings = manuals("ini")
        for name, value in (
            ("repo1-path", self.folder / "repository"),
            ("pg1-path", self.cluster),
            ("pg1-port", self.port),
        ):
            config, count = re.subn(rf"^{name}=.*$", f"{name}={value}", config, flags=re.MULTILINE)
            assert count == 1
        (self.folder / "pgbackrest.conf").write_text(config)
        with (self.cluster / "postgresql.conf").open("a") as file:
            file.write(f"{settings}port = {self.port}\nunix_socket_directories = '{self.folder}'\n")


@pytest.fixture
def installation() -> Iterator[Installation]:
    with open_folder() as folder, reserved_ports(1) as (port,):
        made = Installation(folder, port)
        if os.geteuid() == 0:
            shutil.chown(folder, "postgres", "postgres")
        made.run(SERVERS[-1].parent / "initdb", *INITDB, made.cluster)
        made.configure()
        made.server("start")
        yield made
        made.server("stop")


def commands() -> list[list[str]]:
    """The manual's, without the program."""
    lines = [line for block in manuals("sh") for line in block.splitlines()]
    assert all(line.startswith("pgbackrest ") for line in lines)
    return [shlex.split(line)[1:] for line in lines]


def query(url: str, statement: str) -> list[str]:
    with psycopg.connect(url, autocommit=True) as connection:
        result = connection.execute(statement)
        return [str(row[0]) for row in result] if result.description else []


def test_the_manuals_commands_restore_a_database_to_a_moment(installation: Installation) -> None:
    url = installation.url
    create, check, full, incremental, restore = commands()
    for command in (create, check, full):
        installation.backrest(command)
    query(url, "CREATE TABLE kept AS SELECT 'before' AS name")
    installation.backrest(incremental)
    (moment,) = query(url, "SELECT clock_timestamp()")
    query(url, "INSERT INTO kept VALUES ('after')")
    installation.server("stop")

    targeted = [f"--target={moment}" if part.startswith("--target=") else part for part in restore]
    assert targeted != restore
    installation.backrest(targeted)
    installation.server("start")
    for _ in range(MAX_LOOKS):
        if query(url, "SELECT pg_is_in_recovery()") == ["False"]:
            break
    assert query(url, "SELECT name FROM kept") == ["before"]
    installation.backrest(check)  # it goes on archiving
