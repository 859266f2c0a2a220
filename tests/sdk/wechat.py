"""Shared by both SDKs for WeChat Pay: files for TLS, and the acknowledgements of notices."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from tests.sdk.sdk import Acknowledgements

ACKNOWLEDGEMENTS: Final = Acknowledgements(
    accepted=b"<xml><return_code><![CDATA[SUCCESS]]></return_code><return_msg><![CDATA[OK]]></return_msg></xml>",
    refused=b"<xml><return_code><![CDATA[FAIL]]></return_code></xml>",
)
#: Changes one character of one notice's signature.
FORGED_NOTICE: Final[Mapping[str, Any]] = {
    "wallet": "wechat",
    "operation": "notice",
    "kind": "bad_signature",
    "times": 1,
}
#: The time after which WeChat Pay repeats an unacknowledged notice.
FIRST_GAP_S: Final = 15
BAD_SIGNATURE: Final = "签名错误，请检查后再试"


def pem_files(account: Mapping[str, Any], folder: Path) -> dict[str, str]:
    """The paths of the account's certificate, its key, and the trusted authority, by name."""
    paths = {}
    for name in ("cert_pem", "key_pem", "ca_pem"):
        path = folder / name
        path.write_text(account[name])
        paths[name] = str(path)
    return paths
