"""AlipayHK: payers who hold HKD, and `payment_inst`, which limits an order to the payers of one of Alipay's wallets."""

import json
import re
import sqlite3
from collections.abc import Callable
from contextlib import closing
from typing import Any

import pytest

from tests.sandbox import wechat_shop
from tests.sandbox.alipay_shop import Shop, balance, confirm, form_of, new_number, scan, shop
from tests.sandbox.conftest import ControlRefused, Receiver, Sandbox
from tests.sandbox.handset import Handset

PRECREATE = "alipay.acquire.precreate"


@pytest.fixture
def online(sandbox: Sandbox) -> Shop:
    return shop(sandbox, "online")


@pytest.fixture
def offline(sandbox: Sandbox) -> Shop:
    return shop(sandbox, "offline")


def pc(sandbox: Sandbox, order: str, **fields: str) -> str:
    return shop(sandbox, "online").pc_link(order, **fields)


def wap(sandbox: Sandbox, order: str, **fields: str) -> str:
    return shop(sandbox, "online").wap_link(order, **fields)


def app(sandbox: Sandbox, order: str, **fields: str) -> str:
    return shop(sandbox, "online").order_string(order, **fields)


def qr(sandbox: Sandbox, order: str, payment_inst: str = "") -> str:
    offline = shop(sandbox, "offline")
    extend_params = {"store_id": "1"} | ({"payment_inst": payment_inst} if payment_inst else {})
    fields = offline.precreate_fields(order) | {"extend_params": json.dumps(extend_params)}
    return offline.call(PRECREATE, **fields)["qr_code"]


def set_fault(sandbox: Sandbox, **fault: str) -> None:
    status, _ = sandbox.call("PUT", "/control/faults", json.dumps([fault]).encode())
    assert status == 200


Maker = Callable[..., str]
MAKERS = pytest.mark.parametrize("make", [pc, wap, app, qr])


def test_a_barcode_is_paid_in_hkd_and_answered_in_cny(sandbox: Sandbox, offline: Shop) -> None:
    order, before = new_number(), balance(sandbox, "kit")
    paid = offline.pay_spot(sandbox.code(wallet="alipay_hk", payer="kit"), order)
    assert (paid["result_code"], paid["payment_inst"]) == ("SUCCESS", "ALIPAYHK")
    assert (paid["trans_amount"], paid["currency"], paid["trans_amount_cny"]) == ("39.25", "HKD", "35.81")
    assert paid["alipay_buyer_user_id"].startswith("2088")
    assert before - balance(sandbox, "kit") == 3925
    assert offline.query_spot(order)["payment_inst"] == "ALIPAYHK"
    assert offline.refund_spot(order, new_number(), "0.25")["refund_amount_cny"] == "0.23"
    assert before - balance(sandbox, "kit") == 3900
    assert offline.refund_spot(order, new_number(), "39.00")["result_code"] == "SUCCESS"
    assert balance(sandbox, "kit") == before
    mainland = new_number()
    assert offline.pay_spot(sandbox.code(), mainland)["payment_inst"] == "ALIPAYCN"
    assert offline.query_spot(mainland)["payment_inst"] == "ALIPAYCN"


def test_a_password_is_asked_for_and_a_cancel_returns_hkd(sandbox: Sandbox, offline: Shop) -> None:
    order, before = new_number(), balance(sandbox, "jade")
    waiting = offline.pay_spot(sandbox.code("password", "alipay_hk"), order)
    assert (waiting["result_code"], waiting["payment_inst"]) == ("UNKNOW", "ALIPAYHK")
    with pytest.raises(ControlRefused, match="another payer"):
        confirm(sandbox, trade=order, payer="kit")
    assert confirm(sandbox, trade=order)["trade"]["wallet"] == "alipay_hk"
    assert before - balance(sandbox, "jade") == 3925
    assert offline.cancel(order)["action"] == "refund"
    assert balance(sandbox, "jade") == before


def test_a_made_up_code_of_29_belongs_to_the_first_hong_kong_payer(sandbox: Sandbox, offline: Shop) -> None:
    paid = offline.pay_spot("290000000000010000", new_number())
    assert (paid["payment_inst"], paid["alipay_buyer_login_id"]) == ("ALIPAYHK", "jad***@wallet.test")


def test_a_code_of_29_is_not_wechat_pay_s(sandbox: Sandbox) -> None:
    refused = wechat_shop.shop(sandbox).scan_code(sandbox.code(wallet="alipay_hk"))
    assert refused["err_code"] == "AUTH_CODE_INVALID"


