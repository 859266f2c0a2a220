"""The kind of a payer's browser by its User-Agent, and the pay type it can use for each wallet."""

import re
from enum import StrEnum
from typing import Final

from starlette.requests import Request

from tael.base.pay_types import PAY_TYPES, PayType, Wallet

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


def pay_type_for(wallet: Wallet, browser: Browser, has_openid: bool) -> PayType | None:
    """The pay type for paying a checkout link with `wallet` in this browser; None if it is not possible."""
    match wallet, browser:
        case Wallet.ALIPAY, Browser.DESKTOP:
            return PAY_TYPES["800151"]
        case Wallet.ALIPAY, Browser.PHONE:
            return PAY_TYPES["800152"]
        case Wallet.WECHAT, Browser.WECHAT:
            return PAY_TYPES["800207"] if has_openid else None
        case Wallet.WECHAT, _:
            return PAY_TYPES["800201"]
        case _:
            return None
