"""The checks of a receiver. The forged webhooks are about one unpaid order, which a genuine one pays afterwards."""

import json
from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Final

from tael_conformance.checks import Check, Departure, Group, Skipped
from tael_conformance.receiver.session import Order, Receiver, is_acknowledged, syssn_of
from tael_conformance.receiver.webhooks import UTC8, Signer, Style, Webhook, refund_members
from tael_conformance.signing import digest, signed_text
from tael_conformance.wire import Exchange

FORGED: Final[Group[Receiver]] = Group("receiver.forged", "Webhooks")
MISLEADING: Final[Group[Receiver]] = Group("receiver.content", "Webhooks")
GENUINE: Final[Group[Receiver]] = Group("receiver.genuine", "Webhooks")
REPEATED: Final[Group[Receiver]] = Group("receiver.repeated", "Webhooks")
ACKNOWLEDGED: Final = "HTTP 200 with SUCCESS"
VICTIM: Final = "forged"
AT_ONCE: Final = 4
MAX_OLD_DAYS: Final = 2
OVERSIZED_BYTES: Final = 2 * 1024 * 1024


def victim(receiver: Receiver) -> Order:
    """The order that the forged webhooks are about."""
    return receiver.order(VICTIM)


def expect_refused(receiver: Receiver, webhook: Webhook, note: str) -> None:
    """Not acknowledged, and the merchant's state is unchanged."""
    order = victim(receiver)
    before = receiver.state(order)
    answer = receiver.send(webhook, note)
    expect_unchanged(receiver, order, before, answer)
    answer.expect(not is_acknowledged(answer), f"any response but {ACKNOWLEDGED}")


def expect_unchanged(receiver: Receiver, order: Order, before: str | None, answer: Exchange) -> None:
    after = receiver.state(order)
    if after != before:
        receiver.discard(order)  # the checks that follow need an unpaid one
        raise Departure(f"the state unchanged: {before}", f"{after} after {answer.received}", answer.sent)


def expect_booked(receiver: Receiver, order: Order, webhook: Webhook, note: str) -> Exchange:
    """Acknowledged, and the merchant's state has changed."""
    before = receiver.state(order)
    answer = receiver.send(webhook, note)
    answer.expect(is_acknowledged(answer), ACKNOWLEDGED)
    if receiver.states and receiver.state(order) == before:
        raise Departure("another state than before the webhook", f"{before}, unchanged", answer.sent)
    return answer


def new_style_only(receiver: Receiver) -> None:
    if receiver.signer.style != "new":
        raise Skipped("the new style only")


def old_style_only(receiver: Receiver) -> None:
    if receiver.signer.style != "old":
        raise Skipped("the old style only")


# ---- forged --------------------------------------------------------------------------------------------------


@FORGED.must(
    "unsigned", "No signature", "A webhook without X-QF-SIGN is not acknowledged and changes nothing."
)
def unsigned(receiver: Receiver) -> None:
    body = receiver.signer.webhook(receiver.members(victim(receiver))).body
    expect_refused(receiver, Webhook(body, None), "no X-QF-SIGN")


@FORGED.must("empty-signature", "An empty signature", "An empty X-QF-SIGN is a wrong signature.")
def empty_signature(receiver: Receiver) -> None:
    body = receiver.signer.webhook(receiver.members(victim(receiver))).body
    expect_refused(receiver, Webhook(body, ""), "empty X-QF-SIGN")


@FORGED.must(
    "wrong-signature", "A wrong signature", "A wrong signature is not acknowledged and changes nothing."
)
def wrong_signature(receiver: Receiver) -> None:
    body = receiver.signer.webhook(receiver.members(victim(receiver))).body
    expect_refused(receiver, Webhook(body, "0123456789ABCDEF" * 2), "wrong X-QF-SIGN")


def _signed_with(receiver: Receiver, key: str) -> Webhook:
    signer = Signer(receiver.signer.style, key, receiver.signer.algorithm)
    return signer.webhook(receiver.members(victim(receiver)))


@FORGED.must("other-key", "Another app's key", "A webhook signed with another key is not acknowledged.")
def other_key(receiver: Receiver) -> None:
    expect_refused(receiver, _signed_with(receiver, "0" * 32), "signed with another key")


@FORGED.must("empty-key", "An empty key", "A webhook signed without the key is not acknowledged.")
def empty_key(receiver: Receiver) -> None:
    expect_refused(receiver, _signed_with(receiver, ""), "signed with an empty key")


