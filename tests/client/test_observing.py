"""`on_exchange` gets every call's request and response, and affects nothing."""

import logging
from typing import Any

import httpx
import pytest
from tael_client import Exchange, Money, PaymentOrder, Unreachable

from tests.client.world import KEY, MCHID, Shop, barcode_answer, barcode_order, signed, verdict

#: Written by hand by the documents' rule: all parameters sorted by name, values decoded.
SIGNED_TEXT = (
    f"auth_code=134567890123456789&mchid={MCHID}&out_trade_no=57003579&pay_type=800208"
    "&product_name=Tea & cake&txamt=10&txcurrcd=HKD&txdtm=2017-09-06 14:56:43"
)
#: MD5 of that text with the key 123456 behind it, by md5sum.
SIGN = "084E810BD7AF1907ECDAE623DC47228E"


def order_of_tea() -> PaymentOrder:
    return PaymentOrder.wechat_barcode(
        "57003579", Money(10, "HKD"), "134567890123456789", product_name="Tea & cake"
    )


def shown_by(shop: Shop, order: PaymentOrder, **settings: Any) -> list[Exchange]:
    shown: list[Exchange] = []
    shop.do("payment", order, client={"on_exchange": shown.append, **settings})
    return shown


def test_the_request_is_shown_with_the_signed_text(shop: Shop) -> None:
    shop.server.will(signed(barcode_answer()))

    (shown,) = shown_by(shop, order_of_tea())

    assert shown.url == "https://pay.example/trade/v1/payment"
    assert shown.signed_text == SIGNED_TEXT
    assert shown.headers["X-QF-SIGN"] == SIGN == shop.server.asked[0].headers["X-QF-SIGN"]
    assert shown.body == shop.server.asked[0].body
    assert b"product_name=Tea+%26+cake" in shown.body


def test_the_response_is_shown_unchanged(shop: Shop) -> None:
    answer = signed(barcode_answer())
    shop.server.will(answer)

    (shown,) = shown_by(shop, barcode_order())

    assert (shown.status, shown.answer, shown.failure) == (200, answer.content, "")
    assert shown.answer_sign == answer.headers["X-QF-SIGN"]


def test_each_attempt_of_a_repeated_call_is_shown_in_order(shop: Shop) -> None:
    shop.server.will(signed(verdict("1112")), signed(barcode_answer()))

    first, second = shown_by(shop, barcode_order())

    assert b"1112" in first.answer
    assert b"0000" in second.answer
    assert (first.body, first.signed_text) == (second.body, second.signed_text)


def test_an_attempt_without_a_response_is_shown_with_the_reason(shop: Shop) -> None:
    shown: list[Exchange] = []
    shop.server.will(httpx.ConnectError("refused"))

    with pytest.raises(Unreachable):
        shop.do("payment", barcode_order(), client={"on_exchange": shown.append, "attempts": 1})

    assert [(one.status, one.answer, one.failure) for one in shown] == [(0, b"", "ConnectError refused")]


def test_neither_the_key_nor_the_payers_code_is_in_a_repr(shop: Shop) -> None:
    key = "A5C32AA6CA7C4A5E9A5C6C29D3B5B0E1"
    credentials = shop.settings({})["credentials"].__class__("app-7", key, MCHID)
    shop.server.will(signed(barcode_answer(), key=key))

    (shown,) = shown_by(shop, barcode_order(), credentials=credentials)

    everything = f"{shown!r}{shown.signed_text}{shown.body!r}{shown.headers}{shown.answer!r}"
    assert key not in everything
    assert "134567890123456789" in shown.signed_text
    assert "134567890123456789" not in repr(shown)


def test_an_observer_that_fails_does_not_lose_the_response(
    shop: Shop, caplog: pytest.LogCaptureFixture
) -> None:
    def fail(_: Exchange) -> None:
        raise RuntimeError("the log is full")

    shop.server.will(signed(barcode_answer()))
    with caplog.at_level(logging.ERROR, logger="tael_client"):
        payment = shop.do("payment", barcode_order(), client={"on_exchange": fail})

    assert payment.is_paid
    assert "on_exchange failed" in caplog.text
    assert KEY not in caplog.messages[0]
