"""Closing a day with the control API: its statement is final, and later movements belong to the next day."""

import signal
from datetime import timedelta
from typing import Any

import pytest

from tests.sandbox import alipay_shop, wechat_shop
from tests.sandbox.alipay_shop import new_number
from tests.sandbox.conftest import ControlRefused, Sandbox
from tests.sandbox.days import compact, move_to


def close(sandbox: Sandbox, wallet: str, day: str) -> dict[str, Any]:
    closed: dict[str, Any] = sandbox.control("POST", "statements", {"wallet": wallet, "day": day})
    return closed


def pay(sandbox: Sandbox, wallet: str) -> str:
    order = new_number()
    if wallet == "alipay":
        alipay_shop.shop(sandbox, "offline").pay_spot(sandbox.code(), order)
    else:
        wechat_shop.shop(sandbox).scan_code(sandbox.code(wallet=wallet), out_trade_no=order)
    return order


def statement(sandbox: Sandbox, wallet: str, day: str) -> bytes:
    """The statement as the demo shop downloads it."""
    if wallet == "alipay":
        offline = alipay_shop.shop(sandbox, "offline")
        dates = {"start_date": day, "end_date": day}
        return offline.post(offline.signed("forex_compare_file", dates)).body
    caller = wechat_shop.shop(sandbox)
    members = caller.signed(bill_date=day, bill_type="ALL")
    return caller.send("/pay/downloadbill", wechat_shop.as_xml(members)).body


WALLETS = pytest.mark.parametrize("wallet", ["alipay", "wechat"])


@WALLETS
def test_a_closed_day_has_its_statement_at_once_and_permanently(own_sandbox: Sandbox, wallet: str) -> None:
    noon = move_to(own_sandbox, 12)
    early = pay(own_sandbox, wallet)
    assert early.encode() not in statement(own_sandbox, wallet, compact(noon))
    closed = close(own_sandbox, wallet, f"{noon:%Y-%m-%d}")
    assert (closed["wallet"], closed["day"], closed["rows"]) == (wallet, f"{noon:%Y-%m-%d}", 1)
    cut = statement(own_sandbox, wallet, compact(noon))
    assert early.encode() in cut

    late = pay(own_sandbox, wallet)
    move_to(own_sandbox, 13)
    assert close(own_sandbox, wallet, f"{noon:%Y-%m-%d}") == closed
    own_sandbox.restart(number=signal.SIGKILL)
    move_to(own_sandbox, 11)
    move_to(own_sandbox, 11)
    assert statement(own_sandbox, wallet, compact(noon)) == cut
    next_day = statement(own_sandbox, wallet, compact(noon, 1))
    assert late.encode() in next_day
    assert early.encode() not in next_day


@WALLETS
def test_the_response_lists_the_statements_and_their_addresses(own_sandbox: Sandbox, wallet: str) -> None:
    noon = move_to(own_sandbox, 12)
    for _ in range(2):
        pay(own_sandbox, wallet)
    closed = close(own_sandbox, wallet, f"{noon:%Y-%m-%d}")
    assert set(closed) == {"wallet", "day", "closed_at", "cut_at", "rows", "statements"}
    assert closed["closed_at"] == closed["cut_at"]
    in_currencies = {
        f"in_{code}" for code in ["hkd", "cny", "usd", "jpy", "krw", "sgd", "eur", "gbp", "aud", "thb"]
    }
    shops = {"demo", "chain_east", "chain_west"} | in_currencies
    if wallet == "wechat":
        shops |= {"wechat_only", "direct"}
    assert {statement["shop"] for statement in closed["statements"]} == shops
    (mine,) = [statement for statement in closed["statements"] if statement["rows"]]
    account = own_sandbox.account(wallet, "demo", "offline" if wallet == "alipay" else None)
    assert set(mine) == {"shop", "account", "url", "ask", "rows"}
    assert (mine["shop"], mine["rows"]) == ("demo", 2)
    day = compact(noon)
    if wallet == "alipay":
        assert (mine["account"], mine["url"]) == (account["pid"], account["gateway_url"])
        dates = {"start_date": day, "end_date": day}
        assert mine["ask"] == {"service": "forex_compare_file", "partner": account["pid"], **dates}
    else:
        assert mine["account"] == account["sub_mch_id"]
        assert mine["url"] == account["base_url"] + "/pay/downloadbill"
        names = ("mch_id", "sub_mch_id")
        assert mine["ask"] == {**{name: account[name] for name in names}, "bill_date": day}


