"""Every refused authentication is logged with caller, address and reason, without secrets and signatures."""

import hashlib
from collections.abc import AsyncIterator, Iterator, Mapping, MutableMapping
from contextlib import contextmanager
from itertools import count
from typing import Any
from urllib.parse import urlencode

import httpx
import pytest
from structlog.testing import capture_logs

from tael.base.transport import Transport
from tael.channels.alipay_mapi.adapter import AlipayMapi
from tael.channels.base import Channel, note_nothing
from tael.channels.wechat_v2.adapter import WeChatV2
from tael.main import application
from tael.operations.store import Store
from tests.integration.payments.test_recording import gateway_over, over_channels
from tests.support.alipay import TestClock
from tests.support.services import services_of
from tests.support.values import MCHID, NOW, ORIGIN, a_merchant, an_app

Lines = list[MutableMapping[str, Any]]

#: Each test has its own address, so that none uses up another's lines.
_addresses = count(1)


@pytest.fixture
def peer() -> str:
    return f"198.51.100.{next(_addresses)}"


@pytest.fixture
async def browser(store: Store, peer: str) -> AsyncIterator[httpx.AsyncClient]:
    """An unknown client at `peer`."""
    limited = {"sha256_only": True, "max_request_age_s": 60, "allowed_addresses": ("203.0.113.0/24",)}
    for name, value in limited.items():
        await store.merchants.add_app(an_app(name.replace("_", ""), **{name: value}), ORIGIN)
        await store.merchants.add_merchant(
            a_merchant(f"of{name}".replace("_", ""), name.replace("_", "")), ORIGIN
        )
    gateway = gateway_over(store)
    clock = TestClock(NOW)
    wallets: dict[str, Channel] = {
        "alipay_mapi": AlipayMapi(Transport(), clock, "http://a", "http://a", note_nothing),
        "wechat_v2": WeChatV2(Transport(), clock, "http://w", None, "127.0.0.1", note_nothing),
    }
    transport = httpx.ASGITransport(
        application(services_of(over_channels(gateway, wallets), Transport())), client=(peer, 1)
    )
    async with httpx.AsyncClient(transport=transport, base_url="http://gateway") as client:
        yield client


@contextmanager
def security_lines() -> Iterator[Lines]:
    """The security lines logged meanwhile; any other log line fails the test."""
    with capture_logs() as lines:
        yield lines
    assert {line["event"] for line in lines} <= {"authentication.failed", "notice.refused", "return.refused"}
    assert {line["log_level"] for line in lines} <= {"warning"}


def signed(params: Mapping[str, str], key: str) -> str:
    text = "&".join(f"{name}={params[name]}" for name in sorted(params))
    return hashlib.md5((text + key).encode()).hexdigest()


async def ask(
    browser: httpx.AsyncClient, appcode: str, key: str, params: Mapping[str, str], sign: str = ""
) -> str:
    headers = {"X-QF-APPCODE": appcode, "X-QF-SIGN": sign or signed(params, key)}
    answer = await browser.post("/trade/v1/query", data=dict(params), headers=headers)
    return str(answer.json()["respcd"])


@pytest.mark.parametrize(
    ("appcode", "params", "sign", "shown", "reason"),
    [
        ("app1", {"mchid": MCHID}, "0" * 32, "app1", "the signature is not the app's"),
        ("app1", {"mchid": "of-another"}, "", "app1", "the mchid is not the app's"),
        ("app1", {"a": "1&page=2"}, "", "app1", "the signed text has two readings: a value holds &page="),
        ("unknown", {"mchid": MCHID}, "", "unknown", "no such app"),
        ("key-of-some-other-app", {"mchid": MCHID}, "", "key-of-s…", "no such app"),
        ("sha256only", {}, "", "sha256only", "the signature is not the app's"),
        ("maxrequestages", {"txdtm": "2026-01-02 11:00:00"}, "", "maxrequestages", "txdtm is more than 60 s"),
        ("allowedaddresses", {}, "", "allowedaddresses", "this app accepts no requests from this address"),
    ],
)
async def test_a_refused_call_is_logged(
    browser: httpx.AsyncClient,
    peer: str,
    appcode: str,
    params: Mapping[str, str],
    sign: str,
    shown: str,
    reason: str,
) -> None:
    with security_lines() as lines:
        assert await ask(browser, appcode, f"key-of-{appcode}", params, sign) == "1108"
    (line,) = lines
    assert (line["appcode"], line["respcd"], line["peer"]) == (shown, "1108", peer)
    assert line["reason"].startswith(reason)
    assert signed(params, f"key-of-{appcode}") not in str(line)
    assert f"key-of-{appcode}" not in str(line)


