"""Checkout links: signed by the merchant, opened by a browser, paid by the wallet that the payer chooses."""

import hashlib
from datetime import timedelta
from urllib.parse import parse_qsl, urlencode, urlsplit

import pytest
from tael_client import Credentials, Money, SignType, checkout_link

from tests.end_to_end.checkout import (
    DESKTOP,
    IN_WECHAT,
    PHONE,
    choose,
    link_params,
    look,
    open_link,
    opened,
    signed,
)
from tests.end_to_end.merchant import FORM, Merchant, at_once, digest, new_reference, send
from tests.end_to_end.rig import Demo
from tests.support.http_calls import Answer


def order_of(answer: Answer) -> str:
    """The syssn of the page that a choice redirected to."""
    assert answer.status == 303, answer
    return answer.headers["location"].split("/")[4]


def page_of(answer: Answer) -> str:
    return answer.headers["location"].partition("?")[0]


def shown(shop: Merchant, syssn: str) -> tuple[str, str]:
    row = shop.row(syssn)
    return row["pay_type"], row["respcd"]


# ---- signatures and fields -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("sign_type", ["sha256", "SHA256", "md5", "MD5"])
@pytest.mark.parametrize("is_upper", [False, True])
def test_a_link_is_signed_by_either_algorithm_in_either_case(
    shop: Merchant, sign_type: str, is_upper: bool
) -> None:
    params = signed(link_params(shop, sign_type=sign_type), shop.key)
    params["sign"] = params["sign"].upper() if is_upper else params["sign"]

    assert open_link(shop, params).respcd == "0000"


@pytest.mark.parametrize("sign_type", list(SignType))
def test_a_link_of_our_own_client_opens(shop: Merchant, demo: Demo, sign_type: SignType) -> None:
    link = checkout_link(
        demo.gateway,
        Credentials(shop.appcode, shop.key),
        reference=new_reference(),
        amount=Money(3925, "HKD"),
        at=demo.now(),
        paysource="remotepay_checkout",
        return_url="https://shop.example/paid?a=b&c=香港",
        failed_url="https://shop.example/failed",
        notify_url="https://shop.example/notify",
        sign_type=sign_type,
        more={"goods_name": "茶 & 杯+", "lang": "zh-hk", "mchntid": shop.mchid},
    )
    page, _, query = link.partition("#/?")
    assert look(shop, page.removeprefix(demo.gateway)).status == 200
    answer = send(demo.gateway, "POST", "/checkstand/open", query.encode(), [("Content-Type", FORM)])

    assert answer.respcd == "0000", answer.members
    assert "39.25" in look(shop, answer["page"]).body.decode()


def test_empty_parameters_and_the_language_are_not_signed(shop: Merchant) -> None:
    params = signed(link_params(shop, udid="", limit_pay=""), shop.key)

    assert open_link(shop, {**params, "lang": "zh-hk", "txzone": ""}).respcd == "0000"


def test_a_link_that_was_changed_in_any_parameter_is_refused(shop: Merchant) -> None:
    params = signed(link_params(shop, udid="terminal", txzone="+0800"), shop.key)
    for name in params:
        answer = open_link(shop, {**params, name: f"{params[name]}1"})
        assert answer.respcd in ("1108", "1103"), name
        assert "page" not in answer.members
    for name in set(params) - {"appcode"}:
        without = {other: value for other, value in params.items() if other != name}
        assert open_link(shop, without).respcd == "1108", name
    assert open_link(shop, {**params, "more": "1"}).respcd == "1108"
    assert open_link(shop, params).respcd == "0000"


def test_a_link_signed_with_another_key_or_with_none_is_refused(
    shop: Merchant, wechat_only: Merchant
) -> None:
    params = link_params(shop)

    for wrong in (signed(params, wechat_only.key), signed(params, ""), {**params, "sign": ""}, params, {}):
        assert open_link(shop, wrong).respcd == "1108"
    assert open_link(shop, signed({**params, "appcode": "unknown"}, shop.key)).respcd == "1108"
    assert open_link(shop, signed({**params, "mchntid": wechat_only.mchid}, shop.key)).respcd == "1108"


def test_an_app_that_refuses_md5_refuses_it_in_links_too(chain: Merchant) -> None:
    assert open_link(chain, signed(link_params(chain, sign_type="md5"), chain.key)).respcd == "1108"
    assert open_link(chain, signed(link_params(chain), chain.key)).respcd == "0000"


