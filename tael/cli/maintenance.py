"""`tael maintenance`: begins and ends a maintenance window. Gateways follow within TAEL_SETTINGS_CACHE_MS."""

from dataclasses import asdict
from typing import Annotated, Any, Final

import typer

from tael.cli import inputs
from tael.cli.finding import DataOption, change_store, with_store
from tael.cli.showing import JsonOption, show_json, show_members
from tael.merchants.domain.maintenance import MaintenanceWindow
from tael.merchants.maintenance import begin_maintenance, current_maintenance, end_maintenance

maintenance: Final = typer.Typer(help="Schedule maintenance.", no_args_is_help=True)


@maintenance.command("on")
def begin(
    reason: Annotated[str, typer.Option(help="Text for developers, returned with code 1100.")] = "",
    data: DataOption = None,
    as_json: JsonOption = False,
) -> None:
    """Begin a maintenance window: every call except a query returns 1100. Jobs, notices and webhooks continue."""
    with inputs.options_named():
        window = change_store(
            "maintenance on",
            data,
            lambda store, origin: begin_maintenance(store.maintenance_windows, reason, origin),
        )
    _show(window, as_json)


@maintenance.command("off")
def end(data: DataOption = None, as_json: JsonOption = False) -> None:
    """End the maintenance window."""
    change_store(
        "maintenance off", data, lambda store, origin: end_maintenance(store.maintenance_windows, origin)
    )
    _show(None, as_json)


@maintenance.command("status")
def status(data: DataOption = None, as_json: JsonOption = False) -> None:
    """Show whether maintenance is on, and since when."""
    _show(with_store(data, lambda store, _: current_maintenance(store.maintenance_windows)), as_json)


def _show(window: MaintenanceWindow | None, as_json: bool) -> None:
    row: dict[str, Any] = (
        {"maintenance": "off"} if window is None else {"maintenance": "on", **asdict(window)}
    )
    if as_json:
        show_json(row)
    else:
        show_members(row)
