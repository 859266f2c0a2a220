"""Our reading of Alipay's codes: every code of the documents' tables, and outcomes that no code may become."""

from dataclasses import replace
from datetime import UTC, datetime

import pytest

from tael.base.money import Money
from tael.channels.alipay_mapi import codes, outcomes
from tael.channels.alipay_mapi.answers import Cancel, RefundState, SpotPay, SpotRefund, Trade
from tael.channels.alipay_mapi.outcomes import QueryNeeded
from tael.channels.outcomes import (
    Again,
    AwaitingPayer,
    Closed,
    Outcome,
    Paid,
    Refunded,
    RefundPending,
    Refusal,
    Refused,
    ReversalAction,
    Reversed,
    Unknown,
)
from tests.support.alipay import NOW, REFUND_SYSSN, SYSSN, TRADE_NO

PRICE = Money(3925, "HKD")
PAID_AT = datetime(2026, 1, 2, 1, 0, tzinfo=UTC)
PAY = SpotPay("SUCCESS", "", SYSSN, TRADE_NO, "2088102", PRICE, PAID_AT)
TRADE = Trade("TRADE_SUCCESS", SYSSN, TRADE_NO, "2088102", PRICE, PAID_AT, was_paid=True)
CANCEL = Cancel("SUCCESS", "", SYSSN, TRADE_NO, "refund", should_retry=False)
REFUND = SpotRefund("SUCCESS", "", SYSSN, REFUND_SYSSN, Money(1000, "HKD"))
STATE = RefundState("SUCCESS", "SUCCESS", "", SYSSN, REFUND_SYSSN, None)

IDENTITY = [
    "ILLEGAL_SIGN",
    "ILLEGAL_SIGN_TYPE",
    "ILLEGAL_DYN_MD5_KEY",
    "ILLEGAL_SECURITY_PROFILE",
    "ILLEGAL_ENCRYPT",
    "HAS_NO_PUBLICKEY",
    "ILLEGAL_PARTNER",
    "ILLEGAL_USER",
    "ILLEGAL_EXTERFACE",
    "ILLEGAL_PARTNER_EXTERFACE",
    "HAS_NO_PRIVILEGE",
    "ACCESS_FORBIDDEN",
    "PARTNER_ERROR",
    "SELLER_NOT_EXIST",
    "INVALID_RECEIVE_ACCOUNT",
]
BAD_REQUEST = [
    "ILLEGAL_ARGUMENT",
    "INVALID_PARAMETER",
    "PARAMTER_IS_NULL",
    "ILLEGAL_CURRENCY",
    "ILLEGAL_TIMEOUT_RULE",
    "ILLEGAL_CHARSET",
    "ILLEGAL_SERVICE",
    "EXIST_FORBIDDEN_WORD",
]
SWITCHED_OFF = ["EXTERFACE_IS_CLOSED", "SESSION_TIMEOUT", "ILLEGAL_ACCESS_SWITCH_SYSTEM"]
UNDECIDED = ["SYSTEM_ERROR", "SYSTEM_EXCEPTION", "UNKNOWN_ERROR"]

