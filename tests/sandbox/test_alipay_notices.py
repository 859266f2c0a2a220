"""Notices: their fields, signatures, verification and repeats, and that a restart loses none."""

import time
import urllib.parse

import pytest

from tests.sandbox.alipay_shop import Shop, confirm, form_of, new_number, scan, shop
from tests.sandbox.conftest import Receiver, Sandbox
from tests.support.http_calls import CALL_LIMIT_S

GAPS_S = (120, 600, 600, 3600, 7200, 21600, 54000)


@pytest.fixture
def online(sandbox: Sandbox) -> Shop:
    return shop(sandbox, "online")


@pytest.fixture
def offline(sandbox: Sandbox) -> Shop:
    return shop(sandbox, "offline")


def verified(merchant: Shop, notify_id: str, **other: str) -> str:
    request = {"service": "notify_verify", "partner": merchant.pid, "notify_id": notify_id} | other
    body = merchant.open(f"{merchant.account['gateway_url']}?{urllib.parse.urlencode(request)}").body
    return body.decode()


def queried(merchant: Shop, notify_id: str, **other: str) -> str:
    """The older address of the same verification."""
    request = urllib.parse.urlencode({"partner": merchant.pid, "notify_id": notify_id} | other)
    reply = merchant.open(f"{merchant.sandbox.http}/trade/notify_query.do?{request}")
    assert reply.content_type.startswith("text/plain")
    return reply.body.decode()


def _becomes_false(merchant: Shop, notify_id: str) -> bool:
    """Waits for it: the receiver has responded, but the wallet may still be reading the response."""
    give_up_at = time.monotonic() + CALL_LIMIT_S
    while time.monotonic() < give_up_at:
        if verified(merchant, notify_id) == "false":
            return True
    return False


@pytest.mark.parametrize("sign_type", ["MD5", "RSA", "RSA2"])
def test_an_online_payment_sends_a_signed_notice(
    sandbox: Sandbox, online: Shop, receiver: Receiver, sign_type: str
) -> None:
    order = new_number()
    paid = confirm(sandbox, url=online.pc_link(order, sign_type, notify_url=receiver.url))
    (body,) = receiver.wait_for(1)
    fields = form_of(body)
    assert set(fields) == {
        *("notify_id", "notify_type", "notify_time", "out_trade_no", "trade_no", "trade_status"),
        *("total_fee", "currency", "sign", "sign_type"),
    }
    assert online.is_signed(fields)
    assert fields["sign_type"] == sign_type
    assert fields["notify_type"] == "trade_status_sync"
    assert fields["trade_status"] == "TRADE_FINISHED"
    assert (fields["out_trade_no"], fields["trade_no"]) == (order, paid["trade"]["trade"])
    assert (fields["total_fee"], fields["currency"]) == ("120.00", "HKD")
    assert receiver.content_types == ["application/x-www-form-urlencoded; charset=UTF-8"]


def test_an_in_store_payment_notice_has_all_fields(
    sandbox: Sandbox, offline: Shop, receiver: Receiver
) -> None:
    order = new_number()
    paid = offline.pay_spot(sandbox.code(), order, trans_name="奶茶 & 茶", notify_url=receiver.url)
    (body,) = receiver.wait_for(1)
    fields = form_of(body)
    assert offline.is_signed(fields)
    assert fields["trade_status"] == "TRADE_SUCCESS"
    assert fields["notify_action_type"] == "payByAccountAction"
    assert fields["subject"] == "奶茶 & 茶"
    assert (fields["out_trade_no"], fields["trade_no"]) == (order, paid["alipay_trans_id"])
    assert fields["seller_id"] == offline.pid
    assert fields["buyer_id"] == paid["alipay_buyer_user_id"]
    assert (fields["total_fee"], fields["price"], fields["quantity"]) == ("39.25", "39.25", "1")
    assert fields["gmt_payment"] == fields["gmt_create"]


def test_a_notice_has_the_charset_of_the_payment(sandbox: Sandbox, offline: Shop, receiver: Receiver) -> None:
    request = offline.spot_fields(sandbox.code(), new_number()) | {
        "trans_name": "奶茶",
        "notify_url": receiver.url,
    }
    whole = offline.signed("alipay.acquire.overseas.spot.pay", request, "MD5", "gbk")
    body = urllib.parse.urlencode(whole, encoding="gbk").encode()
    assert offline.open(str(offline.account["gateway_url"]), body)["result_code"] == "SUCCESS"
    (notice,) = receiver.wait_for(1)
    fields = form_of(notice, "gbk")
    assert fields["subject"] == "奶茶"
    assert offline.is_signed(fields, "gbk")
    assert receiver.content_types == ["application/x-www-form-urlencoded; charset=GBK"]


def test_closing_sends_a_notice(sandbox: Sandbox, offline: Shop, online: Shop, receiver: Receiver) -> None:
    timed_out, cancelled, returned, closed = new_number(), new_number(), new_number(), new_number()
    offline.pay_spot(sandbox.code("password"), cancelled, notify_url=receiver.url)
    offline.cancel(cancelled)
    offline.pay_spot(sandbox.code(), returned, notify_url=receiver.url)
    receiver.wait_for(2)
    offline.cancel(returned)
    scan(sandbox, online.pc_link(closed, notify_url=receiver.url))
    online.call("close_trade", out_order_no=closed)
    offline.pay_spot(sandbox.code("password"), timed_out, notify_url=receiver.url)
    sandbox.advance(181)
    notices = [form_of(body) for body in receiver.wait_for(5)]
    seen = {
        (notice["out_trade_no"], notice["trade_status"], notice.get("notify_action_type"))
        for notice in notices
    }
    assert seen == {
        (cancelled, "TRADE_CLOSED", "closeTradeAction"),
        (returned, "TRADE_SUCCESS", "payByAccountAction"),
        (returned, "TRADE_CLOSED", "reverseAction"),
        (closed, "TRADE_CLOSED", None),
        (timed_out, "TRADE_CLOSED", "closeTradeAction"),
    }


