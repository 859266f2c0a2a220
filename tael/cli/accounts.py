"""`tael account`: merchants' accounts at the wallets, for every protocol with the same commands.

Secrets are read from files and never shown. A running gateway applies a change within a second.
"""

from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from pathlib import Path
from typing import Annotated, Final, TypeVar

import typer

from tael.audit_log.domain.entry import Origin
from tael.base.clock import RealClock
from tael.channels.protocols import WalletProtocol
from tael.channels.registry import installed_protocols
from tael.channels.settings import BadSetting, Kind
from tael.cli import inputs
from tael.cli.command_order import group_in_order
from tael.cli.finding import DataOption, change_store, with_channels, with_store
from tael.cli.showing import IMPOSSIBLE, UNUSABLE, JsonOption, refused, show_json, show_members, show_rows
from tael.merchants.domain import forms
from tael.merchants.domain.account import Account, UnknownProtocol
from tael.merchants.store.merchants import AlreadyThere
from tael.operations.accounts import (
    AccountRefused,
    Check,
    Terms,
    Verifiers,
    account_members,
    add_account,
    change_accounts,
    check_accounts,
    end_overlaps,
)
from tael.operations.store import Store

accounts: Final = typer.Typer(
    help="Manage wallet accounts.",
    cls=group_in_order("add", "set", "end-overlap", "list", "check", "protocols"),
    no_args_is_help=True,
)

MAX_FEE_PPM: Final = 1_000_000
Result = TypeVar("Result")

SetOption = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="NAME=VALUE", help="A setting. Can be given several times."),
]
FileOption = Annotated[
    list[str] | None,
    typer.Option(
        "--file",
        metavar="NAME=PATH",
        help="A setting that is the content of a file, as every key is. Can be given several times.",
    ),
]
AccountArgument = Annotated[
    str | None, typer.Argument(metavar="ACCOUNT", help="The account id, as shown by `tael account list`.")
]
WhereOption = Annotated[
    list[str] | None,
    typer.Option(
        "--where",
        metavar="NAME=VALUE",
        help="Instead of ACCOUNT: all accounts with this member of `tael account list`. "
        "Can be given several times; all of them must match.",
    ),
]
WindowOption = Annotated[
    int | None,
    typer.Option(
        min=1,
        max=3650,
        help="Days after a payment in which the wallet accepts refunds. Default of a new account: 365.",
    ),
]
FeeRateOption = Annotated[
    int | None,
    typer.Option(
        min=0,
        max=MAX_FEE_PPM,
        help="Fee on each new payment in parts per million of its amount: 6000 is 0.6 %. Default of a new account: 0.",
        show_default=False,
    ),
]
WalletFeeRateOption = Annotated[
    int | None,
    typer.Option(
        min=0,
        max=MAX_FEE_PPM,
        help="The wallet's own fee in parts per million: statements are compared with it. Default of a new account: "
        "fees are not compared.",
        show_default=False,
    ),
]
PartialRefundsOption = Annotated[
    bool | None,
    typer.Option(
        "--supports-partial-refunds/--no-supports-partial-refunds",
        help="Whether the contract allows partial refunds; if not, they are refused with 1271.",
    ),
]


@accounts.command("add")
def add(
    mchid: Annotated[str, typer.Argument(metavar="MCHID", help="The merchant that owns the account.")],
    protocol: Annotated[
        str,
        typer.Option(metavar="NAME", help="The wallet's protocol; `tael account protocols` lists them."),
    ],
    settings: SetOption = None,
    files: FileOption = None,
    currency: Annotated[
        str | None,
        typer.Option(help="The contract's currency; must be the merchant's. Default: the merchant's."),
    ] = None,
    refund_window_days: WindowOption = None,
    supports_partial_refunds: PartialRefundsOption = None,
    fee_rate_ppm: FeeRateOption = None,
    wallet_fee_rate_ppm: WalletFeeRateOption = None,
    data: DataOption = None,
    as_json: JsonOption = False,
) -> None:
    """Add a wallet account to a merchant.

    `tael account protocols` lists the settings of each protocol.
    """
    if currency is not None:
        inputs.checked(currency, forms.CURRENCY, "--currency")
    given = _given(settings, files)
    terms = Terms(refund_window_days, supports_partial_refunds, fee_rate_ppm, wallet_fee_rate_ppm)

    async def work(store: Store, origin: Origin) -> Account:
        return await add_account(
            store, mchid, protocol, given, terms, currency=currency, origin=origin, now=_now()
        )

    _show(_done(lambda: change_store("account add", data, work)), as_json)


