"""What the operator forbids: planned stops, and operations that are denied to a merchant."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import pytest

from tests.end_to_end.checkout import choose, link_params, open_link, opened, signed
from tests.end_to_end.merchant import Answer, Merchant
from tests.end_to_end.rig import maintenance_window


@dataclass(frozen=True, slots=True)
class Begun:
    """What there was before something was forbidden."""

    to_refund: Answer
    to_reverse: Answer
    to_close: Answer

    @classmethod
    def by(cls, shop: Merchant) -> "Begun":
        return cls(shop.paid("800108"), shop.paid("800108"), shop.open("800201"))

    def answers(self, shop: Merchant) -> dict[str, Answer]:
        """To each call that changes something."""
        return {
            "payment": shop.open("800201"),
            "refund": shop.refund(self.to_refund, "100"),
            "reversal": shop.call("reversal", syssn=self.to_reverse["syssn"]),
            "close": shop.call("close", syssn=self.to_close["syssn"]),
        }


@contextmanager
def denying(shop: Merchant, operation: str) -> Iterator[None]:
    shop.demo.set_merchant(shop.mchid, "--deny", operation)
    try:
        yield
    finally:
        shop.demo.set_merchant(shop.mchid, "--allow", operation)


def test_a_planned_stop_begins_nothing_and_lets_all_that_was_begun_go_on(shop: Merchant) -> None:
    begun, page = Begun.by(shop), opened(shop)
    with maintenance_window(shop.demo, "new disks"):
        said = begun.answers(shop)
        by_link, by_page = open_link(shop, signed(link_params(shop), shop.key)), choose(shop, page, "wechat")
        rows = shop.rows(out_trade_no=said["payment"]["out_trade_no"])
        shop.demo.confirm(trade=begun.to_close["syssn"])
        shop.until(begun.to_close["syssn"], "0000")

    for answer in said.values():
        assert (answer.respcd, answer["respmsg"]) == ("1100", "under maintenance: new disks")
        shop.proven(answer)
    assert (by_link.respcd, rows) == ("1100", [])
    assert "location" not in by_page.headers
    assert [shop.demo.held(each["syssn"]) for each in (begun.to_refund, begun.to_reverse)] == [1000, 1000]
    after = Begun(begun.to_refund, begun.to_reverse, shop.open("800201")).answers(shop)
    assert {name: answer.respcd for name, answer in after.items()} == dict.fromkeys(said, "0000")


@pytest.mark.parametrize("denied", ["payment", "refund", "reversal", "close"])
def test_what_is_denied_is_refused_and_all_else_is_done(shop: Merchant, denied: str) -> None:
    begun, page = Begun.by(shop), opened(shop)
    with denying(shop, denied):
        said = begun.answers(shop)
        by_link, by_page = open_link(shop, signed(link_params(shop), shop.key)), choose(shop, page, "wechat")

    assert {name: answer.respcd for name, answer in said.items()} == dict.fromkeys(said, "0000") | {
        denied: "1115"
    }
    assert said[denied]["respmsg"] == f"{denied} is denied to this merchant"
    shop.proven(said[denied])
    assert by_link.respcd == ("1115" if denied == "payment" else "0000")
    assert ("location" in by_page.headers) is (denied != "payment")
