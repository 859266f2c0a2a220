"""Values that could be split into another parameter: refused by the signer, in every call and in links."""

from collections.abc import Callable
from datetime import datetime
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import pytest
from tael_client import Credentials, Filters, Money, PaymentOrder, checkout_link

from tests.client.world import (
    CREDENTIALS,
    KEY,
    SYSSN,
    UTC8,
    Members,
    Shop,
    barcode_answer,
    online_answer,
    page,
    signed,
)

ORDER_TEXT = (
    "mchid Mchid mchntid out_trade_no txdtm txamt txcurrcd udid sub_openid product_name goods_name "
    "expired_time limit_pay"
)
OTHER_TEXT = "start_time end_time page page_size respcd sign lang txzone notify_type"
URLS = ["notify_url", "return_url", "failed_url", "cancel_url"]
OF_A_PAYMENT = [*ORDER_TEXT.split(), "pay_type", "auth_code", "valid_time"]
OF_A_LINK = [*ORDER_TEXT.split(), *URLS, "appcode", "sign_type", "paysource", "checkout_expired_time"]
OF_OTHER_KINDS = ["syssn", "pay_type", "paysource", "respmsg", "respmesg", "auth_code"]
#: Every parameter of the calls, of links and of webhooks.
VOCABULARY = sorted({*OF_A_PAYMENT, *OF_A_LINK, *OF_OTHER_KINDS, *OTHER_TEXT.split()})
MONEY = Money(10, "HKD")
#: Text with `&` and `=` that no parameter hides in.
HARMLESS = [
    "Tea & biscuits = good",
    "&",
    "a&b",
    "txamt=1",
    "Q&A=fun",
    "&txamt",
    "& txamt=1",
    "&TXAMT=1",
    "a&b&c=d",
    "Tea＆txamt=1",
    "茶 & 水",
]


def order(**details: Any) -> PaymentOrder:
    return PaymentOrder.wechat_qr("57003579", MONEY, **details)


def link(**given: Any) -> str:
    arguments: Members = {
        "credentials": Credentials("APP1", KEY),
        "reference": "ORDER-7",
        "amount": Money(500000, "HKD"),
        "at": datetime(2026, 11, 28, 10, 0, 0, tzinfo=UTC8),
        "paysource": "shop_checkout",
        "return_url": "https://m.example/r",
        "failed_url": "https://m.example/f",
        "notify_url": "https://m.example/n",
    }
    return checkout_link("https://qf.example", **arguments | given)


def link_params(address: str) -> dict[str, str]:
    return dict(parse_qsl(urlsplit(address).fragment.removeprefix("/?"), strict_parsing=True))


# ---- text --------------------------------------------------------------------------------------------------

Sender = Callable[[Shop, str], Any]

