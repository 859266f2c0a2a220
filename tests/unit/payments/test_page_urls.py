"""Addresses of pages: a token derived only from the encryption key and the numbers, and the page's end."""

import dataclasses
from datetime import timedelta

import pytest

from tael.base.pay_types import PAY_TYPES
from tael.payments.domain.page_urls import Pages, pages_below, payment_page_end
from tael.payments.domain.payment import State, advance
from tests.support.values import NOW, a_payment

KEY = bytes(range(32))
#: By openssl: HMAC-SHA256 of the purpose under KEY, under that of the text, in base64url; the first 16 letters.
TOKEN = "0i-m5JMPLuDikH9n"
NUMBERS = ("M1", "202601020900990000000001")


def pages(public_url: str = "https://pay.example", key: bytes = KEY) -> Pages:
    return pages_below(public_url, key)


def test_a_token_is_the_one_computed_with_openssl() -> None:
    assert pages().token(*NUMBERS) == TOKEN


def test_a_token_depends_on_payment_merchant_and_key() -> None:
    assert pages().is_token(TOKEN, *NUMBERS)
    assert not pages().is_token(TOKEN, "M2", NUMBERS[1])
    assert not pages().is_token(TOKEN, "M1", "202601020900990000000002")
    assert not pages(key=bytes(32)).is_token(TOKEN, *NUMBERS)
    for wrong in ("", TOKEN[:-1], TOKEN + "A", TOKEN.lower(), "香" * 16):
        assert not pages().is_token(wrong, *NUMBERS)


def test_pages_do_not_show_their_key() -> None:
    assert "878b1224" not in repr(pages())


def test_an_address_is_below_the_public_url_and_a_path_below_its_path() -> None:
    payment = dataclasses.replace(a_payment(), mchid="M1", syssn=NUMBERS[1])
    below = pages("https://pay.example/tael")

    assert below.of_payment(payment) == f"https://pay.example/tael/cashier/pay/M1/{NUMBERS[1]}/{TOKEN}"
    assert below.path(payment) == f"/tael/cashier/pay/M1/{NUMBERS[1]}/{TOKEN}"
    assert pages().path(payment) == f"/cashier/pay/M1/{NUMBERS[1]}/{TOKEN}"


def test_a_payment_inside_wechat_has_its_page_in_its_own_folder() -> None:
    payment = dataclasses.replace(a_payment(PAY_TYPES["800207"]), mchid="M1", syssn=NUMBERS[1])

    assert pages().of_payment(payment) == f"https://pay.example/cashier/wechat/M1/{NUMBERS[1]}/{TOKEN}"


def test_the_page_of_an_undecided_payment_ends_24_hours_after_its_deadline() -> None:
    payment = a_payment(expires_at=NOW + timedelta(minutes=30), deadline=NOW + timedelta(hours=2))

    assert payment_page_end(payment) == NOW + timedelta(hours=26)


@pytest.mark.parametrize("state", [state for state in State if state is not State.PENDING])
def test_the_page_of_a_decided_payment_ends_24_hours_after_the_decision(state: State) -> None:
    decided = advance(a_payment(), state, NOW + timedelta(minutes=7))

    assert payment_page_end(decided) == NOW + timedelta(hours=24, minutes=7)


def test_the_page_of_a_payment_paid_after_its_close_counts_from_the_payment() -> None:
    closed = advance(a_payment(), State.CLOSED, NOW + timedelta(minutes=7))
    paid = advance(closed, State.PAID, NOW + timedelta(minutes=40))

    assert payment_page_end(paid) == NOW + timedelta(hours=24, minutes=40)
