"""The soak's checks of webhooks and responses: each false one is reported."""

from dataclasses import replace
from typing import Final

import pytest

from tests.soak.books import mismatches
from tests.soak.rows import WebhookRow
from tests.support.books import BOOKS, NEW, OLD, add, change, lose, received, respond

FALSE_WEBHOOKS: Final = {
    "a webhook was not written": (
        lose("webhooks", "P1 payment"),
        "payment P1 needs a webhook, and none was written",
    ),
    "a webhook of a refund was not written": (
        lose("webhooks", "R1 refund"),
        "refund R1 needs a webhook, and none was written",
    ),
    "a webhook of an old app's refund was not written": (
        lose("webhooks", "R3 refund"),
        "refund R3 needs a webhook, and none was written",
    ),
    "no webhook arrived": (
        lose("received", "P2 payment"),
        "payment P2 needs a webhook, and none was acknowledged (DELIVERED)",
    ),
    "no webhook was acknowledged": (
        change("received", "P1 payment", was_acknowledged=False),
        "payment P1 needs a webhook, and none was acknowledged (DELIVERED)",
    ),
    "no webhook of a refund arrived": (
        lose("received", "R1 refund"),
        "refund R1 needs a webhook, and none was acknowledged (DELIVERED)",
    ),
    "a new app's webhook of a refund was not sent": (
        replace(lose("received", "R1 refund"), ours=change("webhooks", "R1 refund", state="NOT_WANTED").ours),
        "refund R1 needs a webhook, and none was acknowledged (NOT_WANTED)",
    ),
    "notified of a payment that failed": (
        add("received", received("P8", "payment", 600)),
        "a merchant was notified of payment P8, which did not happen",
    ),
    "notified of a refund that failed": (
        add("received", received("R2", "refund", 200)),
        "a merchant was notified of refund R2, which did not happen",
    ),
    "notified of a refund as of a payment": (
        add("received", received("R3", "payment", 100, OLD)),
        "a merchant was notified of payment R3, which did not happen",
    ),
    "notified of an unknown kind": (
        add("received", received("P1", "gift", 1000)),
        "a merchant was notified of gift P1, which did not happen",
    ),
    "a webhook was written of a failed payment": (
        add("webhooks", WebhookRow("P8", "payment", "NOT_WANTED")),
        "a webhook was written about payment P8, which did not happen",
    ),
    "notified of another amount": (
        change("received", "P1 payment", amount_minor=700),
        "a merchant was notified of a wrong amount of payment P1",
    ),
    "notified under another reference": (
        change("received", "R1 refund", reference="p1"),
        "a merchant was notified of a wrong reference of refund R1",
    ),
    "another merchant was notified": (
        change("received", "P9 payment", appcode=NEW),
        "another merchant was notified of payment P9",
    ),
    "notified without a webhook row": (
        add("received", received("P7", "payment", 400)),
        "a merchant was notified of payment P7, and no webhook was due",
    ),
    "repeated in other bytes": (
        change("received", "P1 payment", body=b"payment  P1"),
        "repeats of the webhook about payment P1 were not the same bytes",
    ),
    "badly signed": (
        change("received", "P9 payment", is_signed=False),
        "a webhook about payment P9 was not well signed",
    ),
    "a webhook is still due": (
        change("webhooks", "P1 payment", state="DUE"),
        "the webhook about payment P1 is DUE",
    ),
    "a webhook is exhausted": (
        change("webhooks", "R1 refund", state="EXHAUSTED"),
        "the webhook about refund R1 is EXHAUSTED",
    ),
}
FALSE_RESPONSES: Final = {
    "a payment that does not exist": (
        respond("payment", "p1", "0000", "X"),
        "a response names X, which is no payment",
    ),
    "a row that does not exist": (
        respond("row", "p1", "1145", "X"),
        "a response names X, which is no payment",
    ),
    "a barcode is paid": (
        respond("payment", "p8", "0000", "P8"),
        "a response reports P8 as paid, and it is FAILED",
    ),
    "a row is paid": (
        respond("row", "p5", "0000", "P5"),
        "a response reports P5 as paid, and it is CLOSED",
    ),
    "a paid payment failed": (
        respond("payment", "twice", "1147", "P4"),
        "a response reports P4 as failed (1147), and it is paid",
    ),
    "a paid row failed": (
        respond("row", "p1", "2005", "P1"),
        "a response reports P1 as failed (2005), and it is paid",
    ),
    "a payment of another reference": (
        respond("payment", "p1", "0000", "P10"),
        "a request for p1 was answered with P10, which is p10",
    ),
    "a refund of another reference": (
        respond("refund", "r2", "0000", "R1", "P1"),
        "a request for r2 was answered with R1, which is r1",
    ),
    "another price": (
        respond("row", "p1", "0000", "P1", "", 700),
        "a response gives 700 as the amount of P1, it is 1000",
    ),
    "another amount of a refund": (
        respond("refund", "r1", "0000", "R1", "P1", 1000),
        "a response gives 1000 as the amount of R1, it is 300",
    ),
    "a refund that does not exist": (
        respond("refund", "r1", "2999", "X", "P1"),
        "a response names refund X, which does not exist",
    ),
    "a refund of another payment": (
        respond("refund", "r1", "0000", "R1", "P4"),
        "a response reports R1 as a refund of P4, not P1",
    ),
    "a refund is done": (
        respond("refund", "again", "0000", "R2", "P1"),
        "a response reports refund R2 as done, and it is FAILED",
    ),
    "a row of a refund is done": (
        respond("row", "again", "0000", "R2"),
        "a response reports refund R2 as done, and it is FAILED",
    ),
    "a refund failed": (
        respond("refund", "r1", "1269", "R1", "P1"),
        "a response reports refund R1 as failed (1269), and it is done",
    ),
    "a payment is reversed": (
        respond("reversal", "", "0000", "V4", "P4"),
        "a response reports P4 as reversed, and it is not",
    ),
    "an unknown payment is reversed": (
        respond("reversal", "", "0000", "", "X"),
        "a response reports X as reversed, and it is not",
    ),
    "a reversal that does not exist": (
        respond("reversal", "", "1145", "X", "P2"),
        "a response names reversal X, which does not exist",
    ),
    "a reversal of another payment": (
        respond("reversal", "", "0000", "V1", "P7"),
        "a response names reversal V1 of P7, it is of P2",
    ),
    "a reversal failed": (
        respond("reversal", "", "1155", "V1", "P2"),
        "a response reports reversal V1 as failed (1155), and it is done",
    ),
    "an expired order is closed": (
        respond("close", "", "0000", "C6", "P6"),
        "a response reports P6 as closed, and it is not",
    ),
    "an unknown order is closed": (
        respond("close", "", "0000", "C", "X"),
        "a response reports X as closed, and it is not",
    ),
}
MISMATCHES: Final = FALSE_WEBHOOKS | FALSE_RESPONSES


