"""`tael wallet`: merchants' accounts at the wallets. What breaks a contract, the database refuses.

Keys are read from files and never shown again. A running gateway sees a new or changed account within a second.
"""

from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import Annotated, Final, Literal

import typer

from tael.base import ids
from tael.base.clock import RealClock
from tael.base.pay_types import Wallet
from tael.cli import inputs
from tael.cli.accounts import account_members, show_account, wallet_of
from tael.cli.finding import DataOption, with_store
from tael.cli.keys import KeyFiles, alipay_keys, with_keys
from tael.cli.showing import JsonOption, refused, show_json, show_rows
from tael.merchants.domain.account import (
    NO_SECRET,
    Account,
    AlipayAccount,
    AlipaySignType,
    WeChatAccount,
    WeChatProvider,
    WeChatSignType,
)
from tael.merchants.domain.merchant import Merchant
from tael.merchants.store.merchants import AlreadyThere
from tael.operations.store import Store

wallets: Final = typer.Typer(help="Merchants' accounts at the wallets.", no_args_is_help=True)
adding: Final = typer.Typer(help="Add an account to a merchant.", no_args_is_help=True)
wallets.add_typer(adding, name="add")

MAX_FEE_PPM: Final = 1_000_000

MchidArgument = Annotated[str, typer.Argument(metavar="MCHID", help="The merchant whose account it is.")]
CurrencyOption = Annotated[
    str | None, typer.Option(help="The contract's currency: the merchant's, which it is if not given.")
]
RefundWindowOption = Annotated[
    int, typer.Option(min=1, max=3650, help="For how many days the wallet takes refunds.")
]
PartialRefundsOption = Annotated[
    bool,
    typer.Option(
        "--takes-partial-refunds/--no-takes-partial-refunds",
        help="Whether the contract allows refunds of a part; without them those are 1271.",
    ),
]
KeyFileOption = Annotated[Path | None, typer.Option(metavar="FILE", help="As for `wallet add`.")]
FeeRateOption = Annotated[
    int,
    typer.Option(
        min=0, max=MAX_FEE_PPM, help="Fee on each payment, in parts per million of its price: 6000 is 0.6 %."
    ),
]


@adding.command("alipay")
def add_alipay(
    mchid: MchidArgument,
    pid: Annotated[str, typer.Option(help="Alipay's number of the contract, 2088…")],
    scene: Annotated[
        Literal["online", "offline"], typer.Option(help="What the contract is for, never both.")
    ],
    sign_type: Annotated[AlipaySignType, typer.Option(help="How both sides sign.")],
    key_file: Annotated[Path | None, typer.Option(metavar="FILE", help="The shared key; for MD5.")] = None,
    private_key_file: Annotated[
        Path | None, typer.Option(metavar="FILE", help="The merchant's private key, PEM; for RSA and RSA2.")
    ] = None,
    alipay_public_key_file: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Alipay's own public key, PEM; for RSA and RSA2.")
    ] = None,
    currency: CurrencyOption = None,
    refund_window_days: RefundWindowOption = 365,
    supports_partial_refunds: PartialRefundsOption = True,
    fee_rate_ppm: FeeRateOption = 0,
    supports_close: Annotated[
        bool, typer.Option("--closes-trades/--no-closes-trades", help="Whether it has `close_trade`.")
    ] = True,
    data: DataOption = None,
    as_json: JsonOption = False,
) -> None:
    """Add an account of Alipay: a PID, which serves one scene."""
    merchant = _merchant(mchid, currency, data)
    key, private_key, public_key = alipay_keys(sign_type, key_file, private_key_file, alipay_public_key_file)
    account = AlipayAccount(
        account_id=ids.account_id(),
        mchid=merchant.mchid,
        scene=scene,
        currency=merchant.currency,
        pid=inputs.checked(pid, inputs.PID, "--pid"),
        sign_type=sign_type,
        key=key,
        private_key_pem=private_key,
        alipay_public_key_pem=public_key,
        supports_close=supports_close,
        refund_window_days=refund_window_days,
        supports_partial_refunds=supports_partial_refunds,
        fee_rate_ppm=fee_rate_ppm,
    )
    _add(account, data, as_json)


