"""Query: numbers, months, filters and pages; its results and their order."""

from datetime import datetime, timedelta
from typing import Any

import pytest

from tests.end_to_end.merchant import MOMENT, Merchant, new_reference
from tests.end_to_end.rig import UTC8, Demo
from tests.support.http_calls import Answer


def found(rows: list[dict[str, Any]]) -> list[str]:
    return [row["syssn"] for row in rows]


def at(opened: Answer) -> datetime:
    return datetime.strptime(opened["sysdtm"], MOMENT).replace(tzinfo=UTC8)


def month_range(inside: datetime) -> dict[str, str]:
    """The first and the last second of the month."""
    first = inside.replace(day=1, hour=0, minute=0, second=0)
    last = (first + timedelta(days=32)).replace(day=1) - timedelta(seconds=1)
    return {"start_time": first.strftime(MOMENT), "end_time": last.strftime(MOMENT)}


def to_the_middle_of_next_month(demo: Demo) -> None:
    now = demo.now()
    middle = (now.replace(day=1) + timedelta(days=32)).replace(day=15, hour=12)
    demo.advance((middle - now).total_seconds())


@pytest.fixture
def three(shop: Merchant, demo: Demo) -> list[Answer]:
    """A paid barcode payment of each wallet and a pending online one, a second apart."""
    opened = []
    for pay_type in ("800208", "800108", "800201"):
        opened.append(shop.open(pay_type))
        demo.advance(1)
    return opened


def test_several_numbers_are_queried_at_once_and_come_newest_first(
    shop: Merchant, three: list[Answer]
) -> None:
    newest_first = [opened["syssn"] for opened in reversed(three)]

    for name in ("syssn", "out_trade_no"):
        listed = ",".join(opened[name] for opened in three)
        assert found(shop.rows(**{name: listed})) == newest_first


def test_numbers_in_a_list_may_be_unknown_doubled_or_blank(shop: Merchant, three: list[Answer]) -> None:
    syssn = three[0]["syssn"]

    assert found(shop.rows(syssn=f"{syssn},{'1' * 24},{syssn},, ")) == [syssn]


def test_payments_of_one_second_come_newest_first_too(shop: Merchant) -> None:
    opened = [shop.open("800201")["syssn"] for _ in range(6)]

    rows = shop.rows(syssn=",".join(opened))
    assert found(rows) == opened[::-1]
    times = [row["sysdtm"] for row in rows]
    assert times == sorted(times, reverse=True)


def test_filters_are_combined_with_and(shop: Merchant, three: list[Answer]) -> None:
    numbers = {"syssn": ",".join(opened["syssn"] for opened in three)}
    wechat, alipay, online = (opened["syssn"] for opened in three)

    assert found(shop.rows(**numbers, pay_type="800208")) == [wechat]
    assert found(shop.rows(**numbers, pay_type="800108,800201")) == [online, alipay]
    assert found(shop.rows(**numbers, respcd="0000")) == [alipay, wechat]
    assert found(shop.rows(**numbers, respcd="1145")) == [online]
    assert found(shop.rows(**numbers, respcd="0000", pay_type="800201")) == []
    assert found(shop.rows(**numbers, pay_type="800701")) == []
    assert found(shop.rows(syssn=wechat, out_trade_no=three[1]["out_trade_no"])) == []
    assert found(shop.rows(**numbers, out_trade_no=three[1]["out_trade_no"])) == [alipay]


def test_times_are_combined_with_references_and_both_ends_are_included(
    shop: Merchant, three: list[Answer]
) -> None:
    numbers = {"out_trade_no": ",".join(opened["out_trade_no"] for opened in three)}
    wechat, alipay, online = (opened["syssn"] for opened in three)
    first, second, third = (opened["sysdtm"] for opened in three)

    assert found(shop.rows(**numbers, start_time=second)) == [online, alipay]
    assert found(shop.rows(**numbers, end_time=second)) == [alipay, wechat]
    assert found(shop.rows(**numbers, start_time=second, end_time=second)) == [alipay]
    assert found(shop.rows(**numbers, start_time=first, end_time=third)) == [online, alipay, wechat]