#: Every value of every call that is text: by the name it has there, sent with a given value.
TEXTS_OF_CALLS: dict[str, Sender] = {
    "payment product_name": lambda shop, text: shop.do("payment", order(product_name=text)),
    "payment udid": lambda shop, text: shop.do("payment", order(device=text)),
    "payment out_trade_no": lambda shop, text: shop.do("payment", PaymentOrder.wechat_qr(text, MONEY)),
    "payment auth_code": lambda shop, text: shop.do("payment", PaymentOrder.alipay_barcode("r", MONEY, text)),
    "payment sub_openid": lambda shop, text: shop.do("payment", PaymentOrder.wechat_in_app("r", MONEY, text)),
    "payment goods_name": lambda shop, text: shop.do("payment", order(more={"goods_name": text})),
    "payment colour": lambda shop, text: shop.do("payment", order(more={"colour": text})),
    "payment mchid": lambda shop, text: shop.do(
        "payment", order(), client={"credentials": Credentials("a", KEY, text)}
    ),
    "close syssn": lambda shop, text: shop.do("close", syssn=text),
    "close out_trade_no": lambda shop, text: shop.do("close", reference=text),
    "refund syssn": lambda shop, text: shop.do("refund", text, "r", MONEY),
    "refund out_trade_no": lambda shop, text: shop.do("refund", SYSSN, text, MONEY),
    "reversal syssn": lambda shop, text: shop.do("reversal", syssn=text),
    "reversal out_trade_no": lambda shop, text: shop.do("reversal", reference=text, amount=MONEY),
    "query syssn": lambda shop, text: shop.do("query", Filters(syssns=["1", text])),
    "query out_trade_no": lambda shop, text: shop.do("query", Filters(references=[text])),
    "query pay_type": lambda shop, text: shop.do("query", Filters(pay_types=[text])),
    "query respcd": lambda shop, text: shop.do("query", Filters(respcd=text)),
    "query_all out_trade_no": lambda shop, text: shop.do("query_all", Filters(references=[text])),
    "pay_and_wait product_name": lambda shop, text: shop.do(
        "pay_and_wait", order(product_name=text), on_opened=print
    ),
}
TEXTS_OF_LINKS: dict[str, Callable[[str], str]] = {
    "appcode": lambda text: link(credentials=Credentials(text, KEY)),
    "out_trade_no": lambda text: link(reference=text),
    "paysource": lambda text: link(paysource=f"{text}_checkout"),
    **{
        name: (lambda text, name=name: link(more={name: text}))  # type: ignore[misc]
        for name in (
            *("goods_name", "product_name", "udid", "sub_openid", "mchid", "mchntid", "lang"),
            *("expired_time", "checkout_expired_time", "limit_pay", "colour"),
        )
    },
}


@pytest.mark.parametrize("place", TEXTS_OF_CALLS)
def test_every_text_of_every_call_is_refused_if_a_parameter_hides_in_it(shop: Shop, place: str) -> None:
    name = place.split()[1]
    with pytest.raises(ValueError, match=f'^{name} must not contain "&txamt="') as raised:
        TEXTS_OF_CALLS[place](shop, "hush&txamt=1")
    assert "hush" not in str(raised.value)
    assert "＆ (U+FF06)" in str(raised.value)
    assert shop.server.asked == []


@pytest.mark.parametrize("name", TEXTS_OF_LINKS)
def test_every_text_of_a_link_is_refused_if_a_parameter_hides_in_it(name: str) -> None:
    with pytest.raises(ValueError, match=f'^{name} must not contain "&txamt="') as raised:
        TEXTS_OF_LINKS[name]("hush&txamt=1")
    assert "hush" not in str(raised.value)
    assert "＆ (U+FF06)" in str(raised.value)


@pytest.mark.parametrize("hidden", VOCABULARY)
def test_no_parameter_of_the_protocol_may_hide_in_a_text(shop: Shop, hidden: str) -> None:
    for text in (f"&{hidden}=", f"Tea&x=1&{hidden}=1", f"Tea&x&{hidden}=1&y", f"&{hidden}=1=2"):
        with pytest.raises(ValueError, match=f'^product_name must not contain "&{hidden}="'):
            shop.do("payment", order(product_name=text))
        with pytest.raises(ValueError, match=f'^goods_name must not contain "&{hidden}="'):
            link(more={"goods_name": text})
    assert shop.server.asked == []


def test_a_text_may_not_even_repeat_a_parameter_with_its_own_value(shop: Shop) -> None:
    with pytest.raises(ValueError, match="txamt"):
        shop.do("payment", order(product_name="Tea&txamt=10"))


def test_a_further_parameter_of_the_call_may_not_hide_in_a_text_either(shop: Shop) -> None:
    with pytest.raises(ValueError, match=r'^product_name must not contain "&colour="'):
        shop.do("payment", order(product_name="Tea&colour=red", more={"colour": "blue"}))
    with pytest.raises(ValueError, match=r'^goods_name must not contain "&colour="'):
        link(more={"goods_name": "Tea&colour=red", "colour": "blue"})

    shop.server.will(signed(online_answer()))
    shop.do("payment", order(product_name="Tea&colour=red"))
    assert shop.server.asked[0].params["product_name"] == "Tea&colour=red"


