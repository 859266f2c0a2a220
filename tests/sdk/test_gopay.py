"""Go's gopay against the sandbox: its client for WeChat Pay V2, over TLS with the merchant's PKCS#12 file.

It returns a refusal as an ordinary response, and its user verifies signatures with a call of their own.
"""

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Any

import pytest

from tests.sandbox.conftest import Sandbox
from tests.sandbox.wechat_shop import Shop, code, confirm, new_number, openid, signature
from tests.sdk.environments import Environment, go_environment
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
    rows_of,
    sub_merchant,
)


class Client:
    """The SDK, whose user names the sub-merchant in each call."""

    def __init__(self, sdk: Sdk, merchant: Shop) -> None:
        self._sdk = sdk
        self._sub_merchant = sub_merchant(merchant)

    def call(self, name: str, **fields: Any) -> dict[str, Any]:
        answer: dict[str, Any] = self._sdk.call(name, **self._sub_merchant, **fields)
        return answer

    def read(self, name: str, **fields: Any) -> Any:
        """Calls a function that makes no request."""
        return self._sdk.call(name, **fields)

    def state(self, number: str) -> str:
        return str(self.call("QueryOrder", out_trade_no=number)["trade_state"])


Start = Callable[..., Client]


@pytest.fixture(scope="module")
def environment() -> Environment:
    return environment_or_skip(go_environment, "gopay")


@pytest.fixture(scope="module")
def start(
    environment: Environment, merchant: Shop, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Start]:
    """Starts the SDK as the merchant, with the given changes."""
    account = merchant.account
    settings = {name: account[name] for name in ("base_url", "appid", "mch_id", "key")}
    settings["p12"] = p12_file(account, tmp_path_factory.mktemp("gopay"))
    with ExitStack() as running:
        yield lambda **change: Client(
            running.enter_context(Sdk(environment, settings | change, {})), merchant
        )


@pytest.fixture(scope="module")
def sdk(start: Start) -> Client:
    return start()


@pytest.fixture
def paid(sandbox: Sandbox, sdk: Client) -> str:
    """The number of an order that was paid by barcode."""
    number = new_number()
    sdk.call("Micropay", **SALE, auth_code=code(sandbox), out_trade_no=number)
    return number


@BOTH_SIGNATURES
def test_an_order_is_shown_as_a_code_and_paid(sandbox: Sandbox, sdk: Client, sign_type: str) -> None:
    number = new_number()
    made = sdk.call("UnifiedOrder", **NATIVE, out_trade_no=number, sign_type=sign_type)
    assert sdk.state(number) == "NOTPAY"
    confirm(sandbox, "pay", url=made["code_url"], payer="dora")
    result = sdk.call("QueryOrder", out_trade_no=number, sign_type=sign_type)
    assert (result["trade_state"], result["total_fee"], result["fee_type"]) == ("SUCCESS", "8800", "HKD")
    assert len(result["sign"]) == SIGNATURE_LENGTHS[sign_type]
    again = sdk.call("QueryOrder", transaction_id=result["transaction_id"])
    assert again["out_trade_no"] == number


@BOTH_SIGNATURES
def test_a_page_in_wechat_is_paid(sandbox: Sandbox, sdk: Client, merchant: Shop, sign_type: str) -> None:
    number = new_number()
    own = merchant.jsapi(openid(sandbox, "chen", merchant.official_appid))
    made = sdk.call("UnifiedOrder", **{**NATIVE, **own}, out_trade_no=number, sign_type=sign_type)
    bridge = {
        "appId": merchant.official_appid,
        "timeStamp": "1767225600",
        "nonceStr": "n0nce",
        "package": f"prepay_id={made['prepay_id']}",
        "signType": sign_type,
    }
    assert sdk.read("GetJsapiPaySign", **bridge) == signature(bridge, merchant.key, sign_type)
    confirm(sandbox, "pay", url=bridge["package"])
    assert sdk.state(number) == "SUCCESS"


@BOTH_SIGNATURES
def test_a_barcode_is_paid_at_once(sandbox: Sandbox, sdk: Client, sign_type: str) -> None:
    request = {**SALE, "auth_code": code(sandbox), "out_trade_no": new_number(), "sign_type": sign_type}
    result = sdk.call("Micropay", **request)
    assert (result["result_code"], result["trade_type"], result["total_fee"]) == (
        "SUCCESS",
        "MICROPAY",
        "8800",
    )
    assert sdk.state(result["out_trade_no"]) == "SUCCESS"


def test_a_barcode_that_waits_for_the_password_is_queried_until_paid(sandbox: Sandbox, sdk: Client) -> None:
    number = new_number()
    asked = sdk.call("Micropay", **SALE, auth_code=code(sandbox, "password"), out_trade_no=number)
    assert (asked["result_code"], asked["err_code"]) == ("FAIL", "USERPAYING")
    assert sdk.state(number) == "USERPAYING"
    confirm(sandbox, "pay", trade=number)
    assert sdk.state(number) == "SUCCESS"


