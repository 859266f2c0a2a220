"""Statements on a request's path find rows by their numbers, also when PostgreSQL's statistics are old.

There are two traps. Before its first ANALYZE a table looks small, with one row for each merchant: any index that begins
with the merchant, or no index at all, looks as cheap as the right one, and a connection keeps its plan while the table
grows. And a partial index that was empty when statistics were gathered looks free, but holds every pending row.
"""

import asyncio
import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import timedelta
from hashlib import sha256
from importlib import import_module
from itertools import count
from pkgutil import walk_packages
from typing import TYPE_CHECKING, Any, Final

from tael.db.database import Database, without_lock_waits
from tael.db.pipeline import Statement
from tael.operations.store import Store
from tael.payments.domain.payment import Payment
from tael.payments.domain.refund import RefundRules
from tael.payments.store import transactions
from tael.payments.store.reservations import Reservation
from tael.payments.store.transactions import Filter
from tests.support.citus import needs_plain_postgres
from tests.support.store import being_paid
from tests.support.values import MCHID, NOW, a_payment, a_refund

if TYPE_CHECKING:
    from tael.db.database import Connection

pytestmark = needs_plain_postgres

ROWS: Final = 1500
SIZES: Final = 60
AREAS: Final = ("incidents", "ledger", "payments", "unmatched", "webhooks")
#: The tables that grow with payments.
GROWING: Final = frozenset(
    {
        *("payment", "refund", "reversal", "reference", "ledger_entry", "webhook", "webhook_attempt"),
        *("checkout_link", "unmatched_payment", "incident"),
    }
)
INDEXES: Final = """
SELECT i.indexrelid::regclass::text, array_agg(pg_get_indexdef(i.indexrelid, place, true) ORDER BY place)
FROM pg_index AS i CROSS JOIN generate_series(1, i.indnkeyatts) AS place
WHERE i.indrelid = ANY($1::text[]::regclass[]) GROUP BY 1
"""
OPTIONS: Final = "SELECT relname, reloptions FROM pg_class WHERE relname = ANY($1)"
PLANNED: Final = "SELECT custom_plans, generic_plans FROM pg_prepared_statements WHERE statement = $1"
#: A value of each type that parameters have.
VALUES: Final = {
    "text": "x",
    "bigint": "1",
    "integer": "1",
    "boolean": "false",
    "timestamp with time zone": "2026-01-01",
    "date": "2026-01-01",
    "bytea": "x",
    "numeric": "1",
    "jsonb": "{}",
    "interval": "1 day",
}
#: Of one connection: executions that were planned for their parameters, and others.
PLANS_MADE: Final = """
SELECT sum(custom_plans) || ' ' || sum(generic_plans) AS made FROM pg_prepared_statements WHERE parameter_types <> '{}'
"""
BATCH_ROWS: Final = 64
CALLS: Final = 20
numbers = count()
#: PostgreSQL plans the first calls for their parameters, and compares.
CUSTOM_PLANS: Final = 5
CONDITION: Final = re.compile(r"\b(\w+) (?:=|[<>]=?) ")
#: Parts of other statements.
PARTS: Final = frozenset(
    {
        "transactions.FILTERED",
        *(f"queue.{name}" for name in ("FIRST_APP", "NEXT_APP", "QUEUED_APPS", "FIRST_DUE")),
    }
)
#: Read a queue, a period of one merchant, or a list with any filters.
RANGES: Final = frozenset(
    {
        "queue.CLAIM",
        "queue.CLAIM_PARTS",
        "queue.REPORT",
        "digests.FIRST_AT",
        "volumes.VOLUMES",
        "transactions.LIST",
    }
)
#: For operators' commands and for metrics, or once for each decision of an operator.
RARE: Final = frozenset(
    {
        *(f"incidents.{name}" for name in ("LIST", "BY_ID", "COUNTS", "RESOLVE", "RESOLVE_ABOUT")),
        *(f"unmatched.{name}" for name in ("LIST", "BY_ID", "BY_SYSSN", "FIGURES")),
        *(f"webhooks.{name}" for name in ("LIST", "EXHAUSTED", "OWNERS", "ATTEMPTS")),
        *("queue.NEWEST", "payments.ANYWHERE"),
    }
)
#: A link has two unique keys that begin with its merchant. Before the first ANALYZE, the younger one is taken for both.
WITH_TWO_KEYS: Final = frozenset(
    {"checkouts.BY_REFERENCE", "checkouts.LOCK", "checkouts.SET_ORDER", "checkouts.END"}
)
#: A list by many numbers: until then, reading a merchant's rows once looks cheaper than looking up each number.
BY_SEVERAL: Final = frozenset({"transactions.BY_REFERENCES"})
#: Of small tables, which are elsewhere.
DIRECTORY: Final = frozenset({"link_keys.RETIRE_CURRENT", "link_keys.DELETE_ENDED"})
EXEMPT: Final = PARTS | RANGES | RARE | WITH_TWO_KEYS | BY_SEVERAL


