"""A merchant's checkout links, written from the protocol's description: their signature, and the browser's requests."""

import hashlib
from collections.abc import Mapping
from typing import Final
from urllib.parse import quote, urlencode

from tests.end_to_end.merchant import FORM, MOMENT, Merchant, new_reference, send
from tests.support.http_calls import Answer

DESKTOP: Final = "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 Chrome/156.0 Safari/537.36"
PHONE: Final = (
    "Mozilla/5.0 (iPhone; CPU iPhone OS 18_0 like Mac OS X) AppleWebKit/605.1.15 Mobile/15E148 Safari/604.1"
)
IN_WECHAT: Final = f"{PHONE} MicroMessenger/8.0.50"


def link_params(shop: Merchant, **given: str | None) -> dict[str, str]:
    """Complete parameters of a link, without the signature; None leaves one out."""
    filled: dict[str, str | None] = {
        "appcode": shop.appcode,
        "sign_type": "sha256",
        "paysource": "remotepay_checkout",
        "txamt": "1000",
        "txcurrcd": "HKD",
        "out_trade_no": new_reference(),
        "txdtm": shop.demo.now().strftime(MOMENT),
        "return_url": "https://shop.example/paid?basket=a%26b",
        "failed_url": "https://shop.example/failed",
        "notify_url": "https://shop.example/notify",
        "mchntid": shop.mchid,
        "goods_name": "White tea & cups",
    }
    return {name: value for name, value in (filled | given).items() if value is not None}


def signed(params: Mapping[str, str], key: str) -> dict[str, str]:
    """`params` with `sign`, over all that have a value except `lang`, sorted by name, followed by the key."""
    pairs = sorted((name, value) for name, value in params.items() if value and name != "lang")
    text = "&".join(f"{name}={value}" for name, value in pairs) + key
    algorithm = hashlib.md5 if params.get("sign_type", "").lower() == "md5" else hashlib.sha256
    return {**params, "sign": algorithm(text.encode()).hexdigest()}


def address(shop: Merchant, params: Mapping[str, str]) -> str:
    """The link in the merchant's page."""
    return f"{shop.demo.gateway}/checkstand/#/?{urlencode(params, quote_via=quote)}"


def open_link(shop: Merchant, params: Mapping[str, str]) -> Answer:
    """The POST of the link's page."""
    body = urlencode(params, quote_via=quote).encode()
    return send(shop.demo.gateway, "POST", "/checkstand/open", body, [("Content-Type", FORM)])


def opened(shop: Merchant, **given: str | None) -> str:
    """The path of a valid link's page."""
    answer = open_link(shop, signed(link_params(shop, **given), shop.key))
    assert answer.respcd == "0000", answer.members
    return str(answer["page"])


def look(shop: Merchant, path: str, agent: str = DESKTOP, lang: str = "en") -> Answer:
    return send(shop.demo.gateway, "GET", path, headers=[("User-Agent", agent), ("Accept-Language", lang)])


def choose(shop: Merchant, page: str, wallet: str, agent: str = DESKTOP) -> Answer:
    """Press the wallet's button; the response redirects to the order's page."""
    return send(shop.demo.gateway, "POST", f"{page}/by/{wallet}", headers=[("User-Agent", agent)])
