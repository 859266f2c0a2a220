"""What merchants were told, held against our own rows: webhooks as they arrived, answers as they were read. Pure.

The other half of `books.py`, and like it none of `tael`'s own code.
"""

from collections import defaultdict
from collections.abc import Iterator, Sequence
from typing import Final

from tests.soak.rows import DONE, PAID, Heard, OurBook, PaymentRow, RefundRow, ReversalRow, Told

#: Answers that say neither yes nor no: out of service, pending, closed, expired.
NOT_DECIDED: Final = frozenset({"1112", "1145", "2999", "1142", "1181"})
BARCODES: Final = frozenset({"800108", "800208", "800228"})

News = tuple[str, str]  #: the syssn of a payment or refund, and which of the two it is


def wrong_webhooks(ours: OurBook, heard: Sequence[Heard]) -> Iterator[str]:
    """News that never came, or was not so, or came otherwise than it should."""
    calls_of: dict[News, list[Heard]] = defaultdict(list)
    for call in heard:
        calls_of[call.syssn, call.kind].append(call)
    yield from _never_told(ours, calls_of)
    yield from _told_wrongly(ours, calls_of)
    true = {news for news, _ in _true_news(ours)}
    for row in ours.webhooks:
        if (row.cause, row.kind) not in true:
            yield f"a webhook was written about {row.kind} {row.cause}, which is not so"
        if row.state in ("DUE", "EXHAUSTED"):
            yield f"the webhook about {row.kind} {row.cause} is {row.state}"


def _never_told(ours: OurBook, calls_of: dict[News, list[Heard]]) -> Iterator[str]:
    states = {(row.cause, row.kind): row.state for row in ours.webhooks}
    for (syssn, kind), is_wanted in _news(ours).items():
        if (syssn, kind) not in states:
            yield f"{kind} {syssn} is to be told, and no webhook was ever written"
        elif is_wanted and not any(call.was_acknowledged for call in calls_of.get((syssn, kind), ())):
            yield f"{kind} {syssn} is to be told, and its merchant was never told ({states[syssn, kind]})"


def _news(ours: OurBook) -> dict[News, bool]:
    """What has a webhook, and whether its merchant wants it: an app of the old style is told of no refund."""
    payments = {payment.syssn: payment for payment in ours.payments if payment.notify_merchant}
    written = {(row.cause, row.kind) for row in ours.webhooks}
    news = {}
    for payment in payments.values():
        # What was paid and undone between two questions is no success: nobody is told of it.
        is_silent = payment.is_reversed and (payment.syssn, "payment") not in written
        if payment.state == PAID and not is_silent:
            news[payment.syssn, "payment"] = True
    for refund in ours.refunds:
        if refund.state == DONE and refund.payment_syssn in payments:
            appcode = payments[refund.payment_syssn].appcode
            news[refund.syssn, "refund"] = appcode in ours.new_style_apps
    return news


def _told_wrongly(ours: OurBook, calls_of: dict[News, list[Heard]]) -> Iterator[str]:
    true = dict(_true_news(ours))
    written = {(row.cause, row.kind) for row in ours.webhooks}
    for (syssn, kind), calls in calls_of.items():
        if (syssn, kind) not in true:
            yield f"a merchant was told of {kind} {syssn}, which is not so"
            continue
        amount_minor, reference, appcode = true[syssn, kind]
        if {call.amount_minor for call in calls} != {amount_minor}:
            yield f"a merchant was told another amount of {kind} {syssn}"
        if {call.reference for call in calls} != {reference}:
            yield f"a merchant was told another reference of {kind} {syssn}"
        if {call.appcode for call in calls} != {appcode}:
            yield f"another merchant was told of {kind} {syssn}"
        if (syssn, kind) not in written:
            yield f"a merchant was told of {kind} {syssn}, and no webhook was to be sent"
        if len({call.body for call in calls}) > 1:
            yield f"repeats of the webhook about {kind} {syssn} were not the same bytes"
        if not all(call.is_signed for call in calls):
            yield f"a webhook about {kind} {syssn} was not well signed"


