"""The outcome of every code of WeChat's, call by call. A code that is in no table decides nothing."""

from collections.abc import Callable
from typing import Final

import pytest

from tael.base.money import Money
from tael.channels.outcomes import (
    Again,
    AwaitingPayer,
    Closed,
    Outcome,
    Paid,
    Refunded,
    RefundPending,
    RefundStuck,
    Refusal,
    Refused,
    ReversalAction,
    ReversalOutcome,
    Reversed,
    Unknown,
)
from tael.channels.wechat_v2 import outcomes
from tael.channels.wechat_v2.exchange import Failure
from tests.support.wechat import PAID, PAID_AT, REFUND_SYSSN, SUCCESS, SYSSN, account, order, refund_of

OUR_FAULT: Final = {
    "PARAM_ERROR": Refusal.BAD_REQUEST,
    "LACK_PARAMS": Refusal.BAD_REQUEST,
    "XML_FORMAT_ERROR": Refusal.BAD_REQUEST,
    "POST_DATA_EMPTY": Refusal.BAD_REQUEST,
    "REQUIRE_POST_METHOD": Refusal.BAD_REQUEST,
    "NOT_UTF8": Refusal.BAD_REQUEST,
    "NOAUTH": Refusal.OUR_IDENTITY,
    "APPID_NOT_EXIST": Refusal.OUR_IDENTITY,
    "MCHID_NOT_EXIST": Refusal.OUR_IDENTITY,
    "APPID_MCHID_NOT_MATCH": Refusal.OUR_IDENTITY,
    "SIGNERROR": Refusal.OUR_IDENTITY,
}
UNDECIDED: Final = (
    "SYSTEMERROR",
    "BANKERROR",
    "BIZERR_NEED_RETRY",
    "FREQUENCY_LIMITED",
    "INVALID_REQ_TOO_MUCH",
    "A_FUTURE_CODE",
    "param_error",
    "",
)

Cases = dict[str, Refusal]


def failure(code: str, text: str = "", **fields: str) -> Failure:
    return Failure(code, text, {**SUCCESS, "result_code": "FAIL", "err_code": code, **fields})


PAYMENT = order("800201", account())
SWIPE = order("800208", account())
KNOWN_PAID = order("800208", account(), wallet_ref="4200000000202601010000000001")
REFUND = refund_of(PAYMENT, amount_minor=88)

# ---- refusals ----------------------------------------------------------------------------------------------

SWIPING: Final = {
    **OUR_FAULT,
    "AUTHCODEEXPIRE": Refusal.PAYER_CODE_EXPIRED,
    "AUTH_CODE_ERROR": Refusal.PAYER_CODE,
    "AUTH_CODE_INVALID": Refusal.OTHER_WALLETS_CODE,
    "NOTENOUGH": Refusal.PAYER_BALANCE,
    "NOTSUPORTCARD": Refusal.PAYER_BANK,
    "TRADE_ERROR": Refusal.SWIPE_FAILED,
    "ORDERCLOSED": Refusal.ORDER_CLOSED,
    "ORDERREVERSED": Refusal.ORDER_CLOSED,
    "OUT_TRADE_NO_USED": Refusal.NUMBER_REUSED,
    "INVALID_REQUEST": Refusal.NUMBER_REUSED,
    "BUYER_MISMATCH": Refusal.WRONG_STATE,
    "USER_ACCOUNT_ABNORMAL": Refusal.PAYER_ACCOUNT,
    "RULELIMIT": Refusal.RISK,
}
OPENING: Final = {
    **OUR_FAULT,
    "NOTENOUGH": Refusal.PAYER_BALANCE,
    "ORDERCLOSED": Refusal.ORDER_CLOSED,
    "OUT_TRADE_NO_USED": Refusal.NUMBER_REUSED,
    "INVALID_REQUEST": Refusal.NUMBER_REUSED,
}
CLOSING: Final = {**OUR_FAULT, "TRADE_STATE_ERROR": Refusal.CLOSE_REFUSED}
REVERSING: Final = {
    **OUR_FAULT,
    "REVERSE_EXPIRE": Refusal.WINDOW_OVER,
    "TRADE_ERROR": Refusal.REVERSAL_REFUSED,
    "TRADE_STATE_ERROR": Refusal.REVERSAL_REFUSED,
}
REFUNDING: Final = {
    **OUR_FAULT,
    "NOTENOUGH": Refusal.MERCHANT_BALANCE,
    "USER_ACCOUNT_ABNORMAL": Refusal.PAYER_ACCOUNT,
    "ORDERNOTEXIST": Refusal.NO_SUCH_TRADE,
    "TRADE_STATE_ERROR": Refusal.WRONG_STATE,
    "TRADE_OVERDUE": Refusal.WINDOW_OVER,
}

