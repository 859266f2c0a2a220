"""Compares the webhooks and responses that merchants received with our own rows. Pure.

The other half of `books.py`, and like it free of `tael`'s own code.
"""

from collections import defaultdict
from collections.abc import Iterator, Sequence
from typing import Final

from tests.soak.rows import (
    DONE,
    PAID,
    MerchantResponse,
    OurBook,
    PaymentRow,
    ReceivedWebhook,
    RefundRow,
    ReversalRow,
)

#: Codes that decide nothing: out of service, pending, closed, expired.
NOT_DECIDED: Final = frozenset({"1112", "1145", "2999", "1142", "1181"})
BARCODES: Final = frozenset({"800108", "800208", "800228", "801008", "800008"})

Event = tuple[str, str]  #: the syssn of a payment or refund, and its kind


def wrong_webhooks(ours: OurBook, received: Sequence[ReceivedWebhook]) -> Iterator[str]:
    """Webhooks that are missing, false, or wrong in content."""
    calls_of: dict[Event, list[ReceivedWebhook]] = defaultdict(list)
    for call in received:
        calls_of[call.syssn, call.kind].append(call)
    yield from _missing(ours, calls_of)
    yield from _wrong_contents(ours, calls_of)
    actual = {event for event, _ in _actual_events(ours)}
    for row in ours.webhooks:
        if (row.cause, row.kind) not in actual:
            yield f"a webhook was written about {row.kind} {row.cause}, which did not happen"
        if row.state in ("DUE", "EXHAUSTED"):
            yield f"the webhook about {row.kind} {row.cause} is {row.state}"


def _missing(ours: OurBook, calls_of: dict[Event, list[ReceivedWebhook]]) -> Iterator[str]:
    states = {(row.cause, row.kind): row.state for row in ours.webhooks}
    for (syssn, kind), is_wanted in _expected_events(ours).items():
        if (syssn, kind) not in states:
            yield f"{kind} {syssn} needs a webhook, and none was written"
        elif is_wanted and not any(call.was_acknowledged for call in calls_of.get((syssn, kind), ())):
            yield f"{kind} {syssn} needs a webhook, and none was acknowledged ({states[syssn, kind]})"


def _expected_events(ours: OurBook) -> dict[Event, bool]:
    """The events with a webhook, and whether it is delivered: an app of the old style gets none for refunds."""
    payments = {payment.syssn: payment for payment in ours.payments if payment.notify_merchant}
    written = {(row.cause, row.kind) for row in ours.webhooks}
    expected = {}
    for payment in payments.values():
        # A payment that was paid and reversed between two queries is no success and has no webhook.
        is_silent = payment.is_reversed and (payment.syssn, "payment") not in written
        if payment.state == PAID and not is_silent:
            expected[payment.syssn, "payment"] = True
    for refund in ours.refunds:
        if refund.state == DONE and refund.payment_syssn in payments:
            appcode = payments[refund.payment_syssn].appcode
            expected[refund.syssn, "refund"] = appcode in ours.new_style_apps
    return expected


def _wrong_contents(ours: OurBook, calls_of: dict[Event, list[ReceivedWebhook]]) -> Iterator[str]:
    actual = dict(_actual_events(ours))
    written = {(row.cause, row.kind) for row in ours.webhooks}
    for (syssn, kind), calls in calls_of.items():
        if (syssn, kind) not in actual:
            yield f"a merchant was notified of {kind} {syssn}, which did not happen"
            continue
        amount_minor, reference, appcode = actual[syssn, kind]
        if {call.amount_minor for call in calls} != {amount_minor}:
            yield f"a merchant was notified of a wrong amount of {kind} {syssn}"
        if {call.reference for call in calls} != {reference}:
            yield f"a merchant was notified of a wrong reference of {kind} {syssn}"
        if {call.appcode for call in calls} != {appcode}:
            yield f"another merchant was notified of {kind} {syssn}"
        if (syssn, kind) not in written:
            yield f"a merchant was notified of {kind} {syssn}, and no webhook was due"
        if len({call.body for call in calls}) > 1:
            yield f"repeats of the webhook about {kind} {syssn} were not the same bytes"
        if not all(call.is_signed for call in calls):
            yield f"a webhook about {kind} {syssn} was not well signed"


