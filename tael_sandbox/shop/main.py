"""Starts the shop.

Its credentials are in the environment, since every user of the machine can see arguments: SHOP_APPCODE, SHOP_KEY and
SHOP_MCHID, the merchant's currency in SHOP_CURRENCY (HKD by default), and the app's settings SHOP_WEBHOOK_STYLE (old or
new) and SHOP_RESPONSE_SIGN_TYPE (MD5 or SHA256).

One process and one event loop. SQLite is written between two awaits, so requests never interleave in it.
"""

import argparse
import os
import sys
from pathlib import Path

import uvicorn
from tael_client import Credentials, SignType
from tael_client.addresses import checked_base_url
from tael_client.notifications import STYLES, Style

from tael_sandbox.http1 import Http1Protocol
from tael_sandbox.logs import configure_logs
from tael_sandbox.rates import CNY_PER_UNIT
from tael_sandbox.shop.app import Shop
from tael_sandbox.shop.goods import LIST_CURRENCY
from tael_sandbox.shop.order_store import OrderStore
from tael_sandbox.shop.shop_service import ShopService

GRACE_S = 2


def main() -> None:
    configure_logs()
    options = parse_arguments()
    try:
        credentials, webhook_style, currency = read_credentials(), read_webhook_style(), read_currency()
    except (KeyError, ValueError) as error:
        sys.exit(
            f"shop: set SHOP_APPCODE, SHOP_KEY and SHOP_MCHID, SHOP_CURRENCY to the merchant's currency, and "
            f"SHOP_WEBHOOK_STYLE and SHOP_RESPONSE_SIGN_TYPE to the app's settings ({error})"
        )
    options.data.mkdir(mode=0o700, parents=True, exist_ok=True)
    order_store = OrderStore(options.data / "shop.sqlite")
    shop_service = ShopService(
        options.gateway, credentials, webhook_style, order_store, allow_http=options.allow_http
    )
    shop = Shop(shop_service, order_store, options.sandbox, currency)
    uvicorn.run(
        shop.app(),
        http=Http1Protocol,
        host=options.host,
        port=options.port,
        lifespan="on",
        ws="none",
        log_config=None,
        log_level="info",
        access_log=False,
        proxy_headers=False,
        server_header=False,
        timeout_graceful_shutdown=GRACE_S,
    )


def parse_arguments(arguments: list[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser("tael_sandbox.shop", description="A merchant's demo shop.")
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--gateway", required=True, help="base URL of the gateway")
    parser.add_argument(
        "--allow-http", action="store_true", help="allow plain HTTP to a gateway on another machine"
    )
    parser.add_argument("--sandbox", required=True, help="base URL of the payers' phones")
    parser.add_argument("--data", type=Path, required=True, help="folder for the shop's orders")
    options = parser.parse_args(arguments)
    try:
        checked_base_url(options.gateway, allow_http=options.allow_http)
    except ValueError:
        parser.error("--gateway: a base URL with https, or with http on this machine or with --allow-http")
    return options


def read_credentials() -> Credentials:
    """Raises KeyError, ValueError."""
    return Credentials(
        os.environ["SHOP_APPCODE"],
        os.environ["SHOP_KEY"],
        os.environ.get("SHOP_MCHID", ""),
        SignType.SHA256,
        response_sign_type=SignType(os.environ.get("SHOP_RESPONSE_SIGN_TYPE", SignType.MD5)),
    )


def read_currency() -> str:
    """Raises ValueError."""
    currency = os.environ.get("SHOP_CURRENCY", LIST_CURRENCY)
    if currency not in CNY_PER_UNIT:
        raise ValueError(f"no exchange rate for the currency {currency!r}")
    return currency


def read_webhook_style() -> Style:
    """Raises ValueError."""
    named = os.environ.get("SHOP_WEBHOOK_STYLE", "old")
    for style in STYLES:
        if style == named:
            return style
    raise ValueError(f"unknown webhook style {named!r}")
