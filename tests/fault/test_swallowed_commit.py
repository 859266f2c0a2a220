"""PostgreSQL has committed a payment, and the wire breaks before it can say so: a repeat finds that payment."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import psycopg
import pytest

from tests.end_to_end.conftest import merchant_of
from tests.end_to_end.merchant import Answer, Merchant
from tests.end_to_end.rig import Demo, eventually
from tests.support.postgres import fresh_database
from tests.support.wire import Wire

#: Longer than any first question takes, so that the one who asked it must be dead.
NOBODY_ASKS_S = 41
#: A barcode that nobody decides is undone by then.
UNDONE_S = 190


@dataclass(frozen=True, slots=True)
class FarShop:
    """The demo's merchant, whose gateway reaches its database by a wire. `database_url` is the way past it."""

    demo: Demo
    wire: Wire
    database_url: str

    @property
    def shop(self) -> Merchant:
        return merchant_of(self.demo, "published")

    def committed(self, reference: str) -> list[tuple[str, str]]:
        """Number and state of the payments under a merchant's number."""
        with psycopg.connect(self.database_url) as connection:
            return connection.execute(
                "SELECT syssn, state FROM payment WHERE reference = %s ORDER BY syssn", [reference]
            ).fetchall()

    def pay_and_lose_the_first_commit(self, params: dict[str, str]) -> str:
        """The number of the payment that was committed, which the merchant was not told of. The wire is whole again."""
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
        """The very same request until it is answered by more than "out of service", as the manual says."""
        return eventually(lambda: self.shop.call("payment", **params), lambda answer: answer.respcd != "1112")


@pytest.fixture(scope="module")
def far_demo(postgres_server: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[FarShop]:
    folder: Path = tmp_path_factory.mktemp("far")
    with fresh_database(postgres_server) as url, Wire(url) as wire:
        demo = Demo.start(folder, None, "--database-url", wire.url)
        try:
            yield FarShop(demo, wire, url)
        finally:
            demo.end()


@pytest.mark.parametrize("pay_type", ["800151", "800201"])
def test_an_online_order_whose_commit_was_not_heard_is_the_one_that_a_repeat_gets(
    far_demo: FarShop, pay_type: str
) -> None:
    shop, demo = far_demo.shop, far_demo.demo
    params = shop.payment_params(pay_type)
    syssn = far_demo.pay_and_lose_the_first_commit(params)

    repeated = far_demo.repeat(params)
    if repeated.respcd == "1145":  # for all that the gateway knows the first one's question is still out
        assert repeated["syssn"] == syssn
        demo.advance(NOBODY_ASKS_S)
        repeated = far_demo.repeat(params)

    assert (repeated.respcd, repeated["syssn"]) == ("0000", syssn)
    shop.pay_by_phone(repeated)
    shop.until(syssn, "0000")
    assert far_demo.repeat(params)["syssn"] == syssn
    assert far_demo.committed(params["out_trade_no"]) == [(syssn, "PAID")]
    assert len(demo.trades(syssn)) == 1
    assert demo.held(syssn) == 1000


@pytest.mark.parametrize("pay_type", ["800108", "800208"])
def test_a_barcode_payment_whose_commit_was_not_heard_moves_money_once(
    far_demo: FarShop, pay_type: str
) -> None:
    shop, demo = far_demo.shop, far_demo.demo
    params = shop.payment_params(pay_type)
    syssn = far_demo.pay_and_lose_the_first_commit(params)

    repeated = far_demo.repeat(params)
    assert (repeated.respcd, repeated["syssn"]) == ("1145", syssn)
    assert len(shop.rows(out_trade_no=params["out_trade_no"])) == 1
    demo.advance(UNDONE_S)
    shop.until(syssn, "2005")
    again = far_demo.repeat(params)  # a new attempt under the same number, since the first has failed

    assert again.respcd == "0000"
    attempts = far_demo.committed(params["out_trade_no"])
    assert attempts == sorted([(syssn, "FAILED"), (again["syssn"], "PAID")])
    assert demo.held(syssn) == 0
    assert demo.held(again["syssn"]) == 1000
    assert far_demo.repeat(params).members == again.members
