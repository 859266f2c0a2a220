"""The phone's stream of events: a payer's changes are sent at once, and no stream blocks the sandbox."""

import asyncio
import http.client
import json
import re
from collections.abc import AsyncIterator
from contextlib import ExitStack
from urllib.parse import urlsplit

import pytest
from sse_starlette import ServerSentEvent
from starlette.types import Message

from tael_sandbox.phone import streams
from tael_sandbox.phone.streams import EventStream
from tests.end_to_end.rig import eventually
from tests.sandbox import alipay_shop, wechat_shop
from tests.sandbox.alipay_shop import confirm, new_number
from tests.sandbox.conftest import Sandbox
from tests.sandbox.handset import Handset, fetch, text_of
from tests.support.http_calls import CALL_LIMIT_S

#: The limit of open streams.
MAX_STREAMS = 24


@pytest.fixture
def offline(sandbox: Sandbox) -> alipay_shop.Shop:
    return alipay_shop.shop(sandbox, "offline")


def test_a_stream_begins_with_the_whole_phone(sandbox: Sandbox) -> None:
    with Handset(sandbox, "emil").events() as events:
        assert events.answer.headers["Content-Type"].startswith("text/event-stream")
        assert events.answer.headers["Cache-Control"] == "no-store"
        first = events.next().members
    assert set(first["regions"]) == {"balance", "waiting", "code", "order", "history", "clock", "faults"}
    assert text_of(first["regions"]["balance"]).startswith("Balance HKD ")


def test_a_payer_sees_that_a_shop_used_the_code(sandbox: Sandbox, offline: alipay_shop.Shop) -> None:
    phone = Handset(sandbox, "bao")
    code, order = phone.code(), new_number()
    with phone.events() as events:
        assert "Show this to the shop" in events.next()["code"]
        offline.pay_spot(code, order)
        screen = events.until("code", "A shop used this code")
    assert order in screen["code"]
    assert screen["history"].startswith("Demo Shop − CNY 35.81 Milk tea HKD 39.25 Paid TRADE_SUCCESS")
    assert screen.announcements[0] == "Paid HKD 39.25 to Demo Shop."


def test_a_password_is_requested_until_it_is_entered(sandbox: Sandbox) -> None:
    phone, order = Handset(sandbox, "dora"), new_number()
    code = phone.code("password")
    with phone.events() as events:
        assert events.next()["waiting"] == ""
        wechat_shop.shop(sandbox).scan_code(code, out_trade_no=order)
        screen = events.until("waiting", "HKD 88.00")
        assert screen.announcements[0] == "Demo Shop requests HKD 88.00."
        confirm(sandbox, trade=order)
        assert events.until("history", order)["waiting"] == ""


def test_a_refund_is_announced_when_it_is_accepted_and_when_it_is_done(sandbox: Sandbox) -> None:
    phone, order, shop = Handset(sandbox, "chen"), new_number(), wechat_shop.shop(sandbox)
    shop.scan_code(phone.code(), out_trade_no=order)
    with phone.events() as events:
        before = events.next()["balance"]
        shop.refund(order, 300)
        accepted = events.until("history", "Refund in progress")
        assert accepted.announcements[0] == "Demo Shop is refunding HKD 3.00."
        assert accepted["balance"] == before
        sandbox.advance(2)
        done = events.until("history", "Refund SUCCESS")
        assert done.announcements[0] == "Demo Shop refunded HKD 3.00."
        assert done["balance"] != before


def test_a_reversal_and_an_expiry_are_announced(sandbox: Sandbox, offline: alipay_shop.Shop) -> None:
    phone, paid, unconfirmed = Handset(sandbox, "ada"), new_number(), new_number()
    offline.pay_spot(phone.code(), paid)
    with phone.events() as events:
        events.next()
        offline.cancel(paid)
        undone = events.until("history", "Reversed, money returned")
        assert undone.announcements[0] == "Reversed, money returned: HKD 39.25, Demo Shop."
        offline.pay_spot(sandbox.code("password", "alipay", "ada"), unconfirmed)
        assert "Milk tea" in events.until("waiting", "HKD 39.25")["waiting"]
        sandbox.advance(181)
        expired = events.until("history", unconfirmed)
        assert (expired["waiting"], "Not paid TRADE_CLOSED" in expired["history"]) == ("", True)


def test_an_opened_order_is_updated_until_it_can_no_longer_be_paid(sandbox: Sandbox) -> None:
    phone, order, shop = Handset(sandbox, "chen"), new_number(), wechat_shop.shop(sandbox)
    phone.scan(shop.order(out_trade_no=order)["code_url"])
    with phone.events() as events:
        assert "Pay with password" in events.next()["order"]
        confirm(sandbox, trade=order, payer="dora")
        assert "Pay with password" not in events.until("order", "SUCCESS")["order"]
    phone = Handset(sandbox, "ada")
    phone.scan(alipay_shop.shop(sandbox, "online").wap_link(new_number(), timeout_rule="5m"))
    with phone.events() as events:
        assert "Pay with password" in events.next()["order"]
        sandbox.advance(301)
        assert events.until("order", "too long ago")["order"] == (
            "The link is refused: it was opened too long ago."
        )


