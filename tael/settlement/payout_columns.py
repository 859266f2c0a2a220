"""Payouts in exports and in output: members for JSON, cells for CSV and HTML, and the calculation of one."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from tael.settlement.domain.payout import Payout
from tael.settlement.exports import Cell, Grid
from tael.settlement.movement_columns import major, moment_cell


@dataclass(frozen=True, slots=True)
class NamedPayout:
    """A payout with its merchant's name."""

    name: str
    payout: Payout


#: The lines of the calculation in their order: label, column, and sign.
CALCULATION: Final[Sequence[tuple[str, str, int]]] = (
    ("carried over from before", "opening_minor", 1),
    ("payments", "paid_minor", 1),
    ("refunds", "refunded_minor", -1),
    ("reversals", "reversed_minor", -1),
    ("fees charged", "fee_minor", -1),
    ("fees returned", "fee_back_minor", 1),
    ("other credits", "adjusted_in_minor", 1),
    ("other debits", "adjusted_out_minor", -1),
    ("reserve released", "reserve_released_minor", 1),
    ("reserve held", "reserve_held_minor", -1),
    ("to pay", "amount_minor", 1),
    ("carried over", "carried_minor", 1),
)


def payout_members(payout: Payout) -> Mapping[str, Any]:
    """All of a payout, as in `--json`."""
    return {
        "payout_id": payout.payout_id,
        "mchid": payout.mchid,
        "currency": payout.currency,
        "number": payout.number,
        "first_day": payout.first_day,
        "last_day": payout.last_day,
        "state": payout.state,
        **{column: getattr(payout, column) for _, column, _ in CALCULATION},
        "payments": payout.payments,
        "refunds": payout.refunds,
        "reversals": payout.reversals,
        "terms": {
            "cycle": payout.cycle,
            "weekday": payout.weekday,
            "minimum_minor": payout.minimum_minor,
            "reserve_ppm": payout.reserve_ppm,
            "reserve_days": payout.reserve_days,
        },
        "created_at": payout.created_at,
        "paid_at": payout.paid_at,
        "bank_reference": payout.bank_reference,
    }


def calculation(payout: Payout) -> Grid:
    """How the amount to pay results from the period."""
    counts = {
        "paid_minor": payout.payments,
        "refunded_minor": payout.refunds,
        "reversed_minor": payout.reversals,
    }
    rows = [
        (label, counts.get(column), major(sign * getattr(payout, column), payout.currency))
        for label, column, sign in CALCULATION
    ]
    return Grid("Calculation", ("", "count", "amount"), rows)


class PayoutColumns:
    """Amounts are in major units in cells, with the sign of the merchant's balance, and in minor units in members."""

    name = "payouts"
    headings: Sequence[str] = (
        *("payout_id", "mchid", "name", "currency", "number", "first_day", "last_day", "state"),
        *(column.removesuffix("_minor") for _, column, _ in CALCULATION),
        *("payments", "refunds", "reversals", "created_at", "paid_at", "bank_reference"),
    )
    printed: Sequence[str] = (
        *("payout_id", "mchid", "name", "currency", "first_day", "last_day", "state"),
        *("paid", "reserve_held", "amount", "carried", "paid_at", "bank_reference"),
    )
    numbers: Collection[str] = frozenset(headings) - {
        *("payout_id", "mchid", "name", "currency", "first_day", "last_day", "state"),
        *("created_at", "paid_at", "bank_reference"),
    }

    def cells(self, row: NamedPayout) -> Sequence[Cell]:
        payout = row.payout
        return (
            *(payout.payout_id, payout.mchid, row.name, payout.currency, payout.number),
            *(payout.first_day.isoformat(), payout.last_day.isoformat(), payout.state.value),
            *(major(sign * getattr(payout, column), payout.currency) for _, column, sign in CALCULATION),
            *(payout.payments, payout.refunds, payout.reversals, moment_cell(payout.created_at)),
            *(moment_cell(payout.paid_at) if payout.paid_at else None, payout.bank_reference),
        )

    def members(self, row: NamedPayout) -> Mapping[str, Any]:
        return {"name": row.name, **payout_members(row.payout)}


PAYOUTS: Final = PayoutColumns()
