"""Incidents in the whole stack: seen by the operator and the metric, while wallets lie and strangers pay.

A stranger is somebody else who knows the shop's account at a wallet and orders there without the gateway.
"""

from collections.abc import Iterator
from typing import Any, Final
from urllib.parse import urlencode

import pytest

from tests.end_to_end.conftest import merchant_of, private_demo
from tests.end_to_end.merchant import Answer, Merchant, digest, new_reference, send, signed_text
from tests.end_to_end.receiver import Receiver
from tests.end_to_end.rig import Demo, Members, eventually
from tests.sandbox.wechat_shop import NATIVE, SALE, Shop

#: Past the first repeats of a notice that was not acknowledged, and past several questions of ours.
REPEATS_S: Final = (20, 20, 40, 200)
UNIFIEDORDER: Final = "/pay/unifiedorder"
ORDERQUERY: Final = "/pay/orderquery"


# ---- what the operator sees --------------------------------------------------------------------------------------


def incidents(demo: Demo, subject_id: str) -> list[Members]:
    rows: list[Members] = demo.ask("incident", "list", "--all")
    return [row for row in rows if row["subject_id"] == subject_id]


def incident(demo: Demo, subject_id: str, *, unmatched: str) -> Members:
    """The only incident about this number, once its money is so far."""
    rows = eventually(
        lambda: incidents(demo, subject_id),
        lambda rows: [row["unmatched_state"] for row in rows] == [unmatched],
    )
    assert [row["unmatched_state"] for row in rows] == [unmatched], rows
    return rows[0]


def figures(demo: Demo) -> dict[str, float]:
    """The figures of `/metrics` about incidents."""
    text = send(demo.gateway, "GET", "/metrics").body.decode()
    rows = [line.split() for line in text.splitlines() if line.startswith("tael_incidents")]
    return {name: float(figure) for name, figure in rows}


def assert_counted(demo: Demo, kind: str) -> None:
    """The metrics say what the operator's list says."""
    seen, rows = figures(demo), demo.ask("incident", "list", "--all")
    assert seen["tael_incidents_open"] == len([row for row in rows if row["resolved_at"] is None])
    of_kind = [row for row in rows if row["kind"] == kind]
    assert seen[f'tael_incidents_total{{kind="{kind}"}}'] == len(of_kind) >= 1


def assert_went_back_once(demo: Demo, order: str, amount_minor: int) -> Members:
    """By the wallet's own book, by the incident, and by the ledger."""
    returned = incident(demo, order, unmatched="RETURNED")
    (refund,) = demo.refunds(order)
    assert (refund["amount"], refund["refund_order"]) == (amount_minor, returned["unmatched_syssn"])
    assert demo.held(order) == 0
    shown = demo.ask("incident", "show", returned["incident_id"])
    owner = f"HKD:{returned['account_id']}"
    assert [(e["kind"], e["debit"], e["credit"], e["amount_minor"]) for e in shown["ledger"]] == [
        ("unmatched_received", f"wallet:{owner}", f"unmatched:{owner}", amount_minor),
        ("unmatched_returned", f"unmatched:{owner}", f"wallet:{owner}", amount_minor),
    ]
    return returned


# ---- strangers ---------------------------------------------------------------------------------------------------


def account(demo: Demo, wallet: str, scene: str = "both") -> Members:
    """The demo shop's account as the wallet knows it."""
    rows = demo.control("accounts")
    return next(r for r in rows if (r["wallet"], r["shop"], r["scene"]) == (wallet, "demo", scene))


def notice_url(shop: Merchant, wallet: str, scene: str = "both") -> str:
    rows = shop.demo.ask("wallet", "list", "--mchid", shop.mchid)
    row = next(row for row in rows if (row["wallet"], row["scene"]) in ((wallet, scene), (wallet, "")))
    return f"{shop.demo.gateway}/notices/{wallet}/{row['account_id']}"


def pay_as_stranger(shop: Merchant, order: str, amount_minor: int) -> None:
    """An order at WeChat under this number, opened without the gateway, and paid."""
    at_wechat = Shop(account(shop.demo, "wechat"))
    asked: dict[str, Any] = SALE | NATIVE | {"out_trade_no": order, "total_fee": amount_minor}
    made = at_wechat.call(UNIFIEDORDER, **asked | {"notify_url": notice_url(shop, "wechat")})
    shop.demo.confirm(url=made["code_url"])


def pay_alipay_as_stranger(shop: Merchant, order: str, major: str) -> None:
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
    """A payment whose order the wallet never made, so that a stranger can make one under its number."""
    with shop.demo.faults({"wallet": "wechat", "kind": "http_500", "operation": UNIFIEDORDER}):
        opened = shop.open("800201")
    assert opened.respcd == "1145"
    return opened


@pytest.mark.parametrize("wallet", ["wechat", "alipay"])
def test_money_for_an_order_that_nobody_made_goes_back_once(shop: Merchant, demo: Demo, wallet: str) -> None:
    order = new_reference().replace("-", "_")
    with demo.faults({"wallet": wallet, "kind": "duplicate_notice", "operation": "notice", "times": 2}):
        if wallet == "wechat":
            pay_as_stranger(shop, order, 4321)
        else:
            pay_alipay_as_stranger(shop, order, "43.21")
        returned = assert_went_back_once(demo, order, 4321)
    for seconds in REPEATS_S:  # such a notice is never acknowledged
        demo.advance(seconds)
    assert assert_went_back_once(demo, order, 4321) == returned
    assert (returned["kind"], returned["mchid"]) == ("unknown_order", shop.mchid)
    assert returned["wallet_ref"] == demo.trades(order)[0]["trade"]
    assert_counted(demo, "unknown_order")


