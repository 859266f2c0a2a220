"""Statements on a request's path find payments by their numbers, also when PostgreSQL's statistics are old.

The trap is a partial index that was empty when statistics were gathered: it looks free, and holds every pending row.
"""

import asyncio
from importlib import import_module
from pkgutil import walk_packages
from typing import Any, Final

import psycopg

import tael.payments.store
from tael.operations.store import Store
from tests.support.store import being_paid
from tests.support.values import a_payment

DUE: Final = "due_of_account"
ROWS: Final = 400
STATEMENTS: Final = {
    f"{module.name.rpartition('.')[2]}.{name}": value
    for module in walk_packages(tael.payments.store.__path__, "tael.payments.store.")
    for name, value in vars(import_module(module.name)).items()
    if isinstance(value, str)
    and "mchid = $1" in value
    and " payment " in value.replace("\n", " ")
    and "{" not in value
}


def test_the_statements_are_found() -> None:
    assert {"payments.EXPEDITE", "payments.BY_SYSSN", "transactions.BY_REFERENCES"} <= STATEMENTS.keys()


def plan_of(connection: "psycopg.Connection[Any]", statement: str) -> str:
    """As for parameters of any value."""
    return "\n".join(line for (line,) in connection.execute(f"EXPLAIN (GENERIC_PLAN) {statement}"))


async def test_no_statement_of_a_request_reads_all_pending_payments(store: Store, database_url: str) -> None:
    await store.database.execute("ALTER TABLE payment SET (autovacuum_enabled = false)")
    decided = [a_payment() for _ in range(ROWS)]
    await asyncio.gather(*map(store.payments.open, decided))
    await asyncio.gather(*(store.payments.record(being_paid(payment)) for payment in decided))
    await store.database.execute("ANALYZE payment")  # no payment is pending
    await asyncio.gather(*(store.payments.open(a_payment()) for _ in range(ROWS)))

    with psycopg.connect(database_url) as connection:
        plans = {name: plan_of(connection, statement) for name, statement in STATEMENTS.items()}
    assert {name: plan for name, plan in plans.items() if DUE in plan} == {}
