"""Alipay's channel with contracts in other currencies: payments and refunds are exact to the unit."""

from typing import Any, Final
from urllib.parse import parse_qs, parse_qsl, urlsplit

import pytest

from tael.base.clock import DemoClock
from tael.base.money import Money
from tael.base.transport import Transport
from tael.channels.alipay_mapi.adapter import AlipayMapi
from tael.channels.base import ChannelOrder, PaymentNotice
from tael.channels.outcomes import AwaitingPayer, Closed, Paid, PayLink, Refunded, Refusal, Refused, Reversed
from tests.contract.test_alipay_channel import account_of, new_number, refund_of, state_of
from tests.support import alipay
from tests.support.sandbox import Listener, RunningSandbox

#: A price of 1,250 units as Alipay writes it.
WRITTEN: Final = {"JPY": "1250", "KRW": "1250", "USD": "1250.00", "CNY": "1250.00"}


@pytest.fixture(params=WRITTEN)
def price(request: pytest.FixtureRequest) -> Money:
    currency = str(request.param)
    return Money(1250 if currency in ("JPY", "KRW") else 125_000, currency)


@pytest.fixture
def clock(sandbox: RunningSandbox) -> DemoClock:
    return DemoClock(sandbox.clock_file)


@pytest.fixture
def channel(sandbox: RunningSandbox, transport: Transport, clock: DemoClock) -> AlipayMapi:
    gateway = f"{sandbox.http}/gateway.do"
    return AlipayMapi(transport, clock, gateway_url=gateway, instore_url=gateway)


def order_of(
    sandbox: RunningSandbox, clock: DemoClock, listener: Listener, price: Money, pay_type: str, **known: Any
) -> ChannelOrder:
    scene = "offline" if pay_type == "800108" else "online"
    account = account_of(sandbox.account("alipay", f"in_{price.currency.lower()}", scene))
    return alipay.alipay_order(
        pay_type,
        account,
        amount=price,
        syssn=new_number(),
        created_at=clock.now(),
        notice_url=f"{listener.url}/notices/alipay/acc1",
        **known,
    )


@pytest.mark.parametrize("pay_type", ["800151", "800152"])
async def test_an_online_order_is_paid_and_refunded_to_the_unit(
    channel: AlipayMapi,
    sandbox: RunningSandbox,
    clock: DemoClock,
    listener: Listener,
    price: Money,
    pay_type: str,
) -> None:
    order = order_of(sandbox, clock, listener, price, pay_type)
    opened = await channel.open(order)
    assert isinstance(opened, AwaitingPayer)
    assert isinstance(opened.pay, PayLink)
    assert parse_qs(urlsplit(opened.pay.url).query)["total_fee"] == [WRITTEN[price.currency]]
    done = await sandbox.control("confirm", {"url": opened.pay.url, "action": "pay"})
    returned = dict(parse_qsl(urlsplit(done["return_to"]).query))
    assert channel.read_return(order.account, returned) == order.syssn
    notice = await channel.read_notice(order.account, {}, await listener.next())
    assert isinstance(notice, PaymentNotice)
    assert isinstance(notice.outcome, Paid)
    assert notice.outcome.amount == price
    assert isinstance(await channel.query(order), Paid)
    assert isinstance(await channel.close(order), Paid)

    assert isinstance(await channel.refund(refund_of(order, 1, clock)), Refunded)
    much = await channel.refund(refund_of(order, price.amount_minor, clock))
    assert much == Refused(Refusal.ABOVE_REMAINDER, "RETURN_AMOUNT_EXCEED")
    rest = refund_of(order, price.amount_minor - 1, clock)
    assert isinstance(await channel.refund(rest), Refunded)
    assert isinstance(await channel.query_refund(rest), Refunded)
    assert await state_of(sandbox, order) == ("TRADE_CLOSED", price.amount_minor)


async def test_an_unpaid_order_is_closed(
    channel: AlipayMapi, sandbox: RunningSandbox, clock: DemoClock, listener: Listener, price: Money
) -> None:
    order = order_of(sandbox, clock, listener, price, "800151")
    opened = await channel.open(order)
    assert isinstance(opened, AwaitingPayer)
    assert isinstance(opened.pay, PayLink)
    await sandbox.control("scan", {"url": opened.pay.url})
    assert isinstance(await channel.close(order), Closed)


async def test_a_barcode_is_paid_refunded_and_reversed_to_the_unit(
    channel: AlipayMapi, sandbox: RunningSandbox, clock: DemoClock, listener: Listener, price: Money
) -> None:
    order, other = [
        order_of(sandbox, clock, listener, price, "800108", auth_code=await sandbox.code("alipay"))
        for _ in range(2)
    ]
    paid = await channel.open(order)
    assert isinstance(paid, Paid)
    assert paid.amount == price
    assert await channel.query(order) == paid
    notice = await channel.read_notice(order.account, {}, await listener.next())
    assert notice == PaymentNotice(order.syssn, paid)
    for amount_minor in (1, price.amount_minor - 1):
        done = await channel.refund(refund_of(order, amount_minor, clock))
        assert done == Refunded(Money(amount_minor, price.currency), "", None)
    assert await state_of(sandbox, order) == ("TRADE_CLOSED", price.amount_minor)

    assert isinstance(await channel.open(other), Paid)
    assert isinstance(await channel.reverse(other), Reversed)
    assert await state_of(sandbox, other) == ("TRADE_CLOSED", price.amount_minor)
