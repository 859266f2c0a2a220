"""Alipay's contracts in other currencies: amounts on the wire, with and without decimals."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

import pytest

from tests.sandbox.alipay_shop import Shop, balance, confirm, form_of, new_number, scan, shop
from tests.sandbox.conftest import Receiver, Sandbox
from tests.sandbox.days import compact, move_to


@dataclass(frozen=True, slots=True)
class Currency:
    """A price of 1,200 units and Alipay's amounts for it. The CNY amounts were calculated by hand from the rate."""

    price: str
    minor: int
    cny: str
    rate: str
    part: str
    rest: str
    fee: str  #: 0.80 % of the price
    not_its_form: tuple[str, ...]


CURRENCIES: Final = {
    "JPY": Currency(
        *("1200", 1200, "57.84", "0.04820000", "500", "700", "10"),
        ("1200.00", "1200.0", "1200.5", "0.5", "1,200", "1200."),
    ),
    "KRW": Currency(
        *("1200", 1200, "6.24", "0.00520000", "500", "700", "10"),
        ("1200.00", "1200.0", "1200.5", "0.5", "01200", "1e3"),
    ),
    "USD": Currency(
        *("1200.00", 120_000, "8524.08", "7.10340000", "500.50", "699.50", "9.60"),
        ("1200.001", "1200.", ".5", "1,200.00"),
    ),
    "CNY": Currency(
        *("1200.00", 120_000, "1200.00", "1.00000000", "500.50", "699.50", "9.60"),
        ("1200.001", "1200.", ".5", "1,200.00"),
    ),
    "HKD": Currency(
        *("1200.00", 120_000, "1094.76", "0.91230000", "500.50", "699.50", "9.60"),
        ("1200.001", "1200.", ".5", "1,200.00"),
    ),
    "SGD": Currency(
        *("1200.00", 120_000, "6325.20", "5.27100000", "500.50", "699.50", "9.60"),
        ("1200.001", "1200.", ".5", "1,200.00"),
    ),
    "EUR": Currency(
        *("1200.00", 120_000, "9265.80", "7.72150000", "500.50", "699.50", "9.60"),
        ("1200.001", "1200.", ".5", "1,200.00"),
    ),
    "GBP": Currency(
        *("1200.00", 120_000, "10857.60", "9.04800000", "500.50", "699.50", "9.60"),
        ("1200.001", "1200.", ".5", "1,200.00"),
    ),
    "AUD": Currency(
        *("1200.00", 120_000, "5628.60", "4.69050000", "500.50", "699.50", "9.60"),
        ("1200.001", "1200.", ".5", "1,200.00"),
    ),
    "THB": Currency(
        *("1200.00", 120_000, "241.68", "0.20140000", "500.50", "699.50", "9.60"),
        ("1200.001", "1200.", ".5", "1,200.00"),
    ),
}