def test_partial_refunds_of_another_currency_add_up_in_hkd(sandbox: Sandbox) -> None:
    in_jpy, order, before = shop(sandbox, "offline", "in_jpy"), new_number(), balance(sandbox, "kit")
    code = sandbox.code(wallet="alipay_hk", payer="kit")
    in_jpy.pay_spot(code, order, currency="JPY", trans_amount="1000")
    assert before - balance(sandbox, "kit") == 5283  # 1000 * 0.0482 / 0.9123
    returned = []
    for amount in ("333", "333", "334"):
        left = balance(sandbox, "kit")
        in_jpy.refund_spot(order, new_number(), amount, currency="JPY")
        returned.append(balance(sandbox, "kit") - left)
    assert returned == [1759, 1760, 1764]
    assert balance(sandbox, "kit") == before
    history = Handset(sandbox, "kit").act("pay", number="1")["history"]
    for minor in returned:
        assert f"+ HKD {minor / 100:.2f}" in history


def test_an_online_payment_is_queried_in_cny(sandbox: Sandbox, online: Shop) -> None:
    order, before = new_number(), balance(sandbox, "jade")
    paid = confirm(sandbox, url=online.pc_link(order, payment_inst="ALIPAYHK"))
    assert (paid["trade"]["wallet"], paid["trade"]["amount"]) == ("alipay_hk", 12000)
    assert before - balance(sandbox, "jade") == 12000
    assert online.query_online(order)["total_fee"] == "109.48"
    assert online.refund_online(order, new_number(), "120.00").error is None
    assert balance(sandbox, "jade") == before


@MAKERS
def test_without_payment_inst_payers_of_both_wallets_can_pay(sandbox: Sandbox, make: Maker) -> None:
    first, second = new_number(), new_number()
    assert confirm(sandbox, url=make(sandbox, first), payer="kit")["trade"]["wallet"] == "alipay_hk"
    assert confirm(sandbox, url=make(sandbox, second))["trade"]["wallet"] == "alipay"


@MAKERS
@pytest.mark.parametrize(
    ("payment_inst", "wallet", "default", "other"),
    [("ALIPAYHK", "alipay_hk", "jade", "ada"), ("ALIPAYCN", "alipay", "ada", "jade")],
)
def test_payment_inst_limits_an_order_to_one_wallet(
    sandbox: Sandbox, make: Maker, payment_inst: str, wallet: str, default: str, other: str
) -> None:
    order, before = new_number(), balance(sandbox, default)
    url = make(sandbox, order, payment_inst=payment_inst)
    assert scan(sandbox, url)["wallet"] == wallet
    with pytest.raises(ControlRefused, match=f"only payers of {wallet} can pay this order") as refused:
        confirm(sandbox, url=url, payer=other)
    assert refused.value.field == "payer"
    assert confirm(sandbox, url=url)["trade"]["wallet"] == wallet
    assert balance(sandbox, default) < before


@MAKERS
def test_payment_inst_is_part_of_the_order(sandbox: Sandbox, make: Maker) -> None:
    order = new_number()
    scan(sandbox, make(sandbox, order))
    if make is qr:
        with pytest.raises(KeyError):  # refused: the response has no code
            make(sandbox, order, payment_inst="ALIPAYHK")
    else:
        with pytest.raises(ControlRefused, match="TRADE_DATA_MATCH_ERROR"):
            scan(sandbox, make(sandbox, order, payment_inst="ALIPAYHK"))


@pytest.mark.parametrize("payment_inst", ["ALIPAY", "alipayhk", "ALIPAYHK,ALIPAYCN"])
def test_another_payment_inst_is_refused(
    sandbox: Sandbox, online: Shop, offline: Shop, payment_inst: str
) -> None:
    for make in (online.pc_link, online.wap_link):
        assert b"ILLEGAL_ARGUMENT" in online.open(make(new_number(), payment_inst=payment_inst)).body
    with pytest.raises(ControlRefused, match="ILLEGAL_ARGUMENT"):
        scan(sandbox, online.order_string(new_number(), payment_inst=payment_inst))
    values: tuple[Any, ...] = (payment_inst, 1, [], {"ALIPAYHK": 1})
    for value in values:
        extend_params = json.dumps({"payment_inst": value})
        fields = offline.precreate_fields(new_number()) | {"extend_params": extend_params}
        assert offline.call(PRECREATE, **fields).error == "INVALID_PARAMETER"


