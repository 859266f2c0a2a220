"""Java's weixin-java-pay against the sandbox: its service for V2, over TLS with the merchant's PKCS#12 file.

It verifies the signature of every response and notice of a payment that has one. A refusal is an exception.
"""

from collections.abc import Iterator
from typing import Any

import pytest

from tests.sandbox.conftest import Sandbox
from tests.sandbox.wechat_shop import Shop, code, confirm, new_number, openid, signature
from tests.sdk.environments import Environment, java_environment
from tests.sdk.sdk import Sdk, SdkRefused, environment_or_skip
from tests.sdk.wechat import (
    BAD_SIGNATURE,
    BOTH_SIGNATURES,
    NATIVE,
    REFUND_S,
    SALE,
    SIGNATURE_LENGTHS,
    bill_date,
    p12_file,
    put_bad_signature,
    result_of_a_notice,
    results_of_a_forged_and_a_genuine_notice,
)


class Service:
    """A client, of which the SDK's process has several."""

    def __init__(self, process: Sdk, settings: dict[str, Any]) -> None:
        self._process = process
        self._settings = settings

    def call(self, name: str, **fields: Any) -> Any:
        return self._process.call(name, settings=self._settings, **fields)

    def state(self, number: str) -> str:
        return str(self.call("queryOrder", out_trade_no=number)["trade_state"])


@pytest.fixture(scope="module")
def environment() -> Environment:
    return environment_or_skip(java_environment, "weixin-java-pay")


@pytest.fixture(scope="module")
def process(environment: Environment, sandbox: Sandbox) -> Iterator[Sdk]:
    with Sdk(environment, {"ca_pem": sandbox.account("wechat")["ca_pem"]}, {}) as running:
        yield running


