"""The pay types: a wallet and a way to present the payment to the payer."""

from enum import StrEnum


class PayType(StrEnum):
    """The pay types for which `PaymentOrder` has a constructor."""

    ALIPAY_WEB = "800151"  #: online: open `pay_url` in a desktop browser
    ALIPAY_WAP = "800152"  #: online: open `pay_url` in a phone's browser
    ALIPAY_BARCODE = "800108"  #: in a shop: the cashier scans the payer's barcode
    WECHAT_QR = "800201"  #: online: show `qr_code`
    WECHAT_IN_APP = "800207"  #: online: pass `bridge_params` to WeChat's browser
    WECHAT_BARCODE = "800208"  #: in a shop
    WECHAT_HK_BARCODE = "800228"  #: in a shop; WeChat Pay HK

    @property
    def is_barcode(self) -> bool:
        """Whether it is a payment in a shop: 0000 means paid. Online, 0000 means created."""
        return self in BARCODES


BARCODES = frozenset({PayType.ALIPAY_BARCODE, PayType.WECHAT_BARCODE, PayType.WECHAT_HK_BARCODE})
