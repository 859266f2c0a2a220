"""PyPI's alipay against the sandbox: everything that it has for cross-border payments.

It creates links for the payer, queries trades, and verifies notices locally and at Alipay. It has no calls for refunds,
closing or statements.
"""

import urllib.parse
from collections.abc import Iterator
from typing import Any, Final

import pytest

from tests.sandbox.alipay_shop import Shop, confirm, form_of, new_number, scan, shop
from tests.sandbox.conftest import Sandbox
from tests.sdk.environments import Environment, python_environment
from tests.sdk.sdk import Acknowledgements, Sdk, VerifyingReceiver, environment_or_skip, put_fault

ACKNOWLEDGEMENTS = Acknowledgements(accepted=b"success", refused=b"fail")
FIRST_GAP_S = 120
VERIFY = "?service=notify_verify&partner=%s&notify_id=%s"
SALE: Final[dict[str, Any]] = {"subject": "Two tickets", "currency": "HKD", "total_fee": "120.00"}
PC: Final[dict[str, Any]] = {**SALE, "product_code": "NEW_OVERSEAS_SELLER"}
WAP: Final[dict[str, Any]] = {**SALE, "product_code": "NEW_WAP_OVERSEAS_SELLER"}

#: Required by the SDK for domestic sales of goods.
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
    number = new_number()
    link = sdk.call("create_forex_trade_url", **PC, out_trade_no=number)
    assert (scan(sandbox, link)["amount"], scan(sandbox, link)["currency"]) == (12000, "HKD")
    assert confirm(sandbox, url=link)["state"] == "TRADE_FINISHED"
    result = sdk.call("single_trade_query", out_trade_no=number)
    assert "<trade_status>TRADE_FINISHED</trade_status>" in result


def test_a_link_for_a_phone_is_paid(sandbox: Sandbox, sdk: Sdk) -> None:
    number = new_number()
    link = sdk.call("create_forex_trade_wap_url", **WAP, out_trade_no=number)
    unpaid = sdk.call("single_trade_query", out_trade_no=number)
    assert "<error>TRADE_NOT_EXIST</error>" in unpaid
    paid = confirm(sandbox, url=link)
    result = sdk.call("single_trade_query", trade_no=paid["trade"]["trade"])
    assert f"<out_trade_no>{number}</out_trade_no>" in result
    assert "<trade_status>TRADE_FINISHED</trade_status>" in result


def test_chinese_special_characters_and_empty_fields_arrive_as_signed(sandbox: Sandbox, sdk: Sdk) -> None:
    """The SDK also signs and sends empty fields."""
    subject = "奶茶 + 茶 & 100% <大>"
    link = sdk.call("create_forex_trade_url", **PC | {"subject": subject}, body="", out_trade_no=new_number())
    assert scan(sandbox, link)["subject"] == subject


def test_a_query_returns_the_paid_amount(sandbox: Sandbox, sdk: Sdk) -> None:
    number = new_number()
    confirm(sandbox, url=sdk.call("create_forex_trade_url", **PC, out_trade_no=number))
    result = sdk.call("single_trade_query", out_trade_no=number)
    assert "<is_success>T</is_success>" in result
    assert "<total_fee>109.48</total_fee>" in result  # 120.00 HKD at 0.9123, as Alipay answers it


def test_a_notice_is_verified_locally_and_at_alipay_and_then_acknowledged(sandbox: Sandbox, sdk: Sdk) -> None:
    def read(body: bytes) -> Any:
        result: dict[str, Any] = dict(form_of(body))
        return sdk.call("verify_notify", **result) and result

    forged_notice = {"wallet": "alipay", "operation": "notice", "kind": "bad_signature", "times": 1}
    with VerifyingReceiver(read, ACKNOWLEDGEMENTS).listening() as receiver:
        number = new_number()
        link = sdk.call("create_forex_trade_url", **PC, out_trade_no=number, notify_url=receiver.url)
        put_fault(sandbox, forged_notice)
        confirm(sandbox, url=link)
        receiver.wait_for(1)
        sandbox.advance(FIRST_GAP_S)
        receiver.wait_for(2)
        sandbox.wait_for_quiet(receiver.url)
        forged, result = receiver.results
    assert not forged
    assert (result["out_trade_no"], result["trade_status"]) == (number, "TRADE_FINISHED")
    # Alipay no longer confirms an acknowledged notice, which shows that the SDK queried Alipay.
    assert sdk.call("verify_notify", **result) is False


def test_a_wrong_key_is_refused(environment: Environment, sandbox: Sandbox, online: Shop) -> None:
    with started(environment, online, "0" * 32) as wrong_client:
        result = wrong_client.call("single_trade_query", out_trade_no=new_number())
        link = wrong_client.call("create_forex_trade_url", **PC, out_trade_no=new_number())
    assert "<error>ILLEGAL_SIGN</error>" in result
    assert b"ILLEGAL_SIGN" in online.open(link).body


@pytest.mark.parametrize(
    "name",
    ["create_direct_pay_by_user_url", "create_partner_trade_by_buyer_url", "trade_create_by_buyer_url"],
)
def test_a_domestic_payment_is_refused(online: Shop, sdk: Sdk, name: str) -> None:
    link = sdk.call(name, **SALE, **LOGISTICS, out_trade_no=new_number())
    assert urllib.parse.urlsplit(link).path == "/gateway.do"
    assert b"ILLEGAL_SERVICE" in online.open(link).body
