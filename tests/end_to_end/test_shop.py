"""The demo's shop from end to end, over HTTP: orders, payments, refunds, closes, reversals and webhooks."""

import hashlib
import html
import json
import os
import re
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from tests.end_to_end.conftest import private_demo
from tests.end_to_end.merchant import ONLINE, WALLET_OF
from tests.end_to_end.rig import END_LIMIT_S, ROOT, Demo, NotStarted, descendants, eventually, free_port_block
from tests.end_to_end.shop_pages import TEA, TEA_MINOR, Customer, Seen, pid_of_shop, shop_of
from tests.support.commands import clean_environment
from tests.support.forged_webhooks import Algorithm, forgeries, from_link
from tests.support.postgres import open_folder

KEY = "123456"
SCRIPT = "\"><script>alert('tea')</script>"


@pytest.fixture(scope="module")
def shop_demo() -> Iterator[Demo]:
    """A separate demo: tests of other files change the notify URL."""
    with private_demo() as demo:
        yield demo


@pytest.fixture
def customer(shop_demo: Demo) -> Customer:
    return Customer(shop_demo.shop)


def waiting(customer: Customer, demo: Demo, pay_type: str = "800201") -> Seen:
    """An unpaid online order."""
    more = {"openid": demo.openid()} if pay_type == "800207" else {}
    page = customer.order(pay_type, **more)
    assert page.headline == "Waiting for the payer"
    return page


def paid(customer: Customer, demo: Demo, pay_type: str = "800208") -> Seen:
    page = customer.order(pay_type, auth_code=demo.code(WALLET_OF[pay_type]))
    assert page.headline == "Paid"
    return page


def pay_by_phone(demo: Demo, page: Seen) -> None:
    demo.scan(page.pay_link)
    demo.confirm(url=page.pay_link)


def syssn_of(page: Seen) -> str:
    return str(re.findall(r'"syssn": "([0-9]+)"', html.unescape(page.source))[0])


def post_webhook(demo: Demo, body: bytes, sign: str) -> httpx.Response:
    """The shop's response to a webhook."""
    headers = {"X-QF-SIGN": sign, "Content-Type": "application/json"}
    return httpx.post(f"{demo.shop}/webhook", content=body, headers=headers, trust_env=False)


def old_style(reference: str, txamt: str, key: str = KEY) -> tuple[bytes, str]:
    """A webhook as the gateway sends it, signed independently."""
    members = {
        "mchid": "eqqmYMn0Zj6pncw5ZDxjgMqbzV",
        "out_trade_no": reference,
        "pay_type": "800201",
        "respcd": "0000",
        "respmsg": "",
        "txamt": txamt,
    }
    members["syssn"] = "202611230900990000008219"
    text = "&".join(f"{name}={members[name]}" for name in sorted(members))
    return json.dumps(members).encode(), hashlib.md5((text + key).encode()).hexdigest().upper()


# ---- paying ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("pay_type", ONLINE)
def test_an_online_order_is_paid_on_the_phone_that_the_page_links_to(
    customer: Customer, shop_demo: Demo, pay_type: str
) -> None:
    page = waiting(customer, shop_demo, pay_type)
    assert str(page.link("to-phone")).startswith(f"{shop_demo.sandbox}/?wallet=")
    assert httpx.get(page.link("to-phone"), trust_env=False).status_code == 200

    pay_by_phone(shop_demo, page)

    page = customer.until(page.reference, "Paid")
    assert "HKD 44.00" in page.text
    assert shop_demo.held(syssn_of(page)) == TEA_MINOR


@pytest.mark.parametrize("pay_type", WALLET_OF)
def test_a_barcode_is_paid_at_once(customer: Customer, shop_demo: Demo, pay_type: str) -> None:
    page = paid(customer, shop_demo, pay_type)

    assert shop_demo.held(syssn_of(page)) == TEA_MINOR


def test_a_payer_inside_wechat_enters_no_openid(customer: Customer, shop_demo: Demo) -> None:
    openid = customer.get("/").value("openid")

    assert openid == shop_demo.openid()
    assert customer.order("800207", openid=openid).headline == "Waiting for the payer"


