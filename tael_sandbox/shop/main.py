"""Starts the shop. Who it is comes by the environment (SHOP_APPCODE, SHOP_KEY, SHOP_MCHID): arguments are seen by all.

One process and one event loop; SQLite is written between two awaits, so requests never interleave in it.
"""

import argparse
import os
import sys
from pathlib import Path

import uvicorn
from tael_client import Credentials, SignType

from tael_sandbox.http1 import Http1Protocol
from tael_sandbox.shop.app import Shop
from tael_sandbox.shop.notebook import Notebook
from tael_sandbox.shop.till import Till

GRACE_S = 2


def main() -> None:
    options = parse_arguments()
    try:
        credentials = read_credentials()
    except (KeyError, ValueError) as problem:
        sys.exit(f"shop: set SHOP_APPCODE, SHOP_KEY and SHOP_MCHID ({problem})")
    options.data.mkdir(mode=0o700, parents=True, exist_ok=True)
    notebook = Notebook(options.data / "shop.sqlite")
    shop = Shop(Till(options.gateway, credentials, notebook), notebook, options.sandbox)
    uvicorn.run(
        shop.app(),
        http=Http1Protocol,
        host=options.host,
        port=options.port,
        lifespan="on",
        ws="none",
        log_config=None,
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
    parser.add_argument("--sandbox", required=True, help="base URL of the payers' phones")
    parser.add_argument("--data", type=Path, required=True, help="the folder of its notebook")
    return parser.parse_args(arguments)


def read_credentials() -> Credentials:
    """Raises KeyError, ValueError."""
    return Credentials(
        os.environ["SHOP_APPCODE"],
        os.environ["SHOP_KEY"],
        os.environ.get("SHOP_MCHID", ""),
        SignType.SHA256,
    )
