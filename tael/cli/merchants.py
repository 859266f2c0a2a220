"""`tael merchant`: who gets the money. A running gateway sees a new merchant within a second."""

from collections.abc import Sequence
from dataclasses import asdict
from datetime import datetime
from typing import Annotated, Any, Final

import typer

from tael import ids
from tael.cli import inputs
from tael.cli.finding import DataOption, with_store
from tael.cli.showing import JsonOption, refused, show_json, show_members, show_rows
from tael.domain.merchant import Merchant, MerchantState
from tael.domain.money import Money
from tael.store.merchants import AlreadyThere
from tael.store.store import Store

merchants: Final = typer.Typer(help="Who gets the money.", no_args_is_help=True)

#: Eleven digits: what `txamt` may have.
LARGEST_PAYMENT_MINOR: Final = 99_999_999_999


@merchants.command("add")
def add(
    appcode: Annotated[str, typer.Argument(metavar="APPCODE", help="The developer who acts for it.")],
    name: Annotated[str, typer.Option(help="What payers and operators see.")],
    currency: Annotated[str, typer.Option(help="The one currency it takes, such as HKD.")],
    mchid: Annotated[str | None, typer.Option(help="Its public id; made if not given.")] = None,
    is_default: Annotated[
        bool, typer.Option("--default", help="Meant by requests that name no merchant.")
    ] = False,
    most_minor: Annotated[
        int | None,
        typer.Option(min=1, max=LARGEST_PAYMENT_MINOR, help="Largest payment it may take, in minor units."),
    ] = None,
    state: Annotated[
        MerchantState, typer.Option(help="Only an active one may take payments.")
    ] = MerchantState.ACTIVE,
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
        most_minor=most_minor,
    )

    async def work(store: Store, now: datetime) -> None:
        await store.merchants.add_merchant(merchant, now)

    try:
        with_store(data, work)
    except (AlreadyThere, LookupError) as error:
        raise refused(str(error)) from error
    if as_json:
        show_json(asdict(merchant))
    else:
        show_members(_row(merchant))


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
        show_json([asdict(merchant) for merchant in found])
    else:
        columns = ("mchid", "appcode", "name", "currency", "state", "is_default", "largest_payment")
        show_rows([_row(merchant) for merchant in found], columns)


def _row(merchant: Merchant) -> dict[str, Any]:
    """For people: the limit as money."""
    row = asdict(merchant)
    most_minor = row.pop("most_minor")
    return row | {"largest_payment": most_minor and str(Money(most_minor, merchant.currency))}
