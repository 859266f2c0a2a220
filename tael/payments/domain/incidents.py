"""Which outcomes of payments, refunds and reversals need manual review. Pure."""

from dataclasses import replace
from datetime import datetime

from tael.base.money import Money
from tael.base.pay_types import Wallet
from tael.channels.outcomes import (
    Closed,
    Outcome,
    Paid,
    Refunded,
    RefundOutcome,
    RefundStuck,
    Refusal,
    Refused,
    ReversalOutcome,
)
from tael.incidents.domain.incident import Incident, IncidentKind, UnmatchedState, digest_of
from tael.merchants.domain.account import Account
from tael.payments.domain.payment import Payment, State
from tael.payments.domain.refund import Refund, RefundState


def incidents_in(before: Payment, outcome: Outcome, *, at: datetime) -> tuple[Incident, ...]:
    """What a person has to look at in this news of a payment; none, as a rule."""
    match outcome:
        case Paid():
            found = _in_paid(before, outcome, at)
        case Closed() if before.state is State.PAID and not (before.reversal_syssn or before.refund_count):
            found = _of_payment(
                before, IncidentKind.CLOSED_THOUGH_PAID, "the wallet closed a paid order", "", at
            )
        case Refused(reason, wallet_code):
            found = _identity(before, reason, wallet_code, at)
        case _:
            found = None
    return (found,) if found else ()


def refund_incidents_in(
    payment: Payment, before: Refund, outcome: RefundOutcome, *, at: datetime
) -> tuple[Incident, ...]:
    """What a person has to look at in this news of a refund."""
    found: Incident | None = None
    match outcome:
        case Refunded(amount) if amount is not None and amount != before.amount:
            found = _of_return(payment, before.syssn, before.amount, outcome, at)
        case Refunded() if before.state is RefundState.FAILED:
            found = _of_payment(
                payment,
                IncidentKind.REFUNDED_AFTER_REFUSED,
                f"refund {before.syssn} was done after the wallet had refused it",
                "",
                at,
                cause=before.syssn,
            )
        case RefundStuck(wallet_code) if before.wallet_code != wallet_code:
            found = _of_return(payment, before.syssn, before.amount, outcome, at)
        case Refused(reason, wallet_code):
            found = _identity(payment, reason, wallet_code, at, cause=before.syssn)
        case _:
            pass
    return (found,) if found else ()


def reversal_incidents_in(
    payment: Payment, syssn: str, outcome: ReversalOutcome | RefundOutcome, *, at: datetime
) -> tuple[Incident, ...]:
    """What a person has to look at in this news of a reversal, whichever way it goes."""
    found: Incident | None = None
    match outcome:
        case Refused(reason, wallet_code):
            found = _identity(payment, reason, wallet_code, at, cause=syssn)
        case Refunded() | RefundStuck():
            found = _of_return(payment, syssn, payment.amount, outcome, at)
        case _:
            pass
    return (found,) if found else ()


def unmatched_notice(
    account: Account, order_number: str, outcome: Outcome, *, is_ours: bool, at: datetime
) -> Incident:
    """A proven notice to `account` of an order that it does not have; `is_ours` if another account made it.

    Money for an order that nobody here made is stray. For one of another account it is left to a person: its own
    account may know it as paid.
    """
    kind = IncidentKind.ORDER_OF_ANOTHER_ACCOUNT if is_ours else IncidentKind.UNKNOWN_ORDER
    whose = "that another account made" if is_ours else "that nobody here made"
    paid = outcome if isinstance(outcome, Paid) else None
    is_unmatched = paid is not None and not is_ours
    return Incident(
        mchid=account.mchid,
        subject_id=order_number,
        kind=kind,
        incident_id=digest_of(account.mchid, order_number, kind, paid.wallet_ref if paid else ""),
        account_id=account.account_id,
        detail=f"a notice of order {order_number}, {whose}" + (": it was paid" if paid else ""),
        at=at,
        amount=paid.amount if paid else None,
        wallet_ref=paid.wallet_ref if paid else "",
        payer_ref=paid.payer_ref if paid else "",
        unmatched_state=UnmatchedState.SUSPECTED if is_unmatched else UnmatchedState.NONE,
        check_at=at if is_unmatched else None,
    )


