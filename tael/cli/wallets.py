"""`tael wallet`: merchants' accounts at the wallets. The database enforces the rules of the wallets' contracts.

Keys are read from files and never shown. A running gateway applies a change within a second.
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
from tael.cli.command_order import group_in_order
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

wallets: Final = typer.Typer(
    help="Manage wallet accounts.", cls=group_in_order("add", "set", "list"), no_args_is_help=True
)
adding: Final = typer.Typer(help="Add a wallet account to a merchant.", no_args_is_help=True)
wallets.add_typer(adding, name="add")

MAX_FEE_PPM: Final = 1_000_000

MchidArgument = Annotated[str, typer.Argument(metavar="MCHID", help="The merchant that owns the account.")]
CurrencyOption = Annotated[
    str | None,
    typer.Option(help="The contract's currency; must be the merchant's. Default: the merchant's."),
]
RefundWindowOption = Annotated[
    int, typer.Option(min=1, max=3650, help="Days after a payment in which the wallet accepts refunds.")
]
PartialRefundsOption = Annotated[
    bool,
    typer.Option(
        "--supports-partial-refunds/--no-supports-partial-refunds",
        help="Whether the contract allows partial refunds; if not, they are refused with 1271.",
    ),
]
KeyFileOption = Annotated[
    Path | None, typer.Option(metavar="FILE", help="Replaces the key; see `tael wallet add`.")
]
FeeRateOption = Annotated[
    int,
    typer.Option(
        min=0, max=MAX_FEE_PPM, help="Fee on each payment in parts per million of its amount: 6000 is 0.6 %."
    ),
]


@adding.command("alipay")
def add_alipay(
    mchid: MchidArgument,
    pid: Annotated[str, typer.Option(help="The contract's PID: 16 digits beginning with 2088.")],
    scene: Annotated[Literal["online", "offline"], typer.Option(help="The scene that the contract covers.")],
    sign_type: Annotated[AlipaySignType, typer.Option(help="Signature algorithm of the contract.")],
    key_file: Annotated[
        Path | None, typer.Option(metavar="FILE", help="File with the shared key, for MD5.")
    ] = None,
    private_key_file: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="File with the merchant's private key, for RSA and RSA2."),
    ] = None,
    alipay_public_key_file: Annotated[
        Path | None, typer.Option(metavar="FILE", help="File with Alipay's public key, for RSA and RSA2.")
    ] = None,
    currency: CurrencyOption = None,
    refund_window_days: RefundWindowOption = 365,
    supports_partial_refunds: PartialRefundsOption = True,
    fee_rate_ppm: FeeRateOption = 0,
    supports_close: Annotated[
        bool,
        typer.Option(
            "--supports-close/--no-supports-close", help="Whether the contract includes `close_trade`."
        ),
    ] = True,
    data: DataOption = None,
    as_json: JsonOption = False,
) -> None:
    """Add an Alipay account: a PID for one scene."""
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
    mch_id: Annotated[str, typer.Option(help="WeChat Pay's number of the service provider.")],
    appid: Annotated[str, typer.Option(help="The service provider's appid.")],
    key_file: Annotated[
        Path, typer.Option(metavar="FILE", help="File with the service provider's V2 API key.")
    ],
    sign_type: Annotated[WeChatSignType, typer.Option(help="Signature algorithm of the account.")],
    certificate_file: Annotated[
        Path, typer.Option(metavar="FILE", help="File with the service provider's client certificate, PEM.")
    ],
    certificate_key_file: Annotated[
        Path, typer.Option(metavar="FILE", help="File with the certificate's private key, PEM.")
    ],
    sub_mch_id: Annotated[str, typer.Option(help="WeChat Pay's number of the merchant.")],
    sub_appid: Annotated[str, typer.Option(help="The merchant's appid; payers' openids belong to it.")],
    sub_secret_file: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="File with the secret of the merchant's appid. Not used yet."),
    ] = None,
    supports_wechat_hk: Annotated[
        bool,
        typer.Option(
            "--supports-wechat-hk/--no-supports-wechat-hk",
            help="Whether the account accepts WeChat Pay HK (800228).",
        ),
    ] = False,
    currency: CurrencyOption = None,
    refund_window_days: RefundWindowOption = 365,
    supports_partial_refunds: PartialRefundsOption = True,
    fee_rate_ppm: FeeRateOption = 0,
    data: DataOption = None,
    as_json: JsonOption = False,
) -> None:
    """Add a WeChat Pay account: a sub-merchant for both scenes.

    The key and the certificate belong to the service provider: they replace those stored for all its sub-merchants.
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
        str, typer.Argument(metavar="ACCOUNT", help="The account id, as shown by `tael wallet list`.")
    ],
    refund_window_days: Annotated[
        int | None,
        typer.Option(min=1, max=3650, help="Days after a payment in which the wallet accepts refunds."),
    ] = None,
    supports_partial_refunds: Annotated[
        bool | None,
        typer.Option(
            "--supports-partial-refunds/--no-supports-partial-refunds",
            help="Whether the contract allows partial refunds; if not, they are refused with 1271.",
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
    """Change the refund rules or the keys of an account. Options that are not given keep their value.

    A WeChat Pay key and certificate belong to the service provider and change for all its sub-merchants.
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
    mchid: Annotated[str | None, typer.Option(help="List only accounts of this merchant.")] = None,
    data: DataOption = None,
    as_json: JsonOption = False,
) -> None:
    """List wallet accounts without their keys, oldest first."""

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
    """By the machine's clock, also in a demo: TLS uses it."""
    return RealClock().now()


def _merchant(mchid: str, currency: str | None, data: Path | None) -> Merchant:
    """The merchant. Its payments are in its own currency, so a contract in another currency is refused."""

    async def work(store: Store, now: datetime) -> Merchant | None:
        merchant = await store.merchants.merchant(mchid)
        if merchant is not None:
            # Decrypts the app's key: nothing may be encrypted with a wrong encryption key.
            await store.merchants.app(merchant.appcode)
        return merchant

    if currency is not None:
        inputs.checked(currency, inputs.CURRENCY, "--currency")
    merchant = with_store(data, work)
    if merchant is None:
        raise refused(f"no merchant {mchid}")
    if currency not in (None, merchant.currency):
        raise refused(f"--currency: the accounts of merchant {mchid} must be in {merchant.currency}")
    return merchant


def _add(account: Account, data: Path | None, as_json: bool) -> None:
    async def work(store: Store, now: datetime) -> None:
        await store.accounts.add(account, now)

    try:
        with_store(data, work)
    except (AlreadyThere, LookupError) as error:
        raise refused(str(error)) from error
    show_account(account, as_json)
