"""`python -m tael_demo.reconcile.reconciling`: what an operator does after a month, by the gateway's own functions.

Fetches and imports the statements of all accounts, which books their remittances, and compares them with the gateway's
records. Settings come from the environment. Prints lines of JSON with its progress, and writes `differences.json`,
`remittances.json` and `banks.json` into the folder `--out`.
"""

import argparse
import asyncio
import json
import time
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from pathlib import Path
from typing import Any, Final

import uvloop

from tael.audit_log.domain.entry import Origin
from tael.base.clock import Clock
from tael.channels.base import Channel
from tael.channels.registry import installed_protocols
from tael.channels.statements import StatementFormat, StatementKind
from tael.config import Settings, read_settings
from tael.merchants.domain.account import Account
from tael.operations.store import Store
from tael.reconciliation.runs import ReconciliationContext, reconcile_statement
from tael.services import ServiceSettings, clock_of, open_channels, payments_over, reconciliation_over
from tael.statements.downloads import fetch_statement
from tael.statements.imports import Imported
from tael.stores import open_store
from tael_demo.reconcile.reports import bank_rows, difference_rows, remittance_rows
from tael_demo.seed import origin_of_demo

#: Downloads at a time.
CONCURRENCY: Final = 6
#: Days after the last day of trade on which something of it can be settled.
SETTLED_WITHIN: Final = 3
#: Wallets are queried about a difference; nothing is opened, so no address of a notice is used.
PUBLIC_URL: Final = "http://127.0.0.1"

#: Of many parts, progress is printed for some only.
MANY, PRINTED_EVERY = 200, 20

OnProgress = Callable[[str, int, int], None]


class NotFetched(Exception):
    """A statement that could not be fetched."""


@dataclass(frozen=True, slots=True)
class Month:
    """The days of trade."""

    first: date
    last: date

    def days(self, *, after: int) -> list[date]:
        """With this many days after the last."""
        count = (self.last - self.first).days + 1 + after
        return [self.first + timedelta(days=number) for number in range(count)]


@dataclass(frozen=True, slots=True)
class Gateway:
    """What one process of the gateway works with."""

    store: Store
    channels: Mapping[str, Channel]
    clock: Clock

    @property
    def origin(self) -> Origin:
        return origin_of_demo(self.clock.now())


@asynccontextmanager
async def opened_gateway(settings: Settings) -> AsyncIterator[Gateway]:
    clock = clock_of(settings)
    async with open_store(settings) as store, open_channels(settings, clock, _note_nothing) as channels:
        yield Gateway(store, channels, clock)


async def _note_nothing(*_: Any) -> None:
    """Answers to downloads need no incidents here."""


@dataclass(frozen=True, slots=True)
class Task:
    account: Account
    kind: StatementKind
    day: date


def tasks_of(accounts: Sequence[Account], channels: Mapping[str, Channel], month: Month) -> Iterator[Task]:
    """The statements of all accounts: of the days of trade, and of those on which it can be settled.

    Of transactions also the day after: only then is a movement of the last day missing rather than late.
    """
    for account in accounts:
        source = channels[account.protocol].statements
        kinds = source.kinds if source is not None else frozenset()
        for kind in sorted(kinds):
            is_settlement = kind is StatementKind.SETTLEMENT
            days = month.days(after=SETTLED_WITHIN)[1:] if is_settlement else month.days(after=1)
            yield from (Task(account, kind, day) for day in days)


async def fetch_all(gateway: Gateway, tasks: Sequence[Task], on_progress: OnProgress) -> None:
    """Raises NotFetched, and what an import raises."""
    slots, done = asyncio.Semaphore(CONCURRENCY), 0

    async def run(task: Task) -> None:
        nonlocal done
        async with slots:
            await fetch(gateway, task)
        done += 1
        on_progress("fetch", done, len(tasks))

    async with asyncio.TaskGroup() as group:
        for task in tasks:
            group.create_task(run(task))


async def fetch(gateway: Gateway, task: Task) -> None:
    source = gateway.channels[task.account.protocol].statements
    assert source is not None
    outcome = await fetch_statement(
        gateway.store.statements,
        source,
        task.account,
        _format_of(task.account),
        task.kind,
        task.day,
        is_replacing=False,
        origin=gateway.origin,
    )
    if not isinstance(outcome, Imported):
        raise NotFetched(f"{task.account.identity}, {task.kind}, {task.day}: {outcome}")


def _format_of(account: Account) -> StatementFormat:
    form = installed_protocols().named(account.protocol).statements
    assert form is not None
    return form


async def compare_all(gateway: Gateway, month: Month, on_progress: OnProgress) -> None:
    """Compares the stored statements with the gateway's records, account by account, as `tael reconcile run` does."""
    accounts = await gateway.store.accounts.all()
    context = reconciliation_over(
        gateway.store,
        payments_over(gateway.store, gateway.channels, gateway.clock, ServiceSettings(PUBLIC_URL)),
    )
    slots, done = asyncio.Semaphore(CONCURRENCY), 0

    async def run(account: Account) -> None:
        nonlocal done
        async with slots:
            await compare_account(account, context, gateway.origin, month)
        done += 1
        on_progress("accounts compared", done, len(accounts))

    async with asyncio.TaskGroup() as group:
        for account in accounts:
            group.create_task(run(account))


async def compare_account(
    account: Account, context: ReconciliationContext, origin: Origin, month: Month
) -> None:
    last = month.last + timedelta(days=SETTLED_WITHIN)
    async for statement in context.reconciliations.current_statements(account.account_id, month.first, last):
        # A settlement without lines, as of WeChat Pay, has remittances only.
        if statement.lines or statement.kind is StatementKind.TRANSACTIONS:
            await reconcile_statement(statement, context, origin)


async def reconcile_month(gateway: Gateway, month: Month, out: Path, on_progress: OnProgress) -> None:
    accounts = {account.account_id: account for account in await gateway.store.accounts.all()}
    last = month.last + timedelta(days=SETTLED_WITHIN)
    tasks = list(tasks_of(list(accounts.values()), gateway.channels, month))
    await fetch_all(gateway, tasks, on_progress)
    await compare_all(gateway, month, on_progress)
    _write(out / "differences.json", await difference_rows(gateway.store, accounts))
    _write(out / "remittances.json", await remittance_rows(gateway.store, accounts, month.first, last))
    _write(out / "banks.json", await bank_rows(gateway.store, accounts))


def _write(path: Path, rows: Sequence[Mapping[str, Any]]) -> None:
    path.write_text(json.dumps(rows), "utf-8")


def print_progress(step: str, done: int, total: int) -> None:
    if total < MANY or done % PRINTED_EVERY == 0 or done == total:
        print(json.dumps({"step": step, "done": done, "total": total}), flush=True)


async def _run(month: Month, out: Path) -> None:
    began = time.perf_counter()
    async with opened_gateway(read_settings()) as gateway:
        await reconcile_month(gateway, month, out, print_progress)
    print(json.dumps({"seconds": round(time.perf_counter() - began, 1)}), flush=True)


def _day(text: str) -> date:
    return datetime.strptime(text, "%Y-%m-%d").date()


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--first", type=_day, required=True)
    parser.add_argument("--last", type=_day, required=True)
    parser.add_argument("--out", type=Path, required=True)
    options = parser.parse_args()
    uvloop.run(_run(Month(options.first, options.last), options.out))


if __name__ == "__main__":
    main()