def statements() -> Iterator[tuple[str, str]]:
    """The constants of every store about tables of cells, by module and name."""
    for area in AREAS:
        store = import_module(f"tael.{area}.store")
        for module in walk_packages(store.__path__, f"{store.__name__}."):
            for name, value in vars(import_module(module.name)).items():
                short = f"{module.name.rpartition('.')[2]}.{name}"
                if isinstance(value, str) and is_statement(value) and short not in EXEMPT | DIRECTORY:
                    yield short, value


def is_statement(text: str) -> bool:
    return text.lstrip().startswith(("SELECT", "WITH", "INSERT", "UPDATE", "DELETE")) and "{" not in text


STATEMENTS: Final = dict(statements())


def test_the_statements_are_found() -> None:
    assert {"payments.EXPEDITE", "transactions.BY_SYSSNS", "entries.READ", "webhooks.OF_CAUSES"} <= (
        STATEMENTS.keys()
    )


@dataclass(frozen=True, slots=True)
class KeptPlans:
    """Plans for parameters of any value, as a connection of the gateway has made and kept them."""

    connection: "Connection"
    indexes: Mapping[str, list[str]]  #: of growing tables, with their columns in order

    async def make(self, statements: Mapping[str, str], mode: str = "force_generic_plan") -> None:
        await self.connection.execute(f"SET plan_cache_mode = {mode}")
        for name, statement in statements.items():
            await self.connection.execute(f'PREPARE "{name}" AS {statement}')
            await self.nodes(name)

    async def drop(self) -> None:
        for name in STATEMENTS:
            await self.connection.execute(f'DEALLOCATE "{name}"')

    async def nodes(self, name: str) -> list[dict[str, Any]]:
        of = "SELECT parameter_types::text[] FROM pg_prepared_statements WHERE name = $1"
        values = ", ".join(map(value_of, await self.connection.fetchval(of, name)))
        values = f"({values})" if values else ""
        plan = await self.connection.fetchval(f'EXPLAIN (FORMAT JSON) EXECUTE "{name}" {values}')
        return list(every_node(json.loads(plan)[0]["Plan"]))

    async def wide_reads(self, name: str) -> list[str]:
        """The scans that read more than the rows of some numbers or of some time."""
        return [read for node in await self.nodes(name) if (read := self._wide_read(node))]

    def _wide_read(self, node: Mapping[str, Any]) -> str:
        if node["Node Type"] == "Seq Scan" and node["Relation Name"] in GROWING:
            return f"all of {node['Relation Name']}"
        columns = self.indexes.get(node.get("Index Name", ""))
        condition = node.get("Index Cond", "")
        if columns is not None and not {*columns[:2]} <= {*CONDITION.findall(condition)}:
            return f"{node['Index Name']} {condition}"
        return ""


def value_of(kind: str) -> str:
    """An expression of this type; an array has the values of a large batch."""
    scalar = f"'{VALUES[kind.removesuffix('[]')]}'::{kind.removesuffix('[]')}"
    return f"array_fill({scalar}, ARRAY[{BATCH_ROWS}])" if kind.endswith("[]") else scalar


def every_node(plan: dict[str, Any]) -> Iterator[dict[str, Any]]:
    yield plan
    for part in plan.get("Plans", ()):
        yield from every_node(part)


async def kept_plans(database: Database, connection: "Connection") -> KeptPlans:
    indexes = await database.fetch(INDEXES, list(GROWING))
    return KeptPlans(connection, dict(map(tuple, indexes)))


async def add_pending_payments(store: Store) -> None:
    await asyncio.gather(*(store.payments.open(a_payment()) for _ in range(ROWS)))


async def without_autovacuum(store: Store) -> None:
    for table in GROWING:
        await store.database.execute(f"ALTER TABLE {table} SET (autovacuum_enabled = false)")


def a_reference() -> str:
    """In no order, as merchants' numbers are."""
    return sha256(str(next(numbers)).encode()).hexdigest()[:24]


