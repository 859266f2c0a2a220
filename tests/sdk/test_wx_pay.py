"""Ruby's gem wx_pay against the sandbox: its service for WeChat Pay V2, over TLS with the merchant's PKCS#12 file.

Runs where TAEL_SDK_RUBY names a folder of gems. It signs with MD5, escapes nothing in its XML, does not verify
responses, and verifies the server's certificate only on calls without the client certificate.
"""

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Any, Final

import pytest

from tests.sandbox.conftest import Sandbox
from tests.sandbox.wechat_shop import Shop, code, confirm, new_number, openid, signature
from tests.sdk import wechat
from tests.sdk.environments import ruby_environment
from tests.sdk.sdk import Sdk, SdkRefused, environment_or_skip
from tests.sdk.wechat import (
    BAD_SIGNATURE,
    REFUND_S,
    bill_date,
    p12_file,
    pem_files,
    results_of_a_forged_and_a_genuine_notice,
    rows_of,
    sub_merchant,
)

SALE: Final[dict[str, Any]] = {**wechat.SALE, "body": "两杯奶茶"}
NATIVE: Final[dict[str, Any]] = {**wechat.NATIVE, "body": "两杯奶茶"}


class Service:
    """The SDK, whose user names the sub-merchant in each call."""

    def __init__(self, sdk: Sdk, merchant: Shop) -> None:
        self._sdk = sdk
        self._sub_merchant = sub_merchant(merchant)

    def call(self, name: str, **fields: Any) -> Any:
        return self._sdk.call(name, **{**self._sub_merchant, **fields})

    def read(self, name: str, **fields: Any) -> Any:
        """Calls a function that makes no request."""
        return self._sdk.call(name, **fields)

    def state(self, number: str) -> str:
        return str(self.call("order_query", out_trade_no=number)["trade_state"])


ENVIRONMENT: Final = environment_or_skip(ruby_environment, "wx_pay")
Start = Callable[..., Service]


@pytest.fixture(scope="module")
def start(merchant: Shop, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Start]:
    """Starts the SDK as the merchant, with the given changes."""
    folder = tmp_path_factory.mktemp("ruby")
    settings = {name: merchant.account[name] for name in ("base_url", "appid", "mch_id", "key")}
    settings["ca_pem"] = pem_files(merchant.account, folder)["ca_pem"]
    settings["p12"] = p12_file(merchant.account, folder)
    with ExitStack() as running:
        yield lambda **change: Service(
            running.enter_context(Sdk(ENVIRONMENT, settings | change, {})), merchant
        )


@pytest.fixture(scope="module")
def sdk(start: Start) -> Service:
    return start()


@pytest.fixture
def paid(sandbox: Sandbox, sdk: Service) -> str:
    """The number of an order that was paid by barcode."""
    number = new_number()
    sdk.call("invoke_micropay", **SALE, auth_code=code(sandbox), out_trade_no=number)
    return number


def test_an_order_is_shown_as_a_code_and_paid(sandbox: Sandbox, sdk: Service) -> None:
    number = new_number()
    made = sdk.call("invoke_unifiedorder", **NATIVE, out_trade_no=number)
    assert sdk.state(number) == "NOTPAY"
    confirm(sandbox, "pay", url=made["code_url"], payer="dora")
    result = sdk.call("order_query", out_trade_no=number)
    assert (result["trade_state"], result["total_fee"], result["fee_type"]) == ("SUCCESS", "8800", "HKD")


def test_a_page_in_wechat_is_paid(sandbox: Sandbox, sdk: Service, merchant: Shop) -> None:
    """Under `appid`: the SDK signs the page's parameters for that one only."""
    number, appid = new_number(), merchant.account["appid"]
    page = {**NATIVE, "trade_type": "JSAPI", "openid": openid(sandbox, "chen", appid)}
    made = sdk.call("invoke_unifiedorder", **page, out_trade_no=number)
    bridge = sdk.read("generate_js_pay_req", prepayid=made["prepay_id"], noncestr="n0nce")
    proof = bridge.pop("paySign")
    assert proof == signature(bridge, merchant.key, "MD5")
    assert bridge["appId"] == appid
    confirm(sandbox, "pay", url=bridge["package"])
    assert sdk.state(number) == "SUCCESS"


