"""`tael merchant`: merchants, who receive the money. A running gateway applies a change within a second."""

import os
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, replace
from datetime import datetime
from pathlib import Path
from typing import Annotated, Any, Final

import typer

from tael.audit_log.domain.entry import Origin
from tael.base.money import Money
from tael.cli import inputs
from tael.cli.cell_answers import in_cell, in_cells_of_merchant
from tael.cli.finding import DataOption, change_store, change_stores, with_store, with_stores
from tael.cli.showing import UNUSABLE, JsonOption, refused, show_json, show_members, show_rows
from tael.merchants.apps import NoSuchApp
from tael.merchants.domain.application import Decision, DecisionImpossible, shown
from tael.merchants.domain.changes import MAX_AMOUNT_MINOR, MAX_RATE, MAX_VOLUME_MINOR, MerchantChanges
from tael.merchants.domain.document import ENDINGS, Document
from tael.merchants.domain.forms import MCHID
from tael.merchants.domain.merchant import Merchant, MerchantState, Operation, UnmatchedPolicy
from tael.merchants.merchants import (
    NoSuchMerchant,
    add_merchant,
    change_merchant,
    find_merchants,
    new_merchant,
)
from tael.merchants.review import DocumentChanged, MerchantFile, content_of, decide, merchant_file
from tael.merchants.store.applications import CurrencyFixed
from tael.merchants.store.merchants import AlreadyThere
from tael.operations.store import Store
from tael.payments.domain.volume import Volume, period_of
from tael.stores import Stores

merchants: Final = typer.Typer(help="Manage merchants.", no_args_is_help=True)

COLUMNS: Final = (
    "mchid",
    "appcode",
    "name",
    "currency",
    "state",
    "is_default",
    "cell",
    "denied",
    "max_amount",
    "unmatched_payments",
    "max_per_second",
    "max_per_minute",
)
DOCUMENT_COLUMNS: Final = ("kind", "media_type", "size_bytes", "created_at", "sha256")
DECISION_COLUMNS: Final = ("number", "state", "reason", "decided_at")
DenyOption = Annotated[
    list[Operation] | None, typer.Option("--deny", help="Deny this operation to the merchant. Repeatable.")
]
UnmatchedOption = typer.Option(
    "--unmatched-payments",
    help="Hold confirmed unmatched payments for a decision, or return them to the payer.",
)
PerSecondOption = Annotated[
    int | None,
    typer.Option(
        "--max-per-second",
        min=0,
        max=MAX_RATE,
        help="Requests in a second; 0 for no limit. Default: TAEL_MERCHANT_MAX_PER_SECOND of the gateway.",
    ),
]
DailyOption = Annotated[
    int | None,
    typer.Option(
        "--max-daily-minor",
        min=0,
        max=MAX_VOLUME_MINOR,
        help="Largest sum of the payments of a day (UTC+8) in minor units; 0 for no limit.",
        show_default=False,
    ),
]
MonthlyOption = Annotated[
    int | None,
    typer.Option(
        "--max-monthly-minor",
        min=0,
        max=MAX_VOLUME_MINOR,
        help="Largest sum of the payments of a month (UTC+8) in minor units; 0 for no limit.",
        show_default=False,
    ),
]
PerMinuteOption = Annotated[
    int | None,
    typer.Option(
        "--max-per-minute",
        min=0,
        max=MAX_RATE,
        help="Requests in a minute; 0 for no limit. Default: TAEL_MERCHANT_MAX_PER_MINUTE of the gateway.",
    ),
]
StateOption = typer.Option(help="Only an active merchant can take payments.")
MchidArgument = Annotated[str, typer.Argument(metavar="MCHID", help="The merchant's id.")]
ReasonOption = Annotated[
    str | None, typer.Option(help="Why, in one line of up to 500 characters; shown by `merchant show`.")
]
NeededReasonOption = Annotated[
    str, typer.Option(help="Why, in one line of up to 500 characters; shown by `merchant show`.")
]


