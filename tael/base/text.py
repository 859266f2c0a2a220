"""Merchants' texts, made safe for both wallets. Pure.

WeChat's requests and Alipay's responses are XML, so characters that XML cannot represent are replaced first.
"""

import re
from typing import Final

#: Characters that XML cannot represent, controls, and all line ends, which an XML parser changes after we signed them.
UNWRITABLE: Final = re.compile(r"[^\x20-\x7e\u00a0-\u2027\u202a-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


def is_writable(text: str) -> bool:
    """Whether `text` reaches both wallets unchanged."""
    return UNWRITABLE.search(text) is None


def writable(text: str) -> str:
    """`text` with a space for each unwritable character."""
    return UNWRITABLE.sub(" ", text)
