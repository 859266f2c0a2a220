"""Rows and responses, rendered from our rows: the members that today's clients read."""

from datetime import UTC, datetime
from typing import Any, Final

import pytest

from tael.base.errors import NotAllowed
from tael.base.reasons import Reason
from tael.payments.domain.payment import Payment, State
from tael.payments.domain.refund import RefundState
from tael.payments.store.transactions import RefundTransaction, Transaction
from tael.qfpay.answers import error_answer, query_answer, refund_answer
from tests.support.values import BARCODE, a_paid_payment, a_payment, a_refund, an_app

PAID_AT: Final = datetime(2026, 1, 2, 16, 0, 1, tzinfo=UTC)
PAID: Final = a_paid_payment(BARCODE, paid_at=PAID_AT, wallet_ref="w1", payer_ref="oPayer", subject='茶 "1"')


def row(trade: Transaction, **settings: Any) -> dict[str, str]:
    (only,) = query_answer([trade], an_app(**settings), 1, 10)["data"]
    members: dict[str, str] = only
    return members


def test_a_paid_row_has_time_payer_and_wallet_reference() -> None:
    shown = row(PAID)
    assert (shown["paydtm"], shown["chnlsn"], shown["cardcd"]) == ("2026-01-03 00:00:01", "w1", "oPayer")
    assert not {"origssn", "goods_name"} & shown.keys()


@pytest.mark.parametrize("state", [State.PENDING, State.FAILED, State.CLOSED, State.EXPIRED])
def test_the_members_exist_and_are_empty_if_nothing_was_paid(state: State) -> None:
    shown = row(a_payment(state=state, reason=Reason.PAYER_BALANCE if state is State.FAILED else None))
    assert (shown["paydtm"], shown["chnlsn"], shown["cardcd"]) == ("", "", "")


def test_a_refunds_row_names_its_payment() -> None:
    done = a_refund(PAID, state=RefundState.DONE, done_at=PAID_AT, wallet_ref="wr")
    shown = row(RefundTransaction(done, PAID))
    assert (shown["paydtm"], shown["chnlsn"], shown["cardcd"]) == ("2026-01-03 00:00:01", "wr", "oPayer")
    assert shown["origssn"] == PAID.syssn
    waiting = row(RefundTransaction(a_refund(PAID), PAID))
    assert (waiting["paydtm"], waiting["chnlsn"], waiting["origssn"]) == ("", "", PAID.syssn)


def test_rows_name_the_goods_as_the_merchant_did_if_the_app_asks_for_it() -> None:
    refund = RefundTransaction(a_refund(PAID), PAID)
    ours = a_payment(is_subject_ours=True)
    trades: list[Payment | RefundTransaction] = [PAID, refund, ours]
    names = [row(trade, include_goods_name=True)["goods_name"] for trade in trades]
    assert names == ['茶 "1"', '茶 "1"', ""]


def test_every_value_of_a_row_is_a_string() -> None:
    for trade in (PAID, RefundTransaction(a_refund(PAID), PAID)):
        assert all(isinstance(value, str) for value in row(trade, include_goods_name=True).values())


def test_a_refunds_response_names_its_payment_in_both_spellings() -> None:
    answer = refund_answer(a_refund(PAID))
    assert answer["orig_syssn"] == answer["origssn"] == PAID.syssn


def test_a_refused_refund_does_so_too_and_a_refused_close_has_one_spelling() -> None:
    error = NotAllowed("no", payment_syssn="1")
    assert error_answer(error, "refund", None)["origssn"] == "1"
    assert "origssn" not in error_answer(error, "close", None)
