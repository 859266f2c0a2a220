"""Webhooks: in both styles, signed, and repeated byte for byte on the schedule until they are acknowledged."""

import json
from datetime import datetime
from typing import Final
from urllib.parse import urlencode

import pytest

from tael.base.serial import cell_of
from tests.end_to_end.merchant import CALLS, MOMENT, OFFLINE, ONLINE, Merchant, digest, send
from tests.end_to_end.receiver import Call, Receiver, old_text
from tests.end_to_end.rig import Demo, eventually
from tests.support.http_calls import Answer
from tests.support.postgres import connect_to_cell

OLD_MEMBERS: Final = {
    "mchid",
    "syssn",
    "pay_type",
    "out_trade_no",
    "txdtm",
    "txamt",
    "respcd",
    "respmsg",
    "respmesg",
}
NEW_MEMBERS: Final = {
    "status",
    "pay_type",
    "sysdtm",
    "paydtm",
    "goods_name",
    "txcurrcd",
    "txdtm",
    "mchid",
    "txamt",
    "exchange_rate",
    "chnlsn2",
    "out_trade_no",
    "syssn",
    "cash_fee_type",
    "cancel",
    "respcd",
    "goods_info",
    "cash_fee",
    "notify_type",
    "chnlsn",
    "cardcd",
}
REFUND_MEMBERS: Final = NEW_MEMBERS | {
    "orig_syssn",
    "orig_out_trade_no",
    "cash_refund_fee",
    "cash_refund_fee_type",
}
#: The gap after the first, second … failure.
GAPS_S: Final = (30, 30, 30, 30, 120, 600, 600, 3600, 7200, 21_600, 54_000)
REFUSED: Final = (500, b"success")
#: The clock also runs by itself while a test checks that nothing is sent too early.
EARLY_S: Final = 20
ATTEMPTS: Final = "SELECT attempts FROM webhook WHERE cause = %s AND kind = 'payment'"


def proven_old(call: Call, key: str) -> None:
    """The checks of the PHP sample, and the form on which every receiver relies."""
    assert call.headers["x-qf-sign"] == digest(old_text(call.members) + key.encode())
    in_form(call)


def proven_new(call: Call, key: str) -> None:
    assert call.headers["x-qf-sign"] == digest(call.body + key.encode())
    in_form(call)


def recorded(demo: Demo, receiver: Receiver, opened: Answer, how_many: int) -> None:
    """Wait until the gateway has recorded this many calls: only then does the gap before the next one start."""
    receiver.wait(opened["out_trade_no"], how_many)
    with connect_to_cell(demo.database_url, cell_of(opened["syssn"]) or 0) as books:

        def counted() -> int:
            row = books.execute(ATTEMPTS, [opened["syssn"]]).fetchone()
            return int(row[0]) if row else 0

        assert eventually(counted, lambda count: count >= how_many) == how_many


def all_due_was_sent(receiver: Receiver, *merchants: Merchant) -> None:
    """Wait for the webhook of a new payment of each merchant: everything due before it was sent."""
    for merchant in merchants:
        receiver.wait(merchant.paid("800201")["out_trade_no"])


def in_form(call: Call) -> None:
    assert call.body == json.dumps(call.members).encode("ascii")
    assert all(isinstance(value, str) for value in call.members.values())
    assert call.headers["content-type"].startswith("application/json")
    assert call.path == "/notify?by=tael"


@pytest.mark.parametrize("pay_type", ONLINE)
def test_an_old_style_receiver_is_notified_of_a_paid_order(
    shop: Merchant, receiver: Receiver, pay_type: str
) -> None:
    opened = shop.paid(pay_type, txamt="4321", product_name="Tea / 茶")

    (call,) = receiver.wait(opened["out_trade_no"])
    proven_old(call, shop.key)
    assert call.members == {
        "mchid": shop.mchid,
        "syssn": opened["syssn"],
        "pay_type": pay_type,
        "out_trade_no": opened["out_trade_no"],
        "txdtm": opened["txdtm"],
        "txamt": "4321",
        "respcd": "0000",
        "respmsg": "",
        "respmesg": "",
    }
    assert set(call.members) == OLD_MEMBERS


