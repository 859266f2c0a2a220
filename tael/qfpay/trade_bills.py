"""/download/v1/trade_bill in QFPay's terms: the day and merchants of a bill, and its columns. Pure.

A row has the members of a row of /trade/v1/query, and what a bookkeeper needs besides. Readers raise BadField, and
TaelError for a merchant that may not be served.
"""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date, datetime
from decimal import Decimal
from typing import Any, Final

from tael.base.money import Money, major_text
from tael.ledger.domain.digest import first_open_day
from tael.ledger.domain.entries import Entry, EntryKind
from tael.merchants.credential_cache import AppContext, check_state
from tael.merchants.domain.merchant import App, Merchant, MerchantState
from tael.payments.domain.payment import Payment
from tael.payments.store.transactions import RefundTransaction, Transaction
from tael.qfpay import fields
from tael.qfpay.answers import Members, row
from tael.qfpay.errors import BadField
from tael.settlement.exports import Cell

MAX_MERCHANTS: Final = 100


@dataclass(frozen=True, slots=True)
class TradeBill:
    """The bill of one day in UTC+8 about these merchants."""

    day: date
    merchants: tuple[Merchant, ...]


def read_trade_bill(params: Mapping[str, str], context: AppContext, now: datetime) -> TradeBill:
    """Without an mchid, of all merchants of the app that may take payments."""
    day = fields.day(params, "trade_date", ("trade_date",), fields.DAY_WITH_DASHES)
    if day >= first_open_day(now):
        raise BadField.malformed("trade_date", "must be a day that ended at least an hour ago, in UTC+8")
    return TradeBill(day, _merchants(fields.mchid(params), context))


def _merchants(mchid: str, context: AppContext) -> tuple[Merchant, ...]:
    if mchid:
        merchant = context.merchant_of(mchid)
        check_state(context.app, merchant)
        return (merchant,)
    found = [each for each in context.merchants.values() if each.state is MerchantState.ACTIVE]
    if len(found) > MAX_MERCHANTS:
        raise BadField.malformed("mchid", f"is required: the app has more than {MAX_MERCHANTS} merchants")
    return tuple(sorted(found, key=lambda merchant: merchant.mchid))


@dataclass(frozen=True, slots=True)
class BillRow:
    """A payment or refund: its members of a query's row and further ones, and amounts in major units."""

    members: Members
    amount: Decimal
    fee: Decimal  #: ours, of a payment; of a refund the part that is returned


def bill_rows(
    transactions: Iterable[Transaction], app: App, more: Mapping[str, Members], entries: Iterable[Entry]
) -> list[BillRow]:
    """`more` are additional members by syssn, `entries` those of the transactions in the ledger."""
    shown = replace(app, include_currency=True, include_goods_name=True)
    fees = {each.cause: each.amount for each in entries if each.kind in (EntryKind.FEE, EntryKind.FEE_BACK)}
    return [_bill_row(each, shown, more, fees) for each in transactions]


def _bill_row(
    transaction: Transaction, app: App, more: Mapping[str, Members], fees: Mapping[str, Money]
) -> BillRow:
    subject = transaction.refund if isinstance(transaction, RefundTransaction) else transaction
    refunded = str(subject.refunded_minor) if isinstance(subject, Payment) else ""
    own = {"state": subject.state.value, "refunded_amt": refunded}
    members = {"origssn": "", **row(transaction, app, more), **own}
    fee = fees.get(subject.syssn, Money(0, subject.amount.currency))
    return BillRow(members, Decimal(major_text(subject.amount)), Decimal(major_text(fee)))


class BillColumns:
    """CSV and JSON have the same names. Amounts of the API are minor units; `amount` and `fee` are major units."""

    name = "data"
    headings: Sequence[str] = (
        *("sysdtm", "order_type", "syssn", "origssn", "out_trade_no", "pay_type", "txamt", "txcurrcd"),
        *("amount", "fee", "state", "respcd", "errmsg", "cancel", "refunded_amt", "paydtm"),
        *("date_settlement", "refundable_until", "chnlsn", "cardcd", "txdtm", "goods_name"),
    )
    printed = headings
    numbers: Collection[str] = frozenset({"amount", "fee"})

    def cells(self, row: BillRow) -> Sequence[Cell]:
        values = {**row.members, "amount": row.amount, "fee": row.fee}
        return [values[name] for name in self.headings]

    def members(self, row: BillRow) -> Mapping[str, Any]:
        values = {**row.members, "amount": f"{row.amount:f}", "fee": f"{row.fee:f}"}
        return {name: values[name] for name in self.headings}


COLUMNS: Final = BillColumns()
