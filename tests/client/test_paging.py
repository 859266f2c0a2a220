"""All rows, page by page and month by month, always with an end."""

from datetime import datetime
from typing import Any

import pytest
from tael_client import Filters, PagesDoNotEnd

from tests.client.world import NOW, UTC8, Members, Shop, page, row, signed


def at(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC8)


def rows(*numbers: int) -> list[Members]:
    return [row(syssn=str(number)) for number in numbers]


def numbers(got: list[Any]) -> list[int]:
    return [int(each.syssn) for each in got]


def test_pages_are_queried_until_one_is_not_full(shop: Shop) -> None:
    shop.server.will(
        signed(page(*rows(5, 4), number=1, size=2)),
        signed(page(*rows(3, 2), number=2, size=2)),
        signed(page(*rows(1), number=3, size=2)),
    )
    assert numbers(shop.do("query_all", page_size=2)) == [5, 4, 3, 2, 1]
    assert [asked.params["page"] for asked in shop.server.asked] == ["1", "2", "3"]
    assert {asked.params["page_size"] for asked in shop.server.asked} == {"2"}


def test_a_full_last_page_is_followed_by_an_empty_one(shop: Shop) -> None:
    shop.server.will(signed(page(*rows(2, 1), size=2)), signed(page(number=2, size=2)))
    assert numbers(shop.do("query_all", page_size=2)) == [2, 1]
    assert shop.server.is_through


def test_no_rows_are_one_query(shop: Shop) -> None:
    shop.server.will(signed(page()))
    assert shop.do("query_all") == []


def test_a_server_with_smaller_pages_than_requested_is_read_to_the_end(shop: Shop) -> None:
    shop.server.will(signed(page(*rows(2, 1), size=2)), signed(page(*rows(0), number=2, size=2)))
    assert numbers(shop.do("query_all", page_size=100)) == [2, 1, 0]


def test_rows_that_a_new_one_moved_to_the_next_page_are_returned_once(shop: Shop) -> None:
    shop.server.will(
        signed(page(*rows(3, 2), size=2)), signed(page(*rows(2, 1), size=2)), signed(page(size=2))
    )
    assert numbers(shop.do("query_all", page_size=2)) == [3, 2, 1]


def test_a_server_that_repeats_a_page_is_not_queried_forever(shop: Shop) -> None:
    shop.server.will(signed(page(*rows(2, 1), size=2)), signed(page(*rows(2, 1), size=2)))
    with pytest.raises(PagesDoNotEnd):
        shop.do("query_all", page_size=2)


def test_a_range_of_several_months_is_queried_month_by_month_newest_first(shop: Shop) -> None:
    shop.server.will(
        signed(page(*rows(9, 8), size=2)),
        signed(page(*rows(7), number=2, size=2)),
        signed(page(size=2)),
        signed(page(*rows(6), size=2)),
    )
    filters = Filters(pay_types=["800208"], since=at("2016-12-31 23:00:00"), until=at("2017-02-03 04:05:06"))
    assert numbers(shop.do("query_all", filters, page_size=2)) == [9, 8, 7, 6]

    asked = [
        (each.params["start_time"], each.params["end_time"], each.params["page"])
        for each in shop.server.asked
    ]
    assert asked == [
        ("2017-02-01 00:00:00", "2017-02-03 04:05:06", "1"),
        ("2017-02-01 00:00:00", "2017-02-03 04:05:06", "2"),
        ("2017-01-01 00:00:00", "2017-01-31 23:59:59", "1"),
        ("2016-12-31 23:00:00", "2016-12-31 23:59:59", "1"),
    ]
    assert {each.params["pay_type"] for each in shop.server.asked} == {"800208"}


def test_since_alone_reaches_until_now_and_until_alone_is_refused(shop: Shop) -> None:
    shop.server.will(signed(page()))
    shop.do("query_all", Filters(since=at("2017-09-01 00:00:00")))
    assert shop.server.asked[0].params["end_time"] == NOW.strftime("%Y-%m-%d %H:%M:%S")
    with pytest.raises(ValueError, match="since"):
        shop.do("query_all", Filters(until=NOW))


def test_numbers_without_times_are_queried_without_times(shop: Shop) -> None:
    shop.server.will(signed(page(*rows(1))))
    shop.do("query_all", Filters(references=["a", "b"]))
    assert shop.server.asked[0].params["out_trade_no"] == "a,b"
    assert not {"start_time", "end_time"} & set(shop.server.asked[0].params)


@pytest.mark.parametrize(("number", "size"), [(0, 10), (1, 0), (1, 101)])
def test_an_invalid_page_is_not_queried(shop: Shop, number: int, size: int) -> None:
    with pytest.raises(ValueError, match="page must be at least 1"):
        shop.do("query", page=number, page_size=size)