@FORGED.must("appcode-key", "The appcode as the key", "The appcode is public; it is not the key.")
def appcode_key(receiver: Receiver) -> None:
    appcode = receiver.credentials.appcode
    if appcode in ("", receiver.credentials.key):
        raise Skipped("needs an appcode that is not the key")
    expect_refused(receiver, _signed_with(receiver, appcode), "signed with the appcode")


def _altered(receiver: Receiver, **changed: str) -> Webhook:
    """A webhook whose members were changed after signing."""
    members = receiver.members(victim(receiver))
    sign = receiver.signer.webhook(members).sign
    return Webhook(json.dumps(members | changed).encode(), sign)


@FORGED.must("altered-number", "Another order's number", "The signature covers out_trade_no.")
def altered_number(receiver: Receiver) -> None:
    other = receiver.members(Order("kit-other-order", victim(receiver).amount))
    sign = receiver.signer.webhook(other).sign
    body = json.dumps(receiver.members(victim(receiver))).encode()
    expect_refused(receiver, Webhook(body, sign), "signature of another order's webhook")


@FORGED.must("altered-amount", "A changed amount", "The signature covers txamt.")
def altered_amount(receiver: Receiver) -> None:
    amount = str(int(victim(receiver).amount) + 1)
    expect_refused(receiver, _altered(receiver, txamt=amount), "txamt changed after signing")


@FORGED.must("altered-result", "A changed result", "The signature covers respcd.")
def altered_result(receiver: Receiver) -> None:
    unpaid = receiver.members(victim(receiver), respcd="1142")
    body = json.dumps(receiver.members(victim(receiver))).encode()
    expect_refused(
        receiver, Webhook(body, receiver.signer.webhook(unpaid).sign), "respcd changed after signing"
    )


@FORGED.must("other-style", "The other style", "A receiver accepts only webhooks of its app's style.")
def other_style(receiver: Receiver) -> None:
    style: Style = "old" if receiver.signer.style == "new" else "new"
    webhook = Signer(style, receiver.credentials.key).webhook(receiver.members_of(style, victim(receiver)))
    expect_refused(receiver, webhook, f"a webhook of the {style} style")


@FORGED.must(
    "reserialised",
    "A signature over parsed JSON",
    "New style: the signature is over the received bytes, not over parsed JSON.",
)
def reserialised(receiver: Receiver) -> None:
    new_style_only(receiver)
    members = receiver.members(victim(receiver))
    sign = receiver.signer.webhook(members).sign
    body = json.dumps(members, separators=(",", ":")).encode()
    expect_refused(receiver, Webhook(body, sign), "other bytes with the same JSON")


@FORGED.must("request", "A signed request", "A signed request or link of the merchant is not a webhook.")
def request(receiver: Receiver) -> None:
    order = victim(receiver)
    members = {
        "mchid": receiver.credentials.mchid or "kit0merchant",
        "out_trade_no": order.number,
        "pay_type": receiver.pay_type,
        "respcd": "0000",
        "syssn": syssn_of(order.number),
        "txamt": order.amount,
    }
    sign = digest(signed_text(members).encode(), receiver.credentials.key)
    expect_refused(receiver, Webhook(json.dumps(members).encode(), sign), "the parameters of a signed query")


@FORGED.must("response", "A signed response", "A signed response of the server is not a webhook.")
def response(receiver: Receiver) -> None:
    new_style_only(receiver)
    members = receiver.members(victim(receiver), respmsg="ok", resperr="")
    del members["notify_type"], members["status"]
    body = json.dumps(members).encode()
    sign = digest(body, receiver.credentials.key, receiver.signer.algorithm)
    expect_refused(receiver, Webhook(body, sign), "a signed response to a payment")


@FORGED.must("not-json", "A body that is not JSON", "A body that is not a JSON object is not acknowledged.")
def not_json(receiver: Receiver) -> None:
    for body in (b"", b"[]", b"out_trade_no=1", b"\xff\xfe{"):
        sign = digest(body, receiver.credentials.key, receiver.signer.algorithm)
        expect_refused(receiver, Webhook(body, sign), "not a JSON object")


@FORGED.must(
    "oversized",
    "A large body",
    "A body of 2 MiB with a wrong signature is refused, and the receiver stays up.",
)
def oversized(receiver: Receiver) -> None:
    order = victim(receiver)
    before = receiver.state(order)
    members = receiver.members(order) | {"goods_name": "x" * OVERSIZED_BYTES}
    webhook = Webhook(json.dumps(members).encode(), "0123456789ABCDEF" * 2)
    try:
        answer = receiver.send(webhook, "2 MiB, wrong signature")
    except Departure as departure:
        if "Timeout" in departure.received:
            raise
        return  # the receiver closed the connection; the next checks show whether it is up
    answer.expect(not is_acknowledged(answer), f"any response but {ACKNOWLEDGED}")
    expect_unchanged(receiver, order, before, answer)


