"""Each call: its request, its result, and its exceptions."""

import hashlib
import json
from datetime import datetime
from typing import Any

import httpx
import pytest
from tael_client import (
    AnswerNotProven,
    BadSignature,
    Client,
    Credentials,
    Filters,
    Money,
    OutcomePending,
    OutcomeUnknown,
    PaymentOrder,
    Refused,
    RowKind,
    SignType,
    TaelClientError,
    Timeouts,
    Undecided,
    Unreachable,
)

from tests.client.world import (
    KEY,
    MCHID,
    NOW,
    SYSSN,
    UTC8,
    Members,
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

REFUND = (SYSSN, "98654216", Money(10))
REFUND_ANSWER = {
    "resperr": "",
    "txdtm": "2017-09-06 15:09:08",
    "txamt": "10",
    "respmsg": "ok",
    "out_trade_no": "98654216",
    "syssn": "201709060901990042326683",
    "respcd": "0000",
    "sysdtm": "2017-09-06 15:09:09",
    "orig_syssn": SYSSN,
}
#: Each call that moves money or an order, with its arguments and a response.
ACTS: list[tuple[str, tuple[Any, ...], Members, Members]] = [
    ("payment", (barcode_order(),), {}, barcode_answer()),
    ("refund", REFUND, {}, REFUND_ANSWER),
    ("close", (), {"syssn": SYSSN}, reversal_answer()),
    ("reversal", (), {"syssn": SYSSN, "amount": Money(10)}, reversal_answer()),
]


def wrong_key(members: Members) -> httpx.Response:
    return signed(members, key="another")


def flipped(members: Members) -> httpx.Response:
    """The right signature, and a body with one byte changed."""
    answer = signed(members)
    body = answer.content.replace(b'"syssn": "2017', b'"syssn": "2018')
    return httpx.Response(200, headers={"X-QF-SIGN": answer.headers["X-QF-SIGN"]}, content=body)


# ---- responses ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "named",
    [
        {"orig_syssn": SYSSN},
        {"origssn": SYSSN},
        {"orig_syssn": SYSSN, "origssn": SYSSN},
        {"orig_syssn": "", "origssn": SYSSN},
    ],
)
def test_a_refund_names_its_payment_in_either_spelling_or_in_both(shop: Shop, named: Members) -> None:
    answer = {name: value for name, value in REFUND_ANSWER.items() if name != "orig_syssn"}
    shop.server.will(signed(answer | named), signed(answer | named | {"respcd": "2999"}))
    assert shop.do("refund", *REFUND).payment_syssn == SYSSN
    with pytest.raises(OutcomePending) as raised:
        shop.do("refund", *REFUND)
    assert raised.value.verdict.orig_syssn == SYSSN


@pytest.mark.parametrize("named", [{"origssn": "1"}, {"orig_syssn": SYSSN, "origssn": "1"}])
def test_a_refund_of_another_payment_is_refused_as_a_response(shop: Shop, named: Members) -> None:
    answer = {name: value for name, value in REFUND_ANSWER.items() if name != "orig_syssn"}
    shop.server.will(signed(answer | named))
    with pytest.raises(OutcomeUnknown):
        shop.do("refund", *REFUND)


def test_a_row_has_time_payer_and_goods(shop: Shop) -> None:
    details = {"paydtm": "2017-09-06 14:57:00", "chnlsn": "w1", "cardcd": "oPayer", "goods_name": "茶"}
    refund = details | {"order_type": "refund", "origssn": SYSSN, "syssn": "201709060901990042326683"}
    shop.server.will(signed(page(row(**refund), row(**details), row())))

    back, paid, bare = shop.do("query").rows
    assert paid.paid_at == datetime(2017, 9, 6, 14, 57, tzinfo=UTC8)
    assert (paid.wallet_ref, paid.payer_ref, paid.product_name, paid.payment_syssn) == (
        "w1",
        "oPayer",
        "茶",
        "",
    )
    assert back.payment_syssn == SYSSN
    assert (bare.paid_at, bare.wallet_ref, bare.payer_ref, bare.product_name) == (None, "", "", "")


@pytest.mark.parametrize("value", [None, [], {}, 1.5, True])
def test_a_member_that_only_some_servers_have_does_not_make_a_page_unreadable(shop: Shop, value: Any) -> None:
    more = dict.fromkeys(("paydtm", "chnlsn", "cardcd", "goods_name", "origssn"), value)
    shop.server.will(signed(page(row(**more))))
    (seen,) = shop.do("query").rows
    assert (seen.paid_at, seen.wallet_ref, seen.payment_syssn) == (None, "", "")


