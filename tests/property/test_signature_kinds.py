"""A signature has one meaning: a message signed as one kind, or for one call, is not accepted as another.

Messages are signed as most merchants' programs sign: naively. Hypothesis chooses the texts that an attacker can write,
with everything in them that helps.
"""

import re
from collections.abc import Mapping
from functools import cache
from itertools import pairwise
from pathlib import Path
from typing import Any, Final

import pytest
from hypothesis import event, example, given, settings
from hypothesis import strategies as st

from tael.api.wire import json_text
from tael.base.errors import NotAllowed
from tael.base.money import Money
from tael.base.secret import Secret
from tael.base.transport import Answer
from tael.channels.outcomes import PayCode
from tael.channels.wechat_v2.exchange import SETTLEMENTQUERY, Succeeded, complete, parse_response
from tael.channels.wechat_v2.messages import BadMessage, paid_trade
from tael.channels.wechat_v2.settlement_records import pairs_of, records_of
from tael.merchants.domain.merchant import Style
from tael.payments.domain.page_urls import LinkKey, Pages
from tael.payments.domain.payment import State
from tael.payments.domain.refund import RefundState
from tael.qfpay.answers import close_answer, error_answer, payment_answer, query_answer, refund_answer
from tael.qfpay.codes import Call
from tael.qfpay.errors import BadField
from tael.qfpay.settlements import settlements_answer
from tael.qfpay.webhook_bodies import body_of, payment_members, refund_members
from tests.support import wechat
from tests.support.signature_attacks import (
    APPCODE,
    CALLS,
    FORMS,
    PRICE,
    REFERENCE,
    SYSSN,
    TIME,
    Form,
    Params,
    acceptances,
    accepted,
    joined,
    link_joined,
    signed,
)
from tests.support.values import MCHID, NOW, a_paid_payment, a_payment, a_refund, an_app

SECURITY: Final = Path(__file__).parents[2] / "SECURITY.md"

#: Every parameter and member that is read anywhere, with a valid value.
GOOD: Final = {
    "Mchid": MCHID,
    "app_code": APPCODE,
    "appcode": APPCODE,
    "auth_code": "134567890123456789",
    "cancel_url": "https://evil.example/c",
    "checkout_expired_time": "60",
    "code": "021abcDEF",
    "Date_end": "20260131",
    "Date_start": "20260101",
    "date_end": "20260131",
    "date_start": "20260101",
    "end_time": TIME,
    "expired_time": "60",
    "failed_url": "https://evil.example/f",
    "goods_name": "Tea",
    "limit_pay": "no_credit",
    "mchid": MCHID,
    "mchntid": MCHID,
    "notify_type": "payment",
    "notify_url": "https://evil.example/n",
    "out_trade_no": REFERENCE,
    "page": "1",
    "page_size": "10",
    "pay_type": "800201",
    "paymethod": "2",
    "paysource": "x_checkout",
    "product_name": "Tea",
    "redirect_uri": "https://evil.example/o",
    "respcd": "0000",
    "respmesg": "",
    "respmsg": "",
    "return_url": "https://evil.example/r",
    "sign_type": "MD5",
    "start_time": TIME,
    "sub_openid": "oPayer",
    "trade_date": "2025-12-31",
    "syssn": SYSSN,
    "txamt": "1",
    "txcurrcd": "HKD",
    "txdtm": TIME,
    "udid": "terminal",
    "valid_time": "300",
}
#: A whole message of each kind, for an attacker who writes it into one text.
WHOLE: Final = (
    ("mchid", "out_trade_no", "pay_type", "respcd", "respmsg", "syssn"),
    ("mchid", "out_trade_no", "pay_type", "respcd", "respmsg", "syssn", "txamt", "txdtm"),
    (
        "appcode",
        "failed_url",
        "mchid",
        "out_trade_no",
        "paysource",
        "return_url",
        "sign_type",
        "txamt",
        "txdtm",
    ),
    ("out_trade_no", "paysource", "return_url", "sign_type", "txamt", "txdtm"),
    ("mchid", "out_trade_no", "syssn", "txamt", "txdtm"),
    ("out_trade_no", "pay_type", "txamt", "txdtm"),
    ("syssn", "txamt", "txdtm"),
    ("syssn",),
    ("txamt",),
    ("app_code", "mchid", "redirect_uri"),
    ("code", "mchid"),
    ("date_end", "date_start", "mchid"),
    ("mchid", "trade_date"),
)


