"""Addresses of pages: a token derived only from a link key and the numbers, and the page's end."""

import dataclasses
from datetime import timedelta

import pytest

from tael.base.pay_types import PAY_TYPES
from tael.base.secret import Secret
from tael.payments.domain.page_urls import LinkKey, Pages, payment_page_end
from tael.payments.domain.payment import State, advance
from tests.support.values import NOW, a_payment

KEY = LinkKey("k7Qx2a9Z", Secret(bytes(range(32)).hex()), NOW)
#: By openssl: HMAC-SHA256 of the text under KEY, in base64url; the first 16 letters.
TOKEN = "k7Qx2a9Z._6j2Sv3bvwMrU3r6"
NUMBERS = ("M1", "202601020900990000000001")


def pages(public_url: str = "https://pay.example", *keys: LinkKey) -> Pages:
    return Pages(public_url, keys or (KEY,))


def test_a_token_is_the_one_computed_with_openssl() -> None:
    assert pages().token(*NUMBERS) == TOKEN


def test_a_token_depends_on_payment_merchant_and_key() -> None:
    other = dataclasses.replace(KEY, key=Secret("00" * 32))
    assert pages().is_token(TOKEN, *NUMBERS, NOW)
    assert not pages().is_token(TOKEN, "M2", NUMBERS[1], NOW)
    assert not pages().is_token(TOKEN, "M1", "202601020900990000000002", NOW)
    assert not pages("", other).is_token(TOKEN, *NUMBERS, NOW)
    mac = TOKEN.partition(".")[2]
    wrong = (
        "",
        TOKEN[:-1],
        TOKEN + "A",
        TOKEN.lower(),
        mac,
        f".{mac}",
        f"k7Qx2a9Z{mac}",
        f"x.{mac}",
        "香" * 16,
    )
    for each in wrong:
        assert not pages().is_token(each, *NUMBERS, NOW)


def test_a_key_before_the_current_one_is_accepted_until_its_time_has_passed() -> None:
    ends_at = NOW + timedelta(days=61)
    current = LinkKey("newKey00", Secret("11" * 32), NOW)
    rotated = pages("", current, dataclasses.replace(KEY, accepted_until=ends_at))
    assert rotated.token(*NUMBERS).startswith("newKey00.")
    assert rotated.is_token(TOKEN, *NUMBERS, ends_at - timedelta(seconds=1))
    assert not rotated.is_token(TOKEN, *NUMBERS, ends_at)
    assert rotated.is_token(rotated.token(*NUMBERS), *NUMBERS, ends_at)


def test_pages_do_not_show_their_key() -> None:
    assert KEY.key.reveal() not in repr(pages())


def test_an_address_is_below_the_public_url_and_a_path_below_its_path() -> None:
    payment = a_payment().replace(mchid="M1", syssn=NUMBERS[1])
    below = pages("https://pay.example/tael")

    assert below.of_payment(payment) == f"https://pay.example/tael/cashier/pay/M1/{NUMBERS[1]}/{TOKEN}"
    assert below.path(payment) == f"/tael/cashier/pay/M1/{NUMBERS[1]}/{TOKEN}"
    assert pages().path(payment) == f"/cashier/pay/M1/{NUMBERS[1]}/{TOKEN}"


def test_a_payment_inside_wechat_has_its_page_in_its_own_folder() -> None:
    payment = a_payment(PAY_TYPES["800207"]).replace(mchid="M1", syssn=NUMBERS[1])

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
