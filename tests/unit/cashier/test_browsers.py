"""The pay types that a checkout link can offer in a browser, best first. Codes for shops are none of them."""

import pytest

from tael.base.pay_types import Wallet
from tael.cashier.browsers import Browser, pay_types_for

ALIPAY_PC, ALIPAY_PHONE = ["800151", "801101", "801514"], ["800152", "801107", "801512"]


@pytest.mark.parametrize(
    ("wallet", "browser", "has_openid", "codes"),
    [
        (Wallet.ALIPAY, Browser.DESKTOP, False, ALIPAY_PC),
        (Wallet.ALIPAY, Browser.PHONE, False, ALIPAY_PHONE),
        (Wallet.ALIPAY, Browser.WECHAT, True, []),
        (Wallet.WECHAT, Browser.DESKTOP, True, ["800201"]),
        # Not 800212: a link does not name the payer's address.
        (Wallet.WECHAT, Browser.PHONE, True, ["800201"]),
        (Wallet.WECHAT, Browser.WECHAT, False, []),
        (Wallet.WECHAT, Browser.WECHAT, True, ["800207"]),
    ],
)
def test_a_link_offers_what_the_browser_can_show_and_the_link_has_fields_for(
    wallet: Wallet, browser: Browser, has_openid: bool, codes: list[str]
) -> None:
    assert [each.code for each in pay_types_for(wallet, browser, has_openid)] == codes
