"""Each call to a wallet is counted once, by the wallet's name of it and by how it ended."""

from collections.abc import Mapping
from typing import Any, Final

import pytest

from tael.base.transport import NO_CONNECTION, Answer, NoAnswer, NothingSent, Result, Transport
from tael.channels.alipay_mapi.adapter import AlipayMapi
from tael.channels.wechat_v2.adapter import WeChatV2
from tests.support.alipay import TestClock, alipay_account, alipay_order, wallet_signature, xml_answer
from tests.support.metrics import growth
from tests.support.wechat import IDENTITY, PAID, account, order, signed, written
from tests.unit.channels.test_wechat_adapter import AT

FAILED: Final = {**IDENTITY, "result_code": "FAIL", "err_code": "ORDERNOTEXIST", "err_code_des": ""}
NODE: Final = {"result_code": "SUCCESS", "alipay_trans_status": "TRADE_SUCCESS"}
WECHAT: Final[Mapping[str, Result]] = {
    "answered": Answer(200, {}, written(signed(PAID))),
    "refused": Answer(200, {}, written(signed(FAILED))),
    "unverified": Answer(200, {}, written({**PAID, "sign": "0" * 32})),
    "unreadable": Answer(502, {}, b"<html>Bad Gateway</html>"),
    "no_answer": NoAnswer("no response in time"),
    "not_sent": NothingSent(NO_CONNECTION),
}
ALIPAY: Final[Mapping[str, Result]] = {
    "answered": Answer(200, {}, xml_answer(NODE, sign=wallet_signature(NODE, "MD5"))),
    "refused": Answer(
        200,
        {},
        b'<?xml version="1.0"?><alipay><is_success>F</is_success><error>ILLEGAL_SIGN</error></alipay>',
    ),
    "unverified": Answer(200, {}, xml_answer(NODE, sign="0" * 32)),
    "unreadable": Answer(200, {}, b"no XML"),
    "no_answer": NoAnswer("no response in time"),
    "not_sent": NothingSent(NO_CONNECTION),
}


class Always(Transport):
    """Each call ends in the same way."""

    __slots__ = ("_always",)

    def __init__(self, result: Result) -> None:
        super().__init__()
        self._always = result

    async def call(self, method: str, url: str, **_: Any) -> Result:
        return self._always


@pytest.mark.parametrize("result", WECHAT)
async def test_a_call_to_wechat_pay_is_counted_by_how_it_ended(result: str) -> None:
    called = {"protocol": "wechat_v2", "operation": "orderquery"}
    counted = {
        each: growth("tael_wallet_call_duration_seconds_count", result=each, **called) for each in WECHAT
    }
    await WeChatV2(Always(WECHAT[result]), TestClock(AT), "http://wallet").query(order("800201", account()))
    assert {each: grown() for each, grown in counted.items()} == dict.fromkeys(WECHAT, 0) | {result: 1}


@pytest.mark.parametrize("result", ALIPAY)
async def test_a_call_to_alipay_is_counted_by_how_it_ended(result: str) -> None:
    called = {"protocol": "alipay_mapi", "operation": "alipay.acquire.overseas.query"}
    counted = {
        each: growth("tael_wallet_call_duration_seconds_count", result=each, **called) for each in ALIPAY
    }
    await AlipayMapi(Always(ALIPAY[result]), TestClock(AT)).query(
        alipay_order("800108", alipay_account(online=False))
    )
    assert {each: grown() for each, grown in counted.items()} == dict.fromkeys(ALIPAY, 0) | {result: 1}
