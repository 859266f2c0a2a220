"""The kind of a payer's browser by its User-Agent, and the pay type it can use for each wallet."""

import re
from collections.abc import Iterator, Set
from enum import StrEnum
from typing import Final

from starlette.requests import Request

from tael.base.pay_types import PAY_TYPES, PayType, Presentment, Wallet
from tael.qfpay.pay_types import FIELDS

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


def pay_types_for(wallet: Wallet, browser: Browser, given: Set[str]) -> Iterator[PayType]:
    """The pay types for paying with `wallet` in this browser, best first. `given`: the fields that can be filled in."""
    for presentment in PRESENTMENTS[browser]:
        for pay_type in PAY_TYPES.values():
            is_shown = pay_type.wallet is wallet and pay_type.presentment is presentment
            if is_shown and not pay_type.is_for_shops and given >= set(FIELDS[pay_type.code].needs):
                yield pay_type
