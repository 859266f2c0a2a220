"""WeChat Pay's `Wallet`: combines registry, calls, OAuth and the payer's phone."""

import base64
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import date, datetime

from starlette.responses import Response
from starlette.routing import BaseRoute

from tael_sandbox import rates, statement_errors, statements
from tael_sandbox.books import Books
from tael_sandbox.certificates import Certificates
from tael_sandbox.clock import Clock
from tael_sandbox.payers import payer_by_name
from tael_sandbox.shops import Shops, with_new_wechat_key
from tael_sandbox.unserved import UnservedCall
from tael_sandbox.wallet import ControlError, Entry, Planting, Row
from tael_sandbox.wechat import (
    bill_headers,
    bills,
    history,
    mweb_links,
    refunds,
    resolved_codes,
    short_urls,
    trades,
    unserved,
)
from tael_sandbox.wechat.due import has_due_steps, take_due_steps
from tael_sandbox.wechat.endpoints import CALLS
from tael_sandbox.wechat.mweb_page import MwebPage
from tael_sandbox.wechat.oauth import OAuth
from tael_sandbox.wechat.phone import Phone, is_link
from tael_sandbox.wechat.pipeline import Pipeline
from tael_sandbox.wechat.registry import WALLETS, Merchant, Registry
from tael_sandbox.wechat.statement_lines import WeChatLines
from tael_sandbox.wechat.tampering import WeChatTampering
from tael_sandbox.wechat.trades import Trade
from tael_sandbox.wechat.vendor_sandbox import VENDOR_SANDBOX_CALLS


