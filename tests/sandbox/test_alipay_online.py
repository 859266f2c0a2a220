"""Online payments: links, the cashier's pages, the merchant's view of each step, time limits, close."""

import re
import urllib.error
import urllib.parse
import urllib.request
from datetime import timedelta

import pytest

from tests.sandbox.alipay_shop import Shop, balance, confirm, form_of, new_number, scan, shop
from tests.sandbox.conftest import ControlRefused, Sandbox
from tests.support.http_calls import CALL_LIMIT_S

RETURN_URL = "https://merchant.example/back?shop=7&x=%2F"


class NoRedirects(urllib.request.HTTPRedirectHandler):
    def redirect_request(self, *_args: object) -> None:
        return None


@pytest.fixture
def online(sandbox: Sandbox) -> Shop:
    return shop(sandbox, "online")


def token_of(page: bytes) -> str:
    found = re.search(rb'action="/alipay/cashier/([^"]+)"', page)
    assert found is not None, page
    return found[1].decode()


def submit(sandbox: Sandbox, token: str, **form: str) -> tuple[int, str | None, bytes]:
    """Sends the cashier's form. Returns the status, the redirect target and the page."""
    url = f"{sandbox.http}/alipay/cashier/{token}"
    opener = urllib.request.build_opener(NoRedirects)
    try:
        with opener.open(url, urllib.parse.urlencode(form).encode(), CALL_LIMIT_S) as answer:
            return answer.status, None, answer.read()
    except urllib.error.HTTPError as redirect:
        with redirect:
            return redirect.code, redirect.headers["Location"], b""