def test_a_barcode_is_paid_at_once(sandbox: Sandbox, sdk: Service) -> None:
    number = new_number()
    result = sdk.call("invoke_micropay", **SALE, auth_code=code(sandbox), out_trade_no=number)
    assert (result["result_code"], result["trade_type"], result["total_fee"]) == (
        "SUCCESS",
        "MICROPAY",
        "8800",
    )
    assert sdk.state(number) == "SUCCESS"


def test_an_order_is_closed(sdk: Service) -> None:
    number = new_number()
    sdk.call("invoke_unifiedorder", **NATIVE, out_trade_no=number)
    assert sdk.call("invoke_closeorder", out_trade_no=number)["result_code"] == "SUCCESS"
    assert sdk.state(number) == "CLOSED"


def test_a_paid_order_is_reversed(sdk: Service, paid: str) -> None:
    result = sdk.call("invoke_reverse", out_trade_no=paid)
    assert (result["result_code"], result["recall"]) == ("SUCCESS", "N")
    assert sdk.state(paid) == "REVOKED"


def test_a_refund_is_made_and_queried(sandbox: Sandbox, sdk: Service, paid: str) -> None:
    refund = new_number("R")
    part = {"total_fee": "8800", "refund_fee": "3000", "out_refund_no": refund}
    made = sdk.call("invoke_refund", out_trade_no=paid, **part)
    assert (made["result_code"], made["refund_fee"]) == ("SUCCESS", "3000")
    request = sdk.call("refund_query", out_trade_no=paid)
    assert (request["refund_id_0"], request["refund_status_0"]) == (made["refund_id"], "PROCESSING")
    sandbox.advance(REFUND_S)
    assert sdk.call("refund_query", out_trade_no=paid)["refund_status_0"] == "SUCCESS"


def test_without_a_certificate_no_money_is_returned(start: Start, sdk: Service, paid: str) -> None:
    with pytest.raises(SdkRefused, match="400 Bad Request"):
        start(p12=None).call("invoke_reverse", out_trade_no=paid)
    assert sdk.state(paid) == "SUCCESS"


@pytest.mark.usefixtures("new_day")
def test_a_days_bill_is_read(sandbox: Sandbox, sdk: Service, paid: str) -> None:
    bill = sdk.call("download_bill", bill_date=bill_date(sandbox), bill_type="ALL")
    assert len(rows_of(bill, paid, "88.00")) == 1


def test_a_notice_of_a_payment_is_verified_and_then_acknowledged(sandbox: Sandbox, sdk: Service) -> None:
    number = new_number()

    def pay(notify_url: str) -> None:
        request = NATIVE | {"notify_url": notify_url, "out_trade_no": number}
        confirm(sandbox, "pay", url=sdk.call("invoke_unifiedorder", **request)["code_url"])

    forged, result = results_of_a_forged_and_a_genuine_notice(
        sandbox, lambda body: sdk.read("verify?", xml=body.decode()), pay
    )
    assert forged is None
    assert (result["out_trade_no"], result["total_fee"]) == (number, "8800")


def test_a_wrong_key_is_refused(start: Start) -> None:
    answer = start(key="0" * 32).call("invoke_unifiedorder", **NATIVE, out_trade_no=new_number())
    assert (answer["return_code"], answer["return_msg"]) == ("FAIL", BAD_SIGNATURE)


def test_an_unknown_authority_is_not_trusted(start: Start) -> None:
    """Shows that the calls above used TLS and verified the server."""
    with pytest.raises(SdkRefused, match="certificate verify failed"):
        start(ca_pem=None).call("order_query", out_trade_no=new_number())
