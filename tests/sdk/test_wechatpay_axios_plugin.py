"""npm's wechatpay-axios-plugin against the sandbox: it checks the signature of every response that has one.

It can call any path, so all of WeChat Pay's calls are made through it, over TLS, with the client certificate where it
is required.
"""

from collections.abc import Iterator
from contextlib import ExitStack
from typing import Any

import pytest

from tests.sandbox.conftest import Sandbox
from tests.sandbox.days import beijing_now, compact
from tests.sandbox.wechat_shop import Shop, code, confirm, new_number, openid
from tests.sdk.environments import Environment, node_environment
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
    results_of_a_forged_and_a_genuine_notice,
)


class Plugin:
    """The SDK, whose user has to name the merchant in each call."""

    def __init__(self, sdk: Sdk, merchant: Shop) -> None:
        self._sdk = sdk
        self._identity = merchant.identity()

    def call(self, path: str, *, secured: bool = False, **fields: Any) -> dict[str, Any]:
        answer: dict[str, Any] = self._sdk.call(path, secured=secured, **{**self._identity, **fields})
        return answer

    def state(self, number: str) -> str:
        return str(self.call("pay/orderquery", out_trade_no=number)["trade_state"])


@pytest.fixture(scope="module")
def environment() -> Environment:
    return environment_or_skip(node_environment, "wechatpay-axios-plugin")


@pytest.fixture(scope="module")
def running(
    environment: Environment, merchant: Shop, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Any]:
    """Starts the SDK as the merchant, with this key. V3's settings are required, but V3 is not called."""
    account = merchant.account
    trust = {"NODE_EXTRA_CA_CERTS": pem_files(account, tmp_path_factory.mktemp("axios"))["ca_pem"]}
    settings = {
        "baseURL": account["base_url"],
        "timeout": 20_000,
        "mchid": account["mch_id"],
        "merchant": {"cert": account["cert_pem"], "key": account["key_pem"]},
        "serial": "0",
        "privateKey": account["key_pem"],
        "certs": {"platform": account["cert_pem"]},
    }
    with ExitStack() as started:
        yield lambda key: Plugin(
            started.enter_context(Sdk(environment, {**settings, "secret": key}, trust)), merchant
        )


@pytest.fixture(scope="module")
def sdk(running: Any, merchant: Shop) -> Plugin:
    plugin: Plugin = running(merchant.key)
    return plugin


@pytest.fixture
def paid(sandbox: Sandbox, sdk: Plugin) -> str:
    """The number of an order that was paid by barcode."""
    number = new_number()
    sdk.call("pay/micropay", **SALE, auth_code=code(sandbox), out_trade_no=number)
    return number


@BOTH_SIGNATURES
def test_an_order_is_shown_as_a_code_and_paid(sandbox: Sandbox, sdk: Plugin, sign_type: str) -> None:
    number = new_number()
    made = sdk.call("pay/unifiedorder", **NATIVE, out_trade_no=number, sign_type=sign_type)
    assert sdk.state(number) == "NOTPAY"
    confirm(sandbox, "pay", url=made["code_url"], payer="dora")
    result = sdk.call("pay/orderquery", out_trade_no=number, sign_type=sign_type)
    assert (result["trade_state"], result["total_fee"], result["fee_type"]) == ("SUCCESS", "8800", "HKD")
    assert len(result["sign"]) == SIGNATURE_LENGTHS[sign_type]


def test_a_page_in_wechat_is_ordered_and_paid(sandbox: Sandbox, sdk: Plugin, merchant: Shop) -> None:
    number = new_number()
    request = {**NATIVE, **merchant.jsapi(openid(sandbox, "chen", merchant.official_appid))}
    made = sdk.call("pay/unifiedorder", **request, out_trade_no=number)
    confirm(sandbox, "pay", url=f"prepay_id={made['prepay_id']}")
    assert sdk.state(number) == "SUCCESS"


@BOTH_SIGNATURES
def test_a_barcode_is_paid_at_once(sandbox: Sandbox, sdk: Plugin, sign_type: str) -> None:
    request = {**SALE, "auth_code": code(sandbox), "out_trade_no": new_number(), "sign_type": sign_type}
    result = sdk.call("pay/micropay", **request)
    assert (result["result_code"], result["trade_type"], result["total_fee"]) == (
        "SUCCESS",
        "MICROPAY",
        "8800",
    )
    assert sdk.state(result["out_trade_no"]) == "SUCCESS"


def test_a_barcode_that_waits_for_the_password_is_queried_until_paid(sandbox: Sandbox, sdk: Plugin) -> None:
    number = new_number()
    with pytest.raises(SdkRefused) as refused:
        sdk.call("pay/micropay", **SALE, auth_code=code(sandbox, "password"), out_trade_no=number)
    assert refused.value.answer["err_code"] == "USERPAYING"
    confirm(sandbox, "pay", trade=number)
    assert sdk.state(number) == "SUCCESS"


def test_an_order_is_closed(sdk: Plugin) -> None:
    number = new_number()
    sdk.call("pay/unifiedorder", **NATIVE, out_trade_no=number)
    assert sdk.call("pay/closeorder", out_trade_no=number)["result_code"] == "SUCCESS"
    assert sdk.state(number) == "CLOSED"


@BOTH_SIGNATURES
def test_a_paid_order_is_reversed(sdk: Plugin, paid: str, sign_type: str) -> None:
    result = sdk.call("secapi/pay/reverse", secured=True, out_trade_no=paid, sign_type=sign_type)
    assert (result["result_code"], result["recall"]) == ("SUCCESS", "N")
    assert sdk.state(paid) == "REVOKED"


