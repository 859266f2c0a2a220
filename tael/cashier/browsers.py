"""The kind of a payer's browser by its User-Agent, and the pay type it can use for each wallet."""

import re
from collections.abc import Iterator
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
    Browser.WECHAT: (Presentment.JSAPI,),
}


def pay_types_for(wallet: Wallet, browser: Browser, has_openid: bool) -> Iterator[PayType]:
    """The pay types for paying a checkout link with `wallet` in this browser, best first.

    A page inside the wallet needs the payer's openid.
    """
    for presentment in PRESENTMENTS[browser]:
        for pay_type in PAY_TYPES.values():
            # A link names no payer's address, which WeChat Pay compares for payments in a phone's browser.
            is_possible = (has_openid or not pay_type.needs_openid) and pay_type.code != "800212"
            if pay_type.wallet is wallet and pay_type.presentment is presentment and is_possible:
                yield pay_type
