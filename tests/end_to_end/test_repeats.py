"""The same reference twice: an equal request gets the first response, a different one is refused, money moves once."""

import pytest

from tests.end_to_end.merchant import ALL_TYPES, OFFLINE, ONLINE, Merchant, at_once, new_reference
from tests.end_to_end.rig import Demo, Members
from tests.support.http_calls import Answer

#: Not compared: a client may fill these in anew at each attempt of the same payment.
FREE = {
    "txdtm": "2001-01-01 00:00:00",
    "product_name": "another name",
    "udid": "another-device",
    "notify_url": "http://m.example/n",
    "goods_info": "else",
}


def other_contents(shop: Merchant, params: dict[str, str]) -> list[dict[str, str]]:
    """`params` with each compared member changed in turn."""
    other_type = "800208" if params["pay_type"] != "800208" else "800228"
    changes = [
        {"txamt": "1001"},
        {"txcurrcd": "USD"},
        {"limit_pay": "no_credit"},
        {"pay_type": other_type, "auth_code": shop.demo.code("wechat")},
    ]
    if params["pay_type"] in OFFLINE:
        changes.append(
            {"auth_code": shop.demo.code("alipay" if params["pay_type"] == "800108" else "wechat")}
        )
    if params["pay_type"] == "800207":
        changes.append({"sub_openid": "o" + "x" * 27})
    return [params | change for change in changes]


def again(shop: Merchant, params: dict[str, str]) -> Answer:
    return shop.call("payment", **params)


def refuses_all(shop: Merchant, params: dict[str, str], respcd: str) -> None:
    for changed in other_contents(shop, params):
        answer = again(shop, changed)
        assert answer.respcd == respcd, (changed, answer.members)
        assert answer["out_trade_no"] == params["out_trade_no"]


@pytest.mark.parametrize("pay_type", ALL_TYPES)
def test_a_repeat_of_a_pending_payment_gets_the_same_numbers_and_pay_data(
    shop: Merchant, demo: Demo, pay_type: str
) -> None:
    params = shop.payment_params(pay_type, "password")
    first = again(shop, params)

    demo.advance(7)
    assert again(shop, params).members == first.members
    assert again(shop, params | FREE).members == first.members
    refuses_all(shop, params, "1102")
    assert len(shop.rows(out_trade_no=params["out_trade_no"])) == 1


def test_valid_time_is_not_compared(shop: Merchant) -> None:
    params = shop.payment_params("800201")
    first = again(shop, params)

    assert again(shop, params | {"valid_time": "900"}).members == first.members


@pytest.mark.parametrize("pay_type", OFFLINE)
def test_a_pending_barcode_payment_that_was_paid_meanwhile_answers_paid(
    shop: Merchant, demo: Demo, pay_type: str
) -> None:
    params = shop.payment_params(pay_type, "password")
    first = again(shop, params)
    assert first.respcd == "1145"

    demo.confirm(trade=first["syssn"])
    shop.until(first["syssn"], "0000")
    repeated = again(shop, params)
    assert (repeated.respcd, repeated["syssn"]) == ("0000", first["syssn"])
    assert repeated["cardcd"]


@pytest.mark.parametrize("pay_type", ALL_TYPES)
def test_a_repeat_of_a_paid_payment_gets_its_success_and_is_not_paid_twice(
    shop: Merchant, demo: Demo, pay_type: str
) -> None:
    opened = shop.paid(pay_type, **(params := shop.payment_params(pay_type)))

    demo.advance(60)
    assert again(shop, params).members == opened.members
    assert again(shop, params | FREE).members == opened.members
    refuses_all(shop, params, "1102")
    assert demo.held(opened["syssn"]) == 1000


@pytest.mark.parametrize("pay_type", OFFLINE)
def test_a_failed_payment_may_be_tried_again_under_its_reference(
    shop: Merchant, demo: Demo, pay_type: str
) -> None:
    params = shop.payment_params(pay_type, "insufficient")
    first, second = again(shop, params), again(shop, params)
    assert (first.respcd, second.respcd) == ("1201", "1201") or second.respcd == "1202"

    third = again(shop, shop.payment_params(pay_type, out_trade_no=params["out_trade_no"], txamt="500"))

    assert third.respcd == "0000"
    assert len({first["syssn"], second["syssn"], third["syssn"]}) == 3
    rows = shop.rows(out_trade_no=params["out_trade_no"])
    assert [row["syssn"] for row in rows] == [third["syssn"], second["syssn"], first["syssn"]]
    assert demo.held(third["syssn"]) == 500
    by_number = shop.call("reversal", out_trade_no=params["out_trade_no"])
    assert by_number["orig_syssn"] == third["syssn"]


