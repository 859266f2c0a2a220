"""A merchant's user: a person who signs in and permits apps to read the user's own data and the merchant's payments."""

from dataclasses import dataclass
from datetime import datetime
from typing import Final

from tael.base.secret import Secret

#: Username in lower case, so that it is written in one way only.
USERNAME_PATTERN: Final = r"[a-z0-9._@+-]{1,64}"
NICKNAME_PATTERN: Final = r"(?=.*\S)[^\x00-\x1f\x7f]{1,64}"
MIN_PASSWORD_CHARS: Final = 10
MAX_PASSWORD_CHARS: Final = 128
PASSWORD_PATTERN: Final = rf"[^\x00-\x1f\x7f]{{{MIN_PASSWORD_CHARS},{MAX_PASSWORD_CHARS}}}"


@dataclass(frozen=True, slots=True)
class User:
    """A row. `userid` is what apps see; the user signs in with `username`, which is unique over all merchants."""

    userid: str
    mchid: str
    username: str
    nickname: str
    password_hash: Secret  #: argon2id, with its parameters and salt
    created_at: datetime
    is_disabled: bool = False