def test_money_for_an_attempt_that_failed_goes_back_once(
    shop: Merchant, demo: Demo, receiver: Receiver
) -> None:
    opened = shop.open("800207", sub_openid="o" + "x" * 27)  # nobody's
    row = shop.row(opened["syssn"])
    assert row["respcd"] not in ("0000", "1145")
    pay_as_stranger(shop, opened["syssn"], 1000)

    assert assert_went_back_once(demo, opened["syssn"], 1000)["kind"] == "paid_after_failed"
    assert shop.row(opened["syssn"]) == row
    assert receiver.calls(opened["out_trade_no"]) == []
    assert_counted(demo, "paid_after_failed")


def test_another_amount_than_the_price_goes_back_and_the_order_has_failed(
    shop: Merchant, demo: Demo, receiver: Receiver
) -> None:
    opened = open_without_the_wallet(shop)
    pay_as_stranger(shop, opened["syssn"], 999)

    returned = assert_went_back_once(demo, opened["syssn"], 999)
    assert (returned["kind"], returned["amount_minor"]) == ("wrong_amount", 999)
    assert "9.99 HKD" in returned["detail"]
    assert "10.00 HKD" in returned["detail"]
    shop.until(opened["syssn"], "1126")
    assert receiver.calls(opened["out_trade_no"]) == []
    assert_counted(demo, "wrong_amount")


# ---- wallets that lie --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("pay_type", ["800151", "800201"])
def test_a_notice_of_a_false_amount_is_disproved_and_the_order_is_paid(
    shop: Merchant, demo: Demo, receiver: Receiver, pay_type: str
) -> None:
    wallet = "alipay" if pay_type == "800151" else "wechat"
    opened = shop.open(pay_type)
    with demo.faults({"wallet": wallet, "kind": "wrong_amount", "operation": "notice", "times": 1}):
        shop.pay_by_phone(opened)
        refuted = incident(demo, opened["syssn"], unmatched="REFUTED")
    assert (refuted["kind"], refuted["amount_minor"]) == ("wrong_amount", 1001)
    assert_paid_and_kept(shop, receiver, opened)
    assert_counted(demo, "wrong_amount")


def test_an_answer_of_a_false_amount_is_disproved_and_the_order_is_paid(
    shop: Merchant, demo: Demo, receiver: Receiver
) -> None:
    opened = shop.open("800201")
    with demo.faults(
        {"wallet": "wechat", "kind": "drop_notice"},
        {"wallet": "wechat", "kind": "wrong_amount", "operation": ORDERQUERY, "times": 1},
    ):
        shop.pay_by_phone(opened)
        demo.advance(10)
        refuted = incident(demo, opened["syssn"], unmatched="REFUTED")
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
def test_late_money_is_the_merchants_and_is_seen_until_somebody_resolves_it(
    shop: Merchant, demo: Demo, receiver: Receiver, end: str
) -> None:
    if end == "closed":
        opened = shop.closed("800152")
        pay_alipay_as_stranger(shop, opened["syssn"], "10.00")
    else:
        opened = open_without_the_wallet(shop)
        demo.advance(1900)
        shop.until(opened["syssn"], "1181")
        pay_as_stranger(shop, opened["syssn"], 1000)

    late = incident(demo, opened["syssn"], unmatched="NONE")
    assert (late["kind"], late["amount_minor"], late["currency"]) == ("late_money", 1000, "HKD")
    assert end.upper() in late["detail"]
    assert_paid_and_kept(shop, receiver, opened)
    assert_counted(demo, "late_money")

    open_before = figures(demo)["tael_incidents_open"]
    done = demo.ask("incident", "resolve", late["incident_id"], "--note", "told the merchant")
    assert done["resolution"] == "told the merchant"
    assert late["incident_id"] not in [row["incident"] for row in demo.ask("incident", "list")]
    assert figures(demo)["tael_incidents_open"] == open_before - 1
    assert_counted(demo, "late_money")


# ---- the rule switched off ---------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def keeping() -> Iterator[Demo]:
    """A demo that sends nothing back."""
    with private_demo("--no-return-unmatched-payments") as demo:
        yield demo


def test_switched_off_unmatched_payments_is_booked_and_kept_and_all_books_agree(keeping: Demo) -> None:
    shop, order = merchant_of(keeping, "published"), new_reference()
    paid = shop.paid("800201")
    pay_as_stranger(shop, order, 4321)

    kept = incident(keeping, order, unmatched="KEPT")
    for seconds in REPEATS_S:
        keeping.advance(seconds)
    assert incident(keeping, order, unmatched="KEPT") == kept
    assert (keeping.refunds(order), keeping.held(order)) == ([], 4321)
    (entry,) = keeping.ask("incident", "show", kept["incident"])["ledger"]
    assert (entry["kind"], entry["amount_minor"]) == ("unmatched_received", 4321)
    verified = keeping.ask("ledger", "verify", "--sandbox", keeping.sandbox)
    assert (verified["ok"], verified["disagreements"]) == (True, 0)
    balances = {row["account"]: row["balance_minor"] for row in verified["balances"]}
    assert (balances["unmatched"], balances["wallet"]) == (-4321, 4321 + 1000)
    assert keeping.held(paid["syssn"]) == 1000
