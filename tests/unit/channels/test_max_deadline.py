"""The longest time that an order can be paid, as each protocol declares it and as its channel says for every order."""

from datetime import timedelta
from typing import Final

import pytest

from tael.base.transport import Transport
from tael.channels.alipay_mapi.account import ALIPAY_MAPI
from tael.channels.alipay_mapi.adapter import AlipayMapi
from tael.channels.alipay_mapi.products import PRODUCTS
from tael.channels.base import Channel, ChannelOrder
from tael.channels.wechat_v2.account import WECHAT_V2
from tael.channels.wechat_v2.adapter import WeChatV2
from tael.operations.link_keys import MAX_ORDER_LIFETIME, accepted_for, max_deadline
from tests.support.alipay import TestClock, alipay_account, alipay_order
from tests.support.values import a_wechat_account
from tests.support.wechat import order as wechat_order

#: Seconds: the shortest that an order can be given, defaults, and the longest.
LIFETIMES: Final = (120, 300, 600, 1800, 7200, 86_400, 2_592_000)


@pytest.mark.parametrize("lifetime_s", LIFETIMES)
@pytest.mark.parametrize("code", PRODUCTS)
def test_no_alipay_order_can_be_paid_longer_than_declared(code: str, lifetime_s: int) -> None:
    order = alipay_order(code, alipay_account("MD5"), valid_s=lifetime_s)
    assert is_within(
        AlipayMapi(Transport(), TestClock()), order, ALIPAY_MAPI.max_deadline(MAX_ORDER_LIFETIME)
    )


@pytest.mark.parametrize("code", ["800201", "800207", "800208", "800210", "800212", "800213"])
def test_no_wechat_order_can_be_paid_longer_than_declared(code: str) -> None:
    order = wechat_order(code, a_wechat_account())
    assert is_within(WeChatV2(Transport(), TestClock()), order, WECHAT_V2.max_deadline(MAX_ORDER_LIFETIME))


def is_within(channel: Channel, order: ChannelOrder, limit: timedelta) -> bool:
    return channel.deadline(order) - order.created_at <= limit


def test_a_link_key_is_accepted_until_the_last_page_of_its_orders_has_ended() -> None:
    """Valid for 30 days by `valid_time`, in an app as long again; an hour of late money, 24 hours of the page."""
    assert timedelta(days=30) == MAX_ORDER_LIFETIME
    assert max_deadline() == timedelta(days=60)
    assert accepted_for() == timedelta(days=61, hours=1, minutes=2)
