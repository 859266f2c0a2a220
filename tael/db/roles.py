"""The group roles of a deployment. Users do not log in as them: an administrator grants them to login roles.

`tael_migrate` owns the tables, `tael_app` runs the gateway and its commands, `tael_read` reads what is not secret.
Roles belong to the server and not to a database, so two gateways on one server share them.
"""

from contextlib import suppress
from typing import Final

import psycopg
from psycopg import sql
from psycopg.errors import DuplicateObject, InsufficientPrivilege, LockNotAvailable, UniqueViolation

from tael.db.citus import has_citus
from tael.db.grants import OUR_SCHEMA, grant_read, grant_use, schemas
from tael.db.migrate import MAX_LOCK_WAIT_S, locked
from tael.db.servers import of_primary

OWNER: Final = "tael_migrate"
APP: Final = "tael_app"
READER: Final = "tael_read"
ROLES: Final = (OWNER, APP, READER)

MISSING: Final = "SELECT name FROM unnest(%s::text[]) AS name WHERE to_regrole(name) IS NULL"
#: Of the owner, as whom the nodes of Citus connect to each other when they copy a table. It has no password.
CANNOT_LOG_IN: Final = "SELECT rolname FROM pg_roles WHERE rolname = %s AND NOT rolcanlogin"
#: Whether the privileges of a role apply to us, as to its members and to a superuser.
IS_MEMBER: Final = "SELECT pg_has_role(current_user, %s, 'USAGE'), current_user"
#: A change of owner locks the table against everything, so it does not wait long behind a transaction of the gateway.
LOCK_LIMIT: Final = "SET LOCAL lock_timeout = '1s'"
#: A superuser has all privileges of the owner, but a table may still belong to someone else.
FOREIGN_TABLES: Final = """
SELECT n.nspname, c.relname FROM pg_class AS c JOIN pg_namespace AS n ON n.oid = c.relnamespace
WHERE n.nspname ~ %s AND c.relkind IN ('r', 'p') AND c.relowner <> to_regrole(%s)
ORDER BY n.nspname, c.relname
"""
OWNS_TABLES: Final = """
SELECT EXISTS (
    SELECT FROM pg_class AS c JOIN pg_namespace AS n ON n.oid = c.relnamespace
    WHERE n.nspname ~ %s AND c.relowner = to_regrole(%s)
)
"""


class RolesRefused(Exception):
    """The role of the URL may not create the group roles, or a table is in use."""


def create_roles(database_url: str) -> None:
    """Create the group roles that are missing, and become a member of the owner. Raises RolesRefused, psycopg.Error."""
    with psycopg.connect(of_primary(database_url), autocommit=True) as connection:
        try:
            for (name,) in connection.execute(MISSING, [list(ROLES)]).fetchall():
                with suppress(DuplicateObject, UniqueViolation):  # another process was faster
                    connection.execute(sql.SQL("CREATE ROLE {} NOLOGIN").format(sql.Identifier(name)))
            if has_citus(connection) and connection.execute(CANNOT_LOG_IN, [OWNER]).fetchone():
                connection.execute(sql.SQL("ALTER ROLE {} LOGIN").format(sql.Identifier(OWNER)))
            is_member, user = connection.execute(IS_MEMBER, [OWNER]).fetchone() or (False, "")
            if not is_member:
                connection.execute(
                    sql.SQL("GRANT {} TO {}").format(sql.Identifier(OWNER), sql.Identifier(user))
                )
        except InsufficientPrivilege as error:
            raise RolesRefused(
                f"the roles {', '.join(ROLES)} cannot be created: connect as a role with CREATEROLE, or as a member of "
                f"{OWNER} once they exist"
            ) from error


def owns_tables(database_url: str) -> bool:
    """Whether the group roles are in use in this database. Raises psycopg.Error."""
    with psycopg.connect(of_primary(database_url)) as connection:
        (is_owner,) = connection.execute(OWNS_TABLES, [OUR_SCHEMA, OWNER]).fetchone() or (False,)
        return bool(is_owner)


def is_owner(database_url: str) -> bool:
    """Whether we are a member of the owner, which must exist. Raises psycopg.Error."""
    with psycopg.connect(of_primary(database_url)) as connection:
        is_member, _ = connection.execute(IS_MEMBER, [OWNER]).fetchone() or (False, "")
        return bool(is_member)


def grant_roles(database_url: str) -> None:
    """Make `tael_migrate` the owner of every table, and grant the other roles what they need, in one commit.

    Raises RolesRefused, MigrationBlocked, psycopg.Error.
    """
    with psycopg.connect(of_primary(database_url)) as connection, locked(connection, MAX_LOCK_WAIT_S):
        try:
            _hand_over(connection)
            grant_use(connection, APP)
            grant_read(connection, READER)
        except LockNotAvailable as error:
            raise RolesRefused(
                "another transaction uses a table whose owner is to change; stop the gateway, or try again"
            ) from error


def _hand_over(connection: "psycopg.Connection[tuple[object, ...]]") -> None:
    owner = sql.Identifier(OWNER)
    database = sql.Identifier(connection.info.dbname)
    connection.execute(sql.SQL("GRANT CREATE ON DATABASE {} TO {}").format(database, owner))
    for schema in schemas(connection):
        connection.execute(
            sql.SQL("GRANT USAGE, CREATE ON SCHEMA {} TO {}").format(sql.Identifier(schema), owner)
        )
    connection.execute(LOCK_LIMIT)
    for table in connection.execute(FOREIGN_TABLES, [OUR_SCHEMA, OWNER]).fetchall():
        name = sql.Identifier(*map(str, table))
        connection.execute(sql.SQL("ALTER TABLE {} OWNER TO {}").format(name, owner))
