"""The supported pay types. Source: QFPay's table of pay_type."""

from dataclasses import dataclass
from enum import StrEnum
from typing import Final


class Wallet(StrEnum):
    """Who holds the payer's money."""

    ALIPAY = "alipay"
    WECHAT = "wechat"


class Region(StrEnum):
    """An edition of a wallet; its payers' accounts are in that place's currency."""

    MAINLAND = "CN"
    HONG_KONG = "HK"


class Scene(StrEnum):
    """Where a payment happens."""

    ONLINE = "online"  #: the payer opens our link or scans our code
    OFFLINE = "offline"  #: the shop scans the payer's code


class Presentment(StrEnum):
    """How the payment is presented to the payer, or the payer's code to the shop."""

    WEB_PAGE = "web_page"  #: a cashier page in a desktop browser
    WAP_PAGE = "wap_page"  #: a cashier page in a phone's browser
    QR_CODE = "qr_code"  #: a code that the payer scans
    JSAPI = "jsapi"  #: parameters for a page inside the wallet's own browser
    MINI_PROGRAM = "mini_program"  #: parameters for the merchant's mini program inside the wallet
    APP = "app"  #: parameters for the wallet's SDK in the merchant's own app
    BARCODE = "barcode"  #: the payer's code, scanned by the shop


@dataclass(frozen=True, slots=True)
class PayType:
    """One pay_type; the code is QFPay's."""

    code: str
    wallet: Wallet | None  #: None: the payer's code tells
    scene: Scene
    presentment: Presentment
    expires_after_s: int  #: default lifetime of an unpaid order
    is_for_shops: bool = False  #: of an online one: the code is shown in a shop, by the contract for shops

    @property
    def is_online(self) -> bool:
        return self.scene is Scene.ONLINE

    @property
    def has_page(self) -> bool:
        """A page of ours shows the payment to the payer: neither an app nor a mini program needs one."""
        return self.is_online and self.presentment not in (Presentment.APP, Presentment.MINI_PROGRAM)

    @property
    def needs_openid(self) -> bool:
        """The wallet wants to know the payer beforehand."""
        return self.presentment in (Presentment.JSAPI, Presentment.MINI_PROGRAM)


ALIPAY_ONLINE_EXPIRY_S: Final = 600
#: Of every other online pay type.
ONLINE_EXPIRY_S: Final = 1800
#: An undecided barcode payment is reversed at the wallet after this time, then fails.
OFFLINE_EXPIRY_S: Final = 120


def _online(
    code: str, wallet: Wallet, presentment: Presentment, expires_after_s: int = ONLINE_EXPIRY_S
) -> PayType:
    return PayType(code, wallet, Scene.ONLINE, presentment, expires_after_s)


def _shown_in_a_shop(code: str, wallet: Wallet) -> PayType:
    return PayType(code, wallet, Scene.ONLINE, Presentment.QR_CODE, ONLINE_EXPIRY_S, is_for_shops=True)


def _offline(code: str, wallet: Wallet | None) -> PayType:
    return PayType(code, wallet, Scene.OFFLINE, Presentment.BARCODE, OFFLINE_EXPIRY_S)


PAY_TYPES: Final = {
    pay_type.code: pay_type
    for pay_type in (
        # Of the first API. Checkout links prefer them to later ones.
        _online("800151", Wallet.ALIPAY, Presentment.WEB_PAGE, ALIPAY_ONLINE_EXPIRY_S),
        _online("800152", Wallet.ALIPAY, Presentment.WAP_PAGE, ALIPAY_ONLINE_EXPIRY_S),
        _offline("800108", Wallet.ALIPAY),
        _online("800201", Wallet.WECHAT, Presentment.QR_CODE),
        _online("800207", Wallet.WECHAT, Presentment.JSAPI),
        _offline("800208", Wallet.WECHAT),
        _offline("800228", Wallet.WECHAT),
        # Any wallet.
        _offline("800008", None),
        # Alipay, overseas merchants.
        _shown_in_a_shop("800101", Wallet.ALIPAY),
        _online("801101", Wallet.ALIPAY, Presentment.WEB_PAGE),
        _online("801107", Wallet.ALIPAY, Presentment.WAP_PAGE),
        _online("801110", Wallet.ALIPAY, Presentment.APP),
        # Alipay, merchants in Hong Kong.
        _shown_in_a_shop("801501", Wallet.ALIPAY),
        _online("801510", Wallet.ALIPAY, Presentment.APP),
        _online("801512", Wallet.ALIPAY, Presentment.WAP_PAGE),
        _online("801514", Wallet.ALIPAY, Presentment.WEB_PAGE),
        # WeChat Pay.
        _online("800210", Wallet.WECHAT, Presentment.APP),
        _online("800212", Wallet.WECHAT, Presentment.WAP_PAGE),
        _online("800213", Wallet.WECHAT, Presentment.MINI_PROGRAM),
        _offline("801008", Wallet.WECHAT),
        _online("801010", Wallet.WECHAT, Presentment.APP),
    )
}
