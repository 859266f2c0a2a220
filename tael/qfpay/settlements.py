"""Settlements in QFPay's terms: /settlement/v1/query, and what a row of /trade/v1/query may have of them. Pure.

Readers raise BadField.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Final

from tael.base.moments import UTC8, moment_text
from tael.base.pay_types import Wallet
from tael.channels.statements import LineType
from tael.merchants.domain.account import Account
from tael.payments.domain.payment import Payment, State
from tael.payments.domain.refund import RefundState
from tael.payments.store.transactions import RefundTransaction, Transaction
from tael.qfpay import codes, fields
from tael.qfpay.answers import Members
from tael.qfpay.errors import BadField
from tael.qfpay.requests import AuthenticatedRequest
from tael.statements.domain.remittance import Remittance
from tael.statements.store.settlements import SettledTrade

MAX_DAYS: Final = 366
MAX_SETTLEMENTS: Final = 1000
#: `paymethod`: the number in a request, and the text in a response.
WALLETS: Final = {"2": Wallet.ALIPAY, "3": Wallet.WECHAT}
TEXTS: Final = {Wallet.ALIPAY: "支付宝", Wallet.WECHAT: "微信"}


# ---- /settlement/v1/query ----------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class SettlementQuery:
    """Which settlements: of these accounts, from `first` to `last`, days in UTC+8, both included."""

    mchid: str
    accounts: tuple[Account, ...]
    first: date
    last: date


def read_settlement_query(request: AuthenticatedRequest) -> SettlementQuery:
    params, mchid = request.params, request.merchant.mchid
    first = fields.day(params, "date_start", fields.DATE_START)
    last = fields.day(params, "date_end", fields.DATE_END)
    if last < first:
        raise BadField.malformed("date_end", "must not be before date_start")
    if last - first >= timedelta(days=MAX_DAYS):
        raise BadField.malformed("date_end", f"must be within {MAX_DAYS} days, date_start included")
    number = params.get("paymethod", "")
    if number and number not in WALLETS:
        raise BadField.malformed("paymethod", "must be 2 (Alipay) or 3 (WeChat Pay)")
    accounts = tuple(
        each
        for each in request.context.accounts
        if each.mchid == mchid and (not number or each.wallet is WALLETS[number])
    )
    return SettlementQuery(mchid, accounts, first, last)


def settlements_answer(remittances: Sequence[Remittance], accounts: Iterable[Account]) -> Members:
    """`accounts` are those of the query. More than `MAX_SETTLEMENTS` remittances raise BadField: none is left out."""
    if len(remittances) > MAX_SETTLEMENTS:
        raise BadField.malformed(
            "date_end", f"must be closer to date_start: there are more than {MAX_SETTLEMENTS} settlements"
        )
    by_id = {account.account_id: account for account in accounts}
    data = [_settlement(each, by_id[each.account_id]) for each in remittances]
    return {"respcd": codes.OK, "respmsg": "", "resperr": "", "data": data}


def _settlement(remittance: Remittance, account: Account) -> Members:
    """`date_start` is the first day of the trades and `date_end` the last. The documentation's comments swap them."""
    return {
        "chnl_mch_id": account.merchant_number,
        "refund_amt": remittance.refunded_minor,
        "date_settlement": remittance.settled_on.isoformat(),
        "paymethod": TEXTS[account.wallet],
        "date_start": remittance.trades_from.isoformat(),
        "date_end": remittance.trades_to.isoformat(),
        "currency": remittance.currency,
        "pay_amt": remittance.paid_minor,
        "pay_net_amt": remittance.paid_minor - remittance.refunded_minor,
        "chnl_poundage_amt": remittance.fee_minor,
        "settlement_amt": remittance.net_minor,
    }


# ---- rows of /trade/v1/query -------------------------------------------------------------------------------


def executed_trades(transactions: Iterable[Transaction]) -> list[SettledTrade]:
    """The payments and refunds that a wallet may have settled."""
    found: list[SettledTrade] = []
    for transaction in transactions:
        at = _executed_at(transaction)
        if at is not None:
            type_ = LineType.REFUND if isinstance(transaction, RefundTransaction) else LineType.PAYMENT
            subject = transaction.refund if isinstance(transaction, RefundTransaction) else transaction
            day = at.astimezone(UTC8).date()
            found.append(SettledTrade(subject.syssn, type_, subject.account_id, day))
    return found


def _executed_at(transaction: Transaction) -> datetime | None:
    """When the money moved; None if it did not."""
    if isinstance(transaction, RefundTransaction):
        refund = transaction.refund
        return (refund.done_at or refund.changed_at) if refund.state is RefundState.DONE else None
    return (transaction.paid_at or transaction.changed_at) if transaction.state is State.PAID else None


def settlement_members(
    transactions: Iterable[Transaction], days: Mapping[str, date], accounts: Iterable[Account]
) -> dict[str, Members]:
    """The additional members of each row, by syssn. `days` are those of settlement, `accounts` all of the app."""
    windows = {each.account_id: timedelta(days=each.refund_window_days) for each in accounts}
    return {
        syssn: {
            "date_settlement": days[syssn].isoformat() if syssn in days else "",
            "refundable_until": _refundable_until(transaction, windows),
        }
        for syssn, transaction in ((_syssn(each), each) for each in transactions)
    }


def _syssn(transaction: Transaction) -> str:
    return transaction.refund.syssn if isinstance(transaction, RefundTransaction) else transaction.syssn


def _refundable_until(transaction: Transaction, windows: Mapping[str, timedelta]) -> str:
    """The end of the wallet's refund window of a paid payment, whether or not something is left to refund."""
    if not isinstance(transaction, Payment) or transaction.state is not State.PAID:
        return ""
    at, window = transaction.paid_at, windows.get(transaction.account_id)
    return "" if at is None or window is None else moment_text(at + window)