PAY_ROWS = {
    Refusal.PAYER_CODE: "SOUNDWAVE_PARSER_FAIL PAYMENT_AUTH_CODE_INVALID CLIENT_VERSION_NOT_MATCH "
    "PULL_MOBILE_CASHIER_FAIL MOBILE_PAYMENT_SWITCH_OFF USER_FACE_PAYMENT_SWITCH_OFF",
    Refusal.PAYER_BALANCE: "BUYER_BALANCE_NOT_ENOUGH",
    Refusal.PAYER_BANK: "BUYER_BANKCARD_BALANCE_NOT_ENOUGH",
    Refusal.PAYER_ACCOUNT: "NO_PAYMENT_INSTRUMENTS_AVAILABLE ERROR_BALANCE_PAYMENT_DISABLE BUYER_NOT_EXIST "
    "BUYER_ENABLE_STATUS_FORBID BUYER_SELLER_EQUAL ERROR_BUYER_CERTIFY_LEVEL_LIMIT",
    Refusal.AMOUNT_LIMIT: "BEYOND_PAY_RESTRICTION BEYOND_PER_RECEIPT_RESTRICTION "
    "BEYOND_PER_RECEIPT_SINGLE_RESTRICTION BEYOND_PER_RECEIPT_DAY_RESTRICTION TOTAL_FEE_EXCEED "
    "BUYER_PAYMENT_AMOUNT_DAY_LIMIT_ERROR BUYER_PAYMENT_AMOUNT_MONTH_LIMIT_ERROR",
    Refusal.RISK: "PAYMENT_REQUEST_HAS_RISK SELLER_BEEN_BLOCKED",
    Refusal.NUMBER_REUSED: "TRADE_BUYER_NOT_MATCH CONTEXT_INCONSISTENT TRADE_DATA_MATCH_ERROR "
    "OUT_TRADE_NO_EXIST",
    Refusal.OTHER: "PAYMENT_FAIL PROCESS_FAIL",
    Refusal.OUR_IDENTITY: " ".join(IDENTITY),
    Refusal.MERCHANT_SETUP: "UN_SUPPORT_BIZ_TYPE ROYALTY_INFO_VALIDATE_FAIL TRADE_SETTLE_ERROR INVALID_STORE_ID "
    "SECONDARY_MERCHANT_STATUS_ERROR SUB_MERCHANT_CREATE_FAIL SUB_MERCHANT_TYPE_INVALID",
    Refusal.BAD_REQUEST: " ".join(BAD_REQUEST),
    Refusal.WALLET_CLOSED: " ".join(SWITCHED_OFF),
}
REFUND_ROWS = {
    Refusal.NO_SUCH_TRADE: "TRADE_NOT_EXIST PURCHASE_TRADE_NOT_EXIST TRANS_NOT_FOUND",
    Refusal.ORDER_CLOSED: "TRADE_HAS_CLOSE",
    Refusal.WRONG_STATE: "TRADE_STATUS_ERROR REASON_ILLEGAL_STATUS TRADE_HAS_FINISHED "
    "REASON_TRADE_BEEN_FREEZEN",
    Refusal.WINDOW_OVER: "REFUNDMENT_VALID_DATE_EXCEED",
    Refusal.ABOVE_REMAINDER: "RETURN_AMOUNT_EXCEED REFUND_AMT_RESTRICTION REQUEST_AMOUNT_EXCEED",
    Refusal.MISMATCH: "CURRENCY_NOT_SAME TRADE_ROLE_ERROR",
    Refusal.NUMBER_REUSED: "DISCORDANT_REPEAT_REQUEST",
    Refusal.MERCHANT_BALANCE: "MERCHANT_BALANCE_NOT_ENOUGH SELLER_BALANCE_NOT_ENOUGH "
    "TXN_RESULT_ACCOUNT_BALANCE_NOT_ENOUGH",
    Refusal.PAYER_ACCOUNT: "BUYER_ENABLE_STATUS_FORBID BUYER_NOT_EXIST",
    Refusal.OUR_IDENTITY: " ".join(IDENTITY),
    Refusal.BAD_REQUEST: " ".join(BAD_REQUEST),
    Refusal.WALLET_CLOSED: " ".join(SWITCHED_OFF),
}


def rows(table: dict[Refusal, str]) -> list[tuple[str, Refusal]]:
    return [(code, refusal) for refusal, names in table.items() for code in names.split()]


# ---- payments ----------------------------------------------------------------------------------------------


def test_success_is_paid_with_the_wallets_values() -> None:
    assert outcomes.pay_outcome(PAY, SYSSN, NOW) == Paid(PRICE, TRADE_NO, "2088102", PAID_AT)
    assert outcomes.pay_outcome(replace(PAY, paid_at=None, amount=None), SYSSN, NOW) == Paid(
        None, TRADE_NO, "2088102", NOW
    )


@pytest.mark.parametrize(("code", "refusal"), rows(PAY_ROWS))
def test_a_refused_payment(code: str, refusal: Refusal) -> None:
    failed = SpotPay("FAILED", code, SYSSN, "", "", None, None)
    assert outcomes.pay_outcome(failed, SYSSN, NOW) == Refused(refusal, code)
    assert outcomes.pay_rejected(code) == Refused(refusal, code)


