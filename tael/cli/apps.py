"""`tael app`: apps, their keys and settings. A running gateway applies a change within a second."""

from collections.abc import Awaitable, Callable
from dataclasses import fields
from datetime import datetime, timedelta
from pathlib import Path
from typing import Annotated, Any, Final
from urllib.parse import urlsplit

import typer

from tael.audit_log.domain.entry import Origin
from tael.base import ids
from tael.base.secret import Secret
from tael.cli import inputs
from tael.cli.finding import DataOption, change_store, with_store
from tael.cli.showing import JsonOption, refused, show_json, show_members, show_rows, warned
from tael.merchants.apps import (
    NoSuchApp,
    OverlapLasts,
    add_app,
    change_app,
    disable_app,
    end_overlap,
    new_app,
    rotate_key,
)
from tael.merchants.domain.changes import MAX_REQUEST_AGE_S, AppChanges
from tael.merchants.domain.forms import APP_KEY
from tael.merchants.domain.merchant import App, Style
from tael.merchants.store.merchants import AlreadyThere
from tael.operations.store import Store

apps: Final = typer.Typer(help="Manage apps: API credentials and settings.", no_args_is_help=True)

AppcodeArgument = Annotated[str, typer.Argument(metavar="APPCODE", help="The app's public id.")]
NotifyUrlOption = Annotated[
    str | None,
    typer.Option(metavar="URL", help='URL for webhooks; "" for none.', show_default=False),
]
ReturnUrlOption = Annotated[
    str | None,
    typer.Option(
        metavar="URL",
        help='URL to return payers to after an Alipay payment; "" for none.',
        show_default=False,
    ),
]
WebhookStyleOption = Annotated[Style | None, typer.Option(help="Format of the webhooks.")]
Sha256OnlyOption = Annotated[
    bool | None, typer.Option("--sha256-only/--no-sha256-only", help="Refuse MD5 signatures.")
]
NotifyOfflineOption = Annotated[
    bool | None,
    typer.Option("--notify-offline/--no-notify-offline", help="Send webhooks for barcode payments too."),
]
IncludeCurrencyOption = Annotated[
    bool | None,
    typer.Option("--include-currency/--no-include-currency", help="Include `txcurrcd` in query rows."),
]
CancelCodesV2Option = Annotated[
    bool | None,
    typer.Option(
        "--cancel-codes-v2/--no-cancel-codes-v2",
        help="Use the `cancel` values of later QFPay documents in query rows: 3 and 5 for refunds.",
    ),
]
IncludeGoodsNameOption = Annotated[
    bool | None,
    typer.Option(
        "--include-goods-name/--no-include-goods-name",
        help="Include `goods_name` in query rows.",
    ),
]
IncludeSettlementOption = Annotated[
    bool | None,
    typer.Option(
        "--include-settlement/--no-include-settlement",
        help="Include `date_settlement` and `refundable_until` in query rows.",
    ),
]
QuickRetriesOption = Annotated[
    bool | None,
    typer.Option(
        "--quick-retries/--no-quick-retries",
        help="Retry a webhook four times at intervals of 30 s before the longer intervals.",
    ),
]
CloseRequiresAmountOption = Annotated[
    bool | None,
    typer.Option(
        "--close-requires-amount/--no-close-requires-amount",
        help="Require `txamt` in a close, so that a captured query cannot be replayed as one.",
    ),
]
MaxRequestAgeOption = Annotated[
    int | None,
    typer.Option(
        "--max-request-age",
        metavar="SECONDS",
        min=0,
        max=MAX_REQUEST_AGE_S,
        help="Refuse requests and links whose `txdtm` is missing or differs from now by more; 0 for no limit.",
        show_default=False,
    ),
]
Sha256ResponsesOption = Annotated[
    bool | None,
    typer.Option(
        "--sha256-responses/--no-sha256-responses",
        help="Sign responses and new-style webhooks with SHA256 instead of MD5, QFPay's algorithm.",
    ),
]
AllowedAddressOption = Annotated[
    list[str] | None,
    typer.Option(
        "--allowed-address",
        metavar="NETWORK",
        help='Accept requests only from this address or network (CIDR); "" for any. Repeatable.',
        show_default=False,
    ),
]
SignupCurrencyOption = Annotated[
    str | None,
    typer.Option(
        metavar="CURRENCY",
        help='Let the app sign up merchants, which get this currency; "" to forbid it again.',
        show_default=False,
    ),
]
RedirectUriOption = Annotated[
    list[str] | None,
    typer.Option(
        "--redirect-uri",
        metavar="URL",
        help='Permit OAuth to send users to exactly this page, https or on this machine; "" for none. Repeatable.',
        show_default=False,
    ),
]