def test_a_code_may_be_typed_in_groups_as_the_phone_shows_it(customer: Customer, shop_demo: Demo) -> None:
    code = shop_demo.code("wechat")

    page = customer.order("800208", auth_code=f" {code[:4]} {code[4:8]} {code[8:]} ")

    assert page.headline == "Paid"


def test_a_payer_who_types_a_password_is_awaited(customer: Customer, shop_demo: Demo) -> None:
    page = customer.order("800208", auth_code=shop_demo.code("wechat", "password"))
    assert page.headline == "Waiting for the payer"

    shop_demo.confirm(trade=syssn_of(page))

    customer.until(page.reference, "Paid")


def test_a_refused_code_is_not_paid_and_the_same_basket_can_be_ordered_again(
    customer: Customer, shop_demo: Demo
) -> None:
    page = customer.order("800208", auth_code=shop_demo.code("wechat", "insufficient"))
    assert page.headline == "Not paid"
    assert "1201" in page.text

    again = customer.get("/", again=page.reference)

    assert (again.value("milk_tea"), again.value("egg_tart"), again.value("auth_code")) == ("1", "2", "")
    assert "HKD 44.00" in again.text


def test_an_undecided_response_is_followed_by_a_query_and_is_no_refusal(
    customer: Customer, shop_demo: Demo
) -> None:
    page = customer.order("800208", auth_code=shop_demo.code("wechat", "unknown_then_paid"))

    customer.until(page.reference, "Paid")


def test_the_same_order_form_sent_twice_is_one_order(customer: Customer, shop_demo: Demo) -> None:
    typed = {
        "reference": customer.get("/").hidden("reference"),
        **TEA,
        "pay_type": "800208",
        "auth_code": shop_demo.code("wechat"),
    }

    first, second = customer.post("/orders", typed), customer.post("/orders", typed)

    assert (first.headline, second.headline) == ("Paid", "Paid")
    assert first.reference == second.reference
    assert second.source.count('id="exchange-') == 1
    assert "2 times" not in second.text


def test_the_payers_browser_returns_to_the_order(customer: Customer, shop_demo: Demo) -> None:
    page = waiting(customer, shop_demo, "800151")
    shop_demo.scan(page.pay_link)

    back_at = shop_demo.confirm(url=page.pay_link)["return_to"]

    assert back_at.startswith(shop_demo.gateway)
    back = httpx.get(back_at, follow_redirects=True, trust_env=False)
    assert str(back.url) == f"{shop_demo.shop}/orders/{page.reference}"


def test_the_return_address_proves_nothing(customer: Customer, shop_demo: Demo) -> None:
    page = waiting(customer, shop_demo, "800151")
    claims = {"out_trade_no": page.reference, "syssn": syssn_of(page), "txamt": str(TEA_MINOR)}

    back = customer.get("/return", **claims, respcd="0000", pay_type="800151")

    assert back.reference == page.reference
    assert back.headline == "Waiting for the payer"


# ---- undoing ---------------------------------------------------------------------------------------------------------


def test_a_part_is_refunded_and_then_the_remainder(customer: Customer, shop_demo: Demo) -> None:
    page = paid(customer, shop_demo, "800108")

    page = customer.refund(page, "10.5")
    assert page.headline == "Paid, partially refunded"
    assert "HKD 33.50 can be refunded" in page.text
    assert shop_demo.held(syssn_of(page)) == TEA_MINOR - 1050

    page = customer.refund(page)
    assert page.headline == "Refunded"
    assert "HKD 33.50 refunded" in page.text
    assert shop_demo.held(syssn_of(page)) == 0


def test_a_pending_refund_is_shown_as_pending_until_it_is_done(customer: Customer, shop_demo: Demo) -> None:
    page = customer.refund(paid(customer, shop_demo, "800208"), "0.01")
    assert "HKD 0.01 pending" in page.text

    shop_demo.advance(3600)

    customer.until(page.reference, "Paid, partially refunded")