@pytest.mark.parametrize("pay_type", ["800151", "800201", "800207"])
def test_a_closed_order_answers_closed(shop: Merchant, pay_type: str) -> None:
    params = shop.payment_params(pay_type)
    shop.closed(pay_type, **params)

    assert again(shop, params).respcd == "1142"
    refuses_all(shop, params, "1142")


def test_an_expired_order_answers_expired(shop: Merchant) -> None:
    for pay_type in ("800151", "800201"):
        params = shop.payment_params(pay_type)
        shop.expired(pay_type, **params)

        assert again(shop, params).respcd == "1181"
        refuses_all(shop, params, "1181")


@pytest.mark.parametrize("pay_type", ["800108", "800208"])
def test_a_reversed_payment_answers_closed(shop: Merchant, demo: Demo, pay_type: str) -> None:
    params = shop.payment_params(pay_type)
    opened = shop.reversed(pay_type, **params)

    assert again(shop, params).respcd == "1142"
    refuses_all(shop, params, "1142")
    assert demo.held(opened["syssn"]) == 0


@pytest.mark.parametrize("pay_type", ["800151", "800108", "800208"])
def test_a_refunded_payment_answers_refunded(shop: Merchant, demo: Demo, pay_type: str) -> None:
    params = shop.payment_params(pay_type)
    opened = shop.refunded(pay_type, **params)

    assert again(shop, params).respcd == "1125"
    refuses_all(shop, params, "1125")
    assert demo.held(opened["syssn"]) == 0


def test_a_reversed_payment_that_was_never_paid_answers_closed(shop: Merchant) -> None:
    params = shop.payment_params("800208", "password")
    shop.closed("800208", **params)

    assert again(shop, params).respcd == "1142"


@pytest.mark.parametrize("pay_type", ["800108", "800208"])
def test_a_repeated_refund_gets_its_first_response_with_the_current_state(
    shop: Merchant, demo: Demo, pay_type: str
) -> None:
    opened = shop.paid(pay_type)
    reference = new_reference()
    first = shop.refund(opened, "100", out_trade_no=reference)

    demo.advance(10)
    shop.until(first["syssn"], "0000")
    repeated = shop.refund(opened, "100", out_trade_no=reference, txdtm="2001-01-01 00:00:00")

    finished = {"respcd": "0000", "resperr": "", "respmsg": "ok"}
    assert repeated.members == first.members | finished
    assert demo.held(opened["syssn"]) == 900
    assert len(demo.refunds(opened["syssn"])) == 1


def test_a_refund_with_other_content_is_refused(shop: Merchant, demo: Demo) -> None:
    opened, other = shop.paid("800208"), shop.paid("800208")
    reference = new_reference()
    shop.refund(opened, "100", out_trade_no=reference)

    assert shop.refund(opened, "101", out_trade_no=reference).respcd == "1102"
    assert shop.refund(other, "100", out_trade_no=reference).respcd == "1102"
    assert demo.held(other["syssn"]) == 1000


def test_a_number_of_a_refund_opens_no_payment(shop: Merchant) -> None:
    reference = new_reference()
    shop.refund(shop.paid("800208"), "100", out_trade_no=reference)

    for pay_type in ("800208", "800201"):
        params = shop.payment_params(pay_type, out_trade_no=reference, txamt="100")
        assert again(shop, params).respcd == "1102"
    assert [row["order_type"] for row in shop.rows(out_trade_no=reference)] == ["refund"]


@pytest.mark.parametrize("pay_type", ["800201", "800151"])
def test_a_refund_of_an_online_payment_may_not_carry_its_number(
    shop: Merchant, demo: Demo, pay_type: str
) -> None:
    opened = shop.paid(pay_type)

    assert shop.refund(opened, "100", out_trade_no=opened["out_trade_no"]).respcd == "1102"
    assert demo.held(opened["syssn"]) == 1000


@pytest.mark.parametrize("pay_type", ["800108", "800208"])
def test_a_refund_may_carry_the_payments_own_number_once(shop: Merchant, demo: Demo, pay_type: str) -> None:
    opened = shop.paid(pay_type)
    own = opened["out_trade_no"]

    first = shop.refund(opened, "100", out_trade_no=own)
    assert first.respcd in ("0000", "2999")
    repeated = shop.refund(opened, "100", out_trade_no=own)
    assert repeated["syssn"] == first["syssn"]
    assert shop.refund(opened, "101", out_trade_no=own).respcd == "1102"
    demo.advance(10)
    shop.until(first["syssn"], "0000")
    assert demo.held(opened["syssn"]) == 900
    kinds = {row["order_type"]: row["syssn"] for row in shop.rows(out_trade_no=own)}
    assert kinds == {"payment": opened["syssn"], "refund": first["syssn"]}


