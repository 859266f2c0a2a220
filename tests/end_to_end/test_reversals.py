"""Reversal: a barcode payment is undone in every state; a paid one is refunded, an unpaid one closed, never both."""

import pytest

from tests.end_to_end.merchant import MOMENT, OFFLINE, ONLINE, Merchant, at_once, new_reference
from tests.end_to_end.rig import Demo, eventually
from tests.support.http_calls import Answer

WECHAT = ("800208", "800228")
MEMBERS = {
    "resperr",
    "sysdtm",
    "orig_syssn",
    "respmsg",
    "out_trade_no",
    "syssn",
    "respcd",
    "txdtm",
    "txamt",
    "txcurrcd",
}


def undone(shop: Merchant, opened: Answer, respcd: str) -> None:
    """The row shows the reversal, and the merchant has no money of the payment."""
    shop.until(opened["syssn"], respcd, "1")
    assert shop.demo.held(opened["syssn"]) == 0


@pytest.mark.parametrize("pay_type", OFFLINE)
def test_a_paid_payment_is_refunded_at_once(shop: Merchant, pay_type: str) -> None:
    opened = shop.paid(pay_type)
    txdtm = shop.demo.now().strftime(MOMENT)

    answer = shop.call(
        "reversal",
        syssn=opened["syssn"],
        out_trade_no=opened["out_trade_no"],
        txamt="1000",
        txdtm=txdtm,
    )

    assert set(answer.members) == MEMBERS
    assert all(isinstance(value, str) for value in answer.members.values())
    assert (answer["respcd"], answer["respmsg"], answer["resperr"]) == ("0000", "ok", "")
    assert answer["orig_syssn"] == opened["syssn"] != answer["syssn"]
    assert (answer["out_trade_no"], answer["txdtm"]) == (opened["out_trade_no"], txdtm)
    assert answer["syssn"][:8] == answer["sysdtm"][:10].replace("-", "")
    undone(shop, opened, "0000")


@pytest.mark.parametrize("pay_type", OFFLINE)
def test_a_reversals_own_number_is_not_listed(shop: Merchant, pay_type: str) -> None:
    answer = shop.call("reversal", out_trade_no=shop.paid(pay_type)["out_trade_no"])

    assert answer.respcd == "0000"
    asked = shop.call("query", syssn=answer["syssn"])
    assert (asked["respcd"], asked["data"], asked["page"]) == ("0000", [], 1)


@pytest.mark.parametrize("pay_type", WECHAT)
def test_wechat_requires_15_seconds_before_an_undecided_payment_is_reversed(
    shop: Merchant, demo: Demo, pay_type: str
) -> None:
    opened = shop.pending(pay_type)

    first = shop.call("reversal", syssn=opened["syssn"])
    assert first.respcd == "1145"
    assert first["orig_syssn"] == opened["syssn"]
    row = shop.row(opened["syssn"])
    assert (row["respcd"], row["cancel"]) == ("1145", "0")
    demo.advance(16)
    undone(shop, opened, "1142")
    again = shop.call("reversal", syssn=opened["syssn"])
    assert (again.respcd, again["syssn"]) == ("0000", first["syssn"])


def test_alipay_undoes_an_undecided_payment_at_once(shop: Merchant) -> None:
    opened = shop.pending("800108")

    assert shop.call("reversal", syssn=opened["syssn"]).respcd == "0000"
    undone(shop, opened, "1142")


@pytest.mark.parametrize("pay_type", OFFLINE)
def test_a_payer_who_types_the_password_after_the_reversal_request_keeps_the_money(
    shop: Merchant, demo: Demo, pay_type: str
) -> None:
    opened = shop.pending(pay_type)
    shop.call("reversal", syssn=opened["syssn"])
    if pay_type in WECHAT:  # the reversal waits; Alipay's trade is closed already
        demo.confirm(trade=opened["syssn"])
    demo.advance(16)

    row = eventually(lambda: shop.row(opened["syssn"]), lambda row: row["cancel"] == "1")
    assert row["cancel"] == "1"
    assert row["respcd"] in ("0000", "1142")
    assert demo.held(opened["syssn"]) == 0


@pytest.mark.parametrize("pay_type", OFFLINE)
def test_a_failed_payment_is_undone_at_the_wallet_too_and_keeps_its_code(
    shop: Merchant, demo: Demo, pay_type: str
) -> None:
    opened = shop.open(pay_type, "insufficient")

    first = shop.call("reversal", syssn=opened["syssn"])
    assert first.respcd in ("0000", "1145")
    demo.advance(90)
    undone(shop, opened, "1201")
    again = shop.call("reversal", syssn=opened["syssn"])
    assert (again.respcd, again["syssn"]) == ("0000", first["syssn"])


