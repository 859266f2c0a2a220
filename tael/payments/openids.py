"""The openid of a payer who opens a merchant's page inside a wallet's app.

The payer's browser goes to the wallet and returns to the merchant's page with a code; the merchant's server exchanges
the code for the openid, here. Nothing is stored: the wallet decides whether a code is valid, and lets it be used once.
"""

from typing import assert_never

from tael.base.errors import NotSetUp, OutOfService, WalletRefused, WalletUnreachable
from tael.base.reasons import Reason
from tael.channels.base import OpenidSource
from tael.channels.outcomes import NotSent, PayerOpenid, Refused, Unknown
from tael.merchants.credential_cache import AppContext
from tael.merchants.domain.account import Account
from tael.merchants.domain.merchant import Merchant
from tael.payments.wallets import Wallets

NOT_SET_UP = "the merchant has no official account whose app secret is stored; contact the operator"
USED_CODE = (
    "the code is unknown, expired, used, or of another account: begin again with get_weixin_oauth_code"
)


def authorize_url(context: AppContext, merchant: Merchant, return_url: str, wallets: Wallets) -> str:
    """The wallet's page that leads the payer to `return_url` with a code. Raises NotSetUp."""
    for source, account in _sources(context, merchant, wallets):
        url = source.authorize_url(account, return_url)
        if url is not None:
            return url
    raise NotSetUp(NOT_SET_UP)


async def redeem_code(context: AppContext, merchant: Merchant, code: str, wallets: Wallets) -> str:
    """The openid. Raises NotSetUp, WalletRefused, WalletUnreachable, OutOfService."""
    for source, account in _sources(context, merchant, wallets):
        if source.authorize_url(account, "") is None:
            continue
        match await source.redeem(account, code):
            case PayerOpenid(openid):
                return openid
            case Refused(refusal):
                reason = Reason(refusal)
                raise WalletRefused(reason, USED_CODE if reason is Reason.PAYER_CODE else "")
            case NotSent():
                raise WalletUnreachable
            case Unknown(reason=english):
                raise OutOfService(f"the wallet did not respond as documented: {english}")
            case outcome:
                assert_never(outcome)
    raise NotSetUp(NOT_SET_UP)


def _sources(context: AppContext, merchant: Merchant, wallets: Wallets) -> list[tuple[OpenidSource, Account]]:
    found = [
        (wallets.channel(account.protocol).openids, account) for account in context.accounts_of(merchant)
    ]
    return [(source, account) for source, account in found if source is not None]
