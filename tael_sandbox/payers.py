"""The payers, created once: for each wallet two with a practically unlimited balance, and one with a low balance.

`alipay` and `wechat` payers hold CNY, `alipay_hk` and `wechat_hk` payers HKD. A payment debits the balance, a refund
credits it.
"""

import sqlite3
from dataclasses import dataclass
from typing import Final

from tael_sandbox import rates
from tael_sandbox.wallet import ControlError

RICH_MINOR: Final = 10**12
#: Less than almost any price, to show an online order that fails with insufficient funds.
POOR_MINOR: Final = 500
#: payer, wallet, display name, the wallet's id of the payer, opening balance; a wallet's first payer is its default
DEFAULT_PAYERS: Final = (
    ("ada", "alipay", "Ada Wong", "2088102000000017", RICH_MINOR),
    ("bao", "alipay", "Bao Li", "2088102000000025", RICH_MINOR),
    ("chen", "wechat", "Chen Yu", "oC1b2uQ8sandboxpayerchen0001", RICH_MINOR),
    ("dora", "wechat", "Dora Lam", "oC1b2uQ8sandboxpayerdora0002", RICH_MINOR),
    ("emil", "wechat_hk", "Emil Ho", "oH7k4wR3sandboxpayeremil0003", RICH_MINOR),
    ("fay", "wechat_hk", "Fay Chan", "oH7k4wR3sandboxpayerfay00004", RICH_MINOR),
    ("gil", "alipay", "Gil Ng", "2088102000000033", POOR_MINOR),
    ("hana", "wechat", "Hana Sun", "oC1b2uQ8sandboxpayerhana0005", POOR_MINOR),
    ("ivy", "wechat_hk", "Ivy Kwok", "oH7k4wR3sandboxpayerivy00006", POOR_MINOR),
    ("jade", "alipay_hk", "Jade Yip", "2088102000000041", RICH_MINOR),
    ("kit", "alipay_hk", "Kit Tam", "2088102000000058", RICH_MINOR),
    ("lok", "alipay_hk", "Lok Mak", "2088102000000066", POOR_MINOR),
)
WALLETS: Final = ("alipay", "alipay_hk", "wechat", "wechat_hk")
#: The currency of the balances of a wallet's payers.
CASH_CURRENCY: Final = {"alipay": "CNY", "alipay_hk": "HKD", "wechat": "CNY", "wechat_hk": "HKD"}


@dataclass(frozen=True, slots=True)
class Payer:
    payer: str
    wallet: str
    name: str
    user_id: str
    balance: int  #: minor units of the wallet's currency


def add_default_payers(connection: sqlite3.Connection) -> None:
    """Adds the default payers that are missing; existing balances stay."""
    connection.executemany(
        "INSERT OR IGNORE INTO payer (payer, wallet, name, user_id, balance) VALUES (?, ?, ?, ?, ?)",
        DEFAULT_PAYERS,
    )


def all_payers(connection: sqlite3.Connection) -> list[Payer]:
    return [Payer(**dict(row)) for row in connection.execute("SELECT * FROM payer ORDER BY rowid")]


def payer_of(connection: sqlite3.Connection, wallet: str, payer: str | None) -> Payer:
    """The named payer of this wallet, or the wallet's first if `payer` is None. Raises ControlError if unknown."""
    row = connection.execute(
        "SELECT * FROM payer WHERE wallet = ? AND (payer = ? OR ? IS NULL) ORDER BY rowid LIMIT 1",
        (wallet, payer, payer),
    ).fetchone()
    if row is None:
        raise ControlError(f"{wallet} has no payer {payer!r}", "payer")
    return Payer(**dict(row))


def payer_by_name(connection: sqlite3.Connection, payer: str) -> Payer:
    """The payer of any wallet. Raises ControlError if unknown."""
    row = connection.execute("SELECT * FROM payer WHERE payer = ?", (payer,)).fetchone()
    if row is None:
        raise ControlError(f"there is no payer {payer!r}", "payer")
    return Payer(**dict(row))


def cash_price(amount_minor: int, currency: str, payer: Payer) -> int:
    """The price in minor units of the payer's own currency, at least one."""
    return max(1, rates.convert(amount_minor, currency, CASH_CURRENCY[payer.wallet]))


def debit(connection: sqlite3.Connection, payer: str, amount_minor: int) -> bool:
    """False, with nothing changed, if the balance is too low."""
    changed = connection.execute(
        "UPDATE payer SET balance = balance - ? WHERE payer = ? AND balance >= ?",
        (amount_minor, payer, amount_minor),
    )
    return changed.rowcount == 1


def credit(connection: sqlite3.Connection, payer: str, amount_minor: int) -> None:
    connection.execute("UPDATE payer SET balance = balance + ? WHERE payer = ?", (amount_minor, payer))
