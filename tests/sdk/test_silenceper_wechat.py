"""Go's silenceper/wechat against the sandbox: a direct merchant only, since it does not know sub-merchants.

It has no call for barcodes, reversals, refund queries and bills, and prices in CNY only. It verifies notices, but no
responses.
"""

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any, Final

import pytest

from tests.sandbox.conftest import Sandbox
from tests.sandbox.wechat_shop import Shop, confirm, new_number, openid, signature
from tests.sdk.environments import Environment, go_environment
from tests.sdk.sdk import Sdk, SdkRefused, environment_or_skip
from tests.sdk.wechat import (
    BAD_SIGNATURE,
    BOTH_SIGNATURES,
    SIGNATURE_LENGTHS,
    p12_file,
    pem_files,
    result_of_a_notice,
    results_of_a_forged_and_a_genuine_notice,
)

#: With the SDK's own names, in place of the wallet's.
NATIVE: Final[dict[str, Any]] = {
    "Body": "两杯奶茶 & <cups>",
    "TotalFee": "8800",
    "CreateIP": "127.0.0.1",
    "TradeType": "NATIVE",
    "NotifyURL": "http://127.0.0.1:9/notices",
}
Start = Callable[..., Sdk]


@pytest.fixture(scope="module")
def merchant(sandbox: Sandbox) -> Shop:
    return Shop(sandbox.account("wechat", "direct"))


@pytest.fixture(scope="module")
def environment() -> Environment:
    return environment_or_skip(go_environment, "silenceper-wechat")


@pytest.fixture(scope="module")
def start(
    environment: Environment, merchant: Shop, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Start]:
    """Starts the SDK as the merchant, with the given changes."""
    folder = tmp_path_factory.mktemp("silenceper")
    settings = {name: merchant.account[name] for name in ("base_url", "appid", "mch_id", "key")}
    settings["p12"] = p12_file(merchant.account, folder)
    trust = {"SSL_CERT_FILE": pem_files(merchant.account, folder)["ca_pem"]}
    with ExitStack() as running:
        yield lambda **change: running.enter_context(Sdk(environment, settings | change, trust))


@pytest.fixture(scope="module")
def sdk(start: Start) -> Sdk:
    return start()


@pytest.fixture
def paid(sandbox: Sandbox, sdk: Sdk) -> str:
    """The number of a paid order."""
    number = new_number()
    confirm(sandbox, "pay", url=sdk.call("PrePayOrder", **NATIVE, OutTradeNo=number)["CodeURL"])
    return number


def state(sdk: Sdk, number: str) -> str:
    return str(sdk.call("QueryOrder", OutTradeNo=number)["TradeState"])


@BOTH_SIGNATURES
def test_an_order_is_shown_as_a_code_and_paid(sandbox: Sandbox, sdk: Sdk, sign_type: str) -> None:
    number = new_number()
    made = sdk.call("PrePayOrder", **NATIVE, OutTradeNo=number, SignType=sign_type)
    assert state(sdk, number) == "NOTPAY"
    confirm(sandbox, "pay", url=made["CodeURL"], payer="dora")
    result = sdk.call("QueryOrder", OutTradeNo=number, SignType=sign_type)
    assert (result["TradeState"], result["TotalFee"], result["FeeType"]) == ("SUCCESS", 8800, "CNY")
    assert len(result["Sign"]) == SIGNATURE_LENGTHS[sign_type]
    again = sdk.call("QueryOrder", TransactionID=result["TransactionID"])
    assert again["OutTradeNo"] == number


@BOTH_SIGNATURES
def test_a_page_in_wechat_is_paid(sandbox: Sandbox, sdk: Sdk, merchant: Shop, sign_type: str) -> None:
    number, payer = new_number(), openid(sandbox, "chen", merchant.official_appid)
    page: dict[str, Any] = {**NATIVE, "TradeType": "JSAPI", "OpenID": payer, "OutTradeNo": number}
    made = sdk.call("BridgeConfig", **page, SignType=sign_type)
    bridge = {
        "appId": merchant.official_appid,
        "timeStamp": made["timestamp"],
        "nonceStr": made["nonceStr"],
        "package": made["package"],
        "signType": sign_type,
    }
    assert made["paySign"] == signature(bridge, merchant.key, sign_type)
    confirm(sandbox, "pay", url=made["package"])
    assert state(sdk, number) == "SUCCESS"


