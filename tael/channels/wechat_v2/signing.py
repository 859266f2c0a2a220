"""The signature of WeChat Pay V2: MD5 or HMAC-SHA256 over sorted fields and the API key.

Signs requests, responses, payment notices and the parameters of WeChat's JavaScript bridge.
"""

import hashlib
import hmac
from collections.abc import Iterable, Mapping, Sequence
from operator import itemgetter
from typing import Final

from tael.base.secret import Secret
from tael.channels.wechat_v2.account import WeChatSignType

SIGN: Final = "sign"


def signing_text(fields: Mapping[str, str], key: Secret) -> bytes:
    """The signed bytes: every non-empty field but `sign`, sorted by name, then the key. A field `0` is not empty."""
    unsigned = dict(fields)
    unsigned.pop(SIGN, None)
    return _text(unsigned.items(), key)


def signature(fields: Mapping[str, str], key: Secret, sign_type: WeChatSignType) -> str:
    """Upper-case hex: 32 characters for MD5, 64 for HMAC-SHA256."""
    return _digest(signing_text(fields, key), key, sign_type)


def is_signed(fields: Mapping[str, str], key: Secret, sign_type: WeChatSignType) -> bool:
    """Whether `fields` contain the signature for this key and algorithm; other algorithms are not accepted."""
    return are_signed(list(fields.items()), key, sign_type)


def are_signed(pairs: Sequence[tuple[str, str]], key: Secret, sign_type: WeChatSignType) -> bool:
    """The same for fields whose names may repeat. Those with the same name are signed in their order."""
    claimed = [pair for pair in pairs if pair[0] == SIGN]
    if len(claimed) != 1:
        return False
    unsigned = list(pairs)
    unsigned.remove(claimed[0])
    expected = _digest(_text(unsigned, key), key, sign_type)
    return hmac.compare_digest(claimed[0][1].encode(), expected.encode())


def _text(pairs: Iterable[tuple[str, str]], key: Secret) -> bytes:
    """`pairs` are without the signature."""
    filled = filter(itemgetter(1), pairs)
    by_name = sorted(filled, key=itemgetter(0))
    return "&".join([*map("=".join, by_name), f"key={key.reveal()}"]).encode()


def _digest(text: bytes, key: Secret, sign_type: WeChatSignType) -> str:
    if sign_type == "HMAC-SHA256":
        return hmac.new(key.reveal().encode(), text, hashlib.sha256).hexdigest().upper()
    return hashlib.md5(text).hexdigest().upper()
