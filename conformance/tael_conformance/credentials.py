"""The app's credentials, and the removal of secrets from everything that is shown."""

import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

HIDDEN: Final = "<hidden>"
#: A digest in hex: every signature of the API, and keys of hosted QFPay.
DIGEST: Final = re.compile(r"(?<![0-9A-Za-z])(?:[0-9A-Fa-f]{64}|[0-9A-Fa-f]{32})(?![0-9A-Za-z])")
#: A shorter key, such as the published test key 123456, is no secret; removing it would make reports unreadable.
MIN_SECRET_LENGTH: Final = 8
MAX_KEY_BYTES: Final = 4096
SHOWN_CODE_DIGITS: Final = 4


@dataclass(frozen=True, slots=True)
class Credentials:
    """`key` signs and is neither sent nor shown. `mchid` is empty if the app has only one merchant."""

    appcode: str
    key: str = field(repr=False)
    mchid: str = ""


def read_key(path: Path) -> str:
    """The key in a file, without the line end. Raises ValueError or OSError."""
    with path.open("rb") as file:
        content = file.read(MAX_KEY_BYTES + 1)
    if len(content) > MAX_KEY_BYTES:
        raise ValueError(f"{path} has more than {MAX_KEY_BYTES} bytes")
    return content.decode("utf-8").strip()


@dataclass(frozen=True, slots=True)
class Redactor:
    """Removes the keys and every hex digest from a text."""

    secrets: tuple[str, ...] = field(repr=False, default=())

    def __call__(self, text: str) -> str:
        for secret in self.secrets:
            if len(secret) >= MIN_SECRET_LENGTH:
                text = text.replace(secret, HIDDEN)
        return DIGEST.sub(HIDDEN, text)


def masked_code(code: str) -> str:
    """A payer's barcode, which is worth money while it is valid, without most of its digits."""
    return f"{code[:SHOWN_CODE_DIGITS]}…" if len(code) > SHOWN_CODE_DIGITS else code
