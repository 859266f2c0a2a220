"""Output of wallet accounts. Keys and certificates are never shown."""

from typing import Any

from tael.base.pay_types import Wallet
from tael.cli.showing import show_json, show_members
from tael.merchants.domain.account import Account, AlipayAccount, WeChatAccount


def show_account(account: Account, as_json: bool) -> None:
    if as_json:
        show_json(account_members(account))
    else:
        show_members(account_members(account))


def wallet_of(account: Account) -> Wallet:
    return Wallet.ALIPAY if isinstance(account, AlipayAccount) else Wallet.WECHAT


def account_members(account: Account) -> dict[str, Any]:
    """All fields except keys and certificates."""
    row: dict[str, Any] = {
        "account_id": account.account_id,
        "mchid": account.mchid,
        "wallet": wallet_of(account),
        "scene": account.scene,
        "currency": account.currency,
        "refund_window_days": account.refund_window_days,
        "supports_partial_refunds": account.supports_partial_refunds,
        "fee_rate_ppm": account.fee_rate_ppm,
    }
    match account:
        case AlipayAccount():
            return row | {
                "pid": account.pid,
                "sign_type": account.sign_type,
                "supports_close": account.supports_close,
            }
        case WeChatAccount(provider=provider):
            return row | {
                "mch_id": provider.mch_id,
                "appid": provider.appid,
                "sign_type": account.sign_type,
                "sub_mch_id": account.sub_mch_id,
                "sub_appid": account.sub_appid,
                "supports_wechat_hk": account.supports_wechat_hk,
            }
