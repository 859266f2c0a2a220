"""The links of MWEB orders: a browser outside WeChat opens one to pay in the app.

Each unifiedorder of the order makes a new link, which can be opened for five minutes. The merchant may append
`redirect_url`, the page to which the browser goes afterwards.
"""

import sqlite3
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final
from urllib.parse import parse_qsl, urlencode, urlsplit

from tael_sandbox.clock import from_stamp
from tael_sandbox.wechat import numbering, trades
from tael_sandbox.wechat.addresses import is_web_address
from tael_sandbox.wechat.trades import Trade

PATH: Final = "/cgi-bin/mmpayweb-bin/checkmweb"
LIFE: Final = timedelta(minutes=5)

TABLES: Final = """
CREATE TABLE IF NOT EXISTS wechat_mweb_link (
    trade_id INTEGER NOT NULL REFERENCES wechat_trade (id),
    package  TEXT NOT NULL,
    payer_ip TEXT NOT NULL,
    made_at  REAL NOT NULL,
    PRIMARY KEY (trade_id, package)
);
"""


@dataclass(frozen=True, slots=True)
class MwebLink:
    trade: Trade
    payer_ip: str  #: `spbill_create_ip` of the order
    made_at: float

    def is_too_old(self, now: datetime) -> bool:
        return now - from_stamp(self.made_at) > LIFE


def make_link(connection: sqlite3.Connection, trade: Trade, payer_ip: str, now: datetime) -> str:
    """The path and query of a new link."""
    package = numbering.mweb_package()
    connection.execute(
        "INSERT INTO wechat_mweb_link (trade_id, package, payer_ip, made_at) VALUES (?, ?, ?, ?)",
        (trade.id, package, payer_ip, now.timestamp()),
    )
    return f"{PATH}?{urlencode({'prepay_id': trade.prepay_id, 'package': package})}"


def find_link(connection: sqlite3.Connection, query: Mapping[str, str]) -> MwebLink | None:
    trade = trades.by_prepay(connection, query.get("prepay_id", ""))
    if trade is None:
        return None
    row = connection.execute(
        "SELECT payer_ip, made_at FROM wechat_mweb_link WHERE trade_id = ? AND package = ?",
        (trade.id, query.get("package", "")),
    ).fetchone()
    return None if row is None else MwebLink(trade, row["payer_ip"], row["made_at"])


def is_mweb_link(url: str) -> bool:
    """Whether it is such a link, valid or not, on any host."""
    try:
        return urlsplit(url).path == PATH
    except ValueError:
        return False


def query_of(url: str) -> dict[str, str]:
    return dict(parse_qsl(urlsplit(url).query))


def return_address(query: Mapping[str, str]) -> str | None:
    """The merchant's page. None if there is none, or if it is no address on the web."""
    url = query.get("redirect_url", "")
    return url if url.isprintable() and is_web_address(url) else None
