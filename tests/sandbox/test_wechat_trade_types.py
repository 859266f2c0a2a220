"""Orders of a mini program, an app and a browser: their appids, who can pay them, and their way through all calls."""

import json
from collections.abc import Iterator

import pytest

from tests.sandbox.conftest import ControlRefused, Receiver, Sandbox
from tests.sandbox.days import compact, move_to
from tests.sandbox.handset import Handset
from tests.sandbox.test_faults import put
from tests.sandbox.test_wechat_bills import download, table
from tests.sandbox.test_wechat_notices import SUCCESS_REPLY, url_of
from tests.sandbox.test_wechat_vendor_sandbox import in_vendor_sandbox
from tests.sandbox.wechat_shop import (
    NATIVE,
    SALE,
    Shop,
    as_xml,
    both_kinds,
    confirm,
    from_xml,
    new_number,
    openid,
    shop,
    signature,
    spent,
)

HKD_88_IN_CNY = 8028  # 88.00 HKD at 0.9123
UNBOUND = "商户号mch_id与appid不匹配"
REPLY = {
    *("return_code", "return_msg", "nonce_str", "sign"),
    *("result_code", "trade_type", "prepay_id"),
}


@pytest.fixture
def demo(request: pytest.FixtureRequest, sandbox: Sandbox) -> Shop:
    return shop(sandbox, getattr(request, "param", "demo"))


@pytest.fixture
def strict(sandbox: Sandbox) -> Iterator[None]:
    sandbox.control("PUT", "profile", {"profile": "strict"})
    yield
    sandbox.control("PUT", "profile", {"profile": "demo"})


def reply_to(order: dict[str, str], demo: Shop) -> set[str]:
    """The names in the reply to this order."""
    return REPLY | demo.identity().keys() | ({"sub_appid"} & order.keys())


def mini(sandbox: Sandbox, demo: Shop, payer: str) -> dict[str, str]:
    return demo.jsapi(openid(sandbox, payer, demo.account["mini_appid"]), "mini_appid")


@both_kinds
def test_an_order_of_an_app_can_be_paid_by_any_payer(sandbox: Sandbox, demo: Shop) -> None:
    for payer, cash in (("dora", HKD_88_IN_CNY), ("emil", 8800)):
        number = new_number()
        made = demo.order(out_trade_no=number, **demo.app)
        assert set(made.fields) == reply_to(demo.app, demo)
        assert made.fields | demo.app == made.fields
        with spent(sandbox, payer, cash):
            confirm(sandbox, "pay", url=made["prepay_id"], payer=payer)
        paid = demo.query(number)
        assert (paid["trade_type"], paid["trade_state"]) == ("APP", "SUCCESS")


@both_kinds
def test_an_order_of_a_mini_program_is_paid_by_the_owner_of_the_openid_only(
    sandbox: Sandbox, demo: Shop
) -> None:
    number, order = new_number(), mini(sandbox, demo, "dora")
    made = demo.order(out_trade_no=number, **order)
    assert set(made.fields) == reply_to(order, demo)
    assert made["trade_type"] == "JSAPI"
    assert made.fields | demo.own_appid("mini_appid") == made.fields
    with pytest.raises(ControlRefused, match="only dora"):
        confirm(sandbox, "pay", url=made["prepay_id"], payer="chen")
    with spent(sandbox, "dora", HKD_88_IN_CNY):
        confirm(sandbox, "pay", url=made["prepay_id"])
    name = "openid" if demo.is_direct else "sub_openid"
    assert demo.query(number)[name] == openid(sandbox, "dora", demo.account["mini_appid"])


@both_kinds
def test_an_openid_belongs_to_the_official_account_or_to_the_mini_program(
    sandbox: Sandbox, demo: Shop
) -> None:
    of_account, of_mini = (
        openid(sandbox, "chen", appid) for appid in (demo.official_appid, demo.account["mini_appid"])
    )
    assert demo.order(**demo.jsapi(of_account, "mini_appid")).error == "invalid openid"
    assert demo.order(**demo.jsapi(of_mini)).error == "invalid openid"


WRONG_APPIDS = [
    *((trade_type, "app_appid") for trade_type in ("JSAPI", "NATIVE", "MWEB")),
    *((trade_type, "mini_appid") for trade_type in ("APP", "NATIVE", "MWEB")),
    *(("APP", name) for name in ("sub_appid", "")),
]


@pytest.mark.parametrize(("trade_type", "name"), WRONG_APPIDS)
def test_an_appid_of_another_kind_is_refused(
    sandbox: Sandbox, demo: Shop, trade_type: str, name: str
) -> None:
    appids = {"sub_appid": demo.account[name]} if name else {}
    payer = {"openid": openid(sandbox, "chen", demo.account["appid"])} if trade_type == "JSAPI" else {}
    number = new_number()
    assert demo.order(out_trade_no=number, trade_type=trade_type, **appids, **payer).error == UNBOUND
    assert demo.query(number).error == "ORDERNOTEXIST"


