"""The link to a checkout page, which is signed."""

from datetime import datetime
from urllib.parse import parse_qsl, urlsplit

import pytest
from tael_client import Credentials, Money, SignType, checkout_link

from tests.client.world import UTC8

AT = datetime(2018, 1, 1, 10, 0, 0, tzinfo=UTC8)


def link(
    sign_type: SignType = SignType.SHA256, currency: str = "HKD", paysource: str = "shop_checkout"
) -> str:
    return checkout_link(
        "https://qf.example/",
        Credentials("APP1", "abcd1234"),
        reference="T1",
        amount=Money(100, currency),
        at=AT,
        paysource=paysource,
        return_url="https://m.example/r?a=b+c",
        failed_url="https://m.example/f",
        notify_url="https://m.example/n",
        sign_type=sign_type,
        more={"goods_name": "茶 & 水", "udid": "", "lang": "en"},
    )


#: What is signed, written down by hand: sorted, decoded, with sign_type, without lang and without the empty udid.
TEXT = (
    "appcode=APP1&failed_url=https://m.example/f&goods_name=茶 & 水&notify_url=https://m.example/n&out_trade_no=T1"
    "&paysource=shop_checkout&return_url=https://m.example/r?a=b+c&sign_type={}&txamt=100&txcurrcd=HKD"
    "&txdtm=2018-01-01 10:00:00"
)


@pytest.mark.parametrize(
    ("sign_type", "sign"),
    [
        (SignType.SHA256, "4b446d942c97d5dbfd74f854da3808f746cbaf261b0679b52274bb2d2eff1cb1"),
        (SignType.MD5, "0c1c3f4f731cf2e455d81e58f87b9bb3"),
    ],
)
def test_a_checkout_link_is_signed_over_all_that_has_a_value_but_lang(sign_type: SignType, sign: str) -> None:
    """The digests are those of sha256sum and md5sum over TEXT and the key."""
    address = link(sign_type)
    assert address.startswith("https://qf.example/checkstand/#/?")
    params = dict(parse_qsl(urlsplit(address).fragment.removeprefix("/?"), strict_parsing=True))
    assert params.pop("sign") == sign
    assert params.pop("lang") == "en"
    assert "&".join(f"{name}={params[name]}" for name in sorted(params)) == TEXT.format(sign_type.value)


def test_a_checkout_link_is_percent_encoded() -> None:
    assert "goods_name=%E8%8C%B6%20%26%20%E6%B0%B4" in link()
    assert "return_url=https%3A%2F%2Fm.example%2Fr%3Fa%3Db%2Bc" in link()


@pytest.mark.parametrize(("currency", "paysource"), [("", "shop_checkout"), ("HKD", "shop")])
def test_a_checkout_link_that_no_page_takes_is_refused(currency: str, paysource: str) -> None:
    with pytest.raises(ValueError, match="currency" if not currency else "paysource"):
        link(currency=currency, paysource=paysource)


def test_a_link_over_plain_http_needs_the_option_of_the_client() -> None:
    def made(base_url: str, allow_http: bool = False) -> str:
        return checkout_link(
            base_url,
            Credentials("APP1", "abcd1234"),
            reference="T1",
            amount=Money(100, "HKD"),
            at=AT,
            paysource="my-shop_checkout",
            return_url="https://m.example/r",
            failed_url="https://m.example/f",
            notify_url="https://m.example/n",
            allow_http=allow_http,
        )

    with pytest.raises(ValueError, match="plain HTTP"):
        made("http://qf.example")
    assert made("http://qf.example", allow_http=True).startswith("http://qf.example/checkstand/#/?")
    assert made("http://127.0.0.1:8000").startswith("http://127.0.0.1:8000/checkstand/#/?")
