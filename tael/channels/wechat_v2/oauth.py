"""WeChat's OAuth: a page inside WeChat gets a code of its payer, which is exchanged for the payer's openid.

The scope `snsapi_base` gives the openid only, without a question to the payer. The code belongs to the official
account, works once and for five minutes. WeChat does not sign these responses: TLS identifies it.
"""

import re
from typing import Final, TypeGuard, assert_never
from urllib.parse import urlencode

import msgspec

from tael.base.metrics import timer_s
from tael.base.transport import Answer, NoAnswer, NothingSent, Transport
from tael.channels.calls import call_span, observe_call, unsigned_result
from tael.channels.outcomes import NotSent, OpenidOutcome, PayerOpenid, Refusal, Refused, Unknown
from tael.channels.wechat_v2.account import WeChatAccount
from tael.merchants.domain.account import Account

AUTHORIZE_URL: Final = "https://open.weixin.qq.com"
API_URL: Final = "https://api.weixin.qq.com"
TIMEOUT_S: Final = 10.0
OPENID: Final = re.compile(r"[A-Za-z0-9_-]{1,128}")

#: By `errcode`. Others are not decided: the same code may be sent again.
REFUSALS: Final = {
    40029: Refusal.PAYER_CODE,  # unknown, expired, or of another account
    40163: Refusal.PAYER_CODE,  # used
    41008: Refusal.PAYER_CODE,  # missing
    40013: Refusal.OUR_IDENTITY,  # the appid
    40125: Refusal.OUR_IDENTITY,  # the app secret
    10005: Refusal.MERCHANT_SETUP,  # the account has no such scope
}


class _Response(msgspec.Struct):
    openid: str = ""
    errcode: int = 0


#: Its name in metrics and traces.
OPERATION: Final = "oauth2/access_token"


class OAuth:
    """The openids of every WeChat account."""

    def __init__(
        self, transport: Transport, authorize_url: str = AUTHORIZE_URL, api_url: str = API_URL
    ) -> None:
        self._transport = transport
        self._authorize_url = authorize_url
        self._api_url = api_url

    def authorize_url(self, account: Account, return_url: str) -> str | None:
        """The address has the parameters in the order that WeChat's app expects."""
        if not _is_set_up(account):
            return None
        query = {
            "appid": account.official_appid,
            "redirect_uri": return_url,
            "response_type": "code",
            "scope": "snsapi_base",
        }
        return f"{self._authorize_url}/connect/oauth2/authorize?{urlencode(query)}#wechat_redirect"

    async def redeem(self, account: Account, code: str) -> OpenidOutcome:
        if not _is_set_up(account):
            return Refused(Refusal.MERCHANT_SETUP, "")
        query = {
            "appid": account.official_appid,
            "secret": account.official_secret.reveal(),
            "code": code,
            "grant_type": "authorization_code",
        }
        began_s = timer_s()
        with call_span(account.protocol, OPERATION):
            result = await self._transport.call(
                "GET",
                f"{self._api_url}/sns/oauth2/access_token?{urlencode(query)}",
                timeout_s=TIMEOUT_S,
                account=account.account_id,
            )
        observe_call(began_s, account.protocol, OPERATION, unsigned_result(result))
        match result:
            case NothingSent(reason):
                return NotSent(reason)
            case NoAnswer(reason):
                return Unknown(reason)
            case Answer():
                return outcome_of(result)
            case _:
                assert_never(result)


def outcome_of(answer: Answer) -> OpenidOutcome:
    """The payer's openid, or what WeChat's `errcode` means."""
    if answer.status != 200:
        return Unknown(f"HTTP {answer.status}")
    try:
        response = msgspec.json.decode(answer.body, type=_Response)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return Unknown("not WeChat's JSON")
    if response.errcode:
        refusal = REFUSALS.get(response.errcode)
        return Refused(refusal, str(response.errcode)) if refusal else Unknown(f"errcode {response.errcode}")
    is_openid = OPENID.fullmatch(response.openid)
    return PayerOpenid(response.openid) if is_openid else Unknown("no openid in the response")


def _is_set_up(account: Account) -> TypeGuard[WeChatAccount]:
    return isinstance(account, WeChatAccount) and bool(account.official_secret.reveal())
