"""PyPI's alipay against the sandbox: all that it has for cross-border payments.

It makes links for the payer, asks for a trade, and verifies notices on the spot and by asking Alipay back.
It has no call for refunds, for closing or for statements.
"""

import urllib.parse
from collections.abc import Iterator
from typing import Any, Final

import pytest

from tests.sandbox.alipay_shop import Shop, confirm, form_of, fresh, scan, shop
from tests.sandbox.conftest import Sandbox
from tests.sdk.environments import Environment, python_environment
from tests.sdk.sdk import Judge, Sdk, Words, environment_or_skip, put_fault

WORDS = Words(thanks=b"success", sorry=b"fail")
FIRST_GAP_S = 120
VERIFY = "?service=notify_verify&partner=%s&notify_id=%s"
SALE: Final[dict[str, Any]] = {"subject": "Two tickets", "currency": "HKD", "total_fee": "120.00"}
PC: Final[dict[str, Any]] = {**SALE, "product_code": "NEW_OVERSEAS_SELLER"}
WAP: Final[dict[str, Any]] = {**SALE, "product_code": "NEW_WAP_OVERSEAS_SELLER"}

#: What the SDK insists on for domestic sales of goods.
LOGISTICS: Final[dict[str, Any]] = dict.fromkeys(
    ("logistics_type", "logistics_fee", "logistics_payment", "price", "quantity"), "1"
)


@pytest.fixture(scope="module")
def environment() -> Environment:
    return environment_or_skip(python_environment, "alipay")


@pytest.fixture(scope="module")
def online(sandbox: Sandbox) -> Shop:
    return shop(sandbox, "online")


def started(environment: Environment, shop: Shop, key: str) -> Sdk:
    address = shop.account["gateway_url"]
    settings = {
        "module": "alipay",
        "class": "Alipay",
        "arguments": {"pid": shop.pid, "key": key, "seller_id": shop.pid},
        "attributes": {"GATEWAY_URL": address, "NOTIFY_GATEWAY_URL": address + VERIFY},
    }
    return Sdk(environment, settings, {})


@pytest.fixture(scope="module")
def sdk(environment: Environment, online: Shop) -> Iterator[Sdk]:
    with started(environment, online, online.account["key"]) as running:
        yield running


def test_a_link_for_a_browser_is_paid(sandbox: Sandbox, sdk: Sdk) -> None:
    number = fresh()
    link = sdk.call("create_forex_trade_url", **PC, out_trade_no=number)
    assert (scan(sandbox, link)["amount"], scan(sandbox, link)["currency"]) == (12000, "HKD")
    assert confirm(sandbox, url=link)["state"] == "TRADE_FINISHED"
    told = sdk.call("single_trade_query", out_trade_no=number)
    assert "<trade_status>TRADE_FINISHED</trade_status>" in told


def test_a_link_for_a_phone_is_paid(sandbox: Sandbox, sdk: Sdk) -> None:
    number = fresh()
    link = sdk.call("create_forex_trade_wap_url", **WAP, out_trade_no=number)
    unpaid = sdk.call("single_trade_query", out_trade_no=number)
    assert "<error>TRADE_NOT_EXIST</error>" in unpaid
    paid = confirm(sandbox, url=link)
    told = sdk.call("single_trade_query", trade_no=paid["trade"]["trade"])
    assert f"<out_trade_no>{number}</out_trade_no>" in told
    assert "<trade_status>TRADE_FINISHED</trade_status>" in told


def test_chinese_signs_and_empty_fields_arrive_as_they_were_signed(sandbox: Sandbox, sdk: Sdk) -> None:
    """The SDK signs empty fields too, and sends them."""
    subject = "奶茶 + 茶 & 100% <大>"
    link = sdk.call("create_forex_trade_url", **PC | {"subject": subject}, body="", out_trade_no=fresh())
    assert scan(sandbox, link)["subject"] == subject


def test_a_query_is_told_what_was_paid(sandbox: Sandbox, sdk: Sdk) -> None:
    number = fresh()
    confirm(sandbox, url=sdk.call("create_forex_trade_url", **PC, out_trade_no=number))
    told = sdk.call("single_trade_query", out_trade_no=number)
    assert "<is_success>T</is_success>" in told
    assert "<total_fee>109.48</total_fee>" in told  # 120.00 HKD at 0.9123, as Alipay answers it


def test_a_notice_is_verified_here_and_at_alipay_and_then_acknowledged(sandbox: Sandbox, sdk: Sdk) -> None:
    def read(body: bytes) -> Any:
        told: dict[str, Any] = dict(form_of(body))
        return sdk.call("verify_notify", **told) and told

    forged_notice = {"wallet": "alipay", "operation": "notice", "kind": "bad_signature", "times": 1}
    with Judge(read, WORDS).listening() as judge:
        number = fresh()
        link = sdk.call("create_forex_trade_url", **PC, out_trade_no=number, notify_url=judge.url)
        put_fault(sandbox, forged_notice)
        confirm(sandbox, url=link)
        judge.wait_for(1)
        sandbox.advance(FIRST_GAP_S)
        judge.wait_for(2)
        sandbox.wait_for_quiet(judge.url)
        forged, told = judge.verdicts
    assert not forged
    assert (told["out_trade_no"], told["trade_status"]) == (number, "TRADE_FINISHED")
    # Acknowledged, so Alipay confirms it no more: the answer came from there.
    assert sdk.call("verify_notify", **told) is False


def test_a_wrong_key_is_refused(environment: Environment, sandbox: Sandbox, online: Shop) -> None:
    with started(environment, online, "0" * 32) as stranger:
        told = stranger.call("single_trade_query", out_trade_no=fresh())
        link = stranger.call("create_forex_trade_url", **PC, out_trade_no=fresh())
    assert "<error>ILLEGAL_SIGN</error>" in told
    assert b"ILLEGAL_SIGN" in online.open(link).body


@pytest.mark.parametrize(
    "name",
    ["create_direct_pay_by_user_url", "create_partner_trade_by_buyer_url", "trade_create_by_buyer_url"],
)
def test_a_domestic_payment_is_refused(online: Shop, sdk: Sdk, name: str) -> None:
    link = sdk.call(name, **SALE, **LOGISTICS, out_trade_no=fresh())
    assert urllib.parse.urlsplit(link).path == "/gateway.do"
    assert b"ILLEGAL_SERVICE" in online.open(link).body