@pytest.mark.parametrize(
    ("result_code", "error", "outcome"),
    [
        ("FAILED", "UNKNOWN_CODE", Refused(Refusal.OTHER, "UNKNOWN_CODE")),
        ("FAIL", "", Refused(Refusal.OTHER, "FAIL")),
        ("FAILED", "SYSTEM_ERROR", Unknown("error 'SYSTEM_ERROR'")),
        ("UNKNOW", "", AwaitingPayer()),
        ("UNKNOWN", "", AwaitingPayer()),
        ("UNKNOW", "SYSTEM_ERROR", Unknown("UNKNOW SYSTEM_ERROR")),
        ("FAILED", "TRADE_HAS_SUCCESS", QueryNeeded("TRADE_HAS_SUCCESS")),
        ("FAILED", "TRADE_HAS_CLOSE", QueryNeeded("TRADE_HAS_CLOSE")),
        ("", "", Unknown("result_code ''")),
        ("success", "", Unknown("result_code 'success'")),
    ],
)
def test_other_responses_to_a_payment(result_code: str, error: str, outcome: Outcome) -> None:
    answer = SpotPay(result_code, error, SYSSN, "", "", None, None)
    assert outcomes.pay_outcome(answer, SYSSN, NOW) == outcome


@pytest.mark.parametrize("code", [*UNDECIDED, "UNKNOWN_CODE", ""])
def test_an_unlisted_code_refuses_nothing(code: str) -> None:
    assert isinstance(outcomes.pay_rejected(code), Unknown)
    assert isinstance(outcomes.close_rejected(code), Unknown)
    assert isinstance(outcomes.refund_rejected(code), Unknown)
    assert isinstance(outcomes.query_rejected(code), Unknown)
    assert isinstance(outcomes.cancel_rejected(code), Unknown | Again)


def test_a_response_about_another_order_decides_nothing() -> None:
    other = "202601020101990000000009"
    failed = SpotPay("FAILED", "PAYMENT_FAIL", SYSSN, "", "", None, None)
    assert outcomes.pay_outcome(PAY, other, NOW) == outcomes.NOT_OURS
    assert outcomes.pay_outcome(failed, other, NOW) == outcomes.NOT_OURS
    assert outcomes.trade_outcome(TRADE, other, NOW) == outcomes.NOT_OURS
    assert outcomes.cancel_outcome(CANCEL, other) == outcomes.NOT_OURS
    assert outcomes.refund_outcome(REFUND, SYSSN, other) == outcomes.NOT_OURS
    assert outcomes.refund_outcome(REFUND, other, REFUND_SYSSN) == outcomes.NOT_OURS
    assert outcomes.refund_seen(STATE, SYSSN, other) == outcomes.NOT_OURS
    assert isinstance(outcomes.reversal_seen(replace(TRADE, state="TRADE_CLOSED"), other), Unknown)


def test_a_payment_is_identified_by_our_number() -> None:
    assert isinstance(outcomes.pay_outcome(replace(PAY, order_number=""), SYSSN, NOW), Unknown)
    assert isinstance(outcomes.trade_outcome(replace(TRADE, order_number=""), SYSSN, NOW), Unknown)
    assert isinstance(outcomes.cancel_outcome(replace(CANCEL, order_number=""), SYSSN), Unknown)
    nameless = replace(REFUND, refund_number="")
    assert isinstance(outcomes.refund_outcome(nameless, SYSSN, REFUND_SYSSN), Unknown)
    assert isinstance(outcomes.refund_seen(replace(STATE, refund_number=""), SYSSN, REFUND_SYSSN), Unknown)


@pytest.mark.parametrize("state", ["TRADE_SUCCESS", "TRADE_FINISHED", "TRADE_CLOSED"])
def test_a_record_that_was_paid_stays_paid(state: str) -> None:
    seen = outcomes.trade_outcome(replace(TRADE, state=state), SYSSN, NOW)
    assert seen == Paid(PRICE, TRADE_NO, "2088102", PAID_AT)


@pytest.mark.parametrize(
    ("state", "outcome"),
    [
        ("TRADE_CLOSED", Closed(TRADE_NO)),
        ("WAIT_BUYER_PAY", AwaitingPayer()),
        ("TRADE_PENDING", Unknown("trade status 'TRADE_PENDING'")),
        ("", Unknown("trade status ''")),
    ],
)
def test_an_unpaid_record(state: str, outcome: Outcome) -> None:
    unpaid = replace(TRADE, state=state, paid_at=None, was_paid=False)
    assert outcomes.trade_outcome(unpaid, SYSSN, NOW) == outcome


@pytest.mark.parametrize("code", ["TRADE_NOT_EXIST", "TRANS_NOT_FOUND"])
def test_an_unknown_trade_may_still_be_created(code: str) -> None:
    assert outcomes.query_rejected(code) == Unknown(f"query: {code}", no_such_order=True)
    assert outcomes.trade_outcome(replace(TRADE, error=code), SYSSN, NOW) == outcomes.query_rejected(code)


