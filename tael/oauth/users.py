"""What an operator does with merchants' users. A change of password or state ends the user's sessions and grants."""

from tael.audit_log.domain.entry import Origin
from tael.base import ids
from tael.base.secret import Secret
from tael.merchants.domain.forms import Form, check
from tael.oauth.domain.user import (
    MAX_PASSWORD_CHARS,
    MIN_PASSWORD_CHARS,
    NICKNAME_PATTERN,
    PASSWORD_PATTERN,
    USERNAME_PATTERN,
    User,
)
from tael.oauth.passwords import hash_of
from tael.oauth.store.users import Users

USERNAME = Form(USERNAME_PATTERN, "1 to 64 lower-case letters, digits and . _ @ + -")
NICKNAME = Form(NICKNAME_PATTERN, "1 to 64 characters")
PASSWORD = Form(PASSWORD_PATTERN, f"one line of {MIN_PASSWORD_CHARS} to {MAX_PASSWORD_CHARS} characters")


class NoSuchUser(LookupError):
    """The message names the username."""

    def __init__(self, username: str) -> None:
        super().__init__(f"no user {username}")


def new_user(mchid: str, username: str, nickname: str, password: Secret, origin: Origin) -> User:
    """Raises InvalidValue."""
    return User(
        userid=ids.userid(),
        mchid=mchid,
        username=check(username, USERNAME, "username"),
        nickname=check(nickname, NICKNAME, "nickname"),
        password_hash=hash_of(password),
        created_at=origin.at,
    )


async def set_password(users: Users, username: str, password: Secret, origin: Origin) -> User:
    """Raises NoSuchUser."""
    return _known(await users.set_password(username, hash_of(password), origin), username)


async def disable_user(users: Users, username: str, is_disabled: bool, origin: Origin) -> User:
    """Disable a user, or permit it to sign in again. Raises NoSuchUser."""
    return _known(await users.disable(username, is_disabled, origin), username)


def _known(user: User | None, username: str) -> User:
    if user is None:
        raise NoSuchUser(username)
    return user