@BOTH_SIGNATURES
def test_a_refund_is_made_and_queried(sandbox: Sandbox, sdk: Plugin, paid: str, sign_type: str) -> None:
    refund = new_number("R")
    part: dict[str, Any] = {
        "total_fee": "8800",
        "refund_fee": "3000",
        "out_refund_no": refund,
        "sign_type": sign_type,
    }
    made = sdk.call("secapi/pay/refund", secured=True, out_trade_no=paid, **part)
    assert (made["refund_fee"], made["refund_fee_type"]) == ("3000", "HKD")
    request = sdk.call("pay/refundquery", out_refund_no=refund, sign_type=sign_type)
    assert (request["refund_id_0"], request["refund_status_0"]) == (made["refund_id"], "PROCESSING")
    sandbox.advance(REFUND_S)
    assert sdk.call("pay/refundquery", out_trade_no=paid)["refund_status_0"] == "SUCCESS"


@pytest.mark.usefixtures("new_day")
def test_a_days_bill_is_read(sandbox: Sandbox, sdk: Plugin, paid: str) -> None:
    bill = sdk.call("pay/downloadbill", bill_date=bill_date(sandbox), bill_type="SUCCESS")
    (row,) = [row for row in bill["rows"] if row["Vendor order number"] == paid]
    assert (row["Total amount"], row["Product name"]) == ("88.00", SALE["body"])
    assert bill["summary"]["Total transaction count"] == str(len(bill["rows"]))


def test_outstanding_remittances_are_queried(sdk: Plugin, paid: str) -> None:
    days: dict[str, Any] = {"date_start": "20260101", "date_end": "20991231", "offset": "0", "limit": "1"}
    result = sdk.call("pay/settlementquery", usetag="2", **days)
    assert result["settlementfee_type"] == "HKD"


def test_an_exchange_rate_is_queried(sandbox: Sandbox, sdk: Plugin) -> None:
    yesterday = compact(beijing_now(sandbox), -1)
    result = sdk.call("pay/queryexchagerate", fee_type="HKD", date=yesterday)
    assert result["rate"] == "91230000"


def test_the_owner_of_a_barcode_is_queried(sandbox: Sandbox, sdk: Plugin, account: dict[str, Any]) -> None:
    result = sdk.call("tools/authcodetoopenid", auth_code=code(sandbox, payer="dora"))
    assert result["openid"] == openid(sandbox, "dora", account["appid"])


def test_a_link_is_shortened(sdk: Plugin) -> None:
    made = sdk.call("pay/unifiedorder", **NATIVE, out_trade_no=new_number())
    short = sdk.call("tools/shorturl", long_url=made["code_url"])["short_url"]
    assert short.startswith("weixin://wxpay/")


def test_the_duration_of_a_call_is_reported(sdk: Plugin) -> None:
    result = sdk.call(
        "payitil/report",
        interface_url="https://api.mch.weixin.qq.com/pay/micropay/total",
        execute_time_="1500",
        return_code="SUCCESS",
        result_code="SUCCESS",
        user_ip="127.0.0.1",
    )
    assert result["return_code"] == "SUCCESS"


@BOTH_SIGNATURES
def test_a_notice_of_a_payment_is_verified_and_then_acknowledged(
    sandbox: Sandbox, sdk: Plugin, sign_type: str
) -> None:
    number = new_number()

    def pay(notify_url: str) -> None:
        request = {**NATIVE, "notify_url": notify_url, "sign_type": sign_type}
        made = sdk.call("pay/unifiedorder", **request, out_trade_no=number)
        confirm(sandbox, "pay", url=made["code_url"])

    forged, result = results_of_a_forged_and_a_genuine_notice(
        sandbox, lambda body: sdk.call("notice", xml=body.decode()), pay
    )
    assert forged is None
    assert (result["out_trade_no"], result["total_fee"]) == (number, "8800")


def test_without_a_certificate_no_money_is_returned(sdk: Plugin, paid: str) -> None:
    part: dict[str, Any] = {"total_fee": "8800", "refund_fee": "8800", "out_refund_no": new_number("R")}
    with pytest.raises(SdkRefused) as refused:
        sdk.call("secapi/pay/refund", out_trade_no=paid, **part)
    assert refused.value.status == 400
    with pytest.raises(SdkRefused) as refused:
        sdk.call("secapi/pay/reverse", out_trade_no=paid)
    assert refused.value.status == 400
    assert sdk.state(paid) == "SUCCESS"
    assert sdk.call("secapi/pay/reverse", secured=True, out_trade_no=paid)["result_code"] == "SUCCESS"


def test_a_call_that_is_not_simulated_is_named(sdk: Plugin) -> None:
    with pytest.raises(SdkRefused) as refused:
        sdk.call("pay/facepay", **SALE, out_trade_no=new_number(), face_code="1")
    assert "POST /pay/facepay is not served" in refused.value.answer["return_msg"]


def test_a_wrong_key_is_refused(running: Any) -> None:
    with pytest.raises(SdkRefused) as refused:
        running("0" * 32).call("pay/unifiedorder", **NATIVE, out_trade_no=new_number())
    assert refused.value.answer["return_msg"] == BAD_SIGNATURE


def test_a_response_with_a_wrong_signature_is_rejected(sandbox: Sandbox, sdk: Plugin, paid: str) -> None:
    put_bad_signature(sandbox, "/pay/orderquery")
    with pytest.raises(SdkRefused, match="EV2_RES_SIGNATURE_NOT_EQUAL"):
        sdk.state(paid)
    assert sdk.state(paid) == "SUCCESS"
