"""Incidents in the whole stack, in the operator's list and the metric: false outcomes, and unmatched payments.

Unmatched payments come from another program that orders with the shop's account at a wallet, without the gateway.
"""

from collections.abc import Iterator
from typing import Any, Final
from urllib.parse import urlencode

import pytest

from tests.end_to_end.conftest import merchant_of, private_demo
from tests.end_to_end.merchant import Merchant, digest, new_reference, send, signed_text
from tests.end_to_end.receiver import Receiver
from tests.end_to_end.rig import Demo, Members, eventually
from tests.sandbox.wechat_shop import NATIVE, SALE, Shop
from tests.support.http_calls import Answer

#: Past the first repeats of an unacknowledged notice, and past several queries of ours.
REPEATS_S: Final = (20, 20, 40, 200)
UNIFIEDORDER: Final = "/pay/unifiedorder"
ORDERQUERY: Final = "/pay/orderquery"


# ---- the operator's view -----------------------------------------------------------------------------------------


def incidents(demo: Demo, subject_id: str) -> list[Members]:
    rows: list[Members] = demo.ask("incident", "list", "--all")
    return [row for row in rows if row["subject_id"] == subject_id]


def unmatched(demo: Demo, order: str, *, state: str) -> Members:
    """Wait until the only unmatched payment for this order has this state."""

    def rows() -> list[Members]:
        found: list[Members] = demo.ask("unmatched", "list", "--all")
        return [row for row in found if row["subject_id"] == order]

    found = eventually(rows, lambda rows: [row["state"] for row in rows] == [state])
    assert [row["state"] for row in found] == [state], found
    return found[0]


def incident(demo: Demo, subject_id: str) -> Members:
    """Wait until there is one incident about this number."""
    (row,) = eventually(lambda: incidents(demo, subject_id), lambda rows: len(rows) == 1)
    return row


def incident_of(demo: Demo, payment: Members) -> Members:
    """The incident that was written with this unmatched payment."""
    (row,) = incidents(demo, payment["subject_id"])
    assert (row["unmatched_id"], row["kind"]) == (payment["unmatched_id"], payment["kind"])
    return row


def figures(demo: Demo) -> dict[str, float]:
    """The figures of `/metrics` about incidents and unmatched payments."""
    text = send(demo.gateway, "GET", "/metrics").body.decode()
    rows = [
        line.split() for line in text.splitlines() if line.startswith(("tael_incidents", "tael_unmatched"))
    ]
    return {name: float(figure) for name, figure in rows}


def assert_counted(demo: Demo, kind: str) -> None:
    """The metrics agree with the operator's list."""
    seen, rows = figures(demo), demo.ask("incident", "list", "--all")
    assert seen["tael_incidents_open"] == len([row for row in rows if row["resolved_at"] is None])
    of_kind = [row for row in rows if row["kind"] == kind]
    assert seen[f'tael_incidents_total{{kind="{kind}"}}'] == len(of_kind) >= 1


def assert_went_back_once(demo: Demo, order: str, amount_minor: int) -> Members:
    """Checks the wallet's book, the incident and the ledger."""
    returned = unmatched(demo, order, state="RETURNED")
    assert_moved(demo, returned, "unmatched_received", "unmatched_returned")
    (refund,) = demo.refunds(order)
    assert (refund["amount"], refund["refund_order"]) == (amount_minor, returned["syssn"])
    assert (returned["amount_minor"], demo.held(order)) == (amount_minor, 0)
    assert incident_of(demo, returned)["resolved_at"] is None
    return returned


def assert_moved(demo: Demo, payment: Members, *kinds: str) -> None:
    """The ledger has these entries of an unmatched payment: booked in, and perhaps out."""
    owner, amount_minor = f"HKD:{payment['account_id']}", payment["amount_minor"]
    wallet, account = f"wallet:{owner}", f"unmatched:{owner}"
    entries = [
        ("unmatched_received", wallet, account, amount_minor),
        ("unmatched_returned", account, wallet, amount_minor),
    ]
    shown = demo.ask("unmatched", "show", payment["unmatched_id"])["ledger"]
    found = [(entry["kind"], entry["debit"], entry["credit"], entry["amount_minor"]) for entry in shown]
    assert found == [entry for entry in entries if entry[0] in kinds]


# ---- unmatched orders --------------------------------------------------------------------------------------------


def account(demo: Demo, wallet: str, scene: str = "both") -> Members:
    """The demo shop's account at the wallet."""
    rows = demo.control("accounts")
    return next(r for r in rows if (r["wallet"], r["shop"], r["scene"]) == (wallet, "demo", scene))


def notice_url(shop: Merchant, wallet: str, scene: str = "both") -> str:
    rows = shop.demo.ask("account", "list", "--mchid", shop.mchid)
    row = next(row for row in rows if (row["wallet"], row["scene"]) in ((wallet, scene), (wallet, "")))
    return f"{shop.demo.gateway}/notices/{wallet}/{row['account_id']}"