def test_no_code_of_a_query_is_a_refusal() -> None:
    for code in [*codes.PAY, *codes.CLOSE, *codes.CANCEL, *codes.REFUND, *codes.UNDECIDED]:
        assert isinstance(outcomes.query_rejected(code), Unknown)
        assert isinstance(outcomes.refund_query_rejected(code), Unknown)


# ---- closes and reversals ----------------------------------------------------------------------------------


def test_a_missing_trade_is_not_closed_since_it_may_still_be_created() -> None:
    assert outcomes.close_rejected("TRADE_NOT_EXIST") == Unknown("close: TRADE_NOT_EXIST", no_such_order=True)
    missing = Unknown("query", no_such_order=True)
    assert outcomes.after_close(missing) == missing


@pytest.mark.parametrize(
    "code", ["TRADE_STATUS_ERROR", "REASON_ILLEGAL_STATUS", "TRADE_HAS_FINISHED", "TRADE_HAS_CLOSE"]
)
def test_a_close_that_is_refused_for_the_state_needs_a_query(code: str) -> None:
    assert outcomes.close_rejected(code) == QueryNeeded(code)


def test_the_record_after_a_close() -> None:
    paid = Paid(PRICE, TRADE_NO, "", PAID_AT)
    assert outcomes.after_close(paid) == paid
    assert outcomes.after_close(Closed(TRADE_NO), "TRADE_HAS_CLOSE") == Closed(TRADE_NO)
    assert isinstance(outcomes.after_close(AwaitingPayer()), Unknown)
    refused = outcomes.after_close(AwaitingPayer(), "TRADE_STATUS_ERROR")
    assert refused == Refused(Refusal.CLOSE_REFUSED, "TRADE_STATUS_ERROR")


@pytest.mark.parametrize(
    ("action", "ours"),
    [
        ("refund", ReversalAction.REFUNDED),
        ("close", ReversalAction.CLOSED),
        ("", ReversalAction.CLOSED),
        ("other", ReversalAction.DONE),
    ],
)
def test_a_cancel_that_succeeded(action: str, ours: ReversalAction) -> None:
    assert outcomes.cancel_outcome(replace(CANCEL, action=action), SYSSN) == Reversed(ours, TRADE_NO)


@pytest.mark.parametrize(
    ("code", "outcome"),
    [
        ("SYSTEM_ERROR", Again("SYSTEM_ERROR")),
        ("SELLER_BALANCE_NOT_ENOUGH", Again("SELLER_BALANCE_NOT_ENOUGH")),
        ("TRADE_NOT_EXIST", Reversed(ReversalAction.CLOSED)),
        ("TRADE_HAS_CLOSE", QueryNeeded("TRADE_HAS_CLOSE")),
        ("TRADE_STATUS_ERROR", Refused(Refusal.WRONG_STATE, "TRADE_STATUS_ERROR")),
        ("TRADE_HAS_FINISHED", Refused(Refusal.WRONG_STATE, "TRADE_HAS_FINISHED")),
        ("TRADE_CANCEL_TIME_OUT", Refused(Refusal.WINDOW_OVER, "TRADE_CANCEL_TIME_OUT")),
        ("REASON_TRADE_REFUND_FEE_ERR", Refused(Refusal.ALREADY_REFUNDED, "REASON_TRADE_REFUND_FEE_ERR")),
        ("REFUND_AMT_NOT_EQUAL_TOTAL", Refused(Refusal.ABOVE_REMAINDER, "REFUND_AMT_NOT_EQUAL_TOTAL")),
        ("DISCORDANT_REPEAT_REQUEST", Refused(Refusal.NUMBER_REUSED, "DISCORDANT_REPEAT_REQUEST")),
        ("TRADE_ROLE_ERROR", Refused(Refusal.MISMATCH, "TRADE_ROLE_ERROR")),
        ("CANCEL_NOT_ALLOWED", Refused(Refusal.REVERSAL_REFUSED, "CANCEL_NOT_ALLOWED")),
        ("ILLEGAL_SIGN", Refused(Refusal.OUR_IDENTITY, "ILLEGAL_SIGN")),
        ("UNKNOWN_CODE", Unknown("error 'UNKNOWN_CODE'")),
    ],
)
def test_a_cancel_that_failed(code: str, outcome: object) -> None:
    assert outcomes.cancel_outcome(replace(CANCEL, result_code="FAIL", error=code), SYSSN) == outcome
    assert outcomes.cancel_rejected(code) == outcome


