"""Every later pay type, through its whole life: opened, paid, queried, notified, refunded and closed, over HTTP only.

The first seven, for which every other rule is tested too, are in the other files of this folder.
"""

import json
import re
from urllib.parse import urlsplit

import pytest

from tests.end_to_end.merchant import Merchant, new_reference, send
from tests.end_to_end.receiver import Receiver
from tests.end_to_end.rig import Demo, Members

PAGES = ("801101", "801107", "801512", "801514")
CODES = ("800101", "801501")
APPS = ("801110", "801510", "800210", "801010")
PARAMS = (*APPS, "800213")
H5 = "800212"
ONLINE = (*PAGES, *CODES, *PARAMS, H5)
BARCODES = {"800008": "wechat", "801008": "wechat_hk"}
ALIPAY_APP_MEMBERS = {
    *(
        "service",
        "partner",
        "seller_id",
        "_input_charset",
        "notify_url",
        "return_url",
        "out_trade_no",
        "subject",
    ),
    *(
        "body",
        "total_fee",
        "currency",
        "forex_biz",
        "payment_type",
        "product_code",
        "it_b_pay",
        "sign",
        "sign_type",
    ),
}


def account(demo: Demo) -> Members:
    rows: list[Members] = demo.control("accounts")
    return next(row for row in rows if (row["wallet"], row["shop"]) == ("wechat", "demo"))


@pytest.mark.parametrize("pay_type", ONLINE)
def test_an_online_order_is_opened_paid_queried_notified_and_refunded(
    shop: Merchant, demo: Demo, receiver: Receiver, pay_type: str
) -> None:
    opened = shop.open(pay_type, txamt="1200", product_name="Tea")
    assert opened.respcd == "0000", opened.members
    assert (opened["pay_type"], opened["txamt"], opened["cardcd"]) == (pay_type, "1200", "")
    assert shop.row(opened["syssn"])["respcd"] == "1145"
    shop.pay_by_phone(opened)
    row = shop.until(opened["syssn"], "0000")
    assert (row["pay_type"], row["txamt"]) == (pay_type, "1200")
    assert demo.held(opened["syssn"]) == 1200
    webhook = receiver.wait(opened["out_trade_no"])[0].members
    assert (webhook["pay_type"], webhook["respcd"], str(webhook["txamt"])) == (pay_type, "0000", "1200")
    shop.refund_and_wait(opened, "200")
    assert demo.held(opened["syssn"]) == 1000


@pytest.mark.parametrize("pay_type", BARCODES)
def test_a_barcode_is_charged_and_reversed(shop: Merchant, demo: Demo, pay_type: str) -> None:
    paid = shop.paid(pay_type)
    assert (paid["pay_type"], shop.row(paid["syssn"])["pay_type"]) == (pay_type, pay_type)
    assert paid["cardcd"]
    assert shop.call("reversal", syssn=paid["syssn"]).respcd in ("0000", "1145")
    shop.until(paid["syssn"], "0000", "1")
    assert demo.held(paid["syssn"]) == 0


# ---- any wallet's barcode ----------------------------------------------------------------------------------


@pytest.mark.parametrize("wallet", ["wechat", "wechat_hk", "alipay"])
def test_800008_goes_to_the_wallet_of_the_code(shop: Merchant, demo: Demo, wallet: str) -> None:
    paid = shop.open("800008", auth_code=demo.code(wallet))
    assert paid.respcd == "0000", paid.members
    (trade,) = demo.trades(paid["syssn"])
    assert trade["wallet"] == wallet
    repeated = shop.open("800008", auth_code=demo.code(wallet), out_trade_no=paid["out_trade_no"])
    assert repeated.respcd == "1102"


@pytest.mark.parametrize("code", ["620000000000000000", "160000000000000000", "28", "x" * 18])
def test_a_code_of_no_wallet_is_invalid(shop: Merchant, code: str) -> None:
    refused = shop.open("800008", auth_code=code)
    assert refused.respcd == "2006"
    assert shop.rows(out_trade_no=refused["out_trade_no"]) == []