@pytest.mark.parametrize("text", HARMLESS)
def test_a_text_in_which_no_parameter_hides_is_sent_as_it_is(shop: Shop, text: str) -> None:
    shop.server.will(signed(online_answer()))
    shop.do("payment", order(product_name=text))
    assert shop.server.asked[0].params["product_name"] == text
    assert link_params(link(more={"goods_name": text}))["goods_name"] == text


# ---- addresses ---------------------------------------------------------------------------------------------


def url_of_a_link(name: str, address: str) -> str:
    return link(more={name: address}) if name == "cancel_url" else link(**{name: address})


@pytest.mark.parametrize("name", URLS)
@pytest.mark.parametrize("hidden", sorted({*OF_A_LINK, *OF_OTHER_KINDS} - {"notify_url"}))
def test_an_address_of_a_link_is_refused_if_it_changes_or_adds_a_parameter(name: str, hidden: str) -> None:
    address = f"https://hush.example/?a=1&{hidden}=another"
    with pytest.raises(ValueError, match=f'^{name} must not contain "&{hidden}="') as raised:
        url_of_a_link(name, address)
    assert "hush" not in str(raised.value)


@pytest.mark.parametrize("name", URLS)
@pytest.mark.parametrize("hidden", sorted({*OF_A_PAYMENT, *OF_OTHER_KINDS}))
def test_an_address_of_a_payment_is_refused_if_it_changes_or_adds_a_parameter(
    shop: Shop, name: str, hidden: str
) -> None:
    with pytest.raises(ValueError, match=f'^{name} must not contain "&{hidden}="'):
        shop.do("payment", order(more={name: f"https://m.example/?a=1&{hidden}=another"}))
    assert shop.server.asked == []


def test_an_address_may_not_change_a_further_parameter_of_its_call(shop: Shop) -> None:
    with pytest.raises(ValueError, match=r'^notify_url must not contain "&colour="'):
        shop.do("payment", order(more={"notify_url": "https://m.example/?a=1&colour=red", "colour": "blue"}))


@pytest.mark.parametrize(
    "repeated",
    [
        "&out_trade_no=ORDER-7",
        "&txamt=500000&txcurrcd=HKD&x=1",
        "&paysource=shop_checkout",
        "&appcode=APP1#there",
        "&sign_type=SHA256&",
    ],
)
def test_an_address_may_repeat_a_parameter_with_the_value_that_it_has(repeated: str) -> None:
    address = f"https://m.example/r?a=1{repeated}"
    if "#" in repeated:  # the value reaches to the next `&`
        with pytest.raises(ValueError, match="appcode"):
            link(return_url=address)
    else:
        assert link_params(link(return_url=address))["return_url"] == address


@pytest.mark.parametrize(
    "nearly",
    [
        "&txamt=5000000",
        "&txamt=500000=",
        "&txamt=50000",
        "&txamt=",
        "&txamt=500000&txamt=1",
        "&udid=",
        "&out_trade_no=order-7",
    ],
)
def test_an_address_that_nearly_repeats_a_parameter_is_refused(nearly: str) -> None:
    with pytest.raises(ValueError, match="return_url must not contain"):
        link(return_url=f"https://m.example/r?a=1{nearly}", more={"udid": ""})


@pytest.mark.parametrize(
    "own",
    ["?txamt=1", "?a=1&b=2", "?a=1&lang=fr", "?a=1&sign=ab", "?a=1&page=2", "?a=1&start_time=x"],
)
def test_an_address_may_have_its_own_parameters(shop: Shop, own: str) -> None:
    address = f"https://m.example/r{own}"
    assert link_params(link(return_url=address, more={"lang": "en"}))["return_url"] == address

    shop.server.will(signed(online_answer()))
    shop.do("payment", order(more={"notify_url": address}))
    assert shop.server.asked[0].params["notify_url"] == address


