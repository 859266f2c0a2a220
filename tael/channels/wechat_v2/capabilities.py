"""What a WeChat Pay contract covers. A sub-merchant serves both scenes, and WeChat Pay HK if that is granted."""

from typing import Final

from tael.channels.base import Capabilities
from tael.channels.wechat_v2.account import WeChatAccount

PAY_TYPES: Final = frozenset({"800201", "800207", "800208"})
HONGKONG: Final = "800228"
MAX_REFUNDS_PER_ORDER: Final = 50


def capabilities_of(account: WeChatAccount) -> Capabilities:
    return Capabilities(
        pay_types=PAY_TYPES | {HONGKONG} if account.supports_wechat_hk else PAY_TYPES,
        supports_partial_refunds=account.supports_partial_refunds,
        max_refunds_per_order=MAX_REFUNDS_PER_ORDER,
    )