def test_a_barcode_payment_of_the_example_is_paid(shop: Shop) -> None:
    shop.server.will(signed(barcode_answer()))
    payment = shop.do("payment", barcode_order())

    assert (payment.syssn, payment.reference, payment.pay_type) == (SYSSN, "57003579", "800208")
    assert payment.amount == Money(10, "HKD")
    assert payment.server_time == datetime(2017, 9, 6, 14, 56, 43, tzinfo=UTC8)
    assert payment.client_time == payment.server_time
    assert payment.payer_ref == "oKeGJuIhEWuWZQPdXFBkXdgr5nLc"
    assert payment.is_paid
    assert payment.members["code_url"] == ""


@pytest.mark.parametrize(
    ("order", "members", "expected"),
    [
        (
            PaymentOrder.alipay_web("57003579", Money(10)),
            {"pay_type": "800151", "pay_url": "https://mapi.alipay.example/x", "qrcode": ""},
            ("https://mapi.alipay.example/x", "", {}),
        ),
        (
            online_order(),
            {"pay_type": "800201", "qrcode": "weixin://wxpay/bizpayurl?pr=1"},
            ("weixin://wxpay/bizpayurl?pr=1", "weixin://wxpay/bizpayurl?pr=1", {}),
        ),
        (
            PaymentOrder.wechat_in_app("57003579", Money(10), "oX"),
            {"pay_type": "800207", "pay_params": {"appId": "wx1", "timeStamp": 5}, "qrcode": ""},
            ("", "", {"appId": "wx1", "timeStamp": "5"}),
        ),
    ],
    ids=["alipay", "wechat qr", "in app"],
)
def test_an_online_payment_is_created_unpaid_with_the_payers_link(
    shop: Shop, order: PaymentOrder, members: Members, expected: tuple[str, str, Members]
) -> None:
    shop.server.will(signed(online_answer() | members))
    payment = shop.do("payment", order)

    assert not payment.is_paid
    assert (payment.pay_url, payment.qr_code, payment.bridge_params) == expected


def test_a_refund_names_the_payment_and_has_a_number_of_its_own(shop: Shop) -> None:
    shop.server.will(signed(REFUND_ANSWER))
    refund = shop.do("refund", *REFUND)

    assert shop.server.asked[0].params == {
        "mchid": MCHID,
        "syssn": SYSSN,
        "out_trade_no": "98654216",
        "txamt": "10",
        "txdtm": "2017-09-06 14:56:43",
    }
    assert (refund.payment_syssn, refund.syssn) == (SYSSN, "201709060901990042326683")
    assert (refund.reference, refund.amount.amount_minor) == ("98654216", 10)


@pytest.mark.parametrize(("name", "kwargs"), [("close", {}), ("reversal", {"amount": Money(10)})])
def test_a_reversal_or_close_names_the_payment_by_one_of_its_numbers_or_both(
    shop: Shop, name: str, kwargs: Members
) -> None:
    shop.server.will(signed(reversal_answer()), signed(reversal_answer()), signed(reversal_answer()))
    shop.do(name, syssn=SYSSN, **kwargs)
    shop.do(name, reference="57003579", **kwargs)
    undone = shop.do(name, syssn=SYSSN, reference="57003579", **kwargs)

    sent = [set(asked.params) & {"syssn", "out_trade_no"} for asked in shop.server.asked]
    assert sent == [{"syssn"}, {"out_trade_no"}, {"syssn", "out_trade_no"}]
    assert (undone.payment_syssn, undone.syssn) == (SYSSN, "201709060902990042326548")
    with pytest.raises(ValueError, match="give the payment's"):
        shop.do(name)
    assert len(shop.server.asked) == 3


def test_a_close_sends_the_amount_only_if_it_is_given(shop: Shop) -> None:
    shop.server.will(signed(reversal_answer()), signed(reversal_answer()))
    shop.do("close", syssn=SYSSN)
    shop.do("close", syssn=SYSSN, amount=Money(10))

    assert [asked.params.get("txamt") for asked in shop.server.asked] == [None, "10"]