def test_a_payment_whose_code_timed_out_is_undone_too_and_keeps_its_code(shop: Merchant, demo: Demo) -> None:
    opened = shop.expired("800208")

    shop.call("reversal", syssn=opened["syssn"])
    demo.advance(90)
    undone(shop, opened, "2005")


@pytest.mark.parametrize("pay_type", OFFLINE)
def test_a_reversed_payment_reverses_again_with_the_first_response(
    shop: Merchant, demo: Demo, pay_type: str
) -> None:
    opened = shop.paid(pay_type)
    first = shop.call("reversal", syssn=opened["syssn"], txdtm="2017-09-06 15:00:35")
    demo.advance(30)
    again = shop.call("reversal", out_trade_no=opened["out_trade_no"], txdtm="2017-09-06 15:01:35")

    assert again.members == first.members
    assert demo.held(opened["syssn"]) == 0


@pytest.mark.parametrize("pay_type", ["800108", "800208"])
def test_a_partly_refunded_payment_is_not_reversed(shop: Merchant, demo: Demo, pay_type: str) -> None:
    opened = shop.refunded(pay_type, "300")

    answer = shop.call("reversal", syssn=opened["syssn"])
    assert answer.respcd == "1124"
    assert demo.held(opened["syssn"]) == 700
    shop.until(opened["syssn"], "0000", "2")


@pytest.mark.parametrize("pay_type", ["800108", "800208"])
def test_a_wholly_refunded_payment_is_not_reversed(shop: Merchant, pay_type: str) -> None:
    opened = shop.refunded(pay_type)

    assert shop.call("reversal", syssn=opened["syssn"]).respcd == "1125"


@pytest.mark.parametrize("pay_type", ONLINE)
def test_online_payments_are_never_reversed(shop: Merchant, pay_type: str) -> None:
    for opened in (shop.pending(pay_type), shop.paid(pay_type), shop.closed(pay_type)):
        before = shop.row(opened["syssn"])
        answer = shop.call("reversal", syssn=opened["syssn"])
        assert answer.respcd == "1124"
        assert answer["resperr"] == "交易失败，请联系客服(1124)"
        assert (
            answer["respmsg"] == "an online payment cannot be reversed: call close, or refund if it is paid"
        )
        assert shop.row(opened["syssn"]) == before


def test_an_expired_online_payment_is_not_reversed_either(shop: Merchant) -> None:
    assert shop.call("reversal", syssn=shop.expired("800201")["syssn"]).respcd == "1124"


def test_the_amount_if_given_must_be_the_payments(shop: Merchant, demo: Demo) -> None:
    opened = shop.paid("800208")

    assert shop.call("reversal", syssn=opened["syssn"], txamt="999").respcd == "1126"
    assert demo.held(opened["syssn"]) == 1000


def test_numbers_of_two_payments_do_not_match(shop: Merchant) -> None:
    first, second = shop.paid("800208"), shop.paid("800208")

    answer = shop.call("reversal", syssn=first["syssn"], out_trade_no=second["out_trade_no"])
    assert answer.respcd == "1126"


def test_an_unknown_payment_is_unknown(shop: Merchant) -> None:
    reference = new_reference()
    answer = shop.call("reversal", out_trade_no=reference)

    assert (answer.respcd, answer["out_trade_no"]) == ("1136", reference)


@pytest.mark.parametrize("pay_type", ["800108", "800208"])
def test_twenty_reversals_at_once_are_one(shop: Merchant, demo: Demo, pay_type: str) -> None:
    opened = shop.paid(pay_type)

    answers = at_once(20, lambda _: shop.call("reversal", syssn=opened["syssn"]))
    assert {answer.respcd for answer in answers} <= {"0000", "1145"}
    assert len({answer["syssn"] for answer in answers}) == 1
    undone(shop, opened, "0000")


@pytest.mark.parametrize("pay_type", ["800108", "800208"])
def test_a_reversal_and_refunds_at_once_never_return_more_than_was_paid(
    shop: Merchant, demo: Demo, pay_type: str
) -> None:
    opened = shop.paid(pay_type)

    def act(index: int) -> Answer:
        if index % 2:
            return shop.refund(opened, "1000")
        return shop.call("reversal", syssn=opened["syssn"])

    answers = at_once(12, act)
    assert {answer.respcd for answer in answers} <= {"0000", "1145", "2999", "1124", "1125", "1272"}
    demo.advance(10)
    row = eventually(lambda: shop.row(opened["syssn"]), lambda row: row["cancel"] != "0")
    assert row["cancel"] in ("1", "2")
    assert demo.held(opened["syssn"]) == 0
    assert [trade["refunded"] for trade in demo.trades(opened["syssn"])] in ([1000], [0])