@pytest.mark.parametrize("amount", ["44.01", "0", "-1", "1.234", "1e3", "", SCRIPT])
def test_an_amount_that_cannot_be_refunded_is_explained_and_kept(
    customer: Customer, shop_demo: Demo, amount: str
) -> None:
    page = customer.refund(paid(customer, shop_demo), amount)

    assert page.status == 400
    assert "HKD 44.00, the amount that is left" in page.text or "Enter an amount such as 12.50." in page.text
    assert page.value("amount") == amount
    assert "<script>alert" not in page.source
    assert shop_demo.held(syssn_of(page)) == TEA_MINOR


def test_the_same_refund_form_sent_twice_gives_back_once(customer: Customer, shop_demo: Demo) -> None:
    page = paid(customer, shop_demo, "800108")

    customer.refund(page, "10.00")
    customer.refund(page, "10.00")

    assert shop_demo.held(syssn_of(page)) == TEA_MINOR - 1000


def test_an_unpaid_order_is_closed_and_can_no_longer_be_paid(customer: Customer, shop_demo: Demo) -> None:
    page = waiting(customer, shop_demo)
    shop_demo.scan(page.pay_link)

    closed = customer.press(page, "close")

    assert closed.headline == "Closed"
    with pytest.raises(AssertionError, match=r"/control/(scan|confirm)"):
        pay_by_phone(shop_demo, page)


def test_closing_an_order_that_was_paid_meanwhile_explains_why_not(
    customer: Customer, shop_demo: Demo
) -> None:
    page = waiting(customer, shop_demo)
    pay_by_phone(shop_demo, page)

    page = customer.press(page, "close")

    assert page.status == 400
    assert "The order was not closed: 1124" in page.text
    assert page.headline == "Paid"


def test_a_barcode_payment_is_reversed(customer: Customer, shop_demo: Demo) -> None:
    page = paid(customer, shop_demo)

    reversed_ = customer.press(page, "reverse")

    assert reversed_.headline == "Reversed"
    assert shop_demo.held(syssn_of(page)) == 0


# ---- webhooks --------------------------------------------------------------------------------------------------------


def test_the_gateways_webhook_is_shown_as_verified(customer: Customer, shop_demo: Demo) -> None:
    page = waiting(customer, shop_demo)
    pay_by_phone(shop_demo, page)

    shown = eventually(lambda: customer.look(page.reference).webhooks, bool)

    assert len(shown) == 1
    assert shown[0].startswith(f"Paid {page.reference}")
    assert " verified " in shown[0]
    assert f"&out_trade_no={page.reference}&" in shown[0].partition("Signed text")[2]
    assert page.reference in customer.get("/webhooks").text


def test_a_forged_webhook_is_shown_as_refused_and_has_no_effect(customer: Customer, shop_demo: Demo) -> None:
    page = waiting(customer, shop_demo)
    body, sign = old_style(page.reference, str(TEA_MINOR))

    answer = post_webhook(shop_demo, body, ("0" if sign[0] != "0" else "1") + sign[1:])

    assert answer.status_code == 400
    page = customer.look(page.reference)
    assert page.headline == "Waiting for the payer"
    (shown,) = page.webhooks
    assert " refused " in shown
    assert "verified" not in shown


@pytest.mark.parametrize("algorithm", ["MD5", "SHA256"])
def test_a_webhook_that_was_cut_out_of_a_checkout_link_is_shown_as_refused(
    customer: Customer, shop_demo: Demo, algorithm: Algorithm
) -> None:
    page = waiting(customer, shop_demo)
    forged = from_link(algorithm, page.reference, str(TEA_MINOR))

    answer = post_webhook(shop_demo, forged.body, forged.sign)

    assert answer.status_code == 400
    page = customer.look(page.reference)
    assert page.headline == "Waiting for the payer"
    (shown,) = page.webhooks
    assert " refused " in shown
    assert "verified" not in shown


def test_no_text_signed_for_another_purpose_is_a_webhook(shop_demo: Demo) -> None:
    accepted = [
        what
        for what, forged in forgeries().items()
        if post_webhook(shop_demo, forged.body, forged.sign).status_code != 400
    ]

    assert accepted == []


