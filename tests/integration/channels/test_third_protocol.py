"""A third wallet protocol, installed beside tael: an account, a payment, its notice, a query and a refund.

Nothing in `tael/` names it. It is found by the entry point of a distribution, as any package would bring it.
"""

import asyncio
import hashlib
import json
import re
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx
import pytest
from pytest_httpserver import HTTPServer
from werkzeug import Request, Response

from tael.channels.registry import GROUP, installed_protocols
from tael.config import read_settings
from tael.main import all_jobs, application
from tael.services import Services, open_services
from tests.support.made_up_protocol import WALLET_URL, MadeUpAccount
from tests.support.operator import Operator, operator_of

TOKEN = "abcdefghij"
APP_KEY = "k" * 32
NOW = datetime.now(UTC)


@pytest.fixture
def installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A distribution with the entry point."""
    metadata = tmp_path / "packages" / "made_up-1.0.dist-info"
    metadata.mkdir(parents=True)
    (metadata / "METADATA").write_text("Metadata-Version: 2.1\nName: made-up\nVersion: 1.0\n")
    (metadata / "entry_points.txt").write_text(
        f"[{GROUP}]\nmade_up = tests.support.made_up_protocol:MADE_UP\n"
    )
    monkeypatch.syspath_prepend(metadata.parent)
    installed_protocols.cache_clear()
    yield
    installed_protocols.cache_clear()


def uninstall(tmp_path: Path) -> None:
    """Remove the distribution of `installed`."""
    (tmp_path / "packages" / "made_up-1.0.dist-info" / "entry_points.txt").write_text("")
    installed_protocols.cache_clear()


class MadeUpWallet:
    """The wallet's side: its orders and refunds by number, in minor units."""

    def __init__(self, server: HTTPServer) -> None:
        self.orders: dict[str, dict[str, Any]] = {}
        self.refunds: dict[str, int] = {}
        server.expect_request("/orders", method="POST").respond_with_handler(self._open)
        server.expect_request("/refunds", method="POST").respond_with_handler(self._refund)
        server.expect_request(re.compile("/orders/.+")).respond_with_handler(self._record)
        self.url = server.url_for("").rstrip("/")
        self.token = TOKEN

    def pay(self, number: str) -> None:
        self.orders[number] |= {"state": "paid", "at": NOW.isoformat()}

    def _open(self, request: Request) -> Response:
        assert request.headers["X-Token"] == self.token
        record = request.get_json(force=True)
        self.orders.setdefault(record["number"], {**record, "state": "open"})
        return self._answer(record["number"])

    def _record(self, request: Request) -> Response:
        return self._answer(request.path.rsplit("/", 1)[1])

    def _refund(self, request: Request) -> Response:
        record = request.get_json(force=True)
        self.refunds.setdefault(record["number"], record["minor"])
        return self._answer(record["order"])

    def _answer(self, number: str) -> Response:
        if number not in self.orders:
            return Response(status=404)
        return Response(json.dumps(self.orders[number]))


@pytest.fixture
def wallet(httpserver_ipv4: HTTPServer, monkeypatch: pytest.MonkeyPatch) -> MadeUpWallet:
    wallet = MadeUpWallet(httpserver_ipv4)
    monkeypatch.setenv(WALLET_URL, wallet.url)
    return wallet


@pytest.fixture
def operator(database_url: str, tmp_path: Path, installed: None) -> Operator:
    return operator_of(database_url, tmp_path)


@pytest.fixture
def account(operator: Operator) -> dict[str, Any]:
    """The account of merchant `tea`, added with the same command as any other."""
    operator.run("app", "add", "--appcode", "SHOP", "--key-file", operator.file("app.key", APP_KEY))
    operator.run("merchant", "add", "SHOP", "--name", "Tea", "--currency", "HKD", "--mchid", "tea")
    added: dict[str, Any] = operator.run_json(
        *("account", "add", "tea", "--protocol", "made_up", "--set", "shop=tea"),
        *("--file", f"token={operator.file('token', TOKEN)}"),
    )
    return added


