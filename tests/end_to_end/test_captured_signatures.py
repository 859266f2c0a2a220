"""Captured requests and links, sent to other calls or split differently: no money moves, no order changes.

And the settings with which an operator limits the use of captured requests.
"""

from contextlib import AbstractContextManager
from urllib.parse import urlencode

import pytest

from tests.end_to_end.checkout import link_params, open_link
from tests.end_to_end.checkout import signed as signed_link
from tests.end_to_end.merchant import CALLS, MOMENT, Merchant, digest, new_reference, send, signed_text
from tests.end_to_end.receiver import Receiver
from tests.end_to_end.rig import Demo
from tests.support.http_calls import Answer


def replay(shop: Merchant, call: str, params: dict[str, str], sign: str) -> Answer:
    """Send any parameters with a captured signature."""
    return send(
        shop.demo.gateway, "POST", f"/trade/v1/{call}", urlencode(params).encode(), shop.headers(sign)
    )


def state_of(shop: Merchant, syssn: str) -> tuple[int, str, str]:
    """The money that the wallet holds of an order, and its state."""
    row = shop.row(syssn)
    return shop.demo.held(syssn), row["respcd"], row["cancel"]


# ---- two calls, one signature ------------------------------------------------------------------------------


def test_a_captured_query_gives_no_money_back(shop: Merchant) -> None:
    paid = shop.paid("800208")
    params = {"mchid": shop.mchid, "syssn": paid["syssn"]}

    for call in ("reversal", "refund"):
        assert replay(shop, call, params, shop.sign(params)).respcd == "1104"
    assert state_of(shop, paid["syssn"]) == (1000, "0000", "0")


@pytest.mark.parametrize("call", ["reversal", "close", "refund"])
def test_a_captured_payment_is_refused_by_every_other_call(shop: Merchant, call: str) -> None:
    params = shop.payment_params("800208", product_name="Tea")
    paid = shop.call("payment", **params)
    assert paid.respcd == "0000"

    answer = replay(shop, call, params, shop.sign(params))
    assert (answer.respcd, answer.sign) == ("1108", None)
    assert state_of(shop, paid["syssn"]) == (1000, "0000", "0")


@pytest.mark.parametrize("pay_type", ["800151", "800152", "800201", "800207"])
def test_a_captured_close_refunds_nothing(shop: Merchant, pay_type: str) -> None:
    paid = shop.paid(pay_type)
    params = shop.params("close", {name: paid[name] for name in ("syssn", "out_trade_no", "txamt")})
    assert shop.call("close", **params).respcd == "1124"

    assert replay(shop, "refund", params, shop.sign(params)).respcd == "1102"
    assert replay(shop, "reversal", params, shop.sign(params)).respcd == "1124"
    assert state_of(shop, paid["syssn"]) == (1000, "0000", "0")


def test_a_captured_refund_neither_closes_nor_reverses(shop: Merchant) -> None:
    paid = shop.paid("800208")
    params = shop.params("refund", {"syssn": paid["syssn"], "out_trade_no": new_reference(), "txamt": "400"})
    refund = shop.call("refund", **params)
    shop.demo.advance(4)
    shop.until(refund["syssn"], "0000")

    assert replay(shop, "reversal", params, shop.sign(params)).respcd == "1126"
    assert replay(shop, "close", params, shop.sign(params)).respcd in ("1124", "1126")
    assert replay(shop, "refund", params, shop.sign(params)).respcd == "0000"  # the same refund, once
    assert state_of(shop, paid["syssn"]) == (600, "0000", "2")


REFUSED_BY = {
    "close": {"pay_type": "800201"},
    "reversal": {"pay_type": "800208"},
    "refund": dict[str, str](),
}
FOREIGN = {
    "auth_code": "134567890123456789",
    "sub_openid": "oPayer",
    "product_name": "Tea",
    "goods_name": "Tea",
    "valid_time": "300",
    "expired_time": "5",
    "start_time": "2026-01-01 00:00:00",
    "end_time": "2026-01-01 00:00:00",
    "page": "1",
    "page_size": "10",
    "respcd": "0000",
}


@pytest.mark.parametrize("call", REFUSED_BY)
def test_close_refund_and_reversal_refuse_the_parameters_of_other_calls(shop: Merchant, call: str) -> None:
    known = {"syssn": "2" * 24, "out_trade_no": new_reference(), "txamt": "1"}
    for name, value in (FOREIGN | REFUSED_BY[call]).items():
        answer = shop.post(call, **known, **{name: value})
        assert (answer.respcd, answer.sign) == ("1108", None), name
        assert name in answer["respmsg"]
        assert shop.call(call, **known, **{name: ""}).respcd == "1136", name  # empty counts as missing


