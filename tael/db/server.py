"""What PostgreSQL reports about itself, this session and the rights of its role. Reads, and writes nothing."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from tael.db.database import DIRECTORY_SCHEMA, MIGRATIONS, Database
from tael.db.privileges import Privilege, privileges_on
from tael.db.tables import Home

SETTINGS: Final = (
    *(
        "fsync",
        "full_page_writes",
        "synchronous_commit",
        "autovacuum",
        "server_encoding",
        "server_version_num",
    ),
    *("max_connections", "superuser_reserved_connections", "reserved_connections"),
)
READ_SETTINGS: Final = "SELECT name, setting FROM pg_settings WHERE name = ANY($1::text[])"
#: A socket has no address.
READ_SESSION: Final = """
SELECT r.rolname::text AS role, r.rolsuper AS is_superuser,
    r.rolcreaterole AS creates_roles, pg_is_in_recovery() AS is_standby, clock_timestamp() AS time,
    coalesce((SELECT ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid()), false) AS has_tls,
    coalesce(
        inet_client_addr() <<= '127.0.0.0/8' OR inet_client_addr() = '::1' OR inet_client_addr() = inet_server_addr(),
        true
    ) AS is_local
FROM pg_roles AS r WHERE r.rolname = current_user
"""
READ_TABLES: Final = """
SELECT relname::text AS name,
    has_table_privilege(oid, 'UPDATE, DELETE, TRUNCATE') OR has_any_column_privilege(oid, 'UPDATE') AS may_change,
    pg_has_role(relowner, 'MEMBER') AS is_owner,
    ARRAY(SELECT p FROM unnest($1::text[]) AS p WHERE has_table_privilege(oid, p)) AS privileges
FROM pg_class WHERE relnamespace = current_schema()::regnamespace AND relkind IN ('r', 'p') ORDER BY relname
"""
MARKS: Final = "_yoyo_migration"
READ_MARKS: Final = f"SELECT migration_id FROM {MARKS}"


@dataclass(frozen=True, slots=True)
class TableRights:
    """What the role of this session may do with a table."""

    name: str
    may_change: bool  #: update, delete or truncate
    is_owner: bool  #: and so can grant itself any right
    privileges: Sequence[str]

    @property
    def is_usable(self) -> bool:
        """Whether the statements of the gateway can be executed."""
        return privileges_on(self.name) <= set(self.privileges)


@dataclass(frozen=True, slots=True)
class Server:
    """A server as one session of the gateway sees it, in one part of the database."""

    home: Home
    settings: Mapping[str, str]
    role: str
    is_superuser: bool
    creates_roles: bool  #: before PostgreSQL 16 it can make itself a member of any role but a superuser
    is_standby: bool
    has_tls: bool
    is_local: bool  #: nothing of the connection leaves this machine
    clock_ahead: (
        timedelta  #: how far the server's clock is ahead of ours, within half the time of a statement
    )
    tables: Sequence[TableRights]
    migrations: frozenset[str]  #: applied ones

    def number(self, setting: str) -> int:
        """The value of a setting; 0 if this version of PostgreSQL does not have it."""
        return int(self.settings.get(setting, "0"))


async def read_server(database: Database, time: Callable[[], datetime]) -> Server:
    """`time` returns that of this host. Raises StoreUnavailable."""
    began = time()
    (session,) = await database.fetch(READ_SESSION)
    middle = began + (time() - began) / 2
    tables = [TableRights(**row) for row in await database.fetch(READ_TABLES, list(Privilege))]
    return Server(
        home=Home.DIRECTORY if database.schema == DIRECTORY_SCHEMA else Home.CELL,
        settings={row["name"]: row["setting"] for row in await database.fetch(READ_SETTINGS, SETTINGS)},
        role=session["role"],
        is_superuser=session["is_superuser"],
        creates_roles=session["creates_roles"],
        is_standby=session["is_standby"],
        has_tls=session["has_tls"],
        is_local=session["is_local"],
        clock_ahead=session["time"] - middle,
        tables=tables,
        migrations=await _applied(database, tables),
    )


def known_migrations(home: Home) -> frozenset[str]:
    """Those of this version, for one part of the database."""
    return frozenset(path.stem for path in (MIGRATIONS / home).glob("*.sql"))


async def _applied(database: Database, tables: Sequence[TableRights]) -> frozenset[str]:
    if not any(table.name == MARKS and table.is_usable for table in tables):
        return frozenset()
    return frozenset(row["migration_id"] for row in await database.fetch(READ_MARKS))
