"""Close: an unpaid online order ends at the wallet and here; no other order is ever closed."""

from urllib.parse import urlsplit

import pytest

from tests.end_to_end.checkout import look
from tests.end_to_end.merchant import (
    OFFLINE,
    ONLINE,
    Merchant,
    at_once,
    new_reference,
    scannable,
    send,
    wallet_page,
)
from tests.end_to_end.rig import Demo
from tests.support.http_calls import Answer

#: At Alipay these exist once the payer's browser opens them.
ALIPAY_PAGES = ("800151", "800152")
NOT_SUPPORTED = "该交易暂不支持关闭, 请联系管理员"
MEMBERS = {
    "respcd",
    "resperr",
    "respmsg",
    "sysdtm",
    "txdtm",
    "txamt",
    "txcurrcd",
    "out_trade_no",
    "syssn",
    "orig_syssn",
}


def refused(shop: Merchant, opened: Answer, respcd: str) -> Answer:
    """The response to a refused close; the row stays unchanged."""
    before = shop.row(opened["syssn"])
    answer = shop.call("close", syssn=opened["syssn"])
    assert answer.respcd == respcd, answer.members
    assert "syssn" not in answer.members
    assert answer["orig_syssn"] == opened["syssn"]
    assert shop.row(opened["syssn"]) == before
    return answer


@pytest.mark.parametrize("pay_type", ONLINE)
@pytest.mark.parametrize("by", ["syssn", "out_trade_no", "both"])
def test_an_unpaid_order_is_closed_by_either_number(shop: Merchant, pay_type: str, by: str) -> None:
    opened = shop.pending(pay_type)
    numbers = {name: opened[name] for name in ("syssn", "out_trade_no") if by in (name, "both")}

    answer = shop.call("close", **numbers)

    assert set(answer.members) == MEMBERS
    assert (answer["respcd"], answer["respmsg"], answer["resperr"]) == ("0000", "ok", "")
    assert answer["orig_syssn"] == opened["syssn"] != answer["syssn"]
    assert len(answer["syssn"]) == 24
    assert (answer["out_trade_no"], answer["txamt"]) == (opened["out_trade_no"], "1000")
    row = shop.row(opened["syssn"])
    assert (row["respcd"], row["cancel"], row["errmsg"]) == ("1142", "2", "订单已关闭")


@pytest.mark.parametrize("pay_type", ALIPAY_PAGES)
def test_an_order_that_was_closed_unopened_cannot_be_paid(shop: Merchant, demo: Demo, pay_type: str) -> None:
    opened = shop.pending(pay_type)
    assert shop.call("close", syssn=opened["syssn"]).respcd == "0000"

    assert "/cashier/pay/" in wallet_page(opened)
    with pytest.raises(AssertionError, match="leads to a page and not to a wallet"):
        demo.confirm(url=opened["pay_url"])
    assert demo.held(opened["syssn"]) == 0


def test_a_close_is_not_certain_while_an_open_page_can_still_become_an_order(
    shop: Merchant, demo: Demo
) -> None:
    opened = shop.pending("800152")
    page = wallet_page(opened)  # Alipay has no order until the payer has logged in

    first = shop.call("close", syssn=opened["syssn"])
    assert (first.respcd, set(first.members)) == ("1145", MEMBERS)
    assert shop.row(opened["syssn"])["respcd"] == "1145"
    assert "/cashier/pay/" in wallet_page(opened)  # no other payer is sent there
    shown = look(shop, urlsplit(wallet_page(opened)).path).body
    assert b"cancelling this order" in shown
    assert b'role="timer"' not in shown

    demo.confirm(url=page)
    shop.until(opened["syssn"], "0000")
    assert demo.held(opened["syssn"]) == 1000
    assert shop.call("close", syssn=opened["syssn"]).respcd == "1124"


def test_a_close_is_certain_once_the_open_page_can_be_paid_no_more(shop: Merchant, demo: Demo) -> None:
    opened = shop.pending("800152", valid_time="300")
    wallet_page(opened)
    first = shop.call("close", syssn=opened["syssn"])
    assert first.respcd == "1145"

    demo.advance(300 + 300)  # a log-in in the last second, and Alipay's own time limit from then on
    shop.until(opened["syssn"], "1142", "2")
    again = shop.call("close", syssn=opened["syssn"])
    assert (again.respcd, again["syssn"]) == ("0000", first["syssn"])
    assert demo.trades(opened["syssn"]) == []


def test_a_head_request_of_the_page_opens_nothing(shop: Merchant) -> None:
    opened = shop.pending("800152")
    parts = urlsplit(opened["pay_url"])
    answer = send(shop.demo.gateway, "HEAD", parts.path)
    assert (answer.status, "/cashier/pay/" in answer.headers["location"]) == (303, True)

    assert shop.call("close", syssn=opened["syssn"]).respcd == "0000"


def test_a_page_is_not_opened_at_the_wallet_after_the_orders_time(shop: Merchant, demo: Demo) -> None:
    opened = shop.pending("800152", valid_time="300")
    demo.advance(300)
    assert "/cashier/pay/" in wallet_page(opened)