def test_waiting_sends_no_notice(sandbox: Sandbox, offline: Shop, online: Shop, receiver: Receiver) -> None:
    order = new_number()
    offline.pay_spot(sandbox.code("password"), new_number(), notify_url=receiver.url)
    scan(sandbox, online.pc_link(new_number(), notify_url=receiver.url))
    offline.pay_spot(sandbox.code(), order, notify_url=receiver.url)
    (body,) = receiver.wait_for(1)
    assert form_of(body)["out_trade_no"] == order


def test_a_notice_is_repeated_on_schedule_until_the_last_attempt(own_sandbox: Sandbox) -> None:
    offline = shop(own_sandbox, "offline")
    with Receiver().listening() as receiver:
        receiver.answer = (200, b"fail")
        offline.pay_spot(own_sandbox.code(), new_number(), notify_url=receiver.url)
        receiver.wait_for(1)
        for count, gap in enumerate(GAPS_S, 2):
            own_sandbox.advance(gap - 20)
            with pytest.raises(AssertionError):
                receiver.wait_for(count, 0.3)
            own_sandbox.advance(20)
            receiver.wait_for(count)
        own_sandbox.advance(10 * 24 * 3600)
        with pytest.raises(AssertionError):
            receiver.wait_for(len(GAPS_S) + 2, 0.5)
        assert len(set(receiver.bodies)) == 1


@pytest.mark.parametrize(
    "refusal", [(500, b"success"), (201, b"success"), (302, b"success"), (200, b""), (200, b"success!")]
)
def test_only_status_200_and_success_acknowledge(
    sandbox: Sandbox, offline: Shop, receiver: Receiver, refusal: tuple[int, bytes]
) -> None:
    receiver.answers = [refusal]
    receiver.answer = (200, b" SUCCESS\n")
    offline.pay_spot(sandbox.code(), new_number(), notify_url=receiver.url)
    (first,) = receiver.wait_for(1)
    sandbox.advance(121)
    assert receiver.wait_for(2) == [first, first]
    sandbox.advance(601)
    with pytest.raises(AssertionError):
        receiver.wait_for(3, 0.3)


def test_a_notice_can_be_verified_until_it_is_acknowledged(
    sandbox: Sandbox, online: Shop, offline: Shop, receiver: Receiver
) -> None:
    receiver.answer = (200, b"not yet")
    confirm(sandbox, url=online.pc_link(new_number(), notify_url=receiver.url))
    notify_id = form_of(receiver.wait_for(1)[0])["notify_id"]
    for verify in (verified, queried):
        assert verify(online, notify_id) == "true"
        assert verify(online, notify_id) == "true"
        assert verify(offline, notify_id) == "false"
        assert verify(online, "unknown") == "false"
        assert verify(online, "") == "invalid"
        assert verify(online, notify_id, partner="2088000000000000") == "invalid"
        assert verify(online, notify_id, partner="") == "invalid"
        assert verify(online, notify_id, service="") == "true" or verify is verified
    assert online.open(f"{sandbox.http}/trade/notify_query.do").body == b"invalid"
    signed = online.signed("notify_verify", {"notify_id": notify_id})
    assert online.post(signed).body == b"true"
    assert online.post({**signed, "notify_id": "0" + notify_id[1:] + "0"}).body == b"invalid"
    receiver.answer = (200, b"success")
    sandbox.advance(121)
    receiver.wait_for(2)
    assert _becomes_false(online, notify_id)
    assert queried(online, notify_id) == "false"


def test_a_slow_receiver_delays_no_other(sandbox: Sandbox, offline: Shop, receiver: Receiver) -> None:
    with Receiver().listening() as slow:
        slow.gate.clear()
        for _ in range(3):
            offline.pay_spot(sandbox.code(), new_number(), notify_url=slow.url)
        slow.wait_for(3)
        offline.pay_spot(sandbox.code(), new_number(), notify_url=receiver.url)
        receiver.wait_for(1, 3)


def test_an_unreachable_receiver_delays_no_other(sandbox: Sandbox, offline: Shop, receiver: Receiver) -> None:
    for url in ("http://127.0.0.1:1/n", "http://no-such-host.invalid/", receiver.url):
        assert offline.pay_spot(sandbox.code(), new_number(), notify_url=url)["result_code"] == "SUCCESS"
    receiver.wait_for(1)


def test_a_restart_loses_no_notice(own_sandbox: Sandbox, receiver: Receiver) -> None:
    receiver.answers = [(503, b"")]
    offline = shop(own_sandbox, "offline")
    offline.pay_spot(own_sandbox.code(), new_number(), notify_url=receiver.url)
    (first,) = receiver.wait_for(1)
    own_sandbox.restart()
    own_sandbox.advance(121)
    assert receiver.wait_for(2) == [first, first]