def _actual_events(ours: OurBook) -> Iterator[tuple[Event, tuple[int, str, str]]]:
    """Amount, reference and app of every payment that is paid and refund that is done."""
    payments = {payment.syssn: payment for payment in ours.payments}
    for payment in payments.values():
        if payment.state == PAID:
            yield (payment.syssn, "payment"), (payment.amount_minor, payment.reference, payment.appcode)
    for refund in ours.refunds:
        of = payments.get(refund.payment_syssn)
        if refund.state == DONE and of is not None:
            yield (refund.syssn, "refund"), (refund.amount_minor, refund.reference, of.appcode)


def wrong_responses(ours: OurBook, responses: Sequence[MerchantResponse]) -> Iterator[str]:
    """Responses that contradict the final state."""
    payments = {payment.syssn: payment for payment in ours.payments}
    refunds = {refund.syssn: refund for refund in ours.refunds}
    reversals = {reversal.syssn: reversal for reversal in ours.reversals}
    for response in responses:
        match response.call:
            case "refund":
                yield from _check_refund(response, refunds)
            case "row" if response.syssn in refunds:
                yield from _check_refund(response, refunds)
            case "payment" | "row":
                yield from _check_payment(response, payments)
            case "reversal":
                yield from _check_reversal(response, payments, reversals)
            case "close" if response.respcd == "0000":
                closed = payments.get(response.orig_syssn)
                if closed is None or closed.state not in ("CLOSED", PAID):
                    yield f"a response reports {response.orig_syssn} as closed, and it is not"


def _check_payment(response: MerchantResponse, payments: dict[str, PaymentRow]) -> Iterator[str]:
    if not response.syssn:
        return  # a refusal that opened nothing
    payment = payments.get(response.syssn)
    if payment is None:
        yield f"a response names {response.syssn}, which is no payment"
        return
    yield from _wrong_fields(response, payment)
    if response.respcd == "0000" and payment.state != PAID:
        # The initial response to an online order only confirms that it was created.
        if response.call == "row" or payment.pay_type in BARCODES:
            yield f"a response reports {response.syssn} as paid, and it is {payment.state}"
    elif response.respcd not in ("0000", *NOT_DECIDED) and payment.state == PAID:
        yield f"a response reports {response.syssn} as failed ({response.respcd}), and it is paid"


def _check_refund(response: MerchantResponse, refunds: dict[str, RefundRow]) -> Iterator[str]:
    if not response.syssn:
        return
    refund = refunds.get(response.syssn)
    if refund is None:
        yield f"a response names refund {response.syssn}, which does not exist"
        return
    yield from _wrong_fields(response, refund)
    if response.orig_syssn not in ("", refund.payment_syssn):
        yield f"a response reports {response.syssn} as a refund of {response.orig_syssn}, not {refund.payment_syssn}"
    if response.respcd == "0000" and refund.state != DONE:
        yield f"a response reports refund {response.syssn} as done, and it is {refund.state}"
    elif response.respcd not in ("0000", *NOT_DECIDED) and refund.state == DONE:
        yield f"a response reports refund {response.syssn} as failed ({response.respcd}), and it is done"


def _wrong_fields(response: MerchantResponse, row: PaymentRow | RefundRow) -> Iterator[str]:
    if response.reference != row.reference:
        yield f"a request for {response.reference} was answered with {row.syssn}, which is {row.reference}"
    if response.amount_minor not in (None, row.amount_minor):
        yield f"a response gives {response.amount_minor} as the amount of {row.syssn}, it is {row.amount_minor}"


def _check_reversal(
    response: MerchantResponse, payments: dict[str, PaymentRow], reversals: dict[str, ReversalRow]
) -> Iterator[str]:
    undone = payments.get(response.orig_syssn)
    if response.respcd == "0000" and (undone is None or not undone.is_reversed):
        yield f"a response reports {response.orig_syssn} as reversed, and it is not"
    if not response.syssn:
        return
    reversal = reversals.get(response.syssn)
    if reversal is None:
        yield f"a response names reversal {response.syssn}, which does not exist"
    elif reversal.payment_syssn != response.orig_syssn:
        yield f"a response names reversal {response.syssn} of {response.orig_syssn}, it is of {reversal.payment_syssn}"
    elif response.respcd not in ("0000", *NOT_DECIDED) and reversal.state == DONE:
        yield f"a response reports reversal {response.syssn} as failed ({response.respcd}), and it is done"