def test_a_signed_payment_and_a_webhook_are_no_links(shop: Merchant) -> None:
    payment = shop.params("payment", {"pay_type": "800151", "out_trade_no": new_reference(), "txamt": "10"})
    more = {"paysource": "a_checkout", "return_url": "http://a.example/", "failed_url": "http://a.example/"}

    for params in ({**payment, **more}, {**link_params(shop), "respmsg": "ok"}):
        params = {"appcode": shop.appcode, "sign_type": "sha256", **params}
        assert open_link(shop, signed(params, shop.key)).respcd == "1108"


def test_an_ambiguous_text_is_no_link(shop: Merchant) -> None:
    for given in ({"paysource": None}, {"goods_name": "tea&paysource=b_checkout"}, {"udid": "1&respmsg="}):
        assert open_link(shop, signed(link_params(shop, **given), shop.key)).respcd == "1108", given


def test_a_links_parameters_are_no_payment(shop: Merchant) -> None:
    params = {**link_params(shop), "pay_type": "800151"}
    sign = digest(("&".join(f"{n}={params[n]}" for n in sorted(params)) + shop.key).encode())
    answer = send(
        shop.demo.gateway, "POST", "/trade/v1/payment", urlencode(params).encode(), shop.headers(sign)
    )
    assert answer.respcd == "1108"


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("paysource", "remotepay"),
        ("txamt", None),
        ("txamt", "0"),
        ("txamt", "1.5"),
        ("out_trade_no", None),
        ("out_trade_no", "a b"),
        ("txdtm", "2026-02-30 10:00:00"),
        ("return_url", "javascript:alert(1)"),
        ("failed_url", "//evil.example"),
        ("cancel_url", "data:text/html,x"),
        ("notify_url", "ftp://shop.example/"),
        ("return_url", "https://"),
        ("expired_time", "4"),
        ("expired_time", "121"),
        ("checkout_expired_time", "0"),
        ("checkout_expired_time", "1000"),
        ("goods_name", "x" * 257),
        ("udid", "x" * 41),
        ("limit_pay", "credit"),
    ],
)
def test_a_field_that_is_missing_or_malformed_is_named(shop: Merchant, name: str, value: str | None) -> None:
    answer = open_link(shop, signed(link_params(shop, **{name: value}), shop.key))

    assert answer.respcd == "1104"
    assert name in answer["respmsg"]


def test_currency_and_limits_are_the_merchants(shop: Merchant) -> None:
    assert open_link(shop, signed(link_params(shop, txcurrcd="USD"), shop.key)).respcd == "1122"
    assert open_link(shop, signed(link_params(shop, txcurrcd=None), shop.key)).respcd == "0000"


def test_no_unsigned_text_is_repeated_and_no_response_is_signed(shop: Merchant) -> None:
    rubbish = [b"", b"a=1&a=2", b"marker=%3Cscript%3E&marker=2", b"{", b"%ff=%fe&x=marker", b"x" * 100_000]
    rubbish.append(urlencode({**link_params(shop, goods_name="marker"), "sign": "marker"}).encode())
    for body in rubbish:
        answer = send(shop.demo.gateway, "POST", "/checkstand/open", body, [("Content-Type", FORM)])
        assert answer.respcd in ("1103", "1108"), body[:40]
        assert b"marker" not in answer.body
        assert answer.sign is None
    assert open_link(shop, signed(link_params(shop), shop.key)).sign is None


# ---- one order -----------------------------------------------------------------------------------------------------


def test_the_same_link_opened_twice_is_one_page_and_one_order(shop: Merchant) -> None:
    params = signed(link_params(shop), shop.key)
    pages = {open_link(shop, params)["page"] for _ in range(3)}
    assert len(pages) == 1
    page = pages.pop()

    assert shop.rows(out_trade_no=params["out_trade_no"]) == []
    orders = {order_of(choose(shop, page, "wechat")) for _ in range(3)}
    assert len(orders) == 1
    assert len(shop.rows(out_trade_no=params["out_trade_no"])) == 1


def test_a_reference_of_another_link_or_payment_is_refused(shop: Merchant) -> None:
    params = link_params(shop)
    assert open_link(shop, signed(params, shop.key)).respcd == "0000"

    for name, value in (
        ("txamt", "1001"),
        ("return_url", "https://other.example/"),
        ("goods_name", "Other"),
        ("limit_pay", "no_credit"),
    ):
        assert open_link(shop, signed({**params, name: value}, shop.key)).respcd == "1102"
    used = shop.open("800201")["out_trade_no"]
    assert open_link(shop, signed(link_params(shop, out_trade_no=used), shop.key)).respcd == "1102"


