"""Under the wallets' own limits every operation still completes, in the time that a wallet takes."""

from collections.abc import Iterator

import pytest

from tests.end_to_end.merchant import Merchant, scannable
from tests.end_to_end.rig import Demo, eventually


@pytest.fixture
def strict(demo: Demo) -> Iterator[Demo]:
    demo.put_profile("strict")
    try:
        yield demo
    finally:
        demo.put_profile("demo")


def test_a_refund_of_wechat_is_done_after_twenty_minutes(shop: Merchant, strict: Demo) -> None:
    opened = shop.paid("800208")
    refund = shop.refund(opened, "300")
    strict.advance(600)
    assert (refund.respcd, strict.refunds(opened["syssn"])[0]["state"]) == ("2999", "PROCESSING")
    strict.advance(3600)
    shop.until(refund["syssn"], "0000")


def test_refunds_that_come_too_soon_are_all_done_in_the_end(shop: Merchant, strict: Demo) -> None:
    for pay_type in ("800151", "800201"):
        opened = shop.paid(pay_type)
        refunds = [shop.refund(opened, "200") for _ in range(3)]
        assert all(refund.respcd in ("0000", "2999") for refund in refunds)
        assert len(strict.refunds(opened["syssn"])) == 1
        for count in (2, 3):
            strict.advance(3600)
            wait_for_refunds(strict, opened["syssn"], count)
        strict.advance(3600)
        for refund in refunds:
            shop.until(refund["syssn"], "0000")
        assert strict.held(opened["syssn"]) == 400


def wait_for_refunds(demo: Demo, syssn: str, count: int) -> None:
    eventually(lambda: demo.refunds(syssn), lambda made: len(made) >= count)


def test_a_refund_at_night_is_done_when_the_night_is_over(shop: Merchant, strict: Demo) -> None:
    opened = shop.paid("800108")
    now = strict.now()
    strict.advance(86_400 + 60 - (now.hour * 3600 + now.minute * 60 + now.second))
    refund = shop.refund(opened, "300")
    assert refund.respcd == "2999"
    assert strict.held(opened["syssn"]) == 1000
    strict.advance(2 * 3600)
    shop.until(refund["syssn"], "0000")
    assert strict.held(opened["syssn"]) == 700


def test_a_reversal_that_comes_too_soon_is_done_later(shop: Merchant, strict: Demo) -> None:
    opened = shop.paid("800208")
    assert shop.call("reversal", syssn=opened["syssn"]).respcd == "1145"
    strict.advance(60)
    shop.until(opened["syssn"], "0000", "1")
    assert strict.held(opened["syssn"]) == 0


def test_an_order_cannot_be_closed_at_once_and_is_closed_later(shop: Merchant, strict: Demo) -> None:
    opened = shop.open("800201")
    assert shop.call("close", syssn=opened["syssn"]).respcd == "1146"
    assert strict.scan(scannable(opened))["state"] == "NOTPAY"
    strict.advance(600)
    shop.until(opened["syssn"], "1142", "2")