@merchants.command("add")
def add(
    appcode: Annotated[str, typer.Argument(metavar="APPCODE", help="The app that the merchant belongs to.")],
    name: Annotated[str, typer.Option(help="Name shown to payers and operators.")],
    currency: Annotated[str, typer.Option(help="The merchant's only currency, such as HKD.")],
    mchid: Annotated[str | None, typer.Option(help="The merchant's public id. Default: generated.")] = None,
    is_default: Annotated[
        bool, typer.Option("--default", help="Use this merchant for requests without an mchid.")
    ] = False,
    max_amount_minor: Annotated[
        int | None,
        typer.Option(min=1, max=MAX_AMOUNT_MINOR, help="Largest payment in minor units. Default: no limit."),
    ] = None,
    cell: Annotated[
        int | None,
        typer.Option(
            help="The cell with its payments, for good. Default: the one with the fewest merchants.",
            show_default=False,
        ),
    ] = None,
    state: Annotated[MerchantState, StateOption] = MerchantState.ACTIVE,
    deny: DenyOption = None,
    unmatched_payments: Annotated[UnmatchedPolicy, UnmatchedOption] = UnmatchedPolicy.HOLD,
    max_per_second: PerSecondOption = None,
    max_per_minute: PerMinuteOption = None,
    max_daily_minor: DailyOption = None,
    max_monthly_minor: MonthlyOption = None,
    data: DataOption = None,
    as_json: JsonOption = False,
) -> None:
    """Add a merchant to an app."""
    with inputs.options_named():
        merchant = new_merchant(
            appcode,
            name,
            currency,
            mchid=mchid,
            state=state,
            is_default=is_default,
            max_amount_minor=max_amount_minor,
            denied=frozenset(deny or ()),
            unmatched_payments=unmatched_payments,
            max_per_second=max_per_second,
            max_per_minute=max_per_minute,
            max_daily_minor=max_daily_minor,
            max_monthly_minor=max_monthly_minor,
        )

    async def add_in(store: Store, origin: Origin) -> Merchant:
        return await add_merchant(store.merchants, replace(merchant, cell=store.cell), origin)

    async def work(stores: Stores, origin: Origin) -> Merchant:
        chosen = await stores.first.merchants.emptiest_cell() if cell is None else cell
        return await in_cell(chosen, add_in)(stores, origin)

    try:
        added = change_stores("merchant add", data, work)
    except (AlreadyThere, LookupError) as error:
        raise refused(str(error)) from error
    _show(added, as_json)


@merchants.command("set")
def set_merchant(
    mchid: Annotated[str, typer.Argument(metavar="MCHID", help="The merchant's id.")],
    state: Annotated[MerchantState | None, StateOption] = None,
    max_amount_minor: Annotated[
        int | None,
        typer.Option(
            min=0,
            max=MAX_AMOUNT_MINOR,
            help="Largest payment in minor units; 0 for no limit.",
        ),
    ] = None,
    deny: DenyOption = None,
    allow: Annotated[
        list[Operation] | None,
        typer.Option("--allow", help="Allow an operation that was denied. Repeatable."),
    ] = None,
    unmatched_payments: Annotated[UnmatchedPolicy | None, UnmatchedOption] = None,
    max_per_second: PerSecondOption = None,
    max_per_minute: PerMinuteOption = None,
    max_daily_minor: DailyOption = None,
    max_monthly_minor: MonthlyOption = None,
    default_rates: Annotated[
        bool,
        typer.Option("--default-rates", help="Use the gateway's limits of requests again."),
    ] = False,
    data: DataOption = None,
    as_json: JsonOption = False,
) -> None:
    """Change a merchant. Options that are not given keep their value. Open orders continue."""
    with inputs.options_named():
        changes = MerchantChanges(
            state,
            max_amount_minor,
            frozenset(deny or ()),
            frozenset(allow or ()),
            unmatched_payments,
            max_per_second,
            max_per_minute,
            default_rates,
            max_daily_minor,
            max_monthly_minor,
        )
    try:
        merchant = change_store(
            "merchant set",
            data,
            lambda store, origin: change_merchant(store.merchants, mchid, changes, origin),
        )
    except NoSuchMerchant as error:
        raise refused(str(error)) from error
    _show(merchant, as_json)


@merchants.command("list")
def list_merchants(
    appcode: Annotated[str | None, typer.Option(help="List only merchants of this app.")] = None,
    data: DataOption = None,
    as_json: JsonOption = False,
) -> None:
    """List merchants, oldest first."""

    try:
        listed = with_store(data, lambda store, _: find_merchants(store.merchants, appcode))
    except NoSuchApp as error:
        raise refused(str(error)) from error
    if as_json:
        show_json([_row(merchant) for merchant in listed])
    else:
        show_rows([_table_row(merchant) for merchant in listed], COLUMNS)


# ---- review ------------------------------------------------------------------------------------------------------


@merchants.command("show")
def show(
    mchid: MchidArgument,
    reveal: Annotated[
        bool, typer.Option("--reveal", help="Print the numbers of identity card and bank account whole.")
    ] = False,
    data: DataOption = None,
    as_json: JsonOption = False,
) -> None:
    """Print a merchant with its application, its documents and the decisions about it."""
    found = _file_of(mchid, data)

    async def work(store: Store, now: datetime) -> Volume:
        return await store.payments.volume(period_of(mchid, now))

    volumes = with_stores(data, in_cells_of_merchant(mchid, work))
    volume = next(iter(volumes), None)
    application = None if found.application is None else dict(shown(found.application, reveal=reveal))
    if as_json:
        show_json(
            {
                "merchant": _row(found.merchant),
                "volume": volume,
                "application": application,
                "documents": found.documents,
                "decisions": found.decisions,
            }
        )
    else:
        _show_file(found, volume, application)
    volumes.finish()


def _show_file(found: MerchantFile, volume: Volume | None, application: dict[str, Any] | None) -> None:
    show_members(_table_row(found.merchant))
    if volume is not None:
        show_members(_volume_row(volume, found.merchant), "volume")
    if application is not None:
        show_members(application, "application")
    if found.documents:
        show_rows([asdict(document) for document in found.documents], DOCUMENT_COLUMNS, "documents")
    if found.decisions:
        show_rows([asdict(decision) for decision in found.decisions], DECISION_COLUMNS, "decisions")


