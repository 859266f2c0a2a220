"""What a role may do that runs the gateway and its commands, but does not own the schema.

Rows of some tables are only added: the migrations take the right to change them even from the owner, who could grant it
again. A role of its own for the gateway cannot. Columns of such a table that are blanked may be changed.
"""

from typing import Final

import psycopg
from psycopg import sql

from tael.db.servers import of_primary

#: Of yoyo's tables the gateway reads which migrations are applied.
TABLES: Final = """
SELECT relname, relname LIKE '%yoyo%' AS is_read_only,
    relacl IS NULL OR EXISTS (
        SELECT FROM aclexplode(relacl) AS a WHERE a.grantee = relowner AND a.privilege_type = 'UPDATE'
    ) AS is_changed, array(
        SELECT attname FROM pg_attribute AS c, aclexplode(c.attacl) AS a
        WHERE c.attrelid = pg_class.oid AND a.grantee = relowner AND a.privilege_type = 'UPDATE' ORDER BY attname
    ) AS changed_columns
FROM pg_class WHERE relnamespace = current_schema()::regnamespace AND relkind = 'r' ORDER BY relname
"""
READ: Final = sql.SQL("SELECT")
ADD: Final = sql.SQL("SELECT, INSERT")
CHANGE: Final = sql.SQL("SELECT, INSERT, UPDATE, DELETE")


def grant(database_url: str, role: str) -> None:
    """Grant an existing role what the gateway needs in the migrated schema, and nothing more. Raises psycopg.Error."""
    grantee = sql.Identifier(role)
    with psycopg.connect(of_primary(database_url)) as connection:
        (schema,) = connection.execute("SELECT current_schema()").fetchone() or ("public",)
        connection.execute(sql.SQL("GRANT USAGE ON SCHEMA {} TO {}").format(sql.Identifier(schema), grantee))
        for name, is_read_only, is_changed, changed_columns in connection.execute(TABLES).fetchall():
            table, privileges = sql.Identifier(name), _privileges(is_read_only, is_changed)
            connection.execute(sql.SQL("REVOKE ALL ON {} FROM {}").format(table, grantee))
            connection.execute(sql.SQL("GRANT {} ON {} TO {}").format(privileges, table, grantee))
            for column in map(sql.Identifier, changed_columns):
                connection.execute(sql.SQL("GRANT UPDATE ({}) ON {} TO {}").format(column, table, grantee))


def _privileges(is_read_only: bool, is_changed: bool) -> sql.SQL:
    if is_read_only:
        return READ
    return CHANGE if is_changed else ADD
