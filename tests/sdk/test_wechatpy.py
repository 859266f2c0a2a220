"""PyPI's wechatpy against the sandbox: everything that it has for V2, over TLS with the merchant's certificate."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Any, Final

import pytest

from tests.sandbox.conftest import Sandbox
from tests.sandbox.wechat_shop import Shop, code, confirm, new_number, openid, signature
from tests.sdk import wechat
from tests.sdk.environments import Environment, python_environment
from tests.sdk.sdk import Sdk, SdkRefused, environment_or_skip
from tests.sdk.wechat import (
    BAD_SIGNATURE,
    REFUND_S,
    bill_date,
    pem_files,
    result_of_a_notice,
    results_of_a_forged_and_a_genuine_notice,
    rows_of,
)

#: With the SDK's own names, in place of the wallet's.
SALE: Final[dict[str, Any]] = {
    "body": wechat.SALE["body"],
    "total_fee": 8800,
    "fee_type": "HKD",
    "client_ip": "127.0.0.1",
}
NATIVE: Final[dict[str, Any]] = {
    **SALE,
    "trade_type": "NATIVE",
    "product_id": "tea",
    "notify_url": wechat.NATIVE["notify_url"],
}
PART: Final[dict[str, Any]] = {"total_fee": 8800, "fee_type": "HKD"}
Start = Callable[..., Sdk]


def settings_of(account: dict[str, Any], **arguments: Any) -> dict[str, Any]:
    return {
        "module": "wechatpy.pay",
        "class": "WeChatPay",
        "arguments": {"api_key": account["key"], "timeout": 20, **arguments},
        "attributes": {"API_BASE_URL": f"{account['base_url']}/"},
    }


@pytest.fixture(scope="module")
def environment() -> Environment:
    return environment_or_skip(python_environment, "wechatpy")


@pytest.fixture(scope="module")
def start(environment: Environment, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Start]:
    """Starts the SDK as the merchant of this account, with the given changes."""

    def start_sdk(account: dict[str, Any], **change: Any) -> Sdk:
        files = pem_files(account, tmp_path_factory.mktemp("wechatpy"))
        identity = {name: account[name] for name in ("appid", "mch_id")}
        sub_merchant = {name: account[name] or None for name in ("sub_mch_id", "sub_appid")}
        certificate = {"mch_cert": files["cert_pem"], "mch_key": files["key_pem"]}
        settings = settings_of(account, **{**identity, **sub_merchant, **certificate, **change})
        return running.enter_context(Sdk(environment, settings, {"REQUESTS_CA_BUNDLE": files["ca_pem"]}))

    with ExitStack() as running:
        yield start_sdk


@pytest.fixture(scope="module")
def sdk(start: Start, account: dict[str, Any]) -> Sdk:
    return start(account)


@pytest.fixture(scope="module")
def bare(start: Start, account: dict[str, Any]) -> Sdk:
    """A client without a certificate."""
    return start(account, mch_cert=None, mch_key=None)


@pytest.fixture
def paid(sandbox: Sandbox, sdk: Sdk) -> str:
    """The number of an order that was paid by barcode."""
    number = new_number()
    sdk.call("micropay.create", **SALE, auth_code=code(sandbox), out_trade_no=number)
    return number


def test_an_order_is_shown_as_a_code_and_paid(sandbox: Sandbox, sdk: Sdk) -> None:
    number = new_number()
    made = sdk.call("order.create", **NATIVE, out_trade_no=number)
    assert sdk.call("order.query", out_trade_no=number)["trade_state"] == "NOTPAY"
    confirm(sandbox, "pay", url=made["code_url"], payer="dora")
    result = sdk.call("order.query", out_trade_no=number)
    assert (result["trade_state"], result["total_fee"], result["fee_type"]) == ("SUCCESS", "8800", "HKD")
    again = sdk.call("order.query", transaction_id=result["transaction_id"])
    assert again["out_trade_no"] == number


def test_an_order_may_be_signed_with_hmac(sdk: Sdk) -> None:
    made = sdk.call("order.create", **NATIVE, out_trade_no=new_number(), sign_type="HMAC-SHA256")
    assert len(made["sign"]) == 64
    assert made["code_url"].startswith("weixin://")


def test_a_page_in_wechat_is_paid(sandbox: Sandbox, sdk: Sdk, merchant: Shop) -> None:
    number, payer = new_number(), openid(sandbox, "chen", merchant.official_appid)
    element = "user_id" if merchant.is_direct else "sub_user_id"
    page = {**NATIVE, "trade_type": "JSAPI", element: payer, "out_trade_no": number}
    made = sdk.call("order.create", **page)
    bridge = sdk.call("jsapi.get_jsapi_params", prepay_id=made["prepay_id"])
    proof = bridge.pop("paySign")
    assert proof == signature(bridge, merchant.key, "MD5")
    assert bridge["appId"] == merchant.official_appid
    confirm(sandbox, "pay", url=bridge["package"])
    assert sdk.call("order.query", out_trade_no=number)["trade_state"] == "SUCCESS"


def test_a_barcode_is_paid_at_once(sandbox: Sandbox, sdk: Sdk) -> None:
    number = new_number()
    result = sdk.call("micropay.create", **SALE, auth_code=code(sandbox), out_trade_no=number)
    assert (result["result_code"], result["trade_type"], result["total_fee"]) == (
        "SUCCESS",
        "MICROPAY",
        "8800",
    )
    request = sdk.call("micropay.query", out_trade_no=number)
    assert (request["trade_state"], request["transaction_id"]) == ("SUCCESS", result["transaction_id"])


def test_a_barcode_that_waits_for_the_password_is_queried_until_paid(sandbox: Sandbox, sdk: Sdk) -> None:
    number = new_number()
    with pytest.raises(SdkRefused, match="USERPAYING"):
        sdk.call("micropay.create", **SALE, auth_code=code(sandbox, "password"), out_trade_no=number)
    assert sdk.call("micropay.query", out_trade_no=number)["trade_state"] == "USERPAYING"
    confirm(sandbox, "pay", trade=number)
    assert sdk.call("micropay.query", out_trade_no=number)["trade_state"] == "SUCCESS"


def test_an_order_is_closed(sdk: Sdk) -> None:
    number = new_number()
    sdk.call("order.create", **NATIVE, out_trade_no=number)
    assert sdk.call("order.close", out_trade_no=number)["result_code"] == "SUCCESS"
    assert sdk.call("order.query", out_trade_no=number)["trade_state"] == "CLOSED"


def test_a_paid_order_is_reversed(sdk: Sdk, paid: str) -> None:
    result = sdk.call("order.reverse", out_trade_no=paid)
    assert (result["result_code"], result["recall"]) == ("SUCCESS", "N")
    assert sdk.call("order.query", out_trade_no=paid)["trade_state"] == "REVOKED"


def test_a_refund_is_made_and_queried(sandbox: Sandbox, sdk: Sdk, paid: str) -> None:
    refund = new_number("R")
    part = {**PART, "refund_fee": 3000, "out_refund_no": refund}
    made = sdk.call("refund.apply", out_trade_no=paid, **part)
    assert (made["refund_fee"], made["refund_fee_type"]) == ("3000", "HKD")
    request = sdk.call("refund.query", out_refund_no=refund)
    assert (request["refund_id_0"], request["refund_status_0"]) == (made["refund_id"], "PROCESSING")
    sandbox.advance(REFUND_S)
    assert sdk.call("refund.query", out_trade_no=paid)["refund_status_0"] == "SUCCESS"


def test_a_days_bill_is_read(sandbox: Sandbox, start: Start) -> None:
    """For both merchants of one day: on a later day of the sandbox this SDK's orders would have expired already."""
    clients = [start(sandbox.account("wechat", shop)) for shop in ("demo", "direct")]
    numbers = [new_number() for _ in clients]
    for client, number in zip(clients, numbers, strict=True):
        client.call("micropay.create", **SALE, auth_code=code(sandbox), out_trade_no=number)
    day = bill_date(sandbox)
    bills = [client.call("tools.download_bill", bill_date=day) for client in clients]
    assert [[len(rows_of(bill, number, "88.00")) for number in numbers] for bill in bills] == [[1, 0], [0, 1]]


