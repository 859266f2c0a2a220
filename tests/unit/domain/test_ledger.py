"""What money moves: each entry between two accounts of one currency, and back again."""

from tael.domain.ledger import EntryKind, payment_entry, refund_entry, reversal_entry
from tael.domain.money import Money
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