def _hostile(start: str, names: tuple[str, ...], end: str) -> str:
    return start + "".join(f"&{name}={GOOD[name]}" for name in sorted(names)) + end


HOSTILE: Final = st.builds(
    _hostile,
    st.sampled_from(["", "Tea", "https://shop.example/r?a=1"]),
    st.one_of(
        st.sampled_from(WHOLE),
        st.lists(st.sampled_from(sorted(GOOD)), max_size=6, unique=True).map(tuple),
    ),
    st.sampled_from(["", "&t=", "&zzz=", "&udid="]),
)
TEXT: Final = st.one_of(st.sampled_from(["Tea", "terminal-1", "Tea & biscuits = good"]), HOSTILE)
ALGORITHM: Final = st.sampled_from(["md5", "sha256"])

ORDER: Final = {"mchid": MCHID, "out_trade_no": REFERENCE, "txamt": PRICE, "txdtm": TIME}
#: What each call must have, and what it may have, free texts marked by None.
CALL_FIELDS: Final[Mapping[Call, tuple[Params, dict[str, str | None]]]] = {
    "payment": (
        {name: ORDER[name] for name in ("out_trade_no", "txamt", "txdtm")} | {"pay_type": "800201"},
        {
            "mchid": MCHID,
            "product_name": None,
            "goods_name": None,
            "udid": None,
            "sub_openid": None,
            "auth_code": None,
            "notify_url": None,
            "return_url": None,
            "txcurrcd": "HKD",
            "limit_pay": "no_credit",
            "valid_time": "300",
            "appcode": APPCODE,
        },
    ),
    "close": ({"syssn": SYSSN}, ORDER | {"udid": None}),
    "refund": (
        {"syssn": SYSSN} | {name: ORDER[name] for name in ("out_trade_no", "txamt", "txdtm")},
        {"mchid": MCHID, "udid": None, "pay_type": "800201", "txcurrcd": "HKD"},
    ),
    "reversal": (
        {name: ORDER[name] for name in ("out_trade_no", "txamt", "txdtm")},
        {"mchid": MCHID, "syssn": SYSSN, "udid": None},
    ),
    "query": (
        {},
        {
            "mchid": MCHID,
            "syssn": SYSSN,
            "out_trade_no": REFERENCE,
            "pay_type": "800201",
            "respcd": "0000",
            "start_time": TIME,
            "end_time": TIME,
            "page": "1",
            "page_size": "10",
        },
    ),
    "settlements": (
        {"date_start": "20260101", "date_end": "20260131"},
        {"mchid": MCHID, "paymethod": "2", "Date_start": "20260101", "txdtm": TIME},
    ),
    "trade_bill": ({"trade_date": "2025-12-31"}, {"mchid": MCHID, "txdtm": TIME}),
    "oauth_code": (
        {"app_code": APPCODE, "redirect_uri": "https://shop.example/pay?a=1&b=2"},
        {"mchid": MCHID, "sign_type": "MD5"},
    ),
    "openid": ({"code": "021abcDEF"}, {"mchid": MCHID}),
}
LINK_MUST: Final = {
    "appcode": APPCODE,
    "sign_type": "MD5",
    "paysource": "remotepay_checkout",
    "out_trade_no": "L-1",
    "txamt": PRICE,
    "txdtm": TIME,
    "failed_url": "https://shop.example/f",
}
LINK_MAY: Final[dict[str, str | None]] = {
    "mchntid": MCHID,
    "txcurrcd": "HKD",
    "goods_name": None,
    "product_name": None,
    "udid": None,
    "sub_openid": None,
    "cancel_url": None,
    "notify_url": None,
    "lang": "en",
}


@st.composite
def filled(draw: st.DrawFn, must: Params, may: Mapping[str, str | None]) -> Params:
    chosen = draw(st.lists(st.sampled_from(sorted(may)), unique=True)) if may else []
    return must | {name: draw(TEXT) if may[name] is None else str(may[name]) for name in chosen}


def requests() -> st.SearchStrategy[tuple[Call, Params]]:
    return st.sampled_from(CALLS).flatmap(lambda call: st.tuples(st.just(call), filled(*CALL_FIELDS[call])))