def test_an_old_style_webhook_names_the_device_if_there_was_one(shop: Merchant, receiver: Receiver) -> None:
    opened = shop.paid("800201", udid="qiantai2")

    (call,) = receiver.wait(opened["out_trade_no"])
    proven_old(call, shop.key)
    assert set(call.members) == OLD_MEMBERS | {"udid"}
    assert call.members["udid"] == "qiantai2"


@pytest.mark.parametrize("pay_type", ["800151", "800152", "800201"])
@pytest.mark.parametrize("which", [0, 1])
def test_a_new_style_receiver_is_notified_of_a_paid_order_of_either_merchant(
    chain: Merchant, demo: Demo, receiver: Receiver, pay_type: str, which: int
) -> None:
    mchid, name = chain.mchids[which], ("Tea", "")[which]
    opened = chain.open(pay_type, mchid=mchid, product_name=name, txamt="77")
    chain.pay_by_phone(opened)

    (call,) = receiver.wait(opened["out_trade_no"])
    proven_new(call, chain.key)
    members = call.members
    assert set(members) == NEW_MEMBERS
    assert (members["notify_type"], members["status"], members["cancel"], members["respcd"]) == (
        "payment",
        "1",
        "0",
        "0000",
    )
    assert (members["mchid"], members["syssn"], members["pay_type"]) == (mchid, opened["syssn"], pay_type)
    assert (members["txamt"], members["txcurrcd"], members["goods_name"]) == ("77", "HKD", name)
    assert (members["txdtm"], members["sysdtm"]) == (opened["txdtm"], opened["sysdtm"])
    assert members["chnlsn"] == demo.trades(opened["syssn"])[0]["trade"]
    if pay_type == "800201":
        assert members["cardcd"].startswith("o")
    else:  # Alipay's record of an online trade does not name the payer
        assert members["cardcd"] == "" or members["cardcd"].startswith("2088")
    assert datetime.strptime(members["paydtm"], MOMENT) >= datetime.strptime(members["sysdtm"], MOMENT)


@pytest.mark.parametrize("pay_type", ["800151", "800201"])
def test_a_new_style_receiver_is_notified_of_refunds_too(
    chain: Merchant, demo: Demo, receiver: Receiver, pay_type: str
) -> None:
    opened = chain.paid(pay_type)
    refund = chain.refund_and_wait(opened, "250")

    (call,) = receiver.wait(refund["out_trade_no"])
    proven_new(call, chain.key)
    members = call.members
    assert set(members) == REFUND_MEMBERS
    assert (members["notify_type"], members["respcd"], members["txamt"]) == ("refund", "0000", "250")
    assert (members["syssn"], members["orig_syssn"]) == (refund["syssn"], opened["syssn"])
    assert members["orig_out_trade_no"] == opened["out_trade_no"]


def test_an_old_style_receiver_is_not_notified_of_refunds(
    shop: Merchant, demo: Demo, receiver: Receiver
) -> None:
    opened = shop.paid("800201")
    receiver.wait(opened["out_trade_no"])

    refund = shop.refund_and_wait(opened, "250")
    demo.advance(60)
    all_due_was_sent(receiver, shop)
    assert receiver.calls(refund["out_trade_no"]) == []
    assert len(receiver.calls(opened["out_trade_no"])) == 1


@pytest.mark.parametrize("pay_type", OFFLINE)
def test_barcode_payments_have_no_webhook(
    shop: Merchant, chain: Merchant, demo: Demo, receiver: Receiver, pay_type: str
) -> None:
    opened = [merchant.paid(pay_type) for merchant in (shop, chain)]
    late = shop.pending(pay_type)
    demo.confirm(trade=late["syssn"])
    shop.until(late["syssn"], "0000")

    demo.advance(60)
    all_due_was_sent(receiver, shop, chain)
    assert [receiver.calls(each["out_trade_no"]) for each in (*opened, late)] == [[], [], []]


def test_unpaid_orders_have_no_webhook(shop: Merchant, demo: Demo, receiver: Receiver) -> None:
    ended = [shop.closed("800201"), shop.closed("800151"), shop.expired("800201"), shop.pending("800151")]

    all_due_was_sent(receiver, shop)
    assert [receiver.calls(each["out_trade_no"]) for each in ended] == [[], [], [], []]


