"""Converts rows of the money tables to values of `domain`, and pay data to and from text.

The columns are declared here only, so that a new field is added here and in a migration.
"""

import json
from typing import TYPE_CHECKING, Final

from tael.base.money import Money
from tael.base.pay_types import PAY_TYPES
from tael.channels.outcomes import BridgeParams, PayCode, PayLink, ReversalAction
from tael.payments.domain.payment import Payment, State
from tael.payments.domain.refund import Refund, RefundState
from tael.payments.domain.reversal import Reversal, ReversalState

if TYPE_CHECKING:
    import asyncpg

PAYMENT_COLUMNS: Final = (
    "mchid, syssn, appcode, pay_type, reference, amount_minor, currency, account_id, content, subject, openid, "
    "client_time, device, notify_merchant, created_at, changed_at, expires_at, deadline, check_at, state, respcd, "
    "wallet_code, pay, has_initial_response, wallet_ref, payer_ref, paid_at, refunded_minor, reserved_minor, "
    "refund_count, reversal_syssn, "
    "is_reversed, close_syssn, forbid_credit, is_subject_ours, fee_rate_ppm, checks, checked_at, "
    "version, redirected_at"
)
REFUND_COLUMNS: Final = (
    "mchid, syssn, payment_syssn, reference, amount_minor, currency, client_time, device, created_at, changed_at, "
    "check_at, state, respcd, wallet_code, wallet_ref, done_at, checks, version, account_id"
)
REVERSAL_COLUMNS: Final = (
    "mchid, syssn, payment_syssn, amount_minor, client_time, fails_with, created_at, changed_at, check_at, state, "
    "respcd, wallet_code, action, checks, version, account_id"
)


def payment_of(row: "asyncpg.Record") -> Payment:
    """A row with PAYMENT_COLUMNS."""
    return Payment(
        mchid=row["mchid"],
        syssn=row["syssn"],
        appcode=row["appcode"],
        pay_type=PAY_TYPES[row["pay_type"]],
        reference=row["reference"],
        amount=Money(row["amount_minor"], row["currency"]),
        account_id=row["account_id"],
        content=row["content"],
        subject=row["subject"],
        openid=row["openid"],
        client_time=row["client_time"],
        device=row["device"],
        notify_merchant=row["notify_merchant"],
        created_at=row["created_at"],
        changed_at=row["changed_at"],
        expires_at=row["expires_at"],
        deadline=row["deadline"],
        # An expedited payment has a `check_at` a century earlier, only for its place in the queue.
        check_at=row["check_at"] and max(row["check_at"], row["created_at"]),
        state=State(row["state"]),
        respcd=row["respcd"],
        wallet_code=row["wallet_code"],
        pay=pay_of(row["pay"]),
        has_initial_response=row["has_initial_response"],
        wallet_ref=row["wallet_ref"],
        payer_ref=row["payer_ref"],
        paid_at=row["paid_at"],
        refunded_minor=row["refunded_minor"],
        reserved_minor=row["reserved_minor"],
        refund_count=row["refund_count"],
        reversal_syssn=row["reversal_syssn"],
        is_reversed=row["is_reversed"],
        close_syssn=row["close_syssn"],
        forbid_credit=row["forbid_credit"],
        is_subject_ours=row["is_subject_ours"],
        fee_rate_ppm=row["fee_rate_ppm"],
        checks=row["checks"],
        checked_at=row["checked_at"],
        version=row["version"],
        redirected_at=row["redirected_at"],
    )


def refund_of(row: "asyncpg.Record") -> Refund:
    """A row with REFUND_COLUMNS."""
    return Refund(
        mchid=row["mchid"],
        syssn=row["syssn"],
        payment_syssn=row["payment_syssn"],
        reference=row["reference"],
        amount=Money(row["amount_minor"], row["currency"]),
        client_time=row["client_time"],
        device=row["device"],
        created_at=row["created_at"],
        changed_at=row["changed_at"],
        check_at=row["check_at"],
        state=RefundState(row["state"]),
        respcd=row["respcd"],
        wallet_code=row["wallet_code"],
        wallet_ref=row["wallet_ref"],
        done_at=row["done_at"],
        checks=row["checks"],
        version=row["version"],
        account_id=row["account_id"],
    )


def reversal_of(row: "asyncpg.Record") -> Reversal:
    """A row with REVERSAL_COLUMNS."""
    return Reversal(
        mchid=row["mchid"],
        syssn=row["syssn"],
        payment_syssn=row["payment_syssn"],
        amount_minor=row["amount_minor"],
        client_time=row["client_time"],
        fails_with=row["fails_with"],
        created_at=row["created_at"],
        changed_at=row["changed_at"],
        check_at=row["check_at"],
        state=ReversalState(row["state"]),
        respcd=row["respcd"],
        wallet_code=row["wallet_code"],
        action=ReversalAction(row["action"]) if row["action"] else None,
        checks=row["checks"],
        version=row["version"],
        account_id=row["account_id"],
    )


def pay_text(pay: PayLink | PayCode | BridgeParams | None) -> str | None:
    """Pay data as text for its column."""
    match pay:
        case None:
            return None
        case PayLink(url):
            return json.dumps({"link": url})
        case PayCode(text):
            return json.dumps({"code": text})
        case BridgeParams(params):
            return json.dumps({"bridge": dict(params)})


def pay_of(text: str | None) -> PayLink | PayCode | BridgeParams | None:
    """The inverse of `pay_text`."""
    if text is None:
        return None
    match json.loads(text):
        case {"link": str(url)}:
            return PayLink(url)
        case {"code": str(code)}:
            return PayCode(code)
        case {"bridge": dict(params)}:
            return BridgeParams(params)
        case other:
            raise ValueError(f"not pay data: {other!r}")
