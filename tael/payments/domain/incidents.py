"""Which outcomes of payments, refunds and reversals need manual review. Pure."""

from dataclasses import dataclass
from datetime import datetime

from tael.base.money import Money
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
from tael.incidents.domain.evidence import Evidence, with_evidence
from tael.incidents.domain.incident import Incident, IncidentKind, incident_id_of
from tael.merchants.domain.account import Account
from tael.payments.domain.payment import Payment, State
from tael.payments.domain.refund import Refund, RefundState


@dataclass(frozen=True, slots=True)
class Report:
    """An incident, and the evidence if it is about an unmatched payment."""

    incident: Incident
    evidence: Evidence | None = None


def incidents_in(
    before: Payment, outcome: Outcome, *, at: datetime, refunds_single_trades: bool
) -> tuple[Incident, ...]:
    """The incidents in an outcome of a payment; usually none."""
    match outcome:
        case Paid():
            report = _in_paid(before, outcome, at, refunds_single_trades)
            incident = report.incident if report else None
        case Closed() if before.state is State.PAID and not (before.reversal_syssn or before.refund_count):
            incident = _of_payment(
                before, IncidentKind.CLOSED_THOUGH_PAID, "the wallet closed a paid order", "", at
            )
        case Refused(reason, wallet_code):
            incident = _identity(before, reason, wallet_code, at)
        case _:
            incident = None
    return (incident,) if incident else ()


def evidence_in(
    before: Payment, outcome: Outcome, *, at: datetime, refunds_single_trades: bool
) -> tuple[Evidence, ...]:
    """The evidence of unmatched payments in an outcome of a payment; each belongs to one of `incidents_in`."""
    report = _in_paid(before, outcome, at, refunds_single_trades) if isinstance(outcome, Paid) else None
    return (report.evidence,) if report and report.evidence else ()


def refund_incidents_in(
    payment: Payment, before: Refund, outcome: RefundOutcome, *, at: datetime
) -> tuple[Incident, ...]:
    """The incidents in an outcome of a refund."""
    incident: Incident | None = None
    match outcome:
        case Refunded(amount) if amount is not None and amount != before.amount:
            incident = _of_return(payment, before.syssn, before.amount, outcome, at)
        case Refunded() if before.state is RefundState.FAILED:
            incident = _of_payment(
                payment,
                IncidentKind.REFUNDED_AFTER_REFUSED,
                f"refund {before.syssn} was done after the wallet had refused it",
                "",
                at,
                cause=before.syssn,
            )
        case RefundStuck(wallet_code) if before.wallet_code != wallet_code:
            incident = _of_return(payment, before.syssn, before.amount, outcome, at)
        case Refused(reason, wallet_code):
            incident = _identity(payment, reason, wallet_code, at, cause=before.syssn)
        case _:
            pass
    return (incident,) if incident else ()


def reversal_incidents_in(
    payment: Payment, syssn: str, outcome: ReversalOutcome | RefundOutcome, *, at: datetime
) -> tuple[Incident, ...]:
    """The incidents in an outcome of a reversal, or of the refund that it became."""
    incident: Incident | None = None
    match outcome:
        case Refused(reason, wallet_code):
            incident = _identity(payment, reason, wallet_code, at, cause=syssn)
        case Refunded() | RefundStuck():
            incident = _of_return(payment, syssn, payment.amount, outcome, at)
        case _:
            pass
    return (incident,) if incident else ()


def unmatched_notice(
    account: Account, order_number: str, outcome: Outcome, *, is_ours: bool, at: datetime
) -> Report:
    """A verified notice to `account` of an order that it does not have; `is_ours` if another account created it.

    Money for an order that does not exist here is an unmatched payment. An order of another account needs manual
    review: that account may have it as paid.
    """
    kind = IncidentKind.ORDER_OF_ANOTHER_ACCOUNT if is_ours else IncidentKind.UNKNOWN_ORDER
    origin = "created with another account" if is_ours else "not created here"
    paid = outcome if isinstance(outcome, Paid) else None
    incident = Incident(
        mchid=account.mchid,
        subject_id=order_number,
        kind=kind,
        incident_id=incident_id_of(account.mchid, order_number, kind, paid.wallet_ref if paid else ""),
        account_id=account.account_id,
        detail=f"a notice of order {order_number}, {origin}" + (f": {_paid_text(paid)}" if paid else ""),
        at=at,
    )
    if paid is None or is_ours:
        return Report(incident)
    return _with_evidence(incident, account.protocol, paid)


