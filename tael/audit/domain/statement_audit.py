"""Audit of one statement: what it paid out and converted, against its lines and its ledger entries. Pure.

Rows are plain column values, as in `audit.py`. Every remittance and conversion has its entries, and if it was
superseded those that undo them. The current ones are the sums of the statement's lines, if it has lines.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime

from tael.audit.domain.audit import ANY_TIME, NOTHING, Disagreement, wrong_lines
from tael.base.money import exponent
from tael.ledger.domain.digest import Line

#: Of the major unit.
MICROS = 6


@dataclass(frozen=True, slots=True)
class StatementRow:
    mchid: str
    statement_id: str
    kind: str
    superseded_at: datetime | None


@dataclass(frozen=True, slots=True)
class RemittanceRow:
    mchid: str
    remittance_id: str
    statement_id: str
    account_id: str
    currency: str
    paid_minor: int
    refunded_minor: int
    fee_minor: int
    net_minor: int
    superseded_at: datetime | None


@dataclass(frozen=True, slots=True)
class ConversionRow:
    mchid: str
    conversion_id: str
    statement_id: str
    account_id: str
    price_currency: str
    price_minor: int
    settlement_currency: str
    settlement_minor: int
    superseded_at: datetime | None


@dataclass(frozen=True, slots=True)
class LineSums:
    """Sums of a statement's lines with one pair of currencies; both are the same where there is no conversion."""

    currency: str
    settlement_currency: str
    paid_minor: int
    refunded_minor: int
    fee_micros: int  #: charged less returned
    settlement_minor: int  #: of payments less that of others


@dataclass(frozen=True, slots=True)
class StatementRows:
    """A statement with everything that belongs to it, of all times. The cause of each of `lines` is one of its rows."""

    statement: StatementRow
    sums: Sequence[LineSums]
    remittances: Sequence[RemittanceRow]
    conversions: Sequence[ConversionRow]
    lines: Sequence[Line]


def disagreements_of_statement(rows: StatementRows) -> Iterator[Disagreement]:
    """All disagreements of a statement. Entries come first, because they name the remittance or conversion."""
    expected = [line for each in rows.remittances for line in expected_of_remittance(each)]
    expected += [line for each in rows.conversions for line in expected_of_conversion(each)]
    yield from wrong_lines(expected, rows.lines)
    if rows.statement.superseded_at is not None:
        yield from _rows_of_superseded(rows)
        return
    yield from _wrong_remittances(rows)
    yield from _wrong_conversions(rows)


def expected_of_remittance(row: RemittanceRow) -> list[Line]:
    """What went to the bank and the wallet's fee."""
    owner = f"{row.currency}:{row.account_id}"
    moves = (
        ("remitted", f"bank:{owner}", row.net_minor),
        ("wallet_fee", f"wallet_fee:{owner}", row.fee_minor),
    )
    return [
        line
        for kind, account, minor in moves
        for line in _moves(
            row.mchid,
            row.remittance_id,
            kind,
            (account, f"wallet:{owner}"),
            minor,
            row.currency,
            row.superseded_at,
        )
    ]


def expected_of_conversion(row: ConversionRow) -> list[Line]:
    """Out of the currency of prices, into that of settlement."""
    price, settlement = row.price_currency, row.settlement_currency
    out = f"merchant:{price}:{row.mchid}", f"wallet:{price}:{row.account_id}"
    into = f"wallet:{settlement}:{row.account_id}", f"merchant:{settlement}:{row.mchid}"
    cause = row.mchid, row.conversion_id
    return [
        *_moves(*cause, "converted_out", out, row.price_minor, price, row.superseded_at),
        *_moves(*cause, "converted_in", into, row.settlement_minor, settlement, row.superseded_at),
    ]