class Shop:
    """A merchant's server, which knows QFPay's API and nothing of the wallet."""

    def __init__(self, gateway: httpx.AsyncClient, services: Services) -> None:
        self._gateway = gateway
        self.services = services

    async def ask(self, call: str, **params: str) -> dict[str, Any]:
        answer = await self.call(call, **params)
        assert (
            answer.headers["X-QF-SIGN"] == hashlib.md5(answer.content + APP_KEY.encode()).hexdigest().upper()
        )
        members: dict[str, Any] = answer.json()
        return members

    async def call(self, call: str, **params: str) -> httpx.Response:
        text = "&".join(f"{name}={params[name]}" for name in sorted(params))
        sign = hashlib.md5((text + APP_KEY).encode()).hexdigest()
        headers = {"X-QF-APPCODE": "SHOP", "X-QF-SIGN": sign}
        return await self._gateway.post(f"/trade/v1/{call}", data=params, headers=headers)

    async def row(self, syssn: str) -> Mapping[str, Any]:
        answer = await self.ask("query", syssn=syssn)
        (row,) = answer["data"]
        found: Mapping[str, Any] = row
        return found

    async def notify(self, url: str, notice: Mapping[str, str]) -> bytes:
        """A notice of the wallet, to the address that an order gave it."""
        answer = await self._gateway.post(httpx.URL(url).path, content=json.dumps(notice))
        return answer.content


@asynccontextmanager
async def shop_of(operator: Operator) -> AsyncIterator[Shop]:
    async with open_services(read_settings(operator.environment)) as services:
        transport = httpx.ASGITransport(application(services))
        async with httpx.AsyncClient(transport=transport, base_url="http://gateway") as gateway:
            yield Shop(gateway, services.first)


def test_its_account_is_managed_with_the_same_commands(
    operator: Operator, account: dict[str, Any], wallet: MadeUpWallet
) -> None:
    assert account == {
        "account_id": account["account_id"],
        "mchid": "tea",
        "protocol": "made_up",
        "wallet": "wechat",
        "scene": "online",
        "currency": "HKD",
        "refund_window_days": 365,
        "supports_partial_refunds": True,
        "fee_rate_ppm": 0,
        "wallet_fee_rate_ppm": None,
        "overlap_ends_at": None,
        "certificate_expires_at": None,
        "shop": "tea",
    }
    (stored,) = operator.in_store(lambda store: store.accounts.all())
    assert isinstance(stored, MadeUpAccount)
    assert stored.token.reveal() == TOKEN
    assert operator.run_json("account", "list") == [account]
    (check,) = operator.run_json("account", "check")
    assert (check["result"], check["detail"]) == ("ok", "the wallet answered a signed query")


def test_it_takes_a_payment_and_returns_it(
    operator: Operator, account: dict[str, Any], wallet: MadeUpWallet
) -> None:
    async def story() -> None:
        async with shop_of(operator) as shop:
            opened = await shop.ask(
                "payment",
                txamt="3925",
                txcurrcd="HKD",
                pay_type="800201",
                out_trade_no="order-1",
                txdtm=f"{NOW:%Y-%m-%d %H:%M:%S}",
            )
            syssn = opened["syssn"]
            assert (opened["respcd"], opened["qrcode"]) == ("0000", f"made-up:{syssn}")
            order = wallet.orders[syssn]
            assert order["minor"] == 3925
            assert order["notify"].endswith(f"/notices/wechat/{account['account_id']}")

            forged = {"number": syssn, "token": "jihgfedcba"}
            assert await shop.notify(order["notify"], forged) == b'"again"'
            assert (await shop.row(syssn))["respcd"] == "1145"
            wallet.pay(syssn)
            assert await shop.notify(order["notify"], {"number": syssn, "token": TOKEN}) == b'"ok"'
            assert (await shop.row(syssn))["respcd"] == "0000"

            returned = await shop.ask(
                "refund", syssn=syssn, out_trade_no="back-1", txamt="25", txdtm=f"{NOW:%Y-%m-%d %H:%M:%S}"
            )
            assert returned["respcd"] == "0000"
            assert wallet.refunds == {returned["syssn"]: 25}
            closed = await shop.ask("close", syssn=syssn, txamt="3925", txdtm=f"{NOW:%Y-%m-%d %H:%M:%S}")
            assert closed["respcd"] == "1124"  # paid, and this protocol closes nothing anyway

    asyncio.run(story())


