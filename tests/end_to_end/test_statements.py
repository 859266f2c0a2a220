"""Both wallets' statements of a day are fetched, and their lines are what the merchant's queries say."""

import pytest

from tests.end_to_end.merchant import Merchant
from tests.end_to_end.rig import Demo
from tests.support.commands import run_tael


@pytest.mark.parametrize(
    ("wallet", "pay_type", "scene"), [("wechat", "800208", "both"), ("alipay", "800108", "offline")]
)
def test_a_statement_agrees_with_the_merchants_rows(
    demo: Demo, shop: Merchant, wallet: str, pay_type: str, scene: str
) -> None:
    demo.advance(86_400)  # a day that is not closed
    day = demo.now().date().isoformat()
    opened = shop.paid(pay_type)
    refunded = shop.refund_and_wait(opened, "300")
    (account,) = [
        row["account_id"]
        for row in demo.ask("account", "list", "--mchid", shop.mchid)
        if (row["wallet"], row["scene"]) == (wallet, scene)
    ]
    early = run_tael("statement", "fetch", account, "--day", day, "--data", str(demo.folder))
    assert (early.returncode, early.stderr) == (1, "tael: the wallet has not made the file yet\n")
    demo.control("statements", wallet=wallet, day=day)

    fetched = demo.ask("statement", "fetch", account, "--day", day)
    again = demo.ask("statement", "fetch", account, "--day", day)
    shown = demo.ask("statement", "show", fetched["statement_id"], "--limit", "1000")

    assert (fetched["is_new"], fetched["source"], again["is_new"]) == (True, "fetched", False)
    lines = {line["syssn"]: line for line in shown["content"]}
    for syssn, kind in ((opened["syssn"], "payment"), (refunded["syssn"], "refund")):
        row, line = shop.row(syssn), lines[syssn]
        assert (line["type"], line["amount_minor"]) == (kind, int(row["txamt"]))
        assert line["currency"] == row["txcurrcd"]
