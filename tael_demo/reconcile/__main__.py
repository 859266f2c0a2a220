"""`make reconcile-demo`: runs the demonstration, prints a table, and last one line of JSON for programs.

Exits with 1 if an error was missed, a difference was invented, or a sum of settlement differs from the wallets' books.
"""

import argparse
import json
import signal
import sys
from contextlib import suppress
from pathlib import Path
from types import FrameType
from typing import Final, NoReturn

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeElapsedColumn
from rich.table import Table

from tael_demo.embedded.server import EmbeddedPostgresError
from tael_demo.reconcile.demonstration import Result, StepFailed, demonstrate
from tael_demo.reconcile.plan import plan_of
from tael_demo.reconcile.planting import KINDS
from tael_demo.stack import DemoPaths, DemoRefused, refuse_taken_ports

ORDERS: Final = 50_000
LIVE_ORDERS: Final = 1_000
ERRORS: Final = 200
#: The first ports of the blocks that are tried.
PORTS: Final = range(8400, 8600, 4)
INTERRUPTED: Final = 130
ENDING_SIGNALS: Final = (signal.SIGINT, signal.SIGTERM)


class StepBars:
    """A bar for each step, in the order in which they begin."""

    def __init__(self, progress: Progress) -> None:
        self._progress = progress
        self._tasks: dict[str, TaskID] = {}

    def show(self, step: str, done: int, total: int) -> None:
        if step not in self._tasks:
            self._tasks[step] = self._progress.add_task(step, total=total)
        self._progress.update(self._tasks[step], completed=done, total=total)


def main() -> int:
    options = _options()
    for number in ENDING_SIGNALS:
        signal.signal(number, _interrupt)
    console = Console(stderr=True)
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    try:
        with Progress(*columns, console=console) as progress:
            port = free_port() if options.port is None else options.port
            plan = plan_of(options.seed, options.orders, options.live)
            result = demonstrate(plan, options.errors, port, StepBars(progress).show)
    except KeyboardInterrupt:
        return INTERRUPTED
    except (DemoRefused, EmbeddedPostgresError, StepFailed, OSError) as error:
        console.print(f"[red]{error}[/red]")
        return 1
    console.print(table_of(result))
    print(json.dumps(summary_of(result)))
    return 0 if is_correct(result) else 1


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m tael_demo.reconcile", description=(__doc__ or "").strip()
    )
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--orders", type=int, default=ORDERS, help="payments in all")
    parser.add_argument("--live", type=int, default=LIVE_ORDERS, help="payments over HTTP among them")
    parser.add_argument("--errors", type=int, default=ERRORS, help="errors to plant")
    parser.add_argument("--port", type=int, help="the first of four ports; by default free ones are chosen")
    return parser.parse_args()


def free_port() -> int:
    """The first of four free ports. Raises DemoRefused."""
    for port in PORTS[:-1]:
        with suppress(DemoRefused):
            refuse_taken_ports(DemoPaths(port, Path()))
            return port
    refuse_taken_ports(DemoPaths(PORTS[-1], Path()))
    return PORTS[-1]


def _interrupt(_number: int, _frame: FrameType | None) -> NoReturn:
    """Ends through every `finally`, which a second signal must not interrupt."""
    for number in ENDING_SIGNALS:
        signal.signal(number, signal.SIG_IGN)
    raise KeyboardInterrupt


def table_of(result: Result) -> Table:
    table = Table("Error", "Planted", "Found")
    for kind in KINDS:
        planted, found = (result.comparison[name].get(kind, 0) for name in ("planted", "found"))
        table.add_row(kind, str(planted), str(found), style="" if planted == found else "red")
    table.add_section()
    table.add_row("invented", "", str(result.comparison["invented_count"]))
    table.add_row("settlements compared", "", str(result.comparison["batches"]))
    table.add_row("with another sum", "", str(result.comparison["wrong_batch_count"]))
    return table


def summary_of(result: Result) -> dict[str, float]:
    return {
        "planted": sum(result.comparison["planted"].values()),
        "found": sum(result.comparison["found"].values()),
        "invented": result.comparison["invented_count"],
        "orders": result.orders,
        "seconds": result.seconds,
    }


def is_correct(result: Result) -> bool:
    summary = summary_of(result)
    is_exact = summary["planted"] == summary["found"] and summary["invented"] == 0
    return is_exact and result.comparison["wrong_batch_count"] == 0


if __name__ == "__main__":
    sys.exit(main())
