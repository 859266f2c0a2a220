"""`tael serve`, `tael work` and `tael migrate`: the processes of a deployment.

A worker does not import the modules of the API, nor the API those of the worker: a deployment has many such processes.
"""

import asyncio
import socket
from dataclasses import replace
from typing import Annotated

import typer

from tael.cli.listener import listen
from tael.cli.showing import IMPOSSIBLE, fail, refused
from tael.config import BadSettings, Settings, read_database_url, read_settings


def _settings(is_demo: bool, allow_http: bool) -> Settings:
    """The settings in the environment. Outside a demo, settings that are safe only in a demo are refused."""
    try:
        settings = read_settings()
        if is_demo:
            return replace(settings, takes_published_key=True)
        from tael.cli.deployment import refuse_demo_settings

        refuse_demo_settings(settings, allow_http=allow_http)
    except BadSettings as error:
        raise fail(str(error)) from error
    return settings


def _checked_settings(is_demo: bool, allow_http: bool) -> Settings:
    """The settings, checked together with the apps in the database if it is reachable."""
    settings = _settings(is_demo, allow_http)
    if not is_demo:
        from tael.cli.deployment import refuse_published_key

        try:
            asyncio.run(refuse_published_key(settings))
        except BadSettings as error:
            raise fail(str(error)) from error
    return settings


DemoFlag = Annotated[
    bool,
    typer.Option(
        "--demo",
        help="Allow what is safe only in a demo: its clock, its published key, webhooks to loopback.",
    ),
]
AllowHttpFlag = Annotated[
    bool,
    typer.Option("--allow-http", help="Allow http:// URLs of this machine, for trials."),
]


OpsHostOption = Annotated[str, typer.Option(help="Address of the operations port.")]


def _listen(host: str, port: int) -> socket.socket:
    """A listener, or an exit that names the address."""
    try:
        return listen(host, port)
    except OverflowError as error:
        raise fail(f"cannot listen on {host}:{port}: ports end at 65535") from error
    except OSError as error:
        raise fail(f"cannot listen on {host}:{port}: {error.strerror}") from error


def serve_command(
    host: Annotated[str, typer.Option(help="Address to listen on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(help="Port to listen on.")] = 8000,
    workers: Annotated[int, typer.Option(min=1, help="Number of API processes.")] = 1,
    ops_host: OpsHostOption = "127.0.0.1",
    ops_port: Annotated[
        int | None,
        typer.Option(
            min=1,
            max=65535,
            help="Serve /healthz, /readyz and /metrics on this port, and no longer on the public one. "
            "Each further API process has the next port.",
        ),
    ] = None,
    demo: DemoFlag = False,
    allow_http: AllowHttpFlag = False,
) -> None:
    """Serve the merchant API, wallet notices, payer pages, health checks and metrics."""
    from tael.cli.serving import serve, serve_by_several

    settings = _checked_settings(demo, allow_http)
    listener = _listen(host, port)
    ops = [None if ops_port is None else _listen(ops_host, ops_port + index) for index in range(workers)]
    if workers == 1:
        serve(settings, listener, ops[0], is_demo=demo)
    else:
        serve_by_several(listener, workers, demo, ops)


def work_command(
    ops_host: OpsHostOption = "127.0.0.1",
    ops_port: Annotated[
        int | None,
        typer.Option(min=1, max=65535, help="Serve /healthz, /readyz and /metrics on this port."),
    ] = None,
    demo: DemoFlag = False,
    allow_http: AllowHttpFlag = False,
) -> None:
    """Run the background jobs: poll pending orders, deliver webhooks, close the day. Several workers can run."""
    from tael.cli.working import work

    settings = _checked_settings(demo, allow_http)
    work(settings, None if ops_port is None else _listen(ops_host, ops_port))


def migrate_command(
    roles: Annotated[
        bool,
        typer.Option(
            "--roles",
            help="Create the group roles `tael_migrate`, `tael_app` and `tael_read`, and grant them what the owner, "
            "the gateway and readers need. Needs CREATEROLE.",
        ),
    ] = False,
    grant_to: Annotated[
        str | None,
        typer.Option(
            metavar="ROLE",
            help="Grant this role what `serve`, `work` and the operator commands need. It cannot change "
            "the ledger's or the audit log's rows.",
        ),
    ] = None,
) -> None:
    """Migrate the database of TAEL_DATABASE_URL and all cells to the current schema.

    Group roles that are in use get the privileges of new tables too. Cells whose servers are down are named, the others
    are migrated, and the exit status is 1.
    """
    from tael.cli.databases import UNUSABLE_DATABASE, why_unusable
    from tael.cli.migration import migrate_all
    from tael.db.migrate import MigrationBlocked
    from tael.db.roles import RolesRefused

    try:
        migrated = migrate_all(read_database_url().reveal(), with_roles=roles, grant_to=grant_to)
    except BadSettings as error:
        raise fail(str(error)) from error
    except (MigrationBlocked, RolesRefused) as error:
        raise fail(str(error), IMPOSSIBLE) from error
    except UNUSABLE_DATABASE as error:
        raise fail(why_unusable(error)) from None
    applied = migrated.applied
    typer.echo(f"{applied} migrations applied" if applied else "the schema is up to date")
    for number, reason in migrated.failed.items():
        refused(f"cell {number} was not migrated: {reason}")
    if migrated.failed:
        raise typer.Exit(IMPOSSIBLE)
