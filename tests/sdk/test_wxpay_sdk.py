"""Java's wxpay-sdk against the sandbox. The wallet's host is in its code, so its process uses a proxy.

It verifies the signature of every response, over TLS under the wallet's own host name. A refusal is an ordinary
response.
"""

from collections.abc import Iterator
from typing import Any

import pytest

from tests.sandbox.conftest import Sandbox
from tests.sandbox.wechat_shop import Shop, code, confirm, new_number, openid
from tests.sdk.environments import Environment, java_environment
from tests.sdk.proxy import Proxy, proxy
from tests.sdk.sdk import Sdk, SdkRefused, environment_or_skip
from tests.sdk.wechat import (
    BAD_SIGNATURE,
    BOTH_SIGNATURES,
    NATIVE,
    REFUND_S,
    SALE,
    SIGNATURE_LENGTHS,
    bill_date,
    put_bad_signature,
    results_of_a_forged_and_a_genuine_notice,
    sub_merchant,
)


class WxPay:
    """A client, of which the SDK's process has several. Its user names the sub-merchant in each call."""

    def __init__(self, process: Sdk, merchant: Shop, **change: Any) -> None:
        names = ("appid", "mch_id", "key", "cert_p12_base64")
        settings = {name: merchant.account[name] for name in names} | change
        self._process = process
        self._settings = {name: value for name, value in settings.items() if value is not None}
        self._sub_merchant = sub_merchant(merchant)

    def call(self, name: str, **fields: Any) -> dict[str, Any]:
        request = {**self._sub_merchant, **fields, "settings": self._settings}
        answer: dict[str, Any] = self._process.call(name, **request)
        return answer

    def state(self, number: str) -> str:
        return str(self.call("orderQuery", out_trade_no=number)["trade_state"])


@pytest.fixture(scope="module")
def environment() -> Environment:
    return environment_or_skip(java_environment, "wxpay-sdk")


@pytest.fixture(scope="module")
def redirect(sandbox: Sandbox) -> Iterator[Proxy]:
    with proxy(sandbox.tls) as running:
        yield running


@pytest.fixture(scope="module")
def process(environment: Environment, sandbox: Sandbox, redirect: Proxy) -> Iterator[Sdk]:
    network = {"proxy_port": redirect.port, "ca_pem": sandbox.account("wechat")["ca_pem"]}
    with Sdk(environment, network, {}) as running:
        yield running


@pytest.fixture(scope="module")
def sdk(process: Sdk, merchant: Shop) -> WxPay:
    return WxPay(process, merchant)


@pytest.fixture
def paid(sandbox: Sandbox, sdk: WxPay) -> str:
    """The number of an order that was paid by barcode."""
    number = new_number()
    sdk.call("microPay", **SALE, auth_code=code(sandbox), out_trade_no=number)
    return number


@BOTH_SIGNATURES
def test_an_order_is_shown_as_a_code_and_paid(sandbox: Sandbox, sdk: WxPay, sign_type: str) -> None:
    number = new_number()
    made = sdk.call("unifiedOrder", **NATIVE, out_trade_no=number, sign_type=sign_type)
    assert sdk.state(number) == "NOTPAY"
    confirm(sandbox, "pay", url=made["code_url"], payer="dora")
    result = sdk.call("orderQuery", out_trade_no=number, sign_type=sign_type)
    assert (result["trade_state"], result["total_fee"], result["fee_type"]) == ("SUCCESS", "8800", "HKD")
    assert len(result["sign"]) == SIGNATURE_LENGTHS[sign_type]


@BOTH_SIGNATURES
def test_a_barcode_is_paid_at_once(sandbox: Sandbox, sdk: WxPay, sign_type: str) -> None:
    request = {**SALE, "auth_code": code(sandbox), "out_trade_no": new_number(), "sign_type": sign_type}
    result = sdk.call("microPay", **request)
    assert (result["trade_type"], result["total_fee"]) == ("MICROPAY", "8800")
    assert sdk.state(result["out_trade_no"]) == "SUCCESS"


def test_an_order_is_closed(sdk: WxPay) -> None:
    number = new_number()
    sdk.call("unifiedOrder", **NATIVE, out_trade_no=number)
    assert sdk.call("closeOrder", out_trade_no=number)["result_code"] == "SUCCESS"
    assert sdk.state(number) == "CLOSED"


