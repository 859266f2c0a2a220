"""Checks of the PostgreSQL of a deployment: pure functions of what it reports and of what is expected."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Final

from tael.db.cells import DIRECTORY_CONNECTIONS
from tael.db.server import Server, known_migrations
from tael.operations.problem import Problem

MIN_VERSION: Final = 15
#: `server_version_num` is the major version times this, and the minor version.
VERSION_UNIT: Final = 10_000
#: The clocks of all hosts are compared with the database's; leases and due times follow them.
MAX_CLOCK_DIFFERENCE: Final = timedelta(seconds=2)
#: Operators' commands at the same time, as in the manual's examples. Each may open two connections to the directory
#: and to each cell.
COMMANDS: Final = 2
CONNECTIONS_OF_COMMAND: Final = 2
#: Modes in which both drivers verify the server's certificate.
VERIFYING_MODES: Final = ("verify-ca", "verify-full")
#: Without one of these a commit that was reported can be lost, or tables bloat.
DURABLE: Final = {"fsync": "on", "full_page_writes": "on", "autovacuum": "on"}
#: Tables that the gateway's role must not be able to change.
APPEND_ONLY: Final = ("audit_entry", "cell_audit_entry", "ledger_digest", "ledger_entry")


@dataclass(frozen=True, slots=True)
class Expected:
    """What the deployment needs of its database."""

    processes: int  #: API processes and workers
    connections: int  #: of each process, to each cell
    ssl_mode: str  #: of the database URL
    cells: int = 1  #: on this server
    has_directory: bool = True

    @property
    def connections_needed(self) -> int:
        """Of all processes, and of operators' commands."""
        of_directory = min(self.connections, DIRECTORY_CONNECTIONS) if self.has_directory else 0
        of_process = self.cells * self.connections + of_directory
        of_command = CONNECTIONS_OF_COMMAND * (self.cells + self.has_directory)
        return self.processes * of_process + COMMANDS * of_command


def check_version(server: Server, _: Expected) -> Iterator[Problem]:
    version = server.number("server_version_num") // VERSION_UNIT
    if version < MIN_VERSION:
        yield Problem(f"PostgreSQL {version} is too old", f"upgrade it to version {MIN_VERSION} or newer")
    if server.settings["server_encoding"] != "UTF8":
        yield Problem(
            f"the encoding of the database is {server.settings['server_encoding']}",
            "create the database with ENCODING 'UTF8'",
        )
    if server.is_standby:
        yield Problem("the database is a read-only standby", "set TAEL_DATABASE_URL to the primary")


def check_tls(server: Server, expected: Expected) -> Iterator[Problem]:
    remedy = "add sslmode=verify-full and sslrootcert to TAEL_DATABASE_URL"
    if server.is_local:
        return
    if not server.has_tls:
        yield Problem(
            "the connection to the database on another host has no TLS", f"enable it there, and {remedy}"
        )
    elif expected.ssl_mode not in VERIFYING_MODES:
        yield Problem(
            "the database's certificate is not verified, so another server could take its place", remedy
        )


def check_durability(server: Server, _: Expected) -> Iterator[Problem]:
    for name, value in DURABLE.items():
        if server.settings[name] != value:
            yield Problem(
                f"{name} is {server.settings[name]}",
                f"set {name} = {value} in postgresql.conf and reload PostgreSQL",
            )
    if server.settings["synchronous_commit"] == "off":
        yield Problem(
            "synchronous_commit is off: payments that were reported can be lost in a crash",
            f"set it to on in postgresql.conf, and for the role: ALTER ROLE {server.role} RESET synchronous_commit",
        )


def check_connections(server: Server, expected: Expected) -> Iterator[Problem]:
    reserved = server.number("superuser_reserved_connections") + server.number("reserved_connections")
    needed = expected.connections_needed + reserved
    if server.number("max_connections") < needed:
        yield Problem(
            f"max_connections is {server.number('max_connections')}, and {expected.processes} processes need {needed}",
            "raise max_connections, or lower TAEL_DATABASE_CONNECTIONS",
        )


def check_clock(server: Server, _: Expected) -> Iterator[Problem]:
    if abs(server.clock_ahead) > MAX_CLOCK_DIFFERENCE:
        seconds = server.clock_ahead.total_seconds()
        yield Problem(
            f"the database's clock is {abs(seconds):.1f} s {'ahead of' if seconds > 0 else 'behind'} this host's",
            "synchronize both hosts with NTP",
        )


def check_migrations(server: Server) -> Iterator[Problem]:
    known = known_migrations(server.home)
    if missing := sorted(known - server.migrations):
        yield Problem(f"missing migrations: {', '.join(missing)}", "run `tael migrate`")
    if newer := sorted(server.migrations - known):
        yield Problem(
            f"the schema is newer than this version of tael: {', '.join(newer)}", "upgrade tael on this host"
        )


def check_role(server: Server) -> Iterator[Problem]:
    remedy = "run `tael migrate --roles`, and log in as a role that is a member of tael_app only"
    rights = [table for table in server.tables if table.name in APPEND_ONLY]
    if server.is_superuser:
        yield Problem(f"the role {server.role} is a superuser", remedy)
    elif server.creates_roles:
        yield Problem(f"the role {server.role} can create roles, and grant them to itself", remedy)
    elif changeable := [table.name for table in rights if table.may_change]:
        yield Problem(f"the role {server.role} can change rows of {', '.join(changeable)}", remedy)
    elif owned := [table.name for table in rights if table.is_owner]:
        yield Problem(
            f"the role {server.role} can grant itself the right to change {', '.join(owned)}", remedy
        )


def check_privileges(server: Server) -> Iterator[Problem]:
    if unusable := [table.name for table in server.tables if not table.is_usable]:
        yield Problem(
            f"the role {server.role} lacks privileges on {', '.join(unusable)}",
            f"run `tael migrate --roles` and GRANT tael_app TO {server.role}",
        )


#: Of each server.
SERVER_CHECKS: Final[Mapping[str, Callable[[Server, Expected], Iterator[Problem]]]] = {
    "version": check_version,
    "tls": check_tls,
    "durability": check_durability,
    "connections": check_connections,
    "clock": check_clock,
}
#: Of the directory, and of each cell.
PART_CHECKS: Final[Mapping[str, Callable[[Server], Iterator[Problem]]]] = {
    "migrations": check_migrations,
    "privileges": check_privileges,
    "role": check_role,
}
#: Without these, rows cannot be read.
NEEDED_FOR_ROWS: Final = ("migrations", "privileges")