def test_a_cancel_that_requests_a_retry() -> None:
    again = replace(CANCEL, result_code="FAIL", error="CANCEL_NOT_ALLOWED", should_retry=True)
    assert outcomes.cancel_outcome(again, SYSSN) == Again("CANCEL_NOT_ALLOWED")
    assert outcomes.cancel_outcome(replace(CANCEL, result_code="UNKNOW"), SYSSN) == Again("UNKNOW")


def test_the_record_of_a_trade_that_is_already_closed() -> None:
    closed = replace(TRADE, state="TRADE_CLOSED")
    assert outcomes.reversal_seen(closed, SYSSN) == Reversed(ReversalAction.REFUNDED, TRADE_NO)
    unpaid = replace(closed, was_paid=False)
    assert outcomes.reversal_seen(unpaid, SYSSN) == Reversed(ReversalAction.CLOSED, TRADE_NO)
    assert isinstance(outcomes.reversal_seen(TRADE, SYSSN), Unknown)


# ---- refunds -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("code", "refusal"), rows(REFUND_ROWS))
def test_a_refused_refund(code: str, refusal: Refusal) -> None:
    assert outcomes.refund_rejected(code) == Refused(refusal, code)
    failed = replace(REFUND, result_code="FAILED", error=code)
    assert outcomes.refund_outcome(failed, SYSSN, REFUND_SYSSN) == Refused(refusal, code)
    state = replace(STATE, state="FAILED", error=code)
    assert outcomes.refund_seen(state, SYSSN, REFUND_SYSSN) == Refused(refusal, code)


def test_refunds_that_went_through() -> None:
    done = Refunded(Money(1000, "HKD"), "", None)
    assert outcomes.refund_outcome(REFUND, SYSSN, REFUND_SYSSN) == done
    assert outcomes.refund_seen(STATE, SYSSN, REFUND_SYSSN) == Refunded(None, "", None)


def test_repeated_and_concurrent_refund_requests_refuse_nothing() -> None:
    assert outcomes.refund_rejected("REPEATED_REFUNDMENT_REQUEST") == QueryNeeded(
        "REPEATED_REFUNDMENT_REQUEST"
    )
    assert isinstance(outcomes.refund_rejected("REPEATED_REFUNDMENT_REQUEST_TO_ONE_TRADE"), Unknown)


@pytest.mark.parametrize(
    ("response_code", "state", "outcome"),
    [
        ("SUCCESS", "PROCESSING", RefundPending()),
        ("SUCCESS", "CANCELED", Refused(Refusal.OTHER, "CANCELED")),
        ("SUCCESS", "FAILED", Refused(Refusal.OTHER, "FAILED")),
        ("SUCCESS", "", Unknown("refund_result_code ''")),
        ("NOT_FOUND", "", Unknown("refund query: NOT_FOUND", no_such_order=True)),
        ("TRADE_NOT_EXIST", "", Unknown("refund query: TRADE_NOT_EXIST", no_such_order=True)),
        ("QUERY_FAILED", "SUCCESS", Unknown("refund query: QUERY_FAILED")),
        ("ACCESS_FORBIDDEN", "", Unknown("refund query: ACCESS_FORBIDDEN")),
        ("", "SUCCESS", Unknown("refund query: ")),
    ],
)
def test_the_record_of_a_refund(response_code: str, state: str, outcome: object) -> None:
    answer = replace(STATE, response_code=response_code, state=state)
    assert outcomes.refund_seen(answer, SYSSN, REFUND_SYSSN) == outcome


def test_a_refund_that_is_not_recorded_yet_is_pending() -> None:
    assert outcomes.after_refund(Unknown("", no_such_order=True)) == RefundPending()
    assert outcomes.after_refund(Unknown("timeout")) == Unknown("timeout")


@pytest.mark.parametrize("refusal", list(Refusal))
def test_at_night_an_ambiguous_refusal_is_none(refusal: Refusal) -> None:
    refused = Refused(refusal, "X")
    vague = refusal in (Refusal.OTHER, Refusal.WRONG_STATE, Refusal.WALLET_CLOSED)
    assert outcomes.at_night(refused) == (RefundPending() if vague else refused)
