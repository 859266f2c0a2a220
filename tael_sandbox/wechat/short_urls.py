"""`/tools/shorturl`: shortens a link of WeChat Pay's, so that its QR code is easier to scan."""

import sqlite3
from typing import Final
from urllib.parse import unquote

from tael_sandbox.wechat import numbering
from tael_sandbox.wechat.calls import AdmittedRequest, Refusal
from tael_sandbox.wechat.messages import Value

TABLES: Final = """
CREATE TABLE IF NOT EXISTS wechat_short_url (
    short_url TEXT PRIMARY KEY,
    long_url  TEXT NOT NULL UNIQUE
);
"""
LONG_PREFIXES: Final = ("weixin://wxpay/bizpayurl?", "weixin://wxpay/s/")


def shorturl(request: AdmittedRequest) -> dict[str, Value]:
    """The same long URL always gets the same short one. Raises Refusal."""
    long_url = request.text("long_url")
    if not long_url.startswith(LONG_PREFIXES):
        long_url = unquote(long_url)
    if not long_url.startswith(LONG_PREFIXES):
        raise Refusal("URLFORMATERROR", "URL格式错误")
    request.connection.execute(
        "INSERT OR IGNORE INTO wechat_short_url (short_url, long_url) VALUES (?, ?)",
        (numbering.short_url(), long_url),
    )
    row = request.connection.execute(
        "SELECT short_url FROM wechat_short_url WHERE long_url = ?", (long_url,)
    ).fetchone()
    return {"short_url": str(row["short_url"])}


def long_url(connection: sqlite3.Connection, short_url: str) -> str | None:
    row = connection.execute(
        "SELECT long_url FROM wechat_short_url WHERE short_url = ?", (short_url,)
    ).fetchone()
    return None if row is None else str(row["long_url"])
