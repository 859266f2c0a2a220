"""The columns of movements in exports: cells for CSV and HTML, and members for JSON."""

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from decimal import Decimal
from typing import Any, Final

from tael.base.moments import UTC8
from tael.base.money import Money, major_text
from tael.ledger.domain.digest import day_of
from tael.settlement.domain.movement import CurrencyTotal, MethodTotal, Movement, wallet_of
from tael.settlement.exports import Cell, Grid, csv_of

#: Decimals of a wallet's fee, as in statements.
FEE_DECIMALS: Final = 6


def movements_csv(rows: Iterable[Movement]) -> Iterator[bytes]:
    """A CSV file of movements, piece by piece."""
    return csv_of(MOVEMENTS, rows)


class MovementColumns:
    """Amounts are in major units in cells, and in minor units in members."""

    name = "movements"
    headings: Sequence[str] = (
        *("time", "type", "syssn", "out_trade_no", "orig_syssn", "pay_type", "wallet"),
        *("goods_name", "device", "currency", "amount", "fee", "net", "wallet_fee", "settled_on"),
    )

    printed = headings
    numbers: Collection[str] = frozenset({"amount", "fee", "net", "wallet_fee"})

    def cells(self, row: Movement) -> Sequence[Cell]:
        return (
            moment_cell(row.at),
            row.kind,
            row.syssn,
            row.reference,
            row.payment_syssn,
            row.pay_type,
            wallet_of(row.pay_type, row.protocol),
            row.subject,
            row.device,
            row.currency,
            *(major(minor, row.currency) for minor in (row.amount_minor, row.fee_minor, row.net_minor)),
            _micros(row.wallet_fee_micros),
            day_of(row.settled_at).isoformat() if row.settled_at else None,
        )

    def members(self, row: Movement) -> Mapping[str, Any]:
        return {
            "time": moment_cell(row.at),
            "type": row.kind,
            "syssn": row.syssn,
            "out_trade_no": row.reference,
            "orig_syssn": row.payment_syssn,
            "pay_type": row.pay_type,
            "wallet": wallet_of(row.pay_type, row.protocol),
            "goods_name": row.subject,
            "device": row.device,
            "currency": row.currency,
            "amount_minor": row.amount_minor,
            "fee_minor": row.fee_minor,
            "net_minor": row.net_minor,
            "wallet_fee_micros": row.wallet_fee_micros,
            "settled_on": day_of(row.settled_at) if row.settled_at else None,
        }


MOVEMENTS: Final = MovementColumns()


def total_grid(totals: Sequence[CurrencyTotal]) -> Grid:
    headings = (
        *("currency", "opening balance", "payments", "paid", "refunds", "refunded", "reversals", "reversed"),
        *("fees charged", "fees returned", "payouts", "reserve", "other", "closing balance"),
    )
    return Grid("Totals", headings, [_total_cells(each) for each in totals])


def method_grid(totals: Sequence[MethodTotal]) -> Grid:
    headings = (
        *("currency", "wallet", "pay_type", "scene", "payments", "paid", "refunded and reversed"),
        *("fees", "net"),
    )
    return Grid("By payment method", headings, [_method_cells(each) for each in totals])


def method_members(total: MethodTotal) -> Mapping[str, Any]:
    return {
        "currency": total.currency,
        "wallet": wallet_of(total.pay_type, total.protocol),
        "pay_type": total.pay_type,
        "scene": total.scene,
        "payments": total.payments,
        "paid_minor": total.paid_minor,
        "refunded_minor": total.refunded_minor,
        "fee_minor": total.fee_minor,
        "net_minor": total.net_minor,
    }


def moment_cell(at: datetime) -> str:
    """`2026-01-02T11:04:05+08:00`."""
    return at.astimezone(UTC8).isoformat(timespec="seconds")


def major(minor: int, currency: str) -> Decimal:
    return Decimal(major_text(Money(minor, currency)))


def _micros(micros: int | None) -> Decimal | None:
    return None if micros is None else Decimal(micros).scaleb(-FEE_DECIMALS)


def _total_cells(total: CurrencyTotal) -> Sequence[Cell]:
    def amount(minor: int) -> Decimal:
        return major(minor, total.currency)

    return (
        total.currency,
        amount(total.opening_minor),
        *(total.payments, amount(total.paid_minor)),
        *(total.refunds, amount(total.refunded_minor)),
        *(total.reversals, amount(total.reversed_minor)),
        amount(total.fee_minor),
        amount(total.fee_back_minor),
        amount(total.payout_minor),
        amount(total.reserve_minor),
        amount(total.other_minor),
        amount(total.closing_minor),
    )


def _method_cells(total: MethodTotal) -> Sequence[Cell]:
    sums = (total.paid_minor, total.refunded_minor, total.fee_minor, total.net_minor)
    paid, refunded, fee, net = (major(minor, total.currency) for minor in sums)
    wallet = wallet_of(total.pay_type, total.protocol)
    return (
        *(total.currency, wallet, total.pay_type, total.scene),
        *(total.payments, paid, refunded, fee, net),
    )
