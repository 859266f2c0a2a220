"""npm's tenpay against the sandbox. The wallet's host is in its code, so its process is redirected.

It verifies the signature of every response and notice of a payment, over TLS under the wallet's own host name.
"""

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Any

import pytest

from tests.sandbox.conftest import Sandbox
from tests.sandbox.wechat_shop import Shop, code, confirm, new_number, openid, signature
from tests.sdk.environments import Environment, redirected_node_environment
from tests.sdk.sdk import Sdk, SdkRefused, environment_or_skip
from tests.sdk.wechat import (
    BAD_SIGNATURE,
    BOTH_SIGNATURES,
    NATIVE,
    REFUND_S,
    SALE,
    SIGNATURE_LENGTHS,
    bill_date,
    pem_files,
    put_bad_signature,
    result_of_a_notice,
    results_of_a_forged_and_a_genuine_notice,
    sub_merchant,
)


class Payment:
    """The SDK, whose user names the sub-merchant in each call."""

    def __init__(self, sdk: Sdk, merchant: Shop) -> None:
        self._sdk = sdk
        self._sub_merchant = sub_merchant(merchant)

    def call(self, name: str, **fields: Any) -> dict[str, Any]:
        answer: dict[str, Any] = self._sdk.call(name, **self._sub_merchant, **fields)
        return answer

    def state(self, number: str) -> str:
        return str(self.call("orderQuery", out_trade_no=number)["trade_state"])


Start = Callable[..., Payment]


@pytest.fixture(scope="module")
def environment() -> Environment:
    return environment_or_skip(redirected_node_environment, "tenpay")


def settings_of(account: dict[str, Any]) -> dict[str, Any]:
    return {
        "appid": account["appid"],
        "mchid": account["mch_id"],
        "partnerKey": account["key"],
        "pfx": account["cert_p12_base64"],
    }


@pytest.fixture(scope="module")
def start(
    environment: Environment, sandbox: Sandbox, merchant: Shop, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Start]:
    """Starts the SDK as the merchant, with the given changes."""
    files = pem_files(merchant.account, tmp_path_factory.mktemp("tenpay"))
    variables = {"SANDBOX_TLS": sandbox.tls, "NODE_EXTRA_CA_CERTS": files["ca_pem"]}
    settings = settings_of(merchant.account)
    with ExitStack() as running:
        yield lambda **change: Payment(
            running.enter_context(Sdk(environment, settings | change, variables)), merchant
        )


@pytest.fixture(scope="module")
def sdk(start: Start) -> Payment:
    return start()


@pytest.fixture
def paid(sandbox: Sandbox, sdk: Payment) -> str:
    """The number of an order that was paid by barcode."""
    number = new_number()
    sdk.call("micropay", **SALE, auth_code=code(sandbox), out_trade_no=number)
    return number


@BOTH_SIGNATURES
def test_an_order_is_shown_as_a_code_and_paid(sandbox: Sandbox, sdk: Payment, sign_type: str) -> None:
    number = new_number()
    made = sdk.call("unifiedOrder", **NATIVE, out_trade_no=number, sign_type=sign_type)
    assert sdk.state(number) == "NOTPAY"
    confirm(sandbox, "pay", url=made["code_url"], payer="dora")
    result = sdk.call("orderQuery", out_trade_no=number, sign_type=sign_type)
    assert (result["trade_state"], result["total_fee"], result["fee_type"]) == ("SUCCESS", "8800", "HKD")
    assert len(result["sign"]) == SIGNATURE_LENGTHS[sign_type]
    again = sdk.call("orderQuery", transaction_id=result["transaction_id"])
    assert again["out_trade_no"] == number


@BOTH_SIGNATURES
def test_a_page_in_wechat_is_paid(sandbox: Sandbox, sdk: Payment, merchant: Shop, sign_type: str) -> None:
    number = new_number()
    own = merchant.jsapi(openid(sandbox, "chen", merchant.official_appid))
    request = {**NATIVE, **own, "out_trade_no": number, "sign_type": sign_type}
    bridge = sdk.call("getPayParams", **request)
    del bridge["timestamp"]  # another spelling, which is not signed
    proof = bridge.pop("paySign")
    assert proof == signature(bridge, merchant.key, sign_type)
    assert (bridge["appId"], bridge["signType"]) == (merchant.official_appid, sign_type)
    confirm(sandbox, "pay", url=bridge["package"])
    assert sdk.state(number) == "SUCCESS"


@BOTH_SIGNATURES
def test_a_barcode_is_paid_at_once(sandbox: Sandbox, sdk: Payment, sign_type: str) -> None:
    request = {**SALE, "auth_code": code(sandbox), "out_trade_no": new_number(), "sign_type": sign_type}
    result = sdk.call("micropay", **request)
    assert (result["result_code"], result["trade_type"], result["total_fee"]) == (
        "SUCCESS",
        "MICROPAY",
        "8800",
    )
    assert sdk.state(result["out_trade_no"]) == "SUCCESS"


def test_a_barcode_that_waits_for_the_password_is_queried_until_paid(sandbox: Sandbox, sdk: Payment) -> None:
    number = new_number()
    with pytest.raises(SdkRefused, match="USERPAYING"):
        sdk.call("micropay", **SALE, auth_code=code(sandbox, "password"), out_trade_no=number)
    assert sdk.state(number) == "USERPAYING"
    confirm(sandbox, "pay", trade=number)
    assert sdk.state(number) == "SUCCESS"


