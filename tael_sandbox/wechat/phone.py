"""The payer's side of a trade: viewing the order of a QR code or prepay_id, paying it and cancelling it."""

import json
import re
import sqlite3
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from tael_sandbox.payers import Payer, payer_of
from tael_sandbox.rates import to_cny_minor
from tael_sandbox.wallet import ControlError, NotEnoughMoney, Row
from tael_sandbox.wechat import mweb_links, short_urls, trades
from tael_sandbox.wechat.notices import queue_payment_notice
from tael_sandbox.wechat.numbering import QR_PREFIX, SHORT_PREFIX
from tael_sandbox.wechat.registry import WALLETS, Registry
from tael_sandbox.wechat.trades import Trade

_PREPAY: Final = re.compile("wx[0-9]{14}[0-9a-f]{20}")
_PACKAGE: Final = "prepay_id="


def is_link(url: str) -> bool:
    """Whether it is the text of a QR code, the link of an MWEB order, or names a prepay_id."""
    is_code = url.startswith((QR_PREFIX, SHORT_PREFIX))
    return is_code or mweb_links.is_mweb_link(url) or prepay_id_in(url) is not None


def prepay_id_in(text: str) -> str | None:
    """The prepay_id of a `package`, or of the parameters of a payment in JSON. None if the text is neither."""
    if text.startswith("{"):
        prepay_id = _prepay_id_of_parameters(text)
        return prepay_id if _PREPAY.fullmatch(prepay_id) else None
    if text.startswith(_PACKAGE):
        return text.removeprefix(_PACKAGE)
    return text if _PREPAY.fullmatch(text) else None


def _prepay_id_of_parameters(text: str) -> str:
    """An app's parameters have it as `prepayid`, those of a page or a mini program in `package`."""
    try:
        parameters = json.loads(text)
    except (ValueError, RecursionError):
        return ""
    prepay_id, package = parameters.get("prepayid"), parameters.get("package")
    if isinstance(prepay_id, str):
        return prepay_id
    return package.removeprefix(_PACKAGE) if isinstance(package, str) else ""


@dataclass(frozen=True, slots=True)
class Phone:
    connection: sqlite3.Connection
    registry: Registry
    now: datetime

    def find_by_url(self, url: str) -> Trade | None:
        """None if the URL is not WeChat's. Raises ControlError if it is WeChat's and has no order."""
        if url.startswith(SHORT_PREFIX):
            url = short_urls.long_url(self.connection, url) or url
        if url.startswith((QR_PREFIX, SHORT_PREFIX)):
            trade = trades.by_code_url(self.connection, url)
        elif mweb_links.is_mweb_link(url):
            trade = self._trade_of_mweb_link(url)
        elif (prepay_id := prepay_id_in(url)) is not None:
            trade = trades.by_prepay(self.connection, prepay_id)
        else:
            return None
        if trade is None:
            raise ControlError("WeChat Pay has no such code", "url")
        return trade

    def _trade_of_mweb_link(self, url: str) -> Trade | None:
        link = mweb_links.find_link(self.connection, mweb_links.query_of(url))
        if link is not None and link.is_too_old(self.now):
            raise ControlError("the link is too old", "url")
        return None if link is None else link.trade

    def show(self, trade: Trade) -> Row:
        return {
            "wallet": trade.wallet,
            "trade": trade.transaction_id,
            "order": trade.out_trade_no,
            "payee": self.registry.payee(trade.mch_id, trade.sub_mch_id),
            "subject": trade.body,
            "amount": trade.total_fee,
            "currency": trade.fee_type,
            "amount_cny": to_cny_minor(trade.total_fee, trade.fee_type),
            "state": trade.state,
        }

    def act(self, trade: Trade, action: str, payer: str | None) -> Trade:
        """A wrong password changes nothing: the payer can try again. Raises ControlError."""
        if action == "pay":
            return self._pay(trade, payer)
        if action == "cancel" and trade.state == "USERPAYING":
            return trades.move(self.connection, trade, "PAYERROR")
        return trade

    def _pay(self, trade: Trade, payer: str | None) -> Trade:
        if trade.state not in ("NOTPAY", "USERPAYING"):
            raise ControlError(f"the trade is {trade.state}, there is nothing to pay", "trade")
        paid = trades.pay(self.connection, trade, self._payer_for(trade, payer), self.now)
        if paid is None:
            raise NotEnoughMoney("the payer does not have enough money", "payer")
        queue_payment_notice(self.connection, paid, self.registry)
        return paid

    def _payer_for(self, trade: Trade, payer: str | None) -> Payer:
        if trade.payer is not None:  # bound to one payer, the owner of the openid or the barcode
            if payer not in (None, trade.payer):
                raise ControlError(f"only {trade.payer} can pay this trade", "payer")
            return payer_of(self.connection, trade.wallet, trade.payer)
        if payer is None:
            return payer_of(self.connection, WALLETS[0], None)
        for wallet in WALLETS:
            try:
                return payer_of(self.connection, wallet, payer)
            except ControlError:
                continue
        raise ControlError(f"WeChat Pay has no payer {payer!r}", "payer")
