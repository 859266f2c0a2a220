"""A gateway that has routes and nothing behind them."""

from types import SimpleNamespace
from typing import Final, cast

from tael.payments.gateway import Gateway
from tests.support.values import PROTOCOLS

ROUTES_ONLY: Final = cast(
    Gateway,
    SimpleNamespace(
        channels={
            protocol: SimpleNamespace(wallet=wallet, acknowledgement=None)
            for wallet, protocol in PROTOCOLS.items()
        }
    ),
)
