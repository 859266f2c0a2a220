"""A database with so many orders, loaded once with COPY and kept.

They are payments of the past twelve months, paid, with their references and ledger entries. A fifth of them are the
bench's merchant's, the others belong to a thousand merchants. One in fifty is refunded in part.

Rows are sent in COPY's binary format, as asyncpg encodes them: a list of the template's values, in which those that
differ are replaced. Indexes and primary keys are made afterwards, which is faster and leaves them dense.
"""

import asyncio
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any, Final

import asyncpg

from bench import cluster, setup
from bench.cluster import Server
from tael.db.tables import Table
from tael.ledger.domain.entries import EntryKind
from tael.ledger.store.entries import ENTRY
from tael.payments.domain.entries import payment_entry
from tael.payments.domain.payment import Payment
from tael.payments.domain.refund import Refund, RefundState
from tael.payments.store.rows import PAYMENT, REFUND

MERCHANTS: Final = 1000
#: Every so many orders, one is the bench's merchant's.
OWN_SHARE: Final = 5
YEAR: Final = timedelta(days=365)
SECOND: Final = timedelta(seconds=1)
ORDER_TIME: Final = timedelta(minutes=2)
#: One order in so many has a refund; of every merchant, since neither OWN_SHARE nor MERCHANTS divides it.
REFUND_SHARE: Final = 49
REFUNDED_AFTER: Final = timedelta(hours=1)
TABLES: Final = ("payment", "refund", "reference", "ledger_entry")
REFERENCE: Final = ("mchid", "reference", "payment_syssn", "refund_syssn")
#: In the order of their creation. Primary keys are constraints, the others are indexes only.
INDEXES: Final = """
SELECT i.indrelid::regclass::text AS of, i.indexrelid::regclass::text AS name, pg_get_indexdef(i.indexrelid) AS index,
    pg_get_constraintdef(c.oid) AS key
FROM pg_index AS i LEFT JOIN pg_constraint AS c ON c.conindid = i.indexrelid
WHERE i.indrelid = ANY($1::text[]::regclass[]) ORDER BY i.indexrelid
"""


def database_of(server: Server, rows: int, template: Payment) -> tuple[str, float]:
    """The URL of a kept database with so many orders like the paid `template`; and the seconds of loading, or 0."""
    name = f"rows_{rows}"
    if cluster.exists(server, name):
        return server.url_of(name), 0.0
    began = time.perf_counter()
    loading = f"{name}_loading"
    url = cluster.create(server, loading)
    asyncio.run(setup.add_merchant(url, "http://127.0.0.1:9/"))
    asyncio.run(_load(url, rows, template))
    cluster.rename(server, loading, name)
    return server.url_of(name), time.perf_counter() - began


def syssn_of(template: Payment, number: int) -> str:
    """Of the order with this number, counted from 0."""
    return f"{template.syssn[:8]}{number:016d}"


async def copy_payments(url: str, template: Payment, number: int) -> None:
    """Insert so many payments that differ from the paid `template` in their syssn only, with nothing else."""
    record = _Record(PAYMENT, template)
    records = (record.with_values(syssn=syssn_of(template, place)) for place in range(number))
    connection = await asyncpg.connect(url)
    try:
        await connection.copy_records_to_table("payment", columns=PAYMENT.columns, records=records)
    finally:
        await connection.close()


async def _load(url: str, rows: int, template: Payment) -> None:
    connection = await asyncpg.connect(url)
    try:
        indexes = await connection.fetch(INDEXES, TABLES)
        for index in indexes:
            await connection.execute(_removal_of(index))
        for table, columns, records in (
            ("payment", PAYMENT.columns, _payments(template, rows)),
            ("refund", REFUND.columns, _refunds(template, rows)),
            ("reference", REFERENCE, _references(template, rows)),
            ("ledger_entry", ENTRY.columns, _entries(template, rows)),
        ):
            await connection.copy_records_to_table(table, columns=columns, records=records)
        for index in indexes:
            await connection.execute(_creation_of(index))
        await connection.execute("VACUUM (FREEZE, ANALYZE)")
    finally:
        await connection.close()


def _payments(template: Payment, rows: int) -> Iterator[Sequence[object]]:
    record = _Record(PAYMENT, template)
    for number in range(rows):
        at = _created_at(template, number, rows)
        yield record.with_values(
            mchid=_mchid_of(number),
            syssn=syssn_of(template, number),
            reference=_reference_of(number),
            created_at=at,
            changed_at=at + SECOND,
            paid_at=at + SECOND,
            expires_at=at + ORDER_TIME,
            deadline=at + ORDER_TIME,
            refunded_minor=_refunds_of(number),
            refund_count=_refunds_of(number),
        )