@apps.command("add")
def add(
    appcode: Annotated[str | None, typer.Option(help="The app's public id. Default: generated.")] = None,
    key_file: Annotated[
        Path | None, typer.Option(metavar="FILE", help="File with the app's key. Default: generated.")
    ] = None,
    notify_url: NotifyUrlOption = None,
    return_url: ReturnUrlOption = None,
    webhook_style: WebhookStyleOption = None,
    sha256_only: Sha256OnlyOption = None,
    notify_offline: NotifyOfflineOption = None,
    include_currency: IncludeCurrencyOption = None,
    cancel_codes_v2: CancelCodesV2Option = None,
    include_goods_name: IncludeGoodsNameOption = None,
    include_settlement: IncludeSettlementOption = None,
    quick_retries: QuickRetriesOption = None,
    close_requires_amount: CloseRequiresAmountOption = None,
    max_request_age: MaxRequestAgeOption = None,
    sha256_responses: Sha256ResponsesOption = None,
    allowed_address: AllowedAddressOption = None,
    signup_currency: SignupCurrencyOption = None,
    redirect_uri: RedirectUriOption = None,
    data: DataOption = None,
    as_json: JsonOption = False,
) -> None:
    """Add an app. A generated key is shown once. Webhooks have the new style by default."""
    with inputs.options_named():
        changes = AppChanges(
            notify_url,
            return_url,
            webhook_style,
            sha256_only,
            notify_offline,
            include_currency,
            cancel_codes_v2,
            include_goods_name,
            include_settlement,
            quick_retries,
            close_requires_amount,
            max_request_age,
            sha256_responses,
            allowed_address,
            signup_currency,
            redirect_uri,
        )
    key = None if key_file is None else inputs.secret_in(key_file, APP_KEY, "--key-file")
    with inputs.options_named():
        app = new_app(changes, appcode, key)
    try:
        change_store("app add", data, lambda store, origin: add_app(store.merchants, app, origin))
    except AlreadyThere as error:
        raise refused(str(error)) from error
    _show(app, as_json, app.key.reveal() if key is None else None)
    _warn_of_plain_http(notify_url)


@apps.command("set")
def set_settings(
    appcode: AppcodeArgument,
    notify_url: NotifyUrlOption = None,
    return_url: ReturnUrlOption = None,
    webhook_style: WebhookStyleOption = None,
    sha256_only: Sha256OnlyOption = None,
    notify_offline: NotifyOfflineOption = None,
    include_currency: IncludeCurrencyOption = None,
    cancel_codes_v2: CancelCodesV2Option = None,
    include_goods_name: IncludeGoodsNameOption = None,
    include_settlement: IncludeSettlementOption = None,
    quick_retries: QuickRetriesOption = None,
    close_requires_amount: CloseRequiresAmountOption = None,
    max_request_age: MaxRequestAgeOption = None,
    sha256_responses: Sha256ResponsesOption = None,
    allowed_address: AllowedAddressOption = None,
    signup_currency: SignupCurrencyOption = None,
    redirect_uri: RedirectUriOption = None,
    data: DataOption = None,
    as_json: JsonOption = False,
) -> None:
    """Change an app's settings. Options that are not given keep their value."""
    with inputs.options_named():
        changes = AppChanges(
            notify_url,
            return_url,
            webhook_style,
            sha256_only,
            notify_offline,
            include_currency,
            cancel_codes_v2,
            include_goods_name,
            include_settlement,
            quick_retries,
            close_requires_amount,
            max_request_age,
            sha256_responses,
            allowed_address,
            signup_currency,
            redirect_uri,
        )

    app = _changed(
        "app set", data, lambda store, origin: change_app(store.merchants, appcode, changes, origin)
    )
    _show(app, as_json)
    _warn_of_plain_http(notify_url)