def test_a_payment_under_a_links_reference_keeps_the_link_away_from_it(shop: Merchant, demo: Demo) -> None:
    params = link_params(shop)
    page = open_link(shop, signed(params, shop.key))["page"]
    theirs = shop.open("800201", out_trade_no=params["out_trade_no"])

    answer = choose(shop, page, "alipay")
    assert answer.status == 409
    assert b"1102" in answer.body
    assert shop.row(theirs["syssn"])["respcd"] == "1145"


def test_another_wallet_closes_the_first_order_before_the_second_is_opened(
    shop: Merchant, demo: Demo
) -> None:
    params = link_params(shop)
    page = open_link(shop, signed(params, shop.key))["page"]
    first = order_of(choose(shop, page, "wechat"))
    second = order_of(choose(shop, page, "alipay"))

    assert shown(shop, first) == ("800201", "1142")
    assert shown(shop, second) == ("800151", "1145")
    with pytest.raises(AssertionError, match="control/confirm"):
        demo.confirm(trade=first)
    third = order_of(choose(shop, page, "wechat"))
    assert shown(shop, second) == ("800151", "1142")
    assert third not in (first, second)
    demo.confirm(trade=third)
    shop.until(third, "0000")
    rows = shop.rows(out_trade_no=params["out_trade_no"])
    assert sorted(row["respcd"] for row in rows) == ["0000", "1142", "1142"]


def test_if_the_wallet_does_not_close_the_first_order_stays_the_only_one(shop: Merchant, demo: Demo) -> None:
    params = link_params(shop)
    page = open_link(shop, signed(params, shop.key))["page"]
    first = order_of(choose(shop, page, "wechat"))
    demo.put_faults(
        *({"wallet": "wechat", "operation": name, "kind": "system_error", "times": 50} for name in CLOSING)
    )
    try:
        answer = choose(shop, page, "alipay")
        assert order_of(answer) == first
        assert "still=1" in answer.headers["location"]
        assert b"could not be cancelled yet" in look(shop, answer.headers["location"]).body
        assert len(shop.rows(out_trade_no=params["out_trade_no"])) == 1
    finally:
        demo.put_faults()
    shop.until(first, "1142", "2")  # the close request was committed, and a job continues it
    assert shown(shop, order_of(choose(shop, page, "alipay"))) == ("800151", "1145")


CLOSING = ("/pay/closeorder", "/pay/orderquery")


def test_a_payer_who_paid_first_and_chose_again_has_paid_once(shop: Merchant, demo: Demo) -> None:
    params = link_params(shop)
    page = open_link(shop, signed(params, shop.key))["page"]
    first = order_of(choose(shop, page, "wechat"))
    demo.confirm(trade=first)

    assert order_of(choose(shop, page, "alipay")) == first
    shop.until(first, "0000")
    assert len(shop.rows(out_trade_no=params["out_trade_no"])) == 1
    assert look(shop, page).status == 303


def test_many_browsers_that_choose_at_once_leave_one_open_order(shop: Merchant) -> None:
    params = link_params(shop)
    page = open_link(shop, signed(params, shop.key))["page"]

    answers = at_once(8, lambda nth: choose(shop, page, ("alipay", "wechat")[nth % 2]))
    assert all(answer.status in (303, 409) for answer in answers)
    rows = shop.rows(out_trade_no=params["out_trade_no"], page_size="100")
    assert [row["respcd"] for row in rows].count("1145") == 1
    assert {row["respcd"] for row in rows} <= {"1145", "1142"}


def test_a_merchants_close_ends_the_link(shop: Merchant) -> None:
    params = link_params(shop)
    page = open_link(shop, signed(params, shop.key))["page"]
    order = order_of(choose(shop, page, "wechat"))
    assert shop.call("close", out_trade_no=params["out_trade_no"]).respcd == "0000"

    again = choose(shop, page, "alipay")
    assert (again.status, page_of(again)) == (303, page)
    assert b"This payment link is no longer valid" in look(shop, page).body
    assert shown(shop, order) == ("800201", "1142")
    assert len(shop.rows(out_trade_no=params["out_trade_no"])) == 1


def test_a_link_may_be_closed_before_a_choice(shop: Merchant) -> None:
    params = link_params(shop)
    page = open_link(shop, signed(params, shop.key))["page"]

    assert shop.call("close", out_trade_no=params["out_trade_no"]).respcd == "1136"
    assert page_of(choose(shop, page, "alipay")) == page
    assert shop.rows(out_trade_no=params["out_trade_no"]) == []


