"""The payer's redirect: the merchant's own address with the payment's members added and nothing else changed."""

from typing import Final
from urllib.parse import parse_qsl, urlencode, urlsplit

import pytest

from tael.cashier.redirects import with_payment
from tael.cashier.rendering import to_merchant
from tael.payments.domain.payment import Payment
from tests.support.values import ALIPAY_ONLINE, a_paid_payment

PAYMENT: Final = a_paid_payment(ALIPAY_ONLINE, reference="A/1", device="terminal 4")
MEMBERS: Final = {
    "mchid": PAYMENT.mchid,
    "syssn": PAYMENT.syssn,
    "pay_type": "800151",
    "out_trade_no": "A/1",
    "txdtm": PAYMENT.client_time,
    "txamt": "100",
    "respcd": "0000",
    "respmsg": "",
    "respmesg": "",
    "udid": "terminal 4",
}
#: Queries of an address that must stay unchanged.
QUERIES: Final = (
    "session=a%26b",
    "name=%B2%E8%D2%B6",  # GBK
    "name=%E8%8C%B6&lang=%e8%8c%b6",
    "a=&b&=c&&d=",
    "item=1&item=2&item=1",
    "a=b+c&d=e%20f",
    "odd=|{}^`~!$'()*,;:@/?[]",
    "bare%zz=%&=%",
    "out_trade_no=theirs&mchid=theirs",
    "next=https://shop.example/x?y=1",
)


@pytest.mark.parametrize("query", QUERIES)
@pytest.mark.parametrize("fragment", ["", "#/paid?x=1", "#", "#a#b"])
def test_an_address_keeps_every_character_of_its_query_and_fragment(query: str, fragment: str) -> None:
    location = to_merchant(with_payment(f"https://shop.example/back?{query}{fragment}", PAYMENT)).headers[
        "location"
    ]
    before, _, rest = location.partition(f"?{query}&")
    assert before == "https://shop.example/back"
    added, mark, after = rest.partition("#")
    assert mark + after == fragment
    assert dict(parse_qsl(added, keep_blank_values=True)) == MEMBERS


@pytest.mark.parametrize(
    ("address", "expected"),
    [
        ("https://shop.example", "https://shop.example?"),
        ("https://shop.example/#/paid", "https://shop.example/?"),
        ("https://shop.example/r?", "https://shop.example/r?"),
        ("https://shop.example/r?a=1&", "https://shop.example/r?a=1&"),
        ("HTTPS://Shop.Example:443/%7euser/../r", "HTTPS://Shop.Example:443/%7euser/../r?"),
    ],
)
def test_the_members_follow_the_existing_query(address: str, expected: str) -> None:
    assert with_payment(address, PAYMENT).startswith(f"{expected}mchid={PAYMENT.mchid}&")


def test_non_ascii_text_is_encoded_as_browsers_do() -> None:
    location = to_merchant("https://shop.example/茶?叶=红").headers["location"]
    assert location == "https://shop.example/%E8%8C%B6?%E5%8F%B6=%E7%BA%A2"


def test_the_members_of_a_payment_cannot_end_the_query() -> None:
    payment: Payment = a_paid_payment(ALIPAY_ONLINE, reference="A#1", device="a&b=c#d")
    parts = urlsplit(with_payment("https://shop.example/r#/paid", payment))
    assert parts.fragment == "/paid"
    assert dict(parse_qsl(parts.query))["out_trade_no"] == "A#1"
    assert urlencode({"udid": "a&b=c#d"}) in parts.query
