"""The compare, liquidation and rate files: their lines, their days, and their content when there is nothing.

A payment of HKD 39.25 is charged 0.314 at 0.80 %, rounded to 0.31; one of 120.00 is charged 0.96.
"""

from datetime import datetime

import pytest

from tests.sandbox.alipay_shop import Reply, Shop, confirm, new_number, shop
from tests.sandbox.conftest import Sandbox
from tests.sandbox.days import compact, move_to

COMPARE, LIQUIDATION, RATES = "forex_compare_file", "forex_liquidation_file", "forex_rate_file"
BOTH_FILES = pytest.mark.parametrize("service", [COMPARE, LIQUIDATION])
NOTHING = "No balance account data in the period"


def text(reply: Reply) -> str:
    assert reply.content_type == "text/plain;charset=UTF-8"
    return reply.body.decode("ascii")


def file(caller: Shop, service: str, start: str, end: str = "") -> str:
    request = caller.signed(service, {"start_date": start, "end_date": end or start})
    return text(caller.post(request))


def lines(caller: Shop, service: str, start: str, end: str = "") -> list[list[str]]:
    content = file(caller, service, start, end)
    assert content.endswith("\n")
    rows = [line.split("|") for line in content.removesuffix("\n").split("\n")]
    assert {len(row) for row in rows} == {9}
    return rows


def minute(at: str) -> str:
    """`yyyyMMddHHmmss` without the seconds, which depend on the machine."""
    assert len(at) == 14
    return at[:12]


def paid_order(sandbox: Sandbox, online: Shop, **fields: str) -> str:
    """A paid online order of HKD 120.00."""
    order = new_number()
    confirm(sandbox, url=online.pc_link(order, **fields))
    return order


def test_a_compare_file_has_payments_refunds_and_cancels(sandbox: Sandbox) -> None:
    noon = move_to(sandbox, 12)
    offline = shop(sandbox, "offline")
    kept, undone, refund = new_number(), new_number(), new_number()
    offline.pay_spot(sandbox.code(), kept)
    offline.refund_spot(kept, refund, "10.01")
    offline.pay_spot(sandbox.code(), undone)
    offline.cancel(undone)
    offline.pay_spot(sandbox.code("password"), new_number())
    offline.pay_spot(sandbox.code("refuses"), new_number())
    move_to(sandbox, 0)
    rows = lines(offline, COMPARE, compact(noon))
    assert {minute(row.pop(3)) for row in rows} == {f"{noon:%Y%m%d}1200"}
    assert rows == [
        [kept, "39.25", "HKD", "", "P", "0.31", "P", ""],
        [refund, "10.01", "HKD", "", "R", "0.00", "P", ""],
        [undone, "39.25", "HKD", "", "P", "0.31", "P", ""],
        [undone, "39.25", "HKD", "", "R", "0.31", "P", ""],
    ]


def test_a_price_in_cny_is_listed_in_the_contracts_currency(sandbox: Sandbox) -> None:
    noon = move_to(sandbox, 12)
    online, refunds = shop(sandbox, "online"), [new_number(), new_number()]
    order = paid_order(sandbox, online, total_fee="", rmb_fee="100.00")
    for number, amount in zip(refunds, ("50.00", "50.00"), strict=True):
        online.refund_online(order, number, "", return_rmb_amount=amount)
    move_to(sandbox, 0)
    # 100 CNY at 0.9123 are 109.6131 HKD; 50 CNY are 54.8066 HKD, and the rest of 109.61 is 54.80.
    rows = lines(online, COMPARE, compact(noon))
    assert [(row[0], row[1], row[2], row[5], row[6]) for row in rows] == [
        (order, "109.61", "HKD", "P", "0.88"),
        (refunds[0], "54.81", "HKD", "R", "0.00"),
        (refunds[1], "54.80", "HKD", "R", "0.00"),
    ]


def test_money_is_settled_on_the_next_working_day(sandbox: Sandbox) -> None:
    online = shop(sandbox, "online")
    friday = move_to(sandbox, 12, weekday=5)
    orders = []
    for _ in range(4):  # Friday to Monday
        orders.append(paid_order(sandbox, online))
        move_to(sandbox, 12)
    move_to(sandbox, 12)  # Wednesday

    def settled(days: int) -> list[tuple[str, str, str]]:
        rows = lines(online, LIQUIDATION, compact(friday, days))
        assert {(row[1], row[5], row[6], row[7], row[8]) for row in rows} == {
            ("120.00", "P", "0.96", "L", "")
        }
        return [(row[0], row[3][:8], row[4]) for row in rows]

    monday, tuesday = compact(friday, 3), compact(friday, 4)
    assert settled(3) == [
        (order, compact(friday, days), f"{monday}090000") for days, order in enumerate(orders[:3])
    ]
    assert settled(4) == [(orders[3], monday, f"{tuesday}090000")]
    for day in (compact(friday, 1), compact(friday, 2)):
        assert file(online, LIQUIDATION, day) == NOTHING
    of_all = lines(online, LIQUIDATION, compact(friday), tuesday)
    assert [row[0] for row in of_all if row[0] in orders] == orders


