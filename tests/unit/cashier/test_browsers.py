"""The pay types that a checkout link can offer in a browser, best first. Codes for shops are none of them."""

import pytest

from tael.base.pay_types import Wallet
from tael.cashier.browsers import Browser, pay_types_for

ALIPAY_PC, ALIPAY_PHONE = ["800151", "801101", "801514"], ["800152", "801107", "801512"]


@pytest.mark.parametrize(
    ("wallet", "browser", "given", "codes"),
    [
        (Wallet.ALIPAY, Browser.DESKTOP, set(), ALIPAY_PC),
        (Wallet.ALIPAY, Browser.PHONE, set(), ALIPAY_PHONE),
        (Wallet.ALIPAY, Browser.WECHAT, {"sub_openid"}, []),
        (Wallet.WECHAT, Browser.DESKTOP, {"sub_openid", "extend_info"}, ["800201"]),
        (Wallet.WECHAT, Browser.PHONE, {"sub_openid"}, ["800201"]),
        (Wallet.WECHAT, Browser.PHONE, {"extend_info"}, ["800212", "800201"]),
        (Wallet.WECHAT, Browser.WECHAT, {"extend_info"}, []),
        (Wallet.WECHAT, Browser.WECHAT, {"sub_openid"}, ["800207"]),
    ],
)
def test_a_link_offers_what_the_browser_can_show_and_the_gateway_has_the_fields_for(
    wallet: Wallet, browser: Browser, given: set[str], codes: list[str]
) -> None:
    assert [each.code for each in pay_types_for(wallet, browser, given)] == codes
