"""`python -m tael_sandbox.trade_import PLAN --data FOLDER`: fills new books with the trades of a plan.

For demonstrations with more trade than calls can make. A plan is JSON: `merchants` (`label`, `name`, `settlement`, the
currency of their contracts, and `wallets`) and `events`, sorted by `at` (seconds since 1970). An event is a `payment`,
`refund` or `reversal` of a barcode payment: see `PlannedEvent`. Every change is made by the wallets' own functions.
"""

import argparse
import json
import sqlite3
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final, TypeVar

from tael_sandbox import payers, shops
from tael_sandbox.alipay import changes
from tael_sandbox.alipay import trades as alipay_trades
from tael_sandbox.alipay.barcodes import BIZ_PRODUCT, WAIT
from tael_sandbox.alipay.preconditions import Preconditions
from tael_sandbox.alipay.signing import Keyring
from tael_sandbox.books import Books
from tael_sandbox.clock import from_stamp
from tael_sandbox.main import BOOKS
from tael_sandbox.rates import to_cny_minor
from tael_sandbox.shops import AlipayContract, Shop, Shops, WeChatContract
from tael_sandbox.wechat import refunds
from tael_sandbox.wechat import trades as wechat_trades
from tael_sandbox.wechat.refund_calls import DEFAULT_ACCOUNT

Value = TypeVar("Value")
SUBJECT: Final = "Order"
PAYERS: Final = {"alipay": "ada", "wechat": "chen"}
SHOPS: Final = "shops.json"


@dataclass(frozen=True, slots=True)
class PlannedEvent:
    kind: str
    merchant: int  #: its place in `merchants`
    wallet: str
    number: str  #: of the order, the refund or the reversal
    order: str
    wallet_ref: str  #: the wallet's number of the trade or the refund
    at: float
    currency: str  #: of the price
    amount_minor: int


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("plan", type=Path)
    parser.add_argument("--data", type=Path, required=True)
    options = parser.parse_args()
    options.data.mkdir(mode=0o700, parents=True, exist_ok=True)
    import_trades(json.loads(options.plan.read_text("utf-8")), options.data)


def import_trades(plan: Mapping[str, Any], folder: Path) -> None:
    """Adds the merchants of the plan to the shops, and its events to the books. The sandbox must not run."""
    merchants: Sequence[Mapping[str, Any]] = plan["merchants"]
    imported = _with_merchants(shops.open_shops(folder / SHOPS), merchants)
    shops.save_shops(folder / SHOPS, imported)
    books = Books(folder / BOOKS)
    books.script(alipay_trades.TABLES + wechat_trades.TABLES + refunds.TABLES)
    by_label = {shop.label: shop for shop in imported.shops}
    try:
        with books.transaction() as connection:
            payers.add_default_payers(connection)
            importer = _Importer(connection, imported, [by_label[row["label"]] for row in merchants])
            for row in plan["events"]:
                currency = merchants[row["merchant"]]["currency"]
                importer.add(PlannedEvent(**_known(row), currency=currency))
    finally:
        books.close()


def _known(row: Mapping[str, Any]) -> dict[str, Any]:
    names = ("kind", "merchant", "wallet", "number", "order", "wallet_ref", "at", "amount_minor")
    return {name: row[name] for name in names}


def _with_merchants(stored: Shops, merchants: Sequence[Mapping[str, Any]]) -> Shops:
    """With a shop for each merchant that has none. All use the keys of the first shop and its service provider."""
    labels = {shop.label for shop in stored.shops}
    first = stored.shops[0]
    assert first.wechat is not None
    added = [
        _shop(row, number, first.alipay[0], first.wechat)
        for number, row in enumerate(merchants)
        if row["label"] not in labels
    ]
    return replace(stored, shops=(*stored.shops, *added))


def _shop(row: Mapping[str, Any], number: int, alipay: AlipayContract, wechat: WeChatContract) -> Shop:
    contracts = (replace(alipay, scene="offline", pid=f"2088{number:012d}", sign_type="MD5"),)
    return Shop(
        row["label"],
        row["name"],
        row["settlement"],
        contracts if "alipay" in row["wallets"] else (),
        replace(wechat, sub_mch_id=f"19{number:08d}", sub_appid=f"wx{number:016x}"),
    )


