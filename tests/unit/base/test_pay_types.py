"""Every pay type has its row in each package that needs one, and the rows agree."""

from typing import Final

import pytest

from tael.base.pay_types import PAY_TYPES, Presentment, Wallet
from tael.channels.alipay_mapi.products import PRODUCTS as ALIPAY
from tael.channels.wechat_v2.products import PRODUCTS as WECHAT
from tael.qfpay.pay_types import FIELDS, PayData

#: QFPay's pages: the wallet, what the payer needs, and the member of the answer.
DOCUMENTED: Final = {
    "800008": (None, Presentment.BARCODE),
    "800101": ("alipay", Presentment.QR_CODE),
    "800108": ("alipay", Presentment.BARCODE),
    "800151": ("alipay", Presentment.WEB_PAGE),
    "800152": ("alipay", Presentment.WAP_PAGE),
    "800201": ("wechat", Presentment.QR_CODE),
    "800207": ("wechat", Presentment.JSAPI),
    "800208": ("wechat", Presentment.BARCODE),
    "800210": ("wechat", Presentment.APP),
    "800212": ("wechat", Presentment.WAP_PAGE),
    "800213": ("wechat", Presentment.MINI_PROGRAM),
    "800228": ("wechat", Presentment.BARCODE),
    "801008": ("wechat", Presentment.BARCODE),
    "801010": ("wechat", Presentment.APP),
    "801101": ("alipay", Presentment.WEB_PAGE),
    "801107": ("alipay", Presentment.WAP_PAGE),
    "801110": ("alipay", Presentment.APP),
    "801501": ("alipay", Presentment.QR_CODE),
    "801510": ("alipay", Presentment.APP),
    "801512": ("alipay", Presentment.WAP_PAGE),
    "801514": ("alipay", Presentment.WEB_PAGE),
}
PAY_DATA: Final = {
    Presentment.WEB_PAGE: PayData.PAGE,
    Presentment.WAP_PAGE: PayData.PAGE,
    Presentment.QR_CODE: PayData.CODE,
    Presentment.JSAPI: PayData.PAGE_PARAMS,
    Presentment.MINI_PROGRAM: PayData.PARAMS,
    Presentment.APP: PayData.PARAMS,
    Presentment.BARCODE: PayData.NONE,
}
ROWS: Final = {Wallet.ALIPAY: ALIPAY, Wallet.WECHAT: WECHAT}


def test_every_served_pay_type_is_documented() -> None:
    assert {code: (each.wallet, each.presentment) for code, each in PAY_TYPES.items()} == DOCUMENTED


@pytest.mark.parametrize("code", DOCUMENTED)
def test_every_pay_type_has_a_row_in_the_dialect_and_in_its_wallets_channel(code: str) -> None:
    pay_type = PAY_TYPES[code]
    assert FIELDS[code].pay_data is PAY_DATA[pay_type.presentment]
    assert ("auth_code" in FIELDS[code].needs) == (pay_type.presentment is Presentment.BARCODE)
    assert ("sub_openid" in FIELDS[code].needs) == pay_type.needs_openid
    served = {wallet for wallet, rows in ROWS.items() if code in rows}
    assert served == ({pay_type.wallet} if pay_type.wallet else set(Wallet))


def test_no_row_belongs_to_an_unknown_pay_type() -> None:
    assert PAY_TYPES.keys() == FIELDS.keys() == ALIPAY.keys() | WECHAT.keys()