def unverified(account: Account, *, at: datetime) -> Incident:
    """Responses to `account` keep failing verification: nothing about it is decided until its key is corrected."""
    kind = IncidentKind.ANSWERS_UNVERIFIED
    return Incident(
        mchid=account.mchid,
        subject_id=account.account_id,
        kind=kind,
        incident_id=incident_id_of(account.mchid, account.account_id, kind, ""),
        account_id=account.account_id,
        detail="the wallet's responses to this account fail verification; its verification key may be wrong",
        at=at,
    )


def _in_paid(before: Payment, paid: Paid, at: datetime, refunds_single_trades: bool) -> Report | None:
    if before.is_reversed:  # the money was returned with the order
        return None
    other_trade = bool(before.wallet_ref and paid.wallet_ref and before.wallet_ref != paid.wallet_ref)
    received = paid.amount
    if other_trade and before.state is State.PAID:
        return _of_money(
            before,
            paid,
            IncidentKind.PAID_TWICE,
            f"paid twice: {before.wallet_ref} and {paid.wallet_ref}",
            at,
            # Otherwise a refund by the order number may return the first trade.
            is_unmatched=refunds_single_trades,
        )
    if received is not None and received != before.amount:
        other_currency = received.currency != before.amount.currency
        kind = IncidentKind.WRONG_CURRENCY if other_currency else IncidentKind.WRONG_AMOUNT
        detail = f"the wallet took {received}, the price was {before.amount}"
        return _of_money(before, paid, kind, detail, at, is_unmatched=before.state is not State.PAID)
    if before.state is State.FAILED:
        detail = "paid after the wallet had refused it"
        return _of_money(before, paid, IncidentKind.PAID_AFTER_FAILED, detail, at, is_unmatched=True)
    if before.state in (State.CLOSED, State.EXPIRED):
        detail = f"paid after it was {before.state}"
        return _of_money(before, paid, IncidentKind.LATE_MONEY, detail, at, is_unmatched=False)
    return None


def _of_money(
    payment: Payment, paid: Paid, kind: IncidentKind, detail: str, at: datetime, *, is_unmatched: bool
) -> Report:
    dedup_key = paid.wallet_ref  # one incident per trade
    if kind in (IncidentKind.WRONG_AMOUNT, IncidentKind.WRONG_CURRENCY):
        dedup_key = f"{paid.wallet_ref} {paid.amount}"
    incident = _of_payment(payment, kind, detail, dedup_key, at)
    return _with_evidence(incident, payment.protocol, paid) if is_unmatched else Report(incident)


def _with_evidence(incident: Incident, protocol: str, paid: Paid) -> Report:
    return Report(*with_evidence(incident, protocol, paid.amount, paid.wallet_ref, paid.payer_ref))


def _paid_text(paid: Paid) -> str:
    return f"{paid.amount} was paid" if paid.amount is not None else "it was paid"


def _of_return(
    payment: Payment, syssn: str, amount: Money, outcome: Refunded | RefundStuck, at: datetime
) -> Incident | None:
    """The wallet refunded an amount other than the one requested, or could not refund it."""
    if isinstance(outcome, RefundStuck):
        detail = f"the money of refund {syssn} could not reach the payer: {outcome.wallet_code}"
        return _of_payment(payment, IncidentKind.REFUND_STUCK, detail, outcome.wallet_code, at, cause=syssn)
    if outcome.amount is None or outcome.amount == amount:
        return None
    detail = f"the wallet returned {outcome.amount}, refund {syssn} was {amount}"
    return _of_payment(payment, IncidentKind.REFUND_AMOUNT, detail, str(outcome.amount), at, cause=syssn)


def _identity(
    payment: Payment, reason: Refusal, wallet_code: str, at: datetime, cause: str = ""
) -> Incident | None:
    """One incident for an account, however many payments it affects; a reused number affects one order only."""
    match reason:
        case Refusal.OUR_IDENTITY | Refusal.OUR_CERTIFICATE | Refusal.MERCHANT_SETUP:
            subject_id = payment.account_id
        case Refusal.NUMBER_REUSED:
            subject_id = cause or payment.syssn
        case _:
            return None
    detail = f"the wallet refuses our identity, the merchant's or our order number: {wallet_code or reason}"
    kind = IncidentKind.OUR_IDENTITY_REFUSED
    return _of_payment(payment, kind, detail, wallet_code or reason, at, cause=subject_id)


def _of_payment(
    payment: Payment, kind: IncidentKind, detail: str, dedup_key: str, at: datetime, cause: str = ""
) -> Incident:
    subject_id = cause or payment.syssn
    return Incident(
        mchid=payment.mchid,
        subject_id=subject_id,
        kind=kind,
        incident_id=incident_id_of(payment.mchid, subject_id, kind, dedup_key),
        account_id=payment.account_id,
        detail=detail,
        at=at,
    )
