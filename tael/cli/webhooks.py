"""`tael webhook`: lists webhooks and their delivery attempts, and resends them."""

from dataclasses import asdict
from datetime import datetime
from itertools import chain
from operator import attrgetter
from pathlib import Path
from typing import Annotated, Any, Final

import typer

from tael.audit_log.domain.entry import Origin
from tael.cli.cell_answers import in_cell_of_number, in_cells_of_merchant, in_every_cell, newest_first
from tael.cli.finding import DataOption, change_stores, with_stores
from tael.cli.showing import UNUSABLE, JsonOption, refused, show_json, show_rows
from tael.operations.store import Store
from tael.webhooks.domain.webhook import WebhookKind, WebhookState
from tael.webhooks.resending import NoSuchWebhook, resend_exhausted, resend_webhooks
from tael.webhooks.store.webhooks import LoggedAttempt, NotificationStatus, WebhookPurged

webhooks: Final = typer.Typer(help="Inspect and resend webhooks.", no_args_is_help=True)

#: The columns that fit a terminal; `--json` prints all.
SHOWN: Final = ("cause", "kind", "appcode", "state", "attempts", "last_result", "created_at", "deliver_at")


@webhooks.command("list")
def list_webhooks(
    appcode: Annotated[str | None, typer.Option(help="List only webhooks of this app.")] = None,
    mchid: Annotated[
        str | None, typer.Option(help="List only webhooks of this merchant. Makes the search faster.")
    ] = None,
    state: Annotated[WebhookState | None, typer.Option(help="List only webhooks in this state.")] = None,
    limit: Annotated[int, typer.Option(min=1, max=10_000, help="Maximum number of webhooks.")] = 100,
    data: DataOption = None,
    as_json: JsonOption = False,
) -> None:
    """List webhooks, newest first."""

    async def work(store: Store, now: datetime) -> list[NotificationStatus]:
        return await store.webhooks.newest(appcode, mchid, state, limit)

    found = with_stores(data, in_cells_of_merchant(mchid, work))
    _show(newest_first(found, attrgetter("created_at", "cause"), limit), as_json)
    found.finish()


@webhooks.command("attempts")
def list_attempts(
    syssn: Annotated[str, typer.Argument(metavar="SYSSN", help="The syssn of the payment or refund.")],
    data: DataOption = None,
    as_json: JsonOption = False,
) -> None:
    """List all delivery attempts of a payment's or refund's webhooks, with the receiver's responses."""

    async def work(store: Store, now: datetime) -> list[LoggedAttempt] | None:
        return await store.webhooks.attempts_of(syssn) or None

    rows = [_attempt_row(logged) for logged in with_stores(data, in_cell_of_number(syssn, work)) or ()]
    if as_json:
        show_json(rows)
    else:
        show_rows(rows, ("kind", "attempt", "started_at", "took_ms", "status", "result", "answer"))


@webhooks.command("resend")
def resend(
    syssn: Annotated[
        str | None, typer.Argument(metavar="SYSSN", help="The syssn of the payment or refund.")
    ] = None,
    kind: Annotated[WebhookKind | None, typer.Option(help="Resend only webhooks of this kind.")] = None,
    all_exhausted: Annotated[
        bool, typer.Option("--all-exhausted", help="Resend all exhausted webhooks.")
    ] = False,
    appcode: Annotated[
        str | None, typer.Option(help="With --all-exhausted: resend only webhooks of this app.")
    ] = None,
    data: DataOption = None,
    as_json: JsonOption = False,
) -> None:
    """Redeliver the original payload now, in any state, and restart the retry schedule."""
    if (syssn is None) is not all_exhausted:
        raise refused("give either a SYSSN or --all-exhausted", UNUSABLE)
    if (kind is not None and all_exhausted) or (appcode is not None and not all_exhausted):
        raise refused("--kind requires a SYSSN, --appcode requires --all-exhausted", UNUSABLE)

    if syssn is None:
        _resend_exhausted(appcode, data, as_json)
    else:
        _resend(syssn, kind, data, as_json)


def _resend(syssn: str, kind: WebhookKind | None, data: Path | None, as_json: bool) -> None:
    async def work(store: Store, origin: Origin) -> list[NotificationStatus] | None:
        try:
            return await resend_webhooks(store.webhooks, syssn, kind, origin)
        except NoSuchWebhook:
            return None

    try:
        resent = change_stores("webhook resend", data, in_cell_of_number(syssn, work))
    except WebhookPurged as error:
        raise refused(str(error)) from error
    if resent is None:
        raise refused(str(NoSuchWebhook(syssn)))
    _show(resent, as_json)


def _resend_exhausted(appcode: str | None, data: Path | None, as_json: bool) -> None:
    async def work(store: Store, origin: Origin) -> list[NotificationStatus]:
        return await resend_exhausted(store.webhooks, appcode, origin)

    resent = change_stores("webhook resend", data, in_every_cell(work))
    _show(list(chain.from_iterable(resent)), as_json)
    resent.finish()


def _show(notifications: list[NotificationStatus], as_json: bool) -> None:
    rows = [asdict(notification) for notification in notifications]
    if as_json:
        show_json(rows)
    else:
        show_rows(rows, SHOWN)


def _attempt_row(logged: LoggedAttempt) -> dict[str, Any]:
    """The response body as text; bytes that are not UTF-8 are escaped."""
    attempt = asdict(logged.attempt)
    return {
        "kind": logged.kind,
        "attempt": logged.number,
        **attempt,
        "answer": logged.attempt.answer.decode("utf-8", "backslashreplace"),
    }