def test_a_shop_whose_app_has_the_new_style_and_sha256_verifies_by_them(
    shop_demo: Demo, monkeypatch: pytest.MonkeyPatch
) -> None:
    app = next(app for app in shop_demo.apps if app["key"] != KEY and len(app["mchids"]) == 1)
    monkeypatch.setenv("SHOP_WEBHOOK_STYLE", "new")
    monkeypatch.setenv("SHOP_RESPONSE_SIGN_TYPE", "SHA256")
    port = free_port_block()
    new = ("--notify-url", f"http://127.0.0.1:{port}/webhook", "--webhook-style", "new", "--sha256-responses")
    shop_demo.set_app(app["appcode"], *new)
    try:
        with (
            open_folder() as folder,
            shop_of(folder, port, shop_demo.gateway, shop_demo.sandbox, app) as shop,
        ):
            page = waiting(shop.customer, shop_demo)
            pay_by_phone(shop_demo, page)
            (shown,) = eventually(lambda: shop.customer.look(page.reference).webhooks, bool)
            of_old_style = httpx.post(
                f"{shop.customer.url}/webhook",
                content=old_style(page.reference, str(TEA_MINOR))[0],
                headers={"X-QF-SIGN": old_style(page.reference, str(TEA_MINOR), app["key"])[1]},
                trust_env=False,
            )
            page = shop.customer.look(page.reference)
    finally:
        old = ("--notify-url", "", "--webhook-style", "old", "--no-sha256-responses")
        shop_demo.set_app(app["appcode"], *old)

    assert " verified " in shown
    assert "The SHA256 hash of this text" in shown
    assert "the signature is valid" in page.text
    assert page.headline == "Paid"
    assert of_old_style.status_code == 400


@pytest.mark.parametrize(
    ("name", "value", "reason"),
    [
        ("SHOP_WEBHOOK_STYLE", "both", "unknown webhook style 'both'"),
        ("SHOP_RESPONSE_SIGN_TYPE", "SHA1", "'SHA1' is not a valid SignType"),
        ("SHOP_KEY", "", "appcode and key must not be empty"),
    ],
)
def test_a_shop_with_an_invalid_setting_does_not_start(
    tmp_path: Path, name: str, value: str, reason: str
) -> None:
    places = ("--gateway", "http://127.0.0.1:1", "--sandbox", "http://127.0.0.1:1", "--data", str(tmp_path))
    done = subprocess.run(
        [sys.executable, "-m", "tael_sandbox.shop", "--port", str(free_port_block()), *places],
        cwd=ROOT,
        env=clean_environment() | {"SHOP_APPCODE": "123456", "SHOP_KEY": KEY} | {name: value},
        capture_output=True,
        text=True,
        timeout=END_LIMIT_S,
    )

    assert done.returncode == 1
    (line,) = done.stderr.splitlines()
    assert line.startswith("shop: set SHOP_APPCODE, SHOP_KEY and SHOP_MCHID")
    assert reason in line
    assert name in line


def test_a_webhook_with_the_right_signature_is_booked(customer: Customer, shop_demo: Demo) -> None:
    page = waiting(customer, shop_demo)

    answer = post_webhook(shop_demo, *old_style(page.reference, str(TEA_MINOR)))

    assert (answer.status_code, answer.text) == (200, "SUCCESS")
    assert customer.look(page.reference).headline == "Paid"


def test_a_webhook_about_another_amount_books_nothing(customer: Customer, shop_demo: Demo) -> None:
    page = waiting(customer, shop_demo)

    answer = post_webhook(shop_demo, *old_style(page.reference, "1"))

    assert answer.text == "SUCCESS"
    page = customer.look(page.reference)
    assert page.headline == "Waiting for the payer"
    assert "nothing was booked" in page.webhooks[0]


@pytest.mark.parametrize(
    "body", [b"", b"[]", b"\xff", b"[" * 30_000, b'{"out_trade_no": "\\ud800"}', b'{"a": 1}']
)
def test_a_body_that_is_no_webhook_is_refused(customer: Customer, shop_demo: Demo, body: bytes) -> None:
    assert post_webhook(shop_demo, body, "x").status_code == 400
    assert customer.get("/webhooks").status == 200


# ---- shown exchanges -------------------------------------------------------------------------------------------------