def test_800008_is_not_granted_for_a_wallet_without_an_account(wechat_only: Merchant, demo: Demo) -> None:
    assert wechat_only.open("800008", auth_code=demo.code("wechat")).respcd == "0000"
    assert wechat_only.open("800008", auth_code=demo.code("alipay")).respcd == "2006"


# ---- what the payer gets -----------------------------------------------------------------------------------


@pytest.mark.parametrize("pay_type", PAGES)
def test_a_page_is_a_redirect_of_the_gateway(shop: Merchant, demo: Demo, pay_type: str) -> None:
    opened = shop.open(pay_type)
    assert opened["qrcode"] == opened["pay_url"]
    assert opened["pay_url"].startswith(demo.gateway)
    answer = send(demo.gateway, "GET", urlsplit(opened["pay_url"]).path)
    assert answer.status == 303
    inst = re.findall("payment_inst=([A-Z]+)", answer.headers["location"])
    assert inst == (["ALIPAYHK"] if pay_type.startswith("8015") else [])


def test_pay_tag_chooses_the_mainland_wallet(shop: Merchant, demo: Demo) -> None:
    opened = shop.open("801512", pay_tag="ALIPAYCN")
    answer = send(demo.gateway, "GET", urlsplit(opened["pay_url"]).path)
    assert "payment_inst=ALIPAYCN" in answer.headers["location"]
    assert shop.open("801512", pay_tag="WECHAT").respcd == "1104"
    same, other = opened["out_trade_no"], {"pay_tag": "ALIPAYHK"}
    assert shop.open("801512", out_trade_no=same, **other).respcd == "1102"


@pytest.mark.parametrize("pay_type", CODES)
def test_a_code_is_under_all_three_names(shop: Merchant, demo: Demo, pay_type: str) -> None:
    opened = shop.open(pay_type)
    assert opened["qrcode"].startswith("https://qr.alipay.com/")
    assert opened["qrcode"] == opened["code_url"] == opened["pay_url"]
    again = shop.open(pay_type, out_trade_no=opened["out_trade_no"])
    assert (again["syssn"], again["qrcode"]) == (opened["syssn"], opened["qrcode"])


@pytest.mark.parametrize("pay_type", ["801110", "801510"])
def test_an_alipay_app_gets_a_signed_order(shop: Merchant, pay_type: str) -> None:
    opened = shop.open(pay_type, goods_info="two cups")
    params = opened["pay_params"]
    assert set(params) - {"payment_inst"} == ALIPAY_APP_MEMBERS
    assert params.get("payment_inst") == ("ALIPAYHK" if pay_type == "801510" else None)
    assert (params["service"], params["body"], params["sign_type"]) == (
        "mobile.securitypay.pay",
        "two cups",
        "RSA",
    )
    assert "pay_url" not in opened.members


@pytest.mark.parametrize("pay_type", ["800210", "801010"])
def test_a_wechat_app_gets_signed_parameters(shop: Merchant, demo: Demo, pay_type: str) -> None:
    params = shop.open(pay_type)["pay_params"]
    assert set(params) == {"appid", "partnerid", "prepayid", "package", "noncestr", "timestamp", "sign"}
    assert isinstance(params["timestamp"], int)  # as in QFPay's example
    assert (params["package"], params["appid"]) == ("Sign=WXPay", account(demo)["app_appid"])


def test_a_mini_program_gets_parameters_under_its_appid(shop: Merchant, demo: Demo) -> None:
    opened = shop.open("800213")
    params = opened["pay_params"]
    assert set(params) == {"appId", "timeStamp", "nonceStr", "package", "signType", "paySign"}
    assert params["appId"] == account(demo)["mini_appid"]
    assert "pay_url" not in opened.members


def test_an_openid_of_the_official_account_is_none_of_the_mini_programs(shop: Merchant, demo: Demo) -> None:
    refused = shop.open("800213", sub_openid=demo.openid())
    assert refused.respcd not in ("0000", "1145")
    assert refused["respmsg"] == "sub_mch_id与sub_appid不匹配"