async def add_refunded_payments(store: Store, rows: int = ROWS) -> list[Payment]:
    payments = [a_payment(reference=a_reference()) for _ in range(rows)]
    await asyncio.gather(*map(store.payments.open, payments))
    await asyncio.gather(*(store.payments.record(being_paid(payment)) for payment in payments))
    rules = RefundRules(timedelta(days=1))
    await asyncio.gather(
        *(
            store.refunds.reserve(Reservation(a_refund(payment, reference=a_reference()), rules, NOW))
            for payment in payments
        )
    )
    return payments


async def test_plans_that_were_made_before_the_first_analyze_read_by_number(store: Store) -> None:
    """Made at several sizes: an index of the merchant may just then have fewer pages than the right one."""
    await without_autovacuum(store)
    async with store.database.connection(is_long=True) as connection:
        plans = await kept_plans(store.database, connection)
        wide: dict[str, list[str]] = {}
        for _ in range(SIZES):
            await plans.make(STATEMENTS)
            await add_refunded_payments(store, ROWS // SIZES)
            wide |= {name: reads for name in STATEMENTS if (reads := await plans.wide_reads(name))}
            await plans.drop()
    assert wide == {}


async def test_a_large_batch_reads_by_number_while_tables_are_small(store: Store) -> None:
    """PostgreSQL plans the first calls for their parameters: reading a small table looks cheaper than 64 look-ups."""
    await without_autovacuum(store)
    async with store.database.connection(is_long=True) as connection:
        plans = await kept_plans(store.database, connection)
        await plans.make(STATEMENTS, "force_custom_plan")
        wide = {name: await plans.wide_reads(name) for name in STATEMENTS}
    assert {name: reads for name, reads in wide.items() if reads} == {}


async def test_a_query_of_one_number_is_not_planned_at_every_call(store: Store) -> None:
    payment, *_ = await add_refunded_payments(store)
    await store.database.execute("ANALYZE payment, refund")
    any_number = Filter(MCHID, None, None, None, None, None, None, page=1, page_size=10)
    for _ in range(CALLS):
        await store.transactions.list(replace(any_number, syssns=[payment.syssn]))
        await store.transactions.list(replace(any_number, references=[payment.reference]))
    for statement in (transactions.BY_SYSSN, transactions.BY_REFERENCE):
        (row,) = await store.database.fetch(PLANNED, statement)
        assert (row["custom_plans"], row["generic_plans"]) == (CUSTOM_PLANS, CALLS - CUSTOM_PLANS)


async def test_plans_that_were_made_while_nothing_was_pending_read_by_number(store: Store) -> None:
    await without_autovacuum(store)
    decided = [a_payment() for _ in range(ROWS)]
    await asyncio.gather(*map(store.payments.open, decided))
    await asyncio.gather(*(store.payments.record(being_paid(payment)) for payment in decided))
    await store.database.execute("UPDATE webhook SET deliver_at = NULL, state = 'DELIVERED'")
    await store.database.execute("ANALYZE reference, payment, ledger_entry, webhook")
    async with store.database.connection(is_long=True) as connection:
        plans = await kept_plans(store.database, connection)
        await plans.make(STATEMENTS)
        await add_pending_payments(store)
        wide = {name: await plans.wide_reads(name) for name in STATEMENTS}
    assert {name: reads for name, reads in wide.items() if reads} == {}


async def test_vacuum_and_analyze_leave_processors_to_payments(store: Store) -> None:
    rows = await store.database.fetch(OPTIONS, sorted(GROWING))
    ours = {
        "autovacuum_vacuum_cost_delay=10",
        "autovacuum_vacuum_cost_limit=400",
        "autovacuum_analyze_scale_factor=1",
    }
    assert {row["relname"] for row in rows if ours <= set(row["reloptions"] or ())} == GROWING


async def test_a_batch_is_not_planned_for_its_rows(store: Store) -> None:
    """For one row, a plan for any number of rows always looks too expensive."""
    for _ in range(CALLS):
        await add_refunded_payments(store, 1)
    with without_lock_waits():
        sent_at_once = await store.database.transact([Statement(PLANS_MADE)])
        (step_by_step,) = await store.database.fetch(PLANS_MADE)
    assert sent_at_once is not None
    for made in (sent_at_once[0].texts[0], step_by_step["made"]):
        custom, generic = map(int, made.split())
        assert (custom, generic >= CALLS) == (0, True)
