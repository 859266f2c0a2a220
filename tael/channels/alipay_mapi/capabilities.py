"""What an Alipay contract covers. A PID serves one scene, online or offline."""

from datetime import timedelta
from typing import Final

from tael.channels.alipay_mapi.account import AlipayAccount
from tael.channels.base import Capabilities

PAY_TYPES: Final = {"online": frozenset({"800151", "800152"}), "offline": frozenset({"800108"})}
#: Alipay requires this time between two online refunds of one PID.
REFUND_GAP: Final = timedelta(seconds=3)


def capabilities_of(account: AlipayAccount) -> Capabilities:
    return Capabilities(
        pay_types=PAY_TYPES[account.scene],
        supports_close=account.supports_close,
        supports_partial_refunds=account.supports_partial_refunds,
        refund_gap=REFUND_GAP if account.scene == "online" else timedelta(0),
        signs_returns=True,
    )