@pytest.mark.parametrize("pay_type", ["800151", "800201", "800207"])
def test_an_order_that_the_payer_has_opened_closes_and_cannot_be_paid(
    shop: Merchant, demo: Demo, pay_type: str
) -> None:
    opened = shop.pending(pay_type)
    demo.scan(scannable(opened))

    assert shop.call("close", syssn=opened["syssn"]).respcd == "0000"
    with pytest.raises(AssertionError, match="control/confirm"):
        demo.confirm(url=scannable(opened))
    assert demo.held(opened["syssn"]) == 0


def test_a_closes_own_number_is_not_listed(shop: Merchant) -> None:
    closed = shop.call("close", syssn=shop.pending("800201")["syssn"])

    assert shop.rows(syssn=closed["syssn"]) == []


@pytest.mark.parametrize("pay_type", ONLINE)
def test_a_closed_order_closes_again_with_the_first_response(
    shop: Merchant, demo: Demo, pay_type: str
) -> None:
    opened = shop.pending(pay_type)
    first = shop.call("close", syssn=opened["syssn"])
    demo.advance(30)
    again = shop.call("close", out_trade_no=opened["out_trade_no"], txamt="77", txdtm="2001-01-01 00:00:00")

    assert again.members == first.members


def test_ten_closes_at_once_are_one(shop: Merchant) -> None:
    opened = shop.pending("800201")

    answers = at_once(10, lambda _: shop.call("close", syssn=opened["syssn"]))
    assert {answer.respcd for answer in answers} <= {"0000", "1145"}
    assert len({answer["syssn"] for answer in answers}) == 1
    shop.until(opened["syssn"], "1142", "2")


@pytest.mark.parametrize("pay_type", ONLINE)
def test_a_paid_order_is_not_closed_and_keeps_its_money(shop: Merchant, demo: Demo, pay_type: str) -> None:
    opened = shop.paid(pay_type)

    answer = refused(shop, opened, "1124")
    assert answer["resperr"] == NOT_SUPPORTED
    assert demo.held(opened["syssn"]) == 1000


def test_a_refused_close_names_both_numbers_of_the_order(shop: Merchant) -> None:
    opened = shop.paid("800201")

    for name in ("syssn", "out_trade_no"):
        answer = shop.call("close", **{name: opened[name]})
        assert answer.respcd == "1124"
        assert answer["orig_syssn"] == opened["syssn"]
        assert answer.members.get("out_trade_no") == opened["out_trade_no"], f"asked by {name}"


@pytest.mark.parametrize("pay_type", ["800151", "800201"])
def test_a_payer_who_was_faster_has_paid_even_before_any_notice(
    shop: Merchant, demo: Demo, pay_type: str
) -> None:
    opened = shop.pending(pay_type)
    demo.confirm(url=scannable(opened))

    answer = shop.call("close", syssn=opened["syssn"])  # the wallet's notice may not have arrived yet
    assert answer.respcd == "1124"
    shop.until(opened["syssn"], "0000")
    assert demo.held(opened["syssn"]) == 1000


@pytest.mark.parametrize(("pay_type", "amount", "respcd"), [("800151", "1", "1124"), ("800201", "1", "1124")])
def test_a_partly_refunded_order_is_not_closed(
    shop: Merchant, pay_type: str, amount: str, respcd: str
) -> None:
    refused(shop, shop.refunded(pay_type, amount), respcd)


def test_a_wholly_refunded_order_is_not_closed(shop: Merchant) -> None:
    refused(shop, shop.refunded("800201"), "1125")


@pytest.mark.parametrize("pay_type", ["800151", "800201"])
def test_an_expired_order_is_expired_and_not_closed(shop: Merchant, pay_type: str) -> None:
    answer = refused(shop, shop.expired(pay_type), "1181")

    assert answer["resperr"] == "订单过期"


@pytest.mark.parametrize("pay_type", OFFLINE)
def test_barcode_payments_are_never_closed(shop: Merchant, pay_type: str) -> None:
    for opened in (shop.paid(pay_type), shop.pending(pay_type), shop.open(pay_type, "insufficient")):
        answer = refused(shop, opened, "1124")
        assert answer["respmsg"] == "a barcode payment cannot be closed: call reversal"


def test_reversed_and_expired_barcode_payments_are_not_closed_either(shop: Merchant) -> None:
    for opened in (shop.reversed("800208"), shop.closed("800208"), shop.expired("800208")):
        refused(shop, opened, "1124")


def test_an_unknown_order_is_unknown(shop: Merchant) -> None:
    reference = new_reference()
    answer = shop.call("close", out_trade_no=reference)

    assert answer.respcd == "1136"
    assert answer["resperr"] == "交易不存在或不在可操作时间内"
    assert answer["out_trade_no"] == reference
    assert shop.call("close", syssn="1" * 24).respcd == "1136"


def test_numbers_of_two_orders_do_not_match(shop: Merchant) -> None:
    first, second = shop.pending("800201"), shop.pending("800201")

    answer = shop.call("close", syssn=first["syssn"], out_trade_no=second["out_trade_no"])
    assert answer.respcd == "1126"
    assert [shop.row(opened["syssn"])["respcd"] for opened in (first, second)] == ["1145", "1145"]


def test_another_merchants_order_does_not_exist(
    shop: Merchant, wechat_only: Merchant, chain: Merchant
) -> None:
    opened = shop.pending("800201")

    for other in (wechat_only, chain):
        for call in ("close", "reversal"):
            assert other.call(call, syssn=opened["syssn"]).respcd == "1136"
        assert other.rows(syssn=opened["syssn"]) == []
        assert other.refund(opened, "1").respcd == "1136"
