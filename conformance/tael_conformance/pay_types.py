"""The pay types that the checks open, from the documentation."""

from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True, slots=True)
class PayType:
    """`answer` are the members that the payer needs; `wallet` is the one whose barcode pays, "" online."""

    code: str
    title: str
    answer: tuple[str, ...] = ()
    required: str = ""
    wallet: str = ""

    @property
    def is_barcode(self) -> bool:
        return bool(self.wallet)


_BRIDGE: Final = ("pay_params",)
_PAGE: Final = ("pay_url",)
_CODE: Final = ("qrcode",)

ONLINE: Final = (
    PayType("800201", "WeChat Pay, QR code", _CODE),
    PayType("800151", "Alipay, desktop page", _PAGE),
    PayType("800152", "Alipay, phone page", _PAGE),
    PayType("800207", "WeChat Pay, official account", _BRIDGE, required="sub_openid"),
    PayType("800101", "Alipay, QR code in a shop", _CODE),
    PayType("800210", "WeChat Pay, app", _BRIDGE),
    PayType("800212", "WeChat Pay, H5", _PAGE, required="extend_info"),
    PayType("800213", "WeChat Pay, mini program", _BRIDGE, required="sub_openid"),
    PayType("801010", "WeChat Pay HK, app", _BRIDGE),
    PayType("801101", "Alipay overseas, desktop page", _PAGE),
    PayType("801107", "Alipay overseas, phone page", _PAGE),
    PayType("801110", "Alipay overseas, app", _BRIDGE),
    PayType("801501", "Alipay Hong Kong, QR code in a shop", _CODE),
    PayType("801510", "Alipay Hong Kong, app", _BRIDGE),
    PayType("801512", "Alipay Hong Kong, phone page", _PAGE),
    PayType("801514", "Alipay Hong Kong, desktop page", _PAGE),
)
BARCODE: Final = (
    PayType("800208", "WeChat Pay, barcode", required="auth_code", wallet="wechat"),
    PayType("800108", "Alipay, barcode", required="auth_code", wallet="alipay"),
    PayType("800228", "WeChat Pay HK, barcode", required="auth_code", wallet="wechat_hk"),
    PayType("801008", "WeChat Pay HK merchants, barcode", required="auth_code", wallet="wechat_hk"),
    PayType("800008", "any wallet's barcode", required="auth_code", wallet="wechat"),
)
PAY_TYPES: Final = {each.code: each for each in (*ONLINE, *BARCODE)}
#: No pay type of any document.
NO_PAY_TYPE: Final = "899999"
#: The members of `pay_params`, by pay type, that the payer's page or app needs.
PAY_PARAMS: Final = {
    "800207": ("appId", "timeStamp", "nonceStr", "package", "signType", "paySign"),
    "800213": ("appId", "timeStamp", "nonceStr", "package", "signType", "paySign"),
    "800210": ("appid", "partnerid", "prepayid", "package", "noncestr", "timestamp", "sign"),
    "801010": ("appid", "partnerid", "prepayid", "package", "noncestr", "timestamp", "sign"),
    "801110": ("service", "partner", "out_trade_no", "subject", "sign", "sign_type"),
    "801510": ("service", "partner", "out_trade_no", "subject", "sign", "sign_type"),
}
