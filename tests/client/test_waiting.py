"""Opening and waiting: a query every 5 s, and the same request again if it got lost."""

from typing import Any

import httpx
import pytest
from tael_client import Money, OutcomePending, Paid, Payment, Pending, Refused, Undone, Unreachable
from tael_client.answers import Close, Reversal

from tests.client.world import (
    NOW,
    SYSSN,
    Shop,
    barcode_answer,
    barcode_order,
    online_answer,
    online_order,
    page,
    reversal_answer,
    row,
    signed,
    unsigned,
    verdict,
)

TYPING = signed(barcode_answer("1145"))
LOST = httpx.ReadTimeout("late")
NO_ROW = signed(page())
UNDECIDED = signed(page(row("1145")))
PAID_ROW = signed(page(row()))
ONLINE = {"pay_type": "800201"}


def same_bytes(shop: Shop, call: str) -> bool:
    return len({asked.body for asked in shop.server.asked if asked.call == call}) == 1


# ---- in a shop ---------------------------------------------------------------------------------------------


def test_a_payment_that_is_paid_at_once_needs_no_query(shop: Shop) -> None:
    shop.server.will(signed(barcode_answer()))
    assert shop.do("pay_and_wait", barcode_order()) == Paid(
        reference="57003579", syssn=SYSSN, amount=Money(10), payer_ref="oKeGJuIhEWuWZQPdXFBkXdgr5nLc"
    )
    assert shop.clock.rests == []


def test_after_1145_a_query_is_sent_every_5_seconds_until_it_is_paid(shop: Shop) -> None:
    shop.server.will(TYPING, UNDECIDED, UNDECIDED, PAID_ROW)
    paid = shop.do("pay_and_wait", barcode_order())

    assert isinstance(paid, Paid)
    assert (paid.syssn, paid.amount) == (SYSSN, Money(10))
    assert shop.server.calls == ["payment", "query", "query", "query"]
    assert shop.clock.rests == [5.0, 5.0, 5.0]
    assert shop.server.asked[1].params["syssn"] == SYSSN
    assert shop.server.asked[1].params["start_time"] == "2017-09-01 00:00:00"
    assert shop.server.asked[1].params["end_time"] == "2017-09-30 23:59:59"


def test_a_payment_pending_at_the_deadline_is_returned_as_pending(shop: Shop) -> None:
    shop.server.will(TYPING, UNDECIDED, UNDECIDED, UNDECIDED)
    pending = shop.do("pay_and_wait", barcode_order(), deadline_s=12)

    assert isinstance(pending, Pending)
    assert (pending.reference, pending.syssn) == ("57003579", SYSSN)
    assert "1145" in pending.reason
    assert shop.clock.rests == [5.0, 5.0, 2.0]


@pytest.mark.parametrize("respcd", ["1131", "9999", "1143", "2010"])
def test_an_undecided_row_decides_nothing(shop: Shop, respcd: str) -> None:
    shop.server.will(TYPING, signed(page(row(respcd))))
    assert isinstance(shop.do("pay_and_wait", barcode_order(), deadline_s=5), Pending)


@pytest.mark.parametrize(("respcd", "is_final"), [("2005", True), ("1147", True), ("1111", False)])
def test_a_row_that_failed_is_a_refusal(shop: Shop, respcd: str, is_final: bool) -> None:
    shop.server.will(TYPING, signed(page(row(respcd, errmsg="消费者二维码过期"))))
    with pytest.raises(Refused) as raised:
        shop.do("pay_and_wait", barcode_order())
    assert (raised.value.respcd, raised.value.is_final) == (respcd, is_final)
    assert (raised.value.resperr, raised.value.syssn) == ("消费者二维码过期", SYSSN)


@pytest.mark.parametrize("cancel", ["1", "2"])
def test_a_payment_that_was_undone_meanwhile_is_undone_not_paid(shop: Shop, cancel: str) -> None:
    shop.server.will(TYPING, signed(page(row(cancel=cancel))))
    assert shop.do("pay_and_wait", barcode_order()) == Undone(reference="57003579", syssn=SYSSN, by=None)


