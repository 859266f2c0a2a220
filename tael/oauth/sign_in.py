"""Signing in: a username and a password become a session. Attempts are limited for each username and address."""

import hashlib
from dataclasses import dataclass
from typing import Final

from tael.base import ids
from tael.base.secret import Secret
from tael.base.security_log import log_failed_sign_in, network_of
from tael.oauth.context import OAuthContext
from tael.oauth.domain.grant import SESSION_LIFE, digest_of
from tael.oauth.domain.user import MAX_PASSWORD_CHARS, User
from tael.oauth.store.attempts import WINDOW
from tael.oauth.store.users import Session

#: In 15 minutes. A success forgets those of the username.
MAX_OF_USERNAME: Final = 10
MAX_OF_ADDRESS: Final = 100
RETRY_AFTER_S: Final = int(WINDOW.total_seconds())


@dataclass(frozen=True, slots=True)
class WrongPassword:
    """Or an unknown or disabled user: which of them is not shown."""


@dataclass(frozen=True, slots=True)
class TooManyAttempts:
    """Nothing was checked, so that even the right password is refused."""


async def sign_in(
    username: str, password: Secret, peer: str, context: OAuthContext
) -> Secret | WrongPassword | TooManyAttempts:
    """The token of a new session. Raises OutOfService, StoreUnavailable."""
    username, now = username.strip().lower(), context.now()
    of_user, of_address = f"user {_digest(username)}", f"address {network_of(peer)}"
    counted = await context.attempts.count([of_user, of_address], now)
    if counted[of_user] > MAX_OF_USERNAME or counted[of_address] > MAX_OF_ADDRESS:
        log_failed_sign_in("too many attempts", peer)
        return TooManyAttempts()
    user = await context.users.by_username(username) if "\0" not in username else None
    is_long = len(password.reveal()) > MAX_PASSWORD_CHARS
    known = user.password_hash if user and not is_long else None
    is_correct = await context.passwords.is_correct(Secret("") if is_long else password, known)
    if user is None or not is_correct or await context.merchant_of(user) is None:
        log_failed_sign_in("wrong username or password", peer)
        return WrongPassword()
    await context.attempts.forget(of_user)
    token = Secret(ids.session())
    await context.users.open_session(Session(digest_of(token.reveal()), user.userid, now, now + SESSION_LIFE))
    return token


async def signed_in(session: Secret, context: OAuthContext) -> User | None:
    """The user of this session, if user and merchant may still sign in."""
    user = await context.users.of_session(digest_of(session.reveal()), context.now())
    return user if user is not None and await context.merchant_of(user) is not None else None


async def sign_out(session: Secret, context: OAuthContext) -> None:
    await context.users.end_session(digest_of(session.reveal()))


def _digest(username: str) -> str:
    """A person may type a password into the wrong field: it is not stored."""
    return hashlib.sha256(username.encode("utf-8", "replace")).hexdigest()
