"""The demonstration: trade of a month in both books, planted errors, the reconciliation, and the comparison.

Reconciliation and comparison are processes of their own. The list of planted errors stays in this process's memory
until the reconciling process has ended, since a file's mode keeps no process of root from reading it. The wallets' own
list is behind their control API, which only this process calls.
"""

import asyncio
import json
import os
import struct
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from pathlib import Path
from typing import Any, Final

from tael.cli.demo_folder import CLOCK
from tael.cli.isolation import without_callers
from tael.cli.listener import start_api
from tael.cli.processes import die_with, end, start
from tael.services import clock_of
from tael.stores import open_store
from tael_demo.demo import addresses_of, settings_of
from tael_demo.payer import Payer
from tael_demo.reconcile import gateway_books, live_orders, planting
from tael_demo.reconcile.plan import BEIJING, TradePlan, plan_text
from tael_demo.stack import (
    DemoPaths,
    DemoStack,
    listener_of,
    refuse_taken_ports,
    running_wallets,
    wait_until_answers,
)
from tael_demo.testing.folders import new_folder

BOOKS: Final = "sandbox.sqlite"
OFFSET: Final = struct.Struct("<q")
IMPORT_LIMIT_S: Final = 300.0
COMPARISON_LIMIT_S: Final = 120.0
#: By then everything is settled, and every file of it can be downloaded.
MONTH_OVER_AFTER: Final = timedelta(days=5)

#: Called with the name of a step, how much of it is done, and how much there is.
OnProgress = Callable[[str, int, int], None]
Row = dict[str, Any]


class StepFailed(Exception):
    """A process of the demonstration failed; the message has the end of its output."""


@dataclass(frozen=True, slots=True)
class Result:
    """`comparison` is what `comparison.py` prints. `seconds` are those of the reconciling process."""

    comparison: Row
    orders: int
    seconds: float


def demonstrate(plan: TradePlan, errors: int, port: int, on_progress: OnProgress) -> Result:
    """Raises DemoRefused, EmbeddedPostgresError, StepFailed, and what the steps raise."""
    with new_folder() as folder:
        refuse_taken_ports(DemoPaths(port, folder))
        data = folder / "data"
        data.mkdir(mode=0o711)
        _set_clock(data / CLOCK, date.fromisoformat(plan.first_day))
        _fill_wallets(plan, data, on_progress)
        with running_wallets(DemoPaths(port, data)) as stack:
            trading = asyncio.run(_fill_gateway(stack, plan))
            on_progress("gateway's books", 1, 1)
            with _gateway(stack):
                asyncio.run(_trade(stack, plan, trading, on_progress))
            manifest = _plant(stack, plan, errors, on_progress)
            out = folder / "found"
            out.mkdir(mode=0o700)
            seconds = _reconcile(stack, plan, out, on_progress)
            _write(out / "manifest.json", manifest)
            _write(out / "accounts.json", compared_accounts(stack.accounts(), plan))
        comparison = _compare(out, data / "sandbox" / BOOKS)
        on_progress("comparison", 1, 1)
    return Result(comparison, sum(event.kind == "payment" for event in plan.events) + len(plan.live), seconds)


