"""A checkout link's parameters: their signature and their meaning."""

import hashlib
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Final

import pytest

from tael.api.authenticate import check_link
from tael.base.errors import NotAuthentic
from tael.base.secret import Secret
from tael.merchants.domain.merchant import App
from tael.payments.domain.checkout import CheckoutLink, link_pages_end, takes_orders
from tael.qfpay.errors import BadField
from tael.qfpay.links import link_of
from tests.support.values import NOW, a_merchant, an_app

KEY: Final = "5f1ce3a09d5b4f0e8a7d1c2b3a495867"
APP: Final = an_app(key=Secret(KEY))
LINK: Final = {
    "appcode": APP.appcode,
    "sign_type": "sha256",
    "paysource": "remotepay_checkout",
    "txamt": "1000",
    "out_trade_no": "L-1",
    "txdtm": "2026-01-02 11:04:05",
    "return_url": "https://shop.example/r",
    "failed_url": "https://shop.example/f",
}


def signed(
    params: Mapping[str, str], *, algorithm: str = "sha256", but: tuple[str, ...] = ("lang",)
) -> dict[str, str]:
    """`params` signed over all that have a value, except those in `but`."""
    pairs = sorted((name, value) for name, value in params.items() if value and name not in but)
    text = "&".join(f"{name}={value}" for name, value in pairs)
    return {**params, "sign": hashlib.new(algorithm, (text + KEY).encode()).hexdigest()}


def verifies(params: Mapping[str, str], app: App = APP) -> bool:
    try:
        check_link(params, app, NOW)
    except NotAuthentic:
        return False
    return True


def link(**changes: str | None) -> CheckoutLink:
    params = {name: value for name, value in (LINK | changes).items() if value is not None}
    return link_of(params, APP, a_merchant(), NOW)


# ---- the language --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("lang", ["en", "zh-cn", "zh_HK", "fr", ""])
@pytest.mark.parametrize("algorithm", ["sha256", "md5"])
@pytest.mark.parametrize("but", [("lang",), ()])
def test_a_link_verifies_whether_its_language_is_signed_or_not(
    lang: str, algorithm: str, but: tuple[str, ...]
) -> None:
    params = LINK | {"lang": lang, "sign_type": algorithm}
    assert verifies(signed(params, algorithm=algorithm, but=but))


def test_a_language_that_is_signed_cannot_be_changed_or_taken_away() -> None:
    params = signed(LINK | {"lang": "en"}, but=())
    assert not verifies(params | {"lang": "zh-cn"})
    assert not verifies({name: value for name, value in params.items() if name != "lang"})


@pytest.mark.parametrize(
    ("signed_params", "sent"),
    [
        # The end of another value becomes a language, and takes more with it than a language.
        (
            {"failed_url": "https://shop.example/f?a=1&lang=en&order=7"},
            {"failed_url": "https://shop.example/f?a=1", "lang": "en&order=7"},
        ),
        ({"goods_name": "tea&lang=en&size=2"}, {"goods_name": "tea", "lang": "en&size=2"}),
    ],
)
def test_a_language_that_holds_the_end_of_another_value_is_refused(
    signed_params: dict[str, str], sent: dict[str, str]
) -> None:
    sign = signed(LINK | signed_params)["sign"]
    text = signed(LINK | sent, but=())["sign"]
    assert sign == text  # the same characters were signed
    assert not verifies(LINK | sent | {"sign": sign})


def test_a_language_in_a_page_address_is_not_the_links() -> None:
    for url in ("https://shop.example/f?a=1&lang=en", "https://shop.example/f?lang=en"):
        assert verifies(signed(LINK | {"failed_url": url, "lang": "zh-hk"}))
        assert verifies(signed(LINK | {"return_url": url}))


@pytest.mark.parametrize("name", ["pay_type", "auth_code", "syssn", "respcd"])
def test_a_link_may_carry_empty_parameters_of_other_calls_and_no_others(name: str) -> None:
    params = signed(LINK)
    assert verifies(params | {name: ""})
    assert not verifies(signed(LINK | {name: "1"}))
    assert not verifies(signed(LINK | {"goods_name": f"tea&{name}=1"}) | {name: ""})


@pytest.mark.parametrize("name", ["respmsg", "respmesg"])
@pytest.mark.parametrize("value", ["", "1"])
def test_a_webhooks_parameter_is_refused_in_a_link_even_if_it_is_empty(name: str, value: str) -> None:
    assert not verifies(signed(LINK | {name: value}))