def test_on_pc_a_trade_exists_once_the_payer_opens_the_link(sandbox: Sandbox, online: Shop) -> None:
    order, before = new_number(), balance(sandbox, "ada")
    link = online.pc_link(order, return_url=RETURN_URL)
    assert online.query_online(order).error == "TRADE_NOT_EXIST"
    seen = scan(sandbox, link)
    assert re.fullmatch(r"\d{8}22001\d{15}", seen.pop("trade"))
    assert seen == {
        "wallet": "alipay",
        "order": order,
        "payee": "Demo Shop",
        "subject": "Two tickets",
        "amount": 12000,
        "currency": "HKD",
        "amount_cny": 10948,
        "state": "WAIT_BUYER_PAY",
    }
    assert online.query_online(order)["trade_status"] == "WAIT_BUYER_PAY"
    assert confirm(sandbox, "wrong_password", trade=order)["state"] == "WAIT_BUYER_PAY"
    assert confirm(sandbox, "cancel", url=link)["state"] == "WAIT_BUYER_PAY"
    paid = confirm(sandbox, url=link)
    assert paid["state"] == paid["trade"]["state"] == "TRADE_FINISHED"
    assert balance(sandbox, "ada") == before - 10948
    queried = online.query_online(order)
    assert queried["trade_status"] == "TRADE_FINISHED"
    assert queried["total_fee"] == "109.48"  # CNY, as Alipay answers it
    assert queried["trade_no"] == paid["trade"]["trade"]
    assert queried["buyer_id"].startswith("2088")
    assert re.fullmatch(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d", queried["gmt_payment"])
    assert all(queried.node.values())
    by_number = online.call("single_trade_query", trade_no=queried["trade_no"], out_trade_no="other")
    assert by_number.node == queried.node


@pytest.mark.parametrize("sign_type", ["MD5", "RSA", "RSA2"])
def test_the_browser_returns_with_a_signed_result(sandbox: Sandbox, online: Shop, sign_type: str) -> None:
    order = new_number()
    paid = confirm(sandbox, url=online.pc_link(order, sign_type, return_url=RETURN_URL))
    address, _, query = paid["return_to"].partition("?")
    assert address == "https://merchant.example/back"
    assert query.startswith("shop=7&x=%2F&currency=HKD&")
    fields = form_of(query.encode())
    del fields["shop"], fields["x"]
    assert set(fields) == {
        *("currency", "out_trade_no", "total_fee", "trade_no", "trade_status", "sign", "sign_type")
    }
    assert (fields["out_trade_no"], fields["total_fee"]) == (order, "120.00")
    assert (fields["trade_status"], fields["sign_type"]) == ("TRADE_FINISHED", sign_type)
    assert online.is_signed(fields)


def test_on_wap_a_trade_exists_with_the_password(sandbox: Sandbox, online: Shop) -> None:
    order = new_number()
    link = online.wap_link(order)
    seen = scan(sandbox, link)
    assert (seen["trade"], seen["state"]) == (order, "TRADE_NOT_EXIST")
    for action in ("wrong_password", "cancel"):
        left = confirm(sandbox, action, trade=order)
        assert (left["state"], left["trade"]["trade"]) == ("TRADE_NOT_EXIST", None)
        assert online.query_online(order).error == "TRADE_NOT_EXIST"
    assert order not in [row["order"] for row in sandbox.control("GET", "book")["trades"]]
    paid = confirm(sandbox, trade=order, payer="bao")
    assert (paid["state"], paid["return_to"]) == ("TRADE_FINISHED", None)
    assert online.query_online(order)["trade_status"] == "TRADE_FINISHED"


@pytest.mark.parametrize("is_wap", [False, True])
def test_a_payer_pays_on_the_page(sandbox: Sandbox, online: Shop, is_wap: bool) -> None:
    order, before = new_number(), balance(sandbox, "bao")
    make = online.wap_link if is_wap else online.pc_link
    link = make(order, subject="<script>alert('&')</script>", return_url=RETURN_URL)
    page = online.open(link).body
    assert b"<script>" not in page
    for shown in (b"Demo Shop", b"&lt;script&gt;", order.encode(), b"HKD 120.00", b"CNY 109.48"):
        assert shown in page
    token = token_of(page)
    assert online.open(link).body == page
    assert online.open(f"{sandbox.http}/alipay/cashier/{token}").body == page
    status, where, left = submit(sandbox, token, action="cancel")
    assert (status, where) == (200, None)
    assert b"nothing was paid" in left
    status, where, _ = submit(sandbox, token, action="pay", payer="bao")
    assert status == 303
    assert where is not None
    assert where.startswith("https://merchant.example/back?shop=7&x=%2F&currency=HKD")
    assert balance(sandbox, "bao") == before - 10948
    for again in (online.open(link).body, submit(sandbox, token, action="pay", payer="bao")[2]):
        assert b"TRADE_NOT_ALLOWED_PAY" in again
    assert balance(sandbox, "bao") == before - 10948


def test_a_cashier_page_can_be_scanned_too(sandbox: Sandbox, online: Shop) -> None:
    order = new_number()
    url = f"{sandbox.http}/alipay/cashier/{token_of(online.open(online.pc_link(order)).body)}"
    assert scan(sandbox, url)["order"] == order
    assert confirm(sandbox, url=url)["state"] == "TRADE_FINISHED"


def test_without_a_return_url_the_page_shows_paid(sandbox: Sandbox, online: Shop) -> None:
    token = token_of(online.open(online.pc_link(new_number())).body)
    status, where, page = submit(sandbox, token, action="pay", payer="ada")
    assert (status, where) == (200, None)
    assert b"<h1>Paid</h1>" in page


def test_a_payer_with_too_little_money_stays_at_the_cashier_and_another_payer_pays(
    sandbox: Sandbox, online: Shop
) -> None:
    order = new_number()
    token = token_of(online.open(online.wap_link(order)).body)
    status, _, page = submit(sandbox, token, action="pay", payer="gil")
    assert status == 200
    assert b"Not enough money. Nothing was paid" in page
    assert token_of(page) == token
    assert balance(sandbox, "gil") == 500
    assert b"<h1>Paid</h1>" in submit(sandbox, token, action="pay", payer="bao")[2]
    assert online.query_online(order)["trade_status"] == "TRADE_FINISHED"


def test_invalid_forms_change_nothing(sandbox: Sandbox, online: Shop) -> None:
    order = new_number()
    token = token_of(online.open(online.pc_link(order)).body)
    for form in (
        {},
        {"action": "steal"},
        {"action": "pay", "payer": "chen"},
        {"action": "pay", "payer": "?"},
    ):
        assert b"Error code" in submit(sandbox, token, **form)[2]
    assert b"TRADE_NOT_EXIST" in submit(sandbox, "unknown", action="pay")[2]
    assert online.query_online(order)["trade_status"] == "WAIT_BUYER_PAY"


def test_pages_load_nothing_and_run_nothing(online: Shop) -> None:
    with urllib.request.urlopen(online.pc_link(new_number()), timeout=CALL_LIMIT_S) as answer:
        policy, page = answer.headers["Content-Security-Policy"], answer.read().decode()
        assert answer.headers["Cache-Control"] == "no-store"
    assert policy.startswith("default-src 'none'; style-src 'sha256-")
    assert "unsafe" not in policy
    assert not re.search(r"<(script|img|link|iframe)|src=|style=|onclick", page)
    assert 'content="width=device-width, initial-scale=1"' in page


def test_the_same_link_reopens_the_same_trade(sandbox: Sandbox, online: Shop) -> None:
    order = new_number()
    first = scan(sandbox, online.pc_link(order))
    assert scan(sandbox, online.pc_link(order, notify_url="https://m.example/n")) == first
    for change in ({"total_fee": "120.01"}, {"subject": "Other"}):
        page = online.open(online.pc_link(order, **change)).body
        assert b"TRADE_DATA_MATCH_ERROR" in page
    with pytest.raises(ControlRefused, match="TRADE_DATA_MATCH_ERROR"):
        scan(sandbox, online.wap_link(order))


@pytest.mark.parametrize(
    ("change", "error"),
    [
        ({"out_trade_no": ""}, "ILLEGAL_ARGUMENT"),
        ({"out_trade_no": "x" * 65}, "ILLEGAL_ARGUMENT"),
        ({"subject": ""}, "ILLEGAL_ARGUMENT"),
        ({"subject": "x" * 257}, "ILLEGAL_ARGUMENT"),
        ({"body": "x" * 401}, "ILLEGAL_ARGUMENT"),
        ({"currency": ""}, "ILLEGAL_ARGUMENT"),
        ({"currency": "hkd"}, "ILLEGAL_CURRENCY"),
        ({"currency": "USD"}, "ILLEGAL_CURRENCY"),
        ({"currency": "JPY", "total_fee": "1.00"}, "ILLEGAL_ARGUMENT"),
        ({"total_fee": ""}, "ILLEGAL_ARGUMENT"),
        ({"rmb_fee": "1.00"}, "ILLEGAL_ARGUMENT"),
        ({"total_fee": "0.00"}, "TOTAL_FEE_LESSEQUAL_ZERO"),
        ({"total_fee": "-1"}, "TOTAL_FEE_LESSEQUAL_ZERO"),
        ({"total_fee": "1000000.01"}, "TOTAL_FEE_OUT_OF_RANGE"),
        ({"total_fee": "1.001"}, "ILLEGAL_ARGUMENT"),
        ({"total_fee": "1,00"}, "ILLEGAL_ARGUMENT"),
        ({"product_code": ""}, "ILLEGAL_ARGUMENT"),
        ({"product_code": "NEW_WAP_OVERSEAS_SELLER"}, "ILLEGAL_ARGUMENT"),
        ({"timeout_rule": "20m"}, "ILLEGAL_TIMEOUT_RULE"),
        ({"timeout_rule": "16d"}, "ILLEGAL_TIMEOUT_RULE"),
        ({"timeout_rule": "x"}, "ILLEGAL_TIMEOUT_RULE"),
        ({"order_valid_time": "60"}, "ILLEGAL_ARGUMENT"),
        ({"order_gmt_create": "2026-01-02 03:04:05"}, "ILLEGAL_ARGUMENT"),
        ({"order_gmt_create": "20260102030405", "order_valid_time": "60"}, "ILLEGAL_ARGUMENT"),
        ({"order_gmt_create": "2099-01-02 03:04:05", "order_valid_time": "2592001"}, "ILLEGAL_ARGUMENT"),
        ({"order_gmt_create": "0001-01-01 00:00:00", "order_valid_time": "60"}, "ILLEGAL_ARGUMENT"),
        ({"order_gmt_create": "9999-12-31 23:59:59", "order_valid_time": "60"}, "ILLEGAL_ARGUMENT"),
        ({"order_gmt_create": "2020-01-02 03:04:05", "order_valid_time": "60"}, "TRADE_NOT_ALLOWED_PAY"),
        ({"return_url": "javascript:alert(1)"}, "ILLEGAL_ARGUMENT"),
        ({"notify_url": "//m.example/"}, "ILLEGAL_ARGUMENT"),
        ({"split_fund_info": "{}"}, "ILLEGAL_ARGUMENT"),
        ({"split_fund_info": str([{"transIn": "1"}] * 11)}, "ILLEGAL_ARGUMENT"),
        ({"trade_information": "[1]"}, "ILLEGAL_ARGUMENT"),
    ],
)
def test_a_bad_parameter_is_an_error_page(online: Shop, change: dict[str, str], error: str) -> None:
    order = new_number()
    reply = online.open(online.pc_link(order, **change))
    assert reply.content_type.startswith("text/html")
    assert f"<code>{error}</code>" in reply.body.decode()
    assert online.query_online(order).error == "TRADE_NOT_EXIST"


def test_optional_parameters_are_taken(sandbox: Sandbox, online: Shop) -> None:
    link = online.pc_link(
        new_number(),
        split_fund_info="[{'transIn':'2088000000000001','amount':'1.00','currency':'HKD','desc':'x'}]",
        trade_information='{"business_type":"4","goods_info":"tea^1","total_quantity":"1"}',
        timeout_rule="1d",
        payment_type="1",
        seller_id="x",
    )
    assert scan(sandbox, link)["state"] == "WAIT_BUYER_PAY"


@pytest.mark.parametrize("is_wap", [False, True])
def test_an_old_contract_needs_no_product_code(sandbox: Sandbox, is_wap: bool) -> None:
    old, order = shop(sandbox, "online", "chain_east"), new_number()
    link = (old.wap_link if is_wap else old.pc_link)(order, product_code="")
    assert confirm(sandbox, url=link)["state"] == "TRADE_FINISHED"
    assert (
        old.refund_online(order, new_number(), "1.00", product_code="NEW_OVERSEAS_SELLER").error
        == "ILLEGAL_ARGUMENT"
    )
    assert old.refund_online(order, new_number(), "1.00", product_code="").error is None
    other = (old.wap_link if is_wap else old.pc_link)(new_number(), product_code="ANOTHER")
    assert b"ILLEGAL_ARGUMENT" in old.open(other).body


def test_wap_accepts_utf_8_only(online: Shop) -> None:
    request = online.signed(
        "create_forex_trade_wap", online.online_fields(new_number(), is_wap=True), "MD5", "gbk"
    )
    assert b"ILLEGAL_CHARSET" in online.post(request).body


def test_a_price_in_cny_stays_in_cny(sandbox: Sandbox, online: Shop) -> None:
    order = new_number()
    seen = scan(sandbox, online.pc_link(order, total_fee="", rmb_fee="50.00"))
    assert (seen["amount"], seen["currency"], seen["amount_cny"]) == (5000, "CNY", 5000)
    confirm(sandbox, trade=order)
    assert online.query_online(order)["total_fee"] == "50.00"
    assert online.refund_online(order, new_number(), "1.00").error == "CURRENCY_NOT_SAME"
    refunded = online.refund_online(order, new_number(), "", return_rmb_amount="50.00")
    assert refunded.error is None
    assert online.query_online(order)["trade_status"] == "TRADE_CLOSED"


def test_the_time_to_pay_counts_from_the_login(sandbox: Sandbox, online: Shop) -> None:
    order = new_number()
    link = online.pc_link(order, timeout_rule="5m")
    sandbox.advance(3600)
    assert scan(sandbox, link)["state"] == "WAIT_BUYER_PAY"
    sandbox.advance(290)
    assert online.query_online(order)["trade_status"] == "WAIT_BUYER_PAY"
    sandbox.advance(10)
    assert online.query_online(order)["trade_status"] == "TRADE_CLOSED"
    assert scan(sandbox, link)["state"] == "TRADE_CLOSED"
    with pytest.raises(ControlRefused, match="TRADE_CLOSED"):
        confirm(sandbox, url=link)
    assert b"TRADE_NOT_ALLOWED_PAY" in online.open(link).body


def test_a_link_may_be_opened_for_a_limited_time(sandbox: Sandbox, online: Shop) -> None:
    since = f"{online.now():%Y-%m-%d %H:%M:%S}"
    early, late = new_number(), new_number()
    limit = {"order_gmt_create": since, "order_valid_time": "600", "timeout_rule": "10m"}
    sandbox.advance(590)
    assert scan(sandbox, online.pc_link(early, **limit))["state"] == "WAIT_BUYER_PAY"
    sandbox.advance(20)
    with pytest.raises(ControlRefused, match="TRADE_NOT_ALLOWED_PAY"):
        scan(sandbox, online.pc_link(late, **limit))
    with pytest.raises(ControlRefused):
        confirm(sandbox, trade=late)
    assert online.query_online(late).error == "TRADE_NOT_EXIST"
    assert confirm(sandbox, trade=early)["state"] == "TRADE_FINISHED"


def test_an_expired_wap_order_never_existed(sandbox: Sandbox, online: Shop) -> None:
    order = new_number()
    link = online.wap_link(order, timeout_rule="5m")
    scan(sandbox, link)
    sandbox.advance(301)
    assert online.query_online(order).error == "TRADE_NOT_EXIST"
    with pytest.raises(ControlRefused):
        confirm(sandbox, trade=order)
    with pytest.raises(ControlRefused, match="too long ago"):
        confirm(sandbox, url=link)
    assert b"TRADE_NOT_ALLOWED_PAY" in online.open(link).body


def test_on_wap_a_trade_is_created_with_the_password(sandbox: Sandbox, online: Shop) -> None:
    order = new_number()
    scan(sandbox, online.wap_link(order))
    sandbox.advance(60)
    confirm(sandbox, trade=order)
    queried = online.query_online(order)
    assert queried["gmt_create"] == queried["gmt_payment"]


def test_on_wap_the_time_to_pay_counts_from_order_create(sandbox: Sandbox, online: Shop) -> None:
    since = f"{online.now() - timedelta(minutes=2):%Y-%m-%d %H:%M:%S}"
    order = new_number()
    with pytest.raises(ControlRefused, match="TRADE_NOT_ALLOWED_PAY"):
        scan(sandbox, online.wap_link(new_number(), order_create=since, timeout_rule="1m"))
    link = online.wap_link(order, order_create=since, timeout_rule="3m")
    scan(sandbox, link)
    sandbox.advance(70)
    with pytest.raises(ControlRefused):
        confirm(sandbox, trade=order)


def test_a_waiting_trade_can_be_closed(sandbox: Sandbox, online: Shop) -> None:
    order = new_number()
    link = online.pc_link(order)
    assert online.call("close_trade", out_order_no=order).error == "TRADE_NOT_EXIST"
    scan(sandbox, link)
    closed = online.call("close_trade", out_order_no=order)
    assert closed.error is None
    assert closed.body.endswith(b"<alipay><is_success>T</is_success></alipay>")
    assert online.query_online(order)["trade_status"] == "TRADE_CLOSED"
    assert online.call("close_trade", out_order_no=order).error == "TRADE_STATUS_ERROR"
    with pytest.raises(ControlRefused):
        confirm(sandbox, url=link)


def test_a_paid_trade_cannot_be_closed(sandbox: Sandbox, online: Shop) -> None:
    order = new_number()
    trade_no = confirm(sandbox, url=online.pc_link(order))["trade"]["trade"]
    assert online.call("close_trade", trade_no=trade_no).error == "TRADE_STATUS_ERROR"
    assert online.call("close_trade", out_order_no=order, trade_role="X").error == "ILLEGAL_ARGUMENT"
    assert online.call("close_trade").error == "ILLEGAL_ARGUMENT"
    assert online.call("single_trade_query").error == "ILLEGAL_ARGUMENT"


def test_another_merchant_sees_nothing(sandbox: Sandbox, online: Shop) -> None:
    order = new_number()
    confirm(sandbox, url=online.pc_link(order))
    assert shop(sandbox, "online", "chain_east").query_online(order).error == "TRADE_NOT_EXIST"