def test_the_owner_of_a_barcode_is_queried(sandbox: Sandbox, sdk: Sdk, account: dict[str, Any]) -> None:
    result = sdk.call("tools.auto_code_to_openid", auth_code=code(sandbox, payer="dora"))
    assert result["openid"] == openid(sandbox, "dora", account["appid"])


def test_a_link_is_shortened(sdk: Sdk) -> None:
    made = sdk.call("order.create", **NATIVE, out_trade_no=new_number())
    short = sdk.call("tools.short_url", long_url=made["code_url"])["short_url"]
    assert short.startswith("weixin://wxpay/")


def test_a_notice_of_a_payment_is_verified_and_then_acknowledged(sandbox: Sandbox, sdk: Sdk) -> None:
    number = new_number()

    def pay(notify_url: str) -> None:
        made = sdk.call("order.create", **NATIVE | {"notify_url": notify_url}, out_trade_no=number)
        confirm(sandbox, "pay", url=made["code_url"])

    forged, result = results_of_a_forged_and_a_genuine_notice(
        sandbox, lambda body: sdk.call("parse_payment_result", xml=body.decode()), pay
    )
    assert forged is None
    assert (result["out_trade_no"], result["total_fee"]) == (number, 8800)


def test_a_notice_of_a_refund_is_decrypted(sandbox: Sandbox, sdk: Sdk, paid: str) -> None:
    part = {**PART, "refund_fee": 300, "out_refund_no": new_number("R")}
    result = result_of_a_notice(
        sandbox,
        lambda body: sdk.call("parse_refund_notify_result", xml=body.decode()),
        lambda notify_url: sdk.call("refund.apply", out_trade_no=paid, notify_url=notify_url, **part),
    )
    assert (result["out_refund_no"], result["refund_fee"]) == (part["out_refund_no"], 300)
    assert result["refund_status"] == "SUCCESS"