def test_an_order_is_closed(sdk: Payment) -> None:
    number = new_number()
    sdk.call("unifiedOrder", **NATIVE, out_trade_no=number)
    assert sdk.call("closeOrder", out_trade_no=number)["result_code"] == "SUCCESS"
    assert sdk.state(number) == "CLOSED"


@BOTH_SIGNATURES
def test_a_paid_order_is_reversed(sdk: Payment, paid: str, sign_type: str) -> None:
    result = sdk.call("reverse", out_trade_no=paid, sign_type=sign_type)
    assert (result["result_code"], result["recall"]) == ("SUCCESS", "N")
    assert sdk.state(paid) == "REVOKED"


@BOTH_SIGNATURES
def test_a_refund_is_made_and_queried(sandbox: Sandbox, sdk: Payment, paid: str, sign_type: str) -> None:
    refund = new_number("R")
    part = {"total_fee": "8800", "refund_fee": "3000", "out_refund_no": refund, "sign_type": sign_type}
    made = sdk.call("refund", out_trade_no=paid, **part)
    assert (made["result_code"], made["refund_fee"]) == ("SUCCESS", "3000")
    request = sdk.call("refundQuery", out_refund_no=refund, sign_type=sign_type)
    assert (request["refund_id_0"], request["refund_status_0"]) == (made["refund_id"], "PROCESSING")
    sandbox.advance(REFUND_S)
    assert sdk.call("refundQuery", out_trade_no=paid)["refund_status_0"] == "SUCCESS"


def test_without_a_certificate_no_money_is_returned(start: Start, sdk: Payment, paid: str) -> None:
    bare = start(pfx=None)
    part = {"total_fee": "8800", "refund_fee": "8800", "out_refund_no": new_number("R")}
    with pytest.raises(SdkRefused, match="request fail"):
        bare.call("refund", out_trade_no=paid, **part)
    with pytest.raises(SdkRefused, match="request fail"):
        bare.call("reverse", out_trade_no=paid)
    assert sdk.state(paid) == "SUCCESS"


@pytest.mark.usefixtures("new_day")
def test_a_days_bill_is_read(sandbox: Sandbox, sdk: Payment, paid: str) -> None:
    bill = sdk.call("downloadBill", bill_date=bill_date(sandbox), bill_type="SUCCESS", format=True)
    (row,) = [row for row in bill["list_data"] if paid in row]
    named = dict(zip(bill["list_title"], row, strict=True))
    assert named["Total amount"] == "88.00"
    assert bill["total_data"][0] == str(len(bill["list_data"]))


@BOTH_SIGNATURES
def test_a_response_with_a_wrong_signature_is_rejected(
    sandbox: Sandbox, sdk: Payment, paid: str, sign_type: str
) -> None:
    put_bad_signature(sandbox, "/pay/orderquery")
    with pytest.raises(SdkRefused, match="sign签名错误"):
        sdk.call("orderQuery", out_trade_no=paid, sign_type=sign_type)
    assert sdk.state(paid) == "SUCCESS"


@BOTH_SIGNATURES
def test_a_notice_of_a_payment_is_verified_and_then_acknowledged(
    sandbox: Sandbox, sdk: Payment, sign_type: str
) -> None:
    number = new_number()

    def pay(notify_url: str) -> None:
        request = {**NATIVE, "notify_url": notify_url, "sign_type": sign_type}
        confirm(sandbox, "pay", url=sdk.call("unifiedOrder", **request, out_trade_no=number)["code_url"])

    forged, result = results_of_a_forged_and_a_genuine_notice(
        sandbox, lambda body: sdk.call("middleware/pay", xml=body.decode()), pay
    )
    assert forged is None
    assert (result["out_trade_no"], result["total_fee"]) == (number, "8800")


def test_a_notice_of_a_refund_is_decrypted(sandbox: Sandbox, sdk: Payment, paid: str) -> None:
    part = {"total_fee": "8800", "refund_fee": "300", "out_refund_no": new_number("R")}
    result = result_of_a_notice(
        sandbox,
        lambda body: sdk.call("middleware/refund", xml=body.decode()),
        lambda notify_url: sdk.call("refund", out_trade_no=paid, notify_url=notify_url, **part),
    )
    read = result["req_info"]
    assert (read["out_refund_no"], read["refund_fee"]) == (part["out_refund_no"], "300")
    assert read["refund_status"] == "SUCCESS"


def test_a_wrong_key_is_refused(start: Start) -> None:
    with pytest.raises(SdkRefused, match=BAD_SIGNATURE):
        start(partnerKey="0" * 32).call("unifiedOrder", **NATIVE, out_trade_no=new_number())


def test_an_unknown_authority_is_not_trusted(
    environment: Environment, sandbox: Sandbox, merchant: Shop
) -> None:
    """Shows that the calls above used TLS and verified the server."""
    variables = {"SANDBOX_TLS": sandbox.tls}
    with (
        Sdk(environment, settings_of(merchant.account), variables) as client,
        pytest.raises(SdkRefused, match="self-signed certificate"),
    ):
        client.call("orderQuery", out_trade_no=new_number())
