"""The soak's receiver: it is never in a bad mood for ever, and knows a bad signature in both styles."""

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import aiohttp
import pytest

from tael.base.secret import Secret
from tael.cli.seed import DemoApp
from tael.merchants.domain.merchant import Style
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
    """What tells the receiver."""

    receiver: Receiver
    session: aiohttp.ClientSession

    async def tell(self, appcode: str, body: bytes, sign: str) -> bool:
        """Whether it was acknowledged."""
        url, headers = f"{self.receiver.url}/{appcode}", {"X-QF-SIGN": sign}
        try:
            async with self.session.post(url, data=body, headers=headers) as answer:
                return answer.status == 200 and await answer.read() == b"success"
        except aiohttp.ClientError:
            return False


@asynccontextmanager
async def telling() -> AsyncIterator[Gateway]:
    # A connection that was broken off is not used for the next news.
    connector = aiohttp.TCPConnector(force_close=True)
    async with Receiver(APPS) as receiver, aiohttp.ClientSession(connector=connector) as session:
        yield Gateway(receiver, session)


@pytest.mark.parametrize("mood", ["refuse", "break"])
async def test_the_same_news_fails_a_few_times_and_then_never_again(mood: str) -> None:
    body, sign = SIGNED["new"]
    async with telling() as gateway:
        gateway.receiver.mood = mood
        said = [await gateway.tell("new", body, sign) for _ in range(MAX_FAILURES + 2)]
    assert said == [*(False,) * MAX_FAILURES, True, True]
    assert [call.was_acknowledged for call in gateway.receiver.heard] == said


async def test_another_mood_does_not_fail_the_same_news_more_often() -> None:
    body, sign = SIGNED["new"]
    said = []
    async with telling() as gateway:
        for mood in ("refuse", "break", "refuse", "break", "refuse"):
            gateway.receiver.mood = mood
            said.append(await gateway.tell("new", body, sign))
    assert said.count(False) == MAX_FAILURES


async def test_each_news_is_counted_for_itself() -> None:
    members = json.loads(NEW_BODY)
    async with telling() as gateway:
        gateway.receiver.mood = "refuse"
        for kind in ("payment", "refund"):
            body = json.dumps(members | {"notify_type": kind}).encode()
            said = [await gateway.tell("new", body, "") for _ in range(MAX_FAILURES + 1)]
            assert said == [*(False,) * MAX_FAILURES, True]


async def test_a_receiver_in_no_mood_acknowledges_at_once() -> None:
    async with telling() as gateway:
        assert await gateway.tell("old", *SIGNED["old"])


@pytest.mark.parametrize("style", ["old", "new"])
async def test_what_is_heard_is_kept_word_for_word(style: str) -> None:
    body, sign = SIGNED[style]
    members = json.loads(body)
    async with telling() as gateway:
        await gateway.tell(style, body, sign)
    (call,) = gateway.receiver.heard
    assert (call.appcode, call.body, call.is_signed) == (style, body, True)
    assert (call.syssn, call.reference) == (members["syssn"], members["out_trade_no"])
    assert (call.kind, call.amount_minor) == ("payment", 10)


@pytest.mark.parametrize("style", ["old", "new"])
async def test_a_flipped_byte_is_not_well_signed(style: str) -> None:
    body, sign = SIGNED[style]
    other = body.replace(b'"txamt": "10"', b'"txamt": "11"')
    assert other != body
    async with telling() as gateway:
        await gateway.tell(style, other, sign)
        await gateway.tell(style, body, sign[:-1] + ("0" if sign[-1] != "0" else "1"))
        await gateway.tell(style, body, sign.lower())
    assert [call.is_signed for call in gateway.receiver.heard] == [False, False, False]


async def test_each_style_is_signed_in_its_own_way() -> None:
    async with telling() as gateway:
        await gateway.tell("new", *SIGNED["old"])
        await gateway.tell("old", *SIGNED["new"])
    assert [call.is_signed for call in gateway.receiver.heard] == [False, False]


async def test_white_space_changes_the_signature_of_a_new_body_only() -> None:
    """Old webhooks are signed over their members, new ones over their bytes."""
    async with telling() as gateway:
        for style in ("old", "new"):
            body, sign = SIGNED[style]
            await gateway.tell(style, body.replace(b"{", b"{ ", 1), sign)
    assert [call.is_signed for call in gateway.receiver.heard] == [True, False]
