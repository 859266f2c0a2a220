"""Refunds at both wallets: in parts, never above the payment, and pending until they are final."""

import pytest

from tests.end_to_end.merchant import (
    ALIPAY_ONLINE,
    ALL_TYPES,
    MOMENT,
    OFFLINE,
    Merchant,
    at_once,
    new_reference,
)
from tests.end_to_end.rig import Demo, eventually
from tests.support.http_calls import Answer

MEMBERS = {
    "resperr",
    "txdtm",
    "txamt",
    "respmsg",
    "out_trade_no",
    "syssn",
    "respcd",
    "sysdtm",
    "orig_syssn",
    "origssn",
    "txcurrcd",
}
YEAR_S = 366 * 86_400


@pytest.mark.parametrize("pay_type", ALL_TYPES)
def test_a_payment_is_refunded_in_parts_until_nothing_is_left(
    shop: Merchant, demo: Demo, pay_type: str
) -> None:
    opened = shop.paid(pay_type)

    first = shop.refund_and_wait(opened, "300")
    shop.until(opened["syssn"], "0000", "2")
    assert demo.held(opened["syssn"]) == 700
    assert shop.refund(opened, "701").respcd == "1272"
    second = shop.refund_and_wait(opened, "700")
    assert demo.held(opened["syssn"]) == 0
    nothing_left = shop.refund(opened, "1")
    assert nothing_left.respcd == "1125"
    assert "syssn" not in nothing_left.members
    shop.until(opened["syssn"], "0000", "2")
    assert sorted(row["amount"] for row in demo.refunds(opened["syssn"])) == [300, 700]
    assert first["syssn"] != second["syssn"]


@pytest.mark.parametrize("pay_type", ALL_TYPES)
def test_the_response_and_the_row_of_a_refund_are_those_of_the_example(
    shop: Merchant, demo: Demo, pay_type: str
) -> None:
    opened = shop.paid(pay_type)
    demo.advance(4)
    reference = new_reference()

    answer = shop.refund(opened, "10", out_trade_no=reference, txdtm="2017-09-06 15:09:08")

    assert set(answer.members) == MEMBERS
    assert all(isinstance(value, str) for value in answer.members.values())
    assert answer["orig_syssn"] == answer["origssn"] == opened["syssn"] != answer["syssn"]
    assert (answer["out_trade_no"], answer["txamt"]) == (reference, "10")
    assert (answer["txdtm"], answer["txcurrcd"]) == ("2017-09-06 15:09:08", "HKD")
    demo.advance(4)
    row = shop.until(answer["syssn"], "0000")
    assert row == {
        "pay_type": pay_type,
        "sysdtm": answer["sysdtm"],
        "order_type": "refund",
        "txcurrcd": "HKD",
        "txdtm": "2017-09-06 15:09:08",
        "txamt": "10",
        "out_trade_no": reference,
        "syssn": answer["syssn"],
        "cancel": "0",
        "respcd": "0000",
        "errmsg": "交易成功",
        "paydtm": row["paydtm"],
        "chnlsn": row["chnlsn"],
        "cardcd": shop.row(opened["syssn"])["cardcd"],
        "origssn": opened["syssn"],
    }
    assert answer["sysdtm"] <= row["paydtm"] <= demo.now().strftime(MOMENT)


@pytest.mark.parametrize("txdtm", ["", None])
def test_a_refund_without_a_time_gets_ours_and_keeps_it_at_a_repeat(
    shop: Merchant, demo: Demo, txdtm: str | None
) -> None:
    opened, reference = shop.paid("800208"), new_reference()

    answer = shop.refund(opened, "10", out_trade_no=reference, txdtm=txdtm)
    assert answer.respcd == "2999"
    assert answer["txdtm"] == answer["sysdtm"]
    demo.advance(5)
    again = shop.refund(opened, "10", out_trade_no=reference, txdtm=txdtm)
    assert (again["syssn"], again["txdtm"]) == (answer["syssn"], answer["txdtm"])
    assert demo.held(opened["syssn"]) == 990


@pytest.mark.parametrize("pay_type", ["800201", "800207", "800208", "800228"])
def test_wechats_refund_is_not_final_at_first_and_then_is(shop: Merchant, demo: Demo, pay_type: str) -> None:
    opened = shop.paid(pay_type)

    answer = shop.refund(opened, "100")
    assert answer.respcd == "2999"
    assert answer["resperr"] == "交易失败，请联系客服(2999)"
    row = shop.row(answer["syssn"])
    assert (row["respcd"], row["errmsg"], row["cancel"]) == ("2999", "通道处理中", "0")
    assert shop.row(opened["syssn"])["cancel"] == "0"
    assert shop.rows(syssn=answer["syssn"], respcd="0000") == []
    demo.advance(4)
    shop.until(answer["syssn"], "0000")
    shop.until(opened["syssn"], "0000", "2")


@pytest.mark.parametrize("pay_type", ALIPAY_ONLINE)
def test_alipay_takes_one_online_refund_in_three_seconds_and_the_next_one_waits(
    shop: Merchant, demo: Demo, pay_type: str
) -> None:
    first, second = shop.paid(pay_type), shop.paid(pay_type)
    demo.advance(4)

    at_once_done = shop.refund(first, "100")
    must_wait = shop.refund(second, "100")

    assert (at_once_done.respcd, must_wait.respcd) == ("0000", "2999")
    assert demo.held(second["syssn"]) == 1000
    demo.advance(4)
    shop.until(must_wait["syssn"], "0000")
    assert demo.held(second["syssn"]) == 900


