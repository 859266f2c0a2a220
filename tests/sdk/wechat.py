"""What both SDKs for WeChat Pay are given: files for TLS, and the words of its notices."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from tests.sdk.sdk import Words

WORDS: Final = Words(
    thanks=b"<xml><return_code><![CDATA[SUCCESS]]></return_code><return_msg><![CDATA[OK]]></return_msg></xml>",
    sorry=b"<xml><return_code><![CDATA[FAIL]]></return_code></xml>",
)
#: One notice is told with one character of its signature changed; then the sandbox is honest again.
FORGED_NOTICE: Final[Mapping[str, Any]] = {
    "wallet": "wechat",
    "operation": "notice",
    "kind": "bad_signature",
    "times": 1,
}
#: WeChat Pay asks again so long after a notice that was not acknowledged.
FIRST_GAP_S: Final = 15
BAD_SIGNATURE: Final = "签名错误，请检查后再试"


def pem_files(account: Mapping[str, Any], folder: Path) -> dict[str, str]:
    """The paths of the account's certificate, its key, and the authority to be trusted, by name."""
    paths = {}
    for name in ("cert_pem", "key_pem", "ca_pem"):
        path = folder / name
        path.write_text(account[name])
        paths[name] = str(path)
    return paths
