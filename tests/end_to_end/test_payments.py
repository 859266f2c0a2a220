"""Every pay type: the response's members as in QFPay's examples, the row of a query, and the trade at the wallet."""

import re
from datetime import datetime
from typing import Final

import pytest

from tests.end_to_end.merchant import (
    ALL_TYPES,
    MOMENT,
    OFFLINE,
    ONLINE,
    WALLET_OF,
    Merchant,
    new_reference,
    scannable,
    send,
    wallet_page,
)
from tests.end_to_end.rig import UTC8, Demo, eventually

ALWAYS: Final = {
    "pay_type",
    "out_trade_no",
    "syssn",
    "txamt",
    "txcurrcd",
    "txdtm",
    "sysdtm",
    "cardcd",
    "respcd",
    "resperr",
    "respmsg",
}
PAY_MEMBERS: Final = {
    "800151": {"pay_url", "qrcode"},
    "800152": {"pay_url", "qrcode"},
    "800201": {"pay_url", "qrcode", "code_url"},
    "800207": {"pay_url", "pay_params"},
    "800108": {"code_url"},
    "800208": {"code_url"},
    "800228": {"code_url"},
}
ROW_MEMBERS: Final = {
    "pay_type",
    "sysdtm",
    "order_type",
    "txcurrcd",
    "txdtm",
    "txamt",
    "out_trade_no",
    "syssn",
    "cancel",
    "respcd",
    "errmsg",
    "paydtm",
    "chnlsn",
    "cardcd",
}
BRIDGE_MEMBERS: Final = {"appId", "timeStamp", "nonceStr", "package", "signType", "paySign"}


@pytest.mark.parametrize("pay_type", ALL_TYPES)
def test_a_response_has_exactly_the_members_of_its_pay_type_and_strings_where_the_examples_have_strings(
    shop: Merchant, pay_type: str
) -> None:
    answer = shop.open(pay_type, txamt="10", txdtm="2017-09-06 14:56:43")

    members = answer.members
    assert set(members) == ALWAYS | PAY_MEMBERS[pay_type]
    texts = {name: value for name, value in members.items() if name != "pay_params"}
    assert all(isinstance(value, str) for value in texts.values())
    assert (members["respcd"], members["respmsg"], members["resperr"]) == ("0000", "ok", "")
    assert members["pay_type"] == pay_type
    assert (members["txamt"], members["txcurrcd"]) == ("10", "HKD")
    assert members["txdtm"] == "2017-09-06 14:56:43"


@pytest.mark.parametrize("pay_type", ALL_TYPES)
def test_a_syssn_has_24_digits_and_is_dated_like_sysdtm_which_is_now_in_beijing(
    shop: Merchant, demo: Demo, pay_type: str
) -> None:
    before = demo.now()
    answer = shop.open(pay_type)
    after = demo.now()

    sysdtm = datetime.strptime(answer["sysdtm"], MOMENT).replace(tzinfo=UTC8)
    assert before.replace(microsecond=0) <= sysdtm <= after
    assert re.fullmatch(r"[0-9]{24}", answer["syssn"])
    assert answer["syssn"][:8] == sysdtm.strftime("%Y%m%d")
    assert answer["syssn"][10:14] == "0099"


@pytest.mark.parametrize("pay_type", ALL_TYPES)
def test_the_row_of_a_paid_payment_has_the_members_of_the_example_and_the_wallet_has_the_money(
    shop: Merchant, demo: Demo, pay_type: str
) -> None:
    opened = shop.paid(pay_type, txamt="1234")

    answer = shop.call("query", syssn=opened["syssn"])
    assert set(answer.members) == {"respmsg", "resperr", "respcd", "data", "page", "page_size"}
    assert (answer["respcd"], answer["respmsg"], answer["resperr"]) == ("0000", "", "")
    assert (answer["page"], answer["page_size"]) == (1, 10)
    assert len(answer["data"]) == 1
    (trade,) = demo.trades(opened["syssn"])
    row = answer["data"][0]
    assert row == {
        "pay_type": pay_type,
        "sysdtm": opened["sysdtm"],
        "order_type": "payment",
        "txcurrcd": "HKD",
        "txdtm": opened["txdtm"],
        "txamt": "1234",
        "out_trade_no": opened["out_trade_no"],
        "syssn": opened["syssn"],
        "cancel": "0",
        "respcd": "0000",
        "errmsg": "交易成功",
        "paydtm": row["paydtm"],
        "chnlsn": trade["trade"],
        "cardcd": opened["cardcd"] or row["cardcd"],
    }
    assert set(row) == ROW_MEMBERS
    assert opened["sysdtm"] <= row["paydtm"] <= demo.now().strftime(MOMENT)
    assert row["cardcd"] or pay_type in ("800151", "800152")  # where Alipay names no payer
    assert (trade["amount"], trade["currency"]) == (1234, "HKD")
    assert demo.held(opened["syssn"]) == 1234


