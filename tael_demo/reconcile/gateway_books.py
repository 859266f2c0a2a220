"""The gateway's side of a plan: one app with its merchants and accounts, and the rows that their trade has left.

Rows are values of the gateway's own dataclasses in their final states, and are written with COPY. Nothing is read from
the wallets but their accounts.
"""

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any, Final

from tael.base import ids
from tael.base.moments import UTC8
from tael.base.money import Money
from tael.base.pay_types import PAY_TYPES
from tael.base.secret import Secret
from tael.channels.outcomes import ReversalAction
from tael.db.database import Database
from tael.db.tables import Table
from tael.ledger.domain.entries import Entry
from tael.ledger.store.entries import ENTRY
from tael.merchants.domain.account import Account
from tael.merchants.domain.merchant import App, Merchant
from tael.operations.store import Store
from tael.payments.domain.entries import (
    fee_back_entries,
    fee_entries,
    payment_entry,
    refund_entry,
    reversal_entry,
)
from tael.payments.domain.payment import Payment, State
from tael.payments.domain.refund import Refund, RefundState
from tael.payments.domain.reversal import Reversal, ReversalState
from tael.payments.store.rows import PAYMENT, REFUND, REVERSAL
from tael_demo.reconcile.plan import Event, TradePlan
from tael_demo.seed import DemoApp, account_of, origin_of_demo

PAY_TYPE: Final = {"alipay": "800108", "wechat": "800208"}
WALLET: Final = {"alipay_mapi": "alipay", "wechat_v2": "wechat"}
SUBJECT: Final = "Order"
LIFETIME: Final = timedelta(minutes=2)

References = list[tuple[str, str, str | None, str | None]]


@dataclass(frozen=True, slots=True)
class TradingAccounts:
    """The app, with its merchants in the plan's order, and the account of each merchant and wallet."""

    app: DemoApp
    accounts: Mapping[tuple[int, str], Account]


@dataclass(slots=True)
class Rows:
    """What is written. `refunded_before` has a value for each refund, in their order."""

    payments: dict[str, Payment] = field(default_factory=dict)
    refunds: list[Refund] = field(default_factory=list)
    refunded_before: list[int] = field(default_factory=list)
    reversals: list[Reversal] = field(default_factory=list)
    entries: list[Entry] = field(default_factory=list)


async def add_merchants(
    store: Store, plan: TradePlan, wallet_accounts: Sequence[Mapping[str, Any]], now: datetime
) -> TradingAccounts:
    """Adds the app, its merchants, and their accounts as the sandbox's control API lists them."""
    origin = origin_of_demo(now)
    app = App(appcode=ids.appcode(), key=Secret(ids.key()), notify_url=None, return_url=None)
    await store.merchants.add_app(app, origin)
    accounts: dict[tuple[int, str], Account] = {}
    mchids = tuple(ids.mchid() for _ in plan.merchants)
    for place, (planned, mchid) in enumerate(zip(plan.merchants, mchids, strict=True)):
        merchant = Merchant(mchid, app.appcode, planned.name, planned.currency)
        await store.merchants.add_merchant(merchant, origin)
        for row in wallet_accounts:
            if row["shop"] == planned.label:
                account = replace(account_of(dict(row), mchid), wallet_fee_rate_ppm=_ppm(row["fee_rate"]))
                await store.accounts.add(account, origin)
                accounts[place, WALLET[account.protocol]] = account
    return TradingAccounts(DemoApp(app, mchids), accounts)


def rows_of(plan: TradePlan, trading: TradingAccounts) -> Rows:
    """The gateway's rows after all events of the plan."""
    rows = Rows()
    for event in plan.events:
        account = trading.accounts[event.merchant, event.wallet]
        match event.kind:
            case "payment":
                currency = plan.merchants[event.merchant].currency
                _add_payment(rows, _payment(event, account, currency, trading.app.app.appcode))
            case "refund":
                _add_refund(rows, _refund(event, rows.payments[event.order]))
            case "reversal":
                _add_reversal(rows, _reversal(event, rows.payments[event.order]))
    return rows


async def write(database: Database, rows: Rows) -> None:
    """Inserts everything, in the order of the tables' dependence."""
    async with database.connection(is_long=True) as connection:
        await connection.copy_records_to_table(
            "reference",
            records=list(_references(rows)),
            columns=("mchid", "reference", "payment_syssn", "refund_syssn"),
        )
        refunds = zip(_records(REFUND, rows.refunds), rows.refunded_before, strict=True)
        for table, records, more in (
            (PAYMENT, _records(PAYMENT, rows.payments.values()), ()),
            (REFUND, [(*record, before) for record, before in refunds], ("refunded_before_minor",)),
            (REVERSAL, _records(REVERSAL, rows.reversals), ()),
            (ENTRY, _records(ENTRY, rows.entries), ()),
        ):
            columns = (*table.columns, *more)
            await connection.copy_records_to_table(table.name, records=records, columns=columns)


