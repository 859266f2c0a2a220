"""Both wallets' statements of a day are fetched by the worker: they agree with the merchant's queries and our rows.

What was paid is remitted on one of the next days.
"""

from datetime import date, timedelta
from pathlib import Path

import pytest

from tests.end_to_end.merchant import Merchant, digest
from tests.end_to_end.rig import Demo, Members, eventually
from tests.end_to_end.settlements import BILL, SETTLEMENTS, bill_rows, import_settlement, signed_get
from tests.support.commands import run_tael


def statements_of(demo: Demo, account: str, day: str) -> list[Members]:
    """The account's statement of transactions of the day, once the worker has fetched it."""
    rows: list[Members] = demo.ask("statement", "list", "--account", account)
    return [row for row in rows if (row["day"], row["kind"]) == (day, "transactions")]


@pytest.mark.parametrize(
    ("wallet", "pay_type", "scene", "rate_ppm"),
    [("wechat", "800208", "both", "6000"), ("alipay", "800108", "offline", "8000")],
)
def test_a_statement_agrees_with_the_merchants_rows(
    demo: Demo, shop: Merchant, wallet: str, pay_type: str, scene: str, rate_ppm: str
) -> None:
    demo.advance(86_400)  # a day that is not closed
    day, next_day = (f"{demo.now().date() + timedelta(days=days)}" for days in (0, 1))
    opened = shop.paid(pay_type)
    refunded = shop.refund_and_wait(opened, "301")
    shop.refund_and_wait(opened, "7")
    shop.reversed(pay_type)
    (account,) = [
        row["account_id"]
        for row in demo.ask("account", "list", "--mchid", shop.mchid)
        if (row["wallet"], row["scene"]) == (wallet, scene)
    ]
    demo.ask("account", "set", account, "--wallet-fee-rate-ppm", rate_ppm)
    early = run_tael("statement", "fetch", account, "--day", day, "--data", str(demo.folder))
    assert (early.returncode, early.stderr) == (1, "tael: the wallet has not made the file yet\n")
    demo.ask("statement", "schedule", account)
    demo.advance(34 * 3600)  # past 10:00 of the next day
    (fetched,) = eventually(lambda: statements_of(demo, account, day), bool)
    # The next day is without transactions, and shows that nothing of this day is missing.
    demo.advance(36 * 3600)
    eventually(lambda: statements_of(demo, account, next_day), bool)
    run_tael("statement", "unschedule", account, "--data", str(demo.folder))
    again = demo.ask("statement", "fetch", account, "--day", day)
    shown = demo.ask("statement", "show", fetched["statement_id"], "--limit", "1000")

    assert (fetched["source"], again["is_new"]) == ("fetched", False)
    lines = {line["syssn"]: line for line in shown["content"]}
    for syssn, kind in ((opened["syssn"], "payment"), (refunded["syssn"], "refund")):
        row, line = shop.row(syssn), lines[syssn]
        assert (line["type"], line["amount_minor"]) == (kind, int(row["txamt"]))
        assert line["currency"] == row["txcurrcd"]
    runs = demo.ask("reconcile", "run", "--account", account, "--from", day, "--to", next_day)
    assert [each["differences"] for each in runs] == [{}] * len(runs)
    (run,) = [each for each in runs if each["statement_id"] == fetched["statement_id"]]
    assert run["matched"] == len(shown["content"])
    assert run["theirs"] == run["ours"]
    assert run["ours"][0]["refunds"] >= 3
    assert_remitted(demo, account, day, int(shop.row(opened["syssn"])["txamt"]))


def assert_remitted(demo: Demo, account: str, day: str, paid_minor: int) -> None:
    """Alipay settles Friday to Sunday on Monday. Days without remittances are statements too."""
    demo.advance(4 * 86_400)
    fetched = [
        demo.ask("statement", "fetch", account, "--kind", "settlement", "--day", str(settled_on))
        for settled_on in (date.fromisoformat(day) + timedelta(days=later) for later in (1, 2, 3))
    ]
    listed = demo.ask("statement", "list", "--account", account, "--kind", "settlement")
    assert {row["statement_id"] for row in fetched} <= {row["statement_id"] for row in listed}
    assert {row["kind"] for row in listed} == {"settlement"}
    shown = [demo.ask("statement", "show", row["statement_id"])["remittances"] for row in fetched]
    (batch,) = [
        each for batches in shown for each in batches if each["trades_from"] <= day <= each["trades_to"]
    ]
    assert batch["paid_minor"] >= paid_minor
    assert batch["net_minor"] == batch["paid_minor"] - batch["refunded_minor"] - batch["fee_minor"]


def test_a_settlement_is_in_the_merchants_queries(demo: Demo, shop: Merchant, tmp_path: Path) -> None:
    opened = shop.paid("800108", txamt="12345")
    import_settlement(shop, tmp_path / "settled", "20260106", (opened["syssn"], "123.45"))

    answer = shop.proven(
        signed_get(shop, SETTLEMENTS, mchid=shop.mchid, date_start="20260106", date_end="20260106")
    )
    (row,) = answer["data"]
    assert (row["paymethod"], row["date_settlement"], row["date_start"]) == (
        "支付宝",
        "2026-01-06",
        "2026-01-02",
    )
    assert (row["pay_amt"], row["chnl_poundage_amt"], row["settlement_amt"]) == (12345, 120, 12225)
    with demo.app_set(shop.appcode, "--include-settlement", back=("--no-include-settlement",)):
        shown = shop.row(opened["syssn"])
    assert shown["date_settlement"] == "2026-01-06"
    assert shown["refundable_until"] > shown["paydtm"]


def test_a_bill_has_what_the_queries_of_its_day_have(demo: Demo, shop: Merchant) -> None:
    """The app's settings for rows of queries do not apply to bills, which always have all members."""
    opened = shop.paid("800208", product_name="=1+1")
    day = opened["sysdtm"][:10]
    early = shop.proven(signed_get(shop, BILL, trade_date=day))
    assert (early.respcd, "trade_date" in early["respmsg"]) == ("1104", True)
    demo.advance(25 * 3600)

    answer = signed_get(shop, BILL, trade_date=day)
    assert answer.sign == digest(answer.body + shop.key.encode())
    row = shop.row(opened["syssn"])
    (billed,) = [each for each in bill_rows(answer.body) if each["syssn"] == opened["syssn"]]
    assert {name: billed[name] for name in row} == row
    assert (billed["goods_name"], billed["amount"], billed["state"]) == ("=1+1", "10.00", "PAID")