def test_extra_parameters_of_real_clients_in_a_refund_are_ignored(shop: Merchant) -> None:
    paid = shop.paid("800208")

    answer = shop.refund(paid, "100", pay_type="800208", txcurrcd="HKD", udid="qiantai2", lnglat="1.2 3.4")
    assert answer.respcd in ("0000", "2999")


# ---- two sets of parameters, one signature -----------------------------------------------------------------


def test_a_price_cannot_be_cut_out_of_a_product_name(shop: Merchant) -> None:
    dear = shop.payment_params("800201", txamt="100000", product_name="tea&txamt=1&txb=")
    cheap = {name: value for name, value in dear.items() if name != "txdtm"} | {
        "product_name": "tea",
        "txamt": "1",
        "txb": f"&txamt=100000&txdtm={dear['txdtm']}",
    }
    assert signed_text(cheap) == signed_text(dear)

    for params in (dear, cheap):
        assert replay(shop, "payment", params, shop.sign(dear)).respcd == "1108"
    assert shop.rows(out_trade_no=dear["out_trade_no"]) == []


@pytest.mark.parametrize(
    "text",
    ["Tea & biscuits = good", "Tea&Co=good", "a&b", "&", "=&=", "Tea&amt=1", "Tea ＆txamt=1", "Tea&txamt"],
)
def test_ordinary_texts_pass(shop: Merchant, text: str) -> None:
    assert shop.open("800201", product_name=text).respcd == "0000"


@pytest.mark.parametrize("name", ["return_url", "notify_url"])
def test_an_address_may_repeat_parameters_of_its_order_and_no_others(shop: Merchant, name: str) -> None:
    reference = new_reference()
    same = f"https://shop.example/r?from=shop&out_trade_no={reference}&txamt=1000"
    assert shop.open("800201", out_trade_no=reference, **{name: same}).respcd == "0000"

    other = shop.post(
        "payment", **shop.payment_params("800201", **{name: "https://shop.example/r?a=1&txamt=5"})
    )
    assert other.respcd == "1108"


def test_a_link_for_a_cheap_order_does_not_pay_an_expensive_one(shop: Merchant) -> None:
    """The payer has the link, and the seller wrote its text."""
    cheap, dear = new_reference(), new_reference()
    link = link_params(
        shop, out_trade_no=cheap, goods_name=f"Tea&mchntid={shop.mchid}&out_trade_no={dear}&p="
    )
    sent = signed_link(link, shop.key)
    hidden = {name: value for name, value in link.items() if name in ("appcode", "failed_url", "paysource")}
    cut = {
        name: value for name, value in link.items() if name not in ("mchntid", "notify_url", "out_trade_no")
    } | {
        "goods_name": "Tea",
        "mchntid": shop.mchid,
        "out_trade_no": dear,
        "p": f"&mchntid={shop.mchid}&notify_url={link['notify_url']}&out_trade_no={cheap}"
        f"&paysource={hidden['paysource']}",
    }
    del cut["paysource"]
    for attack in (sent, cut | {"sign": sent["sign"]}):
        assert open_link(shop, attack).respcd == "1108"


@pytest.mark.parametrize("field", ["goods_name", "udid", "sub_openid", "cancel_url"])
def test_a_link_with_a_parameter_in_a_value_is_refused(shop: Merchant, field: str) -> None:
    start = "https://shop.example/c?a=1" if field == "cancel_url" else "x"
    for name in ("txamt", "out_trade_no", "mchid", "limit_pay", "return_url", "pay_type", "respmsg", "syssn"):
        link = link_params(shop, **{field: f"{start}&{name}=1"})
        assert open_link(shop, signed_link(link, shop.key)).respcd == "1108", name


def test_a_link_may_repeat_its_own_parameters_in_its_addresses(shop: Merchant) -> None:
    reference = new_reference()
    back = f"https://shop.example/paid?a=1&out_trade_no={reference}&txamt=1000"
    link = link_params(shop, out_trade_no=reference, return_url=back)
    assert open_link(shop, signed_link(link, shop.key)).respcd == "0000"


def test_every_spelling_of_the_merchant_is_understood(shop: Merchant, chain: Merchant) -> None:
    for name in ("mchid", "Mchid", "mchntid"):
        assert chain.call("query", **{"mchid": None, name: chain.mchids[1]}).respcd == "0000"
        assert chain.post("query", **{"mchid": None, name: shop.mchid}).respcd == "1108"
    answer = chain.post("query", mchid=chain.mchids[0], mchntid=chain.mchids[1])
    assert answer.respcd == "1104"


# ---- settings of an app ------------------------------------------------------------------------------------


def setting(shop: Merchant, *options: str, back: tuple[str, ...]) -> AbstractContextManager[None]:
    return shop.demo.app_set(shop.appcode, *options, back=back)