# ---- genuine signatures, misleading content --------------------------------------------------------------------


def expect_no_effect(receiver: Receiver, members: Mapping[str, str], note: str) -> None:
    """The webhook may be acknowledged; the order's state is unchanged."""
    if not receiver.states:
        raise Skipped("needs --state-url")
    before = receiver.state(victim(receiver))
    answer = receiver.send(receiver.signer.webhook(members), note)
    expect_unchanged(receiver, victim(receiver), before, answer)


@MISLEADING.must("amount", "A smaller amount", "A webhook whose txamt is not the order's does not pay it.")
def amount(receiver: Receiver) -> None:
    members = receiver.members(victim(receiver), txamt="1", syssn=syssn_of("another amount"))
    expect_no_effect(receiver, members, "txamt 1, signed")


@MISLEADING.must(
    "currency", "Another currency", "A webhook whose txcurrcd is not the order's does not pay it."
)
def currency(receiver: Receiver) -> None:
    new_style_only(receiver)
    other = "JPY" if receiver.currency != "JPY" else "HKD"
    members = receiver.members(victim(receiver), txcurrcd=other, syssn=syssn_of("another currency"))
    expect_no_effect(receiver, members, f"txcurrcd {other}, signed")


@MISLEADING.must("unpaid", "A result that is not 0000", "Only respcd 0000 pays an order.")
def unpaid(receiver: Receiver) -> None:
    members = receiver.members(victim(receiver), respcd="1142", syssn=syssn_of("another result"))
    expect_no_effect(receiver, members, "respcd 1142, signed")


@MISLEADING.must(
    "unknown-order", "An unknown order", "A webhook about an unknown order is answered and changes no other."
)
def unknown_order(receiver: Receiver) -> None:
    before = receiver.state(victim(receiver))
    members = receiver.members(Order("kit-unknown-order", victim(receiver).amount))
    answer = receiver.send(receiver.signer.webhook(members), "an order that the merchant does not have")
    expect_unchanged(receiver, victim(receiver), before, answer)


# ---- genuine -------------------------------------------------------------------------------------------------


def paid(receiver: Receiver) -> Webhook:
    """The genuine webhook about the order of the forged ones, the same bytes each time."""
    return receiver.signer.webhook(receiver.members(victim(receiver), txdtm="2026-01-01 10:00:00"))


@GENUINE.must(
    "acknowledged",
    "A genuine webhook",
    "A genuine webhook is answered with HTTP 200 and SUCCESS, and pays the order.",
)
def acknowledged(receiver: Receiver) -> None:
    expect_booked(receiver, victim(receiver), paid(receiver), "genuine")


@GENUINE.must("late", "A late webhook", "Webhooks can be two days late: their times do not decide.")
def late(receiver: Receiver) -> None:
    order = receiver.order("late")
    members = receiver.members(order, datetime.now(UTC8) - timedelta(days=MAX_OLD_DAYS))
    expect_booked(receiver, order, receiver.signer.webhook(members), "two days old")


@GENUINE.must(
    "unknown-members", "Unknown members", "New style: members that the receiver does not know are ignored."
)
def unknown_members(receiver: Receiver) -> None:
    new_style_only(receiver)
    order = receiver.order("unknown members")
    members = receiver.members(order, customer_source="app", kit_note="a member of a later version")
    expect_booked(receiver, order, receiver.signer.webhook(members), "unknown members")


@GENUINE.must("chinese", "Chinese text", "Text is UTF-8, written as \\uXXXX.")
def chinese(receiver: Receiver) -> None:
    order = receiver.order("chinese")
    name = "goods_name" if receiver.signer.style == "new" else "respmsg"
    members = receiver.members(order) | {name: "香港測試 奶茶"}
    expect_booked(receiver, order, receiver.signer.webhook(members), "Chinese text")


@GENUINE.must(
    "bytes",
    "Another form of JSON",
    "New style: the signature is over the received bytes, in any form of JSON.",
)
def other_bytes(receiver: Receiver) -> None:
    new_style_only(receiver)
    order = receiver.order("bytes")
    members = receiver.members(order, goods_name="奶茶/tea")
    body = json.dumps(members, ensure_ascii=False, separators=(",", ":"), sort_keys=True).encode()
    body = body.replace("奶茶/".encode(), "奶茶\\/".encode())
    expect_booked(
        receiver, order, Webhook(body, receiver.signer.sign(body, members)), "compact JSON in UTF-8"
    )


