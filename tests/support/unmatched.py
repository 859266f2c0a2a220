"""Every case of an unmatched payment, and the wallet's book as the audit reads it."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Final

from tael.audit.domain.wallet_book import WalletBook, WalletTrade
from tael.base.money import Money
from tael.base.pay_types import PAY_TYPES, PayType
from tael.channels.base import ChannelOrder
from tael.incidents.domain.incident import IncidentKind
from tael.payments.context import PaymentContext
from tael.payments.domain.payment import Payment
from tael.payments.wallets import order_for
from tests.support.fake_wallet import FakeWallet, Payer, Trade
from tests.support.values import ALIPAY_ONLINE, BARCODE, ONLINE, a_payment
from tests.support.world import World, close, pay

ALIPAY_BARCODE: Final = PAY_TYPES["800108"]
SECOND_TRADE: Final = "second-trade"


@dataclass(frozen=True, slots=True)
class UnmatchedCase:
    """One case of an unmatched payment. `receive` prepares it and lets the wallet take the money."""

    name: str
    kind: IncidentKind
    amount: Money
    payer: Payer
    receive: Callable[[World, PaymentContext], Awaitable[object]]

    def __str__(self) -> str:
        return self.name


async def after_a_refusal(world: World, gateway: PaymentContext) -> None:
    payment = await pay(gateway, BARCODE, "A")
    world.wallet.take(await gateway.wallets.order(payment))


async def with_another_amount(world: World, gateway: PaymentContext) -> None:
    payment = await pay(gateway, ONLINE, "A")
    await take(world, gateway, payment, Money(99, "HKD"))


async def with_another_amount_after_the_close(world: World, gateway: PaymentContext) -> None:
    payment = await pay(gateway, ONLINE, "A")
    await close(gateway, payment)
    await take(world, gateway, payment, Money(101, "HKD"))


async def in_another_currency(world: World, gateway: PaymentContext) -> None:
    payment = await pay(gateway, ONLINE, "A")
    await take(world, gateway, payment, Money(100, "USD"))


async def twice(world: World, gateway: PaymentContext) -> None:
    payment = await pay(gateway, BARCODE, "A")
    world.wallet.take(await gateway.wallets.order(payment), SECOND_TRADE)


async def for_unmatched_wechat_order(world: World, gateway: PaymentContext) -> None:
    world.wallet.take(await unmatched_order(gateway, "wechat1", ONLINE))


async def for_unmatched_alipay_order(world: World, gateway: PaymentContext) -> None:
    world.wallet.take(await unmatched_order(gateway, "alipay-online", ALIPAY_ONLINE))


async def for_unmatched_alipay_barcode(world: World, gateway: PaymentContext) -> None:
    world.wallet.take(await unmatched_order(gateway, "alipay-offline", ALIPAY_BARCODE))


async def take(world: World, gateway: PaymentContext, payment: Payment, amount: Money) -> None:
    """The wallet takes this amount for the order, whatever its price."""
    world.wallet.take((await gateway.wallets.order(payment)).replace(amount=amount))


async def unmatched_order(gateway: PaymentContext, account_id: str, pay_type: PayType) -> ChannelOrder:
    """An order that another program placed with this account's credentials."""
    account = await gateway.wallets.credentials.account(account_id)
    assert account is not None
    return order_for(a_payment(pay_type, syssn="unmatched-1", amount=Money(700, "HKD")), account, "")


PRICE: Final = Money(100, "HKD")
AFTER_A_REFUSAL: Final = UnmatchedCase(
    "after a refusal", IncidentKind.PAID_AFTER_FAILED, PRICE, Payer.HAS_NO_MONEY, after_a_refusal
)
ANOTHER_AMOUNT: Final = UnmatchedCase(
    "another amount", IncidentKind.WRONG_AMOUNT, Money(99, "HKD"), Payer.WAITS, with_another_amount
)
TWICE: Final = UnmatchedCase("twice", IncidentKind.PAID_TWICE, PRICE, Payer.PAYS, twice)
UNMATCHED_ORDER: Final = UnmatchedCase(
    "unmatched WeChat order",
    IncidentKind.UNKNOWN_ORDER,
    Money(700, "HKD"),
    Payer.WAITS,
    for_unmatched_wechat_order,
)
IN_ANOTHER_CURRENCY: Final = UnmatchedCase(
    "another currency", IncidentKind.WRONG_CURRENCY, Money(100, "USD"), Payer.WAITS, in_another_currency
)
CASES: Final = (
    AFTER_A_REFUSAL,
    ANOTHER_AMOUNT,
    UnmatchedCase(
        "another amount after the close",
        IncidentKind.WRONG_AMOUNT,
        Money(101, "HKD"),
        Payer.WAITS,
        with_another_amount_after_the_close,
    ),
    IN_ANOTHER_CURRENCY,
    TWICE,
    UNMATCHED_ORDER,
    replace(UNMATCHED_ORDER, name="unmatched Alipay order", receive=for_unmatched_alipay_order),
    replace(UNMATCHED_ORDER, name="unmatched Alipay barcode", receive=for_unmatched_alipay_barcode),
)


def wallets_book(wallet: FakeWallet) -> WalletBook:
    """The wallet's book for `tael ledger verify`, read one second after the last event."""
    trades: dict[str, list[WalletTrade]] = {}
    for trade in wallet.trades.values():
        trades.setdefault(trade.order.syssn, []).append(_row(trade))
    return WalletBook(trades, wallet.clock.now() + timedelta(seconds=1))


def _row(trade: Trade) -> WalletTrade:
    return WalletTrade(
        wallet=trade.order.account.wallet,
        order=trade.order.syssn,
        trade=trade.wallet_ref,
        state="SUCCESS" if trade.is_paid else "CLOSED",
        amount_minor=trade.order.amount.amount_minor,
        currency=trade.order.amount.currency,
        refunded_minor=trade.back_minor,
    )