def test_the_response_to_another_call_is_no_response_to_a_payment(shop: Shop) -> None:
    """A refund under the payment's own number is answered with the same number and amount."""
    other = reversal_answer(txamt="10", out_trade_no=barcode_answer()["out_trade_no"])
    shop.server.will(signed(other))
    with pytest.raises(OutcomeUnknown, match="another call"):
        shop.do("payment", barcode_order())


def test_a_query_sends_its_filters_and_returns_typed_rows(shop: Shop) -> None:
    refund = row(order_type="refund", syssn="201709060901990042326683")
    shop.server.will(signed(page(row("1145"), refund, row(cancel="1"), row(cancel="2"), row())))
    filters = Filters(
        syssns=["1", "2"],
        references=["a", "b"],
        pay_types=["800201", "800208"],
        respcd="0000",
        since=NOW,
        until=NOW,
    )
    got = shop.do("query", filters, page=2, page_size=20)

    assert shop.server.asked[0].params == {
        "mchid": MCHID,
        "syssn": "1,2",
        "out_trade_no": "a,b",
        "pay_type": "800201,800208",
        "respcd": "0000",
        "start_time": "2017-09-06 14:56:43",
        "end_time": "2017-09-06 14:56:43",
        "page": "2",
        "page_size": "20",
    }
    assert [each.kind for each in got.rows[:2]] == [RowKind.PAYMENT, RowKind.REFUND]
    assert [each.is_paid for each in got.rows] == [False, False, False, False, True]
    assert [each.is_undone for each in got.rows] == [False, False, True, True, False]
    assert got.rows[0].amount == Money(10)
    assert got.rows[0].server_time == NOW


def test_a_query_sends_the_time_only_with_the_option(shop: Shop) -> None:
    shop.server.will(signed(page()), signed(page()), signed(page()))
    shop.do("query", page_size=10)
    shop.do("query", page_size=10, client={"date_queries": True})
    shop.do("query_all", client={"date_queries": True})

    undated = {"mchid": MCHID, "page": "1", "page_size": "10"}
    dated = undated | {"txdtm": "2017-09-06 14:56:43"}
    assert [asked.params for asked in shop.server.asked[:2]] == [undated, dated]
    text = f"mchid={MCHID}&page=1&page_size=10&txdtm=2017-09-06 14:56:43{KEY}"
    assert shop.server.asked[1].headers["X-QF-SIGN"] == hashlib.md5(text.encode()).hexdigest().upper()
    assert shop.server.asked[2].params["txdtm"] == "2017-09-06 14:56:43"


def test_unknown_members_are_kept_and_whole_numbers_need_no_quotes(shop: Shop) -> None:
    members = barcode_answer() | {"chnlsn": "4200", "txamt": 10, "syssn": int(SYSSN)}
    shop.server.will(signed(members))
    payment = shop.do("payment", barcode_order())
    assert (payment.syssn, payment.amount.amount_minor) == (SYSSN, 10)
    assert payment.members["chnlsn"] == "4200"


# ---- refused responses -------------------------------------------------------------------------------------


@pytest.mark.parametrize(("name", "args", "kwargs", "answer"), ACTS, ids=[act[0] for act in ACTS])
@pytest.mark.parametrize(
    ("respcd", "error", "is_final"),
    [
        ("1145", OutcomePending, None),
        ("2999", OutcomePending, None),
        ("1143", OutcomePending, None),
        ("1131", OutcomeUnknown, None),
        ("9999", OutcomeUnknown, None),
        ("1201", Refused, True),
        ("1124", Refused, True),
        ("1111", Refused, False),
        ("1269", Refused, False),
    ],
)
def test_a_call_returns_only_on_success_and_raises_by_the_meaning_of_the_code(
    shop: Shop,
    name: str,
    args: tuple[Any, ...],
    kwargs: Members,
    answer: Members,
    respcd: str,
    error: type[TaelClientError],
    is_final: bool | None,
) -> None:
    shop.server.will(signed(answer | {"respcd": respcd, "respmsg": "why", "resperr": "原因"}))
    with pytest.raises(error) as raised:
        shop.do(name, *args, **kwargs)

    assert type(raised.value) is error
    assert raised.value.respcd == respcd  # type: ignore[attr-defined]
    assert isinstance(raised.value, Undecided) == (error is not Refused)
    if isinstance(raised.value, Refused | OutcomePending):
        assert (raised.value.respmsg, raised.value.resperr) == ("why", "原因")
        assert raised.value.syssn == answer["syssn"]
        assert raised.value.reference == answer["out_trade_no"]
    if isinstance(raised.value, Refused):
        assert raised.value.is_final is is_final
    assert len(shop.server.asked) == 1