def links() -> st.SearchStrategy[Params]:
    return st.tuples(filled(LINK_MUST, LINK_MAY), TEXT).map(
        lambda both: both[0] | {"return_url": f"https://shop.example/{both[1]}"}
    )


def kinds(text: str, sign: str, *presented_as: Form) -> set[str]:
    """What it is accepted as, of these forms or of all."""
    return {kind for kind, _ in acceptances(text, sign, *presented_as)}


def all_but(form: Form) -> tuple[Form, ...]:
    return tuple(each for each in FORMS if each != form)


# ---- kinds, without exception --------------------------------------------------------------------------------


@settings(max_examples=100, deadline=None)
@given(requests(), ALGORITHM)
def test_a_request_is_no_link_no_webhook_and_no_answer(request: tuple[Call, Params], algorithm: str) -> None:
    _, params = request
    text = joined(params)
    assert kinds(text, signed(text, algorithm), *all_but("request")) == set()


@settings(max_examples=100, deadline=None)
@given(links(), ALGORITHM)
def test_a_link_is_no_request_no_webhook_and_no_answer(params: Params, algorithm: str) -> None:
    text = link_joined(params | {"sign_type": algorithm.upper()})
    assert kinds(text, signed(text, algorithm), *all_but("link")) == set()


@settings(max_examples=60, deadline=None)
@given(TEXT, st.sampled_from(["", "terminal", "a&b=c"]))
def test_a_webhook_is_no_other_message(subject: str, device: str) -> None:
    paid = a_paid_payment(reference=REFERENCE, subject=subject, device=device, syssn=SYSSN)
    old = payment_members(paid, Style.OLD)
    assert kinds(joined(old), signed(joined(old)), *all_but("old webhook")) == set()
    back = a_refund(paid, reference=REFERENCE)
    for members in (payment_members(paid, Style.NEW), refund_members(paid, back)):
        body = body_of(members).decode()
        for algorithm in ("md5", "sha256"):
            assert kinds(body, signed(body, algorithm)) == {"new webhook"}


def _answers() -> dict[str, dict[str, Any]]:
    """One response to each call of a client, and refusals."""
    price = Money(int(PRICE), "HKD")
    opened = a_payment(reference=REFERENCE, amount=price, syssn=SYSSN, pay=PayCode("weixin://x"))
    closed = a_payment(
        reference=REFERENCE, amount=price, syssn=SYSSN, state=State.CLOSED, close_syssn="2" * 24
    )
    back = a_refund(opened, reference=REFERENCE, amount=price, state=RefundState.DONE)
    pages = Pages("https://pay.example", (LinkKey("k", Secret("00" * 32), NOW),))
    return {
        "payment answer": payment_answer(opened, pages),
        "close answer": close_answer(closed),
        "refund answer": refund_answer(back),
        "query answer": query_answer([opened], an_app(), 1, 10),
        "settlements answer": settlements_answer([], ()),
        "refusal": error_answer(BadField.missing("txamt"), "payment", REFERENCE),
        "refusal of an order": error_answer(NotAllowed(payment_syssn=SYSSN), "close", REFERENCE),
    }


#: Close, refund and reversal are answered by the same members.
SAME_ANSWER: Final = {"close answer", "refund answer", "reversal answer"}


@pytest.mark.parametrize("algorithm", ["md5", "sha256"])
@pytest.mark.parametrize("name", _answers())
def test_an_answer_is_no_webhook_no_request_and_no_answer_of_another_shape(name: str, algorithm: str) -> None:
    body = json_text(_answers()[name]).decode()
    found = kinds(body, signed(body, algorithm))
    if name.startswith("refusal"):
        assert found == set()
    else:
        assert found <= (SAME_ANSWER if name in SAME_ANSWER else {name})
        assert name in found


# ---- calls, except for the pairs that share a signature by design ----------------------------------------------


@cache
def documented_pairs() -> set[tuple[str, str]]:
    """(signed for, accepted by), as SECURITY.md lists them."""
    section = SECURITY.read_text("utf-8").partition("## Calls that share a signature")[2]
    table = section.partition("Of the calls of `/mch/v1`")[0]  # tests/end_to_end/test_sign_up.py has those
    rows = re.findall(r"^\| ([^|]+) \| (\w+) \|", table, re.MULTILINE)
    return {
        (signer, call)
        for signers, call in rows
        for signer in re.findall("|".join(CALLS), signers.partition(" under ")[0])
    }