def test_an_address_of_a_payment_may_repeat_its_parameters(shop: Shop) -> None:
    address = "https://m.example/n?a=1&out_trade_no=57003579&txamt=10&pay_type=800201"
    shop.server.will(signed(online_answer()))
    shop.do("payment", order(more={"notify_url": address}))
    assert shop.server.asked[0].params["notify_url"] == address


# ---- further parameters ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "name",
    ["", " ", "a b", "a-b", "a.b", "a&b", "a=b", "a\n", "é", "１", '{"notify_type":"payment","x":"'],
)
def test_the_name_of_a_further_parameter_has_ascii_letters_digits_and_underscores_only(
    shop: Shop, name: str
) -> None:
    with pytest.raises(ValueError, match="letters, digits and underscores"):
        shop.do("payment", order(more={name: "x"}))
    with pytest.raises(ValueError, match="letters, digits and underscores"):
        link(more={name: "x"})
    assert shop.server.asked == []


def test_no_further_parameter_is_the_signature(shop: Shop) -> None:
    with pytest.raises(ValueError, match="more must not contain sign:"):
        shop.do("payment", order(more={"sign": "x"}))
    with pytest.raises(ValueError, match="more must not contain sign:"):
        link(more={"sign": "x"})


@pytest.mark.parametrize("name", ["syssn", "paysource", "respmsg", "respmesg", "notify_type"])
def test_no_further_parameter_of_a_payment_makes_it_something_else(shop: Shop, name: str) -> None:
    with pytest.raises(ValueError, match=f"more must not contain {name}:"):
        shop.do("payment", order(more={name: "x"}))
    assert shop.server.asked == []


@pytest.mark.parametrize("name", ["syssn", "pay_type", "auth_code", "respmsg", "respmesg", "notify_type"])
def test_no_further_parameter_of_a_link_makes_it_something_else(name: str) -> None:
    with pytest.raises(ValueError, match=f"more must not contain {name}:"):
        link(more={name: "x"})


@pytest.mark.parametrize(
    "name",
    [
        *("mchid", "pay_type", "out_trade_no", "txdtm", "txamt", "txcurrcd", "auth_code", "sub_openid"),
        *("product_name", "valid_time", "udid"),
    ],
)
def test_a_parameter_with_an_argument_of_the_payment_is_no_further_parameter(shop: Shop, name: str) -> None:
    for value in ("x", ""):
        with pytest.raises(ValueError, match=f"more must not contain {name}:"):
            shop.do("payment", order(more={name: value}))
    assert shop.server.asked == []


@pytest.mark.parametrize(
    "name",
    [
        *("appcode", "sign_type", "paysource", "txamt", "txcurrcd", "out_trade_no", "txdtm"),
        *("return_url", "failed_url", "notify_url"),
    ],
)
def test_a_parameter_with_an_argument_of_the_link_is_no_further_parameter(name: str) -> None:
    with pytest.raises(ValueError, match=f"more must not contain {name}:"):
        link(more={name: "x"})


def test_other_further_parameters_are_sent_and_signed(shop: Shop) -> None:
    shop.server.will(signed(barcode_answer()))
    more = {"limit_pay": "no_credit", "goods_name": "Tea", "notify_url": "https://m.example/n", "b_1": "x"}
    shop.do("payment", PaymentOrder.wechat_barcode("57003579", MONEY, "13", more=more))
    assert more.items() <= shop.server.asked[0].params.items()


def test_an_ordinary_mchid_does_not_collide(shop: Shop) -> None:
    shop.server.will(signed(page()))
    shop.do("query", client={"credentials": CREDENTIALS})
    assert shop.server.is_through