@apps.command("rotate-key")
def rotate(
    appcode: AppcodeArgument,
    overlap_hours: Annotated[
        int,
        typer.Option(
            metavar="HOURS",
            min=0,
            max=inputs.MAX_OVERLAP_HOURS,
            help="How long requests and links may still be signed with the key before; 0 ends it at once.",
        ),
    ] = 72,
    key_file: Annotated[
        Path | None, typer.Option(metavar="FILE", help="File with the new key. Default: generated.")
    ] = None,
    data: DataOption = None,
    as_json: JsonOption = False,
) -> None:
    """Give an app a new key. A generated key is shown once.

    Until the overlap ends, responses are signed with the key of their request, and webhooks with the key before.
    """
    given = None if key_file is None else inputs.secret_in(key_file, APP_KEY, "--key-file")
    key, overlap = given or Secret(ids.key()), timedelta(hours=overlap_hours)
    app = _changed(
        "app rotate-key",
        data,
        lambda store, origin: rotate_key(store.merchants, appcode, key, origin, overlap),
    )
    _show(app, as_json, key.reveal() if given is None else None)


@apps.command("end-overlap")
def end(appcode: AppcodeArgument, data: DataOption = None, as_json: JsonOption = False) -> None:
    """End the overlap of a key rotation: from now on only the app's current key is accepted."""
    _show(
        _changed(
            "app end-overlap", data, lambda store, origin: end_overlap(store.merchants, appcode, origin)
        ),
        as_json,
    )


@apps.command("disable")
def disable(appcode: AppcodeArgument, data: DataOption = None, as_json: JsonOption = False) -> None:
    """Stop all merchants of an app: every request is 1114. Open orders and their webhooks continue."""
    _show(
        _changed(
            "app disable", data, lambda store, origin: disable_app(store.merchants, appcode, True, origin)
        ),
        as_json,
    )


@apps.command("enable")
def enable(appcode: AppcodeArgument, data: DataOption = None, as_json: JsonOption = False) -> None:
    """Permit a disabled app again."""
    _show(
        _changed(
            "app enable", data, lambda store, origin: disable_app(store.merchants, appcode, False, origin)
        ),
        as_json,
    )


def _changed(command: str, folder: Path | None, work: Callable[[Store, Origin], Awaitable[App]]) -> App:
    try:
        return change_store(command, folder, work)
    except (NoSuchApp, OverlapLasts) as error:
        raise refused(str(error)) from error


@apps.command("list")
def list_apps(data: DataOption = None, as_json: JsonOption = False) -> None:
    """List apps, oldest first."""

    async def work(store: Store, now: datetime) -> list[App]:
        return await store.merchants.apps()

    rows = [_row(app) for app in with_store(data, work)]
    if as_json:
        show_json(rows)
    else:
        show_rows(rows, list(_row_names()))


def _warn_of_plain_http(notify_url: str | None) -> None:
    """A webhook contains the payer's id. It is signed, not encrypted."""
    parts = urlsplit(notify_url or "")
    if parts.scheme == "http" and not inputs.is_loopback_host(parts.hostname or ""):
        warned("--notify-url: webhooks to an http URL are not encrypted; use https")


def _show(app: App, as_json: bool, generated_key: str | None = None) -> None:
    row = _row(app) | ({"key": generated_key} if generated_key else {})
    if as_json:
        show_json(row)
    else:
        show_members(row)


def _row(app: App) -> dict[str, Any]:
    overlap_ends_at = app.previous_key.until if app.previous_key else None
    shown = {"is_disabled": app.is_disabled, "overlap_ends_at": overlap_ends_at}
    return {name: shown[name] if name in shown else getattr(app, name) for name in _row_names()}


def _row_names() -> tuple[str, ...]:
    """All fields except the keys."""
    return ("appcode", *(field.name for field in fields(AppChanges)), "is_disabled", "overlap_ends_at")
