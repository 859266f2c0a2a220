"""Shared by the SDKs for WeChat Pay: an order, files for TLS, and notices of which one is forged."""

import base64
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final

import pytest

from tests.sandbox.conftest import Sandbox
from tests.sandbox.days import beijing_now, compact
from tests.sandbox.wechat_shop import Shop
from tests.sdk.sdk import Acknowledgements, VerifyingReceiver, put_fault

SALE: Final[Mapping[str, Any]] = {
    "body": "两杯奶茶 & <cups>",
    "total_fee": "8800",
    "fee_type": "HKD",
    "spbill_create_ip": "127.0.0.1",
}
NATIVE: Final[Mapping[str, Any]] = {
    **SALE,
    "trade_type": "NATIVE",
    "product_id": "tea",
    "notify_url": "http://127.0.0.1:9/notices",
}
BOTH_SIGNATURES: Final = pytest.mark.parametrize("sign_type", ["MD5", "HMAC-SHA256"])
SIGNATURE_LENGTHS: Final = {"MD5": 32, "HMAC-SHA256": 64}
ACKNOWLEDGEMENTS: Final = Acknowledgements(
    accepted=b"<xml><return_code><![CDATA[SUCCESS]]></return_code><return_msg><![CDATA[OK]]></return_msg></xml>",
    refused=b"<xml><return_code><![CDATA[FAIL]]></return_code></xml>",
)
#: Changes one character of one notice's signature.
FORGED_NOTICE: Final[dict[str, Any]] = {
    "wallet": "wechat",
    "operation": "notice",
    "kind": "bad_signature",
    "times": 1,
}
#: The time after which WeChat Pay repeats an unacknowledged notice.
FIRST_GAP_S: Final = 15
#: The time after which the sandbox has made a refund, in its profile `demo`.
REFUND_S: Final = 3
BAD_SIGNATURE: Final = "签名错误，请检查后再试"


def sub_merchant(merchant: Shop) -> dict[str, Any]:
    """What a service provider adds to each call."""
    return {} if merchant.is_direct else {"sub_mch_id": merchant.account["sub_mch_id"]}


def put_bad_signature(sandbox: Sandbox, path: str) -> None:
    """Changes one character of the next response's signature."""
    put_fault(sandbox, FORGED_NOTICE | {"operation": path})


def results_of_a_forged_and_a_genuine_notice(
    sandbox: Sandbox, read: Callable[[bytes], Any], pay: Callable[[str], Any]
) -> tuple[Any, Any]:
    """What the SDK reads from both, of an order that `pay` makes with the given notify_url and pays."""
    with VerifyingReceiver(read, ACKNOWLEDGEMENTS).listening() as receiver:
        put_fault(sandbox, FORGED_NOTICE)
        pay(receiver.address)
        receiver.wait_for(1)
        sandbox.advance(FIRST_GAP_S)
        receiver.wait_for(2)
        sandbox.wait_for_quiet(receiver.address)
        forged, genuine = receiver.results
    return forged, genuine


def result_of_a_notice(sandbox: Sandbox, read: Callable[[bytes], Any], cause: Callable[[str], Any]) -> Any:
    """What the SDK reads from the only notice of what `cause` does with the given notify_url."""
    with VerifyingReceiver(read, ACKNOWLEDGEMENTS).listening() as receiver:
        cause(receiver.address)
        sandbox.advance(REFUND_S)
        receiver.wait_for(1)
        sandbox.wait_for_quiet(receiver.address)
        (result,) = receiver.results
    return result


def bill_date(sandbox: Sandbox) -> str:
    """Makes today's bill. Returns the day as the SDKs send it."""
    now = beijing_now(sandbox)
    sandbox.control("POST", "statements", {"wallet": "wechat", "day": f"{now:%Y-%m-%d}"})
    return compact(now)


def rows_of(bill: str, number: str, amount: str) -> list[str]:
    """A bill's rows about this order with this amount."""
    return [row for row in bill.splitlines() if f"`{number}," in row and f"`{amount}," in row]


def pem_files(account: Mapping[str, Any], folder: Path) -> dict[str, str]:
    """The paths of the account's certificate, its key, and the trusted authority, by name."""
    paths = {}
    for name in ("cert_pem", "key_pem", "ca_pem"):
        path = folder / name
        path.write_text(account[name])
        paths[name] = str(path)
    return paths


def p12_file(account: Mapping[str, Any], folder: Path) -> str:
    """The path of the account's certificate with its key as WeChat Pay issues it."""
    path = folder / "apiclient_cert.p12"
    path.write_bytes(base64.b64decode(account["cert_p12_base64"]))
    return str(path)
