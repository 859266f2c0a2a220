"""What a role may do that does not own the schema: one that runs the gateway and its commands, or one that reads.

A role of the gateway's own has the privileges that `privileges.py` declares, table by table. Rows of some tables are
only added: the migrations take the right to change them even from the owner, who could grant it again.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, LiteralString

import psycopg
from psycopg import sql
from psycopg.rows import class_row

from tael.db.privileges import READ, UPDATED_COLUMNS, Privileges, privileges_on
from tael.db.servers import of_primary

#: Those of the directory and of cells.
OUR_SCHEMA: Final = "^(public|cell_[0-9]{2})$"
TABLES: Final = """
SELECT n.nspname AS schema, c.relname AS name, array_agg(a.attname::text ORDER BY a.attnum) AS columns
FROM pg_class AS c JOIN pg_namespace AS n ON n.oid = c.relnamespace
JOIN pg_attribute AS a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
WHERE n.nspname ~ %s AND c.relkind IN ('r', 'p') GROUP BY n.nspname, c.oid ORDER BY n.nspname, c.relname
"""
SCHEMAS: Final = "SELECT nspname FROM pg_namespace WHERE nspname ~ %s ORDER BY nspname"

#: Columns with ciphertexts, password hashes and the digests of tokens, by their names.
SECRET_NAME: Final = re.compile(r".+_(encrypted|digest)|password_hash")
#: The id of a checkout link is the unguessable part of its page's address.
SECRET_COLUMNS: Final = frozenset({("checkout_link", "link_id")})


@dataclass(frozen=True, slots=True)
class _Table:
    schema: str
    name: str
    columns: Sequence[str]

    @property
    def identifier(self) -> sql.Identifier:
        return sql.Identifier(self.schema, self.name)

    def readable(self) -> Sequence[str]:
        """The columns without secrets."""
        return [name for name in self.columns if not is_secret(self.name, name)]


def is_secret(table: str, column: str) -> bool:
    """Whether a role that only reads may not read this column."""
    return bool(SECRET_NAME.fullmatch(column)) or (table, column) in SECRET_COLUMNS


def grant(database_url: str, role: str) -> None:
    """Grant an existing role what the gateway needs in a migrated database, and nothing more. Raises psycopg.Error."""
    with psycopg.connect(of_primary(database_url)) as connection:
        grant_use(connection, role)


def grant_use(connection: "psycopg.Connection[tuple[object, ...]]", role: str) -> None:
    """Grant `role` what the gateway and its commands need, instead of what it had."""
    _grant_schemas(connection, role)
    for table in _tables(connection):
        _replace(connection, table, role, _listed(privileges_on(table.name)))
        for column in UPDATED_COLUMNS.get(table.name, ()):
            names = sql.Identifier(column), table.identifier, sql.Identifier(role)
            _execute(connection, "GRANT UPDATE ({}) ON {} TO {}", *names)


def grant_read(connection: "psycopg.Connection[tuple[object, ...]]", role: str) -> None:
    """Grant `role` SELECT, except for columns with secrets, instead of what it had."""
    _grant_schemas(connection, role)
    for table in _tables(connection):
        readable = table.readable()
        columns = sql.SQL(", ").join(map(sql.Identifier, readable))
        some = sql.SQL("SELECT ({})").format(columns)
        _replace(connection, table, role, _listed(READ) if len(readable) == len(table.columns) else some)


def _tables(connection: "psycopg.Connection[tuple[object, ...]]") -> Sequence[_Table]:
    with connection.cursor(row_factory=class_row(_Table)) as cursor:
        return cursor.execute(TABLES, [OUR_SCHEMA]).fetchall()


def _listed(privileges: Privileges) -> sql.Composed:
    return sql.SQL(", ").join(sql.SQL(privilege.value) for privilege in sorted(privileges))


def _grant_schemas(connection: "psycopg.Connection[tuple[object, ...]]", role: str) -> None:
    for schema in schemas(connection):
        _execute(connection, "GRANT USAGE ON SCHEMA {} TO {}", sql.Identifier(schema), sql.Identifier(role))


def _replace(
    connection: "psycopg.Connection[tuple[object, ...]]",
    table: _Table,
    role: str,
    privileges: sql.Composable,
) -> None:
    """The other sessions see both statements at once, with the commit."""
    name, grantee = table.identifier, sql.Identifier(role)
    _execute(connection, "REVOKE ALL ON {} FROM {}", name, grantee)
    _execute(connection, "GRANT {} ON {} TO {}", privileges, name, grantee)


def schemas(connection: "psycopg.Connection[tuple[object, ...]]") -> Sequence[str]:
    """Those of the directory and of the cells that are in this database."""
    return [str(name) for (name,) in connection.execute(SCHEMAS, [OUR_SCHEMA]).fetchall()]


def _execute(
    connection: "psycopg.Connection[tuple[object, ...]]", statement: LiteralString, *parts: sql.Composable
) -> None:
    connection.execute(sql.SQL(statement).format(*parts))