def _records(table: Table[Any], rows: Any) -> list[tuple[object, ...]]:
    return [tuple(table.values(row, table.columns)) for row in rows]


def _references(rows: Rows) -> Iterator[tuple[str, str, str | None, str | None]]:
    for payment in rows.payments.values():
        yield payment.mchid, payment.reference, payment.syssn, None
    for refund in rows.refunds:
        yield refund.mchid, refund.reference, None, refund.syssn


def _add_payment(rows: Rows, payment: Payment) -> None:
    rows.payments[payment.syssn] = payment
    at = payment.changed_at
    rows.entries += [payment_entry(payment, at), *fee_entries(payment, at)]


def _add_refund(rows: Rows, refund: Refund) -> None:
    payment = rows.payments[refund.payment_syssn]
    before, amount, at = payment.refunded_minor, refund.amount.amount_minor, refund.changed_at
    rows.refunds.append(refund)
    rows.refunded_before.append(before)
    rows.entries += [
        refund_entry(payment, refund, at),
        *fee_back_entries(payment, refund.syssn, before, amount, at),
    ]
    rows.payments[payment.syssn] = payment.replace(
        refunded_minor=before + amount, refund_count=payment.refund_count + 1
    )


def _add_reversal(rows: Rows, reversal: Reversal) -> None:
    payment = rows.payments[reversal.payment_syssn]
    at, amount = reversal.changed_at, payment.amount.amount_minor
    rows.reversals.append(reversal)
    rows.entries += [
        reversal_entry(payment, reversal.syssn, at),
        *fee_back_entries(payment, reversal.syssn, 0, amount, at),
    ]
    rows.payments[payment.syssn] = payment.replace(
        refunded_minor=amount, is_reversed=True, reversal_syssn=reversal.syssn
    )


def _payment(event: Event, account: Account, currency: str, appcode: str) -> Payment:
    opened, paid = _instant(event.our_at), _instant(event.at)
    return Payment(
        mchid=account.mchid,
        syssn=event.number,
        appcode=appcode,
        pay_type=PAY_TYPES[PAY_TYPE[event.wallet]],
        reference=f"order-{event.number}",
        amount=Money(event.amount_minor, currency),
        account_id=account.account_id,
        protocol=account.protocol,
        content=hashlib.sha256(event.number.encode()).hexdigest(),
        subject=SUBJECT,
        openid="",
        client_time=_client_time(opened),
        device="",
        notify_merchant=False,
        created_at=opened,
        changed_at=paid,
        expires_at=opened + LIFETIME,
        deadline=opened + LIFETIME,
        check_at=None,
        state=State.PAID,
        has_initial_response=True,
        wallet_ref=event.wallet_ref,
        paid_at=paid,
        fee_rate_ppm=account.fee_rate_ppm,
        version=2,
    )


def _refund(event: Event, payment: Payment) -> Refund:
    requested, done = _instant(event.at - 1), _instant(event.our_at)
    return Refund(
        mchid=payment.mchid,
        syssn=event.number,
        payment_syssn=payment.syssn,
        account_id=payment.account_id,
        protocol=payment.protocol,
        reference=f"refund-{event.number}",
        amount=Money(event.amount_minor, payment.amount.currency),
        client_time=_client_time(requested),
        device="",
        created_at=requested,
        changed_at=done,
        check_at=None,
        state=RefundState.DONE,
        wallet_ref=event.wallet_ref if event.wallet == "wechat" else "",
        done_at=done,
        version=2,
    )


def _reversal(event: Event, payment: Payment) -> Reversal:
    requested, done = _instant(event.at - 1), _instant(event.our_at)
    return Reversal(
        mchid=payment.mchid,
        syssn=event.number,
        payment_syssn=payment.syssn,
        account_id=payment.account_id,
        protocol=payment.protocol,
        amount_minor=event.amount_minor,
        client_time=_client_time(requested),
        fails_with=None,
        created_at=requested,
        changed_at=done,
        check_at=None,
        state=ReversalState.DONE,
        action=ReversalAction.DONE if event.wallet == "wechat" else ReversalAction.REFUNDED,
        version=2,
    )


def _ppm(percentage: str) -> int:
    """8000 for `0.80%`."""
    return int(Decimal(percentage.removesuffix("%")) * 10_000)


def _instant(at: int) -> datetime:
    return datetime.fromtimestamp(at, UTC)


def _client_time(at: datetime) -> str:
    return at.astimezone(UTC8).strftime("%Y-%m-%d %H:%M:%S")