def _refunds(template: Payment, rows: int) -> Iterator[Sequence[object]]:
    record = _Record(REFUND, _refund_of(template))
    for number in range(0, rows, REFUND_SHARE):
        at = _created_at(template, number, rows) + REFUNDED_AFTER
        yield record.with_values(
            mchid=_mchid_of(number),
            syssn=_refund_syssn_of(template, number),
            payment_syssn=syssn_of(template, number),
            reference=_refund_reference_of(number),
            created_at=at,
            changed_at=at + SECOND,
            done_at=at + SECOND,
        )


def _refund_of(payment: Payment) -> Refund:
    """Of one minor unit."""
    return Refund(
        mchid=payment.mchid,
        syssn="",
        payment_syssn=payment.syssn,
        account_id=payment.account_id,
        protocol=payment.protocol,
        reference="",
        amount=replace(payment.amount, amount_minor=1),
        client_time=payment.client_time,
        device=payment.device,
        created_at=payment.created_at,
        changed_at=payment.changed_at,
        check_at=None,
        state=RefundState.DONE,
    )


def _references(template: Payment, rows: int) -> Iterator[Sequence[object]]:
    for number in range(rows):
        mchid = _mchid_of(number)
        yield mchid, _reference_of(number), syssn_of(template, number), None
        if _refunds_of(number):
            yield mchid, _refund_reference_of(number), None, _refund_syssn_of(template, number)


def _entries(template: Payment, rows: int) -> Iterator[Sequence[object]]:
    entry = payment_entry(template, template.changed_at)
    record = _Record(ENTRY, entry)
    for number in range(rows):
        mchid, at = _mchid_of(number), _created_at(template, number, rows) + SECOND
        credit = entry.credit.replace(template.mchid, mchid)
        yield record.with_values(
            mchid=mchid,
            cause=syssn_of(template, number),
            kind=entry.kind,
            debit=entry.debit,
            credit=credit,
            amount_minor=entry.amount.amount_minor,
            at=at,
        )
        if _refunds_of(number):
            yield record.with_values(
                cause=_refund_syssn_of(template, number),
                kind=EntryKind.REFUND,
                debit=credit,
                credit=entry.debit,
                amount_minor=1,
                at=at + REFUNDED_AFTER,
            )


class _Record:
    """The columns of one row, of which some are replaced for each of the others."""

    def __init__(self, table: Table[Any], row: object) -> None:
        self._values = table.values(row, table.columns)
        self._places: Mapping[str, int] = {column: place for place, column in enumerate(table.columns)}

    def with_values(self, **values: object) -> Sequence[object]:
        """Valid until the next call."""
        for column, value in values.items():
            self._values[self._places[column]] = value
        return self._values


def _created_at(template: Payment, number: int, rows: int) -> datetime:
    return template.created_at - YEAR + YEAR / rows * number


def _mchid_of(number: int) -> str:
    return setup.MCHID if number % OWN_SHARE == 0 else f"OTHERMERCHANT{number % MERCHANTS:03d}"


def _reference_of(number: int) -> str:
    return f"loaded-{number}"


def _refunds_of(number: int) -> int:
    """How many refunds of one minor unit the order has."""
    return int(number % REFUND_SHARE == 0)


def _refund_syssn_of(template: Payment, number: int) -> str:
    return f"{template.syssn[:8]}9{number:015d}"


def _refund_reference_of(number: int) -> str:
    return f"refund-{number}"


def _removal_of(index: "asyncpg.Record") -> str:
    if index["key"] is None:
        return f"DROP INDEX {index['name']}"
    return f"ALTER TABLE {index['of']} DROP CONSTRAINT {index['name']}"


def _creation_of(index: "asyncpg.Record") -> str:
    if index["key"] is None:
        return str(index["index"])
    return f"ALTER TABLE {index['of']} ADD CONSTRAINT {index['name']} {index['key']}"


def month_of(template: Payment) -> tuple[datetime, datetime]:
    """The last month with orders."""
    first = (template.created_at - timedelta(days=31)).replace(
        day=1, hour=0, minute=0, second=0, microsecond=0
    )
    return first, (first + timedelta(days=32)).replace(day=1)
