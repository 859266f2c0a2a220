"""What a WeChat Pay contract covers. An account serves both scenes, and what its settings grant."""

from functools import cache
from typing import Final

from tael.channels.base import Capabilities
from tael.channels.wechat_v2.account import WeChatAccount
from tael.channels.wechat_v2.products import PRODUCTS

MAX_REFUNDS_PER_ORDER: Final = 50
#: The settings that decide about pay types.
NEEDS: Final = tuple(sorted({need for product in PRODUCTS.values() for need in product.needs}))


def capabilities_of(account: WeChatAccount) -> Capabilities:
    has = frozenset(need for need in NEEDS if getattr(account, need))
    return _capabilities(has, account.supports_partial_refunds)


@cache
def _capabilities(has: frozenset[str], supports_partial_refunds: bool) -> Capabilities:
    return Capabilities(
        pay_types=frozenset(code for code, product in PRODUCTS.items() if has.issuperset(product.needs)),
        supports_partial_refunds=supports_partial_refunds,
        max_refunds_per_order=MAX_REFUNDS_PER_ORDER,
    )
