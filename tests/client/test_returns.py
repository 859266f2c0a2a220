"""The browser's return, which is parsed and proves nothing."""

from datetime import datetime

import pytest
from tael_client import Money, read_return

from tests.client.world import UTC8

RETURN = (
    "https://shop.example/back?session=a%26b&syssn=mine&mchid=BvDtmKJA5mx7GpN0&syssn=201709060902990042326492"
    "&pay_type=800151&out_trade_no=1470020842103&txdtm=2016-08-01+11%3A07%3A22&txamt=10&udid=terminal+4&respcd=0000"
    "&respmsg=&respmesg="
)


@pytest.mark.parametrize("address", [RETURN, RETURN.partition("?")[2]], ids=["address", "query"])
def test_a_return_is_read_after_the_shops_own_parameters(address: str) -> None:
    back = read_return(address)
    assert (back.mchid, back.syssn) == ("BvDtmKJA5mx7GpN0", "201709060902990042326492")
    assert (back.reference, back.pay_type, back.respcd) == ("1470020842103", "800151", "0000")
    assert (back.amount, back.device) == (Money(10), "terminal 4")
    assert back.client_time == datetime(2016, 8, 1, 11, 7, 22, tzinfo=UTC8)


def test_a_return_to_an_address_without_parameters_of_its_own_is_read() -> None:
    assert read_return("https://shop.example/?out_trade_no=A&syssn=1#top").reference == "A"


@pytest.mark.parametrize("address", ["https://shop.example/back", "", "syssn=1", "out_trade_no=1&syssn=x"])
def test_an_address_that_names_no_payment_is_refused(address: str) -> None:
    with pytest.raises(ValueError, match=r"has no out_trade_no|not a number"):
        read_return(address)
