"""PHP's yurunsoft/pay-sdk against the sandbox: the classes for WeChat Pay V2 and for Alipay's cross-border MAPI.

Runs where TAEL_SDK_PHP names the folder of its Composer installation. It verifies the signature of every response, and
does not verify the server's certificate.
"""

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Any, Final

import pytest

from tests.sandbox import alipay_shop
from tests.sandbox.conftest import Sandbox
from tests.sandbox.wechat_shop import Shop, code, confirm, new_number, openid, signature
from tests.sdk.environments import php_environment
from tests.sdk.sdk import Acknowledgements, Sdk, SdkRefused, VerifyingReceiver, environment_or_skip, put_fault
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
    rows_of,
    sub_merchant,
)

#: Alipay's: both acknowledgements of a notice, and the time after which an unacknowledged one is repeated.
ACKNOWLEDGEMENTS: Final = Acknowledgements(accepted=b"success", refused=b"fail")
FIRST_GAP_S: Final = 120
#: The SDK's request for NATIVE has no product_id, which the wallet requires only in `strict`.
CODE: Final[dict[str, Any]] = {
    name: value for name, value in NATIVE.items() if name not in ("product_id", "trade_type")
}
ENVIRONMENT: Final = environment_or_skip(php_environment, "yurunsoft/pay-sdk")
Start = Callable[..., Sdk]


@pytest.fixture(scope="module")
def start(merchant: Shop, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Start]:
    """Starts the SDK as the merchant, with the given changes."""
    files = pem_files(merchant.account, tmp_path_factory.mktemp("php"))
    settings = {
        "apiDomain": f"{merchant.account['base_url']}/",
        "appID": merchant.account["appid"],
        "mch_id": merchant.account["mch_id"],
        "key": merchant.key,
        "certPath": files["cert_pem"],
        "keyPath": files["key_pem"],
        "reportLevel": 0,  # its reports of durations need a response, which JSParams does not have
        **sub_merchant(merchant),
    }
    with ExitStack() as running:
        yield lambda **change: running.enter_context(Sdk(ENVIRONMENT, settings | change, {}))


@pytest.fixture(scope="module")
def sdk(start: Start) -> Sdk:
    return start()


@pytest.fixture
def paid(sandbox: Sandbox, sdk: Sdk) -> str:
    """The number of an order that was paid by barcode."""
    number = new_number()
    sdk.call("Weixin/Micropay/Params/Pay", **SALE, auth_code=code(sandbox), out_trade_no=number)
    return number


def state(sdk: Sdk, number: str) -> str:
    return str(sdk.call("Weixin/OrderQuery", out_trade_no=number)["trade_state"])


@BOTH_SIGNATURES
def test_an_order_is_shown_as_a_code_and_paid(sandbox: Sandbox, sdk: Sdk, sign_type: str) -> None:
    number = new_number()
    made = sdk.call("Weixin/Native/Params/Pay", **CODE, out_trade_no=number, sign_type=sign_type)
    assert state(sdk, number) == "NOTPAY"
    confirm(sandbox, "pay", url=made["code_url"], payer="dora")
    result = sdk.call("Weixin/OrderQuery", out_trade_no=number, sign_type=sign_type)
    assert (result["trade_state"], result["total_fee"], result["fee_type"]) == ("SUCCESS", "8800", "HKD")
    assert len(result["sign"]) == SIGNATURE_LENGTHS[sign_type]


@BOTH_SIGNATURES
def test_a_page_in_wechat_is_paid(sandbox: Sandbox, sdk: Sdk, merchant: Shop, sign_type: str) -> None:
    """Under `appid`: the SDK signs the page's parameters for that one only."""
    number, appid = new_number(), merchant.account["appid"]
    page = CODE | {"out_trade_no": number, "sign_type": sign_type, "openid": openid(sandbox, "chen", appid)}
    made = sdk.call("Weixin/JSAPI/Params/Pay", **page)
    bridge = sdk.call("Weixin/JSAPI/Params/JSParams", prepay_id=made["prepay_id"], sign_type=sign_type)
    proof = bridge.pop("paySign")
    assert proof == signature(bridge, merchant.key, sign_type)
    assert bridge["appId"] == appid
    confirm(sandbox, "pay", url=bridge["package"])
    assert state(sdk, number) == "SUCCESS"


@BOTH_SIGNATURES
def test_a_barcode_is_paid_at_once(sandbox: Sandbox, sdk: Sdk, sign_type: str) -> None:
    request = {**SALE, "auth_code": code(sandbox), "out_trade_no": new_number(), "sign_type": sign_type}
    result = sdk.call("Weixin/Micropay/Params/Pay", **request)
    assert (result["trade_type"], result["total_fee"]) == ("MICROPAY", "8800")
    assert state(sdk, result["out_trade_no"]) == "SUCCESS"