def test_the_cashier_lists_the_payers_who_may_pay(sandbox: Sandbox, online: Shop) -> None:
    listed = {
        payment_inst: re.findall(
            '<option value="([a-z]+)">', online.open(online.pc_link(new_number(), **fields)).body.decode()
        )
        for payment_inst, fields in (
            ("", {}),
            *((inst, {"payment_inst": inst}) for inst in ("ALIPAYCN", "ALIPAYHK")),
        )
    }
    assert listed == {
        "": ["ada", "bao", "gil", "jade", "kit", "lok"],
        "ALIPAYCN": ["ada", "bao", "gil"],
        "ALIPAYHK": ["jade", "kit", "lok"],
    }


def test_too_little_money_is_named_in_hkd(sandbox: Sandbox, online: Shop) -> None:
    link = online.wap_link(new_number())
    with pytest.raises(ControlRefused, match=r"lok has only 5\.00 HKD"):
        confirm(sandbox, url=link, payer="lok")
    phone = Handset(sandbox, "lok")
    assert "From your balance HKD 120.00" in phone.scan(link)["order"]
    assert "The balance is HKD 5.00." in phone.act("pay")["order-note"]
    assert balance(sandbox, "lok") == 500


def test_the_phone_of_the_other_wallet_is_refused_with_a_reason(sandbox: Sandbox, online: Shop) -> None:
    phone = Handset(sandbox, "ada")
    assert phone.scan(online.wap_link(new_number(), payment_inst="ALIPAYHK")).status == 200
    assert phone.act("pay")["order-note"] == "Only payers of alipay_hk can pay this order."


def test_the_phone_shows_codes_waiting_payments_and_history_in_hkd(sandbox: Sandbox, offline: Shop) -> None:
    phone, order, refund = Handset(sandbox, "kit"), new_number(), new_number()
    code = phone.code("password")
    assert code.startswith("29")
    offline.pay_spot(code, order)
    (row,) = [row for row in sandbox.control("GET", "book")["trades"] if row["order"] == order]
    assert "HKD 39.25" in phone.act("wrong_password", number=row["trade"])["waiting"]
    done = phone.act("pay", number=row["trade"])
    assert "CNY" not in done["history"]
    offline.refund_spot(order, refund, "1.00")
    history = phone.act("pay", number="1")["history"]
    assert history.startswith("Demo Shop + HKD 1.00 Milk tea Refund REFUND_SUCCESS")
    assert f"{refund} " in history


def test_a_book_has_the_trades_of_its_wallet(sandbox: Sandbox, offline: Shop) -> None:
    orders = {"alipay": new_number(), "alipay_hk": new_number()}
    for wallet, order in orders.items():
        offline.pay_spot(sandbox.code(wallet=wallet), order)
        offline.refund_spot(order, f"R{order}", "1.00")
    for wallet, order in orders.items():
        book = sandbox.control("GET", f"book?wallet={wallet}")
        assert {row["wallet"] for rows in book.values() for row in rows} == {wallet}
        ours = set(orders.values())
        assert [row["order"] for row in book["trades"] if row["order"] in ours] == [order]
        assert [row["order"] for row in book["refunds"] if row["order"] in ours] == [order]
    both = [row["order"] for row in sandbox.control("GET", "book")["trades"]]
    assert all(both.count(order) == 1 for order in orders.values())


def test_a_notice_is_repeated_until_it_is_acknowledged(
    sandbox: Sandbox, offline: Shop, receiver: Receiver
) -> None:
    receiver.answers = [(200, b"fail")]
    order = new_number()
    offline.pay_spot(sandbox.code(wallet="alipay_hk"), order, notify_url=receiver.url)
    receiver.wait_for(1)
    sandbox.advance(121)
    first, second = map(form_of, receiver.wait_for(2))
    assert first == second
    assert offline.is_signed(first)
    assert (first["out_trade_no"], first["trade_status"]) == (order, "TRADE_SUCCESS")
    sandbox.wait_for_quiet(receiver.url)


def test_both_wallets_share_the_merchant_s_file(own_sandbox: Sandbox) -> None:
    offline = shop(own_sandbox, "offline")
    for wallet in ("alipay", "alipay_hk"):
        offline.pay_spot(own_sandbox.code(wallet=wallet), new_number())
    day = f"{offline.now():%Y-%m-%d}"
    for wallet in ("alipay_hk", "alipay"):
        closed = own_sandbox.control("POST", "statements", {"wallet": wallet, "day": day})
        assert (closed["wallet"], closed["rows"]) == (wallet, 2)


