"""A follow-up query that was not sent does not make the initial request, which was sent, unsent."""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

import pytest

from tael.base.transport import NO_CONNECTION, Answer, NothingSent, Result, Transport
from tael.channels.outcomes import NotSent, Unknown
from tael.channels.wechat_v2.adapter import WeChatV2
from tael.channels.wechat_v2.outcomes import FULLY_REFUNDED
from tests.support.alipay import TestClock
from tests.support.wechat import IDENTITY, account, key_and_certificate, order, refund_of, signed, written

AT = datetime(2026, 1, 1, 4, 0, tzinfo=UTC)
FAILS = {**IDENTITY, "result_code": "FAIL"}


class Scripted(Transport):
    """Answers known paths; other calls are not sent."""

    __slots__ = ("_answers",)

    def __init__(self, answers: Mapping[str, Mapping[str, str]]) -> None:
        super().__init__()
        self._answers = answers

    async def call(self, method: str, url: str, **_: Any) -> Result:
        for path, fields in self._answers.items():
            if url.endswith(path):
                return Answer(200, {}, written(signed(fields)))
        return NothingSent(NO_CONNECTION)


def channel(**errors: str) -> WeChatV2:
    paths = {
        "micropay": "/pay/micropay",
        "unifiedorder": "/pay/unifiedorder",
        "closeorder": "/pay/closeorder",
    }
    paths |= {"refund": "/secapi/pay/refund"}
    answers = {
        paths[name]: {**FAILS, "err_code": code, "err_code_des": FULLY_REFUNDED}
        for name, code in errors.items()
    }
    return WeChatV2(Scripted(answers), TestClock(AT), "http://wallet")


@pytest.mark.parametrize("pay_type", ["800208", "800201"])
async def test_a_payment_is_not_unsent_when_its_query_was_not_sent(pay_type: str) -> None:
    payment = order(pay_type, account(), auth_code="134567890123456789" if pay_type == "800208" else "")
    wallet = channel(micropay="ORDERPAID", unifiedorder="ORDERPAID", closeorder="ORDERPAID")
    assert await wallet.open(payment) == Unknown(f"query not sent: {NO_CONNECTION}")
    assert await wallet.close(payment) == Unknown(f"query not sent: {NO_CONNECTION}")


async def test_a_refund_is_not_unsent_when_its_query_was_not_sent() -> None:
    key, certificate = key_and_certificate("provider")
    payment = order("800208", account(certificate_pem=certificate, certificate_key_pem=key))
    wallet = channel(refund="TRADE_STATE_ERROR")
    assert await wallet.refund(refund_of(payment)) == Unknown(f"query not sent: {NO_CONNECTION}")


async def test_an_initial_request_without_a_connection_was_not_sent() -> None:
    payment = order("800208", account(), auth_code="134567890123456789")
    assert await channel().open(payment) == NotSent(NO_CONNECTION)