@BOTH_SIGNATURES
def test_a_paid_order_is_reversed(sdk: WxPay, paid: str, sign_type: str) -> None:
    result = sdk.call("reverse", out_trade_no=paid, sign_type=sign_type)
    assert (result["result_code"], result["recall"]) == ("SUCCESS", "N")
    assert sdk.state(paid) == "REVOKED"


@BOTH_SIGNATURES
def test_a_refund_is_made_and_queried(sandbox: Sandbox, sdk: WxPay, paid: str, sign_type: str) -> None:
    refund = new_number("R")
    part = {"total_fee": "8800", "refund_fee": "3000", "out_refund_no": refund, "sign_type": sign_type}
    made = sdk.call("refund", out_trade_no=paid, **part)
    assert (made["result_code"], made["refund_fee"]) == ("SUCCESS", "3000")
    request = sdk.call("refundQuery", out_refund_no=refund, sign_type=sign_type)
    assert (request["refund_id_0"], request["refund_status_0"]) == (made["refund_id"], "PROCESSING")
    sandbox.advance(REFUND_S)
    assert sdk.call("refundQuery", out_trade_no=paid)["refund_status_0"] == "SUCCESS"


def test_without_a_certificate_no_money_is_returned(
    process: Sdk, merchant: Shop, sdk: WxPay, paid: str
) -> None:
    bare = WxPay(process, merchant, cert_p12_base64=None)
    with pytest.raises(SdkRefused, match="HTTP response code: 400"):
        bare.call("reverse", out_trade_no=paid)
    assert sdk.state(paid) == "SUCCESS"


@pytest.mark.usefixtures("new_day")
def test_a_days_bill_is_read(sandbox: Sandbox, sdk: WxPay, paid: str) -> None:
    """The SDK joins the bill's lines."""
    bill = sdk.call("downloadBill", bill_date=bill_date(sandbox), bill_type="ALL")
    assert bill["data"].count(f",`{paid},") == 1


def test_the_owner_of_a_barcode_is_queried(sandbox: Sandbox, sdk: WxPay, merchant: Shop) -> None:
    result = sdk.call("authCodeToOpenid", auth_code=code(sandbox, payer="dora"))
    assert result["openid"] == openid(sandbox, "dora", merchant.account["appid"])


def test_a_response_with_a_wrong_signature_is_rejected(sandbox: Sandbox, sdk: WxPay, paid: str) -> None:
    put_bad_signature(sandbox, "/pay/orderquery")
    with pytest.raises(SdkRefused, match="Invalid sign value in XML"):
        sdk.state(paid)
    assert sdk.state(paid) == "SUCCESS"


@BOTH_SIGNATURES
def test_a_notice_of_a_payment_is_verified_and_then_acknowledged(
    sandbox: Sandbox, sdk: WxPay, sign_type: str
) -> None:
    number = new_number()

    def pay(notify_url: str) -> None:
        request = {**NATIVE, "notify_url": notify_url, "sign_type": sign_type}
        confirm(sandbox, "pay", url=sdk.call("unifiedOrder", **request, out_trade_no=number)["code_url"])

    forged, result = results_of_a_forged_and_a_genuine_notice(
        sandbox, lambda body: sdk.call("isPayResultNotifySignatureValid", xml=body.decode()), pay
    )
    assert forged is None
    assert (result["out_trade_no"], result["total_fee"]) == (number, "8800")


def test_a_wrong_key_is_refused(process: Sdk, merchant: Shop) -> None:
    answer = WxPay(process, merchant, key="0" * 32).call("unifiedOrder", **NATIVE, out_trade_no=new_number())
    assert (answer["return_code"], answer["return_msg"]) == ("FAIL", BAD_SIGNATURE)


def test_an_unknown_authority_is_not_trusted(
    environment: Environment, redirect: Proxy, merchant: Shop
) -> None:
    """Shows that the calls above used TLS and verified the server."""
    with (
        Sdk(environment, {"proxy_port": redirect.port}, {}) as process,
        pytest.raises(SdkRefused, match="PKIX path building failed"),
    ):
        WxPay(process, merchant).call("orderQuery", out_trade_no=new_number())