@adding.command("wechat")
def add_wechat(
    mchid: MchidArgument,
    mch_id: Annotated[str, typer.Option(help="WeChat's number of the service provider.")],
    appid: Annotated[str, typer.Option(help="The service provider's appid.")],
    key_file: Annotated[Path, typer.Option(metavar="FILE", help="The service provider's V2 API key.")],
    sign_type: Annotated[WeChatSignType, typer.Option(help="How both sides sign.")],
    certificate_file: Annotated[
        Path, typer.Option(metavar="FILE", help="The service provider's client certificate, PEM.")
    ],
    certificate_key_file: Annotated[
        Path, typer.Option(metavar="FILE", help="The private key of the certificate, PEM.")
    ],
    sub_mch_id: Annotated[str, typer.Option(help="WeChat's number of the merchant.")],
    sub_appid: Annotated[
        str, typer.Option(help="The merchant's own appid, to which its payers' openids belong.")
    ],
    sub_secret_file: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="The secret of the merchant's appid; nothing needs it yet."),
    ] = None,
    supports_wechat_hk: Annotated[
        bool, typer.Option("--takes-hongkong/--no-takes-hongkong", help="Whether it may take 800228.")
    ] = False,
    currency: CurrencyOption = None,
    refund_window_days: RefundWindowOption = 365,
    supports_partial_refunds: PartialRefundsOption = True,
    fee_rate_ppm: FeeRateOption = 0,
    data: DataOption = None,
    as_json: JsonOption = False,
) -> None:
    """Add an account of WeChat Pay: a sub-merchant, which serves both scenes.

    Key and certificate are the service provider's: they take the place of those kept for all its sub-merchants.
    """
    merchant = _merchant(mchid, currency, data)
    certificate_pem, certified = inputs.certificate_in(certificate_file, "--certificate-file", _today())
    provider = WeChatProvider(
        mch_id=inputs.checked(mch_id, inputs.WECHAT_NUMBER, "--mch-id"),
        appid=inputs.checked(appid, inputs.APPID, "--appid"),
        key=inputs.secret_in(key_file, inputs.WALLET_KEY, "--key-file"),
        certificate_pem=certificate_pem,
        certificate_key_pem=inputs.certificate_key_in(
            certificate_key_file, certified, "--certificate-key-file"
        ),
    )
    secret = sub_secret_file and inputs.secret_in(sub_secret_file, inputs.APP_SECRET, "--sub-secret-file")
    account = WeChatAccount(
        account_id=ids.account_id(),
        mchid=merchant.mchid,
        currency=merchant.currency,
        provider=provider,
        sign_type=sign_type,
        sub_mch_id=inputs.checked(sub_mch_id, inputs.WECHAT_NUMBER, "--sub-mch-id"),
        sub_appid=inputs.checked(sub_appid, inputs.APPID, "--sub-appid"),
        sub_secret=secret or NO_SECRET,
        supports_wechat_hk=supports_wechat_hk,
        refund_window_days=refund_window_days,
        supports_partial_refunds=supports_partial_refunds,
        fee_rate_ppm=fee_rate_ppm,
    )
    _add(account, data, as_json)


@wallets.command("set")
def set_account(
    account_id: Annotated[
        str, typer.Argument(metavar="ACCOUNT", help="Its id, as `tael wallet list` shows it.")
    ],
    refund_window_days: Annotated[
        int | None, typer.Option(min=1, max=3650, help="For how many days the wallet takes refunds.")
    ] = None,
    supports_partial_refunds: Annotated[
        bool | None,
        typer.Option(
            "--takes-partial-refunds/--no-takes-partial-refunds",
            help="Whether the contract allows refunds of a part.",
        ),
    ] = None,
    key_file: KeyFileOption = None,
    private_key_file: KeyFileOption = None,
    alipay_public_key_file: KeyFileOption = None,
    certificate_file: KeyFileOption = None,
    certificate_key_file: KeyFileOption = None,
    sub_secret_file: KeyFileOption = None,
    data: DataOption = None,
    as_json: JsonOption = False,
) -> None:
    """Change what a contract says of refunds, and keys. What is not named keeps its value.

    Key and certificate of WeChat Pay are the service provider's, and change for all of its merchants.
    """
    files = KeyFiles(
        key_file,
        private_key_file,
        alipay_public_key_file,
        certificate_file,
        certificate_key_file,
        sub_secret_file,
    )

    async def work(store: Store, now: datetime) -> Account | None:
        account = await store.accounts.by_id(account_id)
        if account is None:
            return None
        changed = with_keys(account, files, _today())
        if changed != account:
            await store.accounts.set_keys(changed)
        account = changed
        if refund_window_days is not None:
            account = replace(account, refund_window_days=refund_window_days)
        if supports_partial_refunds is not None:
            account = replace(account, supports_partial_refunds=supports_partial_refunds)
        await store.accounts.set_refund_rules(account)
        return account

    account = with_store(data, work)
    if account is None:
        raise refused(f"no account {account_id}")
    show_account(account, as_json)


@wallets.command("list")
def list_accounts(
    mchid: Annotated[str | None, typer.Option(help="Only those of this merchant.")] = None,
    data: DataOption = None,
    as_json: JsonOption = False,
) -> None:
    """List accounts, oldest first, without their keys."""

    async def work(store: Store, now: datetime) -> list[Account] | None:
        if mchid is not None and await store.merchants.merchant(mchid) is None:
            return None
        return [account for account in await store.accounts.all() if mchid in (None, account.mchid)]

    accounts = with_store(data, work)
    if accounts is None:
        raise refused(f"no merchant {mchid}")
    if as_json:
        show_json([account_members(account) for account in accounts])
        return
    for wallet in Wallet:
        rows = [account_members(account) for account in accounts if wallet_of(account) is wallet]
        if rows:
            show_rows(rows, [name for name in rows[0] if name != "wallet"], title=wallet.value)


def _today() -> datetime:
    """By the machine's clock, also in a demo: it is what TLS goes by."""
    return RealClock().now()


def _merchant(mchid: str, currency: str | None, data: Path | None) -> Merchant:
    """Whose account it shall be. Its prices are in its own currency: a contract in another is of no use."""

    async def work(store: Store, now: datetime) -> Merchant | None:
        merchant = await store.merchants.merchant(mchid)
        if merchant is not None:
            await store.merchants.app(
                merchant.appcode
            )  # opens its key: a wrong sealing key must not seal more
        return merchant

    if currency is not None:
        inputs.checked(currency, inputs.CURRENCY, "--currency")
    merchant = with_store(data, work)
    if merchant is None:
        raise refused(f"no merchant {mchid}")
    if currency not in (None, merchant.currency):
        raise refused(f"--currency: merchant {mchid} takes {merchant.currency}, and so must its accounts")
    return merchant


def _add(account: Account, data: Path | None, as_json: bool) -> None:
    async def work(store: Store, now: datetime) -> None:
        await store.accounts.add(account, now)

    try:
        with_store(data, work)
    except (AlreadyThere, LookupError) as error:
        raise refused(str(error)) from error
    show_account(account, as_json)