@pytest.fixture(params=CURRENCIES)
def code(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def money(code: str) -> Currency:
    return CURRENCIES[code]


@pytest.fixture
def shops(sandbox: Sandbox, code: str) -> Callable[[str], Shop]:
    return lambda scene: shop(sandbox, scene, f"in_{code.lower()}")


def spent_by(sandbox: Sandbox, payer: str, before: int) -> str:
    minor = before - balance(sandbox, payer)
    return f"{minor // 100}.{minor % 100:02d}"


@pytest.mark.parametrize("is_wap", [False, True], ids=["pc", "wap"])
def test_an_online_order_is_paid_notified_queried_and_refunded(
    sandbox: Sandbox,
    receiver: Receiver,
    shops: Callable[[str], Shop],
    code: str,
    money: Currency,
    *,
    is_wap: bool,
) -> None:
    online, order = shops("online"), new_number()
    fields = {"currency": code, "total_fee": money.price, "notify_url": receiver.url}
    link = (online.wap_link if is_wap else online.pc_link)(order, **fields)
    seen = scan(sandbox, link)
    assert (seen["amount"], seen["currency"]) == (money.minor, code)
    before = balance(sandbox, "bao")
    confirm(sandbox, url=link, payer="bao")
    assert spent_by(sandbox, "bao", before) == money.cny
    notice = form_of(receiver.wait_for(1)[0])
    assert (notice["total_fee"], notice["currency"]) == (money.price, code)
    assert "rmb_fee" not in notice
    assert online.query_online(order)["total_fee"] == money.cny

    more = {"currency": code, "product_code": "NEW_WAP_OVERSEAS_SELLER" if is_wap else "NEW_OVERSEAS_SELLER"}
    for number, (amount, error) in enumerate(
        ((money.part, None), (money.price, "RETURN_AMOUNT_EXCEED"), (money.rest, None))
    ):
        assert online.refund_online(order, f"{order}_{number}", amount, **more).error == error
    assert balance(sandbox, "bao") == before
    row = online.book_row(order)
    assert (row["amount"], row["refunded"], row["currency"]) == (money.minor, money.minor, code)


def test_a_barcode_is_paid_notified_queried_and_refunded(
    sandbox: Sandbox, receiver: Receiver, shops: Callable[[str], Shop], code: str, money: Currency
) -> None:
    offline, order = shops("offline"), new_number()
    price = {"currency": code, "trans_amount": money.price}
    paid = offline.pay_spot(sandbox.code(), order, **price, notify_url=receiver.url)
    for answer in (paid, offline.query_spot(order)):
        assert (answer["trans_amount"], answer["currency"]) == (money.price, code)
        assert (answer["trans_amount_cny"], answer["exchange_rate"]) == (money.cny, money.rate)
    notice = form_of(receiver.wait_for(1)[0])
    assert (notice["total_fee"], notice["price"], notice["currency"]) == (money.price, money.price, code)
    for amount in (money.part, money.rest):
        given = offline.refund_spot(order, new_number("R"), amount, currency=code)
        assert (given["result_code"], given["refund_amount"]) == ("SUCCESS", amount)
    assert form_of(receiver.wait_for(2)[1])["refund_fee"] == money.price
    assert offline.book_row(order)["refunded"] == money.minor


def test_an_unpaid_order_is_closed_and_a_paid_barcode_cancelled(
    sandbox: Sandbox, shops: Callable[[str], Shop], code: str, money: Currency
) -> None:
    online, offline, order, sale = shops("online"), shops("offline"), new_number(), new_number()
    scan(sandbox, online.pc_link(order, currency=code, total_fee=money.price))
    assert online.call("close_trade", out_order_no=order).error is None
    assert online.query_online(order)["trade_status"] == "TRADE_CLOSED"
    before = balance(sandbox, "ada")
    offline.pay_spot(sandbox.code(), sale, currency=code, trans_amount=money.price)
    assert offline.cancel(sale)["action"] == "refund"
    assert balance(sandbox, "ada") == before


def test_a_code_to_scan_is_made_in_the_contract_s_currency(
    sandbox: Sandbox, shops: Callable[[str], Shop], code: str, money: Currency
) -> None:
    offline, order = shops("offline"), new_number()
    price = {"currency": code, "trans_currency": code, "total_fee": money.price}
    made = offline.call("alipay.acquire.precreate", **offline.precreate_fields(order) | price)
    assert (scan(sandbox, made["qr_code"])["amount"], made["result_code"]) == (money.minor, "SUCCESS")


def test_an_amount_of_another_form_is_refused_everywhere(
    sandbox: Sandbox, shops: Callable[[str], Shop], code: str, money: Currency
) -> None:
    online, offline, order = shops("online"), shops("offline"), new_number()
    paid = new_number()
    offline.pay_spot(sandbox.code(), paid, currency=code, trans_amount=money.price)
    for amount in money.not_its_form:
        page = online.open(online.pc_link(order, currency=code, total_fee=amount))
        assert b"ILLEGAL_ARGUMENT" in page.body, amount
        request = {"currency": code, "trans_amount": amount}
        assert offline.pay_spot(sandbox.code(), order, **request).error == "INVALID_PARAMETER"
        price = {"currency": code, "trans_currency": code, "total_fee": amount}
        refused = offline.call("alipay.acquire.precreate", **offline.precreate_fields(order) | price)
        assert refused.error == "INVALID_PARAMETER"
        assert offline.refund_spot(paid, new_number("R"), amount, currency=code).error == "INVALID_PARAMETER"
        assert online.refund_online(paid, new_number("R"), amount, currency=code).error == "ILLEGAL_ARGUMENT"
    assert offline.book_row(paid)["refunded"] == 0


def test_a_contract_accepts_only_its_own_currency(
    sandbox: Sandbox, shops: Callable[[str], Shop], code: str
) -> None:
    online, offline = shops("online"), shops("offline")
    for other in CURRENCIES.keys() - {code}:
        price = CURRENCIES[other].price
        page = online.open(online.pc_link(new_number(), currency=other, total_fee=price))
        assert b"ILLEGAL_CURRENCY" in page.body
        request = {"currency": other, "trans_amount": price}
        assert offline.pay_spot(sandbox.code(), new_number(), **request).error == "ILLEGAL_CURRENCY"


@pytest.mark.parametrize("code", ["JPY", "KRW", "USD"], indirect=True)
def test_a_price_in_yuan_is_settled_in_the_contract_s_currency(
    sandbox: Sandbox, receiver: Receiver, shops: Callable[[str], Shop], code: str, money: Currency
) -> None:
    online, order = shops("online"), new_number()
    link = online.pc_link(order, currency=code, total_fee="", rmb_fee=money.cny, notify_url=receiver.url)
    confirm(sandbox, url=link)
    notice = form_of(receiver.wait_for(1)[0])
    assert (notice["total_fee"], notice["rmb_fee"]) == (money.price, money.cny)
    least = online.pc_link(new_number(), currency=code, total_fee="", rmb_fee="0.01", notify_url=receiver.url)
    confirm(sandbox, url=least)
    notice = form_of(receiver.wait_for(2)[1])
    assert (notice["total_fee"], notice["rmb_fee"]) == (
        {"JPY": "1", "KRW": "2", "USD": "0.01"}[code],
        "0.01",
    )


def test_the_day_s_file_has_amounts_and_charges_in_the_contract_s_form(own_sandbox: Sandbox) -> None:
    """All currencies in one sandbox, so that the clock is moved over midnight only once."""
    noon = move_to(own_sandbox, 12)
    sold: dict[str, Any] = {}
    for code, money in CURRENCIES.items():
        sold[code] = (shop(own_sandbox, "offline", f"in_{code.lower()}"), new_number(), new_number("R"))
        offline, order, refund = sold[code]
        offline.pay_spot(own_sandbox.code(), order, currency=code, trans_amount=money.price)
        assert offline.refund_spot(order, refund, money.part, currency=code)["result_code"] == "SUCCESS"
    move_to(own_sandbox, 10)
    for code, money in CURRENCIES.items():
        offline, order, refund = sold[code]
        days = {"start_date": compact(noon), "end_date": compact(noon)}
        lines = offline.post(offline.signed("forex_compare_file", days)).body.decode().splitlines()
        rows = [line.split("|") for line in lines]
        assert [(row[0], row[1], row[2], row[5], row[6]) for row in rows] == [
            (order, money.price, code, "P", money.fee),
            (refund, money.part, code, "R", "0" if code in ("JPY", "KRW") else "0.00"),
        ]