async def test_all_refusals_look_the_same_to_the_client(browser: httpx.AsyncClient) -> None:
    answers = []
    with security_lines():
        for appcode, params, key in (
            ("unknown", {"mchid": MCHID}, "x"),
            ("app1", {"mchid": MCHID}, "x"),
            ("app1", {"mchid": "m"}, "key-of-app1"),
        ):
            headers = {"X-QF-APPCODE": appcode, "X-QF-SIGN": signed(params, key)}
            answers.append((await browser.post("/trade/v1/query", data=params, headers=headers)).content)
    assert len(set(answers)) == 1


async def test_a_flood_is_sampled(browser: httpx.AsyncClient) -> None:
    with security_lines() as lines:
        for number in range(30):
            await ask(browser, f"unknown{number}", "x", {})
            await ask(browser, "app1", "x", {})
    assert len(lines) == 20
    assert [line["appcode"] for line in lines].count("app1") == 10


@pytest.mark.parametrize(
    ("appcode", "changes", "reason"),
    [
        ("app1", {"sign": "0" * 64}, "the signature is not the app's"),
        ("unknown", {}, "no such app"),
        ("app1", {"paysource": ""}, "signed as a request, not as a link"),
    ],
)
async def test_a_refused_checkout_link_is_logged(
    browser: httpx.AsyncClient, peer: str, appcode: str, changes: Mapping[str, str], reason: str
) -> None:
    params: dict[str, str] = {
        "appcode": appcode,
        "sign_type": "md5",
        "paysource": "remotepay_checkout",
        "txamt": "1",
        **changes,
    }
    text = {name: value for name, value in params.items() if value and name != "sign"}
    with security_lines() as lines:
        answer = await browser.post(
            "/checkstand/open", data={"sign": signed(text, f"key-of-{appcode}")} | params
        )
    assert answer.json()["respcd"] == "1108"
    (line,) = lines
    assert (line["appcode"], line["respcd"], line["peer"]) == (appcode, "1108", peer)
    assert line["reason"] == reason


@pytest.mark.parametrize(
    ("path", "body", "reason"),
    [
        ("wechat/unknown", b"<xml/>", "no such account"),
        ("alipay/unknown", b"a=b", "no such account"),
        ("wechat/%00", b"", "no such account"),
        ("wechat/wechat1", b"rubbish", "not valid XML"),
        ("wechat/wechat1", b"<xml><return_code>SUCCESS</return_code></xml>", "another "),
        ("wechat/alipay-online", b"<xml/>", "the account is at another wallet"),
        (
            "alipay/alipay-online",
            b"out_trade_no=1&sign=0&sign_type=MD5",
            "notice: the signature is not this account's",
        ),
        ("alipay/alipay-online", b"x" * 300_000, "the body is larger than 262144 bytes"),
    ],
)
async def test_a_refused_notice_is_logged_with_its_reason(
    browser: httpx.AsyncClient, peer: str, path: str, body: bytes, reason: str
) -> None:
    with security_lines() as lines:
        await browser.post(f"/notices/{path}", content=body)
    (line,) = lines
    wallet, account_id = path.split("/")
    assert (line["event"], line["wallet"], line["peer"]) == ("notice.refused", wallet, peer)
    assert line["account_id"] == account_id.replace("%00", "\0")
    assert line["reason"].startswith(reason)


async def test_notices_of_unknown_accounts_are_sampled(browser: httpx.AsyncClient) -> None:
    with security_lines() as lines:
        for number in range(50):
            await browser.post(f"/notices/wechat/{number:0>2000}", content=b"<xml/>")
    assert len(lines) == 10
    assert all(len(str(line)) < 600 for line in lines)


async def test_a_forged_return_is_logged(browser: httpx.AsyncClient, peer: str) -> None:
    query = urlencode({"out_trade_no": "1", "trade_no": "1", "trade_status": "TRADE_FINISHED", "sign": "0"})
    with security_lines() as lines:
        for account_id in ("alipay-online", "unknown"):
            assert (await browser.get(f"/return/alipay/{account_id}?{query}")).status_code == 400
    assert [(line["event"], line["account_id"], line["peer"]) for line in lines] == [
        ("return.refused", "alipay-online", peer),
        ("return.refused", "unknown", peer),
    ]
