"""The soak's receiver: it fails a webhook only a few times, and detects a bad signature in both styles."""

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import aiohttp
import pytest

from tael.base.secret import Secret
from tael.merchants.domain.merchant import Style
from tael_demo.seed import DemoApp
from tests.soak.receiver import MAX_FAILURES, Receiver
from tests.support.values import an_app

VECTORS: Final[dict[str, Any]] = json.loads(
    (Path(__file__).parents[2] / "vectors" / "qfpay.json").read_text("utf-8")
)
OLD_VECTOR: Final = next(vector for vector in VECTORS["old_webhooks"] if vector["name"] == "N1")
NEW_VECTOR: Final = next(vector for vector in VECTORS["new_webhooks"] if vector["name"] == "N4")
OLD_BODY: Final = json.dumps(OLD_VECTOR["members"]).encode()
NEW_BODY: Final = NEW_VECTOR["body"].encode()
SIGNED: Final = {"old": (OLD_BODY, OLD_VECTOR["sign"]), "new": (NEW_BODY, NEW_VECTOR["sign"])}
APPS: Final = [
    DemoApp(an_app("old", key=Secret(OLD_VECTOR["key"])), ("m1",)),
    DemoApp(an_app("new", key=Secret(NEW_VECTOR["key"]), webhook_style=Style.NEW), ("m2",)),
]


@dataclass
class Gateway:
    """Sends webhooks to the receiver."""

    receiver: Receiver
    session: aiohttp.ClientSession

    async def send(self, appcode: str, body: bytes, sign: str) -> bool:
        """Send one webhook. Returns whether it was acknowledged."""
        url, headers = f"{self.receiver.url}/{appcode}", {"X-QF-SIGN": sign}
        try:
            async with self.session.post(url, data=body, headers=headers) as answer:
                return answer.status == 200 and await answer.read() == b"success"
        except aiohttp.ClientError:
            return False


@asynccontextmanager
async def gateway_of_receiver() -> AsyncIterator[Gateway]:
    # A broken connection is not reused for the next webhook.
    connector = aiohttp.TCPConnector(force_close=True)
    async with Receiver(APPS) as receiver, aiohttp.ClientSession(connector=connector) as session:
        yield Gateway(receiver, session)


@pytest.mark.parametrize("fault", ["refuse", "break"])
async def test_the_same_webhook_fails_only_a_few_times(fault: str) -> None:
    body, sign = SIGNED["new"]
    async with gateway_of_receiver() as gateway:
        gateway.receiver.fault = fault
        acknowledged = [await gateway.send("new", body, sign) for _ in range(MAX_FAILURES + 2)]
    assert acknowledged == [*(False,) * MAX_FAILURES, True, True]
    assert [call.was_acknowledged for call in gateway.receiver.received] == acknowledged


async def test_another_fault_does_not_fail_the_same_webhook_more_often() -> None:
    body, sign = SIGNED["new"]
    acknowledged = []
    async with gateway_of_receiver() as gateway:
        for fault in ("refuse", "break", "refuse", "break", "refuse"):
            gateway.receiver.fault = fault
            acknowledged.append(await gateway.send("new", body, sign))
    assert acknowledged.count(False) == MAX_FAILURES


async def test_failures_are_counted_per_webhook() -> None:
    members = json.loads(NEW_BODY)
    async with gateway_of_receiver() as gateway:
        gateway.receiver.fault = "refuse"
        for kind in ("payment", "refund"):
            body = json.dumps(members | {"notify_type": kind}).encode()
            acknowledged = [await gateway.send("new", body, "") for _ in range(MAX_FAILURES + 1)]
            assert acknowledged == [*(False,) * MAX_FAILURES, True]


async def test_a_receiver_without_a_fault_acknowledges_at_once() -> None:
    async with gateway_of_receiver() as gateway:
        assert await gateway.send("old", *SIGNED["old"])


@pytest.mark.parametrize("style", ["old", "new"])
async def test_a_webhook_is_kept_byte_for_byte(style: str) -> None:
    body, sign = SIGNED[style]
    members = json.loads(body)
    async with gateway_of_receiver() as gateway:
        await gateway.send(style, body, sign)
    (call,) = gateway.receiver.received
    assert (call.appcode, call.body, call.is_signed) == (style, body, True)
    assert (call.syssn, call.reference) == (members["syssn"], members["out_trade_no"])
    assert (call.kind, call.amount_minor) == ("payment", 10)


@pytest.mark.parametrize("style", ["old", "new"])
async def test_a_changed_byte_breaks_the_signature(style: str) -> None:
    body, sign = SIGNED[style]
    other = body.replace(b'"txamt": "10"', b'"txamt": "11"')
    assert other != body
    async with gateway_of_receiver() as gateway:
        await gateway.send(style, other, sign)
        await gateway.send(style, body, sign[:-1] + ("0" if sign[-1] != "0" else "1"))
        await gateway.send(style, body, sign.lower())
    assert [call.is_signed for call in gateway.receiver.received] == [False, False, False]


async def test_each_style_has_its_own_signature() -> None:
    async with gateway_of_receiver() as gateway:
        await gateway.send("new", *SIGNED["old"])
        await gateway.send("old", *SIGNED["new"])
    assert [call.is_signed for call in gateway.receiver.received] == [False, False]


async def test_white_space_changes_the_signature_of_a_new_body_only() -> None:
    """Old webhooks are signed over their members, new ones over their bytes."""
    async with gateway_of_receiver() as gateway:
        for style in ("old", "new"):
            body, sign = SIGNED[style]
            await gateway.send(style, body.replace(b"{", b"{ ", 1), sign)
    assert [call.is_signed for call in gateway.receiver.received] == [True, False]
