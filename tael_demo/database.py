"""Whether a demo may use a database that the user names.

A demo migrates its database and adds an app whose key is public, so it checks before it writes anything. An app
belongs to the demo if the encryption key in the demo's folder decrypts the app's key.
"""

from typing import Final

import psycopg

from tael.base.cipher import Cipher, DecryptionFailed, associated_data
from tael.base.key_file import KeySource
from tael.cli.databases import UNUSABLE_DATABASE, why_unusable

CONNECT_TIMEOUT_S: Final = 10
#: Any table, except those of extensions and those left by an interrupted first migration.
TABLES: Final = """
SELECT c.relname FROM pg_class AS c JOIN pg_namespace AS n ON n.oid = c.relnamespace
WHERE c.relkind IN ('r', 'p', 'v', 'm', 'f') AND n.nspname !~ '^pg_' AND n.nspname <> 'information_schema'
    AND c.relname NOT IN ('yoyo_lock', '_yoyo_log', '_yoyo_migration', '_yoyo_version')
    AND NOT EXISTS (SELECT FROM pg_depend AS d WHERE d.objid = c.oid AND d.deptype = 'e')
LIMIT 1
"""
KEYS: Final = "SELECT appcode, key_encrypted FROM app"
NOT_THE_DEMOS: Final = (
    "the database contains {what}; a demo uses an empty database or its own. Nothing was changed there"
)


def why_not_the_demos(database_url: str, encryption_keys: KeySource) -> str | None:
    """Why a demo with these encryption keys must not use the database; None if it may."""
    try:
        with psycopg.connect(database_url, connect_timeout=CONNECT_TIMEOUT_S) as connection:
            if connection.execute(TABLES).fetchone() is None:
                return None
            keys = [(row[0], bytes(row[1])) for row in connection.execute(KEYS)]
    except (psycopg.errors.UndefinedTable, psycopg.errors.UndefinedColumn):
        return NOT_THE_DEMOS.format(what="tables that are not tael's")
    except UNUSABLE_DATABASE as error:
        return why_unusable(error)
    cipher = Cipher(encryption_keys)
    try:
        for appcode, key in keys:
            cipher.decrypt(key, associated_data("app", "key_encrypted", (appcode,)))
    except DecryptionFailed:
        return NOT_THE_DEMOS.format(what="apps that are not this demo's")
    return None
