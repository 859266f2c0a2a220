"""Crowds at two gateways: equal payments are one, refunds stay within the remainder, and wallets get no extra calls."""

import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Final

import pytest

from tests.end_to_end.merchant import Merchant, at_once, new_reference, send
from tests.end_to_end.rig import END_LIMIT_S, ROOT, START_LIMIT_S, Demo, eventually, free_port_block
from tests.support.commands import clean_environment
from tests.support.http_calls import Answer

ACCEPTED: Final = {"0000", "2999"}
OUT_OF_SERVICE: Final = "1112"
MAX_TRIES: Final = 5
NOTHING_LEFT: Final = {"1272", "1125"}
#: The wallets' operations that use a barcode.
USE_OF_BARCODE: Final = {
    "800108": ("alipay", "alipay.acquire.overseas.spot.pay"),
    "800208": ("wechat", "/pay/micropay"),
}


@pytest.fixture(scope="module")
def gateways(demo: Demo) -> Iterator[list[str]]:
    """Two gateway processes over the demo's database and wallets, each at its own port."""
    places = [Gateway(demo, node) for node in ("31", "32")]
    try:
        assert eventually(lambda: all(one.is_ready() for one in places), bool, START_LIMIT_S)
        yield [one.url for one in places]
    finally:
        for one in places:
            one.end()


class Gateway:
    """One process of `tael serve`, as a deployment has it."""

    def __init__(self, demo: Demo, node: str) -> None:
        port = free_port_block()
        self.url = f"http://127.0.0.1:{port}"
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tael.cli", "serve", "--demo", "--port", str(port)],
            cwd=ROOT,
            env=clean_environment() | settings(demo, node),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )

    def is_ready(self) -> bool:
        try:
            return send(self.url, "GET", "/readyz").status == 200
        except OSError:
            return False

    def end(self) -> None:
        self._process.terminate()
        self._process.wait(END_LIMIT_S)


def settings(demo: Demo, node: str) -> dict[str, str]:
    folder = demo.folder.resolve()
    return {
        "TAEL_DATABASE_URL": demo.database_url,
        "TAEL_ENCRYPTION_KEY_FILE": str(folder / "encryption.key"),
        "TAEL_PUBLIC_URL": demo.gateway,
        "TAEL_NODE": node,
        "TAEL_ALIPAY_URL": f"{demo.sandbox}/gateway.do",
        "TAEL_ALIPAY_INSTORE_URL": f"{demo.sandbox}/gateway.do",
        "TAEL_WECHAT_URL": f"https://127.0.0.1:{demo.port + 3}",
        "TAEL_WECHAT_CA_FILE": str(folder / "wechat_ca.pem"),
        "TAEL_CLOCK_FILE": str(folder / "clock"),
        "TAEL_MERCHANT_MAX_PER_SECOND": "0",
        "TAEL_MERCHANT_MAX_PER_MINUTE": "0",
        "TAEL_ADDRESS_MAX_PER_SECOND": "0",
        "TAEL_MAX_CONCURRENT_CALLS": "10000",
    }


@pytest.fixture
def desks(shop: Merchant, demo: Demo, gateways: list[str]) -> list[Merchant]:
    """The merchant's client, one for each gateway. Each request has its own connection."""
    return [replace(shop, demo=replace(demo, gateway=url)) for url in gateways]


@contextmanager
def counted(demo: Demo, wallet: str, operation: str) -> Iterator[Callable[[], int]]:
    """How often this operation was called since, counted with a harmless fault."""
    demo.put_faults({"wallet": wallet, "operation": operation, "kind": "slow", "delay_s": 0.001})
    try:
        yield lambda: int(demo.control("faults")[0]["hits"])
    finally:
        demo.put_faults()


@pytest.mark.parametrize("pay_type", list(USE_OF_BARCODE))
def test_fifty_equal_payments_at_two_gateways_are_one_order_and_use_the_barcode_once(
    shop: Merchant, demo: Demo, desks: list[Merchant], pay_type: str
) -> None:
    params = shop.payment_params(pay_type)

    with counted(demo, *USE_OF_BARCODE[pay_type]) as asked:
        answers = at_once(50, lambda index: desks[index % 2].call("payment", **params))
        assert asked() == 1

    assert {answer.respcd for answer in answers} == {"0000"}
    assert len({answer.body for answer in answers}) == 1
    (row,) = shop.rows(out_trade_no=params["out_trade_no"])
    (trade,) = demo.trades(row["syssn"])
    assert trade["amount"] == 1000
    assert demo.held(row["syssn"]) == 1000


def refunded_one(merchant: Merchant, opened: Answer) -> Answer:
    """The response to a refund of 1; after "out of service" the request is repeated, as the manual requires."""
    asked = {"out_trade_no": new_reference(), "txdtm": opened["txdtm"]}
    for _ in range(MAX_TRIES):
        answer = merchant.refund(opened, "1", **asked)
        if answer.respcd != OUT_OF_SERVICE:
            break
    return answer


@pytest.mark.parametrize("pay_type", ["800108", "800208"])
def test_two_hundred_refunds_of_one_on_a_payment_of_forty_at_two_gateways_are_forty(
    shop: Merchant, demo: Demo, desks: list[Merchant], pay_type: str
) -> None:
    opened = shop.paid(pay_type, txamt="40")

    answers = at_once(200, lambda index: refunded_one(desks[index % 2], opened))

    accepted = [answer for answer in answers if answer.respcd in ACCEPTED]
    codes = Counter(answer.respcd for answer in answers)
    assert len(accepted) == 40, codes
    assert set(codes) <= ACCEPTED | NOTHING_LEFT
    demo.advance(10)
    assert eventually(lambda: demo.held(opened["syssn"]), lambda held: held == 0) == 0
    wallets_own = demo.refunds(opened["syssn"])
    assert [refund["amount"] for refund in wallets_own] == [1] * 40
    assert {refund["refund_order"] for refund in wallets_own} == {answer["syssn"] for answer in accepted}
    for answer in accepted:
        shop.until(answer["syssn"], "0000")


def test_the_fifty_first_refund_of_a_wechat_payment_is_refused_without_a_call(
    shop: Merchant, demo: Demo
) -> None:
    opened = shop.paid("800208", txamt="60")
    with counted(demo, "wechat", "/secapi/pay/refund") as asked:
        accepted = [one for _ in range(5) for one in at_once(10, lambda _: shop.refund(opened, "1"))]
        demo.advance(10)
        for one in accepted:
            shop.until(one["syssn"], "0000")
        asked_before = asked()
        assert asked_before >= 50  # more if a job polled before the first response

        answer = shop.refund(opened, "1")

        assert answer.respcd == "1124"
        assert "syssn" not in answer.members
        shop.refunded("800108")  # by then the jobs have run
        assert asked() == asked_before
    assert len(demo.refunds(opened["syssn"])) == 50
    assert demo.held(opened["syssn"]) == 10
