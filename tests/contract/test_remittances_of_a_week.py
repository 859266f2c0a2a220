"""A week at both wallets: what they remit is what their own books have, to the minor unit, in every currency.

The books of the control API have prices and refunds. What they become in the currency of settlement, and the fees, are
computed here, from the sandbox's fixed rates and its documented rounding.
"""

from dataclasses import dataclass, field
from datetime import date, timedelta
from fractions import Fraction
from io import BytesIO
from typing import Final

import pytest

from tael.base.clock import DemoClock
from tael.base.moments import UTC8
from tael.base.money import Money
from tael.base.transport import Transport
from tael.channels.alipay_mapi.account import AlipayAccount
from tael.channels.alipay_mapi.adapter import AlipayMapi
from tael.channels.alipay_mapi.statements import STATEMENTS as ALIPAY
from tael.channels.base import Channel, ChannelOrder, ChannelRefund
from tael.channels.outcomes import Paid, Refunded, RefundPending, Reversed
from tael.channels.statements import (
    Downloaded,
    EmptyDay,
    LineType,
    RemittedBatch,
    StatementContent,
    StatementKind,
)
from tael.channels.wechat_v2.account import WeChatAccount
from tael.channels.wechat_v2.adapter import WeChatV2
from tael.channels.wechat_v2.statements import STATEMENTS as WECHAT
from tael.statements.domain.remittance import RemittanceBuilder, batches_of
from tael.statements.domain.statement import SummaryBuilder
from tael.statements.files import read_file
from tests.contract.test_alipay_channel import account_of as alipay_account
from tests.contract.test_alipay_channel import new_number
from tests.contract.test_wechat_channel import account_of as wechat_account
from tests.support import alipay, wechat
from tests.support.sandbox import RunningSandbox

DAY_S: Final = 86_400
ONE_DAY: Final = timedelta(days=1)
#: What a major unit is in CNY, and the decimals.
RATES: Final = {
    "CNY": ("1", 2),
    "HKD": ("0.9123", 2),
    "USD": ("7.1034", 2),
    "JPY": ("0.0482", 0),
    "KRW": ("0.0052", 0),
}
#: Prices whose parts and fees are not whole minor units.
PRICES: Final = {"CNY": 1234, "HKD": 8887, "USD": 321, "JPY": 777, "KRW": 12_347}


def half_up(amount: Fraction) -> int:
    return (2 * amount.numerator + amount.denominator) // (2 * amount.denominator)


def converted(minor: int, source: str, target: str) -> int:
    (from_rate, from_decimals), (to_rate, to_decimals) = RATES[source], RATES[target]
    in_cny = Fraction(minor, 10**from_decimals) * Fraction(from_rate)
    return half_up(in_cny / Fraction(to_rate) * 10**to_decimals)


@dataclass
class Week:
    """One account of a wallet, and what was paid with it."""

    sandbox: RunningSandbox
    clock: DemoClock
    channel: Channel
    account: WeChatAccount | AlipayAccount
    fee_ppm: int
    reversed: set[str] = field(default_factory=set)
    paid_on: dict[str, date] = field(default_factory=dict)

    def today(self) -> date:
        return self.clock.now().astimezone(UTC8).date()

    async def pay(self, currency: str) -> ChannelOrder:
        amount, syssn, at = Money(PRICES[currency], currency), new_number(), self.clock.now()
        if isinstance(self.account, WeChatAccount):
            code = await self.sandbox.code("wechat")
            order = wechat.order("800208", self.account, syssn=syssn, at=at, notice_url="", auth_code=code)
        else:
            code = await self.sandbox.code("alipay")
            order = alipay.alipay_order(
                "800108", self.account, syssn=syssn, created_at=at, notice_url="", auth_code=code
            )
        order = order.replace(amount=amount)
        assert isinstance(await self.channel.open(order), Paid)
        self.paid_on[syssn] = self.today()
        return order

    async def refund(self, order: ChannelOrder, minor: int) -> None:
        amount = Money(minor, order.amount.currency)
        refund = ChannelRefund(order, new_number(), amount, self.clock.now(), "")
        assert isinstance(await self.channel.refund(refund), Refunded | RefundPending)

    async def reverse(self, order: ChannelOrder) -> None:
        assert isinstance(await self.channel.reverse(order), Reversed)
        self.reversed.add(order.syssn)

    async def content_of(self, day: date, kind: StatementKind) -> StatementContent:
        assert self.channel.statements is not None
        target = BytesIO()
        outcome = await self.channel.statements.download(self.account, day, kind, target)
        assert outcome in (Downloaded(), EmptyDay())
        target.seek(0)
        form = WECHAT if isinstance(self.account, WeChatAccount) else ALIPAY
        return form.read(read_file(target).lines())

    async def billed_on(self, day: date) -> int:
        """What the lines of the bill are in the currency of settlement, paid less returned."""
        lines = list((await self.content_of(day, StatementKind.TRANSACTIONS)).lines)
        amounts = [(line, line.settlement or line.amount) for line in lines]
        assert {amount.currency for _, amount in amounts} == {self.account.currency}
        return sum(
            amount.amount_minor if line.type is LineType.PAYMENT else -amount.amount_minor
            for line, amount in amounts
        )

    async def remitted_on(self, day: date) -> list[RemittedBatch]:
        content = await self.content_of(day, StatementKind.SETTLEMENT)
        summary, sums = (
            SummaryBuilder(self.account.identity, StatementKind.SETTLEMENT, day),
            RemittanceBuilder(),
        )
        for line in content.lines:
            summary.add(line)
            sums.add(line)
        return list(batches_of(content, sums, summary.finish()))

    async def expected(self) -> tuple[int, int, int]:
        """Paid, refunded and fee in the currency of the account, from the wallet's own book."""
        trades = {row["order"]: row for row in (await self.sandbox.control("book"))["trades"]}
        paid = refunded = fee = 0
        for order in self.paid_on:
            row, currency = trades[order], self.account.currency
            whole = converted(row["amount"], row["currency"], currency)
            back_minor = row["amount"] if order in self.reversed else row["refunded"]
            back = converted(back_minor, row["currency"], currency)
            # Alipay returns its fee with a cancelled payment only.
            is_fee_returned = isinstance(self.account, WeChatAccount) or order in self.reversed
            paid, refunded = paid + whole, refunded + back
            fee += self.fee(whole) - (self.fee(back) if is_fee_returned else 0)
        return paid, refunded, fee

    def fee(self, minor: int) -> int:
        return half_up(Fraction(minor * self.fee_ppm, 1_000_000))