def test_an_order_that_expired_makes_room_while_the_link_has_time(shop: Merchant, demo: Demo) -> None:
    page = opened(shop, expired_time="5", checkout_expired_time="60")
    first = order_of(choose(shop, page, "wechat"))
    demo.advance(301)
    shop.until(first, "1181")

    second = order_of(choose(shop, page, "wechat"))
    assert second != first
    assert shown(shop, second) == ("800201", "1145")


def test_a_link_that_has_ended_takes_no_order_and_sends_the_payer_to_the_failed_url(
    shop: Merchant, demo: Demo
) -> None:
    page = opened(shop, checkout_expired_time="10")
    early = look(shop, f"{page}/failed")
    assert page_of(early) == page
    demo.advance(601)

    assert page_of(choose(shop, page, "alipay")) == page
    assert b"This payment link is no longer valid" in look(shop, page).body
    assert look(shop, f"{page}/failed").headers["location"] == "https://shop.example/failed"


def test_an_order_does_not_outlive_its_link_by_more_than_it_takes_to_pay(shop: Merchant, demo: Demo) -> None:
    page = opened(shop, checkout_expired_time="10")
    order = order_of(choose(shop, page, "wechat"))
    demo.advance(601)

    shop.until(order, "1181")


# ---- offered wallets and redirects ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("agent", "wallet", "pay_type"),
    [
        (DESKTOP, "alipay", "800151"),
        (DESKTOP, "wechat", "800201"),
        (PHONE, "alipay", "800152"),
        (PHONE, "wechat", "800212"),
    ],
)
def test_the_browser_decides_how_a_wallet_is_reached(
    shop: Merchant, agent: str, wallet: str, pay_type: str
) -> None:
    page = opened(shop)
    assert f"/by/{wallet}".encode() in look(shop, page, agent).body

    assert shown(shop, order_of(choose(shop, page, wallet, agent))) == (pay_type, "1145")


def test_in_a_phone_s_browser_wechat_opens_its_own_page_for_that_browser_alone(
    shop: Merchant, demo: Demo
) -> None:
    """WeChat Pay compares the address of the browser, and refuses one that does not say where it comes from."""
    chosen = choose(shop, opened(shop), "wechat", PHONE)
    page = look(shop, chosen.headers["location"], PHONE)
    assert page.headers["referrer-policy"] == "strict-origin"
    assert b">Pay with WeChat</a>" in page.body
    onward = look(shop, f"{page_of(chosen)}/open", PHONE)
    assert (onward.status, onward.headers["referrer-policy"]) == (303, "strict-origin")
    assert onward.headers["location"].startswith(f"{demo.sandbox}/cgi-bin/mmpayweb-bin/checkmweb?prepay_id=")
    inside = look(shop, chosen.headers["location"], IN_WECHAT).body
    assert b">Pay with WeChat</a>" not in inside
    assert b"Tap \xc2\xb7\xc2\xb7\xc2\xb7 at the top" in inside
    demo.confirm(url=onward.headers["location"])
    shop.until(order_of(chosen), "0000")


def test_inside_wechat_a_link_with_an_openid_pays_there_and_one_without_explains_how(
    shop: Merchant, demo: Demo
) -> None:
    page = opened(shop, sub_openid=demo.openid())
    seen = look(shop, page, IN_WECHAT).body
    assert b"/by/wechat" in seen
    assert b"/by/alipay" not in seen
    assert b"Alipay cannot be used inside WeChat" in seen
    chosen = choose(shop, page, "wechat", IN_WECHAT)
    assert shown(shop, order_of(chosen)) == ("800207", "1145")
    assert chosen.headers["location"].startswith(
        "/cashier/wechat/"
    )  # the folder that is registered at WeChat
    elsewhere = look(shop, chosen.headers["location"].replace("/wechat/", "/pay/"), IN_WECHAT)
    assert (elsewhere.status, elsewhere.headers["location"]) == (303, page_of(chosen))

    without = opened(shop)
    assert b"Open the link on a computer" in look(shop, without, IN_WECHAT).body
    for wallet in ("wechat", "alipay", "cash"):
        assert choose(shop, without, wallet, IN_WECHAT).status == 404


