"""`tael app`: apps, their keys and settings. A running gateway applies a change within a second."""

from dataclasses import dataclass, fields, replace
from datetime import datetime
from pathlib import Path
from typing import Annotated, Any, Final
from urllib.parse import urlsplit

import typer

from tael.base import ids
from tael.base.secret import Secret
from tael.cli import inputs
from tael.cli.finding import DataOption, with_store
from tael.cli.showing import JsonOption, refused, show_json, show_members, show_rows, warned
from tael.merchants.domain.merchant import App, Style
from tael.merchants.store.merchants import AlreadyThere
from tael.operations.store import Store

#: 31 days. A longer limit would not limit anything.
MAX_REQUEST_AGE_S: Final = 31 * 24 * 3600

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


@dataclass(frozen=True, slots=True)
class Changes:
    """Settings given on the command line. None keeps the current value, an empty value clears it."""

    notify_url: str | None
    return_url: str | None
    webhook_style: Style | None
    sha256_only: bool | None
    notify_offline: bool | None
    include_currency: bool | None
    cancel_codes_v2: bool | None
    include_goods_name: bool | None
    quick_retries: bool | None
    close_requires_amount: bool | None
    max_request_age_s: int | None
    sha256_responses: bool | None
    allowed_addresses: list[str] | None

    def __post_init__(self) -> None:
        inputs.checked_url(self.notify_url or "", "--notify-url")
        inputs.checked_url(self.return_url or "", "--return-url", takes_fragment=True)

    def applied_to(self, app: App) -> App:
        """`app` with these settings."""
        given = {field.name: getattr(self, field.name) for field in fields(self)}
        changes: dict[str, Any] = {name: value for name, value in given.items() if value is not None}
        for name in ("notify_url", "return_url", "max_request_age_s"):
            if name in changes:
                changes[name] = changes[name] or None
        if self.allowed_addresses is not None:
            changes["allowed_addresses"] = inputs.checked_networks(
                self.allowed_addresses, "--allowed-address"
            )
        return replace(app, **changes)


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
    quick_retries: QuickRetriesOption = None,
    close_requires_amount: CloseRequiresAmountOption = None,
    max_request_age: MaxRequestAgeOption = None,
    sha256_responses: Sha256ResponsesOption = None,
    allowed_address: AllowedAddressOption = None,
    data: DataOption = None,
    as_json: JsonOption = False,
) -> None:
    """Add an app. A generated key is shown once. Webhooks have the new style by default."""
    changes = Changes(
        notify_url,
        return_url,
        webhook_style,
        sha256_only,
        notify_offline,
        include_currency,
        cancel_codes_v2,
        include_goods_name,
        quick_retries,
        close_requires_amount,
        max_request_age,
        sha256_responses,
        allowed_address,
    )
    code = ids.appcode() if appcode is None else inputs.checked(appcode, inputs.APPCODE, "--appcode")
    given = None if key_file is None else inputs.secret_in(key_file, inputs.APP_KEY, "--key-file")
    generated = ids.key() if given is None else None
    app = changes.applied_to(App(code, given or Secret(generated or ""), notify_url=None, return_url=None))

    async def work(store: Store, now: datetime) -> None:
        await store.merchants.apps()  # decrypts the keys: fails on a wrong encryption key before it is used
        await store.merchants.add_app(app, now)

    try:
        with_store(data, work)
    except AlreadyThere as error:
        raise refused(str(error)) from error
    _show(app, as_json, generated)
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
    quick_retries: QuickRetriesOption = None,
    close_requires_amount: CloseRequiresAmountOption = None,
    max_request_age: MaxRequestAgeOption = None,
    sha256_responses: Sha256ResponsesOption = None,
    allowed_address: AllowedAddressOption = None,
    data: DataOption = None,
    as_json: JsonOption = False,
) -> None:
    """Change an app's settings. Options that are not given keep their value."""
    changes = Changes(
        notify_url,
        return_url,
        webhook_style,
        sha256_only,
        notify_offline,
        include_currency,
        cancel_codes_v2,
        include_goods_name,
        quick_retries,
        close_requires_amount,
        max_request_age,
        sha256_responses,
        allowed_address,
    )

    async def work(store: Store, now: datetime) -> App | None:
        before = await store.merchants.app(appcode)
        if before is None:
            return None
        after = changes.applied_to(before)
        await store.merchants.set_app(after)
        return after

    app = with_store(data, work)
    if app is None:
        raise refused(f"no app {appcode}")
    _show(app, as_json)
    _warn_of_plain_http(notify_url)


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
    return {name: getattr(app, name) for name in _row_names()}


def _row_names() -> tuple[str, ...]:
    """All fields except the key."""
    return ("appcode", *(field.name for field in fields(Changes)))
