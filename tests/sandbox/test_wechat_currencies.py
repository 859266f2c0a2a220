"""WeChat Pay merchants whose contract is in another currency: prices, the payer's cash, refunds, notices and bills."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

import pytest

from tests.sandbox.conftest import Receiver, Sandbox
from tests.sandbox.days import compact, move_to
from tests.sandbox.test_wechat_bills import download, table
from tests.sandbox.test_wechat_notices import url_of
from tests.sandbox.wechat_shop import Shop, code, confirm, from_xml, new_number, shop, spent

#: A price, in minor units.
PRICE: Final = 1200
PART: Final = 499
#: The price's 0.6 %, of 1,200 major units and of 12.
FEES: Final = {0: "7.20000", 2: "0.07200"}


@dataclass(frozen=True, slots=True)
class Currency:
    """Calculated by hand from the rate: the price in fen, and in cents of the payer with Hong Kong dollars."""

    decimals: int
    rate: str  #: empty where nothing is converted
    cny: int
    hkd: int


CURRENCIES: Final = {
    "HKD": Currency(2, "91230000", 1095, 1200),
    "CNY": Currency(2, "", 1200, 1315),
    "USD": Currency(2, "710340000", 8524, 9344),
    "JPY": Currency(0, "4820000", 5784, 6340),
    "KRW": Currency(0, "520000", 624, 684),
    "SGD": Currency(2, "527100000", 6325, 6933),
    "EUR": Currency(2, "772150000", 9266, 10157),
    "GBP": Currency(2, "904800000", 10858, 11901),
    "AUD": Currency(2, "469050000", 5629, 6170),
    "THB": Currency(2, "20140000", 242, 265),
}


@pytest.fixture(params=CURRENCIES)
def currency(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def money(currency: str) -> Currency:
    return CURRENCIES[currency]


@pytest.fixture
def local(sandbox: Sandbox, currency: str) -> Shop:
    return shop(sandbox, f"in_{currency.lower()}")


def written(amount_minor: int, decimals: int) -> str:
    return f"{amount_minor / 10**decimals:.{decimals}f}"


def test_an_order_is_paid_in_yuan_notified_queried_and_refunded(
    sandbox: Sandbox, receiver: Receiver, local: Shop, currency: str, money: Currency
) -> None:
    order = new_number()
    price = {"fee_type": currency, "total_fee": PRICE}
    made = local.order(out_trade_no=order, notify_url=url_of(receiver), **price)
    assert made.error == ""
    with spent(sandbox, "dora", money.cny):
        confirm(sandbox, "pay", url=made["code_url"], payer="dora")
    notice = from_xml(receiver.wait_for(1)[0])
    found = local.query(order).fields
    assert (notice.get("rate_value", ""), found.get("rate", "")) == (money.rate, money.rate)
    for fields in (notice, found):
        assert (fields["total_fee"], fields["fee_type"]) == (str(PRICE), currency)
        assert (fields["cash_fee"], fields["cash_fee_type"]) == (str(money.cny), "CNY")
    over = local.refund(order, PRICE + 1, total_fee=PRICE, refund_fee_type=currency)
    assert over.error == "PARAM_ERROR"
    with spent(sandbox, "dora", -money.cny):
        for part in (PART, PRICE - PART):
            refunded = local.refund(order, part, total_fee=PRICE, refund_fee_type=currency)
            assert (refunded["refund_fee"], refunded["total_fee"]) == (str(part), str(PRICE))
        sandbox.advance(2)


def test_a_payer_in_hong_kong_pays_in_hong_kong_dollars(
    sandbox: Sandbox, local: Shop, currency: str, money: Currency
) -> None:
    paid = local.scan_code(code(sandbox, wallet="wechat_hk"), fee_type=currency, total_fee=PRICE)
    assert (paid["total_fee"], paid["fee_type"]) == (str(PRICE), currency)
    assert (paid["cash_fee"], paid["cash_fee_type"]) == (str(money.hkd), "HKD")


@pytest.mark.parametrize("amount", ["1200.00", "12.5", "1,200"])
def test_an_amount_is_a_whole_number_of_minor_units(local: Shop, currency: str, amount: str) -> None:
    assert local.order(fee_type=currency, total_fee=amount).error == "total_fee参数格式错误"


def test_the_day_s_bill_has_the_currency_s_decimals(
    own_sandbox: Sandbox, shop_in: Callable[[str], Shop]
) -> None:
    """All currencies in one sandbox, so that the clock is moved over midnight only once."""
    move_to(own_sandbox, 12)
    for currency in CURRENCIES:
        order, local = new_number(), shop_in(currency)
        local.scan_code(code(own_sandbox), out_trade_no=order, fee_type=currency, total_fee=PRICE)
        local.refund(order, PART, total_fee=PRICE, refund_fee_type=currency)
    day = compact(move_to(own_sandbox, 10), -1)
    for currency, money in CURRENCIES.items():
        _header, rows, _summary = table(download(shop_in(currency), day))
        price, part = written(PRICE, money.decimals), written(PART, money.decimals)
        # Columns: price's currency and amount, fee, cash, settlement in the contract's currency.
        paid = rows[0][11:13] + rows[0][22:23] + rows[0][24:29]
        assert paid == [
            *(currency, price, FEES[money.decimals]),
            *("CNY", written(money.cny, 2), currency, price, money.rate or "0"),
        ]
        assert rows[1][16] == part
        assert rows[1][34] == part


@pytest.fixture
def shop_in(own_sandbox: Sandbox) -> Callable[[str], Shop]:
    return lambda currency: shop(own_sandbox, f"in_{currency.lower()}")
