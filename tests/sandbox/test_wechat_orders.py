"""unifiedorder, orderquery, closeorder, and the payment of such orders on the payer's phone."""

from datetime import datetime, timedelta, timezone
from typing import Any

import pytest

from tests.sandbox.conftest import ControlRefused, Sandbox
from tests.sandbox.wechat_shop import (
    Shop,
    balance,
    both_kinds,
    code,
    confirm,
    new_number,
    openid,
    shop,
    spent,
)

HKD_88_IN_CNY = 8028  # 88.00 HKD at 0.9123


@pytest.fixture
def demo(request: pytest.FixtureRequest, sandbox: Sandbox) -> Shop:
    return shop(sandbox, getattr(request, "param", "demo"))


def jsapi(sandbox: Sandbox, demo: Shop, payer: str = "chen") -> dict[str, Any]:
    return demo.jsapi(openid(sandbox, payer, demo.official_appid)) | {"device_info": "WEB"}


@both_kinds
def test_a_native_order_is_made_shown_paid_and_queried(sandbox: Sandbox, demo: Shop) -> None:
    number = new_number()
    made = demo.order(out_trade_no=number, attach="table 4")
    assert (made.status, made.content_type.split(";")[0]) == (200, "text/plain")
    assert made["result_code"] == "SUCCESS"
    assert made["trade_type"] == "NATIVE"
    assert len(made["prepay_id"]) == 36
    assert made["code_url"].startswith("weixin://wxpay/bizpayurl?pr=")
    assert demo.state(number) == "NOTPAY"
    seen = sandbox.control("POST", "scan", {"url": made["code_url"]})
    assert seen.pop("trade")
    assert seen == {
        "wallet": "wechat",
        "order": number,
        "payee": "Lantern Cafe" if demo.is_direct else "Demo Shop",
        "subject": "Demo Shop-tea & <cups>",
        "amount": 8800,
        "currency": "HKD",
        "amount_cny": HKD_88_IN_CNY,
        "state": "NOTPAY",
    }
    with spent(sandbox, "dora", HKD_88_IN_CNY):
        done = confirm(sandbox, "pay", url=made["code_url"], payer="dora")
    assert (done["state"], done["return_to"]) == ("SUCCESS", None)
    assert done["trade"] == {
        "wallet": "wechat",
        "order": number,
        "trade": done["trade"]["transaction_id"],
        "transaction_id": done["trade"]["transaction_id"],
        "state": "SUCCESS",
        "amount": 8800,
        "currency": "HKD",
        "refunded": 0,
    }
    reply = demo.query(number).fields
    assert reply["trade_state"] == "SUCCESS"
    assert reply["transaction_id"] == done["trade"]["transaction_id"]
    assert len(reply["transaction_id"]) == 28
    assert reply["openid"] == openid(sandbox, "dora", demo.account["appid"])
    assert (reply["total_fee"], reply["fee_type"]) == ("8800", "HKD")
    assert (reply["cash_fee"], reply["cash_fee_type"], reply["rate"]) == ("8028", "CNY", "91230000")
    assert (reply["attach"], reply["trade_type"], len(reply["time_end"])) == ("table 4", "NATIVE", 14)
    assert not {"sub_openid", "sub_is_subscribe"} & set(reply)
    by_id = demo.call("/pay/orderquery", transaction_id=reply["transaction_id"], out_trade_no="unknown")
    assert by_id["out_trade_no"] == number  # the wallet's number takes precedence


@both_kinds
def test_an_unpaid_order_has_only_its_state(demo: Shop) -> None:
    number = new_number()
    demo.order(out_trade_no=number, attach="a", device_info="till 1")
    reply = demo.query(number).fields
    frame = {"return_code", "return_msg", *demo.identity(), "nonce_str", "result_code", "sign"}
    assert set(reply) - frame == {"out_trade_no", "attach", "device_info", "trade_state", "trade_state_desc"}