@pytest.mark.parametrize("style", ["old", "new"])
def test_a_refused_webhook_is_repeated_byte_for_byte_on_the_schedule_and_then_exhausted(
    shop: Merchant, chain: Merchant, demo: Demo, receiver: Receiver, style: str
) -> None:
    merchant = shop if style == "old" else chain
    opened = merchant.open("800201")
    reference = opened["out_trade_no"]
    receiver.will_answer(reference, *[REFUSED] * 20)
    merchant.pay_by_phone(opened)

    recorded(demo, receiver, opened, 1)
    for made, gap_s in enumerate(GAPS_S, start=1):
        demo.advance(gap_s - EARLY_S)
        all_due_was_sent(receiver, merchant)
        assert len(receiver.calls(reference)) == made, f"too early after {made}"
        demo.advance(EARLY_S)
        recorded(demo, receiver, opened, made + 1)
    demo.advance(30 * 86_400)
    all_due_was_sent(receiver, merchant)
    calls = receiver.calls(reference)
    assert len(calls) == len(GAPS_S) + 1
    assert len({call.body for call in calls}) == 1
    assert len({call.headers["x-qf-sign"] for call in calls}) == 1
    (proven_old if style == "old" else proven_new)(calls[-1], merchant.key)


@pytest.mark.parametrize(
    "answer", [(200, b"success"), (200, b"SUCCESS"), (200, b"Success"), (200, b" \r\nsuccess\n")]
)
def test_success_in_any_case_ends_the_repeats(
    shop: Merchant, demo: Demo, receiver: Receiver, answer: tuple[int, bytes]
) -> None:
    opened = shop.open("800201")
    receiver.will_answer(opened["out_trade_no"], answer)
    shop.pay_by_phone(opened)

    recorded(demo, receiver, opened, 1)
    demo.advance(3600)
    all_due_was_sent(receiver, shop)
    assert len(receiver.calls(opened["out_trade_no"])) == 1


@pytest.mark.parametrize(
    "answer",
    [
        (200, b""),
        (200, b"ok"),
        (200, b"successful"),
        (200, b'"success"'),
        (201, b"success"),
        (302, b"success"),
        (404, b"success"),
        (503, b"success"),
    ],
)
def test_any_other_response_is_a_failed_delivery(
    shop: Merchant, demo: Demo, receiver: Receiver, answer: tuple[int, bytes]
) -> None:
    opened = shop.open("800201")
    receiver.will_answer(opened["out_trade_no"], answer)
    shop.pay_by_phone(opened)

    recorded(demo, receiver, opened, 1)
    demo.advance(31)
    first, second = receiver.wait(opened["out_trade_no"], 2)
    assert first.body == second.body


def test_a_repeat_is_the_same_bytes_even_if_the_payment_was_refunded_since(
    chain: Merchant, demo: Demo, receiver: Receiver
) -> None:
    opened = chain.open("800201")
    receiver.will_answer(opened["out_trade_no"], REFUSED)
    chain.pay_by_phone(opened)
    recorded(demo, receiver, opened, 1)
    chain.until(opened["syssn"], "0000")

    chain.refund_and_wait(opened, "1000")
    demo.advance(31)
    first, second = receiver.wait(opened["out_trade_no"], 2)
    assert first.body == second.body


def test_a_webhook_goes_to_the_apps_current_url(shop: Merchant, demo: Demo, receiver: Receiver) -> None:
    opened = shop.open("800201")
    receiver.will_answer(opened["out_trade_no"], REFUSED)
    shop.pay_by_phone(opened)
    receiver.wait(opened["out_trade_no"])

    demo.set_app(shop.appcode, "--notify-url", f"{receiver.url}/moved")
    try:
        demo.advance(31)
        _, second = receiver.wait(opened["out_trade_no"], 2)
        assert second.path == "/moved"
    finally:
        demo.set_app(shop.appcode, "--notify-url", f"{receiver.url}/notify?by=tael")


def test_a_webhook_is_not_a_request(shop: Merchant, chain: Merchant, receiver: Receiver) -> None:
    for merchant in (shop, chain):
        opened = merchant.open("800201")
        merchant.pay_by_phone(opened)
        (call,) = receiver.wait(opened["out_trade_no"])
        for body in (call.body, urlencode(call.members).encode()):
            for name in CALLS:
                answer = send(
                    merchant.demo.gateway,
                    "POST",
                    f"/trade/v1/{name}",
                    body,
                    [("X-QF-APPCODE", merchant.appcode), ("X-QF-SIGN", call.headers["x-qf-sign"])],
                )
                assert answer.respcd in ("1103", "1108")
                assert answer.sign is None