def test_an_order_is_closed(sdk: Client) -> None:
    number = new_number()
    sdk.call("UnifiedOrder", **NATIVE, out_trade_no=number)
    assert sdk.call("CloseOrder", out_trade_no=number)["result_code"] == "SUCCESS"
    assert sdk.state(number) == "CLOSED"


@BOTH_SIGNATURES
def test_a_paid_order_is_reversed(sdk: Client, paid: str, sign_type: str) -> None:
    result = sdk.call("Reverse", out_trade_no=paid, sign_type=sign_type)
    assert (result["result_code"], result["recall"]) == ("SUCCESS", "N")
    assert sdk.state(paid) == "REVOKED"


@BOTH_SIGNATURES
def test_a_refund_is_made_and_queried(sandbox: Sandbox, sdk: Client, paid: str, sign_type: str) -> None:
    refund = new_number("R")
    part = {"total_fee": "8800", "refund_fee": "3000", "out_refund_no": refund, "sign_type": sign_type}
    made = sdk.call("Refund", out_trade_no=paid, **part)
    assert (made["result_code"], made["refund_fee"]) == ("SUCCESS", "3000")
    request = sdk.call("QueryRefund", out_refund_no=refund, sign_type=sign_type)
    assert (request["refund_id_0"], request["refund_status_0"]) == (made["refund_id"], "PROCESSING")
    sandbox.advance(REFUND_S)
    assert sdk.call("QueryRefund", out_trade_no=paid)["refund_status_0"] == "SUCCESS"


def test_without_a_certificate_no_money_is_returned(start: Start, sdk: Client, paid: str) -> None:
    bare = start(p12="")
    part = {"total_fee": "8800", "refund_fee": "8800", "out_refund_no": new_number("R")}
    with pytest.raises(SdkRefused, match="StatusCode = 400"):
        bare.call("Refund", out_trade_no=paid, **part)
    with pytest.raises(SdkRefused, match="StatusCode = 400"):
        bare.call("Reverse", out_trade_no=paid)
    assert sdk.state(paid) == "SUCCESS"


@pytest.mark.usefixtures("new_day")
def test_a_days_bill_is_read(sandbox: Sandbox, sdk: Client, paid: str) -> None:
    bill = sdk.call("DownloadBill", bill_date=bill_date(sandbox), bill_type="ALL")
    assert len(rows_of(str(bill), paid, "88.00")) == 1


def test_the_owner_of_a_barcode_is_queried(sandbox: Sandbox, sdk: Client, merchant: Shop) -> None:
    result = sdk.call("AuthCodeToOpenId", auth_code=code(sandbox, payer="dora"))
    assert result["openid"] == openid(sandbox, "dora", merchant.account["appid"])


@BOTH_SIGNATURES
def test_a_response_is_verified(sandbox: Sandbox, sdk: Client, paid: str, sign_type: str) -> None:
    genuine = sdk.call("QueryOrder", out_trade_no=paid, sign_type=sign_type)
    assert sdk.read("VerifySign", response=genuine, sign_type=sign_type)
    put_bad_signature(sandbox, "/pay/orderquery")
    forged = sdk.call("QueryOrder", out_trade_no=paid, sign_type=sign_type)
    with pytest.raises(SdkRefused, match="the signature is wrong"):
        sdk.read("VerifySign", response=forged, sign_type=sign_type)


@BOTH_SIGNATURES
def test_a_notice_of_a_payment_is_verified_and_then_acknowledged(
    sandbox: Sandbox, sdk: Client, sign_type: str
) -> None:
    number = new_number()

    def pay(notify_url: str) -> None:
        request = {**NATIVE, "notify_url": notify_url, "sign_type": sign_type}
        confirm(sandbox, "pay", url=sdk.call("UnifiedOrder", **request, out_trade_no=number)["code_url"])

    def read(body: bytes) -> Any:
        return sdk.read("ParseNotifyToBodyMap", xml=body.decode(), sign_type=sign_type)

    forged, result = results_of_a_forged_and_a_genuine_notice(sandbox, read, pay)
    assert forged is None
    assert (result["out_trade_no"], result["total_fee"]) == (number, "8800")


def test_a_notice_of_a_refund_is_decrypted(sandbox: Sandbox, sdk: Client, paid: str) -> None:
    part = {"total_fee": "8800", "refund_fee": "300", "out_refund_no": new_number("R")}
    result = result_of_a_notice(
        sandbox,
        lambda body: sdk.read("DecryptRefundNotifyReqInfo", xml=body.decode()),
        lambda notify_url: sdk.call("Refund", out_trade_no=paid, notify_url=notify_url, **part),
    )
    assert (result["out_refund_no"], result["refund_fee"]) == (part["out_refund_no"], "300")
    assert result["refund_status"] == "SUCCESS"


def test_a_wrong_key_is_refused(start: Start) -> None:
    answer = start(key="0" * 32).call("UnifiedOrder", **NATIVE, out_trade_no=new_number())
    assert (answer["return_code"], answer["return_msg"]) == ("FAIL", BAD_SIGNATURE)