@pytest.mark.parametrize("case", MISMATCHES)
def test_a_single_mismatch_is_reported(case: str) -> None:
    books, expected = MISMATCHES[case]
    found = mismatches(books)
    assert any(expected in sentence for sentence in found), found


CONSISTENT: Final = {
    "no merchant received a response": replace(BOOKS, responses=()),
    "the response was undecided, and it was paid": respond("payment", "p1", "1145", "P1"),
    "the gateway was out of service, and it was paid": respond("payment", "p1", "1112", "P1"),
    "a row was expired, and its payer was faster": respond("row", "p1", "1181", "P1"),
    "a refund was in progress, and then refused": respond("refund", "again", "2999", "R2", "P1"),
    "a reversal was in progress, and then refused": respond("reversal", "", "1145", "V4", "P4"),
    "a refund was refused before it had a number": respond("refund", "r1", "1102", "", "P1"),
    "a close was refused": respond("close", "", "1181", "", "P6"),
    "a webhook arrived again after it was acknowledged": add("received", received("P2", "payment", 500)),
}


@pytest.mark.parametrize("case", CONSISTENT)
def test_a_consistent_book_has_no_mismatch(case: str) -> None:
    assert mismatches(CONSISTENT[case]) == []


def test_a_payment_reversed_between_two_queries_needs_no_webhook() -> None:
    assert "P7" not in {call.syssn for call in BOOKS.received}
    assert mismatches(BOOKS) == []
    notified = replace(
        add("received", received("P7", "payment", 400)),
        ours=add("webhooks", WebhookRow("P7", "payment", "DELIVERED")).ours,
    )
    assert mismatches(notified) == []


def test_a_webhook_that_was_written_of_a_reversed_payment_must_arrive() -> None:
    written = add("webhooks", WebhookRow("P7", "payment", "DELIVERED"))
    assert mismatches(written) == ["payment P7 needs a webhook, and none was acknowledged (DELIVERED)"]