@accounts.command("set")
def set_account(
    account_id: AccountArgument = None,
    where: WhereOption = None,
    settings: SetOption = None,
    files: FileOption = None,
    refund_window_days: WindowOption = None,
    supports_partial_refunds: PartialRefundsOption = None,
    fee_rate_ppm: FeeRateOption = None,
    wallet_fee_rate_ppm: WalletFeeRateOption = None,
    overlap_hours: Annotated[
        int,
        typer.Option(
            metavar="HOURS",
            min=0,
            max=inputs.MAX_OVERLAP_HOURS,
            help="If a key, a certificate or the sign type changes: how long answers and notices that the wallet signs "
            "with the previous one are still accepted; 0 ends it at once.",
        ),
    ] = 72,
    data: DataOption = None,
    as_json: JsonOption = False,
) -> None:
    """Change the settings, the refund rules or the fee of an account. What is not given keeps its value.

    Requests are signed with a new key at once. The key and the certificate of a WeChat Pay service provider are in the
    accounts of all its sub-merchants: change them together with `--where mch_id=NUMBER`.
    """
    selected = _selected(account_id, where)
    given = _given(settings, files)
    terms = Terms(refund_window_days, supports_partial_refunds, fee_rate_ppm, wallet_fee_rate_ppm)
    overlap = timedelta(hours=overlap_hours)

    async def work(store: Store, origin: Origin) -> list[Account]:
        return await change_accounts(
            store, selected, given, terms, overlap=overlap, origin=origin, now=_now()
        )

    changed = _done(lambda: change_store("account set", data, work))
    _show_changed(changed, account_id, as_json)


@accounts.command("end-overlap")
def end(
    account_id: AccountArgument = None,
    where: WhereOption = None,
    data: DataOption = None,
    as_json: JsonOption = False,
) -> None:
    """End the overlap of a change: from now on only the account's current keys verify the wallet's messages."""
    selected = _selected(account_id, where)
    ended = _done(
        lambda: change_store(
            "account end-overlap", data, lambda store, origin: end_overlaps(store, selected, origin)
        )
    )
    _show_changed(ended, account_id, as_json)


@accounts.command("list")
def list_accounts(
    mchid: Annotated[str | None, typer.Option(help="List only accounts of this merchant.")] = None,
    data: DataOption = None,
    as_json: JsonOption = False,
) -> None:
    """List wallet accounts without their keys, oldest first."""

    async def work(store: Store, at: datetime) -> list[Account]:
        return await _accounts_of(store, mchid)

    _show_all(_done(lambda: with_store(data, work)), as_json)


@accounts.command("check")
def check(
    account_id: Annotated[
        str | None, typer.Argument(metavar="ACCOUNT", help="Check only this account. Default: all.")
    ] = None,
    mchid: Annotated[str | None, typer.Option(help="Check only accounts of this merchant.")] = None,
    data: DataOption = None,
    as_json: JsonOption = False,
) -> None:
    """Check the credentials of accounts without moving money.

    Keys and certificates must match each other and be valid today. Then the wallet is queried for an order that does
    not exist, which it must answer. In an overlap the result names the credentials that verified the answer. Exit
    code 1 if an account fails.
    """

    async def work(store: Store, at: datetime) -> list[Account]:
        chosen = [each for each in await _accounts_of(store, mchid) if account_id in (None, each.account_id)]
        if account_id is not None and not chosen:
            raise AccountRefused(f"no account {account_id}")
        return chosen

    chosen = _done(lambda: with_store(data, work))
    verifiers = Verifiers()
    checks = with_channels(
        data,
        lambda stores, channels, at: check_accounts(
            chosen, channels, stores.first, verifiers, at=at, now=_now()
        ),
        verifiers.note,
    )
    rows = [_check_members(each) for each in checks]
    if as_json:
        show_json(rows)
    elif rows:
        show_rows(rows, list(rows[0]))
    if not all(each.is_ok for each in checks):
        raise typer.Exit(IMPOSSIBLE)