@pytest.mark.parametrize(("name", "args", "kwargs", "answer"), ACTS, ids=[act[0] for act in ACTS])
@pytest.mark.parametrize("spoil", [wrong_key, flipped, unsigned])
def test_an_unproven_response_is_not_accepted(
    shop: Shop, name: str, args: tuple[Any, ...], kwargs: Members, answer: Members, spoil: Any
) -> None:
    shop.server.will(spoil(answer))
    with pytest.raises(AnswerNotProven) as raised:
        shop.do(name, *args, **kwargs)
    assert isinstance(raised.value, Undecided)
    assert isinstance(raised.value, BadSignature)
    assert len(shop.server.asked) == 1


@pytest.mark.parametrize(
    ("name", "args", "kwargs", "members"),
    [
        ("payment", (barcode_order(),), {}, barcode_answer(out_trade_no="57003580")),
        ("payment", (barcode_order(),), {}, barcode_answer(txamt="11")),
        ("payment", (barcode_order(),), {}, barcode_answer(pay_type="800108")),
        (
            "payment",
            (PaymentOrder.wechat_qr("57003579", Money(10, "CNY")),),
            {},
            online_answer(txcurrcd="HKD"),
        ),
        ("refund", REFUND, {}, REFUND_ANSWER | {"orig_syssn": "201709060902990042326400"}),
        ("refund", REFUND, {}, REFUND_ANSWER | {"txamt": "1"}),
        ("close", (), {"reference": "1"}, reversal_answer()),
        ("reversal", (), {"syssn": "1", "amount": Money(10)}, reversal_answer()),
    ],
)
def test_a_signed_response_to_another_request_is_not_accepted(
    shop: Shop, name: str, args: tuple[Any, ...], kwargs: Members, members: Members
) -> None:
    shop.server.will(signed(members))
    with pytest.raises(AnswerNotProven, match="about another"):
        shop.do(name, *args, **kwargs)


@pytest.mark.parametrize(("name", "args", "kwargs", "answer"), ACTS, ids=[act[0] for act in ACTS])
@pytest.mark.parametrize("kind", ["payment", "refund", "", None, {}], ids=repr)
def test_a_correctly_signed_webhook_is_no_response(
    shop: Shop, name: str, args: tuple[Any, ...], kwargs: Members, answer: Members, kind: Any
) -> None:
    shop.server.will(signed(answer | {"notify_type": kind}))
    with pytest.raises(AnswerNotProven, match="a webhook, not a response"):
        shop.do(name, *args, **kwargs)


def test_a_webhook_is_no_response_of_an_unsigned_server_either(shop: Shop) -> None:
    shop.server.will(unsigned(barcode_answer(notify_type="payment")))
    with pytest.raises(AnswerNotProven, match="a webhook, not a response"):
        shop.do("payment", barcode_order(), client={"signed_answers": False})


@pytest.mark.parametrize("asked", [SignType.MD5, SignType.SHA256])
@pytest.mark.parametrize(
    ("expected", "right", "wrong"),
    [(SignType.MD5, hashlib.md5, hashlib.sha256), (SignType.SHA256, hashlib.sha256, hashlib.md5)],
    ids=["MD5", "SHA256"],
)
def test_a_response_is_signed_with_the_algorithm_of_the_credentials(
    shop: Shop, asked: SignType, expected: SignType, right: Any, wrong: Any
) -> None:
    credentials = Credentials("123456", KEY, MCHID, asked, response_sign_type=expected)
    shop.server.will(signed(barcode_answer(), algorithm=right), signed(barcode_answer(), algorithm=wrong))
    assert shop.do("payment", barcode_order(), client={"credentials": credentials}).is_paid
    with pytest.raises(AnswerNotProven, match="signature of the response is wrong"):
        shop.do("payment", barcode_order(), client={"credentials": credentials})


