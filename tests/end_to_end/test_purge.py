"""After `tael purge` merchants get the same answers about old payments, without personal data.

It has its own demo, so that no other test's payments get three months older.
"""

from collections.abc import Iterator

import pytest

from tests.end_to_end.conftest import merchant_of, private_demo
from tests.end_to_end.merchant import Merchant
from tests.end_to_end.rig import Demo, eventually
from tests.support.commands import run_tael

DAY_S = 86_400


@pytest.fixture
def own_demo() -> Iterator[Demo]:
    with private_demo() as demo:
        yield demo


def exported(demo: Demo, shop: Merchant, day: str) -> str:
    """The merchant's account statement of this day."""
    what = ("--merchant", shop.mchid, "--from", day, "--to", day, "--format", "csv")
    done = run_tael("statement", "export", *what, "--data", str(demo.folder))
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_an_old_payment_is_purged_and_can_be_queried_repeated_refunded_and_exported(own_demo: Demo) -> None:
    shop = merchant_of(own_demo, "published")
    own_demo.set_app(shop.appcode, "--include-goods-name")
    params = shop.payment_params("800208", goods_name="Two chairs for Anna")
    barcode = shop.call("payment", **params)
    online = shop.paid("800201", goods_name="A table for Anna")
    before = shop.row(barcode["syssn"])
    assert (before["goods_name"], before["cardcd"]) == ("Two chairs for Anna", barcode["cardcd"])
    assert barcode["cardcd"]
    webhooks = eventually(
        lambda: own_demo.ask("webhook", "list"), lambda rows: [row["state"] for row in rows] == ["DELIVERED"]
    )
    assert [row["cause"] for row in webhooks] == [online["syssn"]]

    paid_on = str(own_demo.now().date())
    assert "Two chairs for Anna" in exported(own_demo, shop, paid_on)
    own_demo.advance(91 * DAY_S)
    purged = own_demo.ask("purge", "--older-than", "90d")
    assert (purged["payment"], purged["webhook"], purged["webhook_attempt"]) == (2, 1, 1)

    assert shop.row(barcode["syssn"]) == before | {"goods_name": "", "cardcd": ""}
    repeated = shop.call("payment", **params)
    assert (repeated.respcd, repeated["syssn"], repeated["cardcd"]) == ("0000", barcode["syssn"], "")
    other = shop.call("payment", **params | {"txamt": "999"})
    assert other.respcd == "1102"
    for payment in (barcode, online):
        shop.until(shop.refund(payment, "400")["syssn"], "0000")
        assert own_demo.held(payment["syssn"]) == 600
    after = exported(own_demo, shop, paid_on)
    assert all(payment["syssn"] in after for payment in (barcode, online))
    assert "Anna" not in after
    resent = run_tael(
        "webhook", "resend", online["syssn"], "--kind", "payment", "--data", str(own_demo.folder)
    )
    assert (resent.returncode, resent.stderr) == (
        1,
        f"tael: the webhook for {online['syssn']} was purged and cannot be sent again\n",
    )
    assert own_demo.ask("ledger", "verify")["disagreements"] == 0