@accounts.command("protocols")
def list_protocols(as_json: JsonOption = False) -> None:
    """List the installed protocols and the settings of their accounts."""
    protocols = installed_protocols().by_name.values()
    if as_json:
        show_json([row for protocol in protocols for row in _setting_rows(protocol)])
        return
    for protocol in protocols:
        show_rows(
            _setting_rows(protocol),
            ["setting", "given_with", "default", "description"],
            title=f"{protocol.name}: {protocol.title}",
        )


# ---- parts -------------------------------------------------------------------------------------------------------


def _now() -> datetime:
    """By the machine's clock, also in a demo: TLS uses it."""
    return RealClock().now()


async def _accounts_of(store: Store, mchid: str | None) -> list[Account]:
    if mchid is not None and await store.merchants.merchant(mchid) is None:
        raise AccountRefused(f"no merchant {mchid}")
    return [account for account in await store.accounts.all() if mchid in (None, account.mchid)]


def _done(work: Callable[[], Result]) -> Result:
    """The result of `work`, or one line and an exit code."""
    try:
        return work()
    except (AlreadyThere, AccountRefused) as error:
        raise refused(str(error)) from error
    except (BadSetting, UnknownProtocol) as error:
        raise refused(str(error), UNUSABLE) from error


def _given(settings: list[str] | None, files: list[str] | None) -> dict[str, str]:
    """The settings by name. A secret must be in a file: every user of the machine can read a command's arguments."""
    values, paths = _pairs(settings, "--set"), _pairs(files, "--file")
    secrets = {
        setting.name
        for protocol in installed_protocols().by_name.values()
        for setting in protocol.settings
        if setting.kind is Kind.SECRET
    }
    for name in values:
        if name in paths:
            raise refused(f"{name}: given with --set and --file", UNUSABLE)
        if name in secrets:
            raise refused(f"{name}: a secret; give the path of a file with --file {name}=PATH", UNUSABLE)
    return values | {name: inputs.text_in(Path(path), f"--file {name}") for name, path in paths.items()}


def _pairs(texts: list[str] | None, option: str) -> dict[str, str]:
    pairs: dict[str, str] = {}
    for text in texts or []:
        name, sign, value = text.partition("=")
        if not (name and sign):
            raise refused(f"{option}: must be NAME=VALUE", UNUSABLE)
        if name in pairs:
            raise refused(f"{option}: {name} is given twice", UNUSABLE)
        pairs[name] = value
    return pairs


def _setting_rows(protocol: WalletProtocol) -> list[dict[str, str]]:
    return [
        {
            "protocol": protocol.name,
            "setting": setting.name,
            "given_with": "--set" if setting.is_shown else "--file",
            "default": setting.default or "",
            "description": setting.description,
        }
        for setting in protocol.settings
    ]


def _selected(account_id: str | None, where: list[str] | None) -> dict[str, str]:
    """The members of the accounts that are meant."""
    if (account_id is None) == (not where):
        raise refused("give either ACCOUNT or --where", UNUSABLE)
    return _pairs(where, "--where") if account_id is None else {"account_id": account_id}


def _show_changed(changed: Sequence[Account], account_id: str | None, as_json: bool) -> None:
    if account_id is not None:
        _show(changed[0], as_json)
    else:
        _show_all(changed, as_json)


def _show(account: Account, as_json: bool) -> None:
    if as_json:
        show_json(account_members(account))
    else:
        show_members(account_members(account))


def _show_all(found: Sequence[Account], as_json: bool) -> None:
    """A table for each protocol, since their settings differ."""
    if as_json:
        show_json([account_members(account) for account in found])
        return
    for protocol in installed_protocols().by_name.values():
        _show_table(protocol, [account for account in found if account.protocol == protocol.name])


def _show_table(protocol: WalletProtocol, found: Sequence[Account]) -> None:
    rows = [account_members(account) for account in found]
    if rows:
        show_rows(
            rows, [name for name in rows[0] if name not in ("protocol", "wallet")], title=protocol.title
        )


def _check_members(check: Check) -> dict[str, str]:
    return {
        "account_id": check.account.account_id,
        "mchid": check.account.mchid,
        "protocol": check.account.protocol,
        "result": "ok" if check.is_ok else "failed",
        "detail": check.detail,
    }