@pytest.mark.parametrize("respcd", ["1103", "1108"])
@pytest.mark.parametrize(("name", "args", "kwargs", "_"), ACTS)
def test_an_unsigned_refusal_is_reported_and_decides_nothing(
    shop: Shop, respcd: str, name: str, args: tuple[Any, ...], kwargs: Members, _: Members
) -> None:
    shop.server.will(unsigned(verdict(respcd, respmsg="the signature is wrong"), status=404))
    with pytest.raises(AnswerNotProven, match=f"{respcd} the signature is wrong") as raised:
        shop.do(name, *args, **kwargs)
    assert isinstance(raised.value, Undecided)
    assert raised.value.respcd == respcd
    assert shop.server.calls == [name]


@pytest.mark.parametrize("respcd", ["1103", "1108"])
def test_a_query_that_is_refused_unsigned_is_not_repeated(shop: Shop, respcd: str) -> None:
    shop.server.will(unsigned(verdict(respcd)))
    with pytest.raises(AnswerNotProven, match=respcd):
        shop.do("query")
    assert shop.server.calls == ["query"]


@pytest.mark.parametrize("respcd", ["1103", "1108"])
def test_the_same_refusal_is_final_once_it_is_proven(shop: Shop, respcd: str) -> None:
    lenient = {"signed_answers": False}
    for response, client in ((signed(verdict(respcd)), {}), (unsigned(verdict(respcd)), lenient)):
        shop.server.will(response)
        with pytest.raises(Refused) as raised:
            shop.do("payment", barcode_order(), client=client)
        assert raised.value.is_final


@pytest.mark.parametrize("respcd", ["1100", "1112"])
def test_an_unsigned_refusal_that_requests_a_repeat_is_accepted(shop: Shop, respcd: str) -> None:
    shop.server.will(*[unsigned(verdict(respcd))] * 3)
    with pytest.raises(Refused) as raised:
        shop.do("payment", barcode_order())
    assert not raised.value.is_final


@pytest.mark.parametrize("respcd", ["0000", "1145", "1104", "1142", "1201"])
def test_no_other_code_is_accepted_unsigned(shop: Shop, respcd: str) -> None:
    shop.server.will(unsigned(barcode_answer(respcd)))
    with pytest.raises(AnswerNotProven, match="not signed"):
        shop.do("payment", barcode_order())


def test_an_unsigned_response_is_accepted_with_the_option_but_a_wrong_signature_never(
    shop: Shop,
) -> None:
    shop.server.will(unsigned(barcode_answer()), wrong_key(barcode_answer()))
    lenient = {"signed_answers": False}
    assert shop.do("payment", barcode_order(), client=lenient).is_paid
    with pytest.raises(AnswerNotProven, match="wrong"):
        shop.do("payment", barcode_order(), client=lenient)


@pytest.mark.parametrize(
    "answer",
    [
        httpx.Response(502, content=b"<html>Bad Gateway"),
        httpx.Response(200, content=b""),
        httpx.Response(302, headers={"Location": "https://elsewhere.example/"}),
        signed("[]"),
        signed("{}"),
        signed('{"respcd": "0000", "respcd": "1201"}'),
        signed("[" * 50_000),
        signed({"respcd": "0000"}),
        signed(barcode_answer(sysdtm="yesterday")),
        signed(barcode_answer(syssn="none")),
        signed(barcode_answer() | {"txamt": 10.0}),
        signed(barcode_answer() | {"pay_params": [1]}),
        signed(barcode_answer(), status=500),
        signed(json.dumps(barcode_answer()) + " " * (4 * 1024 * 1024)),
    ],
    ids=lambda answer: f"{answer.status_code} {answer.content[:40]!r}",
)
def test_an_unreadable_response_leaves_the_outcome_unknown(shop: Shop, answer: httpx.Response) -> None:
    shop.server.will(answer)
    with pytest.raises(OutcomeUnknown) as raised:
        shop.do("payment", barcode_order())
    assert raised.value.respcd == ""
    assert shop.server.calls == ["payment"]


# ---- repeats -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("name", "args", "kwargs", "answer"), ACTS, ids=[act[0] for act in ACTS])
@pytest.mark.parametrize(
    "failure",
    [
        httpx.ReadTimeout("late"),
        httpx.WriteError("cut"),
        httpx.ReadError("cut"),
        httpx.RemoteProtocolError("?"),
    ],
    ids=lambda failure: type(failure).__name__,
)
def test_a_request_that_may_have_been_sent_is_not_repeated_by_itself(
    shop: Shop, name: str, args: tuple[Any, ...], kwargs: Members, answer: Members, failure: Exception
) -> None:
    shop.server.will(failure)
    with pytest.raises(OutcomeUnknown):
        shop.do(name, *args, **kwargs)
    assert shop.server.calls == [name]


