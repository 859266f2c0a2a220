"""Numbers and times at the limits of their formats, in every call: accepted or refused by name, never a fault."""

from collections.abc import Mapping
from typing import Final

import pytest

from tests.end_to_end.checkout import link_params, look, open_link, signed
from tests.end_to_end.merchant import CALLS, Merchant, new_reference
from tests.end_to_end.test_bad_input import well_formed

NUMBERS: Final = (
    "0",
    "-1",
    "300",
    "99999",
    "2592000",
    *(f"1{'0' * zeros}" for zeros in (10, 11, 14, 15, 30)),
)
TIMES: Final = ("0001-01-01 00:00:00", "9999-12-31 23:59:59", "9999-12-01 00:00:00", "99999-01-01 00:00:00")
NUMBER_FIELDS: Final[Mapping[str, tuple[str, ...]]] = {
    "payment": ("txamt", "valid_time", "expired_time", "out_trade_no", "udid", "pay_type"),
    "close": ("syssn", "out_trade_no", "txamt"),
    "refund": ("syssn", "out_trade_no", "txamt"),
    "reversal": ("syssn", "out_trade_no", "txamt"),
    "query": ("syssn", "out_trade_no", "pay_type", "respcd", "page", "page_size"),
}
LINK_FIELDS: Final = ("txamt", "expired_time", "checkout_expired_time", "txdtm", "out_trade_no")


def understood_or_refused(shop: Merchant, call: str, params: Mapping[str, str]) -> None:
    answer = shop.call(call, **params)
    assert answer.status == 200
    assert answer.respcd != "1112", (params, answer)


@pytest.mark.parametrize(
    ("call", "field"), [(call, field) for call in CALLS for field in NUMBER_FIELDS[call]]
)
def test_a_number_at_an_end_is_no_fault(shop: Merchant, call: str, field: str) -> None:
    for value in NUMBERS:
        reference = {"out_trade_no": new_reference()} if call == "payment" and field != "out_trade_no" else {}
        understood_or_refused(shop, call, {**well_formed(shop, call), **reference, field: value})


@pytest.mark.parametrize("pay_type", ["800151", "800152", "800201"])
@pytest.mark.parametrize("valid_time", ["300", "2592000"])
def test_every_wallet_accepts_the_shortest_and_the_longest_life_of_an_order(
    shop: Merchant, pay_type: str, valid_time: str
) -> None:
    assert shop.open(pay_type, valid_time=valid_time).respcd == "0000"


@pytest.mark.parametrize("call", CALLS)
def test_a_time_at_an_end_is_no_fault(shop: Merchant, call: str) -> None:
    fields = ("start_time", "end_time", "txdtm") if call == "query" else ("txdtm",)
    for field in fields:
        for value in TIMES:
            reference = {"out_trade_no": new_reference()} if call == "payment" else {}
            understood_or_refused(shop, call, {**well_formed(shop, call), **reference, field: value})


@pytest.mark.parametrize("time", TIMES[:3])
@pytest.mark.parametrize("numbers", [True, False])
def test_an_impossible_range_is_refused_by_name(shop: Merchant, time: str, numbers: bool) -> None:
    number: dict[str, str | None] = {"syssn": "2" * 24} if numbers else {"syssn": None}
    for field in ("start_time", "end_time"):
        answer = shop.call("query", **{**number, field: time})
        assert (answer.respcd, field in answer["respmsg"]) == ("1104", True)


@pytest.mark.parametrize("field", LINK_FIELDS)
def test_a_link_with_an_end_in_it_is_no_fault(shop: Merchant, field: str) -> None:
    for value in (*NUMBERS, *TIMES):
        reference = {} if field == "out_trade_no" else {"out_trade_no": new_reference()}
        answer = open_link(shop, signed(link_params(shop, **{**reference, field: value}), shop.key))
        assert answer.status == 200
        assert answer.respcd != "1112", (value, answer)
        if answer.respcd == "0000":
            assert look(shop, answer["page"]).status == 200