def _set_clock(path: Path, first: date) -> None:
    """Wallets and gateway begin at the start of the first day. The clock's file has the offset in microseconds."""
    offset = datetime.combine(first, time(), BEIJING) - datetime.now(UTC)
    path.write_bytes(OFFSET.pack(offset // timedelta(microseconds=1)))


def _fill_wallets(plan: TradePlan, data: Path, on_progress: OnProgress) -> None:
    """By a process of the sandbox's own code, before it runs."""
    on_progress("wallets' books", 0, 1)
    path, log = data / "plan.json", data / "import.log"
    path.write_text(plan_text(plan), "utf-8")
    arguments = ["-m", "tael_sandbox.trade_import", str(path), "--data", str(data / "sandbox")]
    child = start(arguments, without_callers(os.environ), log=log)
    try:
        if child.wait(IMPORT_LIMIT_S) != 0:
            raise StepFailed(f"the wallets' books: {_last_line(log.read_text())}")
    finally:
        end(child)
    path.unlink()
    on_progress("wallets' books", 1, 1)


async def _fill_gateway(stack: DemoStack, plan: TradePlan) -> gateway_books.TradingAccounts:
    settings = settings_of(stack)
    async with open_store(settings) as store:
        now = clock_of(settings).now()
        trading = await gateway_books.add_merchants(store, plan, stack.accounts(), now)
        await gateway_books.write(store.database, gateway_books.rows_of(plan, trading))
    return trading


@contextmanager
def _gateway(stack: DemoStack) -> Iterator[None]:
    """One process that serves merchants."""
    log = stack.paths.data / "logs" / "api.log"
    with listener_of(stack.paths) as listener:
        child = start_api(listener, stack.environment, True, log)
        try:
            wait_until_answers(f"{stack.paths.gateway_url}/readyz", "the gateway", stack.paths)
            yield
        finally:
            end(child)


async def _trade(
    stack: DemoStack, plan: TradePlan, trading: gateway_books.TradingAccounts, on_progress: OnProgress
) -> None:
    on_paid = _counted(on_progress, "payments over HTTP", len(plan.live))
    async with Payer(addresses_of(stack), trading.app) as payer:
        await live_orders.pay_all(payer, trading.app.mchids, plan.live, on_paid)
        over = datetime.combine(date.fromisoformat(plan.last_day), time(), BEIJING) + MONTH_OVER_AFTER
        await live_orders.move_clock(payer, over)


def _plant(stack: DemoStack, plan: TradePlan, errors: int, on_progress: OnProgress) -> list[Row]:
    control = planting.control_of(stack.paths.sandbox_url)
    days = planting.days_between(date.fromisoformat(plan.first_day), date.fromisoformat(plan.last_day))
    closed = len(days) * len(planting.WALLETS)
    planting.close_days(control, days, _counted(on_progress, "days closed", closed))
    return planting.plant(control, days, errors, plan.seed, _counted(on_progress, "errors planted", errors))


def _reconcile(stack: DemoStack, plan: TradePlan, out: Path, on_progress: OnProgress) -> float:
    """Runs the reconciling process, and returns the seconds that it worked."""
    arguments = ["--first", plan.first_day, "--last", plan.last_day, "--out", str(out)]
    log = stack.paths.data / "logs" / "reconciling.log"
    seconds = 0.0
    with log.open("wb") as errors:
        child = subprocess.Popen(
            [sys.executable, "-m", "tael_demo.reconcile.reconciling", *arguments],
            env=stack.environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=errors,
            text=True,
            preexec_fn=die_with(os.getpid()),
            start_new_session=True,
        )
        try:
            assert child.stdout is not None
            for line in child.stdout:
                members = json.loads(line)
                if "seconds" in members:
                    seconds = members["seconds"]
                else:
                    on_progress(members["step"], members["done"], members["total"])
            if child.wait() != 0:
                raise StepFailed(f"the reconciliation: {_last_line(log.read_text())}")
        finally:
            end(child)
            assert child.stdout is not None
            child.stdout.close()
    return seconds


def compared_accounts(wallet_accounts: Sequence[Row], plan: TradePlan) -> list[Row]:
    """Number and currency of settlement of the plan's accounts, as the wallets list them."""
    labels = {merchant.label for merchant in plan.merchants}
    return [
        {
            "wallet": row["wallet"],
            "account": row["pid"] if row["wallet"] == "alipay" else row["sub_mch_id"],
            "currency": row["currency"],
        }
        for row in wallet_accounts
        if row["shop"] in labels
    ]


def _compare(folder: Path, books_file: Path) -> Row:
    done = subprocess.run(
        [sys.executable, "-m", "tael_demo.reconcile.comparison", str(folder), str(books_file)],
        env=without_callers(os.environ),
        capture_output=True,
        text=True,
        timeout=COMPARISON_LIMIT_S,
        check=False,
    )
    if done.returncode != 0:
        raise StepFailed(f"the comparison: {_last_line(done.stderr)}")
    comparison: Row = json.loads(done.stdout)
    return comparison


def _counted(on_progress: OnProgress, step: str, total: int) -> Callable[[], None]:
    done = 0

    def count() -> None:
        nonlocal done
        done += 1
        on_progress(step, done, total)

    return count


def _last_line(text: str) -> str:
    return (text.strip().splitlines() or ["no output"])[-1]


def _write(path: Path, rows: Sequence[Mapping[str, Any]]) -> None:
    path.write_text(json.dumps(rows), "utf-8")
