"""Alipay's two wallets: which of them may pay an order, and what its payer is charged.

`payment_inst` limits an order to the payers of one wallet. Payers of `alipay` are charged in CNY, payers of `alipay_hk`
in HKD. The amounts that merchants get are in the price's currency and in CNY for both.
"""

import sqlite3
from typing import Final

from tael_sandbox.alipay.checks import Parameters
from tael_sandbox.alipay.trades import Trade
from tael_sandbox.payers import Payer, all_payers, cash_price, payer_by_name, payer_of
from tael_sandbox.rates import to_cny_minor
from tael_sandbox.wallet import ControlError

ALIPAY, ALIPAY_HK = "alipay", "alipay_hk"
WALLETS: Final = (ALIPAY, ALIPAY_HK)
WALLET_OF: Final = {"ALIPAYCN": ALIPAY, "ALIPAYHK": ALIPAY_HK}
PAYMENT_INST_OF: Final = {wallet: payment_inst for payment_inst, wallet in WALLET_OF.items()}

TABLES: Final = """
CREATE TABLE IF NOT EXISTS alipay_payment_inst (
    trade_id     INTEGER PRIMARY KEY REFERENCES alipay_trade (id),
    payment_inst TEXT NOT NULL
);
"""


def read_payment_inst(parameters: Parameters) -> str | None:
    """Raises Refused for any other value."""
    if "payment_inst" not in parameters.fields:
        return None
    return parameters.one_of("payment_inst", tuple(WALLET_OF))


def store_payment_inst(connection: sqlite3.Connection, trade: Trade, payment_inst: str | None) -> None:
    if payment_inst is not None:
        connection.execute(
            "INSERT INTO alipay_payment_inst (trade_id, payment_inst) VALUES (?, ?)", (trade.id, payment_inst)
        )


def wallets_for(connection: sqlite3.Connection, trade: Trade) -> tuple[str, ...]:
    """The wallets whose payers may pay the order."""
    row = connection.execute(
        "SELECT payment_inst FROM alipay_payment_inst WHERE trade_id = ?", (trade.id,)
    ).fetchone()
    return WALLETS if row is None else (WALLET_OF[row["payment_inst"]],)


def wallet_of(connection: sqlite3.Connection, trade: Trade) -> str:
    """The wallet of the trade's payer; before there is one, the first that may pay it."""
    if trade.payer is None:
        return wallets_for(connection, trade)[0]
    return payer_by_name(connection, trade.payer).wallet


def payers_for(connection: sqlite3.Connection, trade: Trade) -> list[Payer]:
    wallets = wallets_for(connection, trade)
    return [payer for payer in all_payers(connection) if payer.wallet in wallets]


def payer_for(connection: sqlite3.Connection, trade: Trade, name: str | None) -> Payer:
    """The named payer, or the default one if `name` is None. Raises ControlError if the payer may not pay this."""
    wallets = wallets_for(connection, trade)
    if name is None:
        return payer_of(connection, wallets[0], None)
    payer = next((payer for payer in all_payers(connection) if payer.payer == name), None)
    if payer is None or payer.wallet not in WALLETS:
        raise ControlError(f"Alipay has no payer {name!r}", "payer")
    if payer.wallet not in wallets:
        raise ControlError(f"only payers of {wallets[0]} can pay this order", "payer")
    return payer


def charge_for(amount_minor: int, currency: str, payer: Payer) -> int:
    """What the payer pays for this price, in minor units of the payer's own currency."""
    if payer.wallet == ALIPAY:
        return to_cny_minor(amount_minor, currency)
    return cash_price(amount_minor, currency, payer)


def charge_of(trade: Trade, payer: Payer) -> int:
    return charge_for(trade.amount_minor, trade.price_currency, payer)


def hkd_returned(trade: Trade, payer: Payer, amount_minor: int) -> int:
    """What the next refund returns to a payer in HKD: the difference of running totals, so all parts add up."""
    refunded_minor = trade.refunded_minor
    return _price_of(trade, refunded_minor + amount_minor, payer) - _price_of(trade, refunded_minor, payer)


def _price_of(trade: Trade, amount_minor: int, payer: Payer) -> int:
    return cash_price(amount_minor, trade.price_currency, payer) if amount_minor else 0