def test_a_number_of_another_payment_refunds_nothing(shop: Merchant, demo: Demo) -> None:
    opened, other = shop.paid("800208"), shop.pending("800201")

    answer = shop.refund(opened, "100", out_trade_no=other["out_trade_no"])
    assert answer.respcd == "1102"
    assert demo.held(opened["syssn"]) == 1000


def test_numbers_are_each_merchants_own(shop: Merchant, wechat_only: Merchant) -> None:
    opened = shop.paid("800208")

    params = wechat_only.payment_params("800208", out_trade_no=opened["out_trade_no"], txamt="77")
    answer = wechat_only.call("payment", **params)
    assert answer.respcd == "0000"
    assert answer["syssn"] != opened["syssn"]


@pytest.mark.parametrize("pay_type", ALL_TYPES)
def test_fifty_equal_posts_at_once_are_one_order_and_get_one_response(
    shop: Merchant, demo: Demo, pay_type: str
) -> None:
    params = shop.payment_params(pay_type)

    answers = at_once(50, lambda _: again(shop, params))

    assert {answer.respcd for answer in answers} == {"0000"}
    assert len({answer.body for answer in answers}) == 1
    assert len(shop.rows(out_trade_no=params["out_trade_no"])) == 1
    syssn = answers[0]["syssn"]
    if pay_type in ONLINE:
        shop.pay_by_phone(answers[0])
        shop.until(syssn, "0000")
    assert len(demo.trades(syssn)) == 1
    assert demo.held(syssn) == 1000


@pytest.mark.parametrize("behaviour", ["password", "unknown_then_paid", "insufficient"])
def test_fifty_posts_of_a_barcode_that_does_not_pay_at_once_use_it_once(
    shop: Merchant, demo: Demo, behaviour: str
) -> None:
    params = shop.payment_params("800208", behaviour)

    answers = at_once(50, lambda _: again(shop, params))

    by_syssn: dict[str, Members] = {answer["syssn"]: answer.members for answer in answers}
    if behaviour == "insufficient":  # a post that comes after the failure is a new attempt, and fails as well
        assert {answer.respcd for answer in answers} <= {"1201", "1202"}
    else:
        assert len(by_syssn) == 1
        assert {answer.respcd for answer in answers} <= {"0000", "1145"}
    assert sum(demo.held(syssn) for syssn in by_syssn) in (0, 1000)


def test_of_two_contents_at_once_one_wins(shop: Merchant, demo: Demo) -> None:
    reference = new_reference()
    contents = [
        shop.payment_params("800208", out_trade_no=reference, txamt=amount) for amount in ("100", "200")
    ]

    answers = at_once(20, lambda index: again(shop, contents[index % 2]))

    winners = {answer.members.get("txamt") for answer in answers if answer.respcd == "0000"}
    assert len(winners) == 1
    assert {answer.respcd for answer in answers} == {"0000", "1102"}
    assert len([answer for answer in answers if answer.respcd == "0000"]) == 10
    rows = shop.rows(out_trade_no=reference)
    assert [row["txamt"] for row in rows] == list(winners)
    assert demo.held(rows[0]["syssn"]) == int(rows[0]["txamt"])


@pytest.mark.parametrize("pay_type", ["800108", "800208"])
def test_fifty_equal_refunds_at_once_are_one(shop: Merchant, demo: Demo, pay_type: str) -> None:
    opened = shop.paid(pay_type)
    reference = new_reference()

    answers = at_once(50, lambda _: shop.refund(opened, "20", out_trade_no=reference, txdtm=opened["txdtm"]))

    assert len({answer["syssn"] for answer in answers}) == 1
    assert {answer.respcd for answer in answers} <= {"0000", "2999"}
    demo.advance(10)
    shop.until(answers[0]["syssn"], "0000")
    assert demo.held(opened["syssn"]) == 980
    assert len(demo.refunds(opened["syssn"])) == 1


def test_a_payment_and_a_refund_race_for_one_number(shop: Merchant) -> None:
    opened = shop.paid("800208")
    reference = new_reference()
    params = shop.payment_params("800208", out_trade_no=reference)

    def act(index: int) -> Answer:
        return again(shop, params) if index % 2 else shop.refund(opened, "1", out_trade_no=reference)

    answers = at_once(20, act)
    kinds = {row["order_type"] for row in shop.rows(out_trade_no=reference)}
    assert len(kinds) == 1
    refused = [answer for answer in answers if answer.respcd == "1102"]
    assert len(refused) == 10
