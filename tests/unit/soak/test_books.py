"""The soak's checks of money: correct books agree, and each single change of wallet, rows or ledger is reported."""

from dataclasses import replace
from typing import Final

import pytest

from tests.soak.books import mismatches
from tests.soak.rows import EntryRow, RefundRow, ReversalRow, UnmatchedRow, WalletRefund, WalletTrade
from tests.support.books import BOOKS, OURS, add, came, change, lose, payment, with_rows


def test_correct_books_agree() -> None:
    assert mismatches(BOOKS) == []


WRONG_MONEY: Final = {
    "a payment is not decided": (change("payments", "P5", state="PENDING"), "payment P5 was never decided"),
    "money is still reserved": (
        change("payments", "P1", reserved_minor=200),
        "payment P1 still reserves 200",
    ),
    "a refund is not decided": (change("refunds", "R2", state="PROCESSING"), "refund R2 was never decided"),
    "a reversal is not decided": (
        change("reversals", "V4", state="PENDING"),
        "reversal V4 was never decided",
    ),
    "two refunds have one number": (
        add("refunds", RefundRow("R1", "P1", "r9", "FAILED", 10)),
        "number R1 was given 2 times",
    ),
    "a payment has the number of a reversal": (
        add("payments", payment("V1", "800201", "CLOSED", 100)),
        "number V1 was given 2 times",
    ),
    "an unmatched payment goes back under the number of a refund": (
        replace(
            BOOKS, ours=replace(OURS, unmatched=(*OURS.unmatched, UnmatchedRow("R1", "P1", "RETURNED", 300)))
        ),
        "number R1 was given 2 times",
    ),
    "one reference is charged twice": (
        change("payments", "P10", reference="p1"),
        "reference p1 of m1 names 2 payments",
    ),
    "one reference is refunded twice": (
        change("refunds", "R3", reference="r1", payment_syssn="P1"),
        "reference r1 of m1 names 2 refunds",
    ),
    "the wallet took money for an unknown order": (
        add("trades", WalletTrade("X", "SUCCESS", 5, "HKD", 0)),
        "the wallet took money for X, which is no order of ours",
    ),
    "the wallet took and returned money of an unknown order": (
        add("trades", WalletTrade("X", "TRADE_CLOSED", 5, "HKD", 5)),
        "the wallet took money for X, which is no order of ours",
    ),
    "the wallet took money twice": (
        add("trades", WalletTrade("P4", "SUCCESS", 250, "HKD", 0)),
        "the wallet took money twice for P4",
    ),
    "the wallet took another currency": (
        change("trades", "P4", currency="CNY"),
        "the wallet took CNY for P4, its price is in HKD",
    ),
    "more went back than came": (
        change("payments", "P9", refunded_minor=101),
        "gave back 101 of 100",
    ),
    "the wallet took less than we wrote": (
        change("trades", "P4", amount_minor=249),
        "the wallet took 249 and gave back 0, we wrote 250 and 0",
    ),
    "the wallet has no trade of a paid payment": (
        lose("trades", "P4"),
        "the wallet took 0 and gave back 0, we wrote 250 and 0",
    ),
    "the wallet gave back more than we wrote": (
        change("trades", "P1", refunded_minor=301),
        "the wallet took 1000 and gave back 301, we wrote 1000 and 300",
    ),
    "the wallet holds what failed": (
        change("trades", "P8", state="SUCCESS"),
        "payment P8 (800228, FAILED): the wallet holds 600 of it, of which we hold 0",
    ),
    "the wallet holds what is closed": (
        change("trades", "P5", state="TRADE_FINISHED"),
        "payment P5 (800201, CLOSED): the wallet holds 1000 of it, of which we hold 0",
    ),
    "what never came went back": (
        change("payments", "P5", refunded_minor=10),
        "payment P5 (800201, CLOSED) is not paid and gave back 10",
    ),
}
WRONG_REFUNDS: Final = {
    "one number gave money back twice": (
        add("returns", WalletRefund("P1", "R1", "SUCCESS", 300)),
        "the wallets gave money back twice under one number",
    ),
    "the wallet has a refund that is not ours": (
        add("returns", WalletRefund("P4", "X", "SUCCESS", 10)),
        "the wallet gave 10 back as X, which is no refund of ours",
    ),
    "a refund that failed was done": (
        change("returns", "R2", state="PROCESSING"),
        "refund R2 is FAILED, and the wallet gave 200 back",
    ),
    "the wallet gave back another amount": (
        change("returns", "R1", amount_minor=299),
        "refund R1 is 300, the wallet gave 299 back",
    ),
    "the wallet gave it back of another order": (
        change("returns", "R1", order="P4"),
        "refund R1 is of payment P1, the wallet took it from P4",
    ),
    "a refund that is done was not": (
        lose("returns", "R1"),
        "refund R1 is done, and the wallet gave nothing back",
    ),
    "a refund that is done moved nothing": (
        change("returns", "R1", state="FAIL"),
        "refund R1 is done, and the wallet gave nothing back",
    ),
    "refunds do not sum to what went back": (
        change("payments", "P1", refunded_minor=200),
        "payment P1 records 200 as refunded, its refunds 300",
    ),
    "a reversed payment was refunded": (
        change("refunds", "R3", payment_syssn="P7"),
        "payment P7 is reversed, and its refunds returned 100",
    ),
    "a refund is of no payment": (
        add("refunds", RefundRow("R9", "X", "r9", "FAILED", 10)),
        "there are refunds of X, which is no payment",
    ),
    "a reserved refund was above the remainder": (
        change("refunds", "R2", reason="above_remainder"),
        "refund R2 was reserved, and the wallet refused it as above the remainder",
    ),
    "a reserved refund found nothing left": (
        change("refunds", "R2", reason="already_refunded"),
        "refund R2 was reserved, and the wallet refused it as above the remainder",
    ),
    "a reversal is of no payment": (
        add("reversals", ReversalRow("V9", "X", "FAILED")),
        "reversal V9 is of X, which is no payment",
    ),
    "a reversal is done, and the wallet holds the money": (
        change("reversals", "V4", state="DONE"),
        "reversal V4 is done, and payment P4 is not reversed",
    ),
    "a payment is reversed without a reversal": (
        change("reversals", "V1", state="FAILED"),
        "payment P2 is reversed, and by no reversal",
    ),
    "a reversed payment keeps money": (
        change("payments", "P2", refunded_minor=0),
        "payment P2 is reversed, and gave back 0 only",
    ),
    "a reversal by refund gave back a part": (
        change("returns", "V2", amount_minor=100),
        "refund V2 is 400, the wallet gave 100 back",
    ),
}
WRONG_ENTRIES: Final = {
    "the ledger is too low": (
        lose("entries", "P4 payment"),
        "the ledger lacks payment P4 of 250 HKD from merchant:HKD:m1 to wallet:HKD:acc",
    ),
    "a refund is not in the ledger": (lose("entries", "R1 refund"), "the ledger lacks refund R1 of 300"),
    "a reversal is not in the ledger": (
        lose("entries", "V1 reversal"),
        "the ledger lacks reversal V1 of 500",
    ),
    "the ledger is too high": (
        add("entries", came("P8", 600, 4)[0]),
        "the ledger holds payment P8 of 600 HKD from merchant:HKD:m1 to wallet:HKD:acc, and nothing caused it",
    ),
    "an entry of an unknown payment": (add("entries", came("X", 5, 0)[0]), "payment X of 5 HKD"),
    "an entry of an unknown kind": (
        add("entries", EntryRow("P1", "gift", "wallet:HKD:acc", "merchant:HKD:m1", 5, "HKD")),
        "the ledger holds gift P1 of 5 HKD",
    ),
    "money moved twice": (add("entries", came("P1", 1000, 6)[0]), "the ledger holds payment P1 2 times"),
    "an entry has another amount": (
        change("entries", "R1 refund", amount_minor=299),
        "refund R1 of 299 HKD from wallet:HKD:acc to merchant:HKD:m1, it should be refund R1 of 300",
    ),
    "an entry has the opposite direction": (
        change("entries", "R1 refund", debit="wallet:HKD:acc", credit="merchant:HKD:m1"),
        "from merchant:HKD:m1 to wallet:HKD:acc, it should be refund R1",
    ),
    "an entry has another currency": (
        change("entries", "P1 payment", currency="CNY"),
        "payment P1 of 1000 CNY",
    ),
    "an entry is of another account": (
        change("entries", "P1 payment", debit="wallet:HKD:other"),
        "to wallet:HKD:other, it should be payment P1",
    ),
    "an entry is of another merchant": (
        change("entries", "P1 payment", credit="merchant:HKD:m2"),
        "from merchant:HKD:m2 to wallet:HKD:acc, it should be payment P1",
    ),
    "a fee is too high": (
        change("entries", "P4 fee", amount_minor=3),
        "the ledger's fee of payment P4 is",
    ),
    "a fee did not come back": (lose("entries", "V1 fee_back"), "the ledger's fee of payment P2 is"),
    "a fee went elsewhere": (
        change("entries", "P4 fee", credit="fee:HKD:other"),
        "the ledger moves 2 of fee:HKD:other as a fee of P4",
    ),
    "a fee of an unknown payment": (
        add("entries", came("X", 5, 1)[1]),
        "the ledger moves 1 of fee:HKD:acc as a fee of X",
    ),
    "an unmatched payment is still held": (
        lose("entries", "S1 unmatched_returned"),
        "the ledger holds 1000 of unmatched payment S1, which is RETURNED",
    ),
    "a held unmatched payment went back": (
        add("returns", WalletRefund("P20", "S2", "SUCCESS", 700)),
        "unmatched payment S2 is HELD, the wallet sent 700 back",
    ),
    "a held unmatched payment is booked out": (
        add(
            "entries", EntryRow("S2", "unmatched_returned", "unmatched:HKD:acc", "wallet:HKD:acc", 700, "HKD")
        ),
        "the ledger holds 0 of unmatched payment S2, which is HELD",
    ),
    "the wallet does not hold what is held for an unknown order": (
        change("trades", "unknown-1", refunded_minor=40),
        "the wallet holds 0 for unknown-1, of which we hold 40",
    ),
    "the wallet does not hold what is held": (
        change("trades", "P20", refunded_minor=700),
        "payment P20 (800108, FAILED): the wallet holds 0 of it, of which we hold 700",
    ),
    "an unknown unmatched payment": (
        replace(BOOKS, ours=replace(OURS, unmatched=())),
        "the ledger holds unmatched payment S1, and nothing caused it",
    ),
    "another amount of an unmatched payment went back": (
        change("returns", "S1", amount_minor=999),
        "unmatched payment S1 is 1000, the wallet sent 999 back",
    ),
    "an unmatched payment is not in the ledger": (
        with_rows("entries", [row for row in OURS.entries if row.cause != "S1"]),
        "unmatched payment S1 is 0, the wallet sent 1000 back",
    ),
}
MISMATCHES: Final = WRONG_MONEY | WRONG_REFUNDS | WRONG_ENTRIES