def week_at(wallet: str, shop: str, sandbox: RunningSandbox, transport: Transport) -> Week:
    clock, gateway = DemoClock(sandbox.clock_file), f"{sandbox.http}/gateway.do"
    row = sandbox.account(wallet, shop, "both" if wallet == "wechat" else "offline")
    fee_ppm = int(Fraction(row["fee_rate"].rstrip("%")) * 10_000)
    if wallet == "wechat":
        channel: Channel = WeChatV2(transport, clock, base_url=row["base_url"], ca_pem=row["ca_pem"])
        return Week(sandbox, clock, channel, wechat_account(row), fee_ppm)
    channel = AlipayMapi(transport, clock, gateway_url=gateway, instore_url=gateway)
    return Week(sandbox, clock, channel, alipay_account(row), fee_ppm)


async def next_friday(week: Week) -> None:
    """Noon of a Friday, on a day without other payments."""
    now = week.clock.now().astimezone(UTC8)
    noon = now.replace(hour=12, minute=0, second=0, microsecond=0) + 2 * ONE_DAY
    while noon.isoweekday() != 5:
        noon += ONE_DAY
    await week.sandbox.advance((noon - now).total_seconds())


@pytest.mark.parametrize(("wallet", "shop"), [("wechat", "demo"), ("wechat", "in_jpy"), ("alipay", "demo")])
async def test_the_remittances_of_a_week_are_the_wallets_book(
    sandbox: RunningSandbox, transport: Transport, wallet: str, shop: str
) -> None:
    week = week_at(wallet, shop, sandbox, transport)
    await next_friday(week)
    first = week.today()
    currencies = list(RATES) if wallet == "wechat" else [week.account.currency]
    earlier: ChannelOrder | None = None
    for number in range(7):
        currency = currencies[number % len(currencies)]
        parts = await week.pay(currency)
        for _ in range(2):
            await week.refund(parts, parts.amount.amount_minor // 3)
            await sandbox.advance(4)  # Alipay wants 3 s between refunds
        if earlier is not None:
            await week.refund(earlier, earlier.amount.amount_minor // 7)
        earlier = await week.pay(currency)
        if number % 2:
            undone = await week.pay(currency)
            await sandbox.advance(20)
            await week.reverse(undone)
        await sandbox.advance(DAY_S)
    await sandbox.advance(6 * DAY_S)

    remitted = [batch for day in range(12) for batch in await week.remitted_on(first + day * ONE_DAY)]

    assert {batch.currency for batch in remitted} == {week.account.currency}
    found = tuple(
        sum(getattr(batch, f"{name}_minor") for batch in remitted) for name in ("paid", "refunded", "fee")
    )
    assert found == await week.expected()
    # So what a bill converts into the currency of settlement is what the remittances take out of it.
    assert sum([await week.billed_on(first + day * ONE_DAY) for day in range(7)]) == found[0] - found[1]
    assert all(batch.paid_minor > 0 for batch in remitted)
    spans = [(batch.trades_from, batch.trades_to, batch.settled_on) for batch in remitted]
    if wallet == "wechat":  # each day on the next one
        days = [first + day * ONE_DAY for day in range(7)]
        assert spans == [(day, day, day + ONE_DAY) for day in days]
    else:  # Friday to Sunday on Monday
        monday = first + 3 * ONE_DAY
        assert spans[0] == (first, monday - ONE_DAY, monday)
        assert [span[0] for span in spans[1:]] == [monday + day * ONE_DAY for day in range(4)]