PAYMENT: Final = ORDER | {"pay_type": "800201"}
#: `goods_name` stands in for an empty `product_name`, which `&return_url=Tea` may be appended to.
EMPTY_NAME: Final[Params] = PAYMENT | {"goods_name": "Tea", "product_name": "", "return_url": "Tea"}


@settings(max_examples=150, deadline=None)
@given(requests())
@example(("payment", EMPTY_NAME))
def test_a_request_has_one_meaning_for_its_own_call_and_is_accepted_by_documented_ones_besides(
    request: tuple[Call, Params],
) -> None:
    call, params = request
    text = joined(params)
    sign = signed(text)
    meant = accepted(call, params, sign)
    if meant is None:
        event("refused by its own call")
        return
    for kind, meaning in acceptances(text, sign, "request"):
        if kind == call:
            assert_same(meant, meaning)
        else:
            assert (call, kind) in documented_pairs()


#: One request for each pair that SECURITY.md lists: there are as many as it says, and no fewer.
SHARED: Final[tuple[tuple[Call, Call, Params], ...]] = (
    ("query", "close", {"mchid": MCHID, "syssn": SYSSN}),
    ("close", "query", {"mchid": MCHID, "syssn": SYSSN}),
    ("payment", "query", ORDER | {"pay_type": "800201"}),
    ("refund", "query", ORDER | {"syssn": SYSSN}),
    ("reversal", "query", ORDER | {"syssn": SYSSN}),
    ("close", "reversal", ORDER),
    ("reversal", "close", ORDER),
    ("close", "refund", ORDER | {"syssn": SYSSN}),
    ("reversal", "refund", ORDER | {"syssn": SYSSN}),
    ("refund", "close", ORDER | {"syssn": SYSSN}),
    ("refund", "reversal", ORDER | {"syssn": SYSSN}),
)


@pytest.mark.parametrize(("signed_for", "accepted_by", "params"), SHARED)
def test_a_documented_pair_does_share_a_signature(
    signed_for: Call, accepted_by: Call, params: Params
) -> None:
    sign = signed(joined(params))
    assert accepted(signed_for, params, sign) is not None
    assert accepted(accepted_by, params, sign) is not None


def test_the_list_of_pairs_is_complete() -> None:
    assert documented_pairs() == {(signed_for, accepted_by) for signed_for, accepted_by, _ in SHARED}


# ---- one call: one meaning -----------------------------------------------------------------------------------

#: What these hold may end in `&name=value` with a name that nothing reads; it may then be cut off.
FREE: Final = {"subject", "device", "openid", "auth_code", "return_url", "failed_url", "cancel_url"}


@settings(max_examples=100, deadline=None)
@given(links())
def test_a_link_that_is_accepted_has_one_meaning(params: Params) -> None:
    text = link_joined(params)
    meanings = [meaning for _, meaning in acceptances(text, signed(text), "link")]
    for one, other in pairwise(meanings):
        assert_same(one, other)


def assert_same(one: Any, other: Any) -> None:
    """Equal, but for the end of a free text."""
    assert type(one) is type(other)
    if isinstance(
        one, str
    ):  # the code, or the page of the merchant, which may be cut off like other addresses
        assert one == other or is_cut_off(one, other) or is_cut_off(other, one)
        return
    for name in type(one).__match_args__:
        first, second = getattr(one, name), getattr(other, name)
        if first != second:
            assert name in FREE, (name, first, second)
            assert is_cut_off(first, second) or is_cut_off(second, first), (first, second)


def is_cut_off(short: str, long: str) -> bool:
    """`long` goes on behind `short`. An empty name of the goods is read as the one under the other field's name."""
    return long.startswith((f"{short}&", "&"))


# ---- responses of WeChat Pay -----------------------------------------------------------------------------------

SETTLED: Final = {**wechat.SUCCESS, "record_num": "1", "fbatchno": "B1", "pay_fee": "1"}


def is_settlement(body: bytes) -> bool:
    """Whether it is one, with the account's signature."""
    answer = Answer(200, {}, body)
    request = complete({}, wechat.account(), "MD5")
    response, _ = parse_response(answer, SETTLEMENTQUERY, [wechat.account()], request, "MD5")
    try:
        return isinstance(response, Succeeded) and records_of(pairs_of(body)) is not None
    except BadMessage:
        return False


