"""`tael merchant`: merchants, who receive the money. A running gateway applies a change within a second."""

from dataclasses import asdict
from typing import Annotated, Any, Final

import typer

from tael.base.money import Money
from tael.cli import inputs
from tael.cli.finding import DataOption, with_store
from tael.cli.showing import JsonOption, refused, show_json, show_members, show_rows
from tael.merchants.apps import NoSuchApp
from tael.merchants.domain.changes import MAX_AMOUNT_MINOR, MAX_RATE, MerchantChanges
from tael.merchants.domain.merchant import Merchant, MerchantState, Operation, UnmatchedPolicy
from tael.merchants.merchants import (
    NoSuchMerchant,
    add_merchant,
    change_merchant,
    find_merchants,
    new_merchant,
)
from tael.merchants.store.merchants import AlreadyThere

merchants: Final = typer.Typer(help="Manage merchants.", no_args_is_help=True)

COLUMNS: Final = (
    "mchid",
    "appcode",
    "name",
    "currency",
    "state",
    "is_default",
    "denied",
    "max_amount",
    "unmatched_payments",
    "max_per_second",
    "max_per_minute",
)
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
    state: Annotated[MerchantState, StateOption] = MerchantState.ACTIVE,
    deny: DenyOption = None,
    unmatched_payments: Annotated[UnmatchedPolicy, UnmatchedOption] = UnmatchedPolicy.HOLD,
    max_per_second: PerSecondOption = None,
    max_per_minute: PerMinuteOption = None,
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
        )
    try:
        with_store(data, lambda store, now: add_merchant(store.merchants, merchant, now))
    except (AlreadyThere, LookupError) as error:
        raise refused(str(error)) from error
    _show(merchant, as_json)


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
        )
    try:
        merchant = with_store(data, lambda store, _: change_merchant(store.merchants, mchid, changes))
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


def _show(merchant: Merchant, as_json: bool) -> None:
    if as_json:
        show_json(_row(merchant))
    else:
        show_members(_table_row(merchant))


def _row(merchant: Merchant) -> dict[str, Any]:
    return asdict(merchant) | {"denied": sorted(merchant.denied)}


def _table_row(merchant: Merchant) -> dict[str, Any]:
    """For the tables: the limit in major units."""
    row = _row(merchant)
    max_amount_minor = row.pop("max_amount_minor")
    return row | {
        "max_amount": max_amount_minor and str(Money(max_amount_minor, merchant.currency)),
        "denied": " ".join(row["denied"]),
    }