def test_an_h5_payment_has_wechats_own_link_and_gets_another_after_five_minutes(
    shop: Merchant, demo: Demo
) -> None:
    opened = shop.open(H5)
    assert "/cgi-bin/mmpayweb-bin/checkmweb?prepay_id=" in opened["pay_url"]
    same = shop.open(H5, out_trade_no=opened["out_trade_no"])
    assert (same["syssn"], same["pay_url"]) == (opened["syssn"], opened["pay_url"])
    demo.advance(301)
    later = shop.open(H5, out_trade_no=opened["out_trade_no"])
    assert later["syssn"] == opened["syssn"]
    assert later["pay_url"] != opened["pay_url"]
    shop.pay_by_phone(later)
    shop.until(opened["syssn"], "0000")


def test_an_h5_payment_names_the_payers_address(shop: Merchant) -> None:
    refused = shop.open(H5, extend_info=None)
    assert (refused.respcd, refused["respmsg"]) == ("1104", "必传参数: extend_info")
    scene = {"h5_info": {"type": "Fax", "wap_url": "https://x", "wap_name": "x"}}
    info = json.dumps({"scene_info": scene, "spbill_create_ip": "127.0.0.1"})
    assert shop.open(H5, extend_info=info).respcd not in ("0000", "1145")


def test_801101_is_for_more_than_one_dollar(shop: Merchant) -> None:
    assert shop.open("801101", txamt="100").respcd == "1104"
    assert shop.open("801101", txamt="101").respcd == "0000"


# ---- endings -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("pay_type", [*PAGES, "800210", "801010", "800213", H5])
def test_an_unpaid_order_is_closed(shop: Merchant, pay_type: str) -> None:
    opened = shop.open(pay_type)
    assert shop.call("close", syssn=opened["syssn"]).respcd == "0000"
    shop.until(opened["syssn"], "1142", "2")


@pytest.mark.parametrize("pay_type", [*CODES, "801110", "801510"])
def test_an_order_that_alipay_cannot_close_ends_at_its_time(
    shop: Merchant, demo: Demo, pay_type: str
) -> None:
    """The code, or the order string, is in the payer's hands: only the wallet's time ends it."""
    opened = shop.open(pay_type, valid_time="300")
    assert shop.call("close", syssn=opened["syssn"]).respcd == "1145"
    demo.advance(300 + 300 + 60)
    shop.until(opened["syssn"], "1142", "2")


@pytest.mark.parametrize("pay_type", CODES)
def test_a_code_that_is_paid_after_the_close_stays_paid(shop: Merchant, pay_type: str) -> None:
    opened = shop.open(pay_type)
    assert shop.call("close", syssn=opened["syssn"]).respcd == "1145"
    shop.pay_by_phone(opened)
    shop.until(opened["syssn"], "0000")


@pytest.mark.parametrize("pay_type", ONLINE)
def test_an_online_order_expires(shop: Merchant, demo: Demo, pay_type: str) -> None:
    opened = shop.open(pay_type, valid_time="300")
    demo.advance(300 + 600)
    shop.until(opened["syssn"], "1181")


# ---- grants ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "pay_type", ["805801", "800701", "802001", "803701", "802801", "801801", "800107", "123456"]
)
def test_a_pay_type_of_another_wallet_is_not_granted(shop: Merchant, pay_type: str) -> None:
    refused = shop.call("payment", **(shop.payment_params("800201") | {"pay_type": pay_type}))
    assert (refused.respcd, refused["respmsg"]) == ("1104", "filter_error")


def test_a_payments_own_return_url_replaces_the_apps(shop: Merchant, demo: Demo) -> None:
    own = "https://shop.example/done?cart=7"
    opened = shop.open("801101", txamt="500", return_url=own, out_trade_no=new_reference())
    done = shop.pay_by_phone(opened)
    shop.until(opened["syssn"], "0000")
    back = urlsplit(done["return_to"])
    onward = send(demo.gateway, "GET", f"{back.path}?{back.query}").headers["location"]
    assert onward.startswith(f"{own}&")
    assert f"syssn={opened['syssn']}" in onward