def test_a_hong_kong_payer_pays_in_hkd_without_a_rate(sandbox: Sandbox, demo: Shop) -> None:
    number = new_number()
    made = demo.order(out_trade_no=number)
    with spent(sandbox, "emil", 8800):
        assert confirm(sandbox, "pay", url=made["code_url"], payer="emil")["trade"]["wallet"] == "wechat_hk"
    reply = demo.query(number).fields
    assert (reply["cash_fee"], reply["cash_fee_type"], reply.get("rate")) == ("8800", "HKD", None)


@pytest.mark.parametrize(
    ("fee_type", "total_fee", "cash_fee"), [("JPY", 100, 482), ("KRW", 1, 1), ("THB", 1, 1), ("CNY", 7, 7)]
)
def test_the_payers_side_is_converted_half_up(
    sandbox: Sandbox, demo: Shop, fee_type: str, total_fee: int, cash_fee: int
) -> None:
    made = demo.order(fee_type=fee_type, total_fee=total_fee)
    with spent(sandbox, "chen", cash_fee):
        confirm(sandbox, "pay", url=made["code_url"])


@both_kinds
def test_a_jsapi_order_can_be_paid_by_the_owner_of_the_openid_only(sandbox: Sandbox, demo: Shop) -> None:
    number = new_number()
    made = demo.order(out_trade_no=number, **jsapi(sandbox, demo, "dora"))
    assert "code_url" not in made.fields
    package = f"prepay_id={made['prepay_id']}"
    assert sandbox.control("POST", "scan", {"url": made["prepay_id"]})["order"] == number
    with pytest.raises(ControlRefused, match="only dora"):
        confirm(sandbox, "pay", url=package, payer="chen")
    with spent(sandbox, "dora", HKD_88_IN_CNY):
        assert confirm(sandbox, "pay", url=package)["state"] == "SUCCESS"
    reply = demo.query(number).fields
    name = "openid" if demo.is_direct else "sub_openid"
    assert reply[name] == openid(sandbox, "dora", demo.official_appid)
    assert reply["device_info"] == "WEB"


def test_an_openid_of_the_provider_is_accepted(sandbox: Sandbox, demo: Shop) -> None:
    made = demo.order(trade_type="JSAPI", openid=openid(sandbox, "chen", demo.account["appid"]))
    assert made["result_code"] == "SUCCESS"


def test_an_openid_under_another_appid_is_refused(sandbox: Sandbox, demo: Shop) -> None:
    other = openid(sandbox, "chen", demo.account["sub_appid"])
    assert demo.order(trade_type="JSAPI", openid=other).error == "invalid openid"
    both = {**jsapi(sandbox, demo), "openid": openid(sandbox, "dora", demo.account["appid"])}
    assert demo.order(**both).error == "invalid openid"


@pytest.mark.parametrize(
    ("change", "answer"),
    [
        ({"trade_type": "JSAPI"}, "缺少参数openid或sub_openid"),
        ({"trade_type": "JSAPI", "sub_openid": "o123"}, "缺少参数sub_appid"),
        ({"sub_openid": "o123"}, "缺少参数sub_appid"),
        ({"trade_type": "MWEB"}, "缺少参数scene_info"),
        ({"trade_type": "CASH"}, "trade_type参数格式错误"),
        ({"time_expire": "20260230000000"}, "time_expire参数格式错误"),
        ({"time_expire": "20200101000000"}, "time_expire参数格式错误"),
        ({"time_start": "20991231000000", "time_expire": "20991230000000"}, "time_expire参数格式错误"),
        ({"time_start": "today"}, "time_start参数格式错误"),
        ({"notify_url": "http://shop.example/n?order=1"}, "notify_url参数格式错误"),
        ({"notify_url": "shop.example/n"}, "notify_url参数格式错误"),
        ({"notify_url": "http://shop.example:x/n"}, "notify_url参数格式错误"),
        ({"total_fee": "0"}, "total_fee参数格式错误"),
        ({"total_fee": "08"}, "total_fee参数格式错误"),
        ({"total_fee": "8.5"}, "total_fee参数格式错误"),
        ({"total_fee": "-1"}, "total_fee参数格式错误"),
        ({"fee_type": "XXX"}, "fee_type参数格式错误"),
        ({"out_trade_no": "A B"}, "out_trade_no参数格式错误"),
        ({"out_trade_no": "x" * 33}, "out_trade_no参数格式错误"),
        ({"body": "b" * 129}, "body参数格式错误"),
    ],
    ids=str,
)
def test_a_malformed_order_is_refused_unsigned(demo: Shop, change: dict[str, str], answer: str) -> None:
    assert demo.order(**change).error == answer


