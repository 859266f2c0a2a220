"""The capabilities of both wallets' accounts, for channels that stand for both."""

from tael.channels.alipay_mapi import capabilities as alipay
from tael.channels.base import Capabilities
from tael.channels.wechat_v2 import capabilities as wechat
from tael.merchants.domain.account import Account, AlipayAccount


def capabilities_of(account: Account) -> Capabilities:
    return (
        alipay.capabilities_of(account)
        if isinstance(account, AlipayAccount)
        else wechat.capabilities_of(account)
    )
