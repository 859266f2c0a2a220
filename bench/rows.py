"""A database with so many orders, loaded once with COPY and kept.

They are payments of the past twelve months, paid, with their references and ledger entries. A fifth of them are the
bench's merchant's, the others belong to a thousand merchants.
"""

import asyncio
import time
from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta
from typing import Any, Final

import psycopg

from bench import cluster, setup
from bench.cluster import Server
from tael.db.tables import Table
from tael.ledger.store.entries import ENTRY
from tael.payments.domain.entries import payment_entry
from tael.payments.domain.payment import Payment
from tael.payments.store.rows import PAYMENT

MERCHANTS: Final = 1000
#: Every so many orders, one is the bench's merchant's.
OWN_SHARE: Final = 5
YEAR: Final = timedelta(days=365)
BLOCK: Final = 2_000
SECOND: Final = timedelta(seconds=1)


def database_of(server: Server, rows: int, template: Payment) -> tuple[str, float]:
    """The URL of a kept database with so many orders like the paid `template`; and the seconds of loading, or 0."""
    name = f"rows_{rows}"
    if cluster.exists(server, name):
        return server.url_of(name), 0.0
    began = time.perf_counter()
    loading = f"{name}_loading"
    url = cluster.create(server, loading)
    asyncio.run(setup.add_merchant(url, "http://127.0.0.1:9/"))
    _load(url, rows, template)
    cluster.rename(server, loading, name)
    return server.url_of(name), time.perf_counter() - began


def syssn_of(template: Payment, number: int) -> str:
    """Of the order with this number, counted from 0."""
    return f"{template.syssn[:8]}{number:016d}"


def _load(url: str, rows: int, template: Payment) -> None:
    """Secondary indexes are made afterwards, which is faster and leaves them dense."""
    with psycopg.connect(url, autocommit=True) as connection:
        indexes = _secondary_indexes(connection)
        for name in indexes:
            connection.execute(f"DROP INDEX {name}")
        for first in range(0, rows, BLOCK * 50):
            last = min(first + BLOCK * 50, rows)
            payments = [_order(template, number, rows) for number in range(first, last)]
            _copy(connection, "payment", PAYMENT.columns, _values(PAYMENT, payments))
            names = ("mchid", "reference", "payment_syssn")
            _copy(connection, "reference", names, ([p.mchid, p.reference, p.syssn] for p in payments))
            entries = [payment_entry(each, each.changed_at) for each in payments]
            _copy(connection, "ledger_entry", ENTRY.columns, _values(ENTRY, entries))
        for statement in indexes.values():
            connection.execute(statement)
        connection.execute("VACUUM (FREEZE, ANALYZE)")


def _order(template: Payment, number: int, rows: int) -> Payment:
    at = template.created_at - YEAR + YEAR * number / rows
    mchid = setup.MCHID if number % OWN_SHARE == 0 else f"OTHERMERCHANT{number % MERCHANTS:03d}"
    return template.replace(
        mchid=mchid,
        syssn=syssn_of(template, number),
        reference=f"loaded-{number}",
        created_at=at,
        changed_at=at + SECOND,
        paid_at=at + SECOND,
        expires_at=at + timedelta(minutes=2),
        deadline=at + timedelta(minutes=2),
    )


def _values(table: Table[Any], rows: Sequence[Any]) -> Iterator[list[object]]:
    return (table.values(row, table.columns) for row in rows)


def _copy(
    connection: "psycopg.Connection[Any]", table: str, columns: Sequence[str], rows: Iterator[list[object]]
) -> None:
    with (
        connection.cursor() as cursor,
        cursor.copy(f"COPY {table} ({', '.join(columns)}) FROM STDIN") as copy,
    ):
        for row in rows:
            copy.write_row(row)


def _secondary_indexes(connection: "psycopg.Connection[Any]") -> dict[str, str]:
    found = connection.execute(
        "SELECT c.relname, pg_get_indexdef(c.oid) FROM pg_index AS i JOIN pg_class AS c ON c.oid = i.indexrelid"
        " WHERE NOT i.indisprimary AND i.indrelid = ANY(ARRAY['payment', 'reference', 'ledger_entry']::regclass[])"
    )
    return dict(found.fetchall())


def month_of(template: Payment) -> tuple[datetime, datetime]:
    """The last month with orders."""
    first = (template.created_at - timedelta(days=31)).replace(
        day=1, hour=0, minute=0, second=0, microsecond=0
    )
    return first, (first + timedelta(days=32)).replace(day=1)
