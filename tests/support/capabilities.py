"""The capabilities of both wallets' accounts, for channels that stand for both."""

from tael.channels.alipay_mapi import capabilities as alipay
from tael.channels.alipay_mapi.account import AlipayAccount
from tael.channels.base import Capabilities
from tael.channels.wechat_v2 import capabilities as wechat
from tael.channels.wechat_v2.account import WeChatAccount
from tael.merchants.domain.account import Account


def capabilities_of(account: Account) -> Capabilities:
    if isinstance(account, AlipayAccount):
        return alipay.capabilities_of(account)
    assert isinstance(account, WeChatAccount)
    return wechat.capabilities_of(account)