@pytest.mark.parametrize("pay_type", OFFLINE)
def test_a_barcode_payment_has_the_payers_wallet_id(shop: Merchant, pay_type: str) -> None:
    answer = shop.open(pay_type)

    assert answer["code_url"] == ""
    assert re.fullmatch(r"2088\d{12}" if pay_type == "800108" else r"o[\w-]{27}", answer["cardcd"])


@pytest.mark.parametrize("pay_type", ONLINE)
def test_an_online_order_is_created_and_unpaid_until_its_payer_acts(shop: Merchant, pay_type: str) -> None:
    opened = shop.open(pay_type)

    assert opened["cardcd"] == ""
    row = shop.row(opened["syssn"])
    assert (row["respcd"], row["cancel"], row["errmsg"]) == ("1145", "0", "处理中，请稍等")
    assert (row["paydtm"], row["chnlsn"], row["cardcd"]) == ("", "", "")


@pytest.mark.parametrize("pay_type", ["800151", "800152"])
def test_alipays_pay_url_leads_to_its_order(shop: Merchant, demo: Demo, pay_type: str) -> None:
    opened = shop.open(pay_type, txamt="7300", product_name="Tea & 茶")

    assert opened["qrcode"] == opened["pay_url"]
    seen = demo.scan(opened["pay_url"])
    assert (seen["wallet"], seen["order"]) == ("alipay", opened["syssn"])
    assert (seen["amount"], seen["currency"]) == (7300, "HKD")


def test_wechats_qr_code_is_under_all_three_names(shop: Merchant, demo: Demo) -> None:
    opened = shop.open("800201", txamt="7300", product_name="茶")

    assert opened["qrcode"].startswith("weixin://wxpay/bizpayurl?pr=")
    assert opened["qrcode"] == opened["code_url"] == opened["pay_url"]
    seen = demo.scan(opened["qrcode"])
    assert (seen["order"], seen["amount"], seen["subject"]) == (opened["syssn"], 7300, "茶")


def test_the_in_wechat_payment_has_the_bridges_parameters_and_a_page_with_them(
    shop: Merchant, demo: Demo
) -> None:
    opened = shop.open("800207")

    params = opened["pay_params"]
    assert set(params) == BRIDGE_MEMBERS
    assert all(isinstance(value, str) and value for value in params.values())
    assert params["signType"] == "MD5"
    assert params["package"].startswith("prepay_id=")
    accounts = demo.control("accounts")
    account = next(row for row in accounts if row["wallet"] == "wechat" and row["shop"] == "demo")
    assert params["appId"] == account["sub_appid"]
    assert opened["pay_url"].startswith(demo.gateway)
    page = send(demo.gateway, "GET", opened["pay_url"].removeprefix(demo.gateway))
    assert page.status == 200
    assert page.headers["content-type"].startswith("text/html")
    assert params["package"].encode() in page.body
    assert params["paySign"].encode() in page.body


def test_the_in_wechat_page_of_an_unknown_order_is_not_found(demo: Demo, shop: Merchant) -> None:
    page = send(demo.gateway, "GET", f"/cashier/wechat/{shop.mchid}/{'1' * 24}")

    assert page.status == 404


def test_an_openid_of_another_official_account_is_refused_with_a_reason(shop: Merchant) -> None:
    answer = shop.call("payment", **shop.payment_params("800207", sub_openid="o" * 28))

    assert answer.respcd not in ("0000", "1145")
    row = shop.rows(out_trade_no=answer["out_trade_no"])[0]
    assert row["respcd"] == answer.respcd