def test_its_secret_is_replaced_with_an_overlap(
    operator: Operator, account: dict[str, Any], wallet: MadeUpWallet
) -> None:
    wallet.token = TOKEN[::-1]
    change = ("account", "set", account["account_id"], "--file")
    assert operator.run_json(*change, f"token={operator.file('new', wallet.token)}")["overlap_ends_at"]

    async def answers(reference: str) -> list[bytes]:
        """To notices with the old, the new and another token, about an order that is opened with the new one."""
        at = f"{NOW:%Y-%m-%d %H:%M:%S}"
        order = {"txamt": "3925", "txcurrcd": "HKD", "pay_type": "800201", "txdtm": at}
        async with shop_of(operator) as shop:
            syssn = (await shop.ask("payment", out_trade_no=reference, **order))["syssn"]
            url = wallet.orders[syssn]["notify"]
            return [
                await shop.notify(url, {"number": syssn, "token": token})
                for token in (TOKEN, wallet.token, "kkkkkkkkkk")
            ]

    assert asyncio.run(answers("during")) == [b'"ok"', b'"ok"', b'"again"']
    operator.run("account", "end-overlap", account["account_id"])
    assert asyncio.run(answers("after")) == [b'"again"', b'"ok"', b'"again"']


def test_its_payments_have_jobs_of_their_own(
    operator: Operator, account: dict[str, Any], wallet: MadeUpWallet
) -> None:
    async def names() -> set[str]:
        async with open_services(read_settings(operator.environment)) as services:
            return {job.name for job in all_jobs(services.first)}

    assert {"poll.payments.made_up", "poll.payments.wechat_v2"} <= asyncio.run(names())


def test_without_its_package_its_apps_are_out_of_service(
    operator: Operator, account: dict[str, Any], wallet: MadeUpWallet, tmp_path: Path
) -> None:
    at = f"{NOW:%Y-%m-%d %H:%M:%S}"
    order = {"txamt": "3925", "txcurrcd": "HKD", "pay_type": "800201", "txdtm": at}

    async def with_the_package() -> str:
        async with shop_of(operator) as shop:
            return str((await shop.ask("payment", out_trade_no="order-1", **order))["syssn"])

    async def without_the_package(syssn: str) -> None:
        async with shop_of(operator) as shop:
            back = {"syssn": syssn, "txamt": "25", "txdtm": at, "out_trade_no": "back-1"}
            for call, asked in (
                ("payment", {"out_trade_no": "order-2", **order}),
                ("query", {"syssn": syssn}),
                ("refund", back),
                ("close", {"syssn": syssn, "txamt": "3925", "txdtm": at}),
            ):
                assert (await shop.call(call, **asked)).json()["respcd"] == "1112", call
            answer = await shop.notify(wallet.orders[syssn]["notify"], {"number": syssn, "token": TOKEN})
            assert answer != b'"ok"'
            assert not any("made_up" in job.name for job in all_jobs(shop.services))

    syssn = asyncio.run(with_the_package())
    uninstall(tmp_path)
    assert "no protocol made_up is installed" in operator.is_refused("account", "list", code=2)
    asyncio.run(without_the_package(syssn))
    assert list(wallet.orders) == [syssn]
