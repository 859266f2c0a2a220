"""What an Alipay contract covers. A PID serves one scene, online or offline."""

from datetime import timedelta
from typing import Final

from tael.channels.alipay_mapi.account import AlipayAccount
from tael.channels.alipay_mapi.products import PRODUCTS, has_product
from tael.channels.base import Capabilities

#: Alipay requires this time between two online refunds of one PID.
REFUND_GAP: Final = timedelta(seconds=3)


def capabilities_of(account: AlipayAccount) -> Capabilities:
    return Capabilities(
        pay_types=frozenset(code for code, product in PRODUCTS.items() if has_product(account, product)),
        supports_close=account.supports_close,
        supports_partial_refunds=account.supports_partial_refunds,
        refund_gap=REFUND_GAP if account.scene == "online" else timedelta(0),
        signs_returns=True,
    )
