"""Text of merchants that both wallets can be given. Pure.

WeChat is asked in XML and Alipay answers in XML, so what XML cannot hold is replaced before either is asked.
"""

import re
from typing import Final

#: What XML cannot hold, controls, and line ends of every kind, which an XML parser changes after we signed them.
UNWRITABLE: Final = re.compile(r"[^\x20-\x7e\u00a0-\u2027\u202a-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


def is_writable(text: str) -> bool:
    """Whether `text` reaches either wallet as it is."""
    return UNWRITABLE.search(text) is None


def writable(text: str) -> str:
    """`text` with a blank for each character that cannot be written."""
    return UNWRITABLE.sub(" ", text)
