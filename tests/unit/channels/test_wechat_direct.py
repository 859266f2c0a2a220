"""A direct merchant of WeChat Pay: no sub-merchant anywhere, and its own appids where a provider's stands."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, Final

import pytest

from tael.base.transport import Answer, Result, Transport
from tael.channels.base import BadSignature, PaymentNotice
from tael.channels.outcomes import AwaitingPayer, Paid, PayParams, Unknown
from tael.channels.wechat_v2.account import WeChatAccount
from tael.channels.wechat_v2.adapter import WeChatV2
from tael.channels.wechat_v2.messages import from_xml
from tael.channels.wechat_v2.notices import read_notice
from tests.support.alipay import TestClock
from tests.support.wechat import OPENED, PAID, SYSSN, account, order, signed, written

OFFICIAL, MINI, APP = "wx1111111111111111", "wx3333333333333333", "wx4444444444444444"
OF_A_SUB_MERCHANT: Final = ("sub_mch_id", "sub_appid", "sub_openid")
IDENTITY: Final = {
    "return_code": "SUCCESS",
    "result_code": "SUCCESS",
    "mch_id": "1900000109",
    "nonce_str": "n0nce",
}


def direct() -> WeChatAccount:
    return replace(account(), sub_mch_id="", sub_appid="", mini_appid=MINI, app_appid=APP, supports_h5=True)


class Echoing(Transport):
    """Answers each call with the appid of the request, as WeChat does."""

    __slots__ = ("answer", "requested")

    def __init__(self, answer: Mapping[str, str]) -> None:
        super().__init__()
        self.answer = answer
        self.requested: Mapping[str, str] = {}

    async def call(self, method: str, url: str, **how: Any) -> Result:
        self.requested = from_xml(how["body"])
        answer = {**IDENTITY, "appid": self.requested["appid"], **self.answer}
        return Answer(200, {}, written(signed(answer)))


def channel(**answer: str) -> tuple[WeChatV2, Echoing]:
    transport = Echoing(answer)
    return WeChatV2(transport, TestClock(OPENED), "http://wallet"), transport


@pytest.mark.parametrize(
    ("code", "appid", "openid"),
    [
        ("800201", OFFICIAL, ""),
        ("800207", OFFICIAL, "o-official"),
        ("800213", MINI, "o-mini"),
        ("800210", APP, ""),
        ("800212", OFFICIAL, ""),
    ],
)
async def test_an_order_names_one_of_its_own_appids_and_the_payer_under_it(
    code: str, appid: str, openid: str
) -> None:
    wallet, transport = channel(prepay_id="wx01", code_url="weixin://x", mweb_url="https://x")
    outcome = await wallet.open(order(code, direct(), openid=openid))
    assert isinstance(outcome, AwaitingPayer)
    assert (transport.requested["appid"], transport.requested.get("openid", "")) == (appid, openid)
    assert not transport.requested.keys() & set(OF_A_SUB_MERCHANT)
    if isinstance(outcome.pay, PayParams):
        params = outcome.pay.params
        assert appid in (params.get("appId"), params.get("appid"))


async def test_a_barcode_payment_and_a_query_name_the_official_account() -> None:
    paid = {name: PAID[name] for name in ("total_fee", "fee_type", "transaction_id", "time_end", "openid")}
    wallet, transport = channel(**paid, out_trade_no=SYSSN, trade_state="SUCCESS")
    for outcome in (
        await wallet.open(order("800208", direct(), auth_code="134567890123456789")),
        await wallet.query(order("800213", direct())),
    ):
        assert isinstance(outcome, Paid)
        assert outcome.payer_ref == "o-of-the-provider"
        assert transport.requested["appid"] == OFFICIAL
        assert not transport.requested.keys() & set(OF_A_SUB_MERCHANT)


@pytest.mark.parametrize("name", ["appid", "mch_id", "sub_mch_id"])
async def test_a_response_about_another_account_decides_nothing(name: str) -> None:
    wallet, _ = channel(code_url="weixin://x", **{name: "1900000110"})
    assert isinstance(await wallet.open(order("800201", direct())), Unknown)


def notice(**changes: str) -> bytes:
    fields = {name: value for name, value in PAID.items() if name not in OF_A_SUB_MERCHANT}
    return written(signed({**fields, **changes}))


@pytest.mark.parametrize("appid", [OFFICIAL, MINI, APP])
def test_a_notice_names_the_appid_of_its_order(appid: str) -> None:
    read = read_notice([direct()], notice(appid=appid))
    assert isinstance(read, PaymentNotice)
    assert isinstance(read.outcome, Paid)


@pytest.mark.parametrize(
    ("name", "value"),
    [("appid", "wx9999999999999999"), ("appid", ""), ("mch_id", "1900000110"), ("sub_mch_id", "1900000110")],
)
def test_a_notice_for_another_account_is_none(name: str, value: str) -> None:
    with pytest.raises(BadSignature):
        read_notice([direct()], notice(**{name: value}))


def test_a_notice_without_an_appid_is_none() -> None:
    without_apps = replace(direct(), mini_appid="", app_appid="")
    with pytest.raises(BadSignature):
        read_notice([without_apps], notice(appid=""))