def test_a_call_belongs_to_hong_kong_once_its_payer_is_known(
    own_sandbox: Sandbox, receiver: Receiver
) -> None:
    offline, online = shop(own_sandbox, "offline"), shop(own_sandbox, "online")
    mainland, hong_kong = new_number(), new_number()
    offline.pay_spot(own_sandbox.code(), mainland)
    set_fault(own_sandbox, wallet="alipay_hk", kind="system_error")
    code = own_sandbox.code(wallet="alipay_hk")
    assert offline.pay_spot(code, hong_kong)["error"] == "SYSTEM_ERROR"
    own_sandbox.control("DELETE", "faults")
    assert offline.pay_spot(code, hong_kong, notify_url=receiver.url)["result_code"] == "SUCCESS"
    set_fault(own_sandbox, wallet="alipay_hk", kind="system_error")
    trade_no = own_sandbox.control("GET", "book?wallet=alipay_hk")["trades"][0]["trade"]
    by_number = offline.call("alipay.acquire.overseas.query", alipay_trans_id=trade_no)
    for reply in (offline.query_spot(hong_kong), by_number):
        assert reply["error"] == "SYSTEM_ERROR"
    assert offline.cancel(hong_kong)["detail_error_code"] == "SYSTEM_ERROR"
    assert offline.query_spot(mainland)["alipay_trans_status"] == "TRADE_SUCCESS"
    assert b"SYSTEM_ERROR" in online.open(online.pc_link(new_number(), payment_inst="ALIPAYHK")).body
    assert b"SYSTEM_ERROR" not in online.open(online.pc_link(new_number())).body
    set_fault(own_sandbox, wallet="alipay", kind="system_error")
    assert offline.query_spot(hong_kong)["alipay_trans_status"] == "TRADE_SUCCESS"


def test_a_fault_of_hong_kong_s_notices_is_applied_to_them_only(
    own_sandbox: Sandbox, receiver: Receiver
) -> None:
    offline, orders = shop(own_sandbox, "offline"), [new_number(), new_number()]
    assert Handset(own_sandbox, "jade").send("faults", action="add", kind="bad_signature").status == 200
    for order, wallet in zip(orders, ("alipay", "alipay_hk"), strict=True):
        reply = offline.post(
            offline.signed(
                "alipay.acquire.overseas.spot.pay",
                offline.spot_fields(own_sandbox.code(wallet=wallet), order) | {"notify_url": receiver.url},
            )
        )
        receiver.wait_for(orders.index(order) + 1)
        signature = {"sign": reply.tree.findtext("sign") or "", "sign_type": "MD5"}
        assert offline.is_signed(reply.node | signature) is (wallet == "alipay")
    assert all(offline.is_signed(form_of(body)) for body in receiver.bodies)
    set_fault(own_sandbox, wallet="alipay_hk", operation="notice", kind="bad_signature")
    for wallet in ("alipay", "alipay_hk"):
        offline.pay_spot(own_sandbox.code(wallet=wallet), new_number(), notify_url=receiver.url)
        receiver.wait_for(3 if wallet == "alipay" else 4)
    assert [offline.is_signed(form_of(body)) for body in receiver.bodies[2:]] == [True, False]


def test_a_sandbox_of_an_older_version_gets_the_payers_and_keeps_its_orders(own_sandbox: Sandbox) -> None:
    online, order = shop(own_sandbox, "online"), new_number()
    link = online.pc_link(order)
    scan(own_sandbox, link)
    qr(own_sandbox, new_number())
    own_sandbox.end()
    with closing(sqlite3.connect(own_sandbox.folder / "sandbox.sqlite")) as books, books:
        books.execute("DELETE FROM payer WHERE wallet = 'alipay_hk'")
        books.execute("DROP TABLE alipay_payment_inst")
        rows = books.execute("SELECT identity FROM alipay_trade").fetchall()
    assert [list(json.loads(identity)) for (identity,) in rows] == [
        ["subject", "body", "total_fee", "rmb_fee", "currency", "product_code"],
        ["subject", "body", "total_fee", "currency", "trans_currency", "price", "quantity"],
    ]
    own_sandbox.restart()
    assert confirm(own_sandbox, url=link, payer="jade")["trade"]["wallet"] == "alipay_hk"
