"""A month in seconds: one clock moves wallets and gateway through expiry, retries, polling and daily closes.

It has its own demo, so that no other test's payments get a month older.
"""

import json
from collections.abc import Iterator
from functools import partial

import pytest

from tests.end_to_end.conftest import merchant_of, private_demo
from tests.end_to_end.merchant import Merchant
from tests.end_to_end.receiver import Call, receiving
from tests.end_to_end.rig import Demo, Members, eventually
from tests.support.commands import run_tael
from tests.support.http_calls import Answer

DAYS = 31
DAY_S = 86_400
REFUSED = (500, b"no")
#: The first attempt and eleven repeats.
ATTEMPTS = 12
DAY_LIMIT_S = 0.8


@pytest.fixture(scope="module")
def own_demo() -> Iterator[Demo]:
    with private_demo() as demo:
        yield demo


def verified(demo: Demo) -> Members:
    done = run_tael("ledger", "verify", "--json", "--data", str(demo.folder), "--sandbox", demo.sandbox)
    audit: Members = json.loads(done.stdout)
    return audit


def webhook_states(demo: Demo) -> list[str]:
    done = run_tael("webhook", "list", "--json", "--data", str(demo.folder))
    return [row["state"] for row in json.loads(done.stdout)]


def is_longer(than: int, calls: list[Call]) -> bool:
    return len(calls) > than


def undecided_refund(demo: Demo, shop: Merchant) -> Answer:
    """A refund that the wallet cannot decide for a while."""
    paid = shop.paid("800208")
    demo.put_faults({"wallet": "wechat", "operation": "/secapi/pay/refund", "kind": "http_500", "times": 4})
    refund = shop.refund(paid, "400")
    assert refund.respcd == "2999", refund.members
    return refund


def test_a_month_of_expiry_retries_polling_and_daily_closes_passes_in_seconds(own_demo: Demo) -> None:
    shop = merchant_of(own_demo, "published")
    with receiving() as receiver:
        own_demo.set_app(shop.appcode, "--notify-url", f"{receiver.url}/notify")
        never_paid = [shop.pending(pay_type) for pay_type in ("800151", "800201", "800208", "800108")]
        notified = shop.open("800201")
        receiver.will_answer(notified["out_trade_no"], *[REFUSED] * 20)
        shop.pay_by_phone(notified)
        receiver.wait(notified["out_trade_no"])
        refund = undecided_refund(own_demo, shop)

        for _ in range(DAYS):
            before = len(receiver.calls(notified["out_trade_no"]))
            own_demo.advance(DAY_S)
            if before < ATTEMPTS:
                # An attempt that was not recorded before the clock moved is repeated a day later.
                eventually(
                    partial(receiver.calls, notified["out_trade_no"]), partial(is_longer, before), DAY_LIMIT_S
                )

        shop.until(refund["syssn"], "0000")
        audit = eventually(lambda: verified(own_demo), lambda seen: seen["digests"] >= DAYS - 1)
        assert audit["digests"] in (DAYS - 1, DAYS)  # a day is closed one hour after its end
        assert audit["ok"], audit["first"]
        assert [shop.row(each["syssn"])["respcd"] for each in never_paid] == ["1181", "1181", "2005", "2005"]
        assert [own_demo.held(each["syssn"]) for each in (*never_paid, notified)] == [0, 0, 0, 0, 1000]
        assert [row["amount"] for row in own_demo.refunds(refund["orig_syssn"])] == [400]
        assert len(receiver.calls(notified["out_trade_no"])) == ATTEMPTS
        assert webhook_states(own_demo).count("EXHAUSTED") == 1
