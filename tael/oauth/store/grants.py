"""The tables `oauth_grant` and `oauth_token`.

A code and a refresh token are used under the lock of their grant, so of two uses at once one is the second: it ends the
grant, and with it the tokens of the first.
"""

from collections.abc import Callable
from datetime import datetime
from typing import Final

from tael.db.database import Database
from tael.db.tables import Codec, Home, Table
from tael.oauth.domain.grant import MAX_GRANTS, Grant, TokenRow
from tael.oauth.domain.scopes import Scope

SCOPES: Final = Codec(
    {"scopes": "text[]"},
    lambda scopes: ([scope.value for scope in scopes],),
    lambda names: tuple(map(Scope, names)),
)
GRANTS: Final = Table("oauth_grant", Home.DIRECTORY, Grant, ("grant_id",), codecs={"scopes": SCOPES})
TOKENS: Final = Table("oauth_token", Home.DIRECTORY, TokenRow, ("access_digest",), codecs={"scopes": SCOPES})

BY_CODE: Final = f"SELECT {GRANTS.select} FROM oauth_grant WHERE code_digest = $1"
LOCKED_GRANT: Final = f"SELECT {GRANTS.select} FROM oauth_grant WHERE grant_id = $1 FOR UPDATE"
BY_REFRESH: Final = f"SELECT {TOKENS.select} FROM oauth_token WHERE refresh_digest = $1"
OF_TOKEN: Final = f"SELECT {GRANTS.select} FROM oauth_grant WHERE grant_id = $1"
USE_CODE: Final = "UPDATE oauth_grant SET code_used_at = $2 WHERE grant_id = $1"
USE_REFRESH: Final = "UPDATE oauth_token SET refreshed_at = $2 WHERE access_digest = $1"
END: Final = "UPDATE oauth_grant SET ended_at = coalesce(ended_at, $2) WHERE grant_id = $1"
#: All but the newest of a user for an app.
END_OLD: Final = """
UPDATE oauth_grant SET ended_at = $3 WHERE grant_id IN (
    SELECT grant_id FROM oauth_grant WHERE userid = $1 AND appcode = $2 AND ended_at IS NULL
    ORDER BY created_at DESC, grant_id OFFSET $4
)
"""
BY_ACCESS: Final = f"SELECT {TOKENS.select} FROM oauth_token WHERE access_digest = $1"

#: The pair that is issued for a grant that may have its tokens.
Issue = Callable[[Grant], TokenRow]


class Grants:
    """Grants with their codes and tokens."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def add(self, grant: Grant) -> None:
        """Of the user's grants for the app only the newest ones last."""
        async with self._database.transaction() as connection:
            await connection.execute(GRANTS.insert_one(), *GRANTS.values(grant, GRANTS.columns))
            await connection.execute(END_OLD, grant.userid, grant.appcode, grant.created_at, MAX_GRANTS)

    async def by_code(self, code_digest: str) -> Grant | None:
        rows = await self._database.fetch(BY_CODE, code_digest)
        return GRANTS.read(rows[0]) if rows else None

    async def by_refresh(self, refresh_digest: str) -> tuple[Grant, TokenRow] | None:
        """The refresh token, also one that was used, and its grant, also one that has ended."""
        return await self._with_grant(BY_REFRESH, refresh_digest)

    async def _with_grant(self, statement: str, digest: str) -> tuple[Grant, TokenRow] | None:
        async with self._database.connection() as connection:
            row = await connection.fetchrow(statement, digest)
            if row is None:
                return None
            token = TOKENS.read(row)
            grant = await connection.fetchrow(OF_TOKEN, token.grant_id)
        return (GRANTS.read(grant), token) if grant else None

    async def use_code(self, grant_id: str, now: datetime, issue: Issue) -> Grant | None:
        """Use the code and store the pair of `issue`. A code that was used ends the grant, and the result is None."""
        async with self._database.transaction() as connection:
            row = await connection.fetchrow(LOCKED_GRANT, grant_id)
            grant = GRANTS.read(row) if row else None
            if grant is None or grant.ended_at is not None:
                return None
            if grant.code_used_at is not None:
                await connection.execute(END, grant_id, now)
                return None
            await connection.execute(USE_CODE, grant_id, now)
            await connection.execute(TOKENS.insert_one(), *TOKENS.values(issue(grant), TOKENS.columns))
        return grant

    async def use_refresh(
        self, refresh_digest: str, grant_id: str, now: datetime, issue: Issue
    ) -> Grant | None:
        """The same for a refresh token."""
        async with self._database.transaction() as connection:
            row = await connection.fetchrow(LOCKED_GRANT, grant_id)
            grant = GRANTS.read(row) if row else None
            token_row = await connection.fetchrow(BY_REFRESH, refresh_digest)
            if grant is None or grant.ended_at is not None or token_row is None:
                return None
            token = TOKENS.read(token_row)
            if token.refreshed_at is not None:
                await connection.execute(END, grant_id, now)
                return None
            await connection.execute(USE_REFRESH, token.access_digest, now)
            await connection.execute(TOKENS.insert_one(), *TOKENS.values(issue(grant), TOKENS.columns))
        return grant

    async def end(self, grant_id: str, now: datetime) -> None:
        await self._database.execute(END, grant_id, now)

    async def by_access(self, access_digest: str) -> tuple[Grant, TokenRow] | None:
        """The access token, also one that has expired, and its grant, also one that has ended."""
        return await self._with_grant(BY_ACCESS, access_digest)