def test_a_finished_day_ends_at_midnight_and_can_be_closed_before_its_bill_is_due(
    own_sandbox: Sandbox,
) -> None:
    day = move_to(own_sandbox, 23, 59)
    order = pay(own_sandbox, "wechat")
    midnight = move_to(own_sandbox, 0)
    pay(own_sandbox, "wechat")
    assert b"No Bill Exist" in statement(own_sandbox, "wechat", compact(day))
    closed = close(own_sandbox, "wechat", f"{day:%Y-%m-%d}")
    assert closed["rows"] == 1
    assert closed["closed_at"] < closed["cut_at"]
    assert closed["closed_at"] == f"{day:%Y-%m-%d}T16:00:00+00:00"
    assert midnight.date() > day.date()
    assert order.encode() in statement(own_sandbox, "wechat", compact(day))


def test_both_wallets_of_wechat_are_closed_together(own_sandbox: Sandbox) -> None:
    noon = move_to(own_sandbox, 12)
    orders = [pay(own_sandbox, wallet) for wallet in ("wechat", "wechat_hk")]
    closed = close(own_sandbox, "wechat_hk", f"{noon:%Y-%m-%d}")
    assert (closed["wallet"], closed["rows"]) == ("wechat_hk", 2)
    pay(own_sandbox, "wechat")
    again = close(own_sandbox, "wechat", f"{noon:%Y-%m-%d}")
    assert again == closed | {"wallet": "wechat"}
    bill = statement(own_sandbox, "wechat", compact(noon))
    assert all(order.encode() in bill for order in orders)
    assert close(own_sandbox, "alipay", f"{noon:%Y-%m-%d}")["rows"] == 0


def test_a_pending_refund_is_in_the_statement_as_it_was(own_sandbox: Sandbox) -> None:
    noon, caller = move_to(own_sandbox, 12), wechat_shop.shop(own_sandbox)
    caller.refund(pay(own_sandbox, "wechat"), 100)
    close(own_sandbox, "wechat", f"{noon:%Y-%m-%d}")
    move_to(own_sandbox, 13)
    bill = statement(own_sandbox, "wechat", compact(noon))
    assert bill.count(b"`PROCESSING,") == 1


def test_closing_a_day_does_not_settle_it(own_sandbox: Sandbox) -> None:
    noon, offline = move_to(own_sandbox, 12), alipay_shop.shop(own_sandbox, "offline")
    pay(own_sandbox, "alipay")
    close(own_sandbox, "alipay", f"{noon:%Y-%m-%d}")
    dates = {"start_date": compact(noon), "end_date": compact(noon)}
    reply = offline.post(offline.signed("forex_liquidation_file", dates))
    assert reply.body == b"Finish date not ahead of today"


def test_the_other_wallets_day_stays_open(own_sandbox: Sandbox) -> None:
    noon = move_to(own_sandbox, 12)
    pay(own_sandbox, "alipay")
    close(own_sandbox, "wechat", f"{noon:%Y-%m-%d}")
    assert statement(own_sandbox, "alipay", compact(noon)) == b"Finish date not ahead of today"


@pytest.mark.parametrize(
    ("members", "field"),
    [
        ({"day": "2026-11-01"}, "wallet"),
        ({"wallet": "paypal", "day": "2026-11-01"}, "wallet"),
        ({"wallet": "alipay"}, "day"),
        ({"wallet": "alipay", "day": "20261101"}, "day"),
        ({"wallet": "alipay", "day": "2026-02-30"}, "day"),
        ({"wallet": "alipay", "day": "2026-W01-1"}, "day"),
        ({"wallet": "alipay", "day": 20261101}, "day"),
        ({"wallet": "alipay", "day": "1999-12-31"}, "day"),
        ({"wallet": "wechat", "day": "9999-12-31"}, "day"),
    ],
)
def test_an_invalid_day_names_the_field(sandbox: Sandbox, members: dict[str, Any], field: str) -> None:
    with pytest.raises(ControlRefused) as refused:
        sandbox.control("POST", "statements", members)
    assert (refused.value.status, refused.value.field) == (400, field)


def test_a_day_that_has_not_begun_cannot_be_closed(sandbox: Sandbox) -> None:
    tomorrow = move_to(sandbox, 12) + timedelta(days=1)
    with pytest.raises(ControlRefused) as refused:
        close(sandbox, "alipay", f"{tomorrow:%Y-%m-%d}")
    assert refused.value.field == "day"