def pay_unmatched(shop: Merchant, order: str, amount_minor: int) -> None:
    """An order at WeChat under this number, opened without the gateway, and paid."""
    at_wechat = Shop(account(shop.demo, "wechat"))
    asked: dict[str, Any] = SALE | NATIVE | {"out_trade_no": order, "total_fee": amount_minor}
    made = at_wechat.call(UNIFIEDORDER, **asked | {"notify_url": notice_url(shop, "wechat")})
    shop.demo.confirm(url=made["code_url"])


def pay_unmatched_at_alipay(shop: Merchant, order: str, major: str) -> None:
    at_alipay = account(shop.demo, "alipay", "online")
    fields = {
        "service": "create_forex_trade",
        "partner": at_alipay["pid"],
        "_input_charset": "utf-8",
        "subject": "Two tickets",
        "out_trade_no": order,
        "currency": "HKD",
        "total_fee": major,
        "product_code": "NEW_OVERSEAS_SELLER",
        "notify_url": notice_url(shop, "alipay", "online"),
    }
    assert at_alipay["sign_type"] == "MD5"
    sign = digest((signed_text(fields) + at_alipay["key"]).encode()).lower()
    asked = urlencode(fields | {"sign": sign, "sign_type": "MD5"})
    shop.demo.confirm(url=f"{at_alipay['gateway_url']}?{asked}")


def open_without_the_wallet(shop: Merchant) -> Answer:
    """A payment without an order at the wallet, so that another program can place one under its number."""
    with shop.demo.faults({"wallet": "wechat", "kind": "http_500", "operation": UNIFIEDORDER}):
        opened = shop.open("800201")
    assert opened.respcd == "1145"
    return opened


@pytest.mark.parametrize("wallet", ["wechat", "alipay"])
def test_money_for_an_unknown_order_goes_back_once(shop: Merchant, demo: Demo, wallet: str) -> None:
    order = new_reference().replace("-", "_")
    with demo.faults({"wallet": wallet, "kind": "duplicate_notice", "operation": "notice", "times": 2}):
        if wallet == "wechat":
            pay_unmatched(shop, order, 4321)
        else:
            pay_unmatched_at_alipay(shop, order, "43.21")
        returned = assert_went_back_once(demo, order, 4321)
    for seconds in REPEATS_S:  # a notice of an unknown order is never acknowledged
        demo.advance(seconds)
    assert assert_went_back_once(demo, order, 4321) == returned
    assert (returned["kind"], returned["mchid"]) == ("unknown_order", shop.mchid)
    assert returned["wallet_ref"] == demo.trades(order)[0]["trade"]
    assert_counted(demo, "unknown_order")


def test_money_for_an_attempt_that_failed_goes_back_once(
    shop: Merchant, demo: Demo, receiver: Receiver
) -> None:
    opened = shop.open("800207", sub_openid="o" + "x" * 27)  # an unknown openid
    row = shop.row(opened["syssn"])
    assert row["respcd"] not in ("0000", "1145")
    pay_unmatched(shop, opened["syssn"], 1000)

    assert assert_went_back_once(demo, opened["syssn"], 1000)["kind"] == "paid_after_failed"
    assert shop.row(opened["syssn"]) == row
    assert receiver.calls(opened["out_trade_no"]) == []
    assert_counted(demo, "paid_after_failed")


def test_another_amount_than_the_price_goes_back_and_the_order_has_failed(
    shop: Merchant, demo: Demo, receiver: Receiver
) -> None:
    opened = open_without_the_wallet(shop)
    pay_unmatched(shop, opened["syssn"], 999)

    returned = assert_went_back_once(demo, opened["syssn"], 999)
    assert (returned["kind"], returned["amount_minor"]) == ("wrong_amount", 999)
    detail = incident_of(demo, returned)["detail"]
    assert "9.99 HKD" in detail
    assert "10.00 HKD" in detail
    shop.until(opened["syssn"], "1126")
    assert receiver.calls(opened["out_trade_no"]) == []
    assert_counted(demo, "wrong_amount")


# ---- false amounts -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("pay_type", ["800151", "800201"])
def test_a_notice_of_a_false_amount_is_refuted_and_the_order_is_paid(
    shop: Merchant, demo: Demo, receiver: Receiver, pay_type: str
) -> None:
    wallet = "alipay" if pay_type == "800151" else "wechat"
    opened = shop.open(pay_type)
    with demo.faults({"wallet": wallet, "kind": "wrong_amount", "operation": "notice", "times": 1}):
        shop.pay_by_phone(opened)
        refuted = unmatched(demo, opened["syssn"], state="REFUTED")
    assert (refuted["kind"], refuted["amount_minor"]) == ("wrong_amount", 1001)
    assert_paid_and_kept(shop, receiver, opened)
    assert_counted(demo, "wrong_amount")


def test_a_response_with_a_false_amount_is_refuted_and_the_order_is_paid(
    shop: Merchant, demo: Demo, receiver: Receiver
) -> None:
    opened = shop.open("800201")
    with demo.faults(
        {"wallet": "wechat", "kind": "drop_notice"},
        {"wallet": "wechat", "kind": "wrong_amount", "operation": ORDERQUERY, "times": 1},
    ):
        shop.pay_by_phone(opened)
        demo.advance(31)
        refuted = unmatched(demo, opened["syssn"], state="REFUTED")
    assert (refuted["kind"], refuted["amount_minor"]) == ("wrong_amount", 1001)
    assert_paid_and_kept(shop, receiver, opened)


