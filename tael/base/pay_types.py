"""The supported pay types. Source: QFPay's table of pay_type."""

from dataclasses import dataclass
from enum import StrEnum
from typing import Final


class Wallet(StrEnum):
    """Who holds the payer's money."""

    ALIPAY = "alipay"
    WECHAT = "wechat"


class Scene(StrEnum):
    """Where a payment happens."""

    ONLINE = "online"  #: the payer opens our link or scans our code
    OFFLINE = "offline"  #: the shop scans the payer's code


class Presentment(StrEnum):
    """How the payment is presented to the payer, or the payer's code to the shop."""

    WEB_PAGE = "web_page"  #: a cashier page in a desktop browser
    WAP_PAGE = "wap_page"  #: a cashier page in a phone's browser
    QR_CODE = "qr_code"  #: a code that the payer scans
    IN_APP = "in_app"  #: a page inside the wallet's own browser
    BARCODE = "barcode"  #: the payer's code, scanned by the shop


@dataclass(frozen=True, slots=True)
class PayType:
    """One pay_type; the code is QFPay's."""

    code: str
    wallet: Wallet
    scene: Scene
    presentment: Presentment
    expires_after_s: int  #: default lifetime of an unpaid order
    is_hongkong: bool = False  #: the payer's wallet is WeChat Pay HK

    @property
    def is_online(self) -> bool:
        return self.scene is Scene.ONLINE


ALIPAY_ONLINE_EXPIRY_S: Final = 600
WECHAT_ONLINE_EXPIRY_S: Final = 1800
#: An undecided barcode payment is reversed at the wallet after this time, then fails.
OFFLINE_EXPIRY_S: Final = 120

PAY_TYPES: Final = {
    pay_type.code: pay_type
    for pay_type in (
        PayType("800151", Wallet.ALIPAY, Scene.ONLINE, Presentment.WEB_PAGE, ALIPAY_ONLINE_EXPIRY_S),
        PayType("800152", Wallet.ALIPAY, Scene.ONLINE, Presentment.WAP_PAGE, ALIPAY_ONLINE_EXPIRY_S),
        PayType("800108", Wallet.ALIPAY, Scene.OFFLINE, Presentment.BARCODE, OFFLINE_EXPIRY_S),
        PayType("800201", Wallet.WECHAT, Scene.ONLINE, Presentment.QR_CODE, WECHAT_ONLINE_EXPIRY_S),
        PayType("800207", Wallet.WECHAT, Scene.ONLINE, Presentment.IN_APP, WECHAT_ONLINE_EXPIRY_S),
        PayType("800208", Wallet.WECHAT, Scene.OFFLINE, Presentment.BARCODE, OFFLINE_EXPIRY_S),
        PayType(
            "800228", Wallet.WECHAT, Scene.OFFLINE, Presentment.BARCODE, OFFLINE_EXPIRY_S, is_hongkong=True
        ),
    )
}