def test_a_settlement_is_no_response_of_another_call_and_none_is_a_settlement() -> None:
    assert is_settlement(wechat.written(wechat.signed(SETTLED)))
    assert not is_settlement(wechat.written(wechat.signed(wechat.PAID)))
    with pytest.raises(BadMessage):
        paid_trade(wechat.signed(SETTLED))


def test_a_settlement_cannot_be_cut_out_of_a_text_of_an_order() -> None:
    """The text has all that a settlement needs, in the order in which it is signed; the last field takes the rest."""
    needed = "".join(f"&{name}={value}" for name, value in sorted(SETTLED.items()) if name > "attach")
    order = wechat.signed({**wechat.PAID, "attach": f"x{needed}&zz="})
    text = "&".join(f"{name}={value}" for name, value in sorted(order.items()) if name != "sign")
    head, _, tail = text.partition("&zz=")
    cut = dict(pair.split("=", 1) for pair in head.split("&")) | {"zz": tail, "sign": order["sign"]}
    assert wechat.signed(cut)["sign"] == order["sign"]
    assert not is_settlement(wechat.written(cut))


# ---- known attacks -------------------------------------------------------------------------------------------

TEA: Final = (
    "Tea&mchid=M&out_trade_no=ORDER-7&pay_type=800201&respcd=0000&respmsg=&syssn=202611280900990000000015&t="
)


@pytest.mark.parametrize("algorithm", ["md5", "sha256"])
@pytest.mark.parametrize("goods_name", ["Tea", TEA])
def test_a_link_cut_into_a_webhook_is_refused(goods_name: str, algorithm: str) -> None:
    link = LINK_MUST | {
        "goods_name": goods_name,
        "sign_type": algorithm,
        "return_url": "https://shop.example/r",
    }
    text = link_joined(link)
    assert kinds(text, signed(text, algorithm)) <= {"link"}


@pytest.mark.parametrize(
    ("signed_params", "sent"),
    [
        (
            PAYMENT | {"product_name": "tea&txamt=1&txb="},
            PAYMENT | {"product_name": "tea", "txamt": "1", "txb": f"&txamt={PRICE}", "txdtm": TIME},
        ),
        (
            PAYMENT | {"limit_pay": "no_credit"},
            {"a": "&limit_pay=no_credit&mchid=x", "out_trade_no": "x"},
        ),
        (PAYMENT, {name: value for name, value in PAYMENT.items() if name != "mchid"}),
    ],
)
def test_a_parameter_that_moved_into_or_out_of_a_value_is_refused(
    signed_params: Params, sent: Params
) -> None:
    sign = signed(joined(signed_params))
    assert accepted("payment", sent, sign) is None


def test_a_cheaper_amount_cannot_be_cut_out_of_a_product_name() -> None:
    """The text is the same for a price of 100000 and for a price of 1: it is refused for both."""
    dear = PAYMENT | {"product_name": "tea&txamt=1&txb="}
    cheap = {name: dear[name] for name in ("mchid", "out_trade_no", "pay_type")} | {
        "product_name": "tea",
        "txamt": "1",
        "txb": f"&txamt={PRICE}&txdtm={TIME}",
    }
    assert joined(cheap) == joined(dear)
    sign = signed(joined(dear))
    assert accepted("payment", dear, sign) is None
    assert accepted("payment", cheap, sign) is None


@pytest.mark.parametrize("moved", ["mchid", "limit_pay"])
def test_a_parameter_cannot_be_hidden_in_a_text(moved: str) -> None:
    """It would not be read any more, and the signature would still be right."""
    sent = {name: value for name, value in PAYMENT.items() if name != "mchid"}
    sent |= {"goods_name": "tea", moved: {"mchid": MCHID, "limit_pay": "no_credit"}[moved]}
    hidden = {name: value for name, value in sent.items() if name != moved}
    hidden["goods_name"] = f"tea&{moved}={sent[moved]}"
    assert joined(hidden) == joined(sent)
    sign = signed(joined(sent))
    assert accepted("payment", sent, sign) is not None
    assert accepted("payment", hidden, sign) is None