@pytest.mark.parametrize(("pay_type", "wallet"), WALLET_OF.items())
def test_a_password_payment_is_pending_until_the_password_is_typed(
    shop: Merchant, demo: Demo, pay_type: str, wallet: str
) -> None:
    opened = shop.open(pay_type, "password")

    assert opened.respcd == "1145"
    assert opened["resperr"] == "订单状态等待支付"
    assert opened["cardcd"] == ""
    assert shop.row(opened["syssn"])["respcd"] == "1145"
    demo.confirm("wrong_password", trade=opened["syssn"])
    demo.confirm("pay", trade=opened["syssn"])
    shop.until(opened["syssn"], "0000")
    assert demo.held(opened["syssn"]) == 1000


@pytest.mark.parametrize("pay_type", OFFLINE)
def test_a_payer_who_types_later_is_found_by_polling(shop: Merchant, demo: Demo, pay_type: str) -> None:
    opened = shop.open(pay_type, "password_then_pays")
    assert opened.respcd in ("0000", "1145")

    demo.advance(6)
    shop.until(opened["syssn"], "0000")


@pytest.mark.parametrize("pay_type", ["800108", "800208"])
def test_a_payer_who_cancels_fails_the_payment(shop: Merchant, demo: Demo, pay_type: str) -> None:
    opened = shop.pending(pay_type)

    demo.confirm("cancel", trade=opened["syssn"])
    demo.advance(20)
    row = eventually(lambda: shop.row(opened["syssn"]), lambda row: row["respcd"] != "1145")
    assert row["respcd"] in ("2007", "1147")
    assert row["cancel"] == "0"
    assert demo.held(opened["syssn"]) == 0


@pytest.mark.parametrize(
    ("pay_type", "behaviour", "respcd"),
    [
        ("800208", "refuses", "1147"),
        ("800208", "insufficient", "1201"),
        ("800208", "expired", "2005"),
        ("800208", "used", "1202"),
        ("800228", "refuses", "1147"),
        ("800228", "insufficient", "1201"),
        ("800228", "expired", "2005"),
        ("800228", "used", "1202"),
        ("800108", "refuses", "1131"),
        ("800108", "insufficient", "1201"),
        ("800108", "expired", "1202"),
        ("800108", "used", "1202"),
    ],
)
def test_a_refusal_of_the_wallet_has_its_code_in_response_and_row(
    shop: Merchant, demo: Demo, pay_type: str, behaviour: str, respcd: str
) -> None:
    answer = shop.open(pay_type, behaviour)

    assert answer.respcd == respcd, answer.members
    assert answer["resperr"] == f"交易失败，请联系客服({respcd})"
    assert answer["respmsg"]
    assert answer["cardcd"] == ""
    row = shop.row(answer["syssn"])
    assert (row["respcd"], row["cancel"]) == (respcd, "0")
    assert demo.held(answer["syssn"]) == 0


@pytest.mark.parametrize(
    ("pay_type", "wallet"),
    [("800108", "wechat"), ("800208", "alipay"), ("800228", "alipay")],
)
def test_a_code_of_another_wallet_is_illegal(shop: Merchant, demo: Demo, pay_type: str, wallet: str) -> None:
    answer = shop.open(pay_type, auth_code=demo.code(wallet))

    assert answer.respcd == "2006", answer.members


@pytest.mark.parametrize("pay_type", OFFLINE)
def test_a_broken_connection_to_the_wallet_is_never_a_failure_and_the_result_is_found(
    shop: Merchant, demo: Demo, pay_type: str
) -> None:
    opened = shop.open(pay_type, "unknown_then_paid")

    assert opened.respcd in ("0000", "1145")
    demo.advance(10)
    shop.until(opened["syssn"], "0000")
    assert demo.held(opened["syssn"]) == 1000


@pytest.mark.parametrize("pay_type", OFFLINE)
def test_a_broken_connection_without_an_order_ends_as_an_expired_code(
    shop: Merchant, demo: Demo, pay_type: str
) -> None:
    opened = shop.open(pay_type, "unknown_then_nothing")

    assert opened.respcd == "1145"
    demo.advance(190)
    row = eventually(lambda: shop.row(opened["syssn"]), lambda row: row["respcd"] != "1145")
    assert (row["respcd"], row["cancel"]) == ("2005", "0")
    assert demo.held(opened["syssn"]) == 0