class WeChatWallet:
    def __init__(
        self,
        clock: Clock,
        books: Books,
        shops: Shops,
        http_url: str,
        tls_url: str,
        certificates: Certificates,
    ) -> None:
        books.script(
            "".join(
                module.TABLES
                for module in (trades, refunds, resolved_codes, short_urls, bill_headers, mweb_links)
            )
        )
        self._clock = clock
        self._books = books
        self._registry = Registry(books, shops)
        self._http_url = http_url
        self._tls_url = tls_url
        self._certificates = certificates

    @property
    def names(self) -> tuple[str, ...]:
        return WALLETS

    def routes(self) -> list[BaseRoute]:
        pipeline = Pipeline(self._clock, self._books, self._registry, self._http_url)
        oauth = OAuth(self._clock, self._books, self._registry)
        vendor_sandbox = (
            pipeline.route_all(prefix, VENDOR_SANDBOX_CALLS) for prefix in ("/sandboxnew", "/xdc")
        )
        calls = (pipeline.route(call) for call in CALLS)
        return [*calls, *vendor_sandbox, *oauth.routes(), *MwebPage(self._phone).routes()]

    def refuse_unserved(self, call: UnservedCall) -> Response | None:
        return unserved.refuse(call)

    def tampering(self) -> WeChatTampering:
        return WeChatTampering(self._books, self._registry)

    def is_link(self, url: str) -> bool:
        return is_link(url)

    def scan(self, url: str) -> Row | None:
        with self._phone() as phone:
            trade = phone.find_by_url(url)
            return None if trade is None else phone.show(trade)

    def confirm(self, trade: str | None, url: str | None, action: str, payer: str | None) -> Row | None:
        with self._phone() as phone:
            by_number = trades.by_any_number(phone.connection, trade) if trade is not None else None
            target_trade = by_number if trade is not None else phone.find_by_url(url or "")
            if target_trade is None:
                return None
            after = phone.act(target_trade, action, payer)
            row = {**_trade_row(after), "transaction_id": after.transaction_id}
            leaves_page = trade is None and action != "wrong_password"
            return_to = _return_address(url) if leaves_page else None
            return {"trade": row, "state": after.state, "return_to": return_to}

    @contextmanager
    def _phone(self) -> Iterator[Phone]:
        now = self._clock.now()
        with self._books.transaction() as connection:
            take_due_steps(connection, self._registry, now)
            yield Phone(connection, self._registry, now)

    def waiting(self, payer: str) -> list[Entry]:
        reader = self._books.reader
        return history.waiting(reader, payer_by_name(reader, payer), self._registry.payee)

    def history(self, payer: str, limit: int) -> list[Entry]:
        reader = self._books.reader
        return history.history(reader, payer_by_name(reader, payer), limit, self._registry.payee)

    def book(self, wallet: str) -> dict[str, list[Row]]:
        reader = self._books.reader
        return {
            "trades": [_trade_row(trade) for trade in trades.all_trades(reader, wallet)],
            "refunds": [
                {
                    "wallet": wallet,
                    "order": order,
                    "refund_order": refund.out_refund_no,
                    "state": refund.status,
                    "amount": refund.refund_fee,
                }
                for refund, order in refunds.all_refunds(reader, wallet)
            ],
        }

    def accounts(self) -> list[Row]:
        return [self._account(merchant) for merchant in self._registry.merchants]

    def _account(self, merchant: Merchant) -> Row:
        mch_id = merchant.account.mch_id
        client, client_p12 = self._certificates.client(mch_id), self._certificates.client_p12(mch_id)
        return {
            "wallet": "wechat",
            "shop": merchant.shop.label,
            "scene": "both",
            "kind": "direct" if merchant.is_direct else "provider",
            "base_url": self._tls_url,
            "http_url": self._http_url,
            "appid": merchant.account.appid,
            "mch_id": mch_id,
            "sub_mch_id": merchant.contract.sub_mch_id,
            "sub_appid": merchant.contract.sub_appid,
            "mini_appid": merchant.contract.mini_appid,
            "app_appid": merchant.contract.app_appid,
            "sub_secret": merchant.contract.sub_secret,
            "key": merchant.account.key,
            "sign_type": merchant.contract.sign_type,
            "fee_rate": rates.percentage(merchant.contract.fee_rate_ppm),
            "currency": merchant.shop.currency,
            "bill_headers": bill_headers.language_of(self._books.reader, merchant.number),
            "cert_pem": client.cert_pem,
            "key_pem": client.key_pem,
            "cert_p12_base64": base64.b64encode(client_p12.read_bytes()).decode(),
            "ca_pem": self._certificates.ca_pem,
        }

    def with_new_keys(self, shops: Shops, shop: str, key: str | None) -> Shops:
        return with_new_wechat_key(shops, self._merchant(shop).account.mch_id, key)

    def use(self, shops: Shops) -> None:
        self._registry.use(shops)

    def _merchant(self, shop: str) -> Merchant:
        merchant = next((each for each in self._registry.merchants if each.shop.label == shop), None)
        if merchant is None:
            raise ControlError(f"{shop!r} has no account at WeChat Pay", "shop")
        return merchant

    def set_bill_headers(self, shop: str, language: str) -> Row:
        merchant = self._merchant(shop)
        with self._books.transaction() as connection:
            bill_headers.put(connection, merchant.number, language)
        return self._account(merchant)

    def close_day(self, wallet: str, day: date) -> Row:
        """Both wallets of WeChat share one bill, so closing a day closes it for both."""
        now = self._clock.now()
        with self._books.transaction() as connection:
            take_due_steps(connection, self._registry, now)
            if not statements.is_cut(connection, bills.BOOK, day):
                bills.cut(connection, self._registry, day, now)
            downloads = [self._download(merchant, day) for merchant in self._registry.merchants]
            return statements.shown(connection, bills.BOOK, day, downloads) | {"wallet": wallet}

    def plant_statement_errors(self, planting: Planting) -> list[Row]:
        now = self._clock.now()
        numbers = [merchant.number for merchant in self._registry.merchants]
        with self._books.transaction() as connection:
            take_due_steps(connection, self._registry, now)
            lines = WeChatLines(connection, self._registry)
            return statement_errors.plant(connection, lines, numbers, planting, now)

    def _download(self, merchant: Merchant, day: date) -> Row:
        sub_mch_id = {} if merchant.is_direct else {"sub_mch_id": merchant.contract.sub_mch_id}
        return {
            "shop": merchant.shop.label,
            "account": merchant.number,
            "url": self._tls_url + bills.PATH,
            "ask": {"mch_id": merchant.account.mch_id, **sub_mch_id, "bill_date": f"{day:%Y%m%d}"},
        }

    def openids(self, payer: str) -> dict[str, str]:
        return {appid: self._registry.openid(payer, appid) for appid in self._registry.appids_with_openids}

    def tick(self, now: datetime) -> None:
        if has_due_steps(self._books.reader, now):
            with self._books.transaction() as connection:
                take_due_steps(connection, self._registry, now)


def _return_address(url: str | None) -> str | None:
    """The merchant's page after an MWEB order. None for any other link."""
    if url is None or not mweb_links.is_mweb_link(url):
        return None
    return mweb_links.return_address(mweb_links.query_of(url))


def _trade_row(trade: Trade) -> Row:
    return {
        "wallet": trade.wallet,
        "order": trade.out_trade_no,
        "trade": trade.transaction_id,
        "state": trade.state,
        "amount": trade.total_fee,
        "currency": trade.fee_type,
        "refunded": trade.refunded_fee,
    }