def test_only_wallets_that_the_merchant_has_are_offered(wechat_only: Merchant) -> None:
    page = opened(wechat_only, mchntid=wechat_only.mchid)
    seen = look(wechat_only, page).body

    assert b"/by/wechat" in seen
    assert b"/by/alipay" not in seen
    assert choose(wechat_only, page, "alipay").status == 404
    inside = look(wechat_only, page, IN_WECHAT).body
    assert b"Open the link on a computer" in inside
    assert b"Alipay" not in inside


@pytest.mark.parametrize("wallet", ["alipay", "wechat"])
def test_a_paid_order_sends_the_payer_to_the_links_return_url(
    shop: Merchant, demo: Demo, wallet: str
) -> None:
    params = link_params(shop)
    page = open_link(shop, signed(params, shop.key))["page"]
    chosen = choose(shop, page, wallet)
    syssn = order_of(chosen)
    waiting = look(shop, f"{page_of(chosen)}/onward")
    assert waiting.headers["location"] == page_of(chosen)
    pay(shop, demo, chosen)

    location = urlsplit(look(shop, f"{page_of(chosen)}/onward").headers["location"])
    assert f"{location.scheme}://{location.netloc}{location.path}" == "https://shop.example/paid"
    members = dict(parse_qsl(location.query, keep_blank_values=True))
    assert members["basket"] == "a&b"
    assert (members["syssn"], members["out_trade_no"]) == (syssn, params["out_trade_no"])
    assert (members["txamt"], members["respcd"], members["mchid"]) == ("1000", "0000", shop.mchid)


def pay(shop: Merchant, demo: Demo, chosen: Answer) -> str:
    """The payer pays. Returns the redirect of Alipay, or ""."""
    syssn = order_of(chosen)
    seen = look(shop, page_of(chosen)).body.decode()
    link = next((part for part in seen.split('"') if part.endswith("/open")), "")
    done = demo.confirm(url=demo.gateway + link) if link else demo.confirm(trade=syssn)
    shop.until(syssn, "0000")
    return str(done.get("return_to") or "")


#: GBK, odd characters, repeats and empty values, and a page that lives behind a `#`.
ODD_QUERY = "name=%B2%E8&a=&b=1&b=2&c=d+e%20f&odd=|{}^`~!$'()*,;:@/?[]"


@pytest.mark.parametrize("wallet", ["alipay", "wechat"])
def test_the_addresses_of_a_link_are_passed_on_untouched(shop: Merchant, demo: Demo, wallet: str) -> None:
    return_url = f"https://shop.example/paid?{ODD_QUERY}#/done?x=1"
    page = opened(shop, return_url=return_url, failed_url=return_url, checkout_expired_time="10")
    chosen = choose(shop, page, wallet)
    back = pay(shop, demo, chosen)

    for path in filter(None, (f"{page_of(chosen)}/onward", back.removeprefix(demo.gateway))):
        before, members, after = look(shop, path).headers["location"].partition(f"&mchid={shop.mchid}&")
        assert (before, members != "") == (f"https://shop.example/paid?{ODD_QUERY}", True)
        assert after.endswith("#/done?x=1")
    demo.advance(601)
    assert look(shop, f"{page}/failed").headers["location"] == return_url


@pytest.mark.parametrize("wallet", ["alipay", "wechat"])
def test_a_link_without_time_and_addresses_ends_on_our_pages(shop: Merchant, demo: Demo, wallet: str) -> None:
    given = {"txdtm": None, "return_url": None, "failed_url": None, "checkout_expired_time": "10"}
    params = signed(link_params(shop, **given), shop.key)
    page = open_link(shop, params)["page"]
    demo.advance(2)
    assert open_link(shop, params)["page"] == page

    closed = choose(shop, page, "wechat")
    shop.call("close", syssn=order_of(closed))
    assert look(shop, f"{page_of(closed)}/onward").headers["location"] == page_of(closed)
    params = signed(link_params(shop, **given), shop.key)
    page = open_link(shop, params)["page"]
    chosen = choose(shop, page, wallet)
    back = pay(shop, demo, chosen)
    row = shop.row(order_of(chosen))
    assert row["txdtm"] == row["sysdtm"]
    for path in filter(None, (page_of(chosen), back.removeprefix(demo.gateway))):
        answer = look(shop, path)
        assert answer.status == 200
        assert b"/onward" not in answer.body
    assert look(shop, f"{page_of(chosen)}/onward").headers["location"] == page_of(chosen)