def test_the_wallet_s_own_sandbox_serves_it_from_order_to_refund(
    sandbox: Sandbox, start: Start, account: dict[str, Any]
) -> None:
    """The SDK fetches the key with getsignkey, signs with it and verifies notices with it, without a certificate."""
    vendor, number = start(account, sandbox=True, mch_cert=None, mch_key=None), new_number()

    def pay(notify_url: str) -> None:
        made = vendor.call("order.create", **NATIVE | {"notify_url": notify_url}, out_trade_no=number)
        confirm(sandbox, "pay", url=made["code_url"])

    result = result_of_a_notice(
        sandbox, lambda body: vendor.call("parse_payment_result", xml=body.decode()), pay
    )
    assert (result["out_trade_no"], result["total_fee"]) == (number, 8800)
    assert vendor.call("order.query", out_trade_no=number)["trade_state"] == "SUCCESS"
    part = {**PART, "refund_fee": 300, "out_refund_no": new_number("R")}
    assert vendor.call("refund.apply", out_trade_no=number, **part)["refund_fee"] == "300"


def test_without_a_certificate_no_money_is_returned(sdk: Sdk, bare: Sdk, paid: str) -> None:
    part = {**PART, "refund_fee": 8800, "out_refund_no": new_number("R")}
    with pytest.raises(SdkRefused, match=r"^WeChatPayException: Error code: None"):
        bare.call("refund.apply", out_trade_no=paid, **part)
    with pytest.raises(SdkRefused, match=r"^WeChatPayException: Error code: None"):
        bare.call("order.reverse", out_trade_no=paid)
    assert bare.call("order.query", out_trade_no=paid)["trade_state"] == "SUCCESS"
    assert sdk.call("order.reverse", out_trade_no=paid)["result_code"] == "SUCCESS"


def test_a_wrong_key_is_refused(start: Start, account: dict[str, Any]) -> None:
    wrong_client = start(account, api_key="0" * 32)
    with pytest.raises(SdkRefused, match=BAD_SIGNATURE):
        wrong_client.call("order.create", **NATIVE, out_trade_no=new_number())


def test_an_unknown_authority_is_not_trusted(environment: Environment, account: dict[str, Any]) -> None:
    """Shows that the calls above used TLS and verified the server."""
    settings = settings_of(account, appid=account["appid"], mch_id=account["mch_id"])
    with Sdk(environment, settings, {}) as client, pytest.raises(SdkRefused, match=r"^SSLError"):
        client.call("order.query", out_trade_no=new_number())