def test_a_refusal_of_the_first_sending_ends_it(shop: Shop) -> None:
    shop.server.will(signed(barcode_answer("1201")))
    with pytest.raises(Refused, match="1201"):
        shop.do("pay_and_wait", barcode_order())
    assert shop.server.calls == ["payment"]


def test_nothing_sent_is_unreachable(shop: Shop) -> None:
    shop.server.will(*[httpx.ConnectError("no")] * 3)
    with pytest.raises(Unreachable):
        shop.do("pay_and_wait", barcode_order())


# ---- a lost response ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("lost", [LOST, httpx.Response(502), unsigned(barcode_answer())], ids=str)
def test_a_lost_response_is_followed_by_a_query_by_reference(shop: Shop, lost: Any) -> None:
    shop.server.will(lost, PAID_ROW)
    assert isinstance(shop.do("pay_and_wait", barcode_order()), Paid)
    assert shop.server.calls == ["payment", "query"]
    assert shop.server.asked[1].params["out_trade_no"] == "57003579"


def test_a_lost_request_without_a_row_is_repeated_unchanged(shop: Shop) -> None:
    shop.server.will(LOST, NO_ROW, LOST, NO_ROW, TYPING, PAID_ROW)
    assert isinstance(shop.do("pay_and_wait", barcode_order()), Paid)
    assert shop.server.calls == ["payment", "query", "payment", "query", "payment", "query"]
    assert same_bytes(shop, "payment")


def test_a_lost_request_with_a_pending_row_is_not_repeated(shop: Shop) -> None:
    shop.server.will(LOST, UNDECIDED, UNDECIDED, PAID_ROW)
    assert isinstance(shop.do("pay_and_wait", barcode_order()), Paid)
    assert shop.server.calls == ["payment", "query", "query", "query"]


def test_an_accepted_request_is_not_repeated_even_without_a_row(shop: Shop) -> None:
    shop.server.will(TYPING, NO_ROW, NO_ROW, PAID_ROW)
    assert isinstance(shop.do("pay_and_wait", barcode_order()), Paid)
    assert shop.server.calls == ["payment", "query", "query", "query"]


def test_a_refund_under_the_payments_own_reference_does_not_hide_it(shop: Shop) -> None:
    refund = row(order_type="refund", syssn="201709060901990042326683")
    shop.server.will(LOST, signed(page(refund, row())))
    assert isinstance(shop.do("pay_and_wait", barcode_order()), Paid)


def test_a_lost_request_is_not_repeated_while_no_query_is_answered(shop: Shop) -> None:
    shop.server.will(LOST, *[LOST] * 3, *[LOST] * 3)
    pending = shop.do("pay_and_wait", barcode_order(), deadline_s=12)
    assert isinstance(pending, Pending)
    assert shop.server.calls == ["payment", *["query"] * 6]


@pytest.mark.parametrize("respcd", ["1103", "1108"])
def test_an_unsigned_refusal_neither_ends_the_waiting_nor_frees_the_reference(
    shop: Shop, respcd: str
) -> None:
    refused = unsigned(verdict(respcd))
    shop.server.will(refused, PAID_ROW)
    assert isinstance(shop.do("pay_and_wait", barcode_order()), Paid)
    shop.server.will(refused, refused, refused)
    pending = shop.do("pay_and_wait", barcode_order(), deadline_s=8)
    assert isinstance(pending, Pending)
    assert respcd in pending.reason


@pytest.mark.parametrize("respcd", ["1102", "1108", "1251", "1142"])
def test_a_row_overrides_the_refusal_of_a_repeat(shop: Shop, respcd: str) -> None:
    shop.server.will(LOST, NO_ROW, signed(verdict(respcd)), PAID_ROW)
    assert isinstance(shop.do("pay_and_wait", barcode_order()), Paid)