@BOTH_FILES
def test_a_period_has_at_most_ten_days_and_ends_before_today(sandbox: Sandbox, service: str) -> None:
    today, online = move_to(sandbox, 12), shop(sandbox, "online")

    def response(start: int, end: int) -> str:
        return file(online, service, compact(today, start), compact(today, end))

    assert "|" in response(-10, -1) or response(-10, -1) == NOTHING
    assert response(-11, -1) == "Over 10 days to Date period"
    assert response(-1, -2) == "Finish date ahead of begin date"
    assert response(-1, 0) == "Finish date not ahead of today"
    assert response(1, 2) == "Finish date not ahead of today"


@BOTH_FILES
@pytest.mark.parametrize(
    ("start", "end", "error"),
    [
        ("2026-11-1", "20261101", "Date format incorrect YYYYMMDD"),
        ("20260230", "20260301", "Date format incorrect YYYYMMDD"),
        ("20261101", "2026110", "Date format incorrect YYYYMMDD"),
        ("00010101", "00010102", "Illegal Date period!"),
        ("20261101", "99991231", "Illegal Date period!"),
    ],
)
def test_invalid_dates_are_refused_in_plain_text(
    sandbox: Sandbox, service: str, start: str, end: str, error: str
) -> None:
    online = shop(sandbox, "online")
    assert file(online, service, start, end) == error
    for missing in ("start_date", "end_date"):
        dates = {"start_date": "20261101", "end_date": "20261101", missing: ""}
        assert text(online.post(online.signed(service, dates))) == "Illegal Date period!"


@pytest.mark.parametrize("service", [COMPARE, LIQUIDATION, RATES])
def test_an_invalid_request_is_refused_in_xml(sandbox: Sandbox, service: str) -> None:
    online = shop(sandbox, "online")
    good = online.signed(service, {"start_date": "20261101", "end_date": "20261101"})
    assert text(online.post(good))
    assert online.post({**good, "partner": "2088000000000000"}).error == "ILLEGAL_PARTNER"
    assert online.post({**good, "sign": "0" * 32}).error == "ILLEGAL_SIGN"
    assert online.post({**good, "sign_type": "md5"}).error == "ILLEGAL_SIGN_TYPE"


def test_a_merchant_sees_its_own_contract_only(sandbox: Sandbox) -> None:
    noon = move_to(sandbox, 12)
    paid_order(sandbox, shop(sandbox, "online"))
    move_to(sandbox, 0)
    for other in (shop(sandbox, "offline"), shop(sandbox, "online", "chain_west")):
        assert file(other, COMPARE, compact(noon)) == NOTHING


def test_a_file_that_was_downloaded_once_never_changes(own_sandbox: Sandbox) -> None:
    noon, offline = move_to(own_sandbox, 12), shop(own_sandbox, "offline")
    order = new_number()
    offline.pay_spot(own_sandbox.code(), order)
    move_to(own_sandbox, 0)
    first = file(offline, COMPARE, compact(noon))
    offline.cancel(order)
    assert file(offline, COMPARE, compact(noon)) == first
    own_sandbox.restart()
    assert file(offline, COMPARE, compact(noon)) == first


def rates_of(caller: Shop) -> list[list[str]]:
    return [line.split("|") for line in text(caller.post(caller.signed(RATES, {}))).splitlines()]


@pytest.mark.parametrize("scene", ["online", "offline"])
def test_rates_are_todays_and_change_in_the_morning(sandbox: Sandbox, scene: str) -> None:
    caller = shop(sandbox, scene)
    before: datetime = move_to(sandbox, 9, 24)
    assert {(row[0], row[1]) for row in rates_of(caller)} == {(compact(before, -1), "092500")}
    move_to(sandbox, 9, 25)
    rows = rates_of(caller)
    assert {(row[0], row[1]) for row in rows} == {(compact(before), "092500")}
    rates = {currency: rate for _day, _time, currency, rate in rows}
    assert (rates["HKD"], rates["USD"], rates["JPY"]) == ("0.91230000", "7.10340000", "0.04820000")
    assert "CNY" not in rates
    assert len(rates) == len(rows)
