"""WeChat Pay's products for apps, mini programs and phone browsers: the request, and what the payer's side gets."""

from collections.abc import Mapping
from dataclasses import replace
from datetime import timedelta
from typing import Any, Final

import pytest

from tael.base.transport import Answer, Result, Transport
from tael.channels.outcomes import AwaitingPayer, PayLink, PayParams, Unknown
from tael.channels.wechat_v2.account import WeChatAccount
from tael.channels.wechat_v2.adapter import WeChatV2
from tael.channels.wechat_v2.capabilities import capabilities_of
from tael.channels.wechat_v2.messages import from_xml
from tests.support.alipay import TestClock
from tests.support.wechat import OPENED, SUCCESS, account, order, signed, written

SUB, MINI, APP = "wx2222222222222222", "wx3333333333333333", "wx4444444444444444"
ALWAYS: Final = {"800008", "800201", "800207", "800208"}


class Recorded(Transport):
    """Answers unifiedorder, and keeps what was requested."""

    __slots__ = ("answer", "requested")

    def __init__(self, answer: Mapping[str, str]) -> None:
        super().__init__()
        self.answer = answer
        self.requested: Mapping[str, str] = {}

    async def call(self, method: str, url: str, **how: Any) -> Result:
        assert url.endswith("/pay/unifiedorder")
        self.requested = from_xml(how["body"])
        return Answer(200, {}, written(signed({**SUCCESS, **self.answer})))


def whole_account() -> WeChatAccount:
    return replace(account(), mini_appid=MINI, app_appid=APP, supports_h5=True, supports_wechat_hk=True)


async def opened(code: str, answer: Mapping[str, str], **of: Any) -> tuple[Any, Mapping[str, str]]:
    transport = Recorded(answer)
    payment = order(code, whole_account()).replace(**of)
    outcome = await WeChatV2(transport, TestClock(OPENED), "http://wallet").open(payment)
    return outcome, transport.requested


@pytest.mark.parametrize(
    ("granted", "codes"),
    [
        ({}, set()),
        ({"mini_appid": MINI}, {"800213"}),
        ({"app_appid": APP}, {"800210"}),
        ({"supports_h5": True}, {"800212"}),
        ({"supports_wechat_hk": True}, {"800228", "801008"}),
        ({"supports_wechat_hk": True, "app_appid": APP}, {"800210", "800228", "801008", "801010"}),
    ],
)
def test_an_account_serves_what_its_settings_grant(granted: Mapping[str, Any], codes: set[str]) -> None:
    assert capabilities_of(replace(account(), **granted)).pay_types == ALWAYS | codes


@pytest.mark.parametrize("code", ["800210", "801010"])
async def test_a_payment_in_an_app_is_signed_for_wechats_sdk(code: str) -> None:
    """The block of WeChat's documents for apps: six signed members, all in lower case."""
    outcome, requested = await opened(code, {"prepay_id": "wx01"})
    assert (requested["trade_type"], requested["sub_appid"]) == ("APP", APP)
    assert isinstance(outcome, AwaitingPayer)
    assert isinstance(outcome.pay, PayParams)
    params = dict(outcome.pay.params)
    noncestr, sign = params["noncestr"], params.pop("sign")
    assert params == {
        "appid": APP,
        "partnerid": "1900000109",
        "prepayid": "wx01",
        "package": "Sign=WXPay",
        "noncestr": noncestr,
        "timestamp": str(int(OPENED.timestamp())),
    }
    assert signed(params)["sign"] == sign


async def test_a_payment_in_a_mini_program_is_made_under_its_appid() -> None:
    outcome, requested = await opened("800213", {"prepay_id": "wx01"}, openid="o-mini")
    assert (requested["trade_type"], requested["sub_appid"], requested["sub_openid"]) == (
        "JSAPI",
        MINI,
        "o-mini",
    )
    assert isinstance(outcome.pay, PayParams)
    params = dict(outcome.pay.params)
    sign = params.pop("paySign")
    assert (params["appId"], params["package"], params["signType"]) == (MINI, "prepay_id=wx01", "MD5")
    assert signed(params)["sign"] == sign


async def test_a_payment_in_wechats_browser_is_made_under_the_official_account() -> None:
    outcome, requested = await opened("800207", {"prepay_id": "wx01"}, openid="o-sub")
    assert (requested["sub_appid"], requested["sub_openid"]) == (SUB, "o-sub")
    assert "openid" not in requested
    assert outcome.pay.params["appId"] == SUB


async def test_a_payment_in_a_phones_browser_names_site_and_payer() -> None:
    scene = '{"h5_info":{"type":"Wap","wap_url":"https://shop.example","wap_name":"Tea"}}'
    url = "https://wx.tenpay.com/cgi-bin/mmpayweb-bin/checkmweb?prepay_id=wx01&package=1"
    answer = {"prepay_id": "wx01", "mweb_url": url}
    outcome, requested = await opened("800212", answer, scene_info=scene, payer_ip="203.0.113.7")
    asked = {name: requested[name] for name in ("trade_type", "scene_info", "spbill_create_ip", "sub_appid")}
    assert asked == {
        "trade_type": "MWEB",
        "scene_info": scene,
        "spbill_create_ip": "203.0.113.7",
        "sub_appid": SUB,
    }
    # The order exists already, and WeChat's link works for five minutes.
    assert outcome == AwaitingPayer(
        PayLink(url, creates_order=False, valid_until=OPENED + timedelta(minutes=5))
    )


@pytest.mark.parametrize("code", ["800210", "800212", "800213"])
async def test_an_answer_without_pay_data_is_unknown(code: str) -> None:
    outcome, _ = await opened(code, {})
    assert isinstance(outcome, Unknown)


def test_wechats_codes_have_18_digits_and_begin_with_10_to_15() -> None:
    channel = WeChatV2(Recorded({}), TestClock(OPENED), "http://wallet")
    assert all(channel.shows_code(f"1{n}" + "0" * 16) for n in range(6))
    for other in ("160000000000000000", "280000000000000000", "13" + "0" * 15, "13" + "0" * 17, ""):
        assert not channel.shows_code(other)