Reading = Callable[[Failure], object]
READINGS: Final[dict[str, tuple[Reading, Cases]]] = {
    "micropay": (outcomes.swipe_failure, SWIPING),
    "unifiedorder": (outcomes.opening_failure, OPENING),
    "closeorder": (outcomes.close_failure, CLOSING),
    "reverse": (lambda failed: outcomes.reverse_failure(failed, SWIPE), REVERSING),
    "refund": (outcomes.refund_failure, REFUNDING),
}


@pytest.mark.parametrize(
    ("call", "code"), [(call, code) for call, (_, refusals) in READINGS.items() for code in refusals]
)
def test_a_listed_refusal_code_has_its_refusal(call: str, code: str) -> None:
    reading, refusals = READINGS[call]

    assert reading(failure(code)) == Refused(refusals[code], code)


@pytest.mark.parametrize(
    ("call", "code"),
    [(call, code) for call in READINGS for code in UNDECIDED if (call, code) != ("reverse", "SYSTEMERROR")],
)
def test_an_unlisted_code_decides_nothing(call: str, code: str) -> None:
    outcome = READINGS[call][0](failure(code))

    if call == "reverse" and code == "SYSTEMERROR":  # WeChat's own advice
        assert isinstance(outcome, Again)
    else:
        assert isinstance(outcome, Unknown)
        assert not outcome.no_such_order


@pytest.mark.parametrize("code", [*OUR_FAULT, *UNDECIDED, "ORDERCLOSED", "INVALID_TRANSACTIONID"])
def test_a_query_that_fails_decides_nothing(code: str) -> None:
    outcome = outcomes.query_failure(failure(code))

    assert isinstance(outcome, Unknown)
    assert not outcome.no_such_order


@pytest.mark.parametrize("code", ["ORDERNOTEXIST", "REFUNDNOTEXIST"])
def test_an_unknown_number_is_distinguished(code: str) -> None:
    assert outcomes.query_failure(failure(code)) == Unknown(code, no_such_order=True)


def test_a_close_or_a_reversal_of_an_unknown_order_stays_unknown() -> None:
    missing = failure("ORDERNOTEXIST", "订单不存在")

    assert outcomes.close_failure(missing) == Unknown("ORDERNOTEXIST", no_such_order=True)
    assert outcomes.reverse_failure(missing, SWIPE) == Unknown("ORDERNOTEXIST", no_such_order=True)


@pytest.mark.parametrize("code", ["ORDERCLOSED", "ORDERREVERSED"])
def test_closing_a_closed_order_succeeds(code: str) -> None:
    assert outcomes.close_failure(failure(code)) == Closed()


@pytest.mark.parametrize(
    ("code", "text", "reason"),
    [
        ("TRADE_ERROR", "用户没有输入支付密码", Refusal.SWIPE_FAILED),
        ("TRADE_ERROR", "用户取消支付", Refusal.PAYER_CANCELLED),
        ("TRADE_ERROR", "the payer Cancelled", Refusal.PAYER_CANCELLED),
        ("RULELIMIT", "交易金额超过限额", Refusal.AMOUNT_LIMIT),
        ("RULELIMIT", "交易存在风险", Refusal.RISK),
        ("REQUEST_BLOCKED", "amount too large", Refusal.AMOUNT_LIMIT),
        ("NOTENOUGH", "用户取消支付，金额", Refusal.PAYER_BALANCE),
    ],
)
def test_a_text_refines_the_reason_of_a_failed_swipe(code: str, text: str, reason: Refusal) -> None:
    assert outcomes.swipe_failure(failure(code, text)) == Refused(reason, code)


def test_a_refused_card_is_the_orders_own_limit_if_it_has_one() -> None:
    refused = failure("NOTSUPORTCARD", "不支持该卡种")

    assert outcomes.swipe_failure(refused) == Refused(Refusal.PAYER_BANK, "NOTSUPORTCARD")
    assert outcomes.swipe_failure(refused, forbid_credit=True) == Refused(Refusal.CARD_KIND, "NOTSUPORTCARD")
    other = outcomes.swipe_failure(failure("NOTENOUGH"), forbid_credit=True)
    assert other == Refused(Refusal.PAYER_BALANCE, "NOTENOUGH")


@pytest.mark.parametrize("text", ["用户取消支付", "限额", "订单已全额退款"])
def test_a_text_decides_nothing_by_itself(text: str) -> None:
    for reading, _ in READINGS.values():
        assert isinstance(reading(failure("A_FUTURE_CODE", text)), Unknown)