def test_the_refusal_of_a_repeat_is_raised_once_a_query_finds_nothing(shop: Shop) -> None:
    shop.server.will(LOST, NO_ROW, signed(verdict("1202")), NO_ROW)
    with pytest.raises(Refused, match="1202"):
        shop.do("pay_and_wait", barcode_order())


def test_the_refusal_of_a_repeat_is_pending_while_no_query_is_answered(shop: Shop) -> None:
    shop.server.will(LOST, NO_ROW, signed(verdict("1202")), *[LOST] * 3)
    assert isinstance(shop.do("pay_and_wait", barcode_order(), deadline_s=10), Pending)


def test_lasting_out_of_service_is_followed_up_like_a_lost_response(shop: Shop) -> None:
    shop.server.will(*[signed(verdict("1112"))] * 3, PAID_ROW)
    assert isinstance(shop.do("pay_and_wait", barcode_order()), Paid)


@pytest.mark.parametrize(
    "other",
    [
        row(txamt="999"),
        row(pay_type="800108"),
        row(order_type="refund"),
        row(out_trade_no="57003578"),
    ],
    ids=["another amount", "another pay type", "a refund", "another reference"],
)
def test_a_row_of_something_else_does_not_pay_for_it(shop: Shop, other: Any) -> None:
    shop.server.will(LOST, signed(page(other)))
    assert isinstance(shop.do("pay_and_wait", barcode_order(), deadline_s=5), Pending)


# ---- the deadline ------------------------------------------------------------------------------------------


def test_an_undecided_barcode_is_reversed_at_the_deadline_with_the_option(shop: Shop) -> None:
    shop.server.will(TYPING, UNDECIDED, signed(reversal_answer()))
    undone = shop.do("pay_and_wait", barcode_order(), deadline_s=5, on_deadline="reverse")

    assert isinstance(undone, Undone)
    assert isinstance(undone.by, Reversal)
    asked = shop.server.asked[-1]
    assert (asked.call, asked.params["syssn"], asked.params["out_trade_no"], asked.params["txamt"]) == (
        "reversal",
        SYSSN,
        "57003579",
        "10",
    )


def test_waiting_reverses_without_a_query_for_the_amount(shop: Shop) -> None:
    shop.server.will(TYPING, signed(reversal_answer()), signed(reversal_answer()))
    shop.do("pay_and_wait", barcode_order(), deadline_s=0, on_deadline="reverse")
    shop.do("wait", opened_barcode(), deadline_s=0, on_deadline="reverse")

    assert shop.server.calls == ["payment", "reversal", "reversal"]
    assert [asked.params["txamt"] for asked in shop.server.asked] == ["10", "10", "10"]


def opened_barcode() -> Payment:
    return Payment(
        syssn=SYSSN,
        reference="57003579",
        pay_type="800208",
        amount=Money(10, "HKD"),
        server_time=NOW,
        client_time=None,
        payer_ref="",
        pay_url="",
        qr_code="",
        bridge_params={},
        members={},
    )


def test_queries_have_the_time_while_waiting_too_with_the_option(shop: Shop) -> None:
    shop.server.will(TYPING, PAID_ROW)
    shop.do("pay_and_wait", barcode_order(), client={"date_queries": True})
    assert shop.server.asked[1].params["txdtm"] == "2017-09-06 14:56:43"


def test_a_pending_reversal_is_repeated_until_it_is_done(shop: Shop) -> None:
    in_progress = signed(reversal_answer("1145"))
    shop.server.will(TYPING, in_progress, LOST, in_progress, signed(reversal_answer()))
    undone = shop.do("pay_and_wait", barcode_order(), deadline_s=0, on_deadline="reverse")
    assert isinstance(undone, Undone)
    assert shop.server.calls == ["payment", *["reversal"] * 4]
    assert same_bytes(shop, "reversal")
    assert shop.clock.rests == [5.0, 5.0, 5.0]


def test_an_unconfirmed_reversal_leaves_it_pending_after_a_minute(shop: Shop) -> None:
    shop.server.will(TYPING, *[signed(reversal_answer("1145"))] * 13)
    pending = shop.do("pay_and_wait", barcode_order(), deadline_s=0, on_deadline="reverse")
    assert isinstance(pending, Pending)
    assert sum(shop.clock.rests) == 60