def assert_paid_and_kept(shop: Merchant, receiver: Receiver, opened: Answer) -> None:
    shop.until(opened["syssn"], "0000")
    assert len(receiver.wait(opened["out_trade_no"])) == 1
    assert shop.demo.refunds(opened["syssn"]) == []
    assert shop.demo.held(opened["syssn"]) == 1000
    shown = shop.demo.ask("payment", "show", opened["syssn"])
    assert {(e["kind"], e["amount_minor"]) for e in shown["ledger"]} == {("payment", 1000), ("fee", 6)}


# ---- late money --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("end", ["closed", "expired"])
def test_late_money_is_the_merchants_and_its_incident_is_open_until_resolved(
    shop: Merchant, demo: Demo, receiver: Receiver, end: str
) -> None:
    if end == "closed":
        opened = shop.closed("800152")
        pay_unmatched_at_alipay(shop, opened["syssn"], "10.00")
    else:
        opened = open_without_the_wallet(shop)
        demo.advance(1900)
        shop.until(opened["syssn"], "1181")
        pay_unmatched(shop, opened["syssn"], 1000)

    late = incident(demo, opened["syssn"])
    assert (late["kind"], late["unmatched_id"]) == ("late_money", "")
    assert end.upper() in late["detail"]
    assert_paid_and_kept(shop, receiver, opened)
    assert_counted(demo, "late_money")

    open_before = figures(demo)["tael_incidents_open"]
    done = demo.ask("incident", "resolve", late["incident_id"], "--note", "called the merchant")
    assert done["resolution"] == "called the merchant"
    assert late["incident_id"] not in [row["incident_id"] for row in demo.ask("incident", "list")]
    assert figures(demo)["tael_incidents_open"] == open_before - 1
    assert_counted(demo, "late_money")


# ---- the policy hold ---------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def holding() -> Iterator[Demo]:
    """A demo whose merchants hold unmatched payments."""
    with private_demo("--no-return-unmatched-payments") as demo:
        yield demo


def held_figures(demo: Demo) -> tuple[float, float]:
    """The held sum in minor units, and the age of the oldest in seconds; zeros if nothing is held."""
    found, labels = figures(demo), '{currency="HKD",state="HELD"}'
    return found.get(f"tael_unmatched_amount_minor{labels}", 0), found.get(
        f"tael_unmatched_oldest_seconds{labels}", 0
    )


def test_by_the_policy_hold_an_unmatched_payment_waits_for_a_decision(holding: Demo) -> None:
    shop, (first, second) = merchant_of(holding, "published"), (new_reference(), new_reference())
    paid = shop.paid("800201")
    pay_unmatched(shop, first, 4321)
    held = unmatched(holding, first, state="HELD")
    pay_unmatched(shop, second, 99)
    other = unmatched(holding, second, state="HELD")
    for seconds in REPEATS_S:
        holding.advance(seconds)
    for order, amount_minor in ((first, 4321), (second, 99)):
        assert_moved(holding, unmatched(holding, order, state="HELD"), "unmatched_received")
        assert (holding.refunds(order), holding.held(order)) == ([], amount_minor)
    held_minor, age_s = held_figures(holding)
    assert held_minor == 4321 + 99
    assert age_s >= sum(REPEATS_S)
    assert_books_agree(holding, held_minor=4321 + 99, paid_minor=1000)

    kept = holding.ask("unmatched", "keep", other["unmatched_id"], "--note", "the shop delivered it")
    assert (kept["state"], kept["note"]) == ("KEPT", "the shop delivered it")
    assert incident_of(holding, kept)["resolution"] == "the shop delivered it"
    assert held_figures(holding)[0] == 4321
    holding.ask("unmatched", "return", held["unmatched_id"])
    assert assert_went_back_once(holding, first, 4321)["syssn"] == held["syssn"]
    assert held_figures(holding) == (0, 0)
    assert_books_agree(holding, held_minor=99, paid_minor=1000)
    assert holding.held(paid["syssn"]) == 1000


def assert_books_agree(demo: Demo, *, held_minor: int, paid_minor: int) -> None:
    verified = demo.ask("ledger", "verify", "--sandbox", demo.sandbox)
    assert (verified["ok"], verified["disagreements"]) == (True, 0)
    balances = {row["account"]: row["balance_minor"] for row in verified["balances"]}
    assert (balances["unmatched"], balances["wallet"]) == (-held_minor, held_minor + paid_minor)


def test_the_policy_of_a_merchant_can_be_changed(holding: Demo) -> None:
    shop, order = merchant_of(holding, "published"), new_reference()
    changed = holding.ask("merchant", "set", shop.mchid, "--unmatched-payments", "return")
    assert changed["unmatched_payments"] == "return"
    pay_unmatched(shop, order, 700)
    assert_went_back_once(holding, order, 700)
