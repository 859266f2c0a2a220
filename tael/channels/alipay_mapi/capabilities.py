"""What an Alipay contract covers. A PID serves one scene, online or offline."""

from datetime import timedelta
from functools import cache
from typing import Final

from tael.channels.alipay_mapi.account import AlipayAccount
from tael.channels.alipay_mapi.products import PRODUCTS, Product
from tael.channels.base import Capabilities
from tael.merchants.domain.account import Coverage

#: Alipay requires this time between two online refunds of one PID.
REFUND_GAP: Final = timedelta(seconds=3)


def capabilities_of(account: AlipayAccount) -> Capabilities:
    return _capabilities(
        account.scene,
        "RSA" in account.sign_types,
        account.supports_alipay_hk,
        account.supports_close,
        account.supports_partial_refunds,
    )


@cache
def _capabilities(
    scene: Coverage, signs_rsa: bool, is_hong_kong: bool, supports_close: bool, supports_partial_refunds: bool
) -> Capabilities:
    def is_covered(product: Product) -> bool:
        """Order strings of apps are signed with RSA only."""
        can_sign = signs_rsa or product.service != "mobile.securitypay.pay"
        return scene == product.scene and can_sign and (is_hong_kong or not product.is_hong_kong)

    return Capabilities(
        pay_types=frozenset(code for code, product in PRODUCTS.items() if is_covered(product)),
        supports_close=supports_close,
        supports_partial_refunds=supports_partial_refunds,
        refund_gap=REFUND_GAP if scene == "online" else timedelta(0),
        signs_returns=True,
    )