def test_an_order_is_closed(sdk: Sdk) -> None:
    number = new_number()
    sdk.call("Weixin/Native/Params/Pay", **CODE, out_trade_no=number)
    assert sdk.call("Weixin/CloseOrder", out_trade_no=number)["result_code"] == "SUCCESS"
    assert state(sdk, number) == "CLOSED"


def test_a_paid_order_is_reversed(sdk: Sdk, paid: str) -> None:
    assert sdk.call("Weixin/Reverse", out_trade_no=paid)["recall"] == "N"
    assert state(sdk, paid) == "REVOKED"


@BOTH_SIGNATURES
def test_a_refund_is_made_and_queried(sandbox: Sandbox, sdk: Sdk, paid: str, sign_type: str) -> None:
    refund = new_number("R")
    part: dict[str, Any] = {"total_fee": "8800", "refund_fee": "3000", "refund_fee_type": "HKD"}
    made = sdk.call("Weixin/Refund", out_trade_no=paid, out_refund_no=refund, sign_type=sign_type, **part)
    assert made["refund_fee"] == "3000"
    request = sdk.call("Weixin/RefundQuery", out_refund_no=refund, sign_type=sign_type)
    assert (request["refund_id_0"], request["refund_status_0"]) == (made["refund_id"], "PROCESSING")
    sandbox.advance(REFUND_S)
    assert sdk.call("Weixin/RefundQuery", out_trade_no=paid)["refund_status_0"] == "SUCCESS"


def test_without_a_certificate_no_money_is_returned(start: Start, sdk: Sdk, paid: str) -> None:
    with pytest.raises(SdkRefused):
        start(certPath=None, keyPath=None).call("Weixin/Reverse", out_trade_no=paid)
    assert state(sdk, paid) == "SUCCESS"


@pytest.mark.usefixtures("new_day")
def test_a_days_bill_is_read(sandbox: Sandbox, sdk: Sdk, paid: str) -> None:
    bill = sdk.call("Weixin/DownloadBill", bill_date=bill_date(sandbox), bill_type="ALL")
    assert len(rows_of(bill, paid, "88.00")) == 1


def test_a_response_with_a_wrong_signature_is_rejected(sandbox: Sandbox, sdk: Sdk, paid: str) -> None:
    put_bad_signature(sandbox, "/pay/orderquery")
    with pytest.raises(SdkRefused, match="同步返回数据验证失败"):
        sdk.call("Weixin/OrderQuery", out_trade_no=paid)
    assert state(sdk, paid) == "SUCCESS"


@BOTH_SIGNATURES
def test_a_notice_of_a_payment_is_verified_and_then_acknowledged(
    sandbox: Sandbox, sdk: Sdk, sign_type: str
) -> None:
    number = new_number()

    def pay(notify_url: str) -> None:
        request = CODE | {"notify_url": notify_url, "sign_type": sign_type, "out_trade_no": number}
        confirm(sandbox, "pay", url=sdk.call("Weixin/Native/Params/Pay", **request)["code_url"])

    def read(body: bytes) -> Any:
        return sdk.call("Weixin/Notify/Pay", xml=body.decode(), sign_type=sign_type)

    forged, result = results_of_a_forged_and_a_genuine_notice(sandbox, read, pay)
    assert forged is None
    assert (result["out_trade_no"], result["total_fee"]) == (number, "8800")


def test_a_notice_of_a_refund_is_decrypted(sandbox: Sandbox, sdk: Sdk, paid: str) -> None:
    part: dict[str, Any] = {"total_fee": "8800", "refund_fee": "300", "refund_fee_type": "HKD"}
    number = new_number("R")
    result = result_of_a_notice(
        sandbox,
        lambda body: sdk.call("Weixin/Notify/Refund", xml=body.decode()),
        lambda url: sdk.call(
            "Weixin/Refund", out_trade_no=paid, out_refund_no=number, notify_url=url, **part
        ),
    )
    read = result["req_info"]
    assert (read["out_refund_no"], read["refund_fee"], read["refund_status"]) == (number, "300", "SUCCESS")


def test_a_wrong_key_is_refused(start: Start) -> None:
    with pytest.raises(SdkRefused, match=BAD_SIGNATURE):
        start(key="0" * 32).call("Weixin/Native/Params/Pay", **CODE, out_trade_no=new_number())


# Alipay's cross-border MAPI.


@pytest.fixture(scope="module")
def alipay(sandbox: Sandbox) -> Iterator[Callable[[str], Sdk]]:
    """The SDK with the demo shop's contract of this scene."""

    def started(scene: str) -> Sdk:
        account = sandbox.account("alipay", "demo", scene)
        settings = {"apiDomain": account["gateway_url"], "appID": account["pid"], "md5Key": account["key"]}
        return running.enter_context(Sdk(ENVIRONMENT, settings, {}))

    with ExitStack() as running:
        yield started


