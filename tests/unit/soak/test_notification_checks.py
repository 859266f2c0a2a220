"""The judge of the soak on what merchants were told: each webhook and each answer that is not so is named."""

from dataclasses import replace
from typing import Final

import pytest

from tests.soak.books import mismatches
from tests.soak.rows import WebhookRow
from tests.support.books import BOOKS, NEW, OLD, add, change, heard, lose, tell

WEBHOOK_LIES: Final = {
    "a webhook was not written": (
        lose("webhooks", "P1 payment"),
        "payment P1 is to be told, and no webhook was ever written",
    ),
    "a webhook of a refund was not written": (
        lose("webhooks", "R1 refund"),
        "refund R1 is to be told, and no webhook was ever written",
    ),
    "a webhook of an old app's refund was not written": (
        lose("webhooks", "R3 refund"),
        "refund R3 is to be told, and no webhook was ever written",
    ),
    "nobody heard": (
        lose("heard", "P2 payment"),
        "payment P2 is to be told, and its merchant was never told (DELIVERED)",
    ),
    "nobody acknowledged": (
        change("heard", "P1 payment", was_acknowledged=False),
        "payment P1 is to be told, and its merchant was never told (DELIVERED)",
    ),
    "nobody heard of a refund": (
        lose("heard", "R1 refund"),
        "refund R1 is to be told, and its merchant was never told (DELIVERED)",
    ),
    "a new app does not want to hear of refunds": (
        replace(lose("heard", "R1 refund"), ours=change("webhooks", "R1 refund", state="NOT_WANTED").ours),
        "refund R1 is to be told, and its merchant was never told (NOT_WANTED)",
    ),
    "told of a payment that failed": (
        add("heard", heard("P8", "payment", 600)),
        "a merchant was told of payment P8, which is not so",
    ),
    "told of a refund that failed": (
        add("heard", heard("R2", "refund", 200)),
        "a merchant was told of refund R2, which is not so",
    ),
    "told of a refund as of a payment": (
        add("heard", heard("R3", "payment", 100, OLD)),
        "a merchant was told of payment R3, which is not so",
    ),
    "told of something unheard of": (
        add("heard", heard("P1", "gift", 1000)),
        "a merchant was told of gift P1, which is not so",
    ),
    "a webhook is written of what failed": (
        add("webhooks", WebhookRow("P8", "payment", "NOT_WANTED")),
        "a webhook was written about payment P8, which is not so",
    ),
    "told of another amount": (
        change("heard", "P1 payment", amount_minor=700),
        "a merchant was told another amount of payment P1",
    ),
    "told under another reference": (
        change("heard", "R1 refund", reference="p1"),
        "a merchant was told another reference of refund R1",
    ),
    "told to another merchant": (
        change("heard", "P9 payment", appcode=NEW),
        "another merchant was told of payment P9",
    ),
    "told who did not want to be": (
        add("heard", heard("P7", "payment", 400)),
        "a merchant was told of payment P7, and no webhook was to be sent",
    ),
    "repeated in other bytes": (
        change("heard", "P1 payment", body=b"payment  P1"),
        "repeats of the webhook about payment P1 were not the same bytes",
    ),
    "badly signed": (
        change("heard", "P9 payment", is_signed=False),
        "a webhook about payment P9 was not well signed",
    ),
    "a webhook is left": (
        change("webhooks", "P1 payment", state="DUE"),
        "the webhook about payment P1 is DUE",
    ),
    "a webhook is exhausted": (
        change("webhooks", "R1 refund", state="EXHAUSTED"),
        "the webhook about refund R1 is EXHAUSTED",
    ),
}
ANSWER_LIES: Final = {
    "a payment that is not there": (
        tell("payment", "p1", "0000", "X"),
        "a merchant was told of X, which is no payment",
    ),
    "a row that is not there": (
        tell("row", "p1", "1145", "X"),
        "a merchant was told of X, which is no payment",
    ),
    "a barcode is paid": (
        tell("payment", "p8", "0000", "P8"),
        "a merchant was told that P8 is paid, and it is FAILED",
    ),
    "a row is paid": (
        tell("row", "p5", "0000", "P5"),
        "a merchant was told that P5 is paid, and it is CLOSED",
    ),
    "a paid payment failed": (
        tell("payment", "twice", "1147", "P4"),
        "a merchant was told that P4 failed (1147), and it is paid",
    ),
    "a paid row failed": (
        tell("row", "p1", "2005", "P1"),
        "a merchant was told that P1 failed (2005), and it is paid",
    ),
    "a payment of another reference": (
        tell("payment", "p1", "0000", "P10"),
        "a merchant who asked about p1 was told of P10, which is p10",
    ),
    "a refund of another reference": (
        tell("refund", "r2", "0000", "R1", "P1"),
        "a merchant who asked about r2 was told of R1, which is r1",
    ),
    "another price": (
        tell("row", "p1", "0000", "P1", "", 700),
        "a merchant was told 700 of P1, it is 1000",
    ),
    "another amount of a refund": (
        tell("refund", "r1", "0000", "R1", "P1", 1000),
        "a merchant was told 1000 of R1, it is 300",
    ),
    "a refund that is not there": (
        tell("refund", "r1", "2999", "X", "P1"),
        "a merchant was told of refund X, which is not there",
    ),
    "a refund of another payment": (
        tell("refund", "r1", "0000", "R1", "P4"),
        "a merchant was told that R1 refunds P4, it is P1",
    ),
    "a refund is done": (
        tell("refund", "again", "0000", "R2", "P1"),
        "a merchant was told that refund R2 is done, and it is FAILED",
    ),
    "a row of a refund is done": (
        tell("row", "again", "0000", "R2"),
        "a merchant was told that refund R2 is done, and it is FAILED",
    ),
    "a refund failed": (
        tell("refund", "r1", "1269", "R1", "P1"),
        "a merchant was told that refund R1 failed (1269), and it is done",
    ),
    "a payment is reversed": (
        tell("reversal", "", "0000", "V4", "P4"),
        "a merchant was told that P4 is reversed, and it is not",
    ),
    "an unknown payment is reversed": (
        tell("reversal", "", "0000", "", "X"),
        "a merchant was told that X is reversed, and it is not",
    ),
    "a reversal that is not there": (
        tell("reversal", "", "1145", "X", "P2"),
        "a merchant was told of reversal X, which is not there",
    ),
    "a reversal of another payment": (
        tell("reversal", "", "0000", "V1", "P7"),
        "a merchant was told of reversal V1 of P7, it is of P2",
    ),
    "a reversal failed": (
        tell("reversal", "", "1155", "V1", "P2"),
        "a merchant was told that reversal V1 failed (1155), and it is done",
    ),
    "an expired order is closed": (
        tell("close", "", "0000", "C6", "P6"),
        "a merchant was told that P6 is closed, and it is not",
    ),
    "an unknown order is closed": (
        tell("close", "", "0000", "C", "X"),
        "a merchant was told that X is closed, and it is not",
    ),
}
LIES: Final = WEBHOOK_LIES | ANSWER_LIES


