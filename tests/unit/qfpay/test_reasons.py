"""Every reason becomes one code. Clients have branches for these codes: none may change unnoticed."""

from typing import Final, get_args

import pytest

from tael.base import errors
from tael.base.errors import TaelError
from tael.base.reasons import Reason
from tael.channels.outcomes import Refusal
from tael.payments.domain.refusals import reason_of
from tael.qfpay.codes import TABLE, Call
from tael.qfpay.errors import BadField, UnreadableMessage
from tael.qfpay.reasons import CODES, code_of, resperr, respmsg

#: As merchants have received them since the first response.
PINNED: Final = """
1100 under_maintenance
1102 reference_reused
1103 unreadable
1104 bad_parameter merchant_not_named pay_type_not_granted range_spans_months
1108 not_authentic
1111 wallet_closed wallet_unreachable
1112 out_of_service rate_limited
1114 merchant_disabled
1115 operation_denied
1118 risk
1121 card_kind
1122 other_currency
1123 amount_limit
1124 not_allowed partly_refunded too_late_to_reverse wrong_state
1125 already_refunded
1126 mismatch
1128 documents_unavailable
1129 document_repeated
1130 window_over
1131 number_reused other
1133 our_identity
1135 merchant_setup no_account
1136 no_such_payment no_such_trade
1140 merchant_not_approved
1142 order_closed
1146 close_refused
1147 swipe_failed
1155 reversal_refused
1181 order_expired
1201 payer_balance
1202 payer_code
1203 payer_account
1204 payer_bank
1269 merchant_balance
1271 full_refund_only
1272 above_remainder
2005 payer_code_expired
2006 other_wallets_code
2007 payer_cancelled
2008 bad_request
2012 our_certificate
2101 bad_application
"""
ERRORS: Final[dict[type[TaelError], str]] = {
    UnreadableMessage: "1103",
    BadField: "1104",
    errors.NotAuthentic: "1108",
    errors.OutOfService: "1112",
    errors.RateLimited: "1112",
    errors.UnderMaintenance: "1100",
    errors.MerchantDisabled: "1114",
    errors.MerchantNotAudited: "1140",
    errors.MerchantNotNamed: "1104",
    errors.OperationDenied: "1115",
    errors.ApplicationRefused: "2101",
    errors.DocumentRepeated: "1129",
    errors.DocumentsUnavailable: "1128",
    errors.NotSetUp: "1135",
    errors.NoChannel: "1104",
    errors.OtherWalletsCode: "2006",
    errors.CurrencyRefused: "1122",
    errors.AmountRefused: "1123",
    errors.NotFound: "1136",
    errors.NotAllowed: "1124",
    errors.Mismatch: "1126",
    errors.RangeSpansMonths: "1104",
    errors.ReferenceReused: "1102",
    errors.OrderClosed: "1142",
    errors.OrderExpired: "1181",
    errors.AlreadyRefunded: "1125",
    errors.OverRefund: "1272",
    errors.FullOnly: "1271",
    errors.WindowOver: "1130",
    errors.WalletUnreachable: "1111",
}


def test_every_reason_has_exactly_one_code_and_none_is_left_over() -> None:
    assert list(CODES) == list(Reason)
    assert all(TABLE[code].emitted for code in CODES.values())


def test_no_reason_has_changed_its_code() -> None:
    pinned = {reason: line.split()[0] for line in PINNED.splitlines() for reason in line.split()[1:]}
    assert {reason.value: code_of(reason) for reason in Reason} == pinned


def test_every_error_has_the_code_that_clients_know() -> None:
    kinds = {kind for kind in TaelError.__subclasses__() if kind is not errors.WalletRefused}
    assert kinds == set(ERRORS)
    assert {kind: code_of(kind.reason) for kind in kinds} == ERRORS


@pytest.mark.parametrize("refusal", Refusal)
def test_a_wallets_refusal_is_stored_under_its_own_name(refusal: Refusal) -> None:
    assert reason_of(refusal).value == refusal.value


@pytest.mark.parametrize("call", get_args(Call))
def test_an_account_that_cannot_close_has_qfpays_own_text(call: Call) -> None:
    error = errors.NotAllowed("this account cannot close orders")
    assert respmsg(error) == "this account cannot close orders"
    assert (resperr(error, call) == "该交易暂不支持关闭, 请联系管理员") is (call == "close")