def test_an_appid_of_another_kind_has_an_err_code_in_the_profile_strict(demo: Shop, strict: None) -> None:
    for sub_appid in ("", demo.account["mini_appid"]):
        whole = SALE | NATIVE | {"trade_type": "APP", "sub_appid": sub_appid, "out_trade_no": "1"}
        reply = demo.send("/pay/unifiedorder", as_xml(demo.signed(**whole)))
        assert (reply.error, reply["return_code"]) == ("APPID_MCHID_NOT_MATCH", "SUCCESS")


def test_another_merchants_appids_are_refused(sandbox: Sandbox, demo: Shop) -> None:
    neighbour = shop(sandbox, "wechat_only")
    assert demo.order(**neighbour.app).error == UNBOUND
    assert demo.order(**mini(sandbox, neighbour, "chen")).error == UNBOUND


# ---- the parameters of a payment, as the payer's link ------------------------------------------------------------


def parameters(demo: Shop, prepay_id: str, kind: str) -> str:
    """What a merchant's page, mini program or app passes to WeChat, as JSON."""
    own: dict[str, str] = (
        {
            "appid": demo.account["app_appid"],
            "partnerid": demo.account["sub_mch_id"] or demo.account["mch_id"],
            "prepayid": prepay_id,
            "package": "Sign=WXPay",
            "noncestr": "n0nce",
            "timestamp": "1767225600",
            "sign": "0" * 32,
        }
        if kind == "app"
        else {
            "appId": demo.account["mini_appid"] if kind == "mini" else demo.official_appid,
            "timeStamp": "1767225600",
            "nonceStr": "n0nce",
            "package": f"prepay_id={prepay_id}",
            "signType": "MD5",
            "paySign": "0" * 32,
        }
    )
    return json.dumps(own)


@both_kinds
@pytest.mark.parametrize("kind", ["app", "mini", "page"])
def test_the_payer_opens_an_order_with_the_merchants_parameters(
    sandbox: Sandbox, demo: Shop, kind: str
) -> None:
    number, of_page = new_number(), openid(sandbox, "chen", demo.official_appid)
    order = demo.jsapi(of_page) if kind == "page" else elements(sandbox, demo, kind)
    made = demo.order(out_trade_no=number, **order)
    link = parameters(demo, made["prepay_id"], kind)
    assert sandbox.control("POST", "scan", {"url": link})["order"] == number
    assert number in Handset(sandbox, "chen").scan(link)["order"]
    assert confirm(sandbox, "pay", url=link)["state"] == "SUCCESS"


@pytest.mark.parametrize(
    "link",
    [
        *("{", '{"package"', "{}", '{"package": 7}', '{"prepayid": ["x"]}', '{"prepayid": "\\ud800"}'),
        *('{"package": "Sign=WXPay"}', '{"prepayid": "wx1"}', '["prepay_id=x"]', '{"a":' * 9_000, "{" * 500),
    ],
    ids=lambda link: link[:24],
)
def test_json_without_a_prepay_id_is_an_unknown_link(sandbox: Sandbox, link: str) -> None:
    with pytest.raises(ControlRefused, match="no wallet knows") as refused:
        sandbox.control("POST", "scan", {"url": link})
    assert refused.value.field == "url"
    assert Handset(sandbox, "chen").scan(link).status == 400


def test_parameters_of_an_unknown_order_are_refused(sandbox: Sandbox, demo: Shop) -> None:
    for kind in ("app", "mini"):
        with pytest.raises(ControlRefused, match="no such code"):
            sandbox.control("POST", "scan", {"url": parameters(demo, "wx" + "0" * 34, kind)})


# ---- all calls ---------------------------------------------------------------------------------------------------

KINDS = {"app": "APP", "mini": "JSAPI", "h5": "MWEB"}


def elements(sandbox: Sandbox, demo: Shop, kind: str) -> dict[str, str]:
    if kind == "h5":
        return {**demo.h5, **demo.own_appid()}
    return demo.app if kind == "app" else mini(sandbox, demo, "chen")


@pytest.mark.parametrize("kind", KINDS)
def test_the_same_unpaid_order_can_be_requested_again(sandbox: Sandbox, demo: Shop, kind: str) -> None:
    number, order = new_number(), elements(sandbox, demo, kind)
    first = demo.order(out_trade_no=number, **order)
    assert demo.order(out_trade_no=number, **order)["prepay_id"] == first["prepay_id"]
    assert demo.order(out_trade_no=number, **order, total_fee=1).error == "INVALID_REQUEST"
    assert demo.order(out_trade_no=number).error == "INVALID_REQUEST"