@GENUINE.should("integers", "Integers", "Old style: QFPay has sent txamt and syssn as JSON integers.")
def integers(receiver: Receiver) -> None:
    old_style_only(receiver)
    order = receiver.order("integers")
    members = receiver.members(order)
    body = json.dumps(members | {name: int(members[name]) for name in ("txamt", "syssn")}).encode()
    expect_booked(receiver, order, Webhook(body, receiver.signer.sign(body, members)), "integers")


@GENUINE.should("content-type", "No Content-Type", "QFPay has sent webhooks without a Content-Type.")
def content_type(receiver: Receiver) -> None:
    order = receiver.order("content type")
    webhook = receiver.signer.webhook(receiver.members(order))
    expect_booked(receiver, order, Webhook(webhook.body, webhook.sign, None), "no Content-Type")


# ---- repeated, at once, out of order ---------------------------------------------------------------------------


@REPEATED.must("acknowledged", "A repeated webhook", "A repeated webhook is acknowledged again.")
def repeated(receiver: Receiver) -> None:
    answer = receiver.send(paid(receiver), "the same bytes again")
    answer.expect(is_acknowledged(answer), ACKNOWLEDGED)


@REPEATED.must("booked-once", "Booked once", "A repeated webhook changes nothing.")
def booked_once(receiver: Receiver) -> None:
    if not receiver.states:
        raise Skipped("needs --state-url")
    before = receiver.state(victim(receiver))
    for _ in range(2):
        answer = receiver.send(paid(receiver), "the same bytes again")
    expect_unchanged(receiver, victim(receiver), before, answer)


@REPEATED.must(
    "forged",
    "A forged webhook of a paid order",
    "A forged refund or payment of a paid order changes nothing.",
)
def forged_of_paid(receiver: Receiver) -> None:
    expect_refused(receiver, _altered(receiver, cancel="2"), "a paid order, altered after signing")


@REPEATED.must(
    "at-once",
    "The same webhook at once",
    "Of equal webhooks at the same time, at least one is acknowledged, as are later ones.",
)
def at_once(receiver: Receiver) -> None:
    order = receiver.order("at once")
    webhook = receiver.signer.webhook(receiver.members(order, txdtm="2026-01-01 10:00:00"))
    note = f"{AT_ONCE} at once"
    answers = receiver.send_at_once(webhook, AT_ONCE, note)
    answers[0].expect(any(is_acknowledged(answer) for answer in answers), f"{ACKNOWLEDGED} at least once")
    answer = receiver.send(webhook, "once more")
    answer.expect(is_acknowledged(answer), ACKNOWLEDGED)


@REPEATED.should(
    "at-once-booked-once",
    "Booked once",
    "Equal webhooks at the same time leave the order in the state that one leaves it in.",
)
def at_once_booked_once(receiver: Receiver) -> None:
    if not receiver.states:
        raise Skipped("needs --state-url")
    single, several = victim(receiver), receiver.order("at once")
    if single.amount != several.amount:
        raise Skipped("the orders have different amounts")
    expected, found = _without_number(receiver, single), _without_number(receiver, several)
    if found != expected:
        raise Departure(
            f"the state after one webhook: {expected}", found, f"{AT_ONCE} equal webhooks at once"
        )


def _without_number(receiver: Receiver, order: Order) -> str:
    return (receiver.state(order) or "").replace(order.number, "").replace(syssn_of(order.number), "")


@REPEATED.must(
    "reordered",
    "A refund before its payment",
    "New style: order is not promised; both are acknowledged in the end.",
)
def reordered(receiver: Receiver) -> None:
    new_style_only(receiver)
    order = receiver.order("reordered")
    payment = receiver.members(order, txdtm="2026-01-01 10:00:00")
    number = f"{order.number}-r"
    refund = receiver.signer.webhook(refund_members(payment, number, syssn_of(number)))
    receiver.send(refund, "a refund before its payment")  # not acknowledging it means: send it again later
    for webhook, note in (
        (receiver.signer.webhook(payment), "the payment after its refund"),
        (refund, "the refund again, after the payment"),
    ):
        answer = receiver.send(webhook, note)
        answer.expect(is_acknowledged(answer), ACKNOWLEDGED)


CHECKS: Final[list[Check[Receiver]]] = [
    check for group in (FORGED, MISLEADING, GENUINE, REPEATED) for check in group.checks
]
