"""PostgreSQL has committed a payment, and the connection breaks before its response: a repeat finds that payment."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.end_to_end.conftest import merchant_of
from tests.end_to_end.merchant import Merchant
from tests.end_to_end.rig import Demo, eventually
from tests.support.http_calls import Answer
from tests.support.postgres import connect_to_cell, temporary_database
from tests.support.wire import Wire

#: Longer than any initial request, so that its sender must have died.
SENDER_DEAD_S = 41
#: An undecided barcode payment is reversed by then.
UNDONE_S = 190


@dataclass(frozen=True, slots=True)
class WiredShop:
    """The demo's merchant, whose gateway reaches its database through a wire. `database_url` bypasses it."""

    demo: Demo
    wire: Wire
    database_url: str

    @property
    def shop(self) -> Merchant:
        return merchant_of(self.demo, "published")

    def committed(self, reference: str) -> list[tuple[str, str]]:
        """Syssn and state of the payments under a merchant's reference."""
        with connect_to_cell(self.database_url) as connection:
            return connection.execute(
                "SELECT syssn, state FROM payment WHERE reference = %s ORDER BY syssn", [reference]
            ).fetchall()

    def pay_and_lose_the_first_commit(self, params: dict[str, str]) -> str:
        """Returns the syssn of the committed payment, which the merchant did not receive. The wire works again."""
        self.wire.swallow(params["out_trade_no"].encode())
        answer = self.shop.call("payment", **params)
        assert self.wire.wait_until_swallowed()
        assert answer.respcd == "1112"
        assert "syssn" not in answer.members
        ((syssn, state),) = self.committed(params["out_trade_no"])
        assert state == "PENDING"
        assert self.demo.trades(syssn) == []
        self.wire.join()
        return syssn

    def repeat(self, params: dict[str, str]) -> Answer:
        """Repeat the request until the response is not "out of service", as the manual requires."""
        return eventually(lambda: self.shop.call("payment", **params), lambda answer: answer.respcd != "1112")


@pytest.fixture(scope="module")
def wired_demo(postgres_server: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[WiredShop]:
    folder: Path = tmp_path_factory.mktemp("wired")
    with temporary_database(postgres_server) as url, Wire(url) as wire:
        demo = Demo.start(folder, None, "--database-url", wire.url)
        try:
            yield WiredShop(demo, wire, url)
        finally:
            demo.end()


@pytest.mark.parametrize("pay_type", ["800151", "800201"])
def test_a_repeat_gets_the_online_order_whose_commit_response_was_lost(
    wired_demo: WiredShop, pay_type: str
) -> None:
    shop, demo = wired_demo.shop, wired_demo.demo
    params = shop.payment_params(pay_type)
    syssn = wired_demo.pay_and_lose_the_first_commit(params)

    repeated = wired_demo.repeat(params)
    if repeated.respcd == "1145":  # the first one's initial request may still be in flight
        assert repeated["syssn"] == syssn
        demo.advance(SENDER_DEAD_S)
        repeated = wired_demo.repeat(params)

    assert (repeated.respcd, repeated["syssn"]) == ("0000", syssn)
    shop.pay_by_phone(repeated)
    shop.until(syssn, "0000")
    assert wired_demo.repeat(params)["syssn"] == syssn
    assert wired_demo.committed(params["out_trade_no"]) == [(syssn, "PAID")]
    assert len(demo.trades(syssn)) == 1
    assert demo.held(syssn) == 1000


@pytest.mark.parametrize("pay_type", ["800108", "800208"])
def test_a_barcode_payment_whose_commit_response_was_lost_moves_money_once(
    wired_demo: WiredShop, pay_type: str
) -> None:
    shop, demo = wired_demo.shop, wired_demo.demo
    params = shop.payment_params(pay_type)
    syssn = wired_demo.pay_and_lose_the_first_commit(params)

    repeated = wired_demo.repeat(params)
    assert (repeated.respcd, repeated["syssn"]) == ("1145", syssn)
    assert len(shop.rows(out_trade_no=params["out_trade_no"])) == 1
    demo.advance(UNDONE_S)
    shop.until(syssn, "2005")
    again = wired_demo.repeat(params)  # a new attempt under the same number, since the first has failed

    assert again.respcd == "0000"
    attempts = wired_demo.committed(params["out_trade_no"])
    assert attempts == sorted([(syssn, "FAILED"), (again["syssn"], "PAID")])
    assert demo.held(syssn) == 0
    assert demo.held(again["syssn"]) == 1000
    assert wired_demo.repeat(params).members == again.members