def test_every_phone_gets_changes_of_the_clock_and_the_faults(sandbox: Sandbox) -> None:
    with Handset(sandbox, "fay").events() as events:
        events.next()
        sandbox.call("PUT", "/control/faults", b'[{"wallet": "alipay", "kind": "drop_notice"}]')
        assert "Notice lost Alipay: until switched off" in events.until("faults", "lost")["faults"]
        sandbox.control("DELETE", "faults")
        before = events.until("faults", "No faults are on.")["clock"]
        sandbox.advance(86_400)
        assert events.next()["clock"] != before


def test_a_phone_does_not_get_changes_of_another_payer(sandbox: Sandbox, offline: alipay_shop.Shop) -> None:
    with Handset(sandbox, "fay").events() as events:
        before = events.next()["history"]
        offline.pay_spot(sandbox.code("pays", "alipay", "bao"), new_number())
        wechat_shop.shop(sandbox).scan_code(sandbox.code("pays", "wechat_hk", "fay"))
        assert events.next()["history"] != before


def test_a_stream_of_an_unknown_payer_is_refused(sandbox: Sandbox) -> None:
    for query in ("payer=nobody", "wallet=paypal"):
        refused = fetch(sandbox, f"/phone/events?{query}")
        assert (refused.status, set(refused.members)) == (400, {"error", "field"})
    with Handset(sandbox, "ada", {"code": "x", "opened": "http://["}).events() as events:
        first = events.next()
        assert (first["code"], first["order"]) == ("", "This is neither a code nor a link.")


def test_the_number_of_streams_is_limited_and_an_ended_one_makes_room(own_sandbox: Sandbox) -> None:
    phone = Handset(own_sandbox)
    with ExitStack() as phones:
        opened = [phones.enter_context(phone.events()) for _ in range(MAX_STREAMS)]
        assert ["Balance CNY " in stream.next()["balance"] for stream in opened] == [True] * MAX_STREAMS
        refused = phones.enter_context(phone.events())
        assert (refused.answer.status, refused.answer.headers["Retry-After"]) == (503, "5")
        assert json.loads(refused.rest())["error"] == f"{MAX_STREAMS} phones are open already"
        assert fetch(own_sandbox, "/").status == 200

    def status() -> int:
        with phone.events() as events:
            return events.answer.status

    assert eventually(status, lambda seen: seen == 200) == 200


def test_a_head_request_opens_no_stream(sandbox: Sandbox) -> None:
    where = urlsplit(sandbox.http)
    assert where.hostname is not None
    connection = http.client.HTTPConnection(where.hostname, where.port, timeout=CALL_LIMIT_S)
    for method, path in (("HEAD", "/phone/events?payer=ada"), ("GET", "/control/clock")):
        connection.request(method, path)
        answer = connection.getresponse()
        assert (answer.status, bool(answer.read())) == (200, method == "GET")
    connection.close()


@pytest.mark.parametrize("frozen_at", [1, 3])
async def test_a_client_that_does_not_read_is_disconnected(
    monkeypatch: pytest.MonkeyPatch, frozen_at: int
) -> None:
    monkeypatch.setattr(streams, "SEND_LIMIT_S", 0.01)
    sent: list[Message] = []
    is_open = True

    async def screens() -> AsyncIterator[ServerSentEvent]:
        nonlocal is_open
        try:
            while True:
                yield ServerSentEvent("a screen")
        finally:
            is_open = False

    async def never_read(message: Message) -> None:
        sent.append(message)
        if len(sent) > frozen_at:
            await asyncio.Event().wait()

    async def never_leave() -> Message:
        await asyncio.Event().wait()
        raise AssertionError

    scope = {"type": "http", "method": "GET"}
    async with asyncio.timeout(CALL_LIMIT_S):
        await EventStream(screens(), {})(scope, never_leave, never_read)
    assert not is_open
    assert len(sent) == frozen_at + 1


def test_the_sandbox_ends_its_streams_properly_and_restores_the_phone(own_sandbox: Sandbox) -> None:
    phone = Handset(own_sandbox)
    code = phone.code("password")
    alipay_shop.shop(own_sandbox, "offline").pay_spot(code, new_number())
    with phone.events() as events:
        waiting = events.until("waiting", "HKD 39.25").region("waiting")
        own_sandbox.restart()
        events.rest()  # raises if the stream was cut off
    with phone.events() as events:
        assert events.next().region("waiting") == waiting
    assert re.search(r'name="number" value="\d{28}"', waiting)