def test_a_link_without_a_failed_url_shows_on_its_own_page_that_it_has_ended(
    shop: Merchant, demo: Demo
) -> None:
    page = opened(shop, failed_url=None, checkout_expired_time="10")
    demo.advance(601)

    seen = look(shop, page)
    assert b"This payment link is no longer valid" in seen.body
    assert b"/failed" not in seen.body
    assert look(shop, f"{page}/failed").headers["location"] == page


def test_a_link_may_name_the_instant_at_which_it_ends(shop: Merchant, demo: Demo) -> None:
    end = demo.now() + timedelta(minutes=10)
    params = signed(link_params(shop, checkout_expired_time=f"{int(end.timestamp() * 1000)}"), shop.key)
    page = open_link(shop, params)["page"]
    assert b"This payment link is no longer valid" not in look(shop, page).body
    demo.advance(5)
    assert open_link(shop, params)["page"] == page
    demo.advance(596)
    assert b"This payment link is no longer valid" in look(shop, page).body
    assert page_of(choose(shop, page, "wechat")) == page
    assert open_link(shop, params)["page"] == page
    distant = opened(shop, checkout_expired_time="9999999999999")
    assert b'data-left-s="86400"' in look(shop, distant).body  # no timer of a browser holds more than 24 days


@pytest.mark.parametrize("end", ["1715686118000", "0000000000001"])
def test_a_link_that_ended_before_it_was_opened_shows_that_it_has_ended(shop: Merchant, end: str) -> None:
    page = opened(shop, checkout_expired_time=end)

    assert b"This payment link is no longer valid" in look(shop, page).body
    assert page_of(choose(shop, page, "wechat")) == page
    assert look(shop, f"{page}/failed").headers["location"] == "https://shop.example/failed"


@pytest.mark.parametrize("lang", ["zh-hk", "fr"])
def test_a_link_may_sign_its_language(shop: Merchant, lang: str) -> None:
    params = link_params(shop, lang=lang, paysource="my-shop_checkout")
    text = "&".join(f"{name}={params[name]}" for name in sorted(params)) + shop.key
    sign = hashlib.sha256(text.encode()).hexdigest()

    assert open_link(shop, {**params, "sign": sign}).respcd == "0000"
    assert open_link(shop, {**params, "lang": "en", "sign": sign}).respcd == "1108"


def test_alipays_own_return_leads_to_the_links_return_url(shop: Merchant, demo: Demo) -> None:
    chosen = choose(shop, opened(shop), "alipay")
    back = pay(shop, demo, chosen)

    answer = look(shop, back.removeprefix(demo.gateway))
    assert answer.status == 303
    assert answer.headers["location"].startswith("https://shop.example/paid?basket=a%26b&")


def test_a_closed_order_sends_the_payer_to_the_failed_url_with_its_code(shop: Merchant) -> None:
    chosen = choose(shop, opened(shop), "wechat")
    shop.call("close", syssn=order_of(chosen))

    location = urlsplit(look(shop, f"{page_of(chosen)}/onward").headers["location"])
    assert location.path == "/failed"
    assert dict(parse_qsl(location.query))["respcd"] == "1142"


def test_leaving_closes_the_open_order_and_leads_to_the_cancel_url(shop: Merchant) -> None:
    page = opened(shop, cancel_url="https://shop.example/basket")
    order = order_of(choose(shop, page, "wechat"))
    left = send(shop.demo.gateway, "POST", f"{page}/leave")

    assert (left.status, left.headers["location"]) == (303, f"{page}/left")
    assert b"https://shop.example/basket" in look(shop, f"{page}/left").body
    assert shown(shop, order) == ("800201", "1142")
    assert shown(shop, order_of(choose(shop, page, "wechat"))) == ("800201", "1145")


def test_a_payer_who_leaves_after_paying_has_paid(shop: Merchant, demo: Demo) -> None:
    page = opened(shop, cancel_url="https://shop.example/basket")
    chosen = choose(shop, page, "wechat")
    demo.confirm(trade=order_of(chosen))

    left = send(shop.demo.gateway, "POST", f"{page}/leave")
    assert left.headers["location"] == page_of(chosen)


def test_a_link_is_found_by_its_whole_address_only(shop: Merchant, chain: Merchant) -> None:
    page = opened(shop)
    assert look(shop, f"{page}x").status == 404
    assert look(shop, page.replace(shop.mchid, chain.mchid)).status == 404
    assert look(shop, f"{page}/left").status == 404  # no cancel_url
    assert send(shop.demo.gateway, "POST", f"{page}/leave").status == 404
    assert choose(shop, f"{page}x", "wechat").status == 404