@pytest.mark.parametrize(("name", "args", "kwargs", "answer"), ACTS, ids=[act[0] for act in ACTS])
@pytest.mark.parametrize(
    "failure",
    [
        httpx.ConnectError("unreachable"),
        httpx.ConnectTimeout("unreachable"),
        unsigned(verdict("1112"), status=429),
        signed(verdict("1112")),
    ],
    ids=lambda failure: str(failure),
)
def test_a_request_that_was_not_processed_is_repeated_with_the_same_bytes(
    shop: Shop, name: str, args: tuple[Any, ...], kwargs: Members, answer: Members, failure: Any
) -> None:
    shop.server.will(failure, failure, signed(answer))
    assert shop.do(name, *args, **kwargs).syssn == answer["syssn"]

    first, *others = shop.server.asked
    assert len(others) == 2
    assert {(asked.body, asked.headers["X-QF-SIGN"]) for asked in others} == {
        (first.body, first.headers["X-QF-SIGN"])
    }
    assert shop.clock.rests == [0.5, 2.0]


def too_many(retry_after: str, content: bytes | None = None) -> httpx.Response:
    """HTTP 429, in the gateway's form or with a body of a proxy."""
    answer = (
        unsigned(verdict("1112"), status=429) if content is None else httpx.Response(429, content=content)
    )
    answer.headers["Retry-After"] = retry_after
    return answer


@pytest.mark.parametrize("content", [None, b"Too Many Requests", b""])
@pytest.mark.parametrize(("name", "args", "kwargs", "answer"), ACTS, ids=[act[0] for act in ACTS])
def test_after_429_the_same_bytes_are_sent_again_after_retry_after(
    shop: Shop, name: str, args: tuple[Any, ...], kwargs: Members, answer: Members, content: bytes | None
) -> None:
    shop.server.will(too_many("7", content), too_many("1", content), signed(answer))
    assert shop.do(name, *args, **kwargs).syssn == answer["syssn"]
    assert len({(asked.body, asked.headers["X-QF-SIGN"]) for asked in shop.server.asked}) == 1
    assert shop.clock.rests == [7, 2.0]


@pytest.mark.parametrize("name", ["payment", "query"])
def test_a_long_retry_after_is_left_to_the_caller(shop: Shop, name: str) -> None:
    shop.server.will(too_many("11"))
    with pytest.raises(Refused) as raised:
        shop.do(name, *([barcode_order()] if name == "payment" else []))
    assert (raised.value.respcd, raised.value.is_final, raised.value.retry_after_s) == ("1112", False, 11)
    assert shop.clock.rests == []


@pytest.mark.parametrize(
    "retry_after", ["", "0", "-1", "Sun, 29 Nov 2026 12:00:00 GMT", "9" * 5000, "٣", "1.5"]
)
def test_an_unreadable_retry_after_leaves_the_usual_wait(shop: Shop, retry_after: str) -> None:
    refused = unsigned(verdict("1112")).content
    answer = httpx.Response(429, headers=[(b"Retry-After", retry_after.encode())], content=refused)
    shop.server.will(answer, signed(barcode_answer()))
    assert shop.do("payment", barcode_order()).is_paid
    assert shop.clock.rests == [0.5]


def test_repeats_after_429_are_bounded(shop: Shop) -> None:
    shop.server.will(*[too_many("3")] * 3)
    with pytest.raises(Refused) as raised:
        shop.do("payment", barcode_order())
    assert raised.value.retry_after_s == 3
    assert shop.clock.rests == [3, 3]


def test_429_with_a_wrong_signature_or_as_a_success_is_no_refusal(shop: Shop) -> None:
    shop.server.will(signed(verdict("1112"), 429, "another"), signed(barcode_answer(), status=429))
    for _ in range(2):
        with pytest.raises(OutcomeUnknown):
            shop.do("payment", barcode_order())


def test_repeats_are_bounded_and_an_unsent_request_is_unreachable(shop: Shop) -> None:
    shop.server.will(*[httpx.ConnectError("no")] * 3)
    with pytest.raises(Unreachable):
        shop.do("payment", barcode_order())
    assert shop.server.is_through

    shop.server.will(httpx.ConnectError("no"))
    with pytest.raises(Unreachable):
        shop.do("payment", barcode_order(), client={"attempts": 1})


