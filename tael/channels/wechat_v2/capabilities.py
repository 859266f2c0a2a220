"""What a WeChat Pay contract covers. An account serves both scenes, and what its settings grant."""

from typing import Final

from tael.channels.base import Capabilities
from tael.channels.wechat_v2.account import WeChatAccount
from tael.channels.wechat_v2.products import PRODUCTS, has_product

MAX_REFUNDS_PER_ORDER: Final = 50


def capabilities_of(account: WeChatAccount) -> Capabilities:
    return Capabilities(
        pay_types=frozenset(code for code, product in PRODUCTS.items() if has_product(account, product)),
        supports_partial_refunds=account.supports_partial_refunds,
        max_refunds_per_order=MAX_REFUNDS_PER_ORDER,
    )