def test_an_app_may_require_the_amount_of_a_close(wechat_only: Merchant) -> None:
    opened = wechat_only.pending("800201")
    with setting(wechat_only, "--close-requires-amount", back=("--no-close-requires-amount",)):
        params = {"mchid": wechat_only.mchid, "syssn": opened["syssn"]}
        captured = replay(wechat_only, "close", params, wechat_only.sign(params))
        assert (captured.respcd, captured["respmsg"]) == ("1104", "必传参数: txamt")
        assert wechat_only.row(opened["syssn"])["respcd"] == "1145"
        assert wechat_only.call("close", syssn=opened["syssn"], txamt="1").respcd == "0000"  # not compared


def test_an_app_may_limit_the_age_of_signed_requests(wechat_only: Merchant) -> None:
    shop, demo = wechat_only, wechat_only.demo
    opened = shop.pending("800201")
    given: dict[str, dict[str, str]] = {
        "payment": shop.payment_params("800201"),
        "close": {"out_trade_no": new_reference()},
        "refund": {"syssn": "2" * 24, "out_trade_no": new_reference(), "txamt": "1"},
        "reversal": {"syssn": "2" * 24},
        "query": {"syssn": opened["syssn"], "txdtm": demo.now().strftime(MOMENT)},
    }
    assert set(given) == set(CALLS)
    link = link_params(shop)
    with setting(shop, "--max-request-age", "300", back=("--max-request-age", "0")):
        captured = {call: shop.params(call, dict(given[call])) for call in CALLS}
        for call, params in captured.items():
            assert shop.call(call, **params).respcd in ("0000", "1136"), call
            missing = shop.post(call, **(given[call] | {"txdtm": None}))
            assert (missing.respcd, missing["respmsg"]) == ("1104", "必传参数: txdtm"), call
        assert open_link(shop, signed_link(link, shop.key)).respcd == "0000"
        demo.advance(301)
        for call, params in captured.items():
            late = replay(shop, call, params, shop.sign(params))
            assert (late.respcd, late.sign) == ("1108", None), call
        assert open_link(shop, signed_link(link, shop.key)).respcd == "1108"
        early = {**captured["query"], "txdtm": "2099-01-01 00:00:00"}
        assert shop.post("query", **early).respcd == "1108"
    assert shop.call("query", **captured["query"]).respcd == "0000"


def test_an_app_may_have_its_responses_and_webhooks_signed_with_sha256(
    chain: Merchant, receiver: Receiver
) -> None:
    with setting(chain, "--sha256-responses", back=("--no-sha256-responses",)):
        params = chain.params("query", {})
        answer = replay(chain, "query", params, chain.sign(params))
        assert answer.sign == digest(answer.body + chain.key.encode(), sha256=True)
        opened = replay(chain, "payment", asked := chain.payment_params("800201"), chain.sign(asked))
        chain.pay_by_phone(opened)
        (call,) = receiver.wait(opened["out_trade_no"])
        assert call.headers["x-qf-sign"] == digest(call.body + chain.key.encode(), sha256=True)


def test_old_style_webhooks_are_signed_with_md5_under_every_setting(
    shop: Merchant, receiver: Receiver
) -> None:
    with setting(shop, "--sha256-responses", back=("--no-sha256-responses",)):
        opened = replay(shop, "payment", asked := shop.payment_params("800201"), shop.sign(asked))
        shop.pay_by_phone(opened)
        (call,) = receiver.wait(opened["out_trade_no"])
        assert len(call.headers["x-qf-sign"]) == 32


def test_an_app_may_be_called_from_certain_addresses_only(wechat_only: Merchant) -> None:
    shop = wechat_only
    params = shop.params("query", {})

    def asked_from(address: str | None) -> str:
        forwarded = [("X-Forwarded-For", address)] if address else []
        headers = [*shop.headers(shop.sign(params)), *forwarded]
        return send(shop.demo.gateway, "POST", "/trade/v1/query", urlencode(params).encode(), headers).respcd

    allowed = ("--allowed-address", "192.0.2.0/24", "--allowed-address", "2001:db8::7")
    with setting(shop, *allowed, back=("--allowed-address", "")):
        assert [asked_from(each) for each in ("192.0.2.9", "2001:db8::7", "::ffff:192.0.2.1")] == ["0000"] * 3
        assert [asked_from(each) for each in (None, "192.0.3.9", "2001:db8::8", "rubbish")] == ["1108"] * 4
        link = link_params(shop)
        assert open_link(shop, signed_link(link, shop.key)).respcd == "0000"  # payers come from anywhere
    assert asked_from(None) == "0000"


@pytest.mark.parametrize(
    ("options", "complaint"),
    [
        (("--allowed-address", "300.1.1.1"), "--allowed-address"),
        (("--allowed-address", "192.0.2.1/24"), "has host bits set"),
        (("--max-request-age", "-1"), "--max-request-age"),
    ],
)
def test_invalid_settings_are_refused(demo: Demo, options: tuple[str, ...], complaint: str) -> None:
    with pytest.raises(AssertionError, match=complaint):
        demo.set_app("123456", *options)