@pytest.mark.parametrize("case", MISMATCHES)
def test_a_single_mismatch_is_reported(case: str) -> None:
    books, expected = MISMATCHES[case]
    found = mismatches(books)
    assert any(expected in sentence for sentence in found), found


CONSISTENT: Final = {
    "the wallet still carries a refund out": change("returns", "R1", state="PROCESSING"),
    "the wallet has an unknown order that was not paid": add(
        "trades", WalletTrade("X", "NOTPAY", 5, "HKD", 0)
    ),
    "nothing was paid in another currency": change("trades", "P5", currency="CNY"),
    "the wallet has no trade of a reversed payment": lose("trades", "P8"),
    "two merchants use the same reference": replace(
        change("payments", "P9", reference="p10"),
        received=change("received", "P9 payment", reference="p10").received,
    ),
    "a failed payment frees its reference": add(
        "payments", payment("P11", "800108", "FAILED", 250, reference="twice")
    ),
    "a failed payment was reversed": change("payments", "P8", is_reversed=True),
    "an expired payment was reversed": replace(
        BOOKS,
        ours=replace(
            change("payments", "P6", is_reversed=True).ours,
            reversals=[*OURS.reversals, ReversalRow("V9", "P6", "DONE")],
        ),
    ),
}


@pytest.mark.parametrize("case", CONSISTENT)
def test_a_consistent_book_has_no_mismatch(case: str) -> None:
    assert mismatches(CONSISTENT[case]) == []


def test_many_mismatches_are_all_reported() -> None:
    books = replace(
        change("payments", "P5", state="PENDING"), received=lose("received", "P2 payment").received
    )
    books = replace(books, wallets=lose("trades", "P4").wallets)
    expected = ("P5 was never decided", "P2 needs a webhook", "payment P4 (800108, PAID): the wallet took 0")
    found = mismatches(books)
    assert all(any(each in sentence for sentence in found) for each in expected), found
