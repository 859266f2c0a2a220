"""`tael merchant`: merchants, who receive the money. A running gateway applies a change within a second."""

from collections.abc import Sequence
from dataclasses import asdict, replace
from datetime import datetime
from typing import Annotated, Any, Final

import typer

from tael.base import ids
from tael.base.money import Money
from tael.cli import inputs
from tael.cli.finding import DataOption, with_store
from tael.cli.showing import UNUSABLE, JsonOption, refused, show_json, show_members, show_rows
from tael.merchants.domain.merchant import Merchant, MerchantState, Operation, UnmatchedPolicy
from tael.merchants.store.merchants import AlreadyThere
from tael.operations.store import Store

merchants: Final = typer.Typer(help="Manage merchants.", no_args_is_help=True)

#: `txamt` has at most eleven digits.
MAX_AMOUNT_MINOR: Final = 99_999_999_999

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
)
DenyOption = Annotated[
    list[Operation] | None, typer.Option("--deny", help="Deny this operation to the merchant. Repeatable.")
]
UnmatchedOption = typer.Option(
    "--unmatched-payments",
    help="Hold confirmed unmatched payments for a decision, or return them to the payer.",
)
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
    data: DataOption = None,
    as_json: JsonOption = False,
) -> None:
    """Add a merchant to an app."""
    merchant = Merchant(
        mchid=ids.mchid() if mchid is None else inputs.checked(mchid, inputs.MCHID, "--mchid"),
        appcode=appcode,
        name=inputs.checked(name, inputs.MERCHANT_NAME, "--name"),
        currency=inputs.checked(currency, inputs.CURRENCY, "--currency"),
        state=state,
        is_default=is_default,
        max_amount_minor=max_amount_minor,
        denied=frozenset(deny or ()),
        unmatched_payments=unmatched_payments,
    )

    async def work(store: Store, now: datetime) -> None:
        await store.merchants.add_merchant(merchant, now)

    try:
        with_store(data, work)
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
    data: DataOption = None,
    as_json: JsonOption = False,
) -> None:
    """Change a merchant. Options that are not given keep their value. Open orders continue."""
    both = set(deny or ()) & set(allow or ())
    if both:
        raise refused(f"--deny and --allow: {min(both)} is given in both", UNUSABLE)

    async def work(store: Store, now: datetime) -> Merchant | None:
        before = await store.merchants.merchant(mchid)
        if before is None:
            return None
        after = replace(
            before,
            state=state or before.state,
            max_amount_minor=before.max_amount_minor
            if max_amount_minor is None
            else max_amount_minor or None,
            denied=before.denied.union(deny or ()).difference(allow or ()),
            unmatched_payments=unmatched_payments or before.unmatched_payments,
        )
        await store.merchants.set_merchant(after)
        return after

    merchant = with_store(data, work)
    if merchant is None:
        raise refused(f"no merchant {mchid}")
    _show(merchant, as_json)


@merchants.command("list")
def list_merchants(
    appcode: Annotated[str | None, typer.Option(help="List only merchants of this app.")] = None,
    data: DataOption = None,
    as_json: JsonOption = False,
) -> None:
    """List merchants, oldest first."""

    async def work(store: Store, now: datetime) -> Sequence[Merchant] | None:
        if appcode is None:
            return await store.merchants.all()
        known = await store.merchants.app(appcode) is not None
        return await store.merchants.of_app(appcode) if known else None

    listed = with_store(data, work)
    if listed is None:
        raise refused(f"no app {appcode}")
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
