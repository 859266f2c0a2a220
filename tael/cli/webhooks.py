"""`tael webhook`: what merchants were told, what came of each attempt, and telling them again."""

from dataclasses import asdict
from datetime import datetime
from typing import Annotated, Any, Final

import typer

from tael.cli.finding import DataOption, with_store
from tael.cli.showing import UNUSABLE, JsonOption, refused, show_json, show_rows
from tael.operations.store import Store
from tael.webhooks.domain.webhook import WebhookKind, WebhookState
from tael.webhooks.store.webhooks import LoggedAttempt, NotificationStatus

webhooks: Final = typer.Typer(help="What merchants are told.", no_args_is_help=True)

#: What fits a terminal; `--json` has all.
SHOWN: Final = ("cause", "kind", "appcode", "state", "attempts", "last_result", "created_at", "deliver_at")


@webhooks.command("list")
def list_webhooks(
    appcode: Annotated[str | None, typer.Option(help="Of this app only.")] = None,
    mchid: Annotated[str | None, typer.Option(help="Of this merchant only: a quicker search.")] = None,
    state: Annotated[WebhookState | None, typer.Option(help="In this state only.")] = None,
    limit: Annotated[int, typer.Option(min=1, max=10_000, help="How many at most.")] = 100,
    data: DataOption = None,
    as_json: JsonOption = False,
) -> None:
    """List webhooks, newest first."""

    async def work(store: Store, now: datetime) -> list[NotificationStatus]:
        return await store.webhooks.newest(appcode, mchid, state, limit)

    _show(with_store(data, work), as_json)


@webhooks.command("attempts")
def list_attempts(
    syssn: Annotated[str, typer.Argument(metavar="SYSSN", help="The payment or refund it was about.")],
    data: DataOption = None,
    as_json: JsonOption = False,
) -> None:
    """List every attempt to tell of a payment or refund, with what the receiver answered."""

    async def work(store: Store, now: datetime) -> list[LoggedAttempt]:
        return await store.webhooks.attempts_of(syssn)

    rows = [_attempt_row(logged) for logged in with_store(data, work)]
    if as_json:
        show_json(rows)
    else:
        show_rows(rows, ("kind", "attempt", "started_at", "took_ms", "status", "result", "answer"))


@webhooks.command("resend")
def resend(
    syssn: Annotated[
        str | None, typer.Argument(metavar="SYSSN", help="The payment or refund to tell of again.")
    ] = None,
    kind: Annotated[WebhookKind | None, typer.Option(help="Only the webhook of this kind.")] = None,
    all_exhausted: Annotated[bool, typer.Option("--all-exhausted", help="Everything that is DEAD.")] = False,
    appcode: Annotated[str | None, typer.Option(help="With --all-exhausted: of this app only.")] = None,
    data: DataOption = None,
    as_json: JsonOption = False,
) -> None:
    """Make webhooks due now, the same bytes, whatever their state; the schedule begins anew."""
    if (syssn is None) is not all_exhausted:
        raise refused("name either a SYSSN or --all-exhausted", UNUSABLE)
    if (kind is not None and all_exhausted) or (appcode is not None and not all_exhausted):
        raise refused("--kind goes with a SYSSN, --appcode with --all-exhausted", UNUSABLE)

    async def work(store: Store, now: datetime) -> list[NotificationStatus]:
        if syssn is None:
            return await store.webhooks.resend_exhausted(appcode, now)
        return await store.webhooks.resend(syssn, kind, now)

    told = with_store(data, work)
    if syssn is not None and not told:
        raise refused(f"no webhook tells of {syssn}")
    _show(told, as_json)


def _show(told: list[NotificationStatus], as_json: bool) -> None:
    rows = [asdict(one) for one in told]
    if as_json:
        show_json(rows)
    else:
        show_rows(rows, SHOWN)


def _attempt_row(logged: LoggedAttempt) -> dict[str, Any]:
    """The answer as text; bytes that are none are shown as such."""
    attempt = asdict(logged.attempt)
    return {
        "kind": logged.kind,
        "attempt": logged.number,
        **attempt,
        "answer": logged.attempt.answer.decode("utf-8", "backslashreplace"),
    }