def test_an_order_in_an_app_is_paid(sandbox: Sandbox, start: Start, merchant: Shop) -> None:
    """An app has an appid of its own."""
    sdk, number = start(appid=merchant.account["app_appid"]), new_number()
    made = sdk.call("BridgeAppConfig", **NATIVE | {"TradeType": "APP"}, OutTradeNo=number)
    proof = made.pop("sign")
    assert proof == signature({name.lower(): text for name, text in made.items()}, merchant.key, "MD5")
    confirm(sandbox, "pay", url=f"prepay_id={made['prepayid']}")
    assert state(sdk, number) == "SUCCESS"


@BOTH_SIGNATURES
def test_an_order_is_closed(sdk: Sdk, sign_type: str) -> None:
    number = new_number()
    sdk.call("PrePayOrder", **NATIVE, OutTradeNo=number)
    assert sdk.call("CloseOrder", OutTradeNo=number, SignType=sign_type)["ResultCode"] == "SUCCESS"
    assert state(sdk, number) == "CLOSED"


def test_a_refund_is_made(sandbox: Sandbox, sdk: Sdk, paid: str) -> None:
    number = new_number("R")
    made = sdk.call("Refund", OutTradeNo=paid, OutRefundNo=number, TotalFee="8800", RefundFee="3000")
    assert (made["RefundFee"], made["OutRefundNo"]) == ("3000", number)
    assert state(sdk, paid) == "REFUND"


def test_a_client_certificate_of_another_merchant_returns_no_money(
    sandbox: Sandbox, start: Start, sdk: Sdk, paid: str, tmp_path: Path
) -> None:
    """The SDK decrypts the file with its own number. It cannot, and then sends the request without a certificate."""
    other = p12_file(sandbox.account("wechat", "demo"), tmp_path)
    refund: dict[str, Any] = {"OutRefundNo": new_number("R"), "TotalFee": "8800", "RefundFee": "8800"}
    with pytest.raises(SdkRefused, match="statusCode=400"):
        start(p12=other).call("Refund", OutTradeNo=paid, **refund)
    assert state(sdk, paid) == "SUCCESS"


@BOTH_SIGNATURES
def test_a_notice_of_a_payment_is_verified_and_then_acknowledged(
    sandbox: Sandbox, sdk: Sdk, sign_type: str
) -> None:
    number = new_number()

    def pay(notify_url: str) -> None:
        request = {**NATIVE, "NotifyURL": notify_url, "SignType": sign_type}
        confirm(sandbox, "pay", url=sdk.call("PrePayOrder", **request, OutTradeNo=number)["CodeURL"])

    forged, result = results_of_a_forged_and_a_genuine_notice(
        sandbox, lambda body: sdk.call("PaidVerifySign", xml=body.decode(), sign_type=sign_type), pay
    )
    assert forged is None
    assert (result["OutTradeNo"], result["TotalFee"]) == (number, 8800)


def test_a_notice_of_a_refund_is_decrypted(sandbox: Sandbox, sdk: Sdk, paid: str) -> None:
    part: dict[str, Any] = {"TotalFee": "8800", "RefundFee": "300", "OutRefundNo": new_number("R")}
    result = result_of_a_notice(
        sandbox,
        lambda body: sdk.call("DecryptReqInfo", xml=body.decode()),
        lambda notify_url: sdk.call("Refund", OutTradeNo=paid, NotifyURL=notify_url, **part),
    )
    assert (result["OutRefundNO"], result["RefundFee"]) == (part["OutRefundNo"], 300)
    assert result["RefundStatus"] == "SUCCESS"


def test_a_service_provider_is_refused(sandbox: Sandbox, start: Start) -> None:
    """Its calls name no sub-merchant, which only a direct merchant may leave out."""
    provider = sandbox.account("wechat", "demo")
    sdk = start(**{name: provider[name] for name in ("appid", "mch_id", "key")})
    with pytest.raises(SdkRefused, match="受理机构必须传入sub_mch_id"):
        sdk.call("PrePayOrder", **NATIVE, OutTradeNo=new_number())


def test_a_wrong_key_is_refused(start: Start) -> None:
    with pytest.raises(SdkRefused, match=BAD_SIGNATURE):
        start(key="0" * 32).call("PrePayOrder", **NATIVE, OutTradeNo=new_number())


def test_an_unknown_authority_is_not_trusted(environment: Environment, merchant: Shop) -> None:
    """Shows that the calls above used TLS and verified the server."""
    settings = {name: merchant.account[name] for name in ("base_url", "appid", "mch_id", "key")}
    with Sdk(environment, settings, {}) as client, pytest.raises(SdkRefused, match="x509: "):
        client.call("QueryOrder", OutTradeNo=new_number())