def test_the_same_unpaid_order_can_be_requested_again(sandbox: Sandbox, demo: Shop) -> None:
    number = new_number()
    first, again = demo.order(out_trade_no=number), demo.order(out_trade_no=number)
    assert (first["prepay_id"], first["code_url"]) == (again["prepay_id"], again["code_url"])
    for change in ({"total_fee": 8801}, {"fee_type": "USD"}, {"body": "other"}, jsapi(sandbox, demo)):
        other = demo.order(out_trade_no=number, **change)
        assert (other.error, other["err_code_des"]) == ("INVALID_REQUEST", "201 商户订单号重复")
    neighbour = shop(sandbox, "wechat_only").order(out_trade_no=number)
    assert neighbour.error == "INVALID_REQUEST"  # numbers belong to the provider
    assert shop(sandbox, "chain_east").order(out_trade_no=number).error == ""


@both_kinds
def test_a_paid_or_closed_number_cannot_be_ordered_again(sandbox: Sandbox, demo: Shop) -> None:
    paid, closed = new_number(), new_number()
    confirm(sandbox, "pay", url=demo.order(out_trade_no=paid)["code_url"])
    demo.order(out_trade_no=closed)
    assert demo.call("/pay/closeorder", out_trade_no=closed)["result_code"] == "SUCCESS"
    assert demo.order(out_trade_no=paid).error == "ORDERPAID"
    assert demo.order(out_trade_no=closed).error == "ORDERCLOSED"
    with pytest.raises(ControlRefused, match="nothing to pay"):
        confirm(sandbox, "pay", trade=paid)
    with pytest.raises(ControlRefused, match="nothing to pay"):
        confirm(sandbox, "pay", trade=closed)


@both_kinds
def test_closing(sandbox: Sandbox, demo: Shop) -> None:
    number, paid, till = new_number(), new_number(), new_number()
    demo.order(out_trade_no=number)
    close = "/pay/closeorder"
    assert demo.call(close, out_trade_no=number)["result_code"] == "SUCCESS"
    assert demo.state(number) == "CLOSED"
    assert demo.call(close, out_trade_no=number).error == "ORDERCLOSED"
    confirm(sandbox, "pay", url=demo.order(out_trade_no=paid)["code_url"])
    assert demo.call(close, out_trade_no=paid).error == "ORDERPAID"
    demo.scan_code(code(sandbox, "password"), out_trade_no=till)
    assert demo.call(close, out_trade_no=till).error == "TRADE_STATE_ERROR"
    assert demo.call(close, out_trade_no=new_number()).error == "ORDERNOTEXIST"
    assert shop(sandbox, "wechat_only").call(close, out_trade_no=number).error == "ORDERNOTEXIST"


def test_an_order_is_hidden_from_other_shops(sandbox: Sandbox, demo: Shop) -> None:
    number = new_number()
    demo.order(out_trade_no=number)
    for label in ("wechat_only", "chain_east"):
        assert shop(sandbox, label).query(number).error == "ORDERNOTEXIST"
    unknown = demo.query(new_number())
    assert (unknown.error, unknown["err_code_des"]) == ("ORDERNOTEXIST", "order not exist")


