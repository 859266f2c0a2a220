"""`tael payment`: a payment with its refunds, reversals, ledger entries and webhooks, for support."""

from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Annotated, Any, Final

import typer

from tael.base.money import Money
from tael.cli.cell_answers import in_cell_of_number
from tael.cli.finding import DataOption, with_stores
from tael.cli.showing import JsonOption, refused, show_json, show_members, show_rows
from tael.ledger.domain.entries import Entry
from tael.ledger.store.entries import entries_of
from tael.operations.store import Store
from tael.payments.domain.page_urls import Pages
from tael.payments.domain.payment import Payment
from tael.payments.domain.refund import Refund
from tael.payments.domain.reversal import Reversal
from tael.qfpay.shown import shown_refund_respcd, shown_respcd, shown_reversal_respcd
from tael.webhooks.store.webhooks import NotificationStatus

payments: Final = typer.Typer(help="Inspect payments.", no_args_is_help=True)


@payments.callback()
def group() -> None:
    """Inspect payments."""


@dataclass(frozen=True, slots=True)
class PaymentHistory:
    """A payment and everything recorded about it. Lists are oldest first."""

    payment: Payment
    page: str  #: the path of its page; "" if it has none
    refunds: list[Refund]
    reversals: list[Reversal]
    ledger: list[Entry]
    webhooks: list[NotificationStatus]


@payments.command("show")
def show(
    syssn: Annotated[str, typer.Argument(metavar="SYSSN", help="The payment's syssn.")],
    mchid: Annotated[
        str | None, typer.Option(help="The payment's merchant. Makes the search faster.")
    ] = None,
    data: DataOption = None,
    as_json: JsonOption = False,
) -> None:
    """Show a payment with its refunds, reversals, ledger entries and webhooks."""

    async def work(store: Store, now: datetime) -> PaymentHistory | None:
        return await _history(store, syssn, mchid, now)

    history = with_stores(data, in_cell_of_number(syssn, work))
    if history is None:
        raise refused(f"no payment {syssn}" + (f" of merchant {mchid}" if mchid else ""))
    page = {"page": history.page} if history.page else {}
    if as_json:
        show_json(
            {
                "payment": _payment_row(history.payment) | page,
                "refunds": [_refund_row(refund) for refund in history.refunds],
                "reversals": [_reversal_row(reversal) for reversal in history.reversals],
                "ledger": [_entry_row(entry) for entry in history.ledger],
                "webhooks": [asdict(webhook) for webhook in history.webhooks],
            }
        )
    else:
        _print(history, page)


async def _history(store: Store, syssn: str, mchid: str | None, now: datetime) -> PaymentHistory | None:
    payment = await (
        store.payments.find_anywhere(syssn) if mchid is None else store.payments.by_syssn(mchid, syssn)
    )
    if payment is None:
        return None
    refunds = await store.refunds.of_payment(payment.mchid, syssn)
    reversals = await store.reversals.of_payment(payment.mchid, syssn)
    causes = [syssn, *(refund.syssn for refund in refunds), *(reversal.syssn for reversal in reversals)]
    return PaymentHistory(
        payment,
        await _page(payment, store, now),
        refunds,
        reversals,
        await entries_of(store.database, payment.mchid, causes),
        await store.webhooks.of_causes(payment.mchid, causes),
    )


def _print(history: PaymentHistory, page: dict[str, str]) -> None:
    """The tables: amounts in major units, empty lists left out."""
    currency = history.payment.amount.currency
    show_members(_with_money(_payment_row(history.payment), currency) | page, "payment")
    parts = (
        ("refunds", [_refund_row(refund) for refund in history.refunds]),
        ("reversals", [_reversal_row(reversal) for reversal in history.reversals]),
        ("ledger", [_entry_row(entry) for entry in history.ledger]),
        ("webhooks", [asdict(webhook) for webhook in history.webhooks]),
    )
    for title, members in parts:
        rows = [_with_money(row, currency) for row in members]
        if rows:
            show_rows(rows, list(rows[0]), title)


async def _page(payment: Payment, store: Store, now: datetime) -> str:
    """The path of the payment's page, where the payer pays or sees the result. Barcode payments have none."""
    if not payment.pay_type.has_page:
        return ""
    # Only the path: the port of a demo is not known from its folder.
    return Pages("", await store.link_keys.with_current(now)).path(payment)


def _with_money(row: dict[str, Any], currency: str) -> dict[str, Any]:
    """Converts each member in minor units: `amount_minor` 3925 becomes `amount` 39.25 HKD."""
    return {
        name.removesuffix("_minor"): str(Money(value, currency)) if name.endswith("_minor") else value
        for name, value in row.items()
        if name != "currency"
    }


def _payment_row(payment: Payment) -> dict[str, Any]:
    return {
        "mchid": payment.mchid,
        "syssn": payment.syssn,
        "appcode": payment.appcode,
        "reference": payment.reference,
        "pay_type": payment.pay_type.code,
        "state": payment.state,
        "respcd": shown_respcd(payment),
        "wallet_code": payment.wallet_code,
        "amount_minor": payment.amount.amount_minor,
        "currency": payment.amount.currency,
        "refunded_minor": payment.refunded_minor,
        "reserved_minor": payment.reserved_minor,
        "subject": payment.subject,
        "goods_info": payment.goods_info,
        "return_url": payment.return_url,
        "region": payment.region,
        "account_id": payment.account_id,
        "wallet_ref": payment.wallet_ref,
        "payer_ref": payment.payer_ref,
        "is_reversed": payment.is_reversed,
        "close_syssn": payment.close_syssn,
        "created_at": payment.created_at,
        "paid_at": payment.paid_at,
        "changed_at": payment.changed_at,
        "expires_at": payment.expires_at,
        "redirected_at": payment.redirected_at,
        "checks": payment.checks,
        "checked_at": payment.checked_at,
        "check_at": payment.check_at,
    }


def _refund_row(refund: Refund) -> dict[str, Any]:
    return {
        "syssn": refund.syssn,
        "reference": refund.reference,
        "state": refund.state,
        "respcd": shown_refund_respcd(refund),
        "wallet_code": refund.wallet_code,
        "amount_minor": refund.amount.amount_minor,
        "currency": refund.amount.currency,
        "wallet_ref": refund.wallet_ref,
        "created_at": refund.created_at,
        "done_at": refund.done_at,
        "check_at": refund.check_at,
    }


def _reversal_row(reversal: Reversal) -> dict[str, Any]:
    return {
        "syssn": reversal.syssn,
        "state": reversal.state,
        "respcd": shown_reversal_respcd(reversal),
        "wallet_code": reversal.wallet_code,
        "action": reversal.action,
        "created_at": reversal.created_at,
        "changed_at": reversal.changed_at,
        "check_at": reversal.check_at,
    }


def _entry_row(entry: Entry) -> dict[str, Any]:
    return {
        "cause": entry.cause,
        "kind": entry.kind,
        "debit": entry.debit,
        "credit": entry.credit,
        "amount_minor": entry.amount.amount_minor,
        "currency": entry.amount.currency,
        "at": entry.at,
    }
