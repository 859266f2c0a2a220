"""Alipay's `Wallet`: the gateway's routes, the cashier's form, and the control API's side of the wallet.

Each request is one transaction; changes that are due are applied before it.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import date, datetime
from typing import Final
from urllib.parse import parse_qsl

from starlette.requests import Request
from starlette.responses import PlainTextResponse, RedirectResponse, Response
from starlette.routing import BaseRoute, Route

from tael_sandbox import rates, statement_errors, statements
from tael_sandbox.alipay import files, history, payment_inst, phone, precreate, unserved
from tael_sandbox.alipay.cashier import is_payable
from tael_sandbox.alipay.changes import apply_due_changes
from tael_sandbox.alipay.gateway import Gateway
from tael_sandbox.alipay.messages import BODY_LIMIT_BYTES
from tael_sandbox.alipay.pages import cashier_page, error_page, result_page
from tael_sandbox.alipay.preconditions import Preconditions
from tael_sandbox.alipay.signing import Keyring
from tael_sandbox.alipay.statement_lines import AlipayLines
from tael_sandbox.alipay.tampering import AlipayTampering
from tael_sandbox.alipay.trades import NOT_EXIST, QR, TABLES, Trade, by_token
from tael_sandbox.bodies import read_body
from tael_sandbox.books import Books
from tael_sandbox.certificates import Certificates
from tael_sandbox.clock import Clock
from tael_sandbox.shops import Shops, with_new_alipay_keys
from tael_sandbox.unserved import UnservedCall
from tael_sandbox.wallet import ControlError, Entry, NotEnoughMoney, Planting, Row

NAME: Final = "alipay"


class AlipayWallet:
    names = payment_inst.WALLETS

    def __init__(
        self,
        clock: Clock,
        books: Books,
        shops: Shops,
        http_url: str,
        tls_url: str,
        certificates: Certificates,
    ) -> None:
        self._clock = clock
        self._books = books
        self._shops = shops
        self._http_url = http_url
        self._tls_url = tls_url
        self._certificates = certificates
        self._keys = Keyring(shops)
        self._gateway = Gateway(shops)
        books.script(TABLES + precreate.TABLES + payment_inst.TABLES)

    def routes(self) -> list[BaseRoute]:
        return [
            Route(phone.GATEWAY_PATH, self._serve_gateway, methods=["GET", "POST"]),
            Route(phone.NOTIFY_QUERY_PATH, self._serve_notify_query, methods=["GET"]),
            Route(phone.CASHIER_PATH + "{token}", self._serve_cashier, methods=["GET", "POST"]),
        ]

    def refuse_unserved(self, call: UnservedCall) -> Response | None:
        return unserved.refuse(call, self._keys)

    def tampering(self) -> AlipayTampering:
        return AlipayTampering(self._clock, self._books, self._keys, self._gateway)

    def is_link(self, url: str) -> bool:
        return phone.is_link(url)

    def scan(self, url: str) -> Row | None:
        with self._preconditions() as preconditions:
            trade = phone.trade_of_url(preconditions, self._gateway, url)
            return (
                None
                if trade is None
                else phone.payer_view(preconditions, trade, self._gateway.payee(trade.pid))
            )

    def confirm(self, trade: str | None, url: str | None, action: str, payer: str | None) -> Row | None:
        with self._preconditions() as preconditions:
            target_trade = phone.trade_of_number(preconditions, trade) if trade is not None else None
            if target_trade is None and url is not None:
                target_trade = phone.trade_of_url(preconditions, self._gateway, url)
            return None if target_trade is None else phone.act(preconditions, target_trade, action, payer)

    def waiting(self, payer: str) -> list[Entry]:
        return history.waiting(self._books.reader, payer, self._gateway.payee)

    def history(self, payer: str, limit: int) -> list[Entry]:
        return history.history(self._books.reader, payer, limit, self._gateway.payee)

    def book(self, wallet: str) -> dict[str, list[Row]]:
        """Without orders that exist only as a page, which are not in Alipay's book."""
        trades = self._books.reader.execute(
            "SELECT t.* FROM alipay_trade t JOIN payer USING (payer) WHERE state <> ? AND wallet = ?"
            " ORDER BY id",
            (NOT_EXIST, wallet),
        )
        refunds = self._books.reader.execute(
            "SELECT r.* FROM alipay_refund r JOIN alipay_trade t ON t.id = r.trade_id JOIN payer USING (payer)"
            " WHERE wallet = ? ORDER BY r.rowid",
            (wallet,),
        )
        return {
            "trades": [phone.book_row(Trade(*row), wallet) for row in trades],
            "refunds": [
                {
                    "wallet": wallet,
                    "order": row["order_no"],
                    "refund_order": row["refund_no"],
                    "state": "SUCCESS",
                    "amount": row["amount_minor"],
                }
                for row in refunds
            ],
        }

    def accounts(self) -> list[Row]:
        return [
            {
                "wallet": NAME,
                "shop": shop.label,
                "scene": contract.scene,
                "gateway_url": self._http_url + phone.GATEWAY_PATH,
                "gateway_tls_url": self._tls_url + phone.GATEWAY_PATH,
                "pid": contract.pid,
                "key": contract.key,
                "sign_type": contract.sign_type,
                "fee_rate": rates.percentage(contract.fee_rate_ppm),
                "currency": shop.currency,
                "private_key_pem": contract.private_key_pem,
                "alipay_public_key_pem": self._keys.public_key_pem,
                "ca_pem": self._certificates.ca_pem,
            }
            for shop in self._shops.shops
            for contract in shop.alipay
        ]

    def with_new_keys(self, shops: Shops, shop: str, key: str | None) -> Shops:
        sign_types = {row["sign_type"] for row in self.accounts() if row["shop"] == shop}
        if not sign_types:
            raise ControlError(f"{shop!r} has no account at Alipay", "shop")
        if key is not None and sign_types != {"MD5"}:
            raise ControlError("the sign_type of the shop's accounts has no shared key", "key")
        return with_new_alipay_keys(shops, shop, key)

    def use(self, shops: Shops) -> None:
        self._shops = shops
        self._keys.use(shops)
        self._gateway.use(shops)

    def set_bill_headers(self, shop: str, language: str) -> Row:
        raise ControlError("Alipay's files have no headings", "wallet")

    def close_day(self, wallet: str, day: date) -> Row:
        """Both wallets of Alipay share the merchants' files, so closing a day closes it for both."""
        with self._preconditions() as preconditions:
            if not statements.is_cut(preconditions.connection, NAME, day):
                files.cut(preconditions.connection, self._gateway.contracts, day, preconditions.now)
            downloads = [
                {
                    "shop": shop.label,
                    "account": contract.pid,
                    "url": self._http_url + phone.GATEWAY_PATH,
                    "ask": {
                        "service": files.COMPARE,
                        "partner": contract.pid,
                        "start_date": f"{day:%Y%m%d}",
                        "end_date": f"{day:%Y%m%d}",
                    },
                }
                for shop in self._shops.shops
                for contract in shop.alipay
            ]
            return statements.shown(preconditions.connection, NAME, day, downloads) | {"wallet": wallet}

    def plant_statement_errors(self, planting: Planting) -> list[Row]:
        pids = [contract.pid for contract in self._gateway.contracts]
        with self._preconditions() as preconditions:
            lines = AlipayLines(preconditions.connection)
            return statement_errors.plant(preconditions.connection, lines, pids, planting, preconditions.now)

    def openids(self, payer: str) -> dict[str, str]:
        """Always empty: Alipay's payers have one id for all merchants, and no openid."""
        return {}

    def tick(self, now: datetime) -> None:
        due = self._books.reader.execute(
            "SELECT 1 FROM alipay_trade WHERE due_at <= ? LIMIT 1", (now.timestamp(),)
        )
        if due.fetchone() is not None:
            with self._books.transaction() as connection:
                apply_due_changes(Preconditions(connection, self._keys, now))

    @contextmanager
    def _preconditions(self) -> Iterator[Preconditions]:
        now = self._clock.now()
        self.tick(now)
        with self._books.transaction() as connection:
            yield Preconditions(connection, self._keys, now)

    async def _serve_gateway(self, request: Request) -> Response:
        body = await read_body(request, BODY_LIMIT_BYTES)
        if body is None:
            return PlainTextResponse("request too large", 413)
        query: bytes = request.scope["query_string"]
        with self._preconditions() as preconditions:
            return self._gateway.answer(preconditions, query, body)

    async def _serve_notify_query(self, request: Request) -> Response:
        with self._preconditions() as preconditions:
            return self._gateway.answer_notify_query(preconditions, request.scope["query_string"])

    async def _serve_cashier(self, request: Request) -> Response:
        body = await read_body(request, BODY_LIMIT_BYTES)
        form = dict(parse_qsl((body or b"").decode("utf-8", "replace")))
        try:
            with self._preconditions() as preconditions:
                trade = by_token(preconditions.connection, request.path_params["token"])
                if trade is None or trade.product == QR:
                    return error_page(NOT_EXIST)
                if request.method == "POST":
                    return self._act_at_cashier(preconditions, trade, form)
                return self._show_cashier(preconditions, trade)
        except ControlError:  # paid or closed meanwhile, or not the cashier's own form
            return error_page("TRADE_NOT_ALLOWED_PAY")

    def _act_at_cashier(self, preconditions: Preconditions, trade: Trade, form: dict[str, str]) -> Response:
        action = form.get("action")
        payee = self._gateway.payee(trade.pid)
        if action == "pay":
            try:
                done = phone.act(preconditions, trade, "pay", form.get("payer"))
            except NotEnoughMoney:
                return self._show_cashier(
                    preconditions, trade, "Not enough money. Nothing was paid; choose who pays."
                )
            if done["return_to"] is not None:
                return RedirectResponse(done["return_to"], 303)
            return result_page(trade, payee, "Paid", "The payment is done.")
        if action == "cancel":
            phone.act(preconditions, trade, "cancel", None)
            return result_page(trade, payee, "Not paid", "You left the cashier; nothing was paid.")
        return error_page("ILLEGAL_ARGUMENT")

    def _show_cashier(self, preconditions: Preconditions, trade: Trade, note: str | None = None) -> Response:
        if not is_payable(trade, preconditions.now):
            return error_page("TRADE_NOT_ALLOWED_PAY")
        payers = payment_inst.payers_for(preconditions.connection, trade)
        return cashier_page(trade, self._gateway.payee(trade.pid), payers, note)
