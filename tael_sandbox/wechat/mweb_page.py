"""The page behind the link of an MWEB order. It stands in for the WeChat app, which the real page opens.

WeChat's restrictions on the browser apply in the profile `strict` only. A page that was opened in time can still be
used after the link has expired.
"""

from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from typing import Final
from urllib.parse import parse_qsl, urlencode

from markupsafe import Markup
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import BaseRoute, Route

from tael_sandbox import rates, wallet_pages
from tael_sandbox.bodies import read_body
from tael_sandbox.payers import all_payers
from tael_sandbox.profiles import current_profile
from tael_sandbox.wallet import ControlError, NotEnoughMoney
from tael_sandbox.wallet_pages import ShownOrder
from tael_sandbox.wechat.addresses import is_same_address, is_web_address
from tael_sandbox.wechat.mweb_links import PATH, MwebLink, find_link, return_address
from tael_sandbox.wechat.phone import Phone
from tael_sandbox.wechat.registry import WALLETS
from tael_sandbox.wechat.trades import Trade

BODY_LIMIT_BYTES: Final = 64 * 1024
#: WeChat's texts. `MALFORMED` is also its text for a browser that sends no Referer.
MALFORMED: Final = "商家参数格式有误，请联系商家解决"
OTHER_ADDRESS: Final = "网络环境未能通过安全验证，请稍后再试"
TOO_OLD: Final = "支付请求已失效，请重新发起支付"
PAID: Final = "该订单已支付"
CLOSED: Final = "该订单已关闭"

WALLET: Final = "wechat"
TITLE: Final = "WeChat Pay"
_CHINESE: Final = Markup('<span lang="zh-CN">{}</span>')


class MwebError(Exception):
    """The page cannot be shown. Becomes the error page with WeChat's text."""


class MwebPage:
    def __init__(self, open_phone: Callable[[], AbstractContextManager[Phone]]) -> None:
        self._open_phone = open_phone

    def routes(self) -> list[BaseRoute]:
        return [Route(PATH, self._serve, methods=["GET", "POST"])]

    async def _serve(self, request: Request) -> Response:
        body = await read_body(request, BODY_LIMIT_BYTES)
        form = dict(parse_qsl((body or b"").decode("utf-8", "replace")))
        try:
            with self._open_phone() as phone:
                link = _payable_link(phone, request.query_params)
                if request.method == "POST":
                    return _act(phone, link.trade, request.query_params, form)
                _check_browser(phone, link, request)
                return _show(phone, link.trade, request.query_params)
        except MwebError as refused:
            return wallet_pages.error_page(WALLET, TITLE, _CHINESE.format(refused))


def _payable_link(phone: Phone, query: Mapping[str, str]) -> MwebLink:
    link = find_link(phone.connection, query)
    if link is None:
        raise MwebError(MALFORMED)
    if link.trade.state != "NOTPAY":
        raise MwebError(PAID if link.trade.is_paid else CLOSED)
    return link


def _check_browser(phone: Phone, link: MwebLink, request: Request) -> None:
    if link.is_too_old(phone.now):
        raise MwebError(TOO_OLD)
    if not current_profile(phone.connection).is_strict:
        return
    if not is_web_address(request.headers.get("referer", "")):
        raise MwebError(MALFORMED)
    if request.client is None or not is_same_address(request.client.host, link.payer_ip):
        raise MwebError(OTHER_ADDRESS)


def _act(phone: Phone, trade: Trade, query: Mapping[str, str], form: Mapping[str, str]) -> Response:
    action = form.get("action")
    if action not in ("pay", "cancel"):
        raise MwebError(MALFORMED)
    try:
        phone.act(trade, action, form.get("payer"))
    except NotEnoughMoney:
        return _show(phone, trade, query, "Not enough money. Nothing was paid; choose who pays.")
    except ControlError:  # a payer of another wallet, which the form does not offer
        raise MwebError(MALFORMED) from None
    address = return_address(query)
    if address is not None:
        return RedirectResponse(address, 303)
    title, message = (
        ("Paid", "The payment is done.")
        if action == "pay"
        else ("Not paid", "You left WeChat Pay; nothing was paid.")
    )
    return wallet_pages.result_page(WALLET, title, _shown(phone, trade), message)


def _show(phone: Phone, trade: Trade, query: Mapping[str, str], note: str | None = None) -> Response:
    return wallet_pages.cashier_page(
        WALLET,
        TITLE,
        _shown(phone, trade),
        action=f"{PATH}?{urlencode(dict(query))}",
        payers=[payer for payer in all_payers(phone.connection) if payer.wallet in WALLETS],
        note=note,
    )


def _shown(phone: Phone, trade: Trade) -> ShownOrder:
    return ShownOrder(
        payee=phone.registry.payee(trade.mch_id, trade.sub_mch_id),
        subject=trade.body,
        order=trade.out_trade_no,
        amount=rates.in_units(trade.total_fee, trade.fee_type),
        currency=trade.fee_type,
        amount_cny=rates.in_units(rates.to_cny_minor(trade.total_fee, trade.fee_type), "CNY"),
    )