@merchants.command("approve")
def approve(
    mchid: MchidArgument,
    reason: ReasonOption = None,
    currency: Annotated[
        str | None, typer.Option(help="The merchant's only currency. Default: the one it signed up with.")
    ] = None,
    data: DataOption = None,
    as_json: JsonOption = False,
) -> None:
    """Approve a merchant that is waiting or was refused: it can take payments once it has a wallet account."""
    _decide(mchid, Decision.APPROVE, reason, data, as_json, currency)


@merchants.command("refuse")
def refuse(
    mchid: MchidArgument, reason: NeededReasonOption, data: DataOption = None, as_json: JsonOption = False
) -> None:
    """Refuse a merchant that is waiting. It can be approved later."""
    _decide(mchid, Decision.REFUSE, reason, data, as_json)


@merchants.command("suspend")
def suspend(
    mchid: MchidArgument, reason: NeededReasonOption, data: DataOption = None, as_json: JsonOption = False
) -> None:
    """Disable an active merchant until it is resumed. Open orders continue."""
    _decide(mchid, Decision.SUSPEND, reason, data, as_json)


@merchants.command("resume")
def resume(
    mchid: MchidArgument, reason: ReasonOption = None, data: DataOption = None, as_json: JsonOption = False
) -> None:
    """Activate a disabled merchant again."""
    _decide(mchid, Decision.RESUME, reason, data, as_json)


@merchants.command("documents")
def documents(
    mchid: MchidArgument,
    save: Annotated[
        Path | None,
        typer.Option(metavar="DIR", help="Save the documents into this folder, which must not exist."),
    ] = None,
    data: DataOption = None,
    as_json: JsonOption = False,
) -> None:
    """List a merchant's documents, or save them, decrypted, into a new folder that only you can read."""
    listed = _file_of(mchid, data).documents
    rows = [asdict(document) for document in listed]
    if save is not None:
        names = [str(save / name) for name in _saved(listed, save, data)]
        rows = [row | {"file": name} for row, name in zip(rows, names, strict=True)]
    if as_json:
        show_json(rows)
    else:
        show_rows(rows, DOCUMENT_COLUMNS if save is None else (*DOCUMENT_COLUMNS, "file"))


def _file_of(mchid: str, data: Path | None) -> MerchantFile:
    inputs.checked(mchid, MCHID, "MCHID")
    try:
        return with_store(data, lambda store, _: merchant_file(store.merchants, store.applications, mchid))
    except NoSuchMerchant as error:
        raise refused(str(error)) from error


def _decide(
    mchid: str,
    decision: Decision,
    reason: str | None,
    data: Path | None,
    as_json: bool,
    currency: str | None = None,
) -> None:
    async def work(store: Store, origin: Origin) -> MerchantFile:
        await decide(store.applications, mchid, decision, origin, reason=reason, currency=currency)
        return await merchant_file(store.merchants, store.applications, mchid)

    try:
        with inputs.options_named():
            found = change_store(f"merchant {decision}", data, work)
    except (NoSuchMerchant, DecisionImpossible) as error:
        raise refused(str(error)) from error
    except CurrencyFixed as error:
        raise refused("the merchant has wallet accounts in its present currency") from error
    _show(found.merchant, as_json)


def _saved(listed: Sequence[Document], folder: Path, data: Path | None) -> list[str]:
    """The names of the files written into `folder`, in order."""

    async def work(store: Store, _: datetime) -> list[str]:
        counts: Counter[str] = Counter()
        names = []
        for document in listed:
            counts[document.kind] += 1
            name = f"{document.kind}-{counts[document.kind]}.{ENDINGS[document.media_type]}"
            _write_private(folder / name, await content_of(store.document_files, document))
            names.append(name)
        return names

    try:
        folder.mkdir(mode=0o700)
        return with_store(data, work)
    except DocumentChanged as error:
        raise refused(str(error)) from error
    except OSError as error:
        raise refused(f"--save: {error.filename or folder}: {error.strerror or error}", UNUSABLE) from error


def _write_private(path: Path, content: bytes) -> None:
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
        file.write(content)


def _show(merchant: Merchant, as_json: bool) -> None:
    if as_json:
        show_json(_row(merchant))
    else:
        show_members(_table_row(merchant))


def _row(merchant: Merchant) -> dict[str, Any]:
    return asdict(merchant) | {"denied": sorted(merchant.denied)}


def _volume_row(volume: Volume, merchant: Merchant) -> dict[str, str]:
    return {
        "today": str(Money(volume.day_minor, merchant.currency)),
        "this month": str(Money(volume.month_minor, merchant.currency)),
    }


def _table_row(merchant: Merchant) -> dict[str, Any]:
    """For the tables: limits of amounts in major units."""
    row = _row(merchant)
    for name in ("max_amount", "max_daily", "max_monthly"):
        minor = row.pop(f"{name}_minor")
        row[name] = minor and str(Money(minor, merchant.currency))
    return row | {"denied": " ".join(row["denied"])}
