"""`tael merchant`: who gets the money. A running gateway sees a new merchant within a second."""

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
from tael.merchants.domain.merchant import Merchant, MerchantState, Operation
from tael.merchants.store.merchants import AlreadyThere
from tael.operations.store import Store

merchants: Final = typer.Typer(help="Who gets the money.", no_args_is_help=True)

#: Eleven digits: what `txamt` may have.
LARGEST_PAYMENT_MINOR: Final = 99_999_999_999

COLUMNS: Final = (
    "mchid",
    "appcode",
    "name",
    "currency",
    "state",
    "is_default",
    "denied",
    "largest_payment",
)
DenyOption = Annotated[
    list[Operation] | None, typer.Option("--deny", help="What it may not do; may be given several times.")
]


@merchants.command("add")
def add(
    appcode: Annotated[str, typer.Argument(metavar="APPCODE", help="The developer who acts for it.")],
    name: Annotated[str, typer.Option(help="What payers and operators see.")],
    currency: Annotated[str, typer.Option(help="The one currency it takes, such as HKD.")],
    mchid: Annotated[str | None, typer.Option(help="Its public id; made if not given.")] = None,
    is_default: Annotated[
        bool, typer.Option("--default", help="Meant by requests that name no merchant.")
    ] = False,
    max_amount_minor: Annotated[
        int | None,
        typer.Option(min=1, max=LARGEST_PAYMENT_MINOR, help="Largest payment it may take, in minor units."),
    ] = None,
    state: Annotated[
        MerchantState, typer.Option(help="Only an active one may take payments.")
    ] = MerchantState.ACTIVE,
    deny: DenyOption = None,
    data: DataOption = None,
    as_json: JsonOption = False,
) -> None:
    """Add a merchant to a developer."""
    merchant = Merchant(
        mchid=ids.mchid() if mchid is None else inputs.checked(mchid, inputs.MCHID, "--mchid"),
        appcode=appcode,
        name=inputs.checked(name, inputs.MERCHANT_NAME, "--name"),
        currency=inputs.checked(currency, inputs.CURRENCY, "--currency"),
        state=state,
        is_default=is_default,
        max_amount_minor=max_amount_minor,
        denied=frozenset(deny or ()),
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
    mchid: Annotated[str, typer.Argument(metavar="MCHID", help="The merchant.")],
    state: Annotated[MerchantState | None, typer.Option(help="Only an active one may take payments.")] = None,
    max_amount_minor: Annotated[
        int | None,
        typer.Option(
            min=0,
            max=LARGEST_PAYMENT_MINOR,
            help="Largest payment it may take, in minor units; 0 for no limit.",
        ),
    ] = None,
    deny: DenyOption = None,
    allow: Annotated[
        list[Operation] | None,
        typer.Option("--allow", help="What it may do again; may be given several times."),
    ] = None,
    data: DataOption = None,
    as_json: JsonOption = False,
) -> None:
    """Change a merchant. What is not named keeps its value; orders that are open go on."""
    both = set(deny or ()) & set(allow or ())
    if both:
        raise refused(f"--deny and --allow: {min(both)} cannot be both", UNUSABLE)

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
        )
        await store.merchants.set_merchant(after)
        return after

    merchant = with_store(data, work)
    if merchant is None:
        raise refused(f"no merchant {mchid}")
    _show(merchant, as_json)


@merchants.command("list")
def list_merchants(
    appcode: Annotated[str | None, typer.Option(help="Only those of this developer.")] = None,
    data: DataOption = None,
    as_json: JsonOption = False,
) -> None:
    """List merchants, oldest first."""

    async def work(store: Store, now: datetime) -> Sequence[Merchant] | None:
        if appcode is None:
            return await store.merchants.all()
        known = await store.merchants.app(appcode) is not None
        return await store.merchants.of_app(appcode) if known else None

    found = with_store(data, work)
    if found is None:
        raise refused(f"no app {appcode}")
    if as_json:
        show_json([_row(merchant) for merchant in found])
    else:
        show_rows([_for_people(merchant) for merchant in found], COLUMNS)


def _show(merchant: Merchant, as_json: bool) -> None:
    if as_json:
        show_json(_row(merchant))
    else:
        show_members(_for_people(merchant))


def _row(merchant: Merchant) -> dict[str, Any]:
    return asdict(merchant) | {"denied": sorted(merchant.denied)}


def _for_people(merchant: Merchant) -> dict[str, Any]:
    """The limit as money."""
    row = _row(merchant)
    max_amount_minor = row.pop("max_amount_minor")
    return row | {
        "largest_payment": max_amount_minor and str(Money(max_amount_minor, merchant.currency)),
        "denied": " ".join(row["denied"]),
    }