def test_each_call_shows_signed_text_request_and_response_but_never_the_key(shop_demo: Demo) -> None:
    app = next(app for app in shop_demo.apps if app["key"] != KEY and len(app["mchids"]) == 1)
    with open_folder() as folder:
        ours = shop_of(folder, free_port_block(), shop_demo.gateway, shop_demo.sandbox, app)
        with ours as shop:
            page = shop.customer.order("800208", auth_code=shop_demo.code("wechat"))
            pages = [page, shop.customer.get("/"), shop.customer.get("/webhooks")]
            assert app["key"] not in shop.arguments
    assert page.headline == "Paid"
    (signed,) = re.findall(r'<pre class="signed">(.*?)<mark', page.source, re.DOTALL)
    text = html.unescape(signed)
    assert f"&out_trade_no={page.reference}&pay_type=800208&" in text
    sign = hashlib.sha256((text + app["key"]).encode()).hexdigest().upper()
    assert f"X-QF-SIGN: {sign}" in page.text
    assert "the signature is valid" in page.text
    assert not [page for page in pages if app["key"] in page.source]


def test_an_unreachable_gateway_is_shown_as_nothing_sent(shop_demo: Demo) -> None:
    nowhere = f"http://127.0.0.1:{free_port_block()}"
    with (
        open_folder() as folder,
        shop_of(folder, free_port_block(), nowhere, nowhere, shop_demo.apps[0]) as shop,
    ):
        page = shop.customer.order("800201")

    assert page.headline == "Not paid"
    assert "nothing was sent" in page.text
    assert "3 times" in page.text  # the client retried by itself, which was safe


# ---- forms and addresses ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("typed", "reason"),
    [
        ({"milk_tea": "", "bun": "0"}, "Choose at least one item."),
        ({"milk_tea": "100"}, "A number from 0 to 99."),
        ({"milk_tea": "1.5"}, "A number from 0 to 99."),
        ({"milk_tea": SCRIPT}, "A number from 0 to 99."),
        ({"pay_type": "800209"}, "Choose a payment method."),
        ({"pay_type": "800208", "auth_code": "12"}, "has 16 to 24 digits"),
        ({"pay_type": "800108", "auth_code": SCRIPT}, "has 16 to 24 digits"),
        ({"pay_type": "800207", "openid": SCRIPT}, "the payer's openid is required"),
        ({"reference": "shop-1"}, "This form is out of date."),
    ],
)
def test_an_invalid_order_is_explained_and_the_input_stays(
    customer: Customer, typed: dict[str, str], reason: str
) -> None:
    reference = customer.get("/").hidden("reference")

    page = customer.post(
        "/orders", {"reference": reference, "milk_tea": "1", "bun": "3", "pay_type": "800201"} | typed
    )

    assert page.status == 400
    assert reason in page.text
    assert "Nothing was ordered." in page.text
    assert page.value("bun") == typed.get("bun", "3")
    for name in {"milk_tea", "auth_code", "openid"} & set(typed):
        assert page.value(name) == typed[name]
    assert "<script>alert" not in page.source
    assert customer.look(reference).status == 404


def test_without_javascript_the_shop_calculates_the_total(customer: Customer) -> None:
    page = customer.order("800201", action="total")

    assert page.status == 200
    assert re.search(r'<output id="total"[^>]*>HKD\s44\.00<', page.source)


def test_a_form_of_another_site_is_refused(customer: Customer, shop_demo: Demo) -> None:
    page = paid(customer, shop_demo)
    typed = {"reference": page.hidden("reference"), "how": "whole"}

    refused = customer.post(f"/orders/{page.reference}/refund", typed, **{"Sec-Fetch-Site": "cross-site"})

    assert refused.status == 403
    assert shop_demo.held(syssn_of(page)) == TEA_MINOR


@pytest.mark.parametrize(
    "path", ["/orders/shop-000000000000", "/nothing", "/return", "/return?out_trade_no=x"]
)
def test_an_unknown_address_has_a_404_page(customer: Customer, path: str) -> None:
    page = customer.get(path)

    assert page.status == 404
    assert "There is no such page or order" in page.text


def test_a_form_that_is_too_long_is_refused(customer: Customer) -> None:
    assert customer.post("/orders", {"milk_tea": "9" * 70_000}).status == 413