def unverified(account: Account, *, at: datetime) -> Incident:
    """Answers to `account` fail verification again and again: nothing of it is decided until its key is corrected."""
    kind = IncidentKind.ANSWERS_UNVERIFIED
    return Incident(
        mchid=account.mchid,
        subject_id=account.account_id,
        kind=kind,
        incident_id=digest_of(account.mchid, account.account_id, kind, ""),
        account_id=account.account_id,
        detail="the wallet's answers to this account fail verification; its key for them may be another's",
        at=at,
    )


def _in_paid(before: Payment, paid: Paid, at: datetime) -> Incident | None:
    if before.is_reversed:  # what came was undone with the order
        return None
    other_trade = bool(before.wallet_ref and paid.wallet_ref and before.wallet_ref != paid.wallet_ref)
    came = paid.amount
    if other_trade and before.state is State.PAID:
        return _of_money(
            before,
            paid,
            IncidentKind.PAID_TWICE,
            f"paid twice: {before.wallet_ref} and {paid.wallet_ref}",
            at,
            # Only WeChat sends back by the number of the trade; the order's number may mean the first one.
            is_unmatched=before.pay_type.wallet is Wallet.WECHAT,
        )
    if came is not None and came != before.amount:
        other_currency = came.currency != before.amount.currency
        kind = IncidentKind.WRONG_CURRENCY if other_currency else IncidentKind.WRONG_AMOUNT
        said = f"the wallet took {came}, the price was {before.amount}"
        return _of_money(before, paid, kind, said, at, is_unmatched=before.state is not State.PAID)
    if before.state is State.FAILED:
        said = "paid after the wallet had refused it"
        return _of_money(before, paid, IncidentKind.PAID_AFTER_FAILED, said, at, is_unmatched=True)
    if before.state in (State.CLOSED, State.EXPIRED):
        said = f"paid after it was {before.state}"
        return _of_money(before, paid, IncidentKind.LATE_MONEY, said, at, is_unmatched=False)
    return None


def _of_money(
    payment: Payment, paid: Paid, kind: IncidentKind, detail: str, at: datetime, *, is_unmatched: bool
) -> Incident:
    sameness = paid.wallet_ref
    if kind in (IncidentKind.WRONG_AMOUNT, IncidentKind.WRONG_CURRENCY):
        sameness = f"{paid.wallet_ref} {paid.amount}"
    incident = _of_payment(payment, kind, detail, sameness, at)
    return replace(
        incident,
        amount=paid.amount,
        wallet_ref=paid.wallet_ref,
        payer_ref=paid.payer_ref,
        unmatched_state=UnmatchedState.SUSPECTED if is_unmatched else UnmatchedState.NONE,
        check_at=at if is_unmatched else None,
    )


def _of_return(
    payment: Payment, syssn: str, amount: Money, outcome: Refunded | RefundStuck, at: datetime
) -> Incident | None:
    """Another amount came back than was asked, or none could."""
    if isinstance(outcome, RefundStuck):
        said = f"the money of refund {syssn} could not reach the payer: {outcome.wallet_code}"
        return _of_payment(payment, IncidentKind.REFUND_STUCK, said, outcome.wallet_code, at, cause=syssn)
    if outcome.amount is None or outcome.amount == amount:
        return None
    said = f"the wallet returned {outcome.amount}, refund {syssn} was {amount}"
    found = _of_payment(payment, IncidentKind.REFUND_AMOUNT, said, str(outcome.amount), at, cause=syssn)
    return replace(found, amount=outcome.amount)


def _identity(
    payment: Payment, reason: Refusal, wallet_code: str, at: datetime, cause: str = ""
) -> Incident | None:
    """One alarm for an account, however many payments hear it; a number that is taken is that order's alone."""
    match reason:
        case Refusal.OUR_IDENTITY | Refusal.OUR_CERTIFICATE | Refusal.MERCHANT_SETUP:
            about = payment.account_id
        case Refusal.NUMBER_REUSED:
            about = cause or payment.syssn
        case _:
            return None
    said = f"the wallet refuses who we are, for whom we ask or how we number: {wallet_code or reason}"
    kind = IncidentKind.OUR_IDENTITY_REFUSED
    return _of_payment(payment, kind, said, wallet_code or reason, at, cause=about)


def _of_payment(
    payment: Payment, kind: IncidentKind, detail: str, sameness: str, at: datetime, cause: str = ""
) -> Incident:
    about = cause or payment.syssn
    return Incident(
        mchid=payment.mchid,
        subject_id=about,
        kind=kind,
        incident_id=digest_of(payment.mchid, about, kind, sameness),
        account_id=payment.account_id,
        detail=detail,
        at=at,
    )
