"""PyPI's wechatpy against the sandbox: everything that it has for V2, over TLS with the provider's certificate."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Any, Final

import pytest

from tests.sandbox.conftest import Sandbox
from tests.sandbox.days import beijing_now, compact
from tests.sandbox.wechat_shop import code, confirm, new_number, openid, signature
from tests.sdk.environments import Environment, python_environment
from tests.sdk.sdk import Sdk, SdkRefused, VerifyingReceiver, environment_or_skip, put_fault
from tests.sdk.wechat import ACKNOWLEDGEMENTS, BAD_SIGNATURE, FIRST_GAP_S, FORGED_NOTICE, pem_files

SALE: Final[dict[str, Any]] = {
    "body": "两杯奶茶 & <cups>",
    "total_fee": 8800,
    "fee_type": "HKD",
    "client_ip": "127.0.0.1",
}
NATIVE: Final[dict[str, Any]] = {
    **SALE,
    "trade_type": "NATIVE",
    "product_id": "tea",
    "notify_url": "http://127.0.0.1:9/notices",
}
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
def start(
    environment: Environment, account: dict[str, Any], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Start]:
    """Starts the SDK as the demo shop, with the given changes."""
    files = pem_files(account, tmp_path_factory.mktemp("wechatpy"))
    identity = {name: account[name] for name in ("appid", "mch_id", "sub_mch_id", "sub_appid")}
    certificate = {"mch_cert": files["cert_pem"], "mch_key": files["key_pem"]}

    def start_sdk(**change: Any) -> Sdk:
        settings = settings_of(account, **{**identity, **certificate, **change})
        return running.enter_context(Sdk(environment, settings, {"REQUESTS_CA_BUNDLE": files["ca_pem"]}))

    with ExitStack() as running:
        yield start_sdk


@pytest.fixture(scope="module")
def sdk(start: Start) -> Sdk:
    return start()


@pytest.fixture(scope="module")
def bare(start: Start) -> Sdk:
    """A client without a certificate."""
    return start(mch_cert=None, mch_key=None)


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


def test_a_page_in_wechat_is_paid(sandbox: Sandbox, sdk: Sdk, account: dict[str, Any]) -> None:
    number, payer = new_number(), openid(sandbox, "chen", account["sub_appid"])
    page = {**NATIVE, "trade_type": "JSAPI", "sub_user_id": payer, "out_trade_no": number}
    made = sdk.call("order.create", **page)
    bridge = sdk.call("jsapi.get_jsapi_params", prepay_id=made["prepay_id"])
    proof = bridge.pop("paySign")
    assert proof == signature(bridge, account["key"], "MD5")
    assert bridge["appId"] == account["sub_appid"]
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
    part: dict[str, Any] = {"total_fee": 8800, "refund_fee": 3000, "fee_type": "HKD", "out_refund_no": refund}
    made = sdk.call("refund.apply", out_trade_no=paid, **part)
    assert (made["refund_fee"], made["refund_fee_type"]) == ("3000", "HKD")
    request = sdk.call("refund.query", out_refund_no=refund)
    assert (request["refund_id_0"], request["refund_status_0"]) == (made["refund_id"], "PROCESSING")
    sandbox.advance(3)
    assert sdk.call("refund.query", out_trade_no=paid)["refund_status_0"] == "SUCCESS"


def test_a_days_bill_is_read(sandbox: Sandbox, sdk: Sdk, paid: str) -> None:
    now = beijing_now(sandbox)
    sandbox.control("POST", "statements", {"wallet": "wechat", "day": f"{now:%Y-%m-%d}"})
    bill = sdk.call("tools.download_bill", bill_date=compact(now))
    assert len([row for row in bill.splitlines() if f"`{paid}," in row and "`88.00," in row]) == 1


def test_the_owner_of_a_barcode_is_queried(sandbox: Sandbox, sdk: Sdk, account: dict[str, Any]) -> None:
    result = sdk.call("tools.auto_code_to_openid", auth_code=code(sandbox, payer="dora"))
    assert result["openid"] == openid(sandbox, "dora", account["appid"])


def test_a_link_is_shortened(sdk: Sdk) -> None:
    made = sdk.call("order.create", **NATIVE, out_trade_no=new_number())
    short = sdk.call("tools.short_url", long_url=made["code_url"])["short_url"]
    assert short.startswith("weixin://wxpay/")


def test_a_notice_of_a_payment_is_verified_and_then_acknowledged(sandbox: Sandbox, sdk: Sdk) -> None:
    with VerifyingReceiver(
        lambda body: sdk.call("parse_payment_result", xml=body.decode()), ACKNOWLEDGEMENTS
    ).listening() as receiver:
        number = new_number()
        made = sdk.call("order.create", **NATIVE | {"notify_url": receiver.address}, out_trade_no=number)
        put_fault(sandbox, FORGED_NOTICE)
        confirm(sandbox, "pay", url=made["code_url"])
        receiver.wait_for(1)
        sandbox.advance(FIRST_GAP_S)
        receiver.wait_for(2)
        sandbox.wait_for_quiet(receiver.address)
        forged, result = receiver.results
    assert forged is None
    assert (result["out_trade_no"], result["total_fee"]) == (number, 8800)


def test_a_notice_of_a_refund_is_decrypted(sandbox: Sandbox, sdk: Sdk, paid: str) -> None:
    with VerifyingReceiver(
        lambda body: sdk.call("parse_refund_notify_result", xml=body.decode()), ACKNOWLEDGEMENTS
    ).listening() as receiver:
        part: dict[str, Any] = {
            "total_fee": 8800,
            "refund_fee": 300,
            "fee_type": "HKD",
            "out_refund_no": new_number("R"),
        }
        sdk.call("refund.apply", out_trade_no=paid, notify_url=receiver.address, **part)
        sandbox.advance(3)
        receiver.wait_for(1)
        sandbox.wait_for_quiet(receiver.address)
        (result,) = receiver.results
    assert (result["out_refund_no"], result["refund_fee"]) == (part["out_refund_no"], 300)
    assert result["refund_status"] == "SUCCESS"


def test_the_wallet_s_own_sandbox_serves_it_from_order_to_refund(sandbox: Sandbox, start: Start) -> None:
    """The SDK fetches the key with getsignkey, signs with it and verifies notices with it, without a certificate."""
    vendor, number = start(sandbox=True, mch_cert=None, mch_key=None), new_number()
    with VerifyingReceiver(
        lambda body: vendor.call("parse_payment_result", xml=body.decode()), ACKNOWLEDGEMENTS
    ).listening() as receiver:
        made = vendor.call("order.create", **NATIVE | {"notify_url": receiver.address}, out_trade_no=number)
        confirm(sandbox, "pay", url=made["code_url"])
        receiver.wait_for(1)
        sandbox.wait_for_quiet(receiver.address)
        (result,) = receiver.results
    assert (result["out_trade_no"], result["total_fee"]) == (number, 8800)
    assert vendor.call("order.query", out_trade_no=number)["trade_state"] == "SUCCESS"
    part: dict[str, Any] = {"total_fee": 8800, "refund_fee": 300, "fee_type": "HKD"}
    made = vendor.call("refund.apply", out_trade_no=number, out_refund_no=new_number("R"), **part)
    assert made["refund_fee"] == "300"


def test_without_a_certificate_no_money_is_returned(sdk: Sdk, bare: Sdk, paid: str) -> None:
    part: dict[str, Any] = {
        "total_fee": 8800,
        "refund_fee": 8800,
        "fee_type": "HKD",
        "out_refund_no": new_number("R"),
    }
    with pytest.raises(SdkRefused, match=r"^WeChatPayException: Error code: None"):
        bare.call("refund.apply", out_trade_no=paid, **part)
    with pytest.raises(SdkRefused, match=r"^WeChatPayException: Error code: None"):
        bare.call("order.reverse", out_trade_no=paid)
    assert bare.call("order.query", out_trade_no=paid)["trade_state"] == "SUCCESS"
    assert sdk.call("order.reverse", out_trade_no=paid)["result_code"] == "SUCCESS"


def test_a_wrong_key_is_refused(start: Start) -> None:
    wrong_client = start(api_key="0" * 32)
    with pytest.raises(SdkRefused, match=BAD_SIGNATURE):
        wrong_client.call("order.create", **NATIVE, out_trade_no=new_number())


def test_an_unknown_authority_is_not_trusted(environment: Environment, account: dict[str, Any]) -> None:
    """Shows that the calls above used TLS and verified the server."""
    settings = settings_of(account, appid=account["appid"], mch_id=account["mch_id"])
    with Sdk(environment, settings, {}) as client, pytest.raises(SdkRefused, match=r"^SSLError"):
        client.call("order.query", out_trade_no=new_number())