def test_a_payer_who_types_a_password_is_awaited() -> None:
    assert outcomes.swipe_failure(failure("USERPAYING")) == AwaitingPayer()


@pytest.mark.parametrize(
    ("message", "reason"),
    [
        ("签名错误", Refusal.OUR_IDENTITY),
        ("签名错误，请检查后再试", Refusal.OUR_IDENTITY),
        ("商户号mch_id与appid不匹配", Refusal.OUR_IDENTITY),
        ("您没有JSAPI支付权限", Refusal.OUR_IDENTITY),
        ("商户号该产品权限未开通，请前往商户平台>产品中心检查后重试", Refusal.OUR_IDENTITY),
        ("缺少参数", Refusal.BAD_REQUEST),
        ("mch_id参数格式错误", Refusal.BAD_REQUEST),
        ("XML格式错误", Refusal.BAD_REQUEST),
        ("post数据为空", Refusal.BAD_REQUEST),
        ("受理机构必须传入sub_mch_id", Refusal.BAD_REQUEST),
        ("certificate not match", Refusal.OUR_CERTIFICATE),
        ("invalid openid", Refusal.MISMATCH),
        ("appid and openid not match", Refusal.MISMATCH),
        ("sub_mch_id与sub_appid不匹配", Refusal.MISMATCH),
    ],
)
def test_a_fixed_message_without_a_signature_is_a_refusal(message: str, reason: Refusal) -> None:
    assert outcomes.rejected(message) == Refused(reason, message)


@pytest.mark.parametrize("message", ["", "system error", "余额不足", "FAIL", "没有签名错误", "ORDERPAID"])
def test_any_other_message_without_a_signature_decides_nothing(message: str) -> None:
    assert isinstance(outcomes.rejected(message), Unknown)


# ---- payments ----------------------------------------------------------------------------------------------

AS_PAID: Final = Paid(Money(888, "HKD"), "4200000000202601010000000001", "o-of-the-merchant", PAID_AT)


@pytest.mark.parametrize(
    ("state", "outcome"),
    [
        ("SUCCESS", AS_PAID),
        ("REFUND", AS_PAID),
        ("NOTPAY", AwaitingPayer()),
        ("USERPAYING", AwaitingPayer()),
        ("ACCEPT", AwaitingPayer()),
        ("CLOSED", Closed()),
        ("REVOKED", Closed("4200000000202601010000000001")),
        ("PAYERROR", Unknown("PAYERROR", needs_reversal=True)),
        ("FROZEN", Unknown("trade_state 'FROZEN'")),
        ("", Unknown("trade_state ''")),
    ],
)
def test_a_trade_state_is_read(state: str, outcome: Outcome) -> None:
    assert outcomes.trade_state({**PAID, "trade_state": state}, SYSSN) == outcome


@pytest.mark.parametrize(
    ("state", "outcome"), [("NOTPAY", AwaitingPayer()), ("CLOSED", Closed()), ("REVOKED", Closed(""))]
)
def test_an_unpaid_order_has_little_but_its_number(state: str, outcome: Outcome) -> None:
    assert outcomes.trade_state({**SUCCESS, "out_trade_no": SYSSN, "trade_state": state}, SYSSN) == outcome


@pytest.mark.parametrize("state", ["SUCCESS", "NOTPAY", "CLOSED"])
@pytest.mark.parametrize("number", ["", "20260101000300020000000009"])
def test_the_state_of_another_order_is_not_ours(state: str, number: str) -> None:
    answer = {**PAID, "trade_state": state, "out_trade_no": number}

    assert isinstance(outcomes.trade_state(answer, SYSSN), Unknown)


@pytest.mark.parametrize("name", ["transaction_id", "total_fee", "out_trade_no", "time_end"])
def test_a_payment_without_its_required_fields_is_none(name: str) -> None:
    assert outcomes.paid(PAID, SYSSN) == AS_PAID
    assert isinstance(outcomes.paid({**PAID, name: ""}, SYSSN), Unknown)
    assert isinstance(outcomes.paid({**PAID, "out_trade_no": SYSSN[::-1]}, SYSSN), Unknown)
    assert isinstance(outcomes.trade_state({**PAID, "trade_state": "SUCCESS", name: ""}, SYSSN), Unknown)


def test_another_amount_is_passed_on() -> None:
    outcome = outcomes.paid({**PAID, "total_fee": "1", "fee_type": "USD"}, SYSSN)

    assert isinstance(outcome, Paid)
    assert outcome.amount == Money(1, "USD")


# ---- reversals ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("recall", "reversal"),
    [("N", Reversed(ReversalAction.DONE)), ("Y", Again("recall")), ("", Unknown("recall ''"))],
)
def test_a_reversal_is_done_when_no_further_call_is_needed(recall: str, reversal: ReversalOutcome) -> None:
    assert outcomes.reverse_outcome({**SUCCESS, "recall": recall}, SWIPE) == reversal