def _true_news(ours: OurBook) -> Iterator[tuple[News, tuple[int, str, str]]]:
    """Amount, reference and app of what may be told."""
    payments = {payment.syssn: payment for payment in ours.payments}
    for payment in payments.values():
        if payment.state == PAID:
            yield (payment.syssn, "payment"), (payment.amount_minor, payment.reference, payment.appcode)
    for refund in ours.refunds:
        of = payments.get(refund.payment_syssn)
        if refund.state == DONE and of is not None:
            yield (refund.syssn, "refund"), (refund.amount_minor, refund.reference, of.appcode)


def untrue_answers(ours: OurBook, told: Sequence[Told]) -> Iterator[str]:
    """Whatever a merchant read must not be untrue in the end."""
    payments = {payment.syssn: payment for payment in ours.payments}
    refunds = {refund.syssn: refund for refund in ours.refunds}
    reversals = {reversal.syssn: reversal for reversal in ours.reversals}
    for answer in told:
        match answer.call:
            case "refund":
                yield from _refund_answer(answer, refunds)
            case "row" if answer.syssn in refunds:
                yield from _refund_answer(answer, refunds)
            case "payment" | "row":
                yield from _payment_answer(answer, payments)
            case "reversal":
                yield from _reversal_answer(answer, payments, reversals)
            case "close" if answer.respcd == "0000":
                closed = payments.get(answer.orig_syssn)
                if closed is None or closed.state not in ("CLOSED", PAID):
                    yield f"a merchant was told that {answer.orig_syssn} is closed, and it is not"


def _payment_answer(told: Told, payments: dict[str, PaymentRow]) -> Iterator[str]:
    if not told.syssn:
        return  # a refusal that opened nothing
    payment = payments.get(told.syssn)
    if payment is None:
        yield f"a merchant was told of {told.syssn}, which is no payment"
        return
    yield from _other_words(told, payment)
    if told.respcd == "0000" and payment.state != PAID:
        # Of an online order, the first answer says only that it was made.
        if told.call == "row" or payment.pay_type in BARCODES:
            yield f"a merchant was told that {told.syssn} is paid, and it is {payment.state}"
    elif told.respcd not in ("0000", *NOT_DECIDED) and payment.state == PAID:
        yield f"a merchant was told that {told.syssn} failed ({told.respcd}), and it is paid"


def _refund_answer(told: Told, refunds: dict[str, RefundRow]) -> Iterator[str]:
    if not told.syssn:
        return
    refund = refunds.get(told.syssn)
    if refund is None:
        yield f"a merchant was told of refund {told.syssn}, which is not there"
        return
    yield from _other_words(told, refund)
    if told.orig_syssn not in ("", refund.payment_syssn):
        yield f"a merchant was told that {told.syssn} refunds {told.orig_syssn}, it is {refund.payment_syssn}"
    if told.respcd == "0000" and refund.state != DONE:
        yield f"a merchant was told that refund {told.syssn} is done, and it is {refund.state}"
    elif told.respcd not in ("0000", *NOT_DECIDED) and refund.state == DONE:
        yield f"a merchant was told that refund {told.syssn} failed ({told.respcd}), and it is done"


def _other_words(told: Told, row: PaymentRow | RefundRow) -> Iterator[str]:
    if told.reference != row.reference:
        yield f"a merchant who asked about {told.reference} was told of {row.syssn}, which is {row.reference}"
    if told.amount_minor not in (None, row.amount_minor):
        yield f"a merchant was told {told.amount_minor} of {row.syssn}, it is {row.amount_minor}"


def _reversal_answer(
    told: Told, payments: dict[str, PaymentRow], reversals: dict[str, ReversalRow]
) -> Iterator[str]:
    undone = payments.get(told.orig_syssn)
    if told.respcd == "0000" and (undone is None or not undone.is_reversed):
        yield f"a merchant was told that {told.orig_syssn} is reversed, and it is not"
    if not told.syssn:
        return
    reversal = reversals.get(told.syssn)
    if reversal is None:
        yield f"a merchant was told of reversal {told.syssn}, which is not there"
    elif reversal.payment_syssn != told.orig_syssn:
        yield f"a merchant was told of reversal {told.syssn} of {told.orig_syssn}, it is of {reversal.payment_syssn}"
    elif told.respcd not in ("0000", *NOT_DECIDED) and reversal.state == DONE:
        yield f"a merchant was told that reversal {told.syssn} failed ({told.respcd}), and it is done"
