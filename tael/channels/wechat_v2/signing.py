"""The signature of WeChat Pay V2: MD5 or HMAC-SHA256 over sorted fields and the API key.

Signs requests, responses, payment notices and the parameters of WeChat's JavaScript bridge.
"""

import hashlib
import hmac
from collections.abc import Mapping

from tael.base.secret import Secret
from tael.channels.wechat_v2.account import WeChatSignType


def signing_text(fields: Mapping[str, str], key: Secret) -> bytes:
    """The signed bytes: every non-empty field but `sign`, sorted by name, then the key. A field `0` is not empty."""
    pairs = sorted((name, value) for name, value in fields.items() if value and name != "sign")
    return ("&".join(f"{name}={value}" for name, value in pairs) + f"&key={key.reveal()}").encode()


def signature(fields: Mapping[str, str], key: Secret, sign_type: WeChatSignType) -> str:
    """Upper-case hex: 32 characters for MD5, 64 for HMAC-SHA256."""
    text = signing_text(fields, key)
    if sign_type == "HMAC-SHA256":
        return hmac.new(key.reveal().encode(), text, hashlib.sha256).hexdigest().upper()
    return hashlib.md5(text).hexdigest().upper()


def is_signed(fields: Mapping[str, str], key: Secret, sign_type: WeChatSignType) -> bool:
    """Whether `fields` contain the signature for this key and algorithm; other algorithms are not accepted."""
    claimed = fields.get("sign", "").encode()
    return hmac.compare_digest(claimed, signature(fields, key, sign_type).encode())