class _Importer:
    def __init__(self, connection: sqlite3.Connection, stored: Shops, merchants: Sequence[Shop]) -> None:
        self._connection = connection
        self._shops = stored
        self._merchants = merchants
        self._keys = Keyring(stored)

    def add(self, event: PlannedEvent) -> None:
        match event.wallet, event.kind:
            case "alipay", "payment":
                self._pay_alipay(event)
            case "alipay", _:
                self._return_alipay(event)
            case "wechat", "payment":
                self._pay_wechat(event)
            case _:
                self._return_wechat(event)

    def _pay_alipay(self, event: PlannedEvent) -> None:
        shop = self._merchants[event.merchant]
        contract = shop.alipay[0]
        trade = alipay_trades.insert_trade(
            self._connection,
            pid=contract.pid,
            order_no=event.number,
            product=alipay_trades.BARCODE,
            product_code=BIZ_PRODUCT,
            trade_no=event.wallet_ref,
            state=alipay_trades.WAITING,
            identity="{}",
            subject=SUBJECT,
            amount_minor=event.amount_minor,
            price_currency=event.currency,
            currency=shop.currency,
            cny_minor=max(1, to_cny_minor(event.amount_minor, event.currency)),
            payer=PAYERS["alipay"],
            sign_type=contract.sign_type,
            charset="utf-8",
            created_at=event.at,
            last_pay_at=event.at + WAIT.total_seconds(),
        )
        _done(changes.pay(self._preconditions(event), trade, PAYERS["alipay"], event.at), event)

    def _return_alipay(self, event: PlannedEvent) -> None:
        """A refund, or a cancel, which returns the whole payment."""
        pid = self._merchants[event.merchant].alipay[0].pid
        trade = _done(alipay_trades.by_order(self._connection, pid, event.order), event)
        is_refund = event.kind == "refund"
        if is_refund:
            row = (pid, event.number, trade.id, event.order, event.amount_minor)
            self._connection.execute(
                "INSERT INTO alipay_refund (pid, refund_no, trade_id, order_no, amount_minor, cny_minor, made_at)"
                " VALUES (?, ?, ?, ?, ?, ?, ?)",
                (*row, changes.cny_of(trade, event.amount_minor), event.at),
            )
        cancel_action = None if is_refund else "refund"
        changes.return_money(self._preconditions(event), trade, event.amount_minor, cancel_action)

    def _pay_wechat(self, event: PlannedEvent) -> None:
        contract = self._contract(event)
        trade = wechat_trades.open_trade(
            self._connection,
            from_stamp(event.at),
            mch_id=contract.mch_id,
            sub_mch_id=contract.sub_mch_id,
            appid=self._shops.account(contract.mch_id).appid,
            sub_appid=contract.sub_appid,
            out_trade_no=event.number,
            transaction_id=event.wallet_ref,
            trade_type="MICROPAY",
            state="USERPAYING",
            wallet="wechat",
            body=SUBJECT,
            attach="",
            device_info="",
            total_fee=event.amount_minor,
            fee_type=event.currency,
            sign_type=contract.sign_type,
            notify_url="",
            requested_openid="",
            payer=PAYERS["wechat"],
        )
        payer = payers.payer_by_name(self._connection, PAYERS["wechat"])
        _done(wechat_trades.pay(self._connection, trade, payer, from_stamp(event.at)), event)

    def _return_wechat(self, event: PlannedEvent) -> None:
        """A refund, which is done at once, or a reversal."""
        now, mch_id = from_stamp(event.at), self._contract(event).mch_id
        trade = _done(wechat_trades.by_order(self._connection, mch_id, event.order), event)
        if event.kind == "reversal":
            wechat_trades.revoke(self._connection, trade, now)
            return
        refund = refunds.accept(
            self._connection,
            trade,
            now,
            out_refund_no=event.number,
            refund_fee=event.amount_minor,
            refund_account=DEFAULT_ACCOUNT,
            notify_url="",
        )
        self._connection.execute(
            "UPDATE wechat_refund SET refund_id = ? WHERE id = ?", (event.wallet_ref, refund.id)
        )
        refunds.finish(self._connection, refund, trade)

    def _contract(self, event: PlannedEvent) -> WeChatContract:
        return _done(self._merchants[event.merchant].wechat, event)

    def _preconditions(self, event: PlannedEvent) -> Preconditions:
        return Preconditions(self._connection, self._keys, from_stamp(event.at))


def _done(value: Value | None, event: PlannedEvent) -> Value:
    """The value of a step that cannot fail for a plan in order. Raises ValueError for any other plan."""
    if value is None:
        raise ValueError(f"{event.kind} {event.number} does not fit the events before it")
    return value


if __name__ == "__main__":
    main()
