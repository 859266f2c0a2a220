"""Ledger entries: each moves an amount between two accounts of one currency."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tael.base.money import Money
from tael.ledger.domain.entries import EntryKind
from tael.payments.domain.entries import (
    MILLION,
    fee_back_entries,
    fee_back_minor,
    fee_entries,
    fee_minor,
    payment_entry,
    refund_entry,
    reversal_entry,
)
from tests.support.values import AMOUNT, BARCODE, MCHID, NOW, a_paid_payment, a_refund


def test_a_payment_moves_its_amount_from_the_merchant_to_the_wallet() -> None:
    payment = a_paid_payment()
    entry = payment_entry(payment, NOW)
    assert (entry.mchid, entry.cause, entry.kind) == (MCHID, payment.syssn, EntryKind.PAYMENT)
    assert (entry.debit, entry.credit) == ("wallet:HKD:wechat1", "merchant:HKD:mch1")
    assert (entry.amount, entry.at) == (AMOUNT, NOW)


def test_a_refund_moves_its_own_amount_back() -> None:
    payment = a_paid_payment()
    refund = a_refund(payment)
    entry = refund_entry(payment, refund, NOW)
    assert (entry.cause, entry.kind, entry.amount) == (refund.syssn, EntryKind.REFUND, Money(40, "HKD"))
    assert (entry.debit, entry.credit) == ("merchant:HKD:mch1", "wallet:HKD:wechat1")


def test_a_reversal_moves_everything_back() -> None:
    payment = a_paid_payment(BARCODE)
    came, went = payment_entry(payment, NOW), reversal_entry(payment, "the-reversal", NOW)
    assert (went.cause, went.kind) == ("the-reversal", EntryKind.REVERSAL)
    assert (went.debit, went.credit, went.amount) == (came.credit, came.debit, came.amount)


def test_accounts_of_different_currencies_are_different_accounts() -> None:
    yen = payment_entry(a_paid_payment(amount=Money(100, "JPY")), NOW)
    assert (yen.debit, yen.credit) == ("wallet:JPY:wechat1", "merchant:JPY:mch1")


@pytest.mark.parametrize(
    ("amount_minor", "rate_ppm", "fee"),
    [
        (10_000, 6_000, 60),
        (83, 6_000, 0),  # 0.498
        (84, 6_000, 1),  # 0.504
        (1, 500_000, 1),  # a half is rounded up
        (3, 500_000, 2),
        (1, 499_999, 0),
        (100, 0, 0),
        (100, MILLION, 100),
        (10**15, 1, 10**9),
    ],
)
def test_a_fee_is_rounded_half_up(amount_minor: int, rate_ppm: int, fee: int) -> None:
    assert fee_minor(amount_minor, rate_ppm) == fee


RATES = st.integers(0, MILLION)


@given(st.integers(0, 10**12), st.integers(0, 10**12), RATES)
def test_a_fee_never_exceeds_its_amount_and_never_falls(one: int, other: int, rate_ppm: int) -> None:
    less, more = sorted((one, other))
    assert 0 <= fee_minor(less, rate_ppm) <= less
    assert fee_minor(less, rate_ppm) <= fee_minor(more, rate_ppm)


@given(st.lists(st.integers(1, 10**6), min_size=1, max_size=20), st.integers(0, 10**6), RATES)
def test_returned_parts_of_a_fee_sum_to_the_whole(parts: list[int], kept: int, rate_ppm: int) -> None:
    payment = a_paid_payment(amount=Money(sum(parts) + kept, "HKD"), fee_rate_ppm=rate_ppm)
    before, back = 0, 0
    for part in parts:
        returned = fee_back_minor(payment, before, part)
        assert returned >= 0
        before, back = before + part, back + returned
    assert fee_minor(payment.amount.amount_minor, rate_ppm) - back == fee_minor(kept, rate_ppm)


def test_a_fee_moves_from_the_merchant_to_us_and_back() -> None:
    payment = a_paid_payment(fee_rate_ppm=50_000)
    (fee,) = fee_entries(payment, NOW)
    assert (fee.cause, fee.kind, fee.amount) == (payment.syssn, EntryKind.FEE, Money(5, "HKD"))
    assert (fee.debit, fee.credit) == ("merchant:HKD:mch1", "fee:HKD:wechat1")
    (back,) = fee_back_entries(payment, "the-refund", 0, 40, NOW)
    assert (back.cause, back.kind, back.amount) == ("the-refund", EntryKind.FEE_BACK, Money(2, "HKD"))
    assert (back.debit, back.credit) == (fee.credit, fee.debit)


def test_a_fee_that_rounds_to_nothing_is_no_entry() -> None:
    payment = a_paid_payment(fee_rate_ppm=4_999)
    assert fee_entries(payment, NOW) == ()
    assert fee_back_entries(payment, "the-refund", 0, 100, NOW) == ()