def test_times_beside_a_syssn_do_not_count_but_must_be_times(shop: Merchant, three: list[Answer]) -> None:
    opened = three[0]
    number = {"syssn": opened["syssn"]}
    ranges = [
        {"start_time": "2026-02-01 00:00:00"},
        {"end_time": "1999-01-01 00:00:00"},
        {"start_time": "2020-01-31 23:59:59", "end_time": "2020-02-01 00:00:00"},  # two months
        {"start_time": "2020-02-02 00:00:00", "end_time": "2020-02-01 00:00:00"},  # backwards
    ]
    for each in ranges:
        assert found(shop.rows(**number, **each)) == [opened["syssn"]], each
        assert found(shop.rows(**number, **each, out_trade_no=opened["out_trade_no"])) == [opened["syssn"]]
        assert found(shop.rows(**number, **each, out_trade_no=new_reference())) == []
    for name in ("start_time", "end_time"):
        for value in ("2020-02-30 00:00:00", "20200201", "yesterday"):
            answer = shop.call("query", **number, **{name: value})
            assert (answer.respcd, name in answer["respmsg"]) == ("1104", True), (name, value)
    empty = shop.call("query", syssn=" , ", start_time="2020-01-31 00:00:00", end_time="2020-02-01 00:00:00")
    assert empty.respcd == "1104"  # an empty list names no number


def test_a_range_of_its_own_month_finds_without_numbers(shop: Merchant, three: list[Answer]) -> None:
    if at(three[0]).month != at(three[2]).month:
        pytest.skip("the month ended between two payments of this test")
    rows = shop.rows(start_time=three[0]["sysdtm"], end_time=three[2]["sysdtm"], page_size="100")

    assert [s for s in found(rows) if s in {o["syssn"] for o in three}] == [
        opened["syssn"] for opened in reversed(three)
    ]


def test_without_any_filter_the_newest_of_this_month_come_ten_to_a_page(shop: Merchant, demo: Demo) -> None:
    to_the_middle_of_next_month(demo)
    opened = [shop.open("800201")["syssn"] for _ in range(12)]

    answer = shop.call("query")
    assert (answer["page"], answer["page_size"]) == (1, 10)
    assert found(answer["data"]) == opened[::-1][:10]
    assert found(shop.rows(page="2"))[:2] == opened[::-1][10:]


def test_last_month_needs_its_own_range(shop: Merchant, demo: Demo) -> None:
    opened = shop.paid("800208")
    month = month_range(at(opened))
    to_the_middle_of_next_month(demo)
    newer = shop.paid("800208")

    assert opened["syssn"] not in found(shop.rows(page_size="100"))
    assert newer["syssn"] in found(shop.rows(page_size="100"))
    paid = shop.rows(**month, respcd="0000", pay_type="800208", page_size="100")
    assert opened["syssn"] in found(paid)
    assert newer["syssn"] not in found(paid)
    assert opened["syssn"] in found(shop.rows(start_time=opened["sysdtm"], page_size="100"))
    ending = shop.rows(end_time=opened["sysdtm"], page_size="100")
    assert found(ending)[0] == opened["syssn"] or opened["syssn"] in found(ending)
    assert found(shop.rows(syssn=f"{opened['syssn']},{newer['syssn']}")) == [
        newer["syssn"],
        opened["syssn"],
    ]
    assert found(shop.rows(out_trade_no=opened["out_trade_no"])) == [opened["syssn"]]
    assert found(shop.rows(out_trade_no=newer["out_trade_no"], **month)) == []
    assert found(shop.rows(syssn=newer["syssn"], **month)) == [newer["syssn"]]


@pytest.mark.parametrize(
    ("start", "end"),
    [
        ("2026-01-31 23:59:59", "2026-02-01 00:00:00"),
        ("2026-01-01 00:00:00", "2027-01-01 00:00:00"),
    ],
)
def test_a_range_across_months_is_refused(shop: Merchant, start: str, end: str) -> None:
    answer = shop.call("query", start_time=start, end_time=end)

    assert answer.respcd == "1104"
    assert "end_time" in answer["respmsg"]


def test_a_range_that_ends_before_it_begins_finds_nothing(shop: Merchant) -> None:
    assert shop.rows(start_time="2026-02-02 00:00:00", end_time="2026-02-01 00:00:00") == []


def test_a_whole_month_is_a_range(shop: Merchant) -> None:
    january = {"start_time": "2026-01-01 00:00:00", "end_time": "2026-01-31 23:59:59"}

    assert shop.rows(**january) == []


def test_pages_follow_each_other_and_end_empty(shop: Merchant) -> None:
    numbers = ",".join(shop.open("800201")["syssn"] for _ in range(5))
    whole = found(shop.rows(syssn=numbers))

    pages = [found(shop.rows(syssn=numbers, page=str(page), page_size="2")) for page in (1, 2, 3, 4)]
    assert [len(page) for page in pages] == [2, 2, 1, 0]
    assert [syssn for page in pages for syssn in page] == whole
    past = shop.call("query", syssn=numbers, page="99999", page_size="2")
    assert (past.respcd, past["data"], past["page"], past["page_size"]) == ("0000", [], 99999, 2)