@pytest.fixture(scope="module")
def online(alipay: Callable[[str], Sdk]) -> Sdk:
    return alipay("online")


@pytest.fixture(scope="module")
def offline(alipay: Callable[[str], Sdk]) -> Sdk:
    return alipay("offline")


TICKETS: Final[dict[str, Any]] = {"subject": "两张票 & <tickets>", "currency": "HKD", "total_fee": "120.00"}


def test_alipays_link_is_paid_queried_and_refunded(sandbox: Sandbox, online: Sdk) -> None:
    number = new_number()
    link = online.call("AlipayCrossBorder/Online/Pay", **TICKETS, out_trade_no=number)
    assert alipay_shop.scan(sandbox, link)["subject"] == TICKETS["subject"]
    assert alipay_shop.confirm(sandbox, url=link)["state"] == "TRADE_FINISHED"
    result = online.call("AlipayCrossBorder/Online/Query", out_trade_no=number)
    assert result["response"]["trade"]["trade_status"] == "TRADE_FINISHED"
    now = alipay_shop.shop(sandbox, "online").now()
    part: dict[str, Any] = {"return_amount": "20.00", "currency": "HKD", "gmt_return": f"{now:%Y%m%d%H%M%S}"}
    refund: dict[str, Any] = {"out_trade_no": number, "out_return_no": new_number("R"), **part}
    made = online.call("AlipayCrossBorder/Online/Refund", **refund, product_code="NEW_OVERSEAS_SELLER")
    assert made["is_success"] == "T"
    rows = sandbox.control("GET", "book?wallet=alipay")["trades"]
    assert [row["refunded"] for row in rows if row["order"] == number] == [2000]


def test_alipays_notice_is_verified_and_then_acknowledged(sandbox: Sandbox, online: Sdk) -> None:
    def read(body: bytes) -> Any:
        result: dict[str, Any] = dict(alipay_shop.form_of(body))
        return online.call("AlipayCrossBorder/Online/Notify/Base", **result)

    with VerifyingReceiver(read, ACKNOWLEDGEMENTS).listening() as receiver:
        request = {**TICKETS, "out_trade_no": new_number(), "notify_url": receiver.url}
        link = online.call("AlipayCrossBorder/Online/WapPay", **request)
        put_fault(sandbox, {"wallet": "alipay", "operation": "notice", "kind": "bad_signature", "times": 1})
        alipay_shop.confirm(sandbox, url=link)
        receiver.wait_for(1)
        sandbox.advance(FIRST_GAP_S)
        receiver.wait_for(2)
        sandbox.wait_for_quiet(receiver.url)
        forged, result = receiver.results
    assert forged is None
    assert (result["out_trade_no"], result["trade_status"]) == (request["out_trade_no"], "TRADE_FINISHED")


def barcode(sandbox: Sandbox, number: str, behaviour: str = "pays") -> dict[str, Any]:
    spot = alipay_shop.shop(sandbox, "offline")
    fields: dict[str, Any] = spot.spot_fields(code(sandbox, behaviour, "alipay"), number)
    return fields


def test_alipays_barcode_is_paid_queried_and_refunded(sandbox: Sandbox, offline: Sdk) -> None:
    number = new_number()
    made = offline.call("AlipayCrossBorder/InStore/BarcodePay", **barcode(sandbox, number))
    assert made["response"]["alipay"]["result_code"] == "SUCCESS"
    result = offline.call("AlipayCrossBorder/InStore/Query", partner_trans_id=number)
    assert result["response"]["alipay"]["alipay_trans_status"] == "TRADE_SUCCESS"
    refund: dict[str, Any] = {
        "partner_trans_id": number,
        "partner_refund_id": new_number("R"),
        "currency": "HKD",
    }
    part: dict[str, Any] = {"refund_amount": "9.25", "is_sync": "Y"}
    offline.call("AlipayCrossBorder/InStore/Refund", **refund, **part)
    rows = sandbox.control("GET", "book?wallet=alipay")["trades"]
    assert [row["refunded"] for row in rows if row["order"] == number] == [925]


def test_alipays_barcode_that_waits_is_cancelled(sandbox: Sandbox, offline: Sdk) -> None:
    number = new_number()
    with pytest.raises(SdkRefused):
        offline.call("AlipayCrossBorder/InStore/BarcodePay", **barcode(sandbox, number, "password"))
    now = int(alipay_shop.shop(sandbox, "offline").now().timestamp() * 1000)
    made = offline.call("AlipayCrossBorder/InStore/Cancel", out_trade_no=number, timestamp=str(now))
    assert made["response"]["alipay"]["result_code"] == "SUCCESS"
    rows = sandbox.control("GET", "book?wallet=alipay")["trades"]
    assert [row["state"] for row in rows if row["order"] == number] == ["TRADE_CLOSED"]
