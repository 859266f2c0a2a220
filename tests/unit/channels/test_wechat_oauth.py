"""WeChat's OAuth: the address of the consent, and what each response of the exchange means."""

import json
from dataclasses import replace
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest

from tael.base.secret import Secret
from tael.base.transport import Answer, NoAnswer, NothingSent, Result, Transport
from tael.channels.outcomes import NotSent, OpenidOutcome, PayerOpenid, Refusal, Refused, Unknown
from tael.channels.wechat_v2.oauth import OAuth
from tests.support.wechat import account

SECRET = "0123456789abcdef0123456789abcdef"
ACCOUNT = replace(account(), official_secret=Secret(SECRET))
DIRECT = replace(ACCOUNT, sub_mch_id="", sub_appid="")
PAGE = "https://shop.example/pay?order=7&x=茶#top"


class Scripted(Transport):
    """Returns one result, and keeps the call."""

    __slots__ = ("calls", "result")

    def __init__(self, result: Result) -> None:
        super().__init__()
        self.result = result
        self.calls: list[tuple[str, str]] = []

    async def call(self, method: str, url: str, **_: Any) -> Result:
        self.calls.append((method, url))
        return self.result


@pytest.mark.parametrize(("of", "appid"), [(ACCOUNT, "wx2222222222222222"), (DIRECT, "wx1111111111111111")])
def test_the_consent_has_wechats_parameters_in_their_order(of: Any, appid: str) -> None:
    url = OAuth(Transport()).authorize_url(of, PAGE)
    assert url is not None
    assert url.startswith(
        f"https://open.weixin.qq.com/connect/oauth2/authorize?appid={appid}&redirect_uri=https%3A"
    )
    assert url.endswith("&response_type=code&scope=snsapi_base#wechat_redirect")
    assert parse_qs(urlsplit(url).query)["redirect_uri"] == [PAGE]
    assert SECRET not in url


async def test_an_account_without_the_app_secret_gives_no_openids() -> None:
    transport = Scripted(NothingSent("unused"))
    oauth = OAuth(transport)
    assert oauth.authorize_url(account(), PAGE) is None
    assert await oauth.redeem(account(), "code") == Refused(Refusal.MERCHANT_SETUP, "")
    assert transport.calls == []


def answered(body: bytes, status: int = 200) -> Answer:
    return Answer(status, {}, body)


def errcode(code: int) -> Answer:
    return answered(json.dumps({"errcode": code, "errmsg": "x"}).encode())


@pytest.mark.parametrize(
    ("result", "outcome"),
    [
        (
            answered(b'{"access_token":"a","expires_in":7200,"openid":"o-1_A","scope":"x"}'),
            PayerOpenid("o-1_A"),
        ),
        (errcode(40029), Refused(Refusal.PAYER_CODE, "40029")),
        (errcode(40163), Refused(Refusal.PAYER_CODE, "40163")),
        (errcode(40125), Refused(Refusal.OUR_IDENTITY, "40125")),
        (errcode(40013), Refused(Refusal.OUR_IDENTITY, "40013")),
        (errcode(10005), Refused(Refusal.MERCHANT_SETUP, "10005")),
        (errcode(-1), Unknown("errcode -1")),
        (errcode(45011), Unknown("errcode 45011")),
        (answered(b"", 502), Unknown("HTTP 502")),
        (answered(b"<html>"), Unknown("not WeChat's JSON")),
        (answered(b'{"openid":7}'), Unknown("not WeChat's JSON")),
        (answered(b'{"openid":"a b"}'), Unknown("no openid in the response")),
        (answered(b"{}"), Unknown("no openid in the response")),
        (NothingSent("no route"), NotSent("no route")),
        (NoAnswer("no response in time"), Unknown("no response in time")),
    ],
)
async def test_each_response_has_one_meaning(result: Result, outcome: OpenidOutcome) -> None:
    transport = Scripted(result)
    assert await OAuth(transport).redeem(ACCOUNT, "c&d") == outcome
    ((method, url),) = transport.calls
    assert method == "GET"
    assert url.startswith(
        "https://api.weixin.qq.com/sns/oauth2/access_token?appid=wx2222222222222222&secret="
    )
    assert parse_qs(urlsplit(url).query)["code"] == ["c&d"]