def test_every_page_loads_nothing_from_elsewhere(customer: Customer, shop_demo: Demo) -> None:
    order = waiting(customer, shop_demo)
    for page in (customer.get("/"), order, customer.get("/webhooks"), customer.get("/nothing")):
        policy = page.headers["Content-Security-Policy"]
        assert policy.startswith("default-src 'none'; script-src 'self'; style-src 'self';")
        assert "unsafe" not in policy
        assert not re.search(r"<script(?! src=\"/static/)|<style| style=| on\w+=", page.source)


def test_markup_in_a_webhook_is_shown_and_not_run(customer: Customer, shop_demo: Demo) -> None:
    page = waiting(customer, shop_demo)
    body = json.dumps({"out_trade_no": page.reference, "respmsg": SCRIPT}).encode()

    post_webhook(shop_demo, body, SCRIPT)

    for shown in (customer.look(page.reference), customer.get("/webhooks")):
        assert "<script>alert" not in shown.source
        assert "&lt;script&gt;alert" in shown.source


# ---- in the demo -----------------------------------------------------------------------------------------------------


def test_orders_survive_a_kill_of_the_shop(customer: Customer, shop_demo: Demo) -> None:
    page = customer.refund(paid(customer, shop_demo, "800108"), "1.00")
    os.kill(pid_of_shop(descendants(shop_demo.process.pid)), signal.SIGKILL)

    def look() -> Seen | None:
        try:
            return customer.look(page.reference)
        except httpx.TransportError:
            return None

    again = eventually(look, lambda seen: seen is not None)

    assert again is not None
    assert again.headline == "Paid, partially refunded"
    assert again.source == page.source


def test_the_demo_sets_a_missing_notify_url_and_keeps_a_users_own() -> None:
    with open_folder() as folder:
        demo = Demo.start(folder)
        try:
            before = demo.apps[0]
            demo.set_app(before["appcode"], "--return-url", "http://127.0.0.1:9/mine")
        finally:
            demo.end()
        again = Demo.start(folder, free_port_block())
        try:
            after = again.apps[0]
        finally:
            again.end()

    assert (before["notify_url"], before["return_url"]) == (f"{demo.shop}/webhook", f"{demo.shop}/return")
    assert again.shop != demo.shop
    assert (after["notify_url"], after["return_url"]) == (f"{again.shop}/webhook", "http://127.0.0.1:9/mine")


def test_in_another_currency_the_shop_is_a_merchant_of_another_app_and_moves_its_urls() -> None:
    with open_folder() as folder:
        demo = Demo.start(folder, None, "--currency", "KRW")
        try:
            first, in_krw = demo.apps[0], demo.apps[4]
            prices = Customer(demo.shop).get("/").text
        finally:
            demo.end()
        again = Demo.start(folder, free_port_block())
        try:
            after = again.apps
        finally:
            again.end()

    assert "KRW 3,860" in prices.replace("\xa0", " ")  # 22 HKD at 0.9123 CNY, at 0.0052 CNY for one won
    assert (first["notify_url"], in_krw["notify_url"]) == (None, f"{demo.shop}/webhook")
    assert (after[0]["notify_url"], after[4]["notify_url"]) == (f"{again.shop}/webhook", None)
    assert [app["appcode"] for app in after] == [app["appcode"] for app in demo.apps]


@pytest.mark.parametrize("currency", ["jpy", "XXX", "CAD", ""])
def test_a_currency_without_a_merchant_is_refused_in_one_sentence(tmp_path: Path, currency: str) -> None:
    with pytest.raises(NotStarted) as refused:
        Demo.start(tmp_path, None, "--currency", currency)
    assert str(refused.value).strip().startswith("tael: --currency: must be one of HKD, CNY, USD, JPY")


def test_a_taken_port_of_the_shop_is_refused_in_one_sentence(tmp_path: Path) -> None:
    port = free_port_block()
    with socket.create_server(("127.0.0.1", port + 2)), pytest.raises(NotStarted) as refused:
        Demo.start(tmp_path, port)

    assert str(refused.value).strip().startswith(f"tael: port {port + 2} is taken")
