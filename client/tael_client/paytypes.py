"""The pay types: a wallet and a way to present the payment to the payer."""

from enum import StrEnum


class PayType(StrEnum):
    """QFPay's codes for Alipay and WeChat Pay. An app is granted some of them."""

    ANY_BARCODE = "800008"  #: in a shop: the payer's code tells the wallet

    ALIPAY_WEB = "800151"  #: online: open `pay_url` in a desktop browser
    ALIPAY_WAP = "800152"  #: online: open `pay_url` in a phone's browser
    ALIPAY_BARCODE = "800108"  #: in a shop: the cashier scans the payer's barcode
    ALIPAY_QR = "800101"  #: in a shop: show `qr_code`
    ALIPAY_OVERSEAS_WEB = "801101"  #: QFPay's later code of `ALIPAY_WEB`, with other defaults
    ALIPAY_OVERSEAS_WAP = "801107"  #: QFPay's later code of `ALIPAY_WAP`
    ALIPAY_APP = "801110"  #: in your app: pass `pay_params` to Alipay's SDK
    ALIPAY_HK_QR = "801501"  #: these four: for merchants in Hong Kong
    ALIPAY_HK_APP = "801510"
    ALIPAY_HK_WAP = "801512"
    ALIPAY_HK_WEB = "801514"

    WECHAT_QR = "800201"  #: online: show `qr_code`
    WECHAT_IN_APP = "800207"  #: online: pass `bridge_params` to WeChat's browser
    WECHAT_BARCODE = "800208"  #: in a shop
    WECHAT_APP = "800210"  #: in your app: pass `pay_params` to WeChat's SDK
    WECHAT_H5 = "800212"  #: online: open `pay_url` in a phone's browser
    WECHAT_MINI_PROGRAM = "800213"  #: in your mini program: pass `bridge_params` to `wx.requestPayment`
    WECHAT_HK_BARCODE = "800228"  #: in a shop; WeChat Pay HK
    WECHAT_HK_MERCHANT_BARCODE = "801008"  #: QFPay's later code of `WECHAT_HK_BARCODE`
    WECHAT_HK_APP = "801010"  #: as `WECHAT_APP`, with WeChat Pay HK

    @property
    def is_barcode(self) -> bool:
        """Whether it is a payment in a shop: 0000 means paid. Online, 0000 means created."""
        return self in BARCODES

    @property
    def needs_openid(self) -> bool:
        """Whether the order names the payer."""
        return self in (PayType.WECHAT_IN_APP, PayType.WECHAT_MINI_PROGRAM)


BARCODES = frozenset(
    {
        PayType.ANY_BARCODE,
        PayType.ALIPAY_BARCODE,
        PayType.WECHAT_BARCODE,
        PayType.WECHAT_HK_BARCODE,
        PayType.WECHAT_HK_MERCHANT_BARCODE,
    }
)