def test_a_page_holds_at_most_a_hundred_rows(shop: Merchant) -> None:
    answer = shop.call("query", page_size="101")
    assert (answer.respcd, answer["page_size"]) == ("0000", 100)
    assert shop.call("query", page_size="1000000")["page_size"] == 100


@pytest.mark.parametrize(
    ("name", "value"),
    [("page", "0"), ("page", "-1"), ("page", "x"), ("page_size", "0"), ("page_size", "1.5")],
)
def test_invalid_pages_are_refused_by_name(shop: Merchant, name: str, value: str) -> None:
    answer = shop.call("query", **{name: value})

    assert answer.respcd == "1104"
    assert name in answer["respmsg"]


def test_a_name_with_a_capital_is_another_name(shop: Merchant) -> None:
    assert shop.call("query", Page="7")["page"] == 1


def test_get_works_like_post(shop: Merchant, three: list[Answer]) -> None:
    for filters in ({"syssn": three[0]["syssn"]}, {"out_trade_no": three[1]["out_trade_no"], "page": "1"}):
        assert shop.get_query(**filters).body == shop.call("query", **filters).body


def test_an_unknown_number_is_an_empty_list(shop: Merchant) -> None:
    for filters in ({"syssn": "2" * 24}, {"out_trade_no": new_reference()}):
        answer = shop.call("query", **filters)
        assert answer.members == {
            "respmsg": "",
            "resperr": "",
            "respcd": "0000",
            "data": [],
            "page": 1,
            "page_size": 10,
        }


def test_a_refund_under_the_payments_number_gives_two_rows_newest_first(shop: Merchant, demo: Demo) -> None:
    opened = shop.paid("800208")
    demo.advance(2)
    refund = shop.refund(opened, "1", out_trade_no=opened["out_trade_no"])

    rows = shop.rows(out_trade_no=opened["out_trade_no"])
    assert [(row["order_type"], row["syssn"]) for row in rows] == [
        ("refund", refund["syssn"]),
        ("payment", opened["syssn"]),
    ]


def test_a_query_of_successes_finds_a_refund_on_the_first_page(shop: Merchant, demo: Demo) -> None:
    refund = shop.refund_and_wait(shop.paid("800208"), "5")

    rows = shop.rows(respcd="0000")
    assert refund["syssn"] in found(rows)


def test_rows_name_the_goods_if_the_app_is_set_so(wechat_only: Merchant, demo: Demo) -> None:
    shop = wechat_only
    named, unnamed = shop.paid("800208", product_name='茶 "one"'), shop.paid("800208")
    refund = shop.refund(named, "5")
    numbers = [opened["syssn"] for opened in (refund, unnamed, named)]
    assert not any("goods_name" in row for row in shop.rows(syssn=",".join(numbers)))
    with demo.app_set(shop.appcode, "--include-goods-name", back=("--no-include-goods-name",)):
        names = {row["syssn"]: row["goods_name"] for row in shop.rows(syssn=",".join(numbers))}
    assert [names[number] for number in numbers] == ['茶 "one"', "", '茶 "one"']


def test_refund_rows_are_filtered_by_the_pay_type_of_their_payment(shop: Merchant) -> None:
    refund = shop.refund(shop.paid("800108"), "5")

    assert found(shop.rows(syssn=refund["syssn"], pay_type="800108")) == [refund["syssn"]]
    assert found(shop.rows(syssn=refund["syssn"], pay_type="800208")) == []


def test_each_merchant_of_an_app_sees_its_own(chain: Merchant) -> None:
    east, west = chain.mchids
    opened = chain.call("payment", **chain.payment_params("800208", mchid=east))

    assert found(chain.rows(mchid=east, syssn=opened["syssn"])) == [opened["syssn"]]
    assert found(chain.rows(mchid=west, syssn=opened["syssn"])) == []


def test_responses_write_non_ascii_as_lower_case_escapes(shop: Merchant, three: list[Answer]) -> None:
    answer = shop.call("query", syssn=three[0]["syssn"])

    assert rb'"errmsg": "\u4ea4\u6613\u6210\u529f"' in answer.body
    assert b'"page": 1, "page_size": 10}' in answer.body