def test_a_refund_that_waits_has_its_amount_reserved(shop: Merchant, demo: Demo) -> None:
    opened = shop.paid("800208")

    assert shop.refund(opened, "600").respcd == "2999"
    assert shop.refund(opened, "401").respcd == "1272"
    assert shop.refund(opened, "400").respcd == "2999"
    assert shop.refund(opened, "1").respcd == "1125"


@pytest.mark.parametrize("pay_type", ALL_TYPES)
def test_an_unpaid_payment_is_not_refunded(shop: Merchant, pay_type: str) -> None:
    answer = shop.refund(shop.pending(pay_type), "1")

    assert answer.respcd == "1124"
    assert answer["resperr"] == "交易失败，请联系客服(1124)"


@pytest.mark.parametrize("pay_type", ["800151", "800201", "800108", "800208"])
def test_a_closed_order_is_not_refunded(shop: Merchant, pay_type: str) -> None:
    assert shop.refund(shop.closed(pay_type), "1").respcd == "1142"


@pytest.mark.parametrize("pay_type", ["800151", "800201"])
def test_an_expired_order_is_not_refunded(shop: Merchant, pay_type: str) -> None:
    assert shop.refund(shop.expired(pay_type), "1").respcd == "1181"


@pytest.mark.parametrize("pay_type", OFFLINE)
def test_failed_and_reversed_payments_are_not_refunded(shop: Merchant, pay_type: str) -> None:
    assert shop.refund(shop.open(pay_type, "insufficient"), "1").respcd == "1124"
    assert shop.refund(shop.reversed(pay_type), "1").respcd == "1125"


def test_numbers_of_no_payment_cannot_be_refunded(shop: Merchant, demo: Demo) -> None:
    unknown = shop.call(
        "refund", syssn="20170906" + "0" * 16, out_trade_no=(reference := new_reference()), txamt="1"
    )
    assert unknown.respcd == "1136"
    assert unknown["resperr"] == "交易不存在或不在可操作时间内"
    assert unknown["out_trade_no"] == reference

    opened = shop.paid("800208")
    refund = shop.refund_and_wait(opened, "1")
    assert shop.refund(refund, "1").respcd == "1136"
    reversal = shop.call("reversal", syssn=shop.paid("800208")["syssn"])
    assert shop.refund(reversal, "1").respcd == "1136"


@pytest.mark.parametrize("pay_type", ["800151", "800201", "800108", "800208"])
def test_after_a_year_a_refund_is_refused(shop: Merchant, demo: Demo, pay_type: str) -> None:
    opened = shop.paid(pay_type)

    demo.advance(YEAR_S)
    answer = shop.refund(opened, "1")
    assert answer.respcd == "1130"
    assert demo.held(opened["syssn"]) == 1000


@pytest.mark.parametrize("pay_type", ["800108", "800208", "800201"])
def test_forty_refunds_of_one_at_once_on_a_payment_of_twenty_are_twenty(
    shop: Merchant, demo: Demo, pay_type: str
) -> None:
    opened = shop.paid(pay_type, txamt="20")

    answers = at_once(44, lambda _: shop.refund(opened, "1"))

    accepted = [answer for answer in answers if answer.respcd in ("0000", "2999")]
    assert len(accepted) == 20
    assert {answer.respcd for answer in answers} <= {"0000", "2999", "1125", "1272"}
    demo.advance(10)
    assert eventually(lambda: demo.held(opened["syssn"]), lambda held: held == 0) == 0
    assert len(demo.refunds(opened["syssn"])) == 20
    numbers = ",".join(answer["syssn"] for answer in accepted)
    rows = eventually(
        lambda: shop.rows(syssn=numbers, page_size="50"),
        lambda rows: all(row["respcd"] == "0000" for row in rows),
    )
    assert [row["respcd"] for row in rows] == ["0000"] * 20


def test_forty_online_refunds_of_one_at_once_at_alipay_are_twenty(shop: Merchant, demo: Demo) -> None:
    opened = shop.paid("800151", txamt="20")

    answers = at_once(44, lambda _: shop.refund(opened, "1"))
    accepted = [answer["syssn"] for answer in answers if answer.respcd in ("0000", "2999")]
    assert len(accepted) == 20

    def all_done() -> bool:
        demo.advance(4)
        return demo.held(opened["syssn"]) == 0

    assert eventually(all_done, bool)
    assert len(demo.refunds(opened["syssn"])) == 20


def test_parallel_refunds_of_different_sizes_never_exceed_the_payment(shop: Merchant, demo: Demo) -> None:
    opened = shop.paid("800108")

    answers: list[Answer] = at_once(20, lambda index: shop.refund(opened, str(50 * (index + 1))))
    accepted = sum(int(answer["txamt"]) for answer in answers if answer.respcd == "0000")
    assert {answer.respcd for answer in answers} <= {"0000", "1125", "1272"}
    assert 0 < accepted <= 1000
    assert demo.held(opened["syssn"]) == 1000 - accepted