@pytest.mark.parametrize("lie", LIES)
def test_a_single_lie_is_named(lie: str) -> None:
    books, words = LIES[lie]
    found = mismatches(books)
    assert any(words in sentence for sentence in found), found


NO_LIES: Final = {
    "no merchant read an answer": replace(BOOKS, told=()),
    "the answer was that nobody knows, and it was paid": tell("payment", "p1", "1145", "P1"),
    "the gateway was out of service, and it was paid": tell("payment", "p1", "1112", "P1"),
    "a row was expired, and its payer was faster": tell("row", "p1", "1181", "P1"),
    "a refund was under way, and then refused": tell("refund", "again", "2999", "R2", "P1"),
    "a reversal was under way, and then refused": tell("reversal", "", "1145", "V4", "P4"),
    "a refund was refused before it had a number": tell("refund", "r1", "1102", "", "P1"),
    "a close was refused": tell("close", "", "1181", "", "P6"),
    "a webhook was heard again after it was acknowledged": add("heard", heard("P2", "payment", 500)),
}


@pytest.mark.parametrize("case", NO_LIES)
def test_what_may_well_be_is_no_mismatch(case: str) -> None:
    assert mismatches(NO_LIES[case]) == []


def test_what_was_paid_and_undone_between_two_questions_is_told_to_nobody() -> None:
    assert "P7" not in {call.syssn for call in BOOKS.heard}
    assert mismatches(BOOKS) == []
    was_told = replace(
        add("heard", heard("P7", "payment", 400)),
        ours=add("webhooks", WebhookRow("P7", "payment", "DELIVERED")).ours,
    )
    assert mismatches(was_told) == []


def test_a_webhook_that_was_written_of_a_reversed_payment_must_be_heard() -> None:
    written = add("webhooks", WebhookRow("P7", "payment", "DELIVERED"))
    assert mismatches(written) == ["payment P7 is to be told, and its merchant was never told (DELIVERED)"]
