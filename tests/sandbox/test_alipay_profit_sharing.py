"""`split_fund_info`: shares of a payment and of a refund, in both spellings of JSON, and invalid ones."""

import json
from typing import Any

import pytest

from tests.sandbox.alipay_shop import Shop, confirm, new_number, scan, shop
from tests.sandbox.conftest import Sandbox

OTHER = "2088000000000001"


@pytest.fixture
def online(sandbox: Sandbox) -> Shop:
    return shop(sandbox, "online")


def share(party: str, amount: Any, **change: Any) -> dict[str, Any]:
    return {party: OTHER, "amount": amount, "currency": "HKD", "desc": "half", **change}


def is_taken(online: Shop, shares: list[Any], **fields: str) -> bool:
    """Whether an order of HKD 120.00 is opened with these shares."""
    page = online.open(online.pc_link(new_number(), split_fund_info=json.dumps(shares), **fields)).body
    assert (b"Pay as" in page) != (b"ILLEGAL_ARGUMENT" in page)
    return b"Pay as" in page


def test_shares_add_up_to_at_most_the_price(sandbox: Sandbox, online: Shop) -> None:
    assert is_taken(online, [share("transIn", "60.00"), share("transIn", "60.00")])
    assert not is_taken(online, [share("transIn", "60.00"), share("transIn", "60.01")])
    assert is_taken(online, [share("transIn", 0.5), share("transIn", 1)])
    assert is_taken(online, [share("transIn", "1.00")] * 10)
    assert not is_taken(online, [share("transIn", "1.00")] * 11)
    assert is_taken(online, [])


def test_shares_are_in_the_prices_currency(online: Shop) -> None:
    in_cny = [share("transIn", "100.00", currency="CNY")]
    assert is_taken(online, in_cny, total_fee="", rmb_fee="100.00")
    assert not is_taken(online, in_cny)
    assert not is_taken(online, [share("transIn", "1.00")], total_fee="", rmb_fee="100.00")


@pytest.mark.parametrize(
    "wrong",
    [
        "half",
        [],
        {},
        share("transOut", "1.00"),
        share("transIn", "0.00"),
        share("transIn", "-1.00"),
        share("transIn", "1.001"),
        share("transIn", 1e-9),
        share("transIn", None),
        share("transIn", ["1.00"]),
        share("transIn", "1.00", transIn="1088000000000001"),
        share("transIn", "1.00", currency="USD"),
        share("transIn", "1.00", currency=""),
    ],
    ids=str,
)
def test_an_invalid_share_is_refused(online: Shop, wrong: Any) -> None:
    assert not is_taken(online, [share("transIn", "1.00"), wrong])


def test_a_page_may_write_shares_with_single_quotes(sandbox: Sandbox, online: Shop) -> None:
    written = str([share("transIn", "1.00")])
    assert "'" in written
    assert scan(sandbox, online.pc_link(new_number(), split_fund_info=written))["amount"] == 12000
    too_much = str([share("transIn", "120.01")])
    assert b"ILLEGAL_ARGUMENT" in online.open(online.pc_link(new_number(), split_fund_info=too_much)).body


def test_a_refund_validates_its_shares(sandbox: Sandbox, online: Shop) -> None:
    order = new_number()
    confirm(sandbox, url=online.pc_link(order))

    def refused(*shares: Any) -> str | None:
        written = json.dumps(shares)
        return online.refund_online(order, new_number(), "10.00", split_fund_info=written).error

    assert refused(share("transOut", "10.01")) == "ILLEGAL_ARGUMENT"
    assert refused(share("transIn", "1.00")) == "ILLEGAL_ARGUMENT"
    assert refused(*[share("transOut", "0.01")] * 11) == "ILLEGAL_ARGUMENT"
    assert online.book_row(order)["refunded"] == 0
    assert refused(share("transOut", "4.00"), share("transOut", "6.00")) is None
    assert online.book_row(order)["refunded"] == 1000