def test_a_link_may_carry_unread_parameters() -> None:
    assert verifies(
        signed(LINK | {"txzone": "+0800", "goods_info": "茶 & +", "udid": "", "Extra_1": "x=y&z"})
    )


# ---- what may be missing -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "member"),
    [
        ("txdtm", "client_time"),
        ("failed_url", "failed_url"),
        ("return_url", "return_url"),
        ("cancel_url", "cancel_url"),
    ],
)
@pytest.mark.parametrize("value", [None, ""])
def test_a_link_needs_neither_a_time_nor_addresses(name: str, member: str, value: str | None) -> None:
    assert getattr(link(**{name: value}), member) == ""


@pytest.mark.parametrize("algorithm", ["sha256", "md5"])
def test_without_sign_type_the_length_of_the_signature_decides(algorithm: str) -> None:
    params = {name: value for name, value in LINK.items() if name != "sign_type"}
    assert verifies(signed(params, algorithm=algorithm))
    assert verifies(signed(params | {"sign_type": ""}, algorithm=algorithm))
    sha256_only = an_app(key=Secret(KEY), sha256_only=True)
    assert verifies(signed(params, algorithm=algorithm), sha256_only) is (algorithm == "sha256")


@pytest.mark.parametrize("name", ["txamt", "out_trade_no"])
def test_the_parameters_of_an_order_are_required(name: str) -> None:
    with pytest.raises(BadField) as refused:
        link(**{name: None})
    assert refused.value.field == name


def test_without_a_source_it_is_no_link() -> None:
    assert not verifies(signed({name: value for name, value in LINK.items() if name != "paysource"}))


@pytest.mark.parametrize(
    "source", ["remotepay_checkout", "my-shop_checkout", "-_checkout", "_checkout", "A" * 64 + "_checkout"]
)
def test_a_source_may_have_dashes(source: str) -> None:
    assert link(paysource=source).reference == "L-1"


@pytest.mark.parametrize(
    "source",
    ["checkout", "remotepay", "my shop_checkout", "a.b_checkout", "A" * 65 + "_checkout", "x_checkout2"],
)
def test_another_source_is_refused(source: str) -> None:
    with pytest.raises(BadField) as refused:
        link(paysource=source)
    assert refused.value.field == "paysource"


# ---- its end -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("value", "minutes"), [(None, 120), ("", 120), ("1", 1), ("999", 999)])
def test_minutes_count_from_the_first_opening(value: str | None, minutes: int) -> None:
    opened = link(checkout_expired_time=value)
    assert (opened.expires_at, opened.has_fixed_end) == (NOW + timedelta(minutes=minutes), False)


@pytest.mark.parametrize(
    ("value", "at"),
    [
        ("1715686118000", datetime(2024, 5, 14, 11, 28, 38, tzinfo=UTC)),  # date -u -d @1715686118
        ("1767322999999", datetime(2026, 1, 2, 3, 3, 19, 999000, tzinfo=UTC)),
        ("9999999999999", datetime(2286, 11, 20, 17, 46, 39, 999000, tzinfo=UTC)),
    ],
)
def test_thirteen_digits_are_an_instant_in_milliseconds(value: str, at: datetime) -> None:
    opened = link(checkout_expired_time=value)
    assert (opened.expires_at, opened.has_fixed_end) == (at, True)
    assert takes_orders(opened, NOW) is (at > NOW)


def test_a_link_that_has_ended_when_first_opened_has_pages_that_show_it() -> None:
    assert link_pages_end(link(checkout_expired_time="1715686118000"), None) == NOW + timedelta(hours=24)


def test_an_instant_is_the_same_link_whenever_it_is_opened() -> None:
    params = LINK | {"checkout_expired_time": "1767330000000"}
    first, later = (link_of(params, APP, a_merchant(), NOW + timedelta(minutes=n)) for n in (0, 7))
    assert first.content == later.content
    assert first.content != link(checkout_expired_time="1767330000001").content
    assert link(txdtm=None).content == link(txdtm="").content != link().content


@pytest.mark.parametrize(
    "value",
    [
        "0",
        "1000",
        "-1",
        "1.5",
        "x",
        "171568611800",
        "17156861180000",
        "1715686118.000",
        "１７１５６８６１１８０００",
    ],
)
def test_any_other_end_is_refused_by_name(value: str) -> None:
    with pytest.raises(BadField) as refused:
        link(checkout_expired_time=value)
    assert refused.value.field == "checkout_expired_time"