def test_unreachable_after_a_1112_is_reported_as_that_1112(shop: Shop) -> None:
    shop.server.will(signed(verdict("1112")), *[httpx.ConnectError("no")] * 2)
    with pytest.raises(Refused) as raised:
        shop.do("payment", barcode_order())
    assert (raised.value.respcd, raised.value.is_final) == ("1112", False)


@pytest.mark.parametrize("respcd", ["1102", "1251", "1260"])
def test_a_duplicate_after_a_1112_may_be_our_own(shop: Shop, respcd: str) -> None:
    shop.server.will(signed(verdict("1112")), signed(verdict(respcd)))
    with pytest.raises(OutcomeUnknown) as raised:
        shop.do("payment", barcode_order())
    assert raised.value.respcd == respcd


@pytest.mark.parametrize(
    "failure",
    [
        httpx.ReadTimeout("late"),
        httpx.ConnectError("no"),
        httpx.Response(502, content=b"<html>"),
        signed(verdict("1112")),
        wrong_key(page()),
    ],
    ids=str,
)
def test_a_query_is_repeated_after_any_failure_three_times_at_most(shop: Shop, failure: Any) -> None:
    shop.server.will(failure, failure, signed(page(row())))
    assert len(shop.do("query").rows) == 1

    shop.server.will(failure, failure, failure)
    with pytest.raises(TaelClientError):
        shop.do("query")
    assert shop.server.is_through


def test_a_query_with_a_final_refusal_is_not_repeated(shop: Shop) -> None:
    shop.server.will(signed(verdict("1104")))
    with pytest.raises(Refused):
        shop.do("query")
    assert shop.server.calls == ["query"]


@pytest.mark.parametrize("base_url", ["", "pay.example", "ftp://pay.example", "https://pay.example?x=1"])
def test_an_invalid_base_url_is_refused(shop: Shop, base_url: str) -> None:
    with pytest.raises(ValueError, match="base_url"):
        shop.do("query", client={"base_url": base_url})


REMOTE: list[str] = [
    "http://pay.example",
    "HTTP://pay.example:8000/",
    "http://192.0.2.7",
    "http://10.0.0.1",
    "http://[2001:db8::1]",
    "http://127.0.0.1@pay.example",
    "http://localhost.pay.example",
]


@pytest.mark.parametrize("base_url", REMOTE)
def test_plain_http_to_another_machine_needs_an_option(shop: Shop, base_url: str) -> None:
    with pytest.raises(ValueError, match="plain HTTP"):
        shop.do("query", client={"base_url": base_url})
    assert shop.server.calls == []
    shop.server.will(signed(page()))
    shop.do("query", client={"base_url": base_url, "allow_http": True})


@pytest.mark.parametrize(
    "base_url",
    [
        "http://127.0.0.1:8000",
        "http://127.8.9.10",
        "http://localhost:8000/",
        "http://[::1]:8000",
        "https://192.0.2.7",
    ],
)
def test_plain_http_to_this_machine_and_https_need_none(shop: Shop, base_url: str) -> None:
    shop.server.will(signed(page()))
    shop.do("query", client={"base_url": base_url})


def test_a_redirect_is_not_followed_even_by_a_client_that_follows_them() -> None:
    asked: list[str] = []

    def answer(request: httpx.Request) -> httpx.Response:
        asked.append(str(request.url))
        return httpx.Response(307, headers={"Location": "http://pay.example/trade/v1/payment"})

    with (
        httpx.Client(transport=httpx.MockTransport(answer), follow_redirects=True) as http,
        Client("https://pay.example", Credentials("123456", KEY, MCHID), http=http) as client,
        pytest.raises(OutcomeUnknown),
    ):
        client.payment(barcode_order())
    assert asked == ["https://pay.example/trade/v1/payment"]


def test_the_time_limits_are_those_that_were_set(shop: Shop) -> None:
    shop.server.will(signed(page()), signed(page()))
    shop.do("query")
    shop.do("query", client={"timeouts": Timeouts(connect_s=1.5, read_s=300)})
    assert [asked.timeouts for asked in shop.server.asked] == [
        {"connect": 5.0, "read": 60.0, "write": 60.0, "pool": 5.0},
        {"connect": 1.5, "read": 300, "write": 300, "pool": 1.5},
    ]
