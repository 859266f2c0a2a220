"""Every change of a trade's state, with its movement of money and its notice.

Payers pay and get back CNY, payers of AlipayHK HKD. A refund in CNY uses the payment's rate, and the last refund takes
the remainder, so the whole payment is returned to the cent.
"""

from datetime import timedelta
from typing import Final

from tael_sandbox import payers, rates
from tael_sandbox.alipay.notices import queue_trade_notice
from tael_sandbox.alipay.payment_inst import ALIPAY, charge_of, hkd_returned
from tael_sandbox.alipay.preconditions import Preconditions
from tael_sandbox.alipay.trades import (
    CLOSED,
    FINISHED,
    SUCCESS,
    WAITING,
    Trade,
    due_trades,
    new_trade_no,
    update_trade,
)

REFUND_WINDOW: Final = timedelta(days=365)

PAID, CLOSING, REFUNDING = "payByAccountAction", "closeTradeAction", "refundFPAction"
REVERSING, FINISHING = "reverseAction", "finishFPAction"


def begin_trade(preconditions: Preconditions, trade: Trade, payer: str) -> Trade:
    """Creates the trade at Alipay, where it waits for its payer. Does nothing if it exists."""
    if trade.exists:
        return trade
    trade_no = new_trade_no(preconditions.connection, preconditions.now)
    return update_trade(
        preconditions.connection,
        trade,
        state=WAITING,
        trade_no=trade_no,
        payer=payer,
        created_at=preconditions.now.timestamp(),  # before, there was only a link or a code
        due_at=trade.last_pay_at,
    )


def pay(preconditions: Preconditions, trade: Trade, payer: str, at: float) -> Trade | None:
    """Debits the payer. None, with nothing changed, if the balance is too low."""
    charge = charge_of(trade, payers.payer_by_name(preconditions.connection, payer))
    if not payers.debit(preconditions.connection, payer, charge):
        return None
    paid = update_trade(
        preconditions.connection,
        trade,
        state=SUCCESS if trade.is_in_store else FINISHED,
        payer=payer,
        paid_at=at,
        due_at=at + REFUND_WINDOW.total_seconds() if trade.is_in_store else None,
    )
    queue_trade_notice(preconditions, paid, PAID)
    return paid


def close(preconditions: Preconditions, trade: Trade, at: float, cancel_action: str | None = None) -> Trade:
    """Closes an unpaid trade."""
    closed = update_trade(
        preconditions.connection, trade, state=CLOSED, closed_at=at, due_at=None, cancel_action=cancel_action
    )
    queue_trade_notice(preconditions, closed, CLOSING)
    return closed


def return_money(
    preconditions: Preconditions, trade: Trade, amount_minor: int, cancel_action: str | None = None
) -> Trade:
    """Refunds a paid trade, which closes once it is fully refunded. `amount_minor` is in the price's currency."""
    now = preconditions.now.timestamp()
    is_all = amount_minor == trade.refundable_minor
    assert trade.payer is not None
    payer = payers.payer_by_name(preconditions.connection, trade.payer)
    payers.credit(preconditions.connection, payer.payer, returned_to(trade, payer, amount_minor))
    returned = update_trade(
        preconditions.connection,
        trade,
        refunded_minor=trade.refunded_minor + amount_minor,
        refunded_cny=trade.refunded_cny + cny_of(trade, amount_minor),
        refunded_at=now,
        state=CLOSED if is_all else trade.state,
        closed_at=now if is_all else None,
        due_at=None if is_all else trade.due_at,
        cancel_action=cancel_action,
    )
    if is_all:
        queue_trade_notice(preconditions, returned, REVERSING if cancel_action else REFUNDING)
    return returned


def returned_to(trade: Trade, payer: payers.Payer, amount_minor: int) -> int:
    """What a refund of this amount would return to the payer now, in minor units of the payer's own currency."""
    if payer.wallet == ALIPAY:
        return cny_of(trade, amount_minor)
    return hkd_returned(trade, payer, amount_minor)


def cny_of(trade: Trade, amount_minor: int) -> int:
    """The CNY of a refund of this amount, if it is made now."""
    left_cny = trade.cny_minor - trade.refunded_cny
    if amount_minor == trade.refundable_minor:
        return left_cny
    return min(rates.to_cny_minor(amount_minor, trade.price_currency), left_cny)


def apply_due_changes(preconditions: Preconditions) -> None:
    """Applies delayed payments, expiries and ends of refund windows that are due, each with its own time."""
    while due := due_trades(preconditions.connection, preconditions.now):
        for trade in due:
            _change_by_time(preconditions, trade)


def _change_by_time(preconditions: Preconditions, trade: Trade) -> None:
    assert trade.due_at is not None
    if trade.state == SUCCESS:
        finished = update_trade(preconditions.connection, trade, state=FINISHED, due_at=None)
        queue_trade_notice(preconditions, finished, FINISHING)
    elif (
        trade.due_at < trade.last_pay_at and trade.payer is not None
    ):  # the payer finished typing the password
        if pay(preconditions, trade, trade.payer, trade.due_at) is None:
            update_trade(preconditions.connection, trade, due_at=trade.last_pay_at)
    else:
        close(preconditions, trade, trade.due_at)
