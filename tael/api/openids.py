"""/tool/v1: the openid of a payer inside WeChat, under the merchant's own official account.

`get_weixin_oauth_code` is a link that the payer's browser opens, signed in its address. It redirects through WeChat to
the merchant's page with a code, for which `get_weixin_openid` returns the openid to the merchant's server.
"""

from functools import partial

from tael.api.exchange import Endpoint, Redirect
from tael.api.pipeline import CONSENT_LINK, TOOL
from tael.payments.openids import authorize_url, redeem_code
from tael.payments.wallets import Wallets
from tael.qfpay.answers import Members, openid_answer
from tael.qfpay.requests import AuthenticatedRequest, read_code, read_oauth_link


async def oauth_code(request: AuthenticatedRequest, wallets: Wallets) -> Redirect:
    return Redirect(authorize_url(request.context, request.merchant, read_oauth_link(request), wallets))


async def openid(request: AuthenticatedRequest, wallets: Wallets) -> Members:
    code = read_code(request)
    return openid_answer(await redeem_code(request.context, request.merchant, code, wallets))


def calls(wallets: Wallets) -> tuple[Endpoint[AuthenticatedRequest], ...]:
    get = ("GET",)
    return (
        Endpoint(
            "/tool/v1/get_weixin_oauth_code",
            get,
            "oauth_code",
            "oauth_code",
            partial(oauth_code, wallets=wallets),
            CONSENT_LINK,
        ),
        Endpoint(
            "/tool/v1/get_weixin_openid", get, "openid", "openid", partial(openid, wallets=wallets), TOOL
        ),
    )
