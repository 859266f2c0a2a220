"""The pay types: wallet, and how the payer meets it."""

from enum import StrEnum


class PayType(StrEnum):
    """The codes that `PaymentOrder` has a constructor for."""

    ALIPAY_WEB = "800151"  #: online: open `pay_url` in a desktop browser
    ALIPAY_WAP = "800152"  #: online: open `pay_url` in a phone's browser
    ALIPAY_BARCODE = "800108"  #: in a shop: the cashier scans the payer's code
    WECHAT_QR = "800201"  #: online: show `qr_code`
    WECHAT_IN_APP = "800207"  #: online: hand `bridge_params` to WeChat's own browser
    WECHAT_BARCODE = "800208"  #: in a shop
    WECHAT_HK_BARCODE = "800228"  #: in a shop; WeChat Pay HK

    @property
    def is_barcode(self) -> bool:
        """In a shop: an answer 0000 means paid. Online it means created."""
        return self in BARCODES


BARCODES = frozenset({PayType.ALIPAY_BARCODE, PayType.WECHAT_BARCODE, PayType.WECHAT_HK_BARCODE})