def test_the_reversal_of_a_known_payment_gave_its_money_back() -> None:
    undone = Reversed(ReversalAction.REFUNDED, KNOWN_PAID.wallet_ref)

    assert outcomes.reverse_outcome({**SUCCESS, "recall": "N"}, KNOWN_PAID) == undone
    assert outcomes.reverse_failure(failure("ORDERREVERSED", recall="N"), KNOWN_PAID) == undone


@pytest.mark.parametrize(
    ("code", "recall"),
    [("SYSTEMERROR", "N"), ("SYSTEMERROR", ""), ("USERPAYING", ""), ("A_FUTURE_CODE", "Y"), ("", "Y")],
)
def test_a_reversal_that_could_not_finish_is_called_again(code: str, recall: str) -> None:
    assert isinstance(outcomes.reverse_failure(failure(code, recall=recall), SWIPE), Again)


def test_an_order_closed_unpaid_is_reversed() -> None:
    assert outcomes.reverse_failure(failure("ORDERCLOSED"), SWIPE) == Reversed(ReversalAction.CLOSED)


# ---- refunds -----------------------------------------------------------------------------------------------

ACCEPTED: Final = {
    **SUCCESS,
    "out_trade_no": SYSSN,
    "out_refund_no": REFUND_SYSSN,
    "refund_id": "50000000000000000000000000001",
    "total_fee": "888",
    "fee_type": "HKD",
    "refund_fee": "88",
    "refund_fee_type": "HKD",
}
LISTED: Final = {
    **SUCCESS,
    "out_trade_no": SYSSN,
    "total_fee": "888",
    "fee_type": "HKD",
    "refund_count": "1",
    "out_refund_no_0": REFUND_SYSSN,
    "refund_id_0": "50000000000000000000000000001",
    "refund_fee_0": "88",
    "refund_status_0": "SUCCESS",
}
OTHERS: Final = [
    ("out_trade_no", "20260101000300020000000009"),
    ("total_fee", "889"),
    ("fee_type", "CNY"),
]


def test_an_accepted_refund_is_not_yet_done() -> None:
    assert outcomes.refund_accepted(ACCEPTED, REFUND) == RefundPending("50000000000000000000000000001")


@pytest.mark.parametrize(
    ("name", "value"),
    [*OTHERS, ("out_refund_no", "R9"), ("refund_fee", "87"), ("refund_fee_type", "CNY"), ("refund_id", "")],
)
def test_a_response_about_another_refund_accepts_none(name: str, value: str) -> None:
    assert isinstance(outcomes.refund_accepted({**ACCEPTED, name: value}, REFUND), Unknown)


@pytest.mark.parametrize(
    ("status", "outcome"),
    [
        ("PROCESSING", RefundPending("50000000000000000000000000001")),
        ("SUCCESS", Refunded(Money(88, "HKD"), "50000000000000000000000000001", None)),
        ("REFUNDCLOSE", Refused(Refusal.OTHER, "REFUNDCLOSE")),
        ("CHANGE", RefundStuck("CHANGE")),
        ("ABNORMAL", Unknown("refund_status 'ABNORMAL'")),
        ("", Unknown("refund_status ''")),
    ],
)
def test_a_refund_status_is_read(status: str, outcome: object) -> None:
    assert outcomes.refund_status({**LISTED, "refund_status_0": status}, REFUND) == outcome


@pytest.mark.parametrize(
    ("name", "value"), [*OTHERS, ("out_refund_no_0", "R9"), ("refund_fee_0", "87"), ("refund_id_0", "")]
)
def test_the_state_of_another_refund_is_not_ours(name: str, value: str) -> None:
    outcome = outcomes.refund_status({**LISTED, name: value}, REFUND)

    assert isinstance(outcome, Unknown)
    assert not outcome.no_such_order


@pytest.mark.parametrize(
    ("code", "text", "nothing_left"),
    [
        ("ERROR", "订单已全额退款", True),
        ("TRADE_STATE_ERROR", "订单已全额退款", True),
        ("ERROR", "订单未支付", False),
        ("PARAM_ERROR", "订单已全额退款", False),
    ],
)
def test_only_the_fixed_text_means_that_nothing_is_left(code: str, text: str, nothing_left: bool) -> None:
    assert outcomes.is_fully_refunded(failure(code, text)) is nothing_left


def test_an_error_with_another_text_decides_nothing() -> None:
    assert isinstance(outcomes.refund_failure(failure("ERROR", "订单未支付")), Unknown)