@pytest.mark.parametrize(
    ("rows", "expected"),
    [([row()], Paid), ([row(cancel="2")], Undone), ([row("1145")], Pending), ([], Pending)],
)
def test_a_refused_reversal_lets_the_row_decide(shop: Shop, rows: list[Any], expected: type) -> None:
    shop.server.will(TYPING, signed(verdict("1124")), signed(page(*rows)))
    waited = shop.do("pay_and_wait", barcode_order(), deadline_s=0, on_deadline="reverse")
    assert type(waited) is expected


# ---- online ------------------------------------------------------------------------------------------------


def test_an_online_order_is_shown_once_and_then_awaited(shop: Shop) -> None:
    shown: list[Payment] = []
    shop.server.will(
        signed(online_answer()), signed(page(row("1145", **ONLINE))), signed(page(row(**ONLINE)))
    )
    paid = shop.do("pay_and_wait", online_order(), on_opened=shown.append)

    assert isinstance(paid, Paid)
    assert [payment.qr_code for payment in shown] == ["weixin://wxpay/bizpayurl?pr=gFkB"]
    assert shop.clock.rests == [5.0, 5.0]


def test_an_online_order_with_a_lost_response_is_repeated_for_the_payers_link(shop: Shop) -> None:
    shown: list[Payment] = []
    shop.server.will(
        LOST, signed(page(row("1145", **ONLINE))), signed(online_answer()), signed(page(row(**ONLINE)))
    )
    assert isinstance(shop.do("pay_and_wait", online_order(), on_opened=shown.append), Paid)
    assert shop.server.calls == ["payment", "query", "payment", "query"]
    assert same_bytes(shop, "payment")
    assert len(shown) == 1


def test_an_unpaid_online_order_is_closed_at_the_deadline_with_the_option(shop: Shop) -> None:
    shop.server.will(signed(online_answer()), signed(page(row("1145", **ONLINE))), signed(reversal_answer()))
    undone = shop.do(
        "pay_and_wait", online_order(), deadline_s=5, on_deadline="close", on_opened=lambda _: None
    )
    assert isinstance(undone, Undone)
    assert isinstance(undone.by, Close)


def test_a_payer_who_beat_the_close_has_paid(shop: Shop) -> None:
    shop.server.will(signed(online_answer()), signed(verdict("1124")), signed(page(row(**ONLINE))))
    waited = shop.do(
        "pay_and_wait", online_order(), deadline_s=0, on_deadline="close", on_opened=lambda _: None
    )
    assert isinstance(waited, Paid)


def test_an_order_that_was_opened_elsewhere_can_be_awaited(shop: Shop) -> None:
    shop.server.will(
        signed(online_answer()), signed(page(row("1145", **ONLINE))), signed(page(row(**ONLINE)))
    )
    payment = shop.do("payment", online_order())
    assert isinstance(shop.do("wait", payment), Paid)
    assert shop.server.calls == ["payment", "query", "query"]


# ---- invalid arguments -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("order", "settings"),
    [
        (barcode_order(), {"on_deadline": "close"}),
        (online_order(), {"on_deadline": "reverse", "on_opened": print}),
        (online_order(), {}),
        (barcode_order(), {"deadline_s": float("inf")}),
        (barcode_order(), {"deadline_s": float("nan")}),
        (barcode_order(), {"deadline_s": -1}),
    ],
)
def test_invalid_waiting_is_refused_before_anything_is_sent(
    shop: Shop, order: Any, settings: dict[str, Any]
) -> None:
    with pytest.raises(ValueError, match=r".+"):
        shop.do("pay_and_wait", order, **settings)
    assert shop.server.asked == []


def test_a_plain_payment_never_waits(shop: Shop) -> None:
    shop.server.will(TYPING)
    with pytest.raises(OutcomePending):
        shop.do("payment", barcode_order())
    assert shop.clock.rests == []