@both_kinds
@pytest.mark.parametrize("sign_type", ["MD5", "HMAC-SHA256"])
def test_each_call_may_choose_its_algorithm(demo: Shop, sign_type: str) -> None:
    number = new_number()
    assert demo.order(out_trade_no=number, sign_type=sign_type)["result_code"] == "SUCCESS"
    assert demo.query(number, sign_type="MD5")["trade_state"] == "NOTPAY"
    assert demo.call("/pay/closeorder", sign_type, out_trade_no=number)["result_code"] == "SUCCESS"
    refused = demo.call("/pay/closeorder", sign_type, out_trade_no=number)
    assert refused.error == "ORDERCLOSED"  # signed with the same algorithm, which `call` checks


def test_orders_expire(sandbox: Sandbox, demo: Shop) -> None:
    two_hours, short = new_number(), new_number()
    plain = demo.order(out_trade_no=two_hours)
    now = sandbox.control("GET", "clock")["now"]
    stamp = beijing_stamp(now, 5)
    demo.order(out_trade_no=short, time_start=beijing_stamp(now, -5), time_expire=stamp)
    sandbox.advance(50)  # the minimum is one minute
    assert demo.state(short) == "NOTPAY"
    sandbox.advance(15)
    assert demo.state(short) == "CLOSED"
    sandbox.advance(7200 - 75)
    assert demo.state(two_hours) == "NOTPAY"
    sandbox.advance(20)
    poor = balance(sandbox, "chen")
    with pytest.raises(ControlRefused, match="CLOSED"):
        confirm(sandbox, "pay", url=plain["code_url"])
    assert balance(sandbox, "chen") == poor
    assert demo.state(two_hours) == "CLOSED"


def beijing_stamp(now: str, seconds: int) -> str:
    at = datetime.fromisoformat(now) + timedelta(seconds=seconds)
    return at.astimezone(timezone(timedelta(hours=8))).strftime("%Y%m%d%H%M%S")


def test_cancel_and_a_wrong_password_leave_an_order_as_it_was(sandbox: Sandbox, demo: Shop) -> None:
    number = new_number()
    made = demo.order(out_trade_no=number)
    for action in ("cancel", "wrong_password"):
        assert confirm(sandbox, action, url=made["code_url"])["state"] == "NOTPAY"


def test_the_phone_refuses_unknown_links_trades_and_payers(sandbox: Sandbox, demo: Shop) -> None:
    made = demo.order()
    for url in ("weixin://wxpay/bizpayurl?pr=0000000", "prepay_id=wx1", "wx" + "0" * 34):
        with pytest.raises(ControlRefused, match="no such code"):
            sandbox.control("POST", "scan", {"url": url})
    with pytest.raises(ControlRefused, match="no wallet knows"):
        sandbox.control("POST", "scan", {"url": "https://example.org/"})
    with pytest.raises(ControlRefused, match="no wallet knows"):
        confirm(sandbox, "pay", trade="unheard-of")
    for other in ("ada", "nobody"):
        with pytest.raises(ControlRefused, match="no payer"):
            confirm(sandbox, "pay", url=made["code_url"], payer=other)


def test_a_price_above_the_balance_is_not_paid(sandbox: Sandbox, demo: Shop) -> None:
    number = new_number()
    made = demo.order(out_trade_no=number, total_fee=999_999_999_999, fee_type="USD")
    with pytest.raises(ControlRefused, match="enough money"):
        confirm(sandbox, "pay", url=made["code_url"])
    assert demo.state(number) == "NOTPAY"


def test_the_book_has_each_trade_in_the_price_currency(sandbox: Sandbox, demo: Shop) -> None:
    number = new_number()
    confirm(sandbox, "pay", url=demo.order(out_trade_no=number)["code_url"])
    rows = sandbox.control("GET", "book?wallet=wechat")["trades"]
    row = next(row for row in rows if row["order"] == number)
    assert set(row) == {"wallet", "order", "trade", "state", "amount", "currency", "refunded"}
    assert (row["state"], row["amount"], row["currency"], row["refunded"]) == ("SUCCESS", 8800, "HKD", 0)
