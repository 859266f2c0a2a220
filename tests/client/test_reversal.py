"""A reversal moves money, so it names the amount: the given one, or that of a query before it."""

from typing import Any

import httpx
import pytest
from tael_client import Money, OutcomeUnknown, Refused, Reversal, Unreachable

from tests.client.world import (
    MCHID,
    SYSSN,
    Members,
    Shop,
    page,
    reversal_answer,
    row,
    signed,
    verdict,
)

OTHER_SYSSN = "201709060902990042326400"
DONE = signed(reversal_answer())


def test_a_given_amount_is_sent_as_it_is_and_nothing_is_queried(shop: Shop) -> None:
    shop.server.will(DONE)
    shop.do("reversal", syssn=SYSSN, amount=Money(25, "HKD"))

    assert shop.server.calls == ["reversal"]
    assert shop.server.asked[0].params == {
        "mchid": MCHID,
        "syssn": SYSSN,
        "txamt": "25",
        "txdtm": "2017-09-06 14:56:43",
    }


@pytest.mark.parametrize(
    ("numbers", "filters"),
    [
        (
            {"syssn": SYSSN},
            {"syssn": SYSSN, "start_time": "2017-09-01 00:00:00", "end_time": "2017-09-30 23:59:59"},
        ),
        ({"reference": "57003579"}, {"out_trade_no": "57003579"}),
        (
            {"syssn": SYSSN, "reference": "57003579"},
            {
                "syssn": SYSSN,
                "out_trade_no": "57003579",
                "start_time": "2017-09-01 00:00:00",
                "end_time": "2017-09-30 23:59:59",
            },
        ),
        ({"syssn": "7"}, {"syssn": "7"}),
    ],
    ids=["syssn", "reference", "both", "a syssn without a date"],
)
def test_without_an_amount_a_query_by_the_same_numbers_finds_it(
    shop: Shop, numbers: Members, filters: Members
) -> None:
    found = row(txamt="1234", syssn=numbers.get("syssn", SYSSN))
    shop.server.will(signed(page(found)), signed(reversal_answer(orig_syssn=found["syssn"])))
    reversal = shop.do("reversal", **numbers)

    assert isinstance(reversal, Reversal)
    query, sent = shop.server.asked
    assert (query.call, sent.call) == ("query", "reversal")
    assert query.params == {"mchid": MCHID, "page": "1", "page_size": "100", **filters}
    named = {name: value for name, value in filters.items() if name in ("syssn", "out_trade_no")}
    assert sent.params == {"mchid": MCHID, "txamt": "1234", "txdtm": "2017-09-06 14:56:43", **named}


def test_the_newest_payment_gives_the_amount_and_no_refund_does(shop: Shop) -> None:
    refund = row(order_type="refund", txamt="1", syssn=OTHER_SYSSN)
    later_kind = row(order_type="adjustment", txamt="2", syssn=OTHER_SYSSN)
    newest, older = row(txamt="30"), row("1201", txamt="40", syssn=OTHER_SYSSN)
    shop.server.will(signed(page(refund, later_kind, newest, older)), DONE)
    shop.do("reversal", reference="57003579")
    assert shop.server.asked[1].params["txamt"] == "30"


def test_with_both_numbers_only_a_row_that_has_both_counts(shop: Shop) -> None:
    others = [row(txamt="1", syssn=OTHER_SYSSN), row(txamt="2", out_trade_no="57003580")]
    shop.server.will(signed(page(*others, row(txamt="30"))), DONE)
    shop.do("reversal", syssn=SYSSN, reference="57003579")
    assert shop.server.asked[1].params["txamt"] == "30"


@pytest.mark.parametrize(
    "rows",
    [
        [],
        [row(order_type="refund")],
        [row(syssn=OTHER_SYSSN)],
        [row(out_trade_no="57003580")],
    ],
    ids=["no rows", "a refund", "another payment", "another reference"],
)
def test_a_payment_that_no_query_finds_is_refused_as_unknown_and_nothing_is_reversed(
    shop: Shop, rows: list[Members]
) -> None:
    shop.server.will(signed(page(*rows)))
    with pytest.raises(Refused, match="1136") as raised:
        shop.do("reversal", syssn=SYSSN, reference="57003579")
    assert raised.value.is_final
    assert (raised.value.reference, raised.value.verdict.orig_syssn) == ("57003579", SYSSN)
    assert shop.server.calls == ["query"]


@pytest.mark.parametrize(
    ("answers", "error"),
    [
        ([httpx.ConnectError("no")] * 3, Unreachable),
        ([httpx.ReadTimeout("late")] * 3, OutcomeUnknown),
        ([signed(verdict("1104"))], Refused),
    ],
    ids=["unreachable", "no answer", "refused"],
)
def test_a_query_that_fails_ends_the_reversal_before_it_is_sent(
    shop: Shop, answers: list[Any], error: type[Exception]
) -> None:
    shop.server.will(*answers)
    with pytest.raises(error):
        shop.do("reversal", syssn=SYSSN)
    assert set(shop.server.calls) == {"query"}


@pytest.mark.parametrize("numbers", [{}, {"syssn": "a b"}, {"reference": "a,b"}], ids=str)
def test_invalid_numbers_are_refused_before_the_query(shop: Shop, numbers: Members) -> None:
    with pytest.raises(ValueError, match=r"a number|give the payment's"):
        shop.do("reversal", **numbers)
    assert shop.server.asked == []
