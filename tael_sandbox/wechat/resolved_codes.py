"""Barcodes whose payer a shop has asked for: from then on only that shop may charge them.

A code that was made up by hand stays everybody's.
"""

import sqlite3
from typing import Final

TABLES: Final = """
CREATE TABLE IF NOT EXISTS wechat_resolved_code (
    auth_code  TEXT PRIMARY KEY REFERENCES code (auth_code),
    sub_mch_id TEXT NOT NULL
);
"""


def hold(connection: sqlite3.Connection, auth_code: str, sub_mch_id: str) -> None:
    connection.execute(
        "INSERT OR IGNORE INTO wechat_resolved_code (auth_code, sub_mch_id)"
        " SELECT auth_code, ? FROM code WHERE auth_code = ?",
        (sub_mch_id, auth_code),
    )


def holder(connection: sqlite3.Connection, auth_code: str) -> str | None:
    """The sub_mch_id of the shop that asked first."""
    row = connection.execute(
        "SELECT sub_mch_id FROM wechat_resolved_code WHERE auth_code = ?", (auth_code,)
    ).fetchone()
    return None if row is None else str(row["sub_mch_id"])
