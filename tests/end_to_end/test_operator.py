"""The operator's restrictions: maintenance windows, and operations denied to a merchant."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import pytest

from tests.end_to_end.checkout import choose, link_params, open_link, opened, signed
from tests.end_to_end.merchant import Merchant
from tests.end_to_end.rig import maintenance_window
from tests.support.http_calls import Answer


@dataclass(frozen=True, slots=True)
class Begun:
    """The state before a restriction."""

    to_refund: Answer
    to_reverse: Answer
    to_close: Answer

    @classmethod
    def by(cls, shop: Merchant) -> "Begun":
        return cls(shop.paid("800108"), shop.paid("800108"), shop.open("800201"))

    def answers(self, shop: Merchant) -> dict[str, Answer]:
        """The responses to each call that changes something."""
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


def test_a_maintenance_window_starts_nothing_and_lets_started_work_finish(shop: Merchant) -> None:
    begun, page = Begun.by(shop), opened(shop)
    with maintenance_window(shop.demo, "new disks"):
        answers = begun.answers(shop)
        by_link, by_page = open_link(shop, signed(link_params(shop), shop.key)), choose(shop, page, "wechat")
        rows = shop.rows(out_trade_no=answers["payment"]["out_trade_no"])
        shop.demo.confirm(trade=begun.to_close["syssn"])
        shop.until(begun.to_close["syssn"], "0000")

    for answer in answers.values():
        assert (answer.respcd, answer["respmsg"]) == ("1100", "under maintenance: new disks")
        shop.proven(answer)
    assert (by_link.respcd, rows) == ("1100", [])
    assert "location" not in by_page.headers
    assert [shop.demo.held(each["syssn"]) for each in (begun.to_refund, begun.to_reverse)] == [1000, 1000]
    after = Begun(begun.to_refund, begun.to_reverse, shop.open("800201")).answers(shop)
    assert {name: answer.respcd for name, answer in after.items()} == dict.fromkeys(answers, "0000")


@pytest.mark.parametrize("denied", ["payment", "refund", "reversal", "close"])
def test_a_denied_operation_is_refused_and_all_others_succeed(shop: Merchant, denied: str) -> None:
    begun, page = Begun.by(shop), opened(shop)
    with denying(shop, denied):
        answers = begun.answers(shop)
        by_link, by_page = open_link(shop, signed(link_params(shop), shop.key)), choose(shop, page, "wechat")

    assert {name: answer.respcd for name, answer in answers.items()} == dict.fromkeys(answers, "0000") | {
        denied: "1115"
    }
    assert answers[denied]["respmsg"] == f"{denied} is denied to this merchant"
    shop.proven(answers[denied])
    assert by_link.respcd == ("1115" if denied == "payment" else "0000")
    assert ("location" in by_page.headers) is (denied != "payment")
