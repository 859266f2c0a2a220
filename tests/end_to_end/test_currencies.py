"""A merchant in a currency without decimals, from the commands that add it to the wallet's book.

It is added as docs/sandbox.md describes. All amounts that it sends and receives are whole yen or won.
"""

import re
import subprocess
from collections.abc import Iterator
from typing import Final

import pytest

from tests.end_to_end.merchant import Merchant
from tests.end_to_end.receiver import Receiver, receiving
from tests.end_to_end.rig import ROOT, Demo
from tests.support.commands import COMMAND_LIMIT_S, clean_environment

PRICE: Final = "1250"
ALIPAY: Final = ("800151", "800152", "800108")


def recipe() -> str:
    page = (ROOT / "docs" / "sandbox.md").read_text("utf-8")
    block: str
    (block,) = re.findall(r"^#### Other currencies$.*?^```bash\n(.*?)^```$", page, re.MULTILINE | re.DOTALL)
    return block


@pytest.fixture(scope="module")
def receiver() -> Iterator[Receiver]:
    with receiving() as receiver:
        yield receiver


@pytest.fixture(scope="module", params=["JPY", "KRW"])
def yen(request: pytest.FixtureRequest, demo: Demo, receiver: Receiver) -> Merchant:
    """The merchant of the recipe, in its own app."""
    currency: str = request.param
    app = demo.ask("app", "add", "--notify-url", f"{receiver.url}/{currency}", "--include-currency")
    settings = {
        "http://127.0.0.1:8001": demo.sandbox,
        "DATA=.tael": f"DATA={demo.folder}",
        "123456": app["appcode"],
        "CURRENCY=JPY": f"CURRENCY={currency}",
    }
    script = recipe()
    for printed, ours in settings.items():
        assert script.count(printed) == 1
        script = script.replace(printed, ours)
    done = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", script],
        cwd=ROOT,
        env=clean_environment(),
        capture_output=True,
        text=True,
        timeout=3 * COMMAND_LIMIT_S,
    )
    assert (done.returncode, done.stderr) == (0, "")
    mchid = done.stdout.split()[-1]
    return Merchant(demo, app["appcode"], app["key"], mchid, (mchid,), shop=f"in_{currency.lower()}")


def currency_of(merchant: Merchant) -> str:
    return merchant.shop.removeprefix("in_").upper()


@pytest.mark.parametrize("pay_type", ALIPAY)
def test_a_payment_is_made_queried_and_refunded_to_the_unit(yen: Merchant, pay_type: str) -> None:
    paid = yen.paid(pay_type, txamt=PRICE)
    (trade,) = yen.demo.trades(paid["syssn"])
    assert (trade["amount"], trade["currency"]) == (int(PRICE), currency_of(yen))
    row = yen.row(paid["syssn"])
    assert (row["txamt"], row["txcurrcd"]) == (PRICE, currency_of(yen))
    yen.refund_and_wait(paid, "1")
    assert yen.refund(paid, PRICE).respcd == "1272"
    yen.refund_and_wait(paid, "1249")
    assert yen.demo.held(paid["syssn"]) == 0


def test_an_unpaid_order_is_closed_and_a_barcode_reversed(yen: Merchant) -> None:
    opened = yen.open("800151", txamt=PRICE)
    assert yen.demo.scan(opened["pay_url"])["amount"] == int(PRICE)
    assert yen.call("close", syssn=opened["syssn"]).respcd == "0000"
    paid = yen.paid("800108", txamt=PRICE)
    assert yen.call("reversal", syssn=paid["syssn"], txamt=PRICE).respcd in ("0000", "1145")
    yen.until(paid["syssn"], "0000", "1")
    assert yen.demo.held(paid["syssn"]) == 0


def test_a_webhook_has_whole_units(yen: Merchant, receiver: Receiver) -> None:
    paid = yen.paid("800151", txamt=PRICE)
    call = receiver.wait(paid["out_trade_no"])[0]
    assert (call.members["txamt"], call.members["txcurrcd"]) == (PRICE, currency_of(yen))


def test_an_amount_is_a_whole_number_and_the_currency_the_merchant_s(yen: Merchant) -> None:
    assert yen.open("800151", txamt="1250.00").respcd == "1104"
    assert yen.open("800151", txamt=PRICE, txcurrcd="HKD").respcd == "1122"
