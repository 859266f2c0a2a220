"""Statements, their lines and remittances as the members of JSON objects, and as the cells of tables."""

from decimal import Decimal
from typing import Any, Final

from tael.base.money import Money
from tael.channels.statements import StatementLine
from tael.statements.domain.conversion import Conversion
from tael.statements.domain.due import StatementDue
from tael.statements.domain.remittance import Remittance
from tael.statements.domain.statement import CurrencyTotal, Statement

#: Of a fee in a table; all decimals that a wallet writes.
FEE_DECIMALS: Final = 6
DIGEST_SHOWN: Final = 12


def row_of(statement: Statement) -> dict[str, Any]:
    return {
        "statement_id": statement.statement_id,
        "mchid": statement.mchid,
        "account_id": statement.account_id,
        "kind": statement.kind,
        "day": statement.day,
        "lines": statement.lines,
        "totals": statement.totals,
        "unknown_columns": statement.unknown_columns,
        "source": statement.source,
        "sha256": statement.sha256,
        "size": statement.size,
        "stored_at": statement.stored_at,
        "superseded_at": statement.superseded_at,
    }


def due_row(due: StatementDue) -> dict[str, Any]:
    return {
        "account_id": due.account_id,
        "kind": due.kind,
        "day": due.day,
        "check_at": due.check_at,
        "attempts": due.attempts,
    }


def shown_row(row: dict[str, Any]) -> dict[str, Any]:
    """For the tables: totals as text."""
    return row | {
        "totals": "; ".join(map(_total, row["totals"])),
        "sha256": row["sha256"][:DIGEST_SHOWN],
    }


def _total(total: CurrencyTotal) -> str:
    paid, refunded = (Money(minor, total.currency) for minor in (total.paid_minor, total.refunded_minor))
    return f"{total.payments} paid {paid}, {total.refunds} returned {refunded}"


def line_of(line: StatementLine) -> dict[str, Any]:
    settlement = line.settlement
    return {
        "number": line.number,
        "type": line.type,
        "syssn": line.syssn,
        "payment_syssn": line.payment_syssn,
        "wallet_ref": line.wallet_ref,
        "wallet_refund_ref": line.wallet_refund_ref,
        "at": line.at,
        "amount_minor": line.amount.amount_minor,
        "currency": line.amount.currency,
        "fee_micros": line.fee_micros,
        "settlement_minor": settlement.amount_minor if settlement else None,
        "settlement_currency": settlement.currency if settlement else None,
        "rate_e8": line.rate_e8,
        "settled_at": line.settled_at,
        "state": line.state,
    }


def remittance_row(remittance: Remittance) -> dict[str, Any]:
    return {
        "remittance_id": remittance.remittance_id,
        "batch_no": remittance.batch_no,
        "settled_on": remittance.settled_on,
        "trades_from": remittance.trades_from,
        "trades_to": remittance.trades_to,
        "currency": remittance.currency,
        "paid_minor": remittance.paid_minor,
        "refunded_minor": remittance.refunded_minor,
        "fee_minor": remittance.fee_minor,
        "net_minor": remittance.net_minor,
    }


def shown_remittance(remittance: Remittance) -> dict[str, Any]:
    """For the tables: amounts in major units."""
    row = remittance_row(remittance)
    amounts = ("paid", "refunded", "fee", "net")
    return row | {name: str(Money(row[f"{name}_minor"], remittance.currency)) for name in amounts}


def conversion_row(conversion: Conversion) -> dict[str, Any]:
    return {
        "conversion_id": conversion.conversion_id,
        "price_currency": conversion.price_currency,
        "price_minor": conversion.price_minor,
        "settlement_currency": conversion.settlement_currency,
        "settlement_minor": conversion.settlement_minor,
    }


def shown_conversion(conversion: Conversion) -> dict[str, Any]:
    """For the tables: amounts in major units."""
    return {
        "price": str(Money(conversion.price_minor, conversion.price_currency)),
        "settlement": str(Money(conversion.settlement_minor, conversion.settlement_currency)),
    }


def shown_line(line: StatementLine) -> dict[str, Any]:
    """For the tables: amounts in major units."""
    return line_of(line) | {
        "amount": str(line.amount),
        "fee": f"{Decimal(line.fee_micros).scaleb(-FEE_DECIMALS):f}",
        "settlement": str(line.settlement) if line.settlement else None,
    }