def test_a_barcode_payment_that_is_never_confirmed_fails_after_two_minutes(
    shop: Merchant, demo: Demo
) -> None:
    opened = shop.pending("800108")  # WeChat's phone cancels by itself after 30 s

    demo.advance(110)
    shop.row(opened["syssn"])
    assert shop.row(opened["syssn"])["respcd"] == "1145"
    demo.advance(11)
    shop.until(opened["syssn"], "2005")


@pytest.mark.parametrize("pay_type", ONLINE)
def test_an_order_expires_exactly_at_its_valid_time(shop: Merchant, demo: Demo, pay_type: str) -> None:
    opened = shop.open(pay_type, valid_time="301")

    demo.advance(280)
    assert shop.row(opened["syssn"])["respcd"] == "1145"
    demo.advance(90)
    row = shop.until(opened["syssn"], "1181")
    assert row["errmsg"] == "订单过期"


@pytest.mark.parametrize(("pay_type", "lives_s"), [("800151", 600), ("800201", 1800)])
def test_an_order_without_valid_time_has_the_wallets_default_life(
    shop: Merchant, demo: Demo, pay_type: str, lives_s: int
) -> None:
    opened = shop.open(pay_type)

    demo.advance(lives_s - 30)
    assert shop.row(opened["syssn"])["respcd"] == "1145"
    demo.advance(100)
    shop.until(opened["syssn"], "1181")


@pytest.mark.parametrize("given", [{"expired_time": "5"}, {"expired_time": "120", "valid_time": "300"}])
def test_expired_time_counts_minutes_and_yields_to_valid_time(
    shop: Merchant, demo: Demo, given: dict[str, str]
) -> None:
    opened = shop.open("800201", **given)

    demo.advance(365)
    shop.until(opened["syssn"], "1181")


@pytest.mark.parametrize(
    ("name", "value"), [("valid_time", "299"), ("valid_time", "0"), ("expired_time", "4")]
)
def test_too_short_a_life_is_refused_by_name(shop: Merchant, name: str, value: str) -> None:
    params = shop.payment_params("800201", **{name: value})
    answer = shop.call("payment", **params)

    assert answer.respcd == "1104"
    assert name in answer["respmsg"]
    assert shop.rows(out_trade_no=params["out_trade_no"]) == []


def test_barcode_payments_ignore_valid_time(shop: Merchant) -> None:
    assert shop.open("800208", valid_time="10").respcd == "0000"


def were_asked_late(demo: Demo, *syssns: str) -> list[bool]:
    """Whether the wallet was queried about each after its time."""
    seen = [demo.ask("payment", "show", syssn)["payment"] for syssn in syssns]
    return [bool(each["checked_at"]) and each["checked_at"] > each["expires_at"] for each in seen]


def test_an_order_whose_page_is_open_at_alipay_expires_when_it_can_no_longer_be_paid(
    shop: Merchant, demo: Demo
) -> None:
    """Alipay's own limit has steps: 600 s, which here may begin with a log-in in the last of the order's 301 s."""
    opened, left = (shop.open("800152", valid_time="301") for _ in range(2))
    demo.advance(200)
    page, page_left = wallet_page(opened), wallet_page(left)
    demo.scan(page)
    demo.scan(page_left)
    demo.advance(300)
    assert all(eventually(lambda: were_asked_late(demo, opened["syssn"], left["syssn"]), all))
    assert [shop.row(each["syssn"])["respcd"] for each in (opened, left)] == ["1145", "1145"]

    demo.confirm(url=page)
    shop.until(opened["syssn"], "0000")
    assert demo.held(opened["syssn"]) == 1000
    demo.advance(301 + 600 - 500)
    shop.until(left["syssn"], "1181")
    with pytest.raises(AssertionError, match="too long ago"):
        demo.confirm(url=page_left)


def test_an_expired_order_takes_no_money_at_the_wallet(shop: Merchant, demo: Demo) -> None:
    opened = shop.open("800201", valid_time="300")
    demo.advance(365)
    shop.until(opened["syssn"], "1181")

    with pytest.raises(AssertionError, match="trade"):
        demo.confirm(url=scannable(opened))


