"""Ruby's gem alipay against the sandbox: its functions for cross-border payments, with MD5.

Runs where TAEL_SDK_RUBY names a folder of gems. For some calls it makes a link only, which its user has to open. It
reads no response.
"""

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Any, Final

import pytest

from tests.sandbox.alipay_shop import Shop, confirm, form_of, new_number, scan, shop
from tests.sandbox.conftest import Sandbox
from tests.sdk.environments import ruby_environment
from tests.sdk.sdk import Acknowledgements, Sdk, VerifyingReceiver, environment_or_skip, put_fault

ACKNOWLEDGEMENTS: Final = Acknowledgements(accepted=b"success", refused=b"fail")
FIRST_GAP_S: Final = 120
SALE: Final[dict[str, Any]] = {"subject": "两张票 & <tickets>", "currency": "HKD", "total_fee": "120.00"}
PC: Final[dict[str, Any]] = {
    **SALE,
    "product_code": "NEW_OVERSEAS_SELLER",
    "notify_url": "http://127.0.0.1:9/notices",
}
ENVIRONMENT: Final = environment_or_skip(ruby_environment, "chloerei/alipay")
Start = Callable[[Shop], Sdk]


@pytest.fixture(scope="module")
def online(sandbox: Sandbox) -> Shop:
    return shop(sandbox, "online")


@pytest.fixture(scope="module")
def offline(sandbox: Sandbox) -> Shop:
    return shop(sandbox, "offline")


@pytest.fixture(scope="module")
def start() -> Iterator[Start]:
    def start_sdk(merchant: Shop) -> Sdk:
        settings = {name: merchant.account[name] for name in ("gateway_url", "pid", "key")}
        return running.enter_context(Sdk(ENVIRONMENT, settings, {}))

    with ExitStack() as running:
        yield start_sdk


@pytest.fixture(scope="module")
def sdk(start: Start, online: Shop) -> Sdk:
    return start(online)


def test_a_link_for_a_browser_is_paid_and_queried(sandbox: Sandbox, sdk: Sdk) -> None:
    number = new_number()
    link = sdk.call("create_forex_trade_url", **PC, out_trade_no=number)
    assert scan(sandbox, link)["subject"] == SALE["subject"]
    assert confirm(sandbox, url=link)["state"] == "TRADE_FINISHED"
    result = sdk.call("single_trade_query", out_trade_no=number)
    assert "<trade_status>TRADE_FINISHED</trade_status>" in result


def test_a_link_for_a_phone_is_paid(sandbox: Sandbox, sdk: Sdk) -> None:
    request = {**SALE, "out_trade_no": new_number(), "merchant_url": "http://127.0.0.1:9/"}
    link = sdk.call("create_forex_trade_wap_url", **request, product_code="NEW_WAP_OVERSEAS_SELLER")
    assert confirm(sandbox, url=link)["state"] == "TRADE_FINISHED"


def test_an_order_is_refunded(sandbox: Sandbox, sdk: Sdk, online: Shop) -> None:
    number = new_number()
    confirm(sandbox, url=sdk.call("create_forex_trade_url", **PC, out_trade_no=number))
    part: dict[str, Any] = {
        "return_amount": "20.00",
        "currency": "HKD",
        "reason": "one seat",
        "product_code": PC["product_code"],
    }
    day = {"gmt_return": f"{online.now():%Y%m%d%H%M%S}"}
    refund: dict[str, Any] = {"out_trade_no": number, "out_return_no": new_number("R"), **part, **day}
    assert online.open(sdk.call("forex_refund_url", **refund)).error is None
    assert online.book_row(number)["refunded"] == 2000


def test_an_unpaid_order_is_closed(sandbox: Sandbox, sdk: Sdk, online: Shop) -> None:
    number = new_number()
    scan(sandbox, sdk.call("create_forex_trade_url", **PC, out_trade_no=number))
    assert "<is_success>T</is_success>" in sdk.call("close_trade", out_order_no=number)
    assert online.book_row(number)["state"] == "TRADE_CLOSED"


def test_a_payment_in_a_shop_is_queried_and_refunded(sandbox: Sandbox, start: Start, offline: Shop) -> None:
    sdk, number = start(offline), new_number()
    offline.pay_spot(sandbox.code(), number)
    query = offline.open(sdk.call("acquirer_overseas_query", partner_trans_id=number))
    assert query["alipay_trans_status"] == "TRADE_SUCCESS"
    part: dict[str, Any] = {"refund_amount": "9.25", "currency": "HKD", "is_sync": "Y"}
    refund: dict[str, Any] = {"partner_trans_id": number, "partner_refund_id": new_number("R"), **part}
    made = offline.open(sdk.call("acquirer_overseas_spot_refund_url", **refund))
    assert made["result_code"] == "SUCCESS"
    assert offline.book_row(number)["refunded"] == 925


def test_a_notice_is_verified_locally_and_at_alipay_and_then_acknowledged(sandbox: Sandbox, sdk: Sdk) -> None:
    def read(body: bytes) -> Any:
        result: dict[str, Any] = dict(form_of(body))
        return sdk.call("verify?", **result)

    with VerifyingReceiver(read, ACKNOWLEDGEMENTS).listening() as receiver:
        request = PC | {"out_trade_no": new_number(), "notify_url": receiver.url}
        link = sdk.call("create_forex_trade_url", **request)
        put_fault(sandbox, {"wallet": "alipay", "operation": "notice", "kind": "bad_signature", "times": 1})
        confirm(sandbox, url=link)
        receiver.wait_for(1)
        sandbox.advance(FIRST_GAP_S)
        receiver.wait_for(2)
        sandbox.wait_for_quiet(receiver.url)
        forged, result = receiver.results
    assert forged is None
    assert (result["out_trade_no"], result["trade_status"]) == (request["out_trade_no"], "TRADE_FINISHED")
