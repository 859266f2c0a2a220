"""Services that have routes and nothing behind them."""

from types import SimpleNamespace
from typing import Final, cast

from tael.services import Services
from tests.support.values import PROTOCOLS

CHANNELS: Final = {
    protocol: SimpleNamespace(wallet=wallet, acknowledgement=None) for wallet, protocol in PROTOCOLS.items()
}
ROUTES_ONLY: Final = cast(
    Services,
    SimpleNamespace(
        store=SimpleNamespace(
            cell=0,
            directory=None,
            database=SimpleNamespace(limits=SimpleNamespace(call_s=1.0)),
            merchants=None,
            applications=None,
            document_files=None,
            incidents=None,
            accounts=None,
            unmatched_payments=None,
            differences=None,
            due_work=None,
            settlements=None,
            transactions=None,
            users=None,
            grants=None,
            sign_in_attempts=None,
        ),
        payments=SimpleNamespace(
            wallets=SimpleNamespace(channels=CHANNELS, credentials=None), store=None, clock=None
        ),
        links=SimpleNamespace(site=None),
        rate_limiter=SimpleNamespace(totals=None),
    ),
)
