"""The kind of a payer's browser by its User-Agent, and the pay type it can use for each wallet."""

import re
from enum import StrEnum
from typing import Final

from starlette.requests import Request

from tael.base.pay_types import PAY_TYPES, PayType, Presentment, Wallet

PHONE: Final = re.compile(r"\b(?:Mobile|Android|iPhone|iPad|iPod)\b")


class Browser(StrEnum):
    """The kind of browser that shows a page."""

    DESKTOP = "desktop"
    PHONE = "phone"
    WECHAT = "wechat"  #: WeChat's built-in browser, in which Alipay cannot be used


def browser_of(request: Request) -> Browser:
    agent = request.headers.get("user-agent", "")
    if "MicroMessenger" in agent:
        return Browser.WECHAT
    return Browser.PHONE if PHONE.search(agent) else Browser.DESKTOP


#: What a browser can show, best first. In a wallet's own browser only that wallet can be used.
PRESENTMENTS: Final = {
    Browser.DESKTOP: (Presentment.WEB_PAGE, Presentment.QR_CODE),
    Browser.PHONE: (Presentment.WAP_PAGE, Presentment.QR_CODE),
    Browser.WECHAT: (Presentment.IN_APP,),
}


def pay_type_for(wallet: Wallet, browser: Browser, has_openid: bool) -> PayType | None:
    """The pay type for paying a checkout link with `wallet` in this browser; None if it is not possible.

    A page inside the wallet needs the payer's openid.
    """
    of_wallet = {each.presentment: each for each in PAY_TYPES.values() if each.wallet is wallet}
    for presentment in PRESENTMENTS[browser]:
        if presentment in of_wallet and (has_openid or presentment is not Presentment.IN_APP):
            return of_wallet[presentment]
    return None
