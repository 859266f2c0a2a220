"""Barcodes whose payer a shop has resolved: from then on only that shop can charge them.

A magic code that was not issued stays available to every shop. The column `sub_mch_id` has a direct merchant's
`mch_id`.
"""

import sqlite3
from typing import Final

TABLES: Final = """
CREATE TABLE IF NOT EXISTS wechat_resolved_code (
    auth_code  TEXT PRIMARY KEY REFERENCES code (auth_code),
    sub_mch_id TEXT NOT NULL
);
"""


def reserve(connection: sqlite3.Connection, auth_code: str, number: str) -> None:
    connection.execute(
        "INSERT OR IGNORE INTO wechat_resolved_code (auth_code, sub_mch_id)"
        " SELECT auth_code, ? FROM code WHERE auth_code = ?",
        (number, auth_code),
    )


def reserved_for(connection: sqlite3.Connection, auth_code: str) -> str | None:
    """The number of the merchant that resolved the code first, if any."""
    row = connection.execute(
        "SELECT sub_mch_id FROM wechat_resolved_code WHERE auth_code = ?", (auth_code,)
    ).fetchone()
    return None if row is None else str(row["sub_mch_id"])