def test_a_product_name_may_be_long_and_odd_and_has_a_later_name_too(shop: Merchant, demo: Demo) -> None:
    for pay_type in ("800151", "800201"):
        long_name = "茶 😀 <b>&'\"|%+" * 18
        opened = shop.open(pay_type, product_name=long_name[:256])
        assert opened.respcd == "0000", opened.members
        shop.pay_by_phone(opened)
        shop.until(opened["syssn"], "0000")
    named = shop.open("800201", goods_name="Tea of the later documents")
    assert demo.scan(named["qrcode"])["subject"] == "Tea of the later documents"
    assert shop.call("payment", **shop.payment_params("800201", product_name="x" * 257)).respcd == "1104"


@pytest.mark.parametrize("pay_type", ["800151", "800201", "800108", "800208"])
def test_a_character_that_xml_cannot_hold_is_a_blank_for_both_wallets(
    shop: Merchant, demo: Demo, pay_type: str
) -> None:
    odd = "".join(map(chr, (1, 8, 9, 10, 11, 13, 31, 127, 133, 0x2028, 0xFFFE, 0xFFFF)))
    opened = shop.open(pay_type, product_name=f"tea{odd}leaf", udid=f"terminal{odd}")

    assert opened.respcd == "0000", opened.members
    if pay_type in ONLINE:
        assert demo.scan(scannable(opened))["subject"] == f"tea{' ' * len(odd)}leaf"
        shop.pay_by_phone(opened)
    shop.until(opened["syssn"], "0000")


@pytest.mark.parametrize("pay_type", OFFLINE)
def test_a_payers_code_is_read_without_the_scanners_additions(
    shop: Merchant, demo: Demo, pay_type: str
) -> None:
    params = shop.payment_params(pay_type)
    code = params["auth_code"]
    answers = [
        shop.call("payment", **(params | {"auth_code": sent}))
        for sent in (f"{code}\r\n", f" \t\x02{code}\x03\0", code)
    ]
    assert [answer.respcd for answer in answers] == ["0000"] * 3, answers[0].members
    assert len({answer["syssn"] for answer in answers}) == 1
    assert demo.held(answers[0]["syssn"]) == 1000


@pytest.mark.parametrize("pay_type", OFFLINE)
@pytest.mark.parametrize("odd", ["\x01", " ", "\ufffe", "茶"])
def test_a_payers_code_of_no_wallet_is_refused_alike(shop: Merchant, pay_type: str, odd: str) -> None:
    code = shop.payment_params(pay_type)["auth_code"]

    answer = shop.open(pay_type, auth_code=f"{code[:9]}{odd}{code[9:]}")
    assert answer.respcd == "2006", answer.members


def test_the_merchants_only_wallet_works_and_the_other_is_a_filter_error(wechat_only: Merchant) -> None:
    assert wechat_only.open("800208").respcd == "0000"
    assert wechat_only.open("800207").respcd == "0000"
    for pay_type in ("800151", "800152", "800108"):
        answer = wechat_only.open(pay_type, out_trade_no=new_reference())
        assert answer.respcd == "1104"
        assert (answer["respmsg"], answer["resperr"]) == ("filter_error", "获取用户支付通道失败")


def test_both_merchants_of_one_app_accept_their_own_payments(chain: Merchant) -> None:
    reference = new_reference()
    for mchid in chain.mchids:
        params = chain.payment_params("800208", mchid=mchid, out_trade_no=reference)
        assert chain.call("payment", **params).respcd == "0000"
    rows = [chain.rows(mchid=mchid, out_trade_no=reference) for mchid in chain.mchids]
    assert [len(found) for found in rows] == [1, 1]
    assert rows[0][0]["syssn"] != rows[1][0]["syssn"]


def test_the_description_of_the_goods_is_stored_for_support(shop: Merchant) -> None:
    opened = shop.open("800201", goods_info="loose leaf, 50 g")
    assert opened.respcd == "0000"
    shown = shop.demo.ask("payment", "show", opened["syssn"])
    assert shown["payment"]["goods_info"] == "loose leaf, 50 g"
