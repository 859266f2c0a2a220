"""Merchants in other currencies, with contracts at both wallets, from the merchant's call to the wallet's book.

The demo has one in each currency. Yen and won have no decimals: all amounts sent and received are whole units.
"""

import re
from collections.abc import Iterator
from contextlib import suppress
from typing import Final
from urllib.parse import urlsplit

import pytest
from tael_client import Client, Credentials, Filters, Money, OutcomePending, PaymentOrder, PayType

from tests.end_to_end.merchant import Merchant, new_reference, send
from tests.end_to_end.receiver import Receiver, receiving
from tests.end_to_end.rig import Demo

CURRENCIES: Final = ("HKD", "CNY", "USD", "JPY", "KRW", "SGD", "EUR", "GBP", "AUD", "THB")
#: The demo's app with these merchants.
APP: Final = 4
PRICE: Final = "1250"
#: At least one of each wallet's calls to create a payment.
PAY_TYPES: Final = ("800151", "800152", "800108", "800101", "801110", "800201", "800207", "800208", "800228")
#: What Alipay writes: major units.
MAJOR: Final = {"JPY": "1250", "KRW": "1250"}


@pytest.fixture(scope="module")
def receiver(demo: Demo) -> Iterator[Receiver]:
    """Receives the webhooks of the app."""
    with receiving() as receiver:
        appcode = demo.apps[APP]["appcode"]
        demo.ask("app", "set", appcode, "--notify-url", f"{receiver.url}/x")
        yield receiver
        demo.ask("app", "set", appcode, "--notify-url", "")


def merchant_in(demo: Demo, currency: str) -> Merchant:
    row = demo.apps[APP]
    mchid = row["mchids"][CURRENCIES.index(currency)]
    return Merchant(demo, row["appcode"], row["key"], mchid, (mchid,), shop=f"in_{currency.lower()}")


@pytest.fixture(params=["JPY", "KRW", "USD"])
def local(request: pytest.FixtureRequest, demo: Demo, receiver: Receiver) -> Merchant:
    return merchant_in(demo, request.param)


def currency_of(merchant: Merchant) -> str:
    return merchant.shop.removeprefix("in_").upper()


def test_the_demo_has_a_merchant_in_each_currency_with_contracts_at_both_wallets(demo: Demo) -> None:
    rows = demo.ask("merchant", "list", "--appcode", demo.apps[APP]["appcode"])
    assert tuple(row["currency"] for row in rows) == CURRENCIES
    assert [row["mchid"] for row in rows] == demo.apps[APP]["mchids"]
    for row in rows:
        accounts = demo.ask("account", "list", "--mchid", row["mchid"])
        places = {(account["wallet"], account["scene"], account["currency"]) for account in accounts}
        assert {wallet for wallet, _, _ in places} == {"alipay", "wechat"}
        assert {currency for _, _, currency in places} == {row["currency"]}


@pytest.mark.parametrize("pay_type", PAY_TYPES)
def test_a_payment_is_made_queried_and_refunded_to_the_unit(local: Merchant, pay_type: str) -> None:
    paid = local.paid(pay_type, txamt=PRICE)
    (trade,) = local.demo.trades(paid["syssn"])
    assert (trade["amount"], trade["currency"]) == (int(PRICE), currency_of(local))
    row = local.row(paid["syssn"])
    assert (row["txamt"], row["txcurrcd"]) == (PRICE, currency_of(local))
    local.refund_and_wait(paid, "1")
    assert local.refund(paid, PRICE).respcd == "1272"
    local.refund_and_wait(paid, "1249")
    assert local.demo.held(paid["syssn"]) == 0


@pytest.mark.parametrize("pay_type", ["800151", "800201"])
def test_an_unpaid_order_is_closed(local: Merchant, pay_type: str) -> None:
    opened = local.open(pay_type, txamt=PRICE)
    url = opened["pay_url"] if pay_type == "800151" else opened["qrcode"]
    assert local.demo.scan(url)["amount"] == int(PRICE)
    assert local.call("close", syssn=opened["syssn"]).respcd == "0000"


@pytest.mark.parametrize("pay_type", ["800108", "800208"])
def test_a_barcode_is_reversed(local: Merchant, pay_type: str) -> None:
    paid = local.paid(pay_type, txamt=PRICE)
    assert local.call("reversal", syssn=paid["syssn"], txamt=PRICE).respcd in ("0000", "1145")
    local.until(paid["syssn"], "0000", "1")
    assert local.demo.held(paid["syssn"]) == 0


@pytest.mark.parametrize("pay_type", ["800151", "800201"])
def test_a_webhook_has_whole_minor_units(local: Merchant, receiver: Receiver, pay_type: str) -> None:
    paid = local.paid(pay_type, txamt=PRICE)
    call = receiver.wait(paid["out_trade_no"])[0]
    assert (call.members["txamt"], call.members["txcurrcd"]) == (PRICE, currency_of(local))


@pytest.mark.parametrize("pay_type", ["800151", "800201"])
def test_an_amount_is_a_whole_number_and_the_currency_the_merchant_s(local: Merchant, pay_type: str) -> None:
    assert local.open(pay_type, txamt="1250.00").respcd == "1104"
    assert local.open(pay_type, txamt=PRICE, txcurrcd="HKD").respcd == "1122"


@pytest.mark.parametrize(
    ("pay_type", "wallet"), [(PayType.ALIPAY_BARCODE, "alipay"), (PayType.WECHAT_BARCODE, "wechat")]
)
def test_the_client_s_amounts_are_those_of_the_wallet(
    local: Merchant, pay_type: PayType, wallet: str
) -> None:
    currency = currency_of(local)
    price = Money.from_major(MAJOR.get(currency, "12.50"), currency)
    order = PaymentOrder(
        pay_type=pay_type, reference=new_reference(), amount=price, auth_code=local.demo.code(wallet)
    )
    with Client(local.demo.gateway, Credentials(local.appcode, local.key, local.mchid)) as client:
        payment = client.payment(order)
        with suppress(OutcomePending):
            client.refund(payment.syssn, new_reference(), Money(499, currency))
        rows = client.query(Filters(syssns=[payment.syssn])).rows
    assert [(row.amount, row.amount.major) for row in rows] == [(price, MAJOR.get(currency, "12.50"))]
    (trade,) = local.demo.trades(payment.syssn)
    assert (trade["amount"], trade["currency"]) == (int(PRICE), currency)


def test_the_cashier_shows_the_amount_as_the_currency_is_written(local: Merchant) -> None:
    opened = urlsplit(str(local.open("800207", txamt=PRICE)["pay_url"]))
    page = send(local.demo.gateway, "GET", opened.path).body.decode()
    currency = currency_of(local)
    assert f"{currency} {MAJOR.get(currency, '12.50')}" in re.sub(r"\s+", " ", re.sub("<[^>]+>", " ", page))
