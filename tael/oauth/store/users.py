"""The table `merchant_user`, and the sessions of users."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Final

import asyncpg

from tael.audit_log.domain.entry import Origin
from tael.audit_log.store.entries import write_change
from tael.base.secret import Secret
from tael.db.database import Database
from tael.db.tables import Codec, Home, Table
from tael.merchants.store.merchants import change_row
from tael.oauth.domain.grant import MAX_SESSIONS
from tael.oauth.domain.user import User


@dataclass(frozen=True, slots=True)
class Session:
    """A signed-in browser."""

    session_digest: str
    userid: str
    created_at: datetime
    expires_at: datetime


USERS: Final = Table(
    "merchant_user",
    Home.DIRECTORY,
    User,
    ("userid",),
    codecs={"password_hash": Codec({"password_hash": "text"}, lambda secret: (secret.reveal(),), Secret)},
)
SESSIONS: Final = Table("user_session", Home.DIRECTORY, Session, ("session_digest",))

SELECT_USER: Final = f"SELECT {USERS.select} FROM merchant_user"
OF_SESSION: Final = f"""
SELECT {USERS.select_from("u")} FROM user_session AS s JOIN merchant_user AS u USING (userid)
WHERE s.session_digest = $1 AND s.expires_at > $2 AND NOT u.is_disabled
"""
#: All but the newest.
END_OLD_SESSIONS: Final = """
DELETE FROM user_session WHERE session_digest IN (
    SELECT session_digest FROM user_session WHERE userid = $1 ORDER BY created_at DESC, session_digest OFFSET $2
)
"""
END_SESSIONS: Final = "DELETE FROM user_session WHERE userid = $1"
END_GRANTS: Final = "UPDATE oauth_grant SET ended_at = $2 WHERE userid = $1 AND ended_at IS NULL"
USERID: Final = "SELECT userid FROM merchant_user WHERE username = $1"


class UsernameTaken(Exception):
    """Another user of this or another merchant has this username."""


class Users:
    """Users and their sessions. What ends a user's sessions ends the grants too, in one transaction."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def add(self, user: User, origin: Origin) -> None:
        """Raises UsernameTaken; LookupError if there is no such merchant."""
        try:
            async with self._database.transaction() as connection:
                await connection.execute(USERS.insert_one(), *USERS.values(user, USERS.columns))
                await write_change(connection, origin, USERS, user.userid, None, user)
        except asyncpg.UniqueViolationError as error:
            raise UsernameTaken(f"user {user.username} exists") from error
        except asyncpg.ForeignKeyViolationError as error:
            raise LookupError(f"no merchant {user.mchid}") from error

    async def all(self, mchid: str | None = None) -> Sequence[User]:
        """The users of one merchant or of all, oldest first."""
        rows = await self._database.fetch(
            f"{SELECT_USER} WHERE $1::text IS NULL OR mchid = $1 ORDER BY created_at, userid", mchid
        )
        return [USERS.read(row) for row in rows]

    async def by_username(self, username: str) -> User | None:
        rows = await self._database.fetch(f"{SELECT_USER} WHERE username = $1", username)
        return USERS.read(rows[0]) if rows else None

    async def by_id(self, userid: str) -> User | None:
        rows = await self._database.fetch(f"{SELECT_USER} WHERE userid = $1", userid)
        return USERS.read(rows[0]) if rows else None

    async def set_password(self, username: str, password_hash: Secret, origin: Origin) -> User | None:
        """The user with this password, signed out and without grants; None if there is none."""
        return await self._change(username, lambda user: replace(user, password_hash=password_hash), origin)

    async def disable(self, username: str, is_disabled: bool, origin: Origin) -> User | None:
        """The user, signed out and without grants; None if there is none."""
        return await self._change(username, lambda user: replace(user, is_disabled=is_disabled), origin)

    async def _change(self, username: str, change: Callable[[User], User], origin: Origin) -> User | None:
        async with self._database.transaction() as connection:
            found = await connection.fetchrow(USERID, username)
            if found is None:
                return None
            user = await change_row(connection, USERS, found["userid"], change, origin)
            if user is None:
                return None
            await connection.execute(END_SESSIONS, user.userid)
            await connection.execute(END_GRANTS, user.userid, origin.at)
        return user

    # ---- sessions ------------------------------------------------------------------------------------------

    async def open_session(self, session: Session) -> None:
        """Of the user's sessions only the newest ones remain."""
        async with self._database.transaction() as connection:
            await connection.execute(SESSIONS.insert_one(), *SESSIONS.values(session, SESSIONS.columns))
            await connection.execute(END_OLD_SESSIONS, session.userid, MAX_SESSIONS)

    async def of_session(self, session_digest: str, now: datetime) -> User | None:
        """The user who is signed in; None if the session is unknown or over, or the user is disabled."""
        rows = await self._database.fetch(OF_SESSION, session_digest, now)
        return USERS.read(rows[0]) if rows else None

    async def end_session(self, session_digest: str) -> None:
        await self._database.execute("DELETE FROM user_session WHERE session_digest = $1", session_digest)