@both_kinds
@pytest.mark.parametrize("sign_type", ["MD5", "HMAC-SHA256"])
@pytest.mark.parametrize("kind", KINDS)
def test_a_payment_notice_has_the_trade_type_and_the_appid(
    sandbox: Sandbox, demo: Shop, receiver: Receiver, kind: str, sign_type: str
) -> None:
    receiver.answer = (200, SUCCESS_REPLY)
    order = elements(sandbox, demo, kind)
    made = demo.order(**order, notify_url=url_of(receiver), sign_type=sign_type)
    confirm(sandbox, "pay", url=made["prepay_id"])
    notice = from_xml(receiver.wait_for(1)[0])
    assert notice["sign"] == signature(notice, demo.key, sign_type)
    name = "appid" if demo.is_direct else "sub_appid"
    assert (notice["trade_type"], notice[name]) == (KINDS[kind], order[name])


@both_kinds
@pytest.mark.parametrize("kind", KINDS)
def test_an_unpaid_order_is_closed_and_a_paid_one_is_refunded(
    sandbox: Sandbox, demo: Shop, kind: str
) -> None:
    paid, closed, order = new_number(), new_number(), elements(sandbox, demo, kind)
    confirm(sandbox, "pay", url=demo.order(out_trade_no=paid, **order)["prepay_id"])
    demo.order(out_trade_no=closed, **order)
    assert demo.call("/pay/closeorder", out_trade_no=closed)["result_code"] == "SUCCESS"
    assert demo.state(closed) == "CLOSED"
    assert demo.call("/pay/closeorder", out_trade_no=paid).error == "ORDERPAID"
    assert demo.reverse(paid).error == "TRADE_ERROR"  # only barcode payments are reversed
    assert demo.refund(paid, 8800)["result_code"] == "SUCCESS"
    sandbox.advance(3)
    refund = demo.call("/pay/refundquery", out_trade_no=paid)
    assert (refund["refund_status_0"], demo.state(paid)) == ("SUCCESS", "REFUND")


@both_kinds
@pytest.mark.parametrize("kind", KINDS)
def test_wechat_s_own_sandbox_serves_the_type_too(sandbox: Sandbox, demo: Shop, kind: str) -> None:
    vendor, number = in_vendor_sandbox(demo), new_number()
    made = vendor.order(out_trade_no=number, **elements(sandbox, demo, kind))
    confirm(sandbox, "pay", url=made["prepay_id"])
    assert vendor.query(number)["trade_type"] == KINDS[kind]
    assert demo.query(number).error == "ORDERNOTEXIST"


@both_kinds
@pytest.mark.parametrize("kind", KINDS)
def test_the_phone_lists_an_order_once_it_is_paid(sandbox: Sandbox, demo: Shop, kind: str) -> None:
    phone, body = Handset(sandbox, "chen"), f"Kettle {new_number()}"
    made = demo.order(body=body, **elements(sandbox, demo, kind))
    opened = phone.scan(f"prepay_id={made['prepay_id']}")
    assert (body in opened["order"], opened["waiting"]) == (True, "")
    paid = phone.act("pay")
    assert (paid["order-note"], body in paid["history"]) == ("Paid HKD 88.00.", True)


@pytest.mark.parametrize("kind", KINDS)
def test_a_fault_applies_to_an_order_of_the_type(sandbox: Sandbox, demo: Shop, kind: str) -> None:
    fault = {"wallet": "wechat", "operation": "/pay/unifiedorder", "kind": "system_error", "times": 1}
    put(sandbox, [fault])
    assert demo.order(**elements(sandbox, demo, kind)).error == "SYSTEMERROR"
    assert demo.order(**elements(sandbox, demo, kind)).error == ""
    put(sandbox, [])


@both_kinds
def test_a_bill_names_the_trade_type_of_each_row(sandbox: Sandbox, demo: Shop) -> None:
    move_to(sandbox, 11)
    numbers = {kind: new_number() for kind in KINDS}
    for kind, number in numbers.items():
        made = demo.order(out_trade_no=number, **elements(sandbox, demo, kind))
        confirm(sandbox, "pay", url=made["prepay_id"])
        demo.refund(number, 100)
    day = compact(move_to(sandbox, 10), -1)
    _, rows, _ = table(download(demo, day))
    for kind, number in numbers.items():
        found = [(row[8], row[9]) for row in rows if row[6] == number]
        assert found == [(KINDS[kind], "SUCCESS"), (KINDS[kind], "REFUND")]