@pytest.fixture(scope="module")
def settings(merchant: Shop, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    names = ("base_url", "appid", "mch_id", "sub_appid", "sub_mch_id", "key")
    certificate = {"p12": p12_file(merchant.account, tmp_path_factory.mktemp("java"))}
    return {name: merchant.account[name] for name in names} | certificate


@pytest.fixture(scope="module")
def sdk(process: Sdk, settings: dict[str, Any]) -> Service:
    return Service(process, settings)


@pytest.fixture
def paid(sandbox: Sandbox, sdk: Service) -> str:
    """The number of an order that was paid by barcode."""
    number = new_number()
    sdk.call("micropay", **SALE, auth_code=code(sandbox), out_trade_no=number)
    return number


@BOTH_SIGNATURES
def test_an_order_is_shown_as_a_code_and_paid(sandbox: Sandbox, sdk: Service, sign_type: str) -> None:
    number = new_number()
    made = sdk.call("unifiedOrder", **NATIVE, out_trade_no=number, sign_type=sign_type)
    assert sdk.state(number) == "NOTPAY"
    confirm(sandbox, "pay", url=made["code_url"], payer="dora")
    result = sdk.call("queryOrder", out_trade_no=number, sign_type=sign_type)
    assert (result["trade_state"], result["total_fee"], result["fee_type"]) == ("SUCCESS", "8800", "HKD")
    assert len(result["sign"]) == SIGNATURE_LENGTHS[sign_type]
    again = sdk.call("queryOrder", transaction_id=result["transaction_id"])
    assert again["out_trade_no"] == number


@BOTH_SIGNATURES
def test_a_page_in_wechat_is_paid(sandbox: Sandbox, sdk: Service, merchant: Shop, sign_type: str) -> None:
    number, payer = new_number(), openid(sandbox, "chen", merchant.official_appid)
    element = "openid" if merchant.is_direct else "sub_openid"
    page: dict[str, Any] = {**NATIVE, "trade_type": "JSAPI", element: payer, "out_trade_no": number}
    made = sdk.call("createOrder", **page, sign_type=sign_type)
    bridge = {
        "appId": merchant.official_appid,
        "timeStamp": made["time_stamp"],
        "nonceStr": made["nonce_str"],
        "package": made["package_value"],
        "signType": sign_type,
    }
    assert (made["app_id"], made["pay_sign"]) == (
        merchant.official_appid,
        signature(bridge, merchant.key, sign_type),
    )
    confirm(sandbox, "pay", url=bridge["package"])
    assert sdk.state(number) == "SUCCESS"


@BOTH_SIGNATURES
def test_a_barcode_is_paid_at_once(sandbox: Sandbox, sdk: Service, sign_type: str) -> None:
    request = {**SALE, "auth_code": code(sandbox), "out_trade_no": new_number(), "sign_type": sign_type}
    result = sdk.call("micropay", **request)
    assert (result["result_code"], result["trade_type"], result["total_fee"]) == (
        "SUCCESS",
        "MICROPAY",
        "8800",
    )
    assert sdk.state(result["out_trade_no"]) == "SUCCESS"


def test_a_barcode_that_waits_for_the_password_is_queried_until_paid(sandbox: Sandbox, sdk: Service) -> None:
    number = new_number()
    with pytest.raises(SdkRefused, match="USERPAYING"):
        sdk.call("micropay", **SALE, auth_code=code(sandbox, "password"), out_trade_no=number)
    assert sdk.state(number) == "USERPAYING"
    confirm(sandbox, "pay", trade=number)
    assert sdk.state(number) == "SUCCESS"


def test_an_order_is_closed(sdk: Service) -> None:
    number = new_number()
    sdk.call("unifiedOrder", **NATIVE, out_trade_no=number)
    assert sdk.call("closeOrder", out_trade_no=number)["result_code"] == "SUCCESS"
    assert sdk.state(number) == "CLOSED"


@BOTH_SIGNATURES
def test_a_paid_order_is_reversed(sdk: Service, paid: str, sign_type: str) -> None:
    result = sdk.call("reverseOrder", out_trade_no=paid, sign_type=sign_type)
    assert (result["result_code"], result["recall"]) == ("SUCCESS", "N")
    assert sdk.state(paid) == "REVOKED"


@BOTH_SIGNATURES
def test_a_refund_is_made_and_queried(sandbox: Sandbox, sdk: Service, paid: str, sign_type: str) -> None:
    refund = new_number("R")
    part: dict[str, Any] = {"total_fee": 8800, "refund_fee": 3000, "refund_fee_type": "HKD"}
    made = sdk.call("refund", out_trade_no=paid, out_refund_no=refund, sign_type=sign_type, **part)
    assert (made["result_code"], made["refund_fee"]) == ("SUCCESS", "3000")
    request = sdk.call("refundQuery", out_refund_no=refund, sign_type=sign_type)
    assert (request["refund_id_0"], request["refund_status_0"]) == (made["refund_id"], "PROCESSING")
    sandbox.advance(REFUND_S)
    assert sdk.call("refundQuery", out_trade_no=paid)["refund_status_0"] == "SUCCESS"


def test_without_a_certificate_no_money_is_returned(
    process: Sdk, settings: dict[str, Any], sdk: Service, paid: str
) -> None:
    """The SDK refuses such a call itself."""
    bare = Service(process, {name: value for name, value in settings.items() if name != "p12"})
    part: dict[str, Any] = {"total_fee": 8800, "refund_fee": 8800, "out_refund_no": new_number("R")}
    with pytest.raises(SdkRefused, match="证书文件有问题"):
        bare.call("refund", out_trade_no=paid, **part)
    with pytest.raises(SdkRefused, match="证书文件有问题"):
        bare.call("reverseOrder", out_trade_no=paid)
    assert sdk.state(paid) == "SUCCESS"


@pytest.mark.usefixtures("new_day")
def test_a_days_bill_is_read(sandbox: Sandbox, sdk: Service, merchant: Shop, paid: str) -> None:
    """The SDK's reader knows the Chinese headings only."""
    account = {"wallet": "wechat", "shop": merchant.account["shop"]}
    sandbox.control("PUT", "accounts", account | {"bill_headers": "zh"})
    bill = sdk.call("downloadBill", bill_date=bill_date(sandbox), bill_type="SUCCESS")
    (row,) = [row for row in bill["bill_info_list"] if row["out_trade_no"] == paid]
    assert (row["total_fee"], row["body"]) == ("88.00", SALE["body"])
    assert bill["total_record"] == str(len(bill["bill_info_list"]))


def test_the_owner_of_a_barcode_is_queried(sandbox: Sandbox, sdk: Service, merchant: Shop) -> None:
    own_code = code(sandbox, payer="dora")
    assert sdk.call("authcode2Openid", auth_code=own_code) == openid(
        sandbox, "dora", merchant.account["appid"]
    )


def test_a_link_is_shortened(sdk: Service) -> None:
    made = sdk.call("unifiedOrder", **NATIVE, out_trade_no=new_number())
    assert sdk.call("shorturl", long_url=made["code_url"]).startswith("weixin://wxpay/")


@BOTH_SIGNATURES
def test_a_response_with_a_wrong_signature_is_rejected(
    sandbox: Sandbox, sdk: Service, paid: str, sign_type: str
) -> None:
    put_bad_signature(sandbox, "/pay/orderquery")
    with pytest.raises(SdkRefused, match="参数格式校验错误"):
        sdk.call("queryOrder", out_trade_no=paid, sign_type=sign_type)
    assert sdk.state(paid) == "SUCCESS"


@BOTH_SIGNATURES
def test_a_notice_of_a_payment_is_verified_and_then_acknowledged(
    sandbox: Sandbox, sdk: Service, sign_type: str
) -> None:
    number = new_number()

    def pay(notify_url: str) -> None:
        request = {**NATIVE, "notify_url": notify_url, "sign_type": sign_type}
        confirm(sandbox, "pay", url=sdk.call("unifiedOrder", **request, out_trade_no=number)["code_url"])

    def read(body: bytes) -> Any:
        return sdk.call("parseOrderNotifyResult", xml=body.decode(), sign_type=sign_type)

    forged, result = results_of_a_forged_and_a_genuine_notice(sandbox, read, pay)
    assert forged is None
    assert (result["out_trade_no"], result["total_fee"]) == (number, "8800")


def test_a_notice_of_a_refund_is_decrypted(sandbox: Sandbox, sdk: Service, paid: str) -> None:
    part: dict[str, Any] = {"total_fee": 8800, "refund_fee": 300, "out_refund_no": new_number("R")}
    result = result_of_a_notice(
        sandbox,
        lambda body: sdk.call("parseRefundNotifyResult", xml=body.decode()),
        lambda notify_url: sdk.call("refund", out_trade_no=paid, notify_url=notify_url, **part),
    )
    assert (result["out_refund_no"], result["refund_fee"]) == (part["out_refund_no"], 300)
    assert result["refund_status"] == "SUCCESS"


def test_a_wrong_key_is_refused(process: Sdk, settings: dict[str, Any]) -> None:
    with pytest.raises(SdkRefused, match=BAD_SIGNATURE):
        Service(process, settings | {"key": "0" * 32}).call(
            "unifiedOrder", **NATIVE, out_trade_no=new_number()
        )


def test_an_unknown_authority_is_not_trusted(environment: Environment, settings: dict[str, Any]) -> None:
    """Shows that the calls above used TLS and verified the server."""
    with Sdk(environment, {}, {}) as process, pytest.raises(SdkRefused, match="PKIX path building failed"):
        Service(process, settings).call("queryOrder", out_trade_no=new_number())
