"""Statements of both wallets that are stored without a file, and runs of their reconciliation."""

import hashlib
from collections.abc import AsyncIterator, Sequence
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from typing import Any, Final

from tael.base import ids
from tael.base.money import Money
from tael.channels.statements import LineType, StatementKind, StatementLine
from tael.merchants.domain.account import Account
from tael.operations.store import Store
from tael.payments.context import PaymentContext
from tael.reconciliation.domain.difference import Difference
from tael.reconciliation.domain.reconciliation import Reconciliation
from tael.reconciliation.runs import reconcile_statement
from tael.services import reconciliation_over
from tael.statements.domain.statement import Source, Statement
from tael.statements.store.statements import CompleteStatement
from tests.support.values import AMOUNT, NOW, ORIGIN, a_wechat_account, origin_at

WECHAT: Final = a_wechat_account()
DAY: Final = date(2026, 1, 2)  #: of `NOW`
ONE_DAY: Final = timedelta(days=1)
TRANSACTIONS: Final = StatementKind.TRANSACTIONS


def a_line(type_: LineType, syssn: str, amount: Money = AMOUNT, **changes: Any) -> StatementLine:
    """A line at `NOW` without a fee."""
    line = StatementLine(
        number=1,
        type=type_,
        syssn=syssn,
        payment_syssn="",
        wallet_ref="",
        wallet_refund_ref="",
        at=NOW,
        amount=amount,
        fee_micros=0,
        settlement=None,
        rate_e8=None,
        settled_at=None,
        state="SUCCESS",
        identity="",
    )
    return replace(line, **changes)


def paid_line(syssn: str, amount: Money = AMOUNT, **changes: Any) -> StatementLine:
    return a_line(LineType.PAYMENT, syssn, amount, **changes)


async def stored(
    store: Store,
    lines: Sequence[StatementLine],
    *,
    account: Account = WECHAT,
    day: date = DAY,
    kind: StatementKind = TRANSACTIONS,
    at: datetime = NOW,
) -> Statement:
    """The lines, numbered from 1, as the current statement of the account, kind and day."""
    numbered = [replace(line, number=number) for number, line in enumerate(lines, 1)]
    statement_id = ids.statement_id()
    statement = Statement(
        mchid=account.mchid,
        statement_id=statement_id,
        account_id=account.account_id,
        protocol=account.protocol,
        kind=kind,
        day=day,
        sha256=hashlib.sha256(statement_id.encode()).hexdigest(),
        size=1,
        source=Source.IMPORTED,
        lines=len(numbered),
        unknown_columns=0,
        totals=(),
        stored_at=at,
    )

    async def batches() -> AsyncIterator[Sequence[StatementLine]]:
        if numbered:
            yield numbered

    return await store.statements.store(
        statement.mchid,
        statement.statement_id,
        batches(),
        lambda: CompleteStatement(statement, (), ()),
        b"",
        is_packed=False,
        is_replacing=True,
        origin=origin_at(at),
    )


async def reconciled(statement: Statement, gateway: PaymentContext) -> Reconciliation:
    """One run of a current statement."""
    store = gateway.store
    assert isinstance(store, Store)
    done = await reconcile_statement(statement, reconciliation_over(store, gateway), ORIGIN)
    assert done is not None
    return done.run


async def all_differences(store: Store) -> list[Difference]:
    return await store.differences.newest(with_resolved=True, limit=1000)


async def due_statements(store: Store, at: datetime = NOW) -> set[str]:
    rows = await store.database.fetch("SELECT statement_id FROM statement WHERE check_at <= $1", at)
    return {row["statement_id"] for row in rows}


def day_start(day: date) -> datetime:
    """Midnight in UTC+8."""
    return datetime(day.year, day.month, day.day, tzinfo=UTC) - timedelta(hours=8)