def _moves(
    mchid: str,
    cause: str,
    kind: str,
    accounts: tuple[str, str],
    minor: int,
    currency: str,
    superseded_at: datetime | None,
) -> list[Line]:
    """An entry, and the one that undoes it. Nothing for 0. The instant of the first is not compared."""
    debit, credit = accounts if minor > 0 else (accounts[1], accounts[0])
    lines = [Line(mchid, cause, kind, debit, credit, abs(minor), currency, ANY_TIME)]
    if superseded_at is not None:
        lines.append(Line(mchid, cause, f"{kind}_back", credit, debit, abs(minor), currency, superseded_at))
    return lines if minor else []


def _rows_of_superseded(rows: StatementRows) -> Iterator[Disagreement]:
    """None of a superseded statement's rows is current."""
    current = [("remittance", each.remittance_id) for each in rows.remittances if each.superseded_at is None]
    current += [("conversion", each.conversion_id) for each in rows.conversions if each.superseded_at is None]
    for table, row_id in current:
        yield _wrong(table, rows.statement, row_id, "superseded_at", rows.statement.superseded_at, NOTHING)


def _wrong_remittances(rows: StatementRows) -> Iterator[Disagreement]:
    statement = rows.statement
    remittances = [each for each in rows.remittances if each.superseded_at is None]
    for each in remittances:
        net_minor = each.paid_minor - each.refunded_minor - each.fee_minor
        if each.net_minor != net_minor:
            yield _wrong("remittance", statement, each.remittance_id, "net_minor", net_minor, each.net_minor)
        if statement.kind != "settlement":
            yield _wrong(
                "remittance", statement, each.remittance_id, "a row too many", NOTHING, each.currency
            )
    for currency in sorted({sums.currency for sums in rows.sums if statement.kind == "settlement"}):
        yield from _wrong_sums(statement, currency, rows.sums, remittances)


def _wrong_sums(
    statement: StatementRow,
    currency: str,
    all_sums: Sequence[LineSums],
    all_remittances: Sequence[RemittanceRow],
) -> Iterator[Disagreement]:
    """Sums of lines are exact, except that the fee of each remittance is rounded to the minor unit."""
    sums = [each for each in all_sums if each.currency == currency]
    remittances = [each for each in all_remittances if each.currency == currency]
    named = remittances[0].remittance_id if remittances else statement.statement_id
    paid, refunded = sum(each.paid_minor for each in sums), sum(each.refunded_minor for each in sums)
    found = sum(each.paid_minor for each in remittances), sum(each.refunded_minor for each in remittances)
    if found != (paid, refunded):
        yield _wrong(
            "remittance", statement, named, "sums of lines", f"{paid}, {refunded}", f"{found[0]}, {found[1]}"
        )
    unit = 10 ** (MICROS - exponent(currency))
    fee_micros = sum(each.fee_micros for each in sums)
    fee_minor = sum(each.fee_minor for each in remittances)
    if 2 * abs(fee_minor * unit - fee_micros) > unit * max(len(remittances), 1):
        yield _wrong("remittance", statement, named, "fee of lines", f"{fee_micros} millionths", fee_minor)


def _wrong_conversions(rows: StatementRows) -> Iterator[Disagreement]:
    statement = rows.statement
    found = {
        (each.price_currency, each.settlement_currency): each
        for each in rows.conversions
        if each.superseded_at is None
    }
    for sums in rows.sums if statement.kind == "transactions" else ():
        if sums.currency == sums.settlement_currency:
            continue
        wanted = sums.paid_minor - sums.refunded_minor, sums.settlement_minor
        row = found.pop((sums.currency, sums.settlement_currency), None)
        amounts = None if row is None else (row.price_minor, row.settlement_minor)
        if amounts != wanted:
            named = statement.statement_id if row is None else row.conversion_id
            yield _wrong(
                "conversion", statement, named, "sums of lines", str(wanted), str(amounts or NOTHING)
            )
    for row in found.values():
        yield _wrong(
            "conversion", statement, row.conversion_id, "a row too many", NOTHING, row.price_currency
        )


def _wrong(
    table: str, statement: StatementRow, row_id: str, what: str, expected: object, found: object
) -> Disagreement:
    return Disagreement(table, statement.mchid, row_id, what, str(expected), str(found))
