"""The pages in a payer's browser: the cashier, the result, and the gateway's error page."""

from typing import Final

from markupsafe import Markup
from starlette.responses import HTMLResponse

from tael_sandbox import rates, wallet_pages
from tael_sandbox.alipay.trades import Trade
from tael_sandbox.payers import Payer
from tael_sandbox.wallet_pages import ShownOrder

WALLET: Final = "alipay"
CODE: Final = Markup("Error code: <code>{}</code>")


def cashier_page(trade: Trade, payee: str, payers: list[Payer], note: str | None = None) -> HTMLResponse:
    return wallet_pages.cashier_page(
        WALLET,
        "Alipay cashier",
        _shown(trade, payee),
        action=f"/alipay/cashier/{trade.token}",
        payers=payers,
        note=note,
    )


def result_page(trade: Trade, payee: str, title: str, message: str) -> HTMLResponse:
    return wallet_pages.result_page(WALLET, title, _shown(trade, payee), message)


def error_page(code: str) -> HTMLResponse:
    return wallet_pages.error_page(WALLET, "Alipay", CODE.format(code))


def _shown(trade: Trade, payee: str) -> ShownOrder:
    return ShownOrder(
        payee=payee,
        subject=trade.subject,
        order=trade.order_no,
        amount=trade.amount,
        currency=trade.price_currency,
        amount_cny=rates.in_units(trade.cny_minor, "CNY"),
    )
